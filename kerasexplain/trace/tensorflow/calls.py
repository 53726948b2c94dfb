"""The calls of Keras layers in code that TensorFlow traces: in the graph they are layers, not what they compute."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

Tensor = Any


@dataclasses.dataclass(frozen=True, eq=False)
class CallOfLayer:
    """A call of a layer on tensors of a TensorFlow graph: what it was given, and what it gave."""

    layer: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: Any


class CallsOfLayers:
    """The calls of layers that were made while `noted` was active, but for those made within others."""

    def __init__(self) -> None:
        self._by_output: dict[int, CallOfLayer] = {}
        self._depth = 0

    def __contains__(self, node: Any) -> bool:
        return isinstance(node, CallOfLayer)

    def maker(self, tensor: Tensor) -> Any:
        """The call of a layer that a tensor comes from, or else the operation."""
        return self._by_output.get(id(tensor)) or tensor.op

    def reads(self, node: Any) -> Sequence[Tensor]:
        """The tensors that an operation or a call of a layer reads."""
        if not isinstance(node, CallOfLayer):
            return list(node.inputs)
        leaves = [leaf for leaf in keras.tree.flatten((node.args, node.kwargs)) if _of_graph(leaf)]
        return [*leaves, *(mask for mask in map(_mask, leaves) if _of_graph(mask))]

    def run(self, call: CallOfLayer, values: Mapping[int, Any]) -> dict[int, Any]:
        """The outputs of a call, where what it reads is `values`."""

        def filled(leaf: Any) -> Any:
            if not _of_graph(leaf):
                return leaf
            value, mask = values[id(leaf)], _mask(leaf)
            if _of_graph(mask) and isinstance(value, keras.KerasTensor):
                value._keras_mask = values[id(mask)]
            return value

        args, kwargs = keras.tree.map_structure(filled, (call.args, call.kwargs))
        outputs = call.layer(*args, **kwargs)
        pairs = zip(keras.tree.flatten(call.outputs), keras.tree.flatten(outputs), strict=True)
        found = {}
        for tensor, value in pairs:
            if _of_graph(tensor):
                found[id(tensor)] = value
                if _of_graph(_mask(tensor)) and _mask(value) is not None:
                    found[id(_mask(tensor))] = _mask(value)
        return found

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """While active, calls of layers on tensors of graphs are noted."""
        original = keras.layers.Layer.__call__

        @tf.autograph.experimental.do_not_convert
        def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            self._depth += 1
            try:
                outputs = original(layer, *args, **kwargs)
            finally:
                self._depth -= 1
            if not self._depth:
                self._note(CallOfLayer(layer, args, kwargs, outputs))
            return outputs

        keras.layers.Layer.__call__ = call
        try:
            yield
        finally:
            keras.layers.Layer.__call__ = original

    def _note(self, call: CallOfLayer) -> None:
        given = {id(leaf) for leaf in self.reads(call)}
        for leaf in keras.tree.flatten(call.outputs):
            # A layer that does nothing returns what it is given.
            if _of_graph(leaf) and id(leaf) not in given:
                self._by_output[id(leaf)] = call
                if _of_graph(_mask(leaf)) and id(_mask(leaf)) not in given:
                    self._by_output[id(_mask(leaf))] = call


def _mask(tensor: Any) -> Any:
    return getattr(tensor, "_keras_mask", None)


def _of_graph(leaf: Any) -> bool:
    return isinstance(leaf, tf.Tensor) and hasattr(leaf, "graph") and not hasattr(leaf, "numpy")
