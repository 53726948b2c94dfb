"""Operations that act element by element, comparisons, and softmax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from kerasexplain.trace.tensorflow.table.registry import TABLE, changed, number, translates, word
from kerasexplain.trace.tensorflow.values import UntranslatableError, is_constant, is_symbolic, is_zero

Tensor = Any

#: Functions of one tensor.
_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "Abs": ops.abs,
    "Acos": ops.arccos,
    "Acosh": ops.arccosh,
    "Asin": ops.arcsin,
    "Asinh": ops.arcsinh,
    "Atan": ops.arctan,
    "Atanh": ops.arctanh,
    "Ceil": ops.ceil,
    "Cos": ops.cos,
    "Cosh": ops.cosh,
    "Elu": ops.elu,
    "Erf": ops.erf,
    # Keras has it from 3.14 on.
    "Erfc": getattr(ops, "erfc", lambda x: ops.subtract(1.0, ops.erf(x))),
    "Erfinv": ops.erfinv,
    "Exp": ops.exp,
    "Expm1": ops.expm1,
    "Floor": ops.floor,
    "Inv": ops.reciprocal,
    "IsFinite": ops.isfinite,
    "IsInf": ops.isinf,
    "IsNan": ops.isnan,
    "Log": ops.log,
    "Log1p": ops.log1p,
    "LogSoftmax": ops.log_softmax,
    "LogicalNot": ops.logical_not,
    "Neg": ops.negative,
    "Reciprocal": ops.reciprocal,
    "Relu": ops.relu,
    "Relu6": ops.relu6,
    "Rint": ops.round,
    "Round": ops.round,
    "Rsqrt": ops.rsqrt,
    "Selu": ops.selu,
    "Sigmoid": ops.sigmoid,
    "Sign": ops.sign,
    "Sin": ops.sin,
    "Sinh": ops.sinh,
    "Softmax": ops.softmax,
    "Softplus": ops.softplus,
    "Softsign": ops.softsign,
    "Sqrt": ops.sqrt,
    "Square": ops.square,
    "Tan": ops.tan,
    "Tanh": ops.tanh,
}
#: Functions of two.
_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Atan2": ops.arctan2,
    "Div": ops.divide,
    "DivNoNan": ops.divide_no_nan,
    "Equal": ops.equal,
    "FloorDiv": ops.floor_divide,
    "FloorMod": ops.mod,
    "Greater": ops.greater,
    "GreaterEqual": ops.greater_equal,
    "Less": ops.less,
    "LessEqual": ops.less_equal,
    "LogicalAnd": ops.logical_and,
    "LogicalOr": ops.logical_or,
    "Maximum": ops.maximum,
    "Minimum": ops.minimum,
    "Mul": ops.multiply,
    "NotEqual": ops.not_equal,
    "RealDiv": ops.divide,
    "Sub": ops.subtract,
}


def _unary(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda op, x: function(x)


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    return lambda op, x, y: function(x, y)


TABLE.update({kind: _unary(function) for kind, function in _UNARY.items()})
TABLE.update({kind: _binary(function) for kind, function in _BINARY.items()})


@translates("Add", "AddV2")
def _sum_of_two(op: Any, x: Tensor, y: Tensor) -> Tensor:
    """Zeros, such as what a recurrent layer starts with, add nothing."""
    for zeros, other in ((x, y), (y, x)):
        if is_zero(zeros) and zeros.ndim <= len(other.shape) and max(zeros.shape, default=1) == 1:
            return other
        if is_zero(zeros) and zeros.shape[1:] == tuple(other.shape[1:]) and zeros.shape[:1] == (1,):
            return other
    return added(x, y)


def added(x: Tensor, y: Tensor) -> Tensor:
    """The sum. Keras takes a second operand of one long axis, `(4, 1)`, for a bias of the last axis, and no first."""
    looks_like_bias = not is_symbolic(y) and len(y.shape) > 1 and y.shape[-1] == 1
    return ops.add(y, x) if looks_like_bias else ops.add(x, y)


@translates("LeakyRelu")
def _leaky_relu(op: Any, x: Tensor) -> Tensor:
    return ops.leaky_relu(x, negative_slope=op.get_attr("alpha"))


@translates("Pow")
def _power(op: Any, x: Tensor, exponent: Any) -> Tensor:
    exponent = number(exponent)
    if isinstance(exponent, (int, float)):
        known = {0.5: ops.sqrt, -0.5: ops.rsqrt, -1.0: ops.reciprocal, 1.0: lambda x: x, 2.0: ops.square}
        if exponent in known:
            return known[exponent](x)
    return ops.power(x, exponent)


@translates("SquaredDifference")
def _squared_difference(op: Any, x: Tensor, y: Tensor) -> Tensor:
    return ops.square(ops.subtract(x, y))


@translates("AddN")
def _sum(op: Any, *xs: Tensor) -> Tensor:
    total = xs[0]
    for x in xs[1:]:
        total = added(total, x) if is_symbolic(total) or is_symbolic(x) else _constants_added(total, x)
    return total


def _constants_added(x: Any, y: Any) -> Any:
    if not (is_constant(x) and is_constant(y)):
        raise UntranslatableError("it adds several variables and an activation: add two at a time")
    return x + y


@translates("BiasAdd")
def _bias_add(op: Any, x: Tensor, bias: Tensor) -> Tensor:
    rank = len(x.shape)
    if word(op, "data_format") == "NCHW":
        bias = changed(bias, lambda b: ops.reshape(b, (-1, *[1] * (rank - 2))))
    return added(x, bias)


@translates("ClipByValue")
def _clip(op: Any, x: Tensor, low: Any, high: Any) -> Tensor:
    low, high = number(low), number(high)
    if all(isinstance(bound, (int, float)) for bound in (low, high)):
        return ops.clip(x, low, high)
    return ops.minimum(ops.maximum(x, low), high)


@translates("Select", "SelectV2")
def _choose(op: Any, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    rank = len(x.shape)
    if op.type == "Select" and len(condition.shape) == 1 and rank > 1:
        condition = ops.reshape(condition, (-1, *[1] * (rank - 1)))  # one truth value for every sample
    return ops.where(condition, _real(x), _real(y))


def _real(x: Any) -> Any:
    return np.asarray(x) if is_constant(x) else x


@translates("Cast")
def _cast(op: Any, x: Tensor) -> Tensor:
    return ops.cast(x, op.get_attr("DstT").name)


@translates("CheckNumerics", "DebugGradientIdentity", "EnsureShape", "Identity", "PlaceholderWithDefault", "Snapshot")
def _identity(op: Any, x: Tensor) -> Tensor:
    return x


@translates("IdentityN")
def _identities(op: Any, *xs: Tensor) -> list[Tensor]:
    return list(xs)


@translates("PreventGradient", "StopGradient")
def _stop_gradient(op: Any, x: Tensor) -> Tensor:
    return ops.stop_gradient(x)


@translates("OnesLike")
def _ones(op: Any, x: Tensor) -> Tensor:
    return ops.ones_like(x)


@translates("ZerosLike")
def _zeros(op: Any, x: Tensor) -> Tensor:
    return ops.zeros_like(x)
