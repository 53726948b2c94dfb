"""The algebra of backward rules: one rule for each kind of operation, put together at will."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kerasexplain import rules
from kerasexplain.compiler.composite import GRADIENT, Composite
from kerasexplain.foundation.checks import check_choice
from kerasexplain.matches import kernel
from kerasexplain.runtime.method import Method

Tensor = Any
LINEAR = ("normalized", "gradient")
NONLINEARITY = {
    "ignore": rules.Ignore(),
    "gradient": rules.GradientRule(),
    "slope": rules.Slope(),
    "repeat": rules.Repeat(),
}
MAXIMUM = {
    "gradient": rules.WinnerTakesAll(),
    "radial": rules.Radial(),
    "softmax limit": rules.SoftmaxLimit(),
    "relu chain": rules.ReluChain(),
}
BIAS = ("absorbed", "ignored", "as_input", "as_one_input")


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Algebra(Method):
    """Any combination of backward rules, each applied literally to the one number S that every activation carries.

    Linear operations `z = x W + b`: "normalized", `S_i = x_i sum_j W_ij S_j / z_j`, or "gradient",
    `S_i = sum_j W_ij S_j`; sums and average pooling are linear operations too. Nonlinearities `y = f(z)`: "ignore",
    `S_z = S_y`; "gradient", `f'(z) S_y`; "slope", `(f(z) - f(0)) / z S_y`; "repeat", `f(S_y)`. Maxima: "gradient", the
    winner takes all; "radial", "softmax limit" and "relu chain" as the rules of these names.

    LRP is normalized, ignore, gradient; the deconvnet is gradient, repeat, gradient; the gradient is gradient three
    times. With gradient and slope, S is relevance per unit of activation, Q = R / x, so that the result times the input
    is LRP again. Which combinations conserve what is computed in docs/algebra.md.

    Use it: to understand how methods differ, one rule at a time.

    Not for: a recommendation: most combinations conserve nothing.

    Args:
        linear: "normalized" or "gradient".
        nonlinearity: "ignore", "gradient", "slope" or "repeat", which is for functions with f(0) = 0.
        maximum: "gradient", "radial", "softmax limit" or "relu chain".
        bias: What a bias does in the normalized rule: "absorbed": it is in z, and its share vanishes; "ignored":
            `z = x W`, and the inputs share everything; "as_input": it is in z, and `explanation.bias` tells its share;
            "as_one_input": all biases share a single constant input 1. Under the gradient biases take `b S`.
        times_input: Whether the result is multiplied by the input in the end.

    Source: the comparison of LRP and deconvolution as choices among local rules, which rephrases LRP as a gradient.
    """

    name: ClassVar[str] = "lrp.algebra"

    linear: str = "normalized"
    nonlinearity: str = "ignore"
    maximum: str = "gradient"
    bias: str = "absorbed"
    times_input: bool = False

    def __post_init__(self) -> None:
        check_choice("linear", self.linear, LINEAR)
        check_choice("nonlinearity", self.nonlinearity, NONLINEARITY)
        check_choice("maximum", self.maximum, MAXIMUM)
        check_choice("bias", self.bias, BIAS)

    @property
    def default_start(self) -> str:  # type: ignore[override]
        return "output" if self.linear == "normalized" else "one"

    def composite(self) -> Composite:
        elementwise, maximum = NONLINEARITY[self.nonlinearity], MAXIMUM[self.maximum]
        biases = self.bias.startswith("as_")
        if self.linear == "gradient":
            return dataclasses.replace(GRADIENT, elementwise=elementwise, maximum=maximum, biases=biases, folds=True)
        if self.nonlinearity in ("gradient", "slope"):
            elementwise = rules.OnRelevance(elementwise)
        pairs = [(kernel, rules.Z(bias=self.bias != "ignored"))]
        return Composite(
            rules=pairs, elementwise=elementwise, maximum=maximum, biases=biases, passes_preprocessing=False
        )

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        # The engine carries Q where the rules are normalized, and S itself where they are gradients.
        return x * q if self.linear == "normalized" else q

    def finished(self, x: Tensor, relevance: Tensor) -> Tensor:
        return x * relevance if self.times_input else relevance

    def of_biases(self, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.bias != "as_one_input" or not found:
            return dict(found)
        return {"1": np.sum([array.reshape(len(array), -1).sum(axis=1) for array in found.values()], axis=0)}
