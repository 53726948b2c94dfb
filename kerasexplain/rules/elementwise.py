"""Rules for elementwise nonlinearities `y = f(z)`."""

from __future__ import annotations

import math
from typing import Any, Protocol

from keras import ops

from kerasexplain.foundation.checks import check_positive
from kerasexplain.foundation.config import saved
from kerasexplain.rules.rule import Rule

Tensor = Any


class Function(Protocol):
    """An elementwise function f, with all that a rule may ask of it."""

    @property
    def is_relu(self) -> bool:
        """Whether f is max(z, 0), or that with an upper bound."""

    @property
    def bound(self) -> float:
        """An upper bound of f."""

    def __call__(self, *zs: Tensor) -> Tensor: ...

    def derivative(self, z: Tensor) -> Tensor:
        """f'(z)."""

    def chord(self, z: Tensor) -> Tensor:
        """`(f(z) - f(0)) / z`."""

    def slope(self, z: Tensor, reference: Tensor) -> Tensor:
        """`(f(z) - f(z')) / (z - z')`, and f'(z) where z = z'."""


class ElementwiseRule(Rule):
    """A rule for elementwise nonlinearities `y = f(z)`."""

    def at(self, f: Function, z: Tensor, s: Tensor) -> Tensor:
        """The share of z where y has s: the rule applied to whatever number it is that travels."""
        raise NotImplementedError


@saved
class Ignore(ElementwiseRule):
    """`R_z = R_y`: the nonlinearity passes relevance as it is.

    Source: Bach et al. 2015. The default of every `lrp.*` name.
    """

    def at(self, f: Function, z: Tensor, s: Tensor) -> Tensor:
        return s


@saved
class Slope(ElementwiseRule):
    """`R_z = (f(z) - f(0)) R_y / f(z)`: the slope of the chord through zero; f(0) is a bias that takes the rest.

    Equal to `Ignore` where f(0) = 0, and to the gradient for ReLU.
    """

    def at(self, f: Function, z: Tensor, s: Tensor) -> Tensor:
        return s * f.chord(z)


@saved
class GradientRule(ElementwiseRule):
    """`R_z = z f'(z) R_y / f(z)`; what the linearisation leaves over is a bias that takes the rest.

    Source: Achtibat et al. 2024 (AttnLRP), for softmax.
    """

    def at(self, f: Function, z: Tensor, s: Tensor) -> Tensor:
        return s * f.derivative(z)


@saved
class Repeat(ElementwiseRule):
    """`S_z = f(S_y)`: the nonlinearity once more, on what comes back.

    For functions with f(0) = 0. Not linear in what comes back, unlike every other rule.

    Source: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks" (deconvolution).
    """

    def at(self, f: Function, z: Tensor, s: Tensor) -> Tensor:
        return f(s)


@saved
class GuidedReLU(ElementwiseRule):
    """`S_z = f'(z) max(S_y, 0)`: the gradient of a ReLU, with what is negative in it cut off. For ReLU alone.

    Source: Springenberg et al. 2015, "Striving for Simplicity: The All Convolutional Net".
    """

    of_gradients = True

    def at(self, f: Function, z: Tensor, s: Tensor) -> Tensor:
        return ops.relu(s) * f.derivative(z)


@saved
class SoftplusSlope(ElementwiseRule):
    """`S_z = sigmoid(beta z) S_y`: the gradient of the softplus `log(1 + exp(beta z)) / beta` in place of a ReLU's.

    A ReLU with an upper bound c has two kinks: `S_z = (sigmoid(beta z) - sigmoid(beta (z - c))) S_y`. Functions
    without a kink have their own gradient.

    Args:
        beta: How sharply the softplus bends; the larger, the nearer to ReLU.

    Raises:
        ValueError: beta is not positive.

    Source: Dombrowski et al. 2019, "Explanations can be manipulated and geometry is to blame", section 4.
    """

    of_gradients = True

    beta: float = 10.0

    def __post_init__(self) -> None:
        check_positive("beta", self.beta)

    def at(self, f: Function, z: Tensor, s: Tensor) -> Tensor:
        if not f.is_relu:
            return s * f.derivative(z)
        slope = ops.sigmoid(self.beta * z)
        return s * (slope if math.isinf(f.bound) else slope - ops.sigmoid(self.beta * (z - f.bound)))


@saved
class OnRelevance(ElementwiseRule):
    """Another rule, applied to relevance itself: with `Slope()`, `R_z = (f(z) - f(0)) / z R_y`.

    Rules multiply relevance per unit of activation unless they are wrapped in this one. It serves to compare the
    combinations of `lrp.algebra`; most of them conserve nothing.

    Args:
        rule: A rule for elementwise nonlinearities.
    """

    rule: ElementwiseRule

    def at(self, f: Function, z: Tensor, s: Tensor) -> Tensor:
        return self.rule.at(f, z, s)
