"""What the operations of `keras.ops` are to relevance when they stand in a graph by themselves."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasexplain.domains import NONNEGATIVE, UNIT, Interval
from kerasexplain.operations import elementwise
from kerasexplain.operations.base import Call, Mixing, Nonlinear, Pooling, Primitive, Product, Routing, Scale
from kerasexplain.operations.catalogue import describes, opaque
from kerasexplain.operations.elementwise import Elementwise
from kerasexplain.operations.layers import affine_constant, operand_positions
from kerasexplain.operations.linear import Linear
from kerasexplain.operations.maximum import Maximum, operand_candidates, reduction_candidates

_ACTIVATIONS = {
    "Absolute": "abs",
    "Celu": "celu",
    "Elu": "elu",
    "Exp": "exponential",
    "Gelu": "gelu",
    "HardShrink": "hard_shrink",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "LeakyRelu": "leaky_relu",
    "LogSigmoid": "log_sigmoid",
    "Relu": "relu",
    "Relu6": "relu6",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Silu": "silu",
    "SoftShrink": "soft_shrink",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "SparsePlus": "sparse_plus",
    "SparseSigmoid": "sparse_sigmoid",
    "Square": "square",
    "Squareplus": "squareplus",
    "Tanh": "tanh",
    "TanhShrink": "tanh_shrink",
}


@describes(*(f"ops.{name}" for name in _ACTIVATIONS))
def _activation(call: Call) -> Primitive:
    primitive = elementwise.named(_ACTIVATIONS[type(call.operation).__name__], call.function())
    assert primitive is not None
    return primitive


@describes("ops.Softmax", "ops.LogSoftmax")
def _softmax(call: Call) -> Primitive:
    log = type(call.operation).__name__ == "LogSoftmax"
    return Nonlinear(call.function(), Interval(-math.inf, 0.0) if log else UNIT)


@describes(
    "ops.Reshape",
    "ops.Transpose",
    "ops.Squeeze",
    "ops.ExpandDims",
    "ops.GetItem",
    "ops.Concatenate",
    "ops.Stack",
    "ops.Split",
    "ops.Unstack",
    "ops.Flip",
    "ops.Roll",
    "ops.Repeat",
    "ops.Tile",
    "ops.BroadcastTo",
    "ops.Swapaxes",
    "ops.Moveaxis",
    "ops.Ravel",
    "ops.Copy",
    "ops.Identity",
    "ops.Hstack",
    "ops.Vstack",
    "ops.Slice",
    "ops.Take",
    "ops.DepthToSpace",
    "ops.SpaceToDepth",
)
def _routing(call: Call) -> Primitive:
    joins = type(call.operation).__name__ in ("Concatenate", "Stack", "Hstack", "Vstack")
    operands = keras.tree.flatten(call.args[0]) if call.args else []
    if joins and len(operands) != len(operand_positions(call)):
        return opaque(call, "it joins activations with constants")
    if not joins and len(call.inputs) > 1:
        return opaque(call, "what it selects depends on another activation")
    if _mixes_samples(call):
        return opaque(call, "it moves values from one sample of the batch to another")
    return Routing(call.function())


def _mixes_samples(call: Call) -> bool:
    """Whether a routing operation does not treat every sample alike: tried out by exchanging two of five."""
    order = np.array([1, 0, 2, 3, 4])
    xs = []
    for value in call.inputs:
        shape = (5, *(4 if size is None else size for size in value.shape[1:]))
        xs.append(np.arange(np.prod(shape), dtype="float32").reshape(shape))
    if any(value.shape[0] not in (None, 5) for value in call.inputs):
        return False  # a fixed batch: its positions may be meant
    function = call.function()
    plain, permuted = (
        [ops.convert_to_numpy(y) for y in keras.tree.flatten(function(*map(ops.convert_to_tensor, given)))]
        for given in (xs, [x[order] for x in xs])
    )
    return any(len(y) != 5 or not np.array_equal(y[order], z) for y, z in zip(plain, permuted, strict=True))


@describes("ops.Cast")
def _cast(call: Call) -> Primitive:
    if "float" not in str(call.operation.dtype):
        return opaque(call, f"a cast to {call.operation.dtype} has no gradient")
    return Routing(lambda x: x)  # relevance is computed in the precision of the explained output


@describes("ops.Pad")
def _pad(call: Call) -> Primitive:
    operation = call.operation
    fill = getattr(operation, "constant_values", None)
    fill = call.kwargs.get("constant_values", fill)
    if operation.mode == "constant" and fill not in (None, 0):
        return opaque(call, f"it pads with the constant {fill}")
    return Routing(call.function(), pads=operation.mode == "constant")


def _constant(call: Call) -> Any:
    """The constant operand of a binary operation with one activation: an array, or what may be a live variable."""
    operand = call.args[1] if id(call.args[0]) == id(call.inputs[0]) else call.args[0]
    return operand if isinstance(operand, keras.Variable) or ops.is_tensor(operand) else np.asarray(operand)


def _has_batch_axis(call: Call, constant: Any) -> bool:
    """Whether the constant differs from sample to sample, or moves the batch to another axis."""
    rank = len(call.inputs[0].shape)
    return len(constant.shape) > rank or (len(constant.shape) == rank and constant.shape[0] != 1)


def _is_binary_with_constant(call: Call) -> bool:
    return len(operand_positions(call)) == 1 and len(call.args) == 2


def _bounds(constant: Any) -> Interval:
    if not isinstance(constant, np.ndarray):
        return Interval()
    return Interval(float(constant.min()), float(constant.max()))


@describes("ops.Add")
def _add(call: Call) -> Primitive:
    if _is_binary_with_constant(call):
        return affine_constant(call, _constant(call))
    positions = operand_positions(call)
    return Mixing(call.function(), lambda *domains: domains[positions[0]] + domains[positions[1]])


@describes("ops.Subtract")
def _subtract(call: Call) -> Primitive:
    negative = Interval(-1.0, -1.0)
    if not _is_binary_with_constant(call):
        positions = operand_positions(call)
        return Mixing(call.function(), lambda *domains: domains[positions[0]] + domains[positions[1]] * negative)
    constant = _constant(call)
    if id(call.args[0]) != id(call.inputs[0]):
        return affine_constant(call, constant, np.asarray(-1.0), negative)
    if not isinstance(constant, np.ndarray):
        return opaque(call, "it subtracts a variable: add its negative instead")
    return affine_constant(call, -constant)


@describes("ops.Negative")
def _negative(call: Call) -> Primitive:
    return Scale(call.function(), Interval(-1.0, -1.0))


@describes("ops.Multiply")
def _multiply(call: Call) -> Primitive:
    if _is_binary_with_constant(call):
        constant = _constant(call)
        if _has_batch_axis(call, constant):
            return opaque(call, f"the constant it multiplies by has a batch axis of its own (shape {constant.shape})")
        return Scale(call.function(), _bounds(constant))
    if len(call.inputs) == 1:
        return Elementwise(call.function(), range=NONNEGATIVE, keeps_sign=True)  # x * x
    return Product(call.function(), elementwise=True)


@describes("ops.Divide", "ops.TrueDivide")
def _divide(call: Call) -> Primitive:
    if not _is_binary_with_constant(call) or id(call.args[0]) != id(call.inputs[0]):
        return opaque(call, "division by an activation has no rule yet")
    constant = _constant(call)
    if _has_batch_axis(call, constant):
        return opaque(call, f"the constant it divides by has a batch axis of its own (shape {constant.shape})")
    bounds = _bounds(constant)
    known = bounds.low > 0 or bounds.high < 0
    factor = Interval(1.0 / bounds.high, 1.0 / bounds.low) if known and math.isfinite(bounds.high) else Interval()
    return Scale(call.function(), factor)


@describes("ops.Power")
def _power(call: Call) -> Primitive:
    exponent = call.args[1] if len(call.args) == 2 else None
    if not isinstance(exponent, (int, float)) or exponent != int(exponent) or exponent < 1:
        return opaque(call, "only powers with a positive whole exponent have a rule")
    even = int(exponent) % 2 == 0
    return Elementwise(call.function(), range=NONNEGATIVE if even else Interval(), keeps_sign=True)


@describes("ops.Maximum")
def _maximum(call: Call) -> Primitive:
    if not _is_binary_with_constant(call):
        return Maximum(call.function(), operand_candidates, first=True)
    constant = _constant(call)
    if not isinstance(constant, np.ndarray) or constant.ndim:
        return opaque(call, "a maximum with an array of constants has no rule yet")
    floor = float(constant)
    return Elementwise(
        call.function(),
        homogeneous=floor == 0,
        at_zero=max(0.0, floor),
        range=Interval(floor),
        keeps_sign=True,
        smooth=False,
    )


@describes("ops.Minimum")
def _minimum(call: Call) -> Primitive:
    if not _is_binary_with_constant(call):
        return Routing(call.function())  # the smaller operand takes all
    constant = _constant(call)
    if not isinstance(constant, np.ndarray) or constant.ndim:
        return opaque(call, "a minimum with an array of constants has no rule yet")
    ceiling = float(constant)
    return Elementwise(
        call.function(),
        homogeneous=ceiling == 0,
        at_zero=min(0.0, ceiling),
        range=Interval(-math.inf, ceiling),
        keeps_sign=ceiling >= 0,
        smooth=False,
    )


@describes("ops.Clip")
def _clip(call: Call) -> Primitive:
    low, high = call.operation.x_min, call.operation.x_max
    if not all(isinstance(bound, (int, float)) for bound in (low, high)):
        return opaque(call, "clipping to arrays has no rule yet")
    return Elementwise(
        call.function(), at_zero=min(max(0.0, low), high), range=Interval(low, high), keeps_sign=high >= 0, smooth=False
    )


@describes("ops.Matmul", "ops.Einsum", "ops.Dot")
def _matmul(call: Call) -> Primitive:
    if len(operand_positions(call)) == 1 and len(call.inputs) == 1 and type(call.operation).__name__ == "Matmul":
        constant = _constant(call)
        kernel_first = id(call.args[0]) != id(call.inputs[0])
        return Linear(
            product=(lambda x, kernel: ops.matmul(kernel, x)) if kernel_first else ops.matmul,
            kernel=lambda: ops.convert_to_tensor(constant),
            bias=None,
            bias_shape=None,
            bias_axis=None,
            scaled=None,
        )
    if len(operand_positions(call)) != 2 or len(call.inputs) != 2:
        return opaque(call, "a product of one activation with itself, or with constants, has no rule yet")
    return Product(call.function())


def _reduced_axes(call: Call) -> list[int]:
    axis, rank = call.operation.axis, len(call.inputs[0].shape)
    axes = range(rank) if axis is None else [axis] if isinstance(axis, int) else axis
    return [a % rank for a in axes]


@describes("ops.Mean", "ops.Sum")
def _sum(call: Call) -> Primitive:
    if 0 in _reduced_axes(call):
        return opaque(call, "it mixes the samples of a batch")
    if type(call.operation).__name__ == "Mean":
        return Pooling(call.function(), lambda domain: domain)
    return Pooling(call.function(), lambda domain: NONNEGATIVE if domain.nonnegative else Interval())


@describes("ops.Max", "ops.Amax")
def _max(call: Call) -> Primitive:
    axes = _reduced_axes(call)
    if 0 in axes:
        return opaque(call, "it mixes the samples of a batch")
    if getattr(call.operation, "initial", None) is not None:
        return opaque(call, "a maximum with an initial value has no rule yet: use ops.maximum for it")
    return Maximum(call.function(), reduction_candidates(axes, call.operation.keepdims), first=False)
