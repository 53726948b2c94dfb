"""Layer-wise relevance propagation by rules of one's own, and what all its methods have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import keras

from kerasexplain import registry, rules
from kerasexplain.compiler.composite import Composite
from kerasexplain.foundation.checks import check_choice
from kerasexplain.matches import UntilLayer, first_kernel, kernel
from kerasexplain.rules import ElementwiseRule, Ignore, MaximumRule, Rule, Slope, WinnerTakesAll
from kerasexplain.rules.stabilizer import Stabilizer, check_stabilizer
from kerasexplain.runtime.method import Method

#: What elementwise nonlinearities do to relevance, by the name of the choice.
NONLINEARITIES: dict[str, ElementwiseRule] = {"ignore": Ignore(), "slope": Slope()}


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LRPMethod(Method):
    """The base of all `lrp.*` methods. A subclass gives the rules of operations with a kernel in `kernel_rules`.

    Args:
        input_layer_rule: A rule, its name, or `(low, high)` for `ZB`, for the kernel operations that are reached from
            an input without passing another one.
        until_layer_idx: `until_layer_rule` is for the layers up to this position in `model.layers`.
        until_layer_rule: A rule or its name.
        override: `(match, rule)` pairs that come before all others: `override=[("conv1", "Flat")]` changes one layer.
        maximum: The rule for maxima, or its name; `WinnerTakesAll()` by default.
        nonlinearity: What elementwise nonlinearities other than ReLU do: "ignore" passes relevance as it is (`Ignore`,
            as in the papers), "slope" takes what f(0) makes for a bias (`Slope`). Where f(0) is not 0, in a hidden
            sigmoid or softplus, ignoring it can turn the sign of evidence: there, "slope" is the choice. For tanh,
            GELU and whatever else has f(0) = 0, both are the same.
        stabilizer: For all rules that divide and have no stabilizer of their own: a number, or a share of the
            denominators' size, `Relative(1e-3)`; `keras.config.epsilon()` by default. A number is also added where
            an addition turns relevance into relevance per unit, which is exact otherwise.
    """

    input_layer_rule: Any = None
    until_layer_idx: int | None = None
    until_layer_rule: Any = None
    override: Any = None
    maximum: Any = None
    nonlinearity: str = "ignore"
    stabilizer: Stabilizer | None = None

    def __post_init__(self) -> None:
        check_choice("nonlinearity", self.nonlinearity, NONLINEARITIES)
        check_choice("bias", getattr(self, "bias", True), (True, False))  # which some have; a text would be true
        if (self.until_layer_idx is None) != (self.until_layer_rule is None):
            raise ValueError("until_layer_idx and until_layer_rule go together")
        check_stabilizer("stabilizer", self.stabilizer)
        self.composite()  # so that a bad rule is refused here, not at the first analysis

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        """`(match, rule)` pairs; the first match wins."""
        raise NotImplementedError

    def composite(self) -> Composite:
        if not isinstance(self.override, (list, type(None))) and not _holds_pairs(self.override):
            raise ValueError(f"override must be a list of (match, rule) pairs, got {self.override!r}")
        pairs = [pair for item in self.override or () for pair in pairs_of(item)]
        if self.input_layer_rule is not None:
            pairs.append((first_kernel, input_rule(self.input_layer_rule)))
        if self.until_layer_idx is not None:
            pairs.append((UntilLayer(self.until_layer_idx), rules.get(self.until_layer_rule)))
        pairs.extend((match, rules.get(rule)) for match, rule in self.kernel_rules())
        return Composite(
            rules=pairs,
            elementwise=NONLINEARITIES[self.nonlinearity],
            maximum=maximum_rule(self.maximum, WinnerTakesAll()),
            stabilizer=self.stabilizer,
        )


def maximum_rule(given: Any, default: MaximumRule) -> MaximumRule:
    """A rule for maxima from itself or its name; None for the default.

    Raises:
        ValueError: It is another kind of rule.
    """
    rule = default if given is None else rules.get(given)
    if not isinstance(rule, MaximumRule):
        raise ValueError(f"maximum must be a rule for maxima, got {rule!r}")
    return rule


def input_rule(given: Any) -> Rule:
    """A rule from itself, its name, or the pair `(low, high)`."""
    if isinstance(given, (tuple, list)) and len(given) == 2:
        return rules.ZB(*given)
    return rules.get(given)


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LRP(LRPMethod):
    """LRP with rules of one's own.

    Use it: to give each part of a network the rule that suits it; a preset with exceptions, `override=`, is a good
    start.

    Not for: one rule for the whole of a deep network: that gives noise, or maps that hardly know the class (Montavon et
    al. 2019, section 10.3).

    Args:
        rule: One rule (or its name) for every operation with a kernel, or a list of `(match, rule)` in which the
            first match wins. A match is a layer class or a tuple of them, a layer, a glob over the names that
            `print(analyzer)` shows (or the end of a single one), or a predicate on a `Row`, such as those in
            `kerasexplain.matches`. The name of another analyzer in the list stands for its pairs:
            `[("conv1", "Flat"), "lrp.epsilon_plus"]`.

    Source: Bach et al. 2015, "On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance
    Propagation".
    """

    name: ClassVar[str] = "lrp"

    rule: Any

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        if isinstance(self.rule, (list, tuple)):
            return [pair for item in self.rule for pair in pairs_of(item)]
        return [(kernel, self.rule)]


def _holds_pairs(given: Any) -> bool:
    return isinstance(given, tuple) and all(isinstance(item, tuple) and len(item) == 2 for item in given)


def pairs_of(item: Any) -> Sequence[tuple[Any, Any]]:
    """The `(match, rule)` pairs of an entry of a list: a pair itself, or an analyzer's name, which stands for its own.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(item, str):
        method = registry.find(item)
        if not issubclass(method, LRPMethod):
            raise ValueError(
                f"{item!r} in a list of rules must be the name of an lrp method, which has rules of its own"
            )
        return method().composite().rules
    if not isinstance(item, (list, tuple)) or len(item) != 2:
        raise ValueError(
            f"rule must be a rule, or a list of (match, rule) pairs and analyzer names; got {item!r} in it"
        )
    match, rule = item
    return [(match.name if isinstance(match, keras.layers.Layer) else match, rule)]
