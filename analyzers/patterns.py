"""PatternNet and PatternAttribution."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kerasexplain import rules
from kerasexplain.compiler.composite import GRADIENT, Composite
from kerasexplain.foundation.checks import check_choice
from kerasexplain.matches import Named
from kerasexplain.runtime import pattern_fitting
from kerasexplain.runtime.method import Method

if TYPE_CHECKING:
    from kerasexplain.runtime.fitting import Fitting

Tensor = Any


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PatternNet(Method):
    """The gradient with every kernel replaced by its pattern: what in the input the output is a sign of.

    `S_x = A^T S_z`, where A holds for every unit the direction in the data that goes with its output, fitted by
    `analyzer.fit(data)`: `a = c / (w^T c)` with `c = E+[x z] - E+[x] E[z]`, E+ the mean where z > 0. It starts with the
    explained value. Patterns belong to the weights they were fitted with: after training, fit again.

    Use it: to see the signal that a ReLU network picks up, free of what its weights only cancel.

    Not for: models without training data at hand; recurrent layers, which are refused. Softmax, normalisation and
    products of activations have no patterns: the gradient passes them.

    Args:
        pattern_type: "relu", for operations with a ReLU behind them, or "linear", `c = cov[x, z]`, for all.

    Attributes:
        patterns: The fitted patterns: an array shaped like the kernel, by the operation's name.

    Source: Kindermans et al. 2018, "Learning How to Explain Neural Networks: PatternNet and PatternAttribution".
    """

    name: ClassVar[str] = "pattern.net"
    fitted_fields: ClassVar[tuple[str, ...]] = ("patterns",)
    times_kernel: ClassVar[bool] = False

    pattern_type: str = "relu"
    patterns: dict[str, np.ndarray] | None = None

    def __post_init__(self) -> None:
        check_choice("pattern_type", self.pattern_type, ("relu", "linear"))

    def composite(self) -> Composite:
        found = self.patterns or {}
        pairs = [(Named(name), rules.Pattern(found[name], times_kernel=self.times_kernel)) for name in found]
        return dataclasses.replace(GRADIENT, rules=pairs, folds=True)

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        return q

    def fitted(self, fitting: Fitting) -> Method:
        return dataclasses.replace(self, patterns=pattern_fitting.fit(fitting, self.pattern_type))

    def check_fitted(self) -> None:
        if self.patterns is None:
            raise ValueError(
                f"{self.name!r} needs patterns: call analyzer.fit(data) first (on the command line: --fit)"
            )


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PatternAttribution(PatternNet):
    """The gradient with every kernel multiplied by its pattern: how much each input contributes by what it signals.

    `S_x = (W * A)^T S_z`, entry by entry; `pattern.net` says what A is and how it is fitted. It starts with the
    explained value.

    Use it: as LRP whose root points are fitted to data.

    Not for: what `pattern.net` is not for.

    Args:
        pattern_type: "relu", for operations with a ReLU behind them, or "linear", `c = cov[x, z]`, for all.

    Attributes:
        patterns: The fitted patterns: an array shaped like the kernel, by the operation's name.

    Source: Kindermans et al. 2018, "Learning How to Explain Neural Networks: PatternNet and PatternAttribution".
    """

    name: ClassVar[str] = "pattern.attribution"
    times_kernel: ClassVar[bool] = True
