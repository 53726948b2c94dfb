"""Operations that move, repeat, drop, pad or look up values."""

from __future__ import annotations

import math

import numpy as np

from kerasexplain.graph.domains import UNIT
from kerasexplain.graph.primitives import Call, ConstantOutput, Lookup, Mixing, Primitive, Routing, StopGradient
from kerasexplain.operations.batches import MOVES, axes_of, keeps_samples_apart
from kerasexplain.operations.catalogue import describes, opaque

#: Below whatever is at stake in a maximum.
_LOWEST = -3e38
_JOINS = ("Append", "Concatenate", "Dstack", "Hstack", "Meshgrid", "Stack", "Vstack")


@describes(
    *(f"ops.{name}" for name in _JOINS),
    "ops.ArraySplit",
    "ops.BroadcastTo",
    "ops.Copy",
    "ops.CropImages",
    "ops.DepthToSpace",
    "ops.Diagonal",
    "ops.Dsplit",
    "ops.ExpandDims",
    "ops.ExtractPatches",
    "ops.ExtractPatches3D",  # what Keras 3.12 and 3.13 call it
    "ops.ExtractSequences",
    "ops.Flip",
    "ops.Fliplr",
    "ops.Flipud",
    "ops.GetItem",
    "ops.Hsplit",
    "ops.Identity",
    "ops.Moveaxis",
    "ops.Ravel",
    "ops.Rearrange",
    "ops.Repeat",
    "ops.Reshape",
    "ops.Roll",
    "ops.Rot90",
    "ops.Slice",
    "ops.SpaceToDepth",
    "ops.Split",
    "ops.Squeeze",
    "ops.Swapaxes",
    "ops.Tile",
    "ops.Transpose",
    "ops.Unstack",
    "ops.Vsplit",
)
def _routing(call: Call) -> Primitive:
    return _rearranged(call)


def _rearranged(call: Call) -> Primitive:
    of_real = [value for value in call.inputs if "float" in value.dtype]
    if len(of_real) > 1 and type(call.operation).__name__ not in _JOINS:
        return opaque(call, "what it selects depends on another activation")
    if not keeps_samples_apart(call):
        return opaque(call, MOVES)
    return Routing(call.function())


@describes("ops.Take")
def _take(call: Call) -> Primitive:
    if any(value is call.args[0] for value in call.inputs):
        return _rearranged(call)
    # A table that is no activation is looked up, as an embedding does.
    looks_up = call.operation.axis in (0, None)
    return Lookup(call.function()) if looks_up else opaque(call, "it looks up along another axis than the first")


@describes("ops.TakeAlongAxis")
def _take_along_axis(call: Call) -> Primitive:
    table, (index, *_) = call.args[0], call.inputs
    if any(value is table for value in call.inputs):
        return _rearranged(call)
    axis = call.operation.axis
    others = [] if axis is None else axes_of(None, len(index.shape)) - axes_of(axis, len(index.shape))
    if any(index.shape[other] == 1 and table.shape[other] != 1 for other in others):
        return opaque(call, "each index looks up several numbers")
    return Lookup(call.function())


@describes("ops.Diag", "ops.Diagflat", "ops.PadImages", "ops.Tril", "ops.Triu")
def _among_zeros(call: Call) -> Primitive:
    return Routing(call.function(), pads=True) if keeps_samples_apart(call) else opaque(call, MOVES)


@describes("ops.Pad")
def _pad(call: Call) -> Primitive:
    operation = call.operation
    if np.any(np.broadcast_to(operation.pad_width, (len(call.inputs[0].shape), 2))[0]):
        return opaque(call, "it adds samples to the batch")
    fill = getattr(operation, "constant_values", None)
    fill = call.kwargs.get("constant_values", fill)
    if operation.mode == "constant" and fill == -math.inf:
        # Before a maximum. Finite, since 0 times infinity is no number, and no padding as linear operations know it.
        return Routing(lambda x: operation.call(x, constant_values=_LOWEST))
    if operation.mode == "constant" and fill not in (None, 0):
        return opaque(call, f"it pads with the constant {fill}")
    return Routing(call.function(), pads=operation.mode == "constant")


@describes("ops.StopGradient")
def _stop_gradient(call: Call) -> Primitive:
    return StopGradient(call.function())


@describes("ops.Cast", "ops.SaturateCast", "ops.ConvertToTensor", "ops.View", "ops.Array")
def _cast(call: Call) -> Primitive:
    given, dtype = call.inputs[0], str(call.operation.dtype or call.inputs[0].dtype)
    if type(call.operation).__name__ == "View" and given.dtype != dtype:
        return opaque(call, "it reads the bits of a number as another's")
    if "int" in given.dtype and "float" in dtype:
        return Lookup(call.function())
    return Routing((lambda x: x) if given.dtype == dtype else call.function())


@describes("ops.Real", "ops.Conj", "ops.Conjugate")
def _of_real_numbers(call: Call) -> Primitive:
    return Routing(call.function()) if "float" in call.inputs[0].dtype else opaque(call, "complex numbers have no rule")


@describes("ops.Where")
def _where(call: Call) -> Primitive:
    return Mixing(call.function())  # linear in what is chosen; the condition is no real number


@describes("ops.FullLike", "ops.OnesLike", "ops.ZerosLike")
def _constant(call: Call) -> Primitive:
    # A fill that is an activation is no constant, but what is made of it is linear in it.
    return ConstantOutput(call.function())


@describes("ops.OneHot")
def _one_hot(call: Call) -> Primitive:
    return Lookup(call.function(), UNIT)
