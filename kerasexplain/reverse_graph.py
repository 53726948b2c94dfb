"""The twin: a Keras model that predicts what the original predicts and whose gradient, in a relevance pass, is
relevance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from kerasexplain.composite import Composite, Row
from kerasexplain.graph import Graph, Node, Value
from kerasexplain.operations import Elementwise, Linear
from kerasexplain.override import (
    Apply,
    Overridden,
    Signal,
    linear_override,
    overridden,
    quotient_at,
    relevance_at,
)
from kerasexplain.rules import LinearRule

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Tap:
    """A place where relevance is read off: its gradient, at a tensor added for the purpose, is what passes there.

    Attributes:
        kind: "bias": what the constant term of the node takes. "edge": what the node gives to one of its inputs.
            "output": what arrives at one of the node's outputs.
        node: Name of the node.
        index: Which input or output.
    """

    kind: str
    node: str
    index: int = 0


class ReverseGraph(keras.Model):
    """The twin of a model, over the same variables.

    Outside of a relevance pass it is an ordinary model at inference, and can be trained. Inside one, its gradient with
    respect to the inputs is Q or R, as `signals` says for each value.

    Args:
        model: The original, whose variables are shared.
        graph: Its canonized graph.
        rows: The rules, from `assign`.
        composite: Where the rules come from.
    """

    def __init__(self, model: keras.Model, graph: Graph, rows: Sequence[Row], composite: Composite) -> None:
        # Keras casts what a model is called on to the model's own dtype.
        super().__init__(name=f"{model.name}_reverse", dtype=_relevance_dtype(graph.explained.dtype))
        self.original = model
        self.graph = graph
        self.rows = {row.node: row for row in rows}
        self.dtype_of_relevance = _relevance_dtype(graph.explained.dtype)
        self.overrides, self.signals = self._plan(composite)
        self._rectified = self._pairs_with_relu()
        self._stabilizer = composite.stabilizer
        self.built = True

    def _plan(self, composite: Composite) -> tuple[dict[Node, Overridden], dict[Value, Signal]]:
        """What each operation is overridden with, decided from the output down.

        A value carries R if it is where the relevance starts, or if one of its readers gives R; else Q.
        """
        start = Signal.Q if composite.plain else Signal.R
        signals = {self.graph.explained: start}
        overrides = {}
        for node in reversed(self.graph.nodes):
            row = self.rows.get(node)
            if row is None:
                continue
            arriving = [signals.setdefault(value, Signal.Q) for value in node.outputs]
            signal = Signal.R if Signal.R in arriving else Signal.Q
            signals.update(dict.fromkeys(node.outputs, signal))
            overrides[node] = overridden(row, signal, composite)
            for value in node.inputs:
                if overrides[node].gives is Signal.R or value not in signals:
                    signals[value] = overrides[node].gives
        return overrides, signals

    def _pairs_with_relu(self) -> dict[Node, tuple[Node, Apply]]:
        """Linear operations that run as one with the ReLU that is their only reader, which saves keeping z."""
        consumers = self.graph.consumers()
        kept = {*self.graph.outputs, self.graph.explained}
        pairs: dict[Node, tuple[Node, Apply]] = {}
        for node, row in self.rows.items():
            between = node.outputs[0]
            if between in kept or len(consumers[between]) != 1 or self.overrides[node].is_plain:
                continue
            relu = consumers[between][0]
            follows = isinstance(relu.primitive, Elementwise) and relu.primitive.rectifies
            if not (isinstance(node.primitive, Linear) and isinstance(row.rule, LinearRule) and follows):
                continue
            if self.overrides[relu].is_plain and self.signals[relu.outputs[0]] is Signal.Q:
                nonnegative = row.domain.nonnegative
                pairs[node] = (relu, linear_override(node.primitive, row.rule, Signal.Q, nonnegative, rectified=True))
        return pairs

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The original's outputs, in its own structure. The twin is always at inference."""
        names = self.graph.input_names
        keyed = isinstance(inputs, dict) and set(names) <= set(inputs)
        values = self.run([inputs[name] for name in names] if keyed else keras.tree.flatten(inputs), {})
        return keras.tree.map_structure(lambda value: values[value], self.graph.structure)

    def run(self, inputs: Sequence[Tensor], taps: Mapping[Tap, Tensor]) -> dict[Value, Tensor]:
        """All values of the graph.

        Args:
            inputs: The model's inputs, flattened.
            taps: Tensors to be differentiated by: ones for "bias" taps, zeros for the others.
        """
        dtype = self.dtype_of_relevance
        values = {
            value: ops.cast(x, dtype) if value.is_float else ops.convert_to_tensor(x)
            for value, x in zip(self.graph.inputs, inputs, strict=True)
        }
        merged = {linear: relu for linear, (relu, _) in self._rectified.items() if not _tapped(linear, relu, taps)}
        closed = set(merged.values())
        for node in self.graph.nodes:
            if node not in closed:
                last = merged.get(node, node)
                values.update(zip(last.outputs, self._run_node(node, last, values, taps), strict=True))
        return values

    def _run_node(
        self, node: Node, last: Node, values: Mapping[Value, Tensor], taps: Mapping[Tap, Tensor]
    ) -> list[Tensor]:
        """The outputs of `last`: the node itself, or the ReLU behind it that is run with it."""
        xs = [values[value] for value in node.inputs]
        override = self.overrides.get(node)
        if override is None:
            return self._in_one_precision(keras.tree.flatten(node.primitive(*xs)))
        for i, value in enumerate(node.inputs):
            edge = taps.get(Tap("edge", node.name, i))
            if edge is not None:
                xs[i] = xs[i] + edge
            if override.gives is Signal.Q and self.signals[value] is Signal.R:
                xs[i] = relevance_at(xs[i])
        apply = override.apply if last is node else self._rectified[node][1]
        ys = self._in_one_precision(keras.tree.flatten(apply(xs, taps.get(Tap("bias", node.name)))))
        for i, value in enumerate(last.outputs):
            if override.takes is Signal.Q and self.signals[value] is Signal.R:
                ys[i] = quotient_at(ys[i], self._stabilizer)
            tap = taps.get(Tap("output", last.name, i))
            if tap is not None:
                ys[i] = ys[i] + tap
        return ys

    def _in_one_precision(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        # A layer that is run as it is may give half precision, by its own policy.
        dtype = self.dtype_of_relevance
        return [ops.cast(x, dtype) if keras.backend.is_float_dtype(x.dtype) else x for x in tensors]

    def bias_taps(self) -> dict[Tap, tuple[int, ...]]:
        """All bias entries, with their shapes."""
        shapes = ((node.name, self.overrides[node].bias_shape) for node in self.rows)
        return {Tap("bias", name): shape for name, shape in shapes if shape is not None}


def _tapped(linear: Node, relu: Node, taps: Mapping[Tap, Tensor]) -> bool:
    """Whether relevance is read off between the two."""
    return Tap("output", linear.name) in taps or Tap("edge", relu.name) in taps


def _relevance_dtype(dtype: str) -> str:
    """Half precision is enough to predict, not to divide relevance in."""
    return "float64" if dtype == "float64" else "float32"
