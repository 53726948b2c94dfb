"""Functions of `keras.ops` that act element by element, and softmax."""

from __future__ import annotations

import math

from kerasexplain.graph import elementwise
from kerasexplain.graph.domains import ANY, NONNEGATIVE, UNIT, Interval
from kerasexplain.graph.primitives import Call, Nonlinear, Primitive
from kerasexplain.operations.batches import MIXES, has_batch_axis
from kerasexplain.operations.catalogue import describes, opaque

#: The class of the operation, and what `elementwise` knows its function by.
_ACTIVATIONS = {
    "Mish": "mish",
    "Abs": "abs",
    "Absolute": "abs",
    "Arccos": "arccos",
    "Arcsin": "arcsin",
    "Arcsinh": "arcsinh",
    "Arctan": "arctan",
    "Arctanh": "arctanh",
    "Ceil": "ceil",
    "Celu": "celu",
    "Cos": "cos",
    "Cosh": "cosh",
    "Elu": "elu",
    "Erf": "erf",
    "Erfc": "erfc",
    "Erfinv": "erfinv",
    "Exp": "exponential",
    "Exp2": "exp2",
    "Expm1": "expm1",
    "Fabs": "fabs",
    "Floor": "floor",
    "Gelu": "gelu",
    "HardShrink": "hard_shrink",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "I0": "i0",
    "LeakyRelu": "leaky_relu",
    "Log1p": "log1p",
    "LogSigmoid": "log_sigmoid",
    "Relu": "relu",
    "Relu6": "relu6",
    "Round": "round",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Silu": "silu",
    "Sin": "sin",
    "Sinc": "sinc",
    "Sinh": "sinh",
    "SoftShrink": "soft_shrink",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "SparsePlus": "sparse_plus",
    "SparseSigmoid": "sparse_sigmoid",
    "Square": "square",
    "Squareplus": "squareplus",
    "Tan": "tan",
    "Tanh": "tanh",
    "TanhShrink": "tanh_shrink",
    "Threshold": "threshold",
    "Trunc": "trunc",
}


@describes("activations.Mish", *(f"ops.{name}" for name in _ACTIVATIONS))
def _activation(call: Call) -> Primitive:
    primitive = elementwise.by_name(_ACTIVATIONS[type(call.operation).__name__], call.function())
    assert primitive is not None
    return primitive


@describes("ops.NanToNum")
def _nan_to_num(call: Call) -> Primitive:
    if call.operation.nan:
        return opaque(call, f"it puts {call.operation.nan} in the place of what is no number")
    primitive = elementwise.by_name("nan_to_num", call.function())
    assert primitive is not None
    return primitive


@describes("ops.Softmax", "ops.LogSoftmax", "ops.Sparsemax")
def _softmax(call: Call) -> Primitive:
    if has_batch_axis(call):
        return opaque(call, MIXES)
    name = type(call.operation).__name__
    domain = Interval(-math.inf, 0.0) if name == "LogSoftmax" else UNIT
    return Nonlinear(call.function(), domain, smooth=name != "Sparsemax")


@describes("ops.Hypot", "ops.Logaddexp", "ops.Logaddexp2")
def _of_two(call: Call) -> Primitive:
    hypot = type(call.operation).__name__ == "Hypot"
    return Nonlinear(call.function(), NONNEGATIVE if hypot else ANY, smooth=not hypot)
