"""Activation functions and layers."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from kerasexplain.graph import elementwise
from kerasexplain.graph.domains import UNIT, Interval
from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.primitives import Call, Nonlinear, Primitive, Routing
from kerasexplain.operations.catalogue import Step, describe, describes, opaque


def activation_steps(function: Any, suffix: bool) -> list[Step]:
    """The step for an activation function, or a layer given as one; none for the identity."""
    if isinstance(function, keras.layers.Layer):
        slot = object()  # stands for the activation's input, of which no activation layer asks anything
        (step,) = describe(Call(function, (slot,), {}, (slot,)))
        own_name = f"/{function.name}" if suffix else ""
        return [dataclasses.replace(step, suffix=own_name, operation=function, type=type(function).__name__)]
    name = activation_name(function)
    if name == "linear":
        return []
    layer = keras.layers.Activation(function)
    label = str(name or getattr(function, "__name__", type(function).__name__))
    primitive: Primitive | None = None
    if name == "softmax":
        primitive = Nonlinear(function, UNIT, smooth=True)
    elif name == "log_softmax":
        primitive = Nonlinear(function, Interval(-np.inf, 0.0), smooth=True)
    elif name is not None:
        primitive = elementwise.by_name(name, function)
    if primitive is None:
        primitive = opaque(_applied(layer), f"the activation {label!r} is not known to act element by element")
    return [Step(primitive, suffix=f"/{label}" if suffix else "", operation=layer, type=label)]


#: Functions that the backends, or other modules of Keras, have under other names.
_ALIASES = {
    "exp": "exponential",
    "absolute": "abs",
    "swish": "silu",
    "softmax_v2": "softmax",
    "log_softmax_v2": "log_softmax",
    "identity": "linear",
}


def activation_name(function: Any) -> str | None:
    """Keras' name of an activation function, one of its own or the same one of the backend."""
    name = getattr(function, "__name__", "")
    of_keras = any(getattr(module, name, None) is function for module in (keras.activations, keras.ops))
    of_backend = str(getattr(function, "__module__", "")).split(".")[0] in ("tensorflow", "jax", "torch")
    return _ALIASES.get(name, name) if of_keras or of_backend else None


def _applied(layer: Any) -> Any:
    return lambda x: layer.call(x)


@describes("layers.Activation")
def _activation(call: Call) -> list[Step]:
    return activation_steps(call.operation.activation, suffix=False) or [Step(Routing(lambda x: x))]


@describes("layers.ReLU", "activations.ReLU")
def _relu(call: Call) -> Primitive:
    layer = call.operation
    low = 0.0 if not layer.negative_slope else -np.inf
    is_relu = low == 0 and not layer.threshold
    if layer.max_value is None and not layer.threshold:
        return Elementwise(
            call.function(), homogeneous=True, range=Interval(low), keeps_sign=True, rectifies=is_relu, is_relu=is_relu
        )
    high = np.inf if layer.max_value is None else float(layer.max_value)
    at_zero = -float(layer.negative_slope * layer.threshold)
    domain = Interval(low, high)
    return Elementwise(
        call.function(), at_zero=at_zero, range=domain, keeps_sign=low == 0, is_relu=is_relu, smooth=False
    )


@describes("layers.LeakyReLU", "layers.PReLU")
def _leaky_relu(call: Call) -> Primitive:
    return Elementwise(call.function(), homogeneous=True, keeps_sign=True)


@describes("layers.ELU")
def _elu(call: Call) -> Primitive:
    return Elementwise(call.function(), keeps_sign=True)


@describes("layers.Softmax", masked=True)
def _softmax(call: Call) -> Primitive:
    return Nonlinear(call.function(), UNIT, smooth=True)
