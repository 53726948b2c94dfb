"""Elementwise nonlinearities: their value at zero, their range, and the slope of the chord through zero."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from kerasexplain.backend import transposed
from kerasexplain.graph.domains import ANY, NONNEGATIVE, UNIT, Interval
from kerasexplain.graph.primitives import Primitive

Tensor = Any


@dataclasses.dataclass(frozen=True, eq=False)
class Elementwise(Primitive):
    """`y = f(z)`, element by element, with a finite f(0).

    Attributes:
        function: f.
        homogeneous: Whether `f(z) = f'(z) z` everywhere (ReLU, LeakyReLU): its gradient is then already the share.
        at_zero: f(0).
        range: What is known of f's values.
        keeps_sign: Whether f(z) >= 0 for z >= 0.
        rectifies: Whether f is max(z, 0).
        is_relu: Whether f is max(z, 0), or that with an upper bound.
        smooth: Whether f has no kink or jump near zero, except at zero itself.
        analytic: Whether f has no kink or jump anywhere.
    """

    function: Callable[[Tensor], Tensor]
    homogeneous: bool = False
    at_zero: float = 0.0
    range: Interval = ANY
    keeps_sign: bool = False
    rectifies: bool = False
    is_relu: bool = False
    smooth: bool = True
    analytic: bool = False

    @property
    def bias_shape(self) -> tuple[int, ...] | None:  # type: ignore[override]
        return None if self.at_zero == 0 else ()

    @property
    def bound(self) -> float:
        """An upper bound of f."""
        return self.range.high

    def __call__(self, *xs: Tensor, tap: Tensor | None = None) -> Tensor:
        return self.function(*xs)

    def domain(self, *domains: Interval) -> Interval:
        if self.keeps_sign and domains[0].nonnegative:
            return self.range & NONNEGATIVE
        return self.range

    def derivative(self, z: Tensor) -> Tensor:
        """f'(z)."""
        return transposed(self.function, z, ops.ones_like(z))

    def chord(self, z: Tensor) -> Tensor:
        """`(f(z) - f(0)) / z`, without cancellation near zero.

        There the mean of f' between 0 and z is used, by three-point Gauss-Legendre quadrature (its error,
        z^6 f^(7) / 2016000, is near rounding), since in float32 the quotient of a sigmoid at z = 1e-7 comes out as
        0.60 instead of 0.25.
        """
        small = ops.abs(z) < _near(z) if self.smooth else ops.equal(z, 0)
        away = ops.where(small, ops.ones_like(z), z)
        mean = self._mean_derivative(ops.zeros_like(z), z)
        return ops.where(small, mean, (self.function(away) - self.at_zero) / away)

    def slope(self, z: Tensor, reference: Tensor) -> Tensor:
        """`(f(z) - f(z')) / (z - z')`; f'(z) where z = z'. Of analytic functions without cancellation near there."""
        difference = z - reference
        if not self.analytic:
            equal = ops.equal(difference, 0)
            apart = ops.where(equal, ops.ones_like(z), difference)
            return ops.where(equal, self.derivative(z), (self.function(z) - self.function(reference)) / apart)
        small = ops.abs(difference) < _near(z)
        apart = ops.where(small, ops.ones_like(z), difference)
        mean = self._mean_derivative(reference, z)
        return ops.where(small, mean, (self.function(z) - self.function(reference)) / apart)

    def _mean_derivative(self, start: Tensor, end: Tensor) -> Tensor:
        node = 0.5 * math.sqrt(0.6)
        at = [self.derivative(start + (end - start) * t) for t in (0.5 - node, 0.5, 0.5 + node)]
        return (5.0 * (at[0] + at[2]) + 8.0 * at[1]) / 18.0


def _near(z: Tensor) -> float:
    """Below this distance the mean of three derivatives is nearer to a slope than the quotient."""
    return 0.02 if keras.backend.standardize_dtype(z.dtype) == "float64" else 0.3


