"""Sums, products, quotients, powers and bounds, element by element, of activations and with constants."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasexplain.graph.domains import NONNEGATIVE, Interval
from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.maximum import maximum_of_operands, minimum_of_operands
from kerasexplain.graph.primitives import Call, LiveConstant, Mixing, Nonlinear, Primitive, Product, Scale, now
from kerasexplain.operations.catalogue import describes, opaque
from kerasexplain.operations.layers import affine_constant, operand_positions

_NEGATIVE = Interval(-1.0, -1.0)


def constant_operand(call: Call) -> Any:
    """The constant operand of a binary operation with one activation: an array, or what may be a live variable."""
    operand = call.args[1] if id(call.args[0]) == id(call.inputs[0]) else call.args[0]
    if isinstance(operand, (keras.Variable, LiveConstant)):
        return operand
    if not ops.is_tensor(operand):
        return np.asarray(operand)
    # numpy knows no bfloat16.
    return ops.convert_to_numpy(ops.cast(operand, "float32") if "16" in str(operand.dtype) else operand)


def is_binary_with_constant(call: Call) -> bool:
    return len(operand_positions(call)) == 1 and len(call.args) == 2


def _has_batch_axis(call: Call, constant: Any) -> bool:
    """Whether the constant differs from sample to sample, or moves the batch to another axis."""
    rank = len(call.inputs[0].shape)
    return len(constant.shape) > rank or (len(constant.shape) == rank and constant.shape[0] != 1)


def _bounds(constant: Any) -> Interval:
    if not isinstance(constant, np.ndarray):
        return Interval()
    return Interval(float(constant.min()), float(constant.max()))


@describes("ops.Add")
def _add(call: Call) -> Primitive:
    if is_binary_with_constant(call):
        return affine_constant(call, constant_operand(call))
    positions = operand_positions(call)
    return Mixing(call.function(), lambda *domains: domains[positions[0]] + domains[positions[1]])


@describes("ops.Subtract")
def _subtract(call: Call) -> Primitive:
    if not is_binary_with_constant(call):
        positions = operand_positions(call)
        return Mixing(call.function(), lambda *domains: domains[positions[0]] + domains[positions[1]] * _NEGATIVE)
    constant = constant_operand(call)
    if id(call.args[0]) != id(call.inputs[0]):
        return affine_constant(call, constant, np.asarray(-1.0), _NEGATIVE)
    return affine_constant(call, constant, negate=True)


@describes("ops.Negative", "ops.Deg2rad", "ops.Rad2deg")
def _constant_factor(call: Call) -> Primitive:
    factor = {"Negative": -1.0, "Deg2rad": math.pi / 180.0, "Rad2deg": 180.0 / math.pi}[type(call.operation).__name__]
    return Scale(call.function(), Interval(factor, factor))


@describes("ops.Multiply")
def _multiply(call: Call) -> Primitive:
    if is_binary_with_constant(call):
        constant = constant_operand(call)
        if _has_batch_axis(call, constant):
            return opaque(call, f"the constant it multiplies by has a batch axis of its own (shape {constant.shape})")
        return _scale(call, constant, _bounds(constant))
    if len(call.inputs) == 1:
        return Elementwise(call.function(), range=NONNEGATIVE, keeps_sign=True)  # x * x
    return Product(call.function(), elementwise=True)


@describes("ops.Divide", "ops.TrueDivide", "ops.DivideNoNan")
def _divide(call: Call) -> Primitive:
    if len(call.inputs) == 2 and len(operand_positions(call)) == 2:
        return Product(call.function(), elementwise=True, denominator=operand_positions(call)[1])
    if not is_binary_with_constant(call) or id(call.args[0]) != id(call.inputs[0]):
        return opaque(call, "division of a constant by an activation, or of one by itself, has no rule")
    constant = constant_operand(call)
    if _has_batch_axis(call, constant):
        return opaque(call, f"the constant it divides by has a batch axis of its own (shape {constant.shape})")
    bounds = _bounds(constant)
    known = bounds.low > 0 or bounds.high < 0
    factor = Interval(1.0 / bounds.high, 1.0 / bounds.low) if known and math.isfinite(bounds.high) else Interval()
    return _scale(call, constant, factor, reciprocal=True)


def _scale(call: Call, constant: Any, factor: Interval, reciprocal: bool = False) -> Scale:
    if isinstance(constant, np.ndarray):
        return Scale(call.function(), factor, weight_shape=tuple(constant.shape))

    def weight() -> Any:
        value = ops.convert_to_tensor(now(constant))
        return 1.0 / value if reciprocal else value

    return Scale(call.function(), factor, weight, tuple(constant.shape))


@describes("ops.Power")
def _power(call: Call) -> Primitive:
    exponent = call.args[1] if len(call.args) == 2 else None
    if not isinstance(exponent, (int, float)) or exponent != int(exponent) or exponent < 1:
        return opaque(call, "only powers with a positive integer exponent have a rule")
    even = int(exponent) % 2 == 0
    return Elementwise(call.function(), range=NONNEGATIVE if even else Interval(), keeps_sign=True)


@describes("ops.Maximum", "ops.Fmax")
def _maximum(call: Call) -> Primitive:
    if not is_binary_with_constant(call):
        return maximum_of_operands(call)
    constant = constant_operand(call)
    if not isinstance(constant, np.ndarray) or constant.ndim:
        return _bounded_by_array(call, constant)
    floor = float(constant)
    return Elementwise(
        call.function(),
        homogeneous=floor == 0,
        at_zero=max(0.0, floor),
        range=Interval(floor),
        keeps_sign=True,
        is_relu=floor == 0,
        smooth=False,
    )


@describes("ops.Minimum", "ops.Fmin")
def _minimum(call: Call) -> Primitive:
    if not is_binary_with_constant(call):
        return minimum_of_operands(call)
    constant = constant_operand(call)
    if not isinstance(constant, np.ndarray) or constant.ndim:
        return _bounded_by_array(call, constant)
    ceiling = float(constant)
    return Elementwise(
        call.function(),
        homogeneous=ceiling == 0,
        at_zero=min(0.0, ceiling),
        range=Interval(-math.inf, ceiling),
        keeps_sign=ceiling >= 0,
        smooth=False,
    )


def _bounded_by_array(call: Call, constant: Any) -> Primitive:
    """Where the bound is reached, it takes the relevance: it is what the gradient of the rest leaves over."""
    if _has_batch_axis(call, constant):
        return opaque(call, f"the bound has a batch axis of its own (shape {tuple(constant.shape)})")
    return Nonlinear(call.function())


@describes("ops.Clip")
def _clip(call: Call) -> Primitive:
    low, high = call.operation.x_min, call.operation.x_max
    if not all(isinstance(bound, (int, float)) for bound in (low, high)):
        ranks = [len(np.shape(bound)) for bound in (low, high)]
        if max(ranks) >= len(call.inputs[0].shape):
            return opaque(call, "the bounds have a batch axis of their own")
        return Nonlinear(call.function())
    return Elementwise(
        call.function(), at_zero=min(max(0.0, low), high), range=Interval(low, high), keeps_sign=high >= 0, smooth=False
    )


@describes("ops.Ldexp")
def _ldexp(call: Call) -> Primitive:
    if len(call.inputs) > 1 or id(call.args[0]) != id(call.inputs[0]):
        return opaque(call, "its exponent is an activation")
    return Scale(call.function(), NONNEGATIVE)
