"""The catalogue: for every Keras layer and operation that is understood, which primitives it is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from kerasexplain.graph.primitives import Call, Opaque, Primitive
from kerasexplain.operations.batches import AWAY_FROM_FRONT


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One primitive of an operation.

    Attributes:
        primitive: What it does.
        suffix: Added to the operation's name; empty for the main one.
        operation: The Keras operation this step stands for, where it is not the whole one (a fused activation).
        type: What a reader calls it, where that is not the operation's class.
        shape: Shape of its output, where that is not the last step's.
    """

    primitive: Primitive
    suffix: str = ""
    operation: Any = None
    type: str = ""
    shape: tuple[int | None, ...] | None = None


Describer = Callable[[Call], "Primitive | list[Step]"]
_DESCRIBERS: dict[str, Describer] = {}
_BY_CLASS: dict[type, Describer] = {}
#: Layers whose description holds with a mask too.
_MASKED: set[str] = set()
#: Layers that are not opened where they are refused: the reason is what they do, not how they are written.
_CLOSED: set[str] = set()
#: Methods and attributes that decide what a layer computes: a subclass that has its own is another operation.
_DEFINING = ("call", "__call__", "convolution_op", "kernel", "quantized_call")


def describes(*keys: str, masked: bool = False, closed: bool = False) -> Callable[[Describer], Describer]:
    """Registers a function that says what an operation is made of, under `layers.Name` or `ops.Name`.

    With `masked`, what it says holds for calls with a mask too; with `closed`, what it refuses is not opened
    either.
    """

    def register(describer: Describer) -> Describer:
        for key in keys:
            assert key not in _DESCRIBERS, key
            _DESCRIBERS[key] = describer
            if masked:
                _MASKED.add(key)
            if closed:
                _CLOSED.add(key)
        return describer

    return register


def describes_class(kind: type) -> Callable[[Describer], Describer]:
    """Registers a function that says what operations of a class, and of its subclasses, are made of."""

    def register(describer: Describer) -> Describer:
        _BY_CLASS[kind] = describer
        return describer

    return register


def describe(call: Call) -> list[Step]:
    """The primitives that a call is made of, in the order in which they run.

    What is not understood comes back as one `Opaque` step that says why.
    """
    key = catalogue_key(call.operation)
    describer = _describer(call.operation)
    if describer is None:
        return [Step(opaque(call, "there is no rule for this operation"))]
    moved = any(getattr(value, "batch_axis", 0) for value in call.inputs)
    if moved and type(call.operation).__name__ not in AWAY_FROM_FRONT:
        return [Step(opaque(call, "the batch is not the first axis of its input"))]
    masked = any(leaf is not None for leaf in keras.tree.flatten(call.kwargs.get("mask")))
    if masked and key not in _MASKED and key in _DESCRIBERS:
        return [Step(opaque(call, "it is called with a mask, which has no rule for this operation"))]
    described = describer(call)
    return described if isinstance(described, list) else [Step(described)]


def opaque(call: Call, reason: str) -> Opaque:
    return Opaque(call, reason)


def keras_class(operation: Any) -> type | None:
    """The class of `keras.layers` that decides what a layer computes; None for custom layers and operations."""
    if "call" in vars(operation):
        return None  # replaced on the instance
    own: list[type] = []
    for kind in type(operation).__mro__:
        if getattr(keras.layers, kind.__name__, None) is kind:
            redefines = any(name in vars(subclass) for subclass in own for name in _DEFINING)
            return None if redefines else kind
        own.append(kind)
    return None


def is_described(operation: Any) -> bool:
    """Whether the catalogue knows the operation's class."""
    return _describer(operation) is not None


def is_closed(operation: Any) -> bool:
    """Whether what the catalogue refuses of it is not to be opened either."""
    return catalogue_key(operation) in _CLOSED


def _describer(operation: Any) -> Describer | None:
    own = next((_BY_CLASS[kind] for kind in type(operation).__mro__ if kind in _BY_CLASS), None)
    return own or _DESCRIBERS.get(catalogue_key(operation) or "")


def catalogue_key(operation: Any) -> str | None:
    """`layers.Name`, `ops.Name` or `activations.Name`; None for what is no layer or operation of Keras."""
    layer = keras_class(operation)
    if layer is not None and layer not in (keras.layers.Layer, keras.layers.Wrapper):
        return f"layers.{layer.__name__}"
    # The classes behind keras.ops are not exported; their names are those of the functions.
    if type(operation).__module__.startswith("keras.src.activations."):
        return f"activations.{type(operation).__name__}"
    if type(operation).__module__.startswith("keras.src.ops."):
        return f"ops.{type(operation).__name__}"
    return None
