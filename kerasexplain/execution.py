"""Running a graph with its operations overridden: forwards an ordinary computation, backwards relevance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from kerasexplain.composite import Composite, Row
from kerasexplain.graph import Graph, Node, Value
from kerasexplain.indices import boundaries
from kerasexplain.operations import Elementwise, Linear, Recurrent
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
from kerasexplain.taps import Tap
from kerasexplain.weights import computed_once

Tensor = Any


class Execution:
    """A graph and its rules, ready to run.

    Args:
        graph: A canonized graph.
        rows: The rules of its operations, from `assign`.
        composite: Where the rules come from.
        starts: The values that relevance starts from, and what it starts as.
        dtype: The floating dtype to compute in.
        unroll: Whether recurrent layers are laid out step by step, where their length is known; else they are loops.

    Attributes:
        signals: What every value's gradient means in a relevance pass.
        boundaries: Where relevance ends before an input, because an index looks something up.
    """

    def __init__(
        self,
        graph: Graph,
        rows: Sequence[Row],
        composite: Composite,
        starts: Mapping[Value, Signal],
        dtype: str,
        unroll: bool,
    ) -> None:
        self.graph = graph
        self.rows = {row.node: row for row in rows}
        self.dtype_of_relevance = dtype
        self._composite, self._unroll = composite, unroll
        self.overrides, self.signals = self._plan(starts)
        self._rectified = self._pairs_with_relu()
        self.boundaries = boundaries(graph, list(self.rows))

    def _plan(self, starts: Mapping[Value, Signal]) -> tuple[dict[Node, Overridden], dict[Value, Signal]]:
        """What each operation is overridden with, decided from the output down.

        A value carries R if it is where the relevance starts, or if one of its readers gives R; else Q.
        """
        signals = dict(starts)
        overrides = {}
        for node in reversed(self.graph.nodes):
            row = self.rows.get(node)
            if row is None:
                continue
            arriving = [signals.setdefault(value, Signal.Q) for value in node.outputs]
            signal = Signal.R if Signal.R in arriving else Signal.Q
            signals.update(dict.fromkeys(node.outputs, signal))
            overrides[node] = self._overridden(row, signal)
            for value, carries in zip(node.inputs, row.carrying, strict=True):
                if carries and (overrides[node].gives is Signal.R or value not in signals):
                    signals[value] = overrides[node].gives
        return overrides, signals

    def _overridden(self, row: Row, arriving: Signal) -> Overridden:
        if isinstance(row.node.primitive, Recurrent) and not self._composite.plain:
            return self._steps(row.node.primitive, row)
        return overridden(row, arriving, self._composite)

    def _steps(self, recurrent: Recurrent, row: Row) -> Overridden:
        """A recurrent layer: its cell's graph runs overridden in every step, and Q goes back from step to step."""
        cell = recurrent.cell
        starts = dict.fromkeys(cell.outputs, Signal.Q)
        execution = Execution(cell, row.steps, self._composite, starts, self.dtype_of_relevance, self._unroll)
        of_x, *of_states = (execution.signals.get(value, Signal.Q) for value in cell.inputs)
        biases = {tap: shape for tap, shape in execution.bias_taps().items() if tap.kind == "bias"}

        def apply(xs: Sequence[Tensor], tap: Tensor | None) -> list[Tensor]:
            taps = {} if tap is None else {bias: _spread(tap, shape) for bias, shape in biases.items()}

            def step(x: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
                # What goes from step to step is Q.
                given = [
                    quotient_at(state, self._composite.stabilizer) if signal is Signal.R else state
                    for state, signal in zip(states, of_states, strict=True)
                ]
                values = execution.run([x, *given], taps)
                output, *new = (
                    relevance_at(values[value]) if execution.signals[value] is Signal.R else values[value]
                    for value in cell.outputs
                )
                return output, new

            if of_x is Signal.R:  # then so do the initial states
                carrying = zip(xs[1:], row.carrying[1:], strict=True)
                xs = [xs[0], *(relevance_at(x) if carries else x for x, carries in carrying)]
            return recurrent.over_time(step, xs, self._unroll)

        return Overridden(apply, Signal.Q, of_x, () if biases else None)

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
        with computed_once():
            self._run(values, taps)
        return values

    def _run(self, values: dict[Value, Tensor], taps: Mapping[Tap, Tensor]) -> None:
        merged = {linear: relu for linear, (relu, _) in self._rectified.items() if not _tapped(linear, relu, taps)}
        closed = set(merged.values())
        for node in self.graph.nodes:
            if node not in closed:
                last = merged.get(node, node)
                values.update(zip(last.outputs, self._run_node(node, last, values, taps), strict=True))

    def _run_node(
        self, node: Node, last: Node, values: Mapping[Value, Tensor], taps: Mapping[Tap, Tensor]
    ) -> list[Tensor]:
        """The outputs of `last`: the node itself, or the ReLU behind it that is run with it."""
        xs = [values[value] for value in node.inputs]
        override = self.overrides.get(node)
        if override is None:
            return self._in_one_precision(_tensors(node.primitive(*xs)))
        carrying = self.rows[node].carrying
        for i, value in enumerate(node.inputs):
            if not carrying[i] and not self._composite.plain:
                xs[i] = ops.stop_gradient(xs[i])
            edge = taps.get(Tap("edge", node.name, i))
            if edge is not None:
                xs[i] = xs[i] + edge
            if carrying[i] and override.gives is Signal.Q and self.signals[value] is Signal.R:
                xs[i] = relevance_at(xs[i])
        apply = override.apply if last is node else self._rectified[node][1]
        bias = taps.get(Tap("bias", node.name))
        if bias is not None and node.outputs[0].fold > 1:
            bias = ops.repeat(bias, node.outputs[0].fold, axis=0)
        ys = self._in_one_precision(_tensors(apply(xs, bias)))
        for i, value in enumerate(last.outputs):
            if override.takes is Signal.Q and self.signals.get(value) is Signal.R:
                ys[i] = quotient_at(ys[i], self._composite.stabilizer)
            tap = taps.get(Tap("output", last.name, i))
            if tap is not None:
                ys[i] = ys[i] + tap
        return ys

    def _in_one_precision(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        # A layer that is run as it is may give half precision, by its own policy.
        dtype = self.dtype_of_relevance
        return [ops.cast(x, dtype) if keras.backend.is_float_dtype(x.dtype) else x for x in tensors]

    def edge_taps(self) -> list[Tap]:
        """One tap for every input of every operation that relevance goes to."""
        rows = self.rows.items()
        return [Tap("edge", node.name, i) for node, row in rows for i, carries in enumerate(row.carrying) if carries]

    def bias_taps(self) -> dict[Tap, tuple[int | None, ...]]:
        """All places where relevance goes to constants, with their shapes."""
        taps: dict[Tap, tuple[int | None, ...]] = {}
        for node, row in self.rows.items():
            shape = self.overrides[node].bias_shape
            if shape is not None:
                taps[Tap("bias", node.name)] = shape
            taps.update({Tap("edge", node.name, i): node.inputs[i].shape[1:] for i in row.bias_edges})
        for boundary in self.boundaries:
            if boundary.given is None:
                taps[Tap("output", boundary.node.name)] = boundary.node.outputs[0].shape[1:]
        return {} if self._composite.plain else taps


def _spread(tap: Tensor, shape: Sequence[int | None]) -> Tensor:
    """One number per sample, as a tensor of that shape for each."""
    per_sample = ops.reshape(tap, (-1,) + (1,) * len(shape))
    return ops.broadcast_to(per_sample, (ops.shape(tap)[0], *shape))


def _tensors(outputs: Any) -> list[Tensor]:
    return [leaf for leaf in keras.tree.flatten(outputs) if leaf is not None]


def _tapped(linear: Node, relu: Node, taps: Mapping[Tap, Tensor]) -> bool:
    """Whether relevance is read off between the two."""
    return Tap("output", linear.name) in taps or Tap("edge", relu.name) in taps
