"""The catalogue: for every Keras layer and operation that is understood, which primitives it is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from kerasexplain.operations.base import Call, Opaque, Primitive


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One primitive of an operation.

    Attributes:
        primitive: What it does.
        suffix: Added to the operation's name; empty for the main one.
        operation: The Keras operation this step stands for, where it is not the whole one (a fused activation).
        type: What a reader calls it, where that is not the operation's class.
        channels: Axis and number of channels of its output, where the last step's are others.
    """

    primitive: Primitive
    suffix: str = ""
    operation: Any = None
    type: str = ""
    channels: tuple[int, int] | None = None


Describer = Callable[[Call], "Primitive | list[Step]"]
_DESCRIBERS: dict[str, Describer] = {}
#: Methods and attributes that decide what a layer computes: a subclass that has its own is another operation.
_DEFINING = ("call", "__call__", "convolution_op", "kernel", "quantized_call")


def describes(*keys: str) -> Callable[[Describer], Describer]:
    """Registers a function that says what an operation is made of, under `layers.Name` or `ops.Name`."""

    def register(describer: Describer) -> Describer:
        for key in keys:
            assert key not in _DESCRIBERS, key
            _DESCRIBERS[key] = describer
        return describer

    return register


def describe(call: Call) -> list[Step]:
    """The primitives that a call is made of, in the order in which they run.

    What is not understood comes back as one `Opaque` step that says why.
    """
    key = _key(call.operation)
    describer = _DESCRIBERS.get(key) if key else None
    if call.kwargs.get("training"):
        return [Step(opaque(call, "it is called with training=True, and not as it predicts"))]
    if any(leaf is not None for leaf in keras.tree.flatten(call.kwargs.get("mask"))):
        return [Step(opaque(call, "it is called with a mask, and masks have no rule yet"))]
    if describer is None:
        return [Step(opaque(call, "there is no rule for this operation yet"))]
    if getattr(call.operation, "quantization_mode", None) is not None:
        return [Step(opaque(call, "quantised layers have no rule yet"))]
    described = describer(call)
    return described if isinstance(described, list) else [Step(described)]


def opaque(call: Call, reason: str) -> Opaque:
    return Opaque(call, reason)


def keras_class(operation: Any) -> type | None:
    """The class of `keras.layers` that decides what a layer computes; None for custom layers and operations."""
    own: list[type] = []
    for kind in type(operation).__mro__:
        if getattr(keras.layers, kind.__name__, None) is kind:
            redefines = any(name in vars(subclass) for subclass in own for name in _DEFINING)
            return None if redefines else kind
        own.append(kind)
    return None


def _key(operation: Any) -> str | None:
    layer = keras_class(operation)
    if layer is not None and layer not in (keras.layers.Layer, keras.layers.Wrapper):
        return f"layers.{layer.__name__}"
    # The classes behind keras.ops are not exported; their names are those of the functions.
    if type(operation).__module__.startswith("keras.src.ops."):
        return f"ops.{type(operation).__name__}"
    return None
