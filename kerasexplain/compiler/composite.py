"""Composites: how rules are assigned to operations, as a value that can be saved."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from kerasexplain import rules as rule_catalogue
from kerasexplain.foundation.config import Configurable
from kerasexplain.rules import Ignore, MaximumRule, ProductRule, Relative, Rule, WinnerTakesAll
from kerasexplain.rules.stabilizer import Stabilizer

Match = Any  # a layer or operation class, a tuple of them, a name glob, or a predicate on a row


@keras.saving.register_keras_serializable(package="kerasexplain")
@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Composite(Configurable):
    """The assignment of rules to operations: an ordered list in which the first match wins, and defaults.

    Attributes:
        rules: `(match, rule)` pairs. A match is a layer class or a tuple of them, a glob over row names, or a
            predicate on a `Row`.
        elementwise, maximum, product: Defaults for nonlinearities, maxima and products. No product rule means that
            gates are recognised: `SignalTakesAll` where there is one, otherwise `Halve`. No rule for the others means
            the gradient, and is for plain composites alone.
        stabilizer: For rules that have none of their own; a number is also for divisions outside of rules.
        plain: Whether it is no relevance that travels but the gradient, or a number like it: what has no rule is then
            not overridden.
        against_baseline: Whether that number compares with a baseline.
        biases: Whether constants take a share that can be asked for.
        folds: Whether an affine operation is folded into the linear one before it, and padding into the one behind it.
            Relevance is the same in front of them and behind; a gradient is not.
        passes_preprocessing: Whether elementwise affine operations before the first that mixes pass relevance as it is;
            else their offsets are constants that take a share.
    """

    rules: Sequence[tuple[Match, Any]] = ()
    elementwise: Rule | None = dataclasses.field(default_factory=Ignore)
    maximum: MaximumRule | None = dataclasses.field(default_factory=WinnerTakesAll)
    product: ProductRule | None = None
    stabilizer: Stabilizer | None = None
    plain: bool = False
    against_baseline: bool = False
    biases: bool = True
    folds: bool = True
    passes_preprocessing: bool = True

    def __post_init__(self) -> None:
        given = [*(rule for _, rule in self.rules), self.elementwise, self.maximum]
        for rule in (rule_catalogue.get(rule) for rule in given if rule is not None):
            if rule.of_gradients and not self.plain:
                raise ValueError(f"the rule {rule!r} is for methods whose signal is a gradient, not for relevance")

    @property
    def outside_rules(self) -> float:
        """The stabilizer of divisions outside of rules, exact ones by default: where sums turn R into Q."""
        return 0.0 if self.stabilizer is None or isinstance(self.stabilizer, Relative) else self.stabilizer

    @property
    def overrides(self) -> bool:
        """Whether any operation may have a rule."""
        return not self.plain or bool(self.rules) or self.elementwise is not None or self.maximum is not None


#: Nothing is overridden: the gradient.
GRADIENT = Composite(plain=True, elementwise=None, maximum=None, biases=False, folds=False)