def by_name(name: str, function: Callable[[Tensor], Tensor]) -> Elementwise | None:
    """The elementwise primitive for one of Keras' activation functions; None if it is no such function.

    Args:
        name: Its name in `keras.activations`.
        function: The function itself, its own arguments bound.
    """
    if name in _HOMOGENEOUS:
        relu = name == "relu"
        return Elementwise(
            function, homogeneous=True, range=_HOMOGENEOUS[name], keeps_sign=True, rectifies=relu, is_relu=relu
        )
    if name not in _SMOOTH:
        return None
    at_zero = float(ops.convert_to_numpy(function(ops.zeros((1,), dtype="float64")))[0])
    return Elementwise(
        function,
        at_zero=at_zero,
        range=_SMOOTH[name],
        keeps_sign=name not in _CHANGES_SIGN,
        is_relu=name == "relu6",
        smooth=name not in _ABRUPT,
        analytic=name in _ANALYTIC,
    )


_SYMMETRIC = Interval(-1.0, 1.0)
_HOMOGENEOUS = {
    "abs": NONNEGATIVE,
    "fabs": NONNEGATIVE,
    "leaky_relu": ANY,
    "linear": ANY,
    "nan_to_num": ANY,
    "relu": NONNEGATIVE,
}
#: Functions that may be negative where their argument is not.
_CHANGES_SIGN = ("cos", "log_sigmoid", "sin", "sinc", "tan", "threshold")
#: Functions that jump or have a kink away from zero: near it, their chord is no mean of derivatives.
_ABRUPT = ("ceil", "floor", "hard_shrink", "round", "soft_shrink", "threshold", "trunc")
#: Functions without a kink or jump, and without poles on the real line.
_ANALYTIC = (
    *("arcsinh", "arctan", "cos", "cosh", "erf", "erfc", "exp2", "expm1", "exponential", "gelu", "log_sigmoid"),
    *("mish", "sigmoid", "silu", "sin", "sinh", "softplus", "square", "tanh", "tanh_shrink"),
)
# Functions with a finite value and slope at zero, and what is known of their values.
_SMOOTH: dict[str, Interval] = {
    "arccos": Interval(0.0, math.pi),
    "arcsin": Interval(-math.pi / 2, math.pi / 2),
    "arcsinh": ANY,
    "arctan": Interval(-math.pi / 2, math.pi / 2),
    "arctanh": ANY,
    "ceil": ANY,
    "celu": ANY,
    "cos": _SYMMETRIC,
    "cosh": Interval(1.0, math.inf),
    "elu": ANY,
    "erf": _SYMMETRIC,
    "erfc": Interval(0.0, 2.0),
    "erfinv": ANY,
    "exp2": NONNEGATIVE,
    "expm1": Interval(-1.0, math.inf),
    "exponential": NONNEGATIVE,
    "floor": ANY,
    "gelu": Interval(-0.18, math.inf),
    "hard_shrink": ANY,
    "hard_sigmoid": UNIT,
    "hard_silu": Interval(-0.376, math.inf),
    "hard_tanh": _SYMMETRIC,
    "i0": Interval(1.0, math.inf),
    "log1p": ANY,
    "log_sigmoid": Interval(-math.inf, 0.0),
    "mish": Interval(-0.31, math.inf),
    "relu6": Interval(0.0, 6.0),
    "round": ANY,
    "selu": ANY,
    "sigmoid": UNIT,
    "silu": Interval(-0.279, math.inf),
    "sin": _SYMMETRIC,
    "sinc": Interval(-0.218, 1.0),
    "sinh": ANY,
    "soft_shrink": ANY,
    "softplus": NONNEGATIVE,
    "softsign": _SYMMETRIC,
    "sparse_plus": NONNEGATIVE,
    "sparse_sigmoid": UNIT,
    "square": NONNEGATIVE,
    "squareplus": NONNEGATIVE,
    "tan": ANY,
    "tanh": _SYMMETRIC,
    "tanh_shrink": ANY,
    "threshold": ANY,
    "trunc": ANY,
}
