"""Gradients with something else for that of ReLU: deconvolution, guided backpropagation, softplus."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from kerasexplain import rules
from kerasexplain.analyzers.gradient import Gradient
from kerasexplain.compiler.composite import GRADIENT, Composite
from kerasexplain.runtime.method import Method

Tensor = Any


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Deconvnet(Method):
    """The gradient, with each nonlinearity applied to what comes back instead of its derivative: `S_z = f(S_y)`.

    For ReLU `S_z = max(S_y, 0)`. Functions with f(0) other than 0 are refused. It starts with the explained value.

    Use it: to see which patterns a feature detector of a ReLU network can be rebuilt from.

    Not for: the question which inputs the output is owed to: the map hardly depends on the explained class, and no sum
    is conserved.

    Source: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks".
    """

    name: ClassVar[str] = "deconvnet"

    def composite(self) -> Composite:
        return dataclasses.replace(GRADIENT, elementwise=rules.Repeat())

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        return q


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GuidedBackprop(Method):
    """The gradient, with what is negative in it cut off at every ReLU: `S_z = f'(z) max(S_y, 0)`.

    Networks with other elementwise nonlinearities than ReLU, with or without an upper bound, are refused; softmax,
    normalisation and products of activations have their gradient. It starts with the explained value.

    Use it: for sharp images of the edges and patterns that a ReLU network reacts to.

    Not for: comparing classes: the map hardly depends on the explained class (Nie et al. 2018), and no sum is
    conserved.

    Source: Springenberg et al. 2015, "Striving for Simplicity: The All Convolutional Net".
    """

    name: ClassVar[str] = "guided_backprop"

    def composite(self) -> Composite:
        return dataclasses.replace(GRADIENT, elementwise=rules.GuidedReLU())

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        return q


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class BetaSmooth(Gradient):
    """The gradient, with that of softplus in place of every ReLU's: `S_z = sigmoid(beta z) S_y`.

    The softplus is `log(1 + exp(beta z)) / beta`; z is that of the network as it is, with ReLU. Functions without a
    kink keep their gradient, a bound of a ReLU is smoothed too, and networks with other kinks (leaky ReLU) are refused.

    Use it: for a gradient that does not jump where a unit goes on or off: it is less noisy, and harder to change by
    changes of the input that cannot be seen. With a twin, for second derivatives, which ReLU's gradient has none of.

    Not for: what the output is owed to, which no gradient says; networks that have been trained with softplus or GELU,
    whose gradient is smooth already.

    Args:
        beta: How sharply the softplus bends: 1 and less smooth much, and in the limit it is the gradient itself.
        postprocess: None, "abs" or "square".

    Source: Dombrowski et al. 2019, "Explanations can be manipulated and geometry is to blame", section 4.
    """

    name: ClassVar[str] = "beta_smooth"

    beta: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.composite()  # so that a bad beta is refused here

    def composite(self) -> Composite:
        return dataclasses.replace(GRADIENT, elementwise=rules.SoftplusSlope(self.beta))
