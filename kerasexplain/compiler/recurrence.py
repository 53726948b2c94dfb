"""Recurrent layers under rules: the graph of the cell runs overridden in every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from keras import ops

from kerasexplain.compiler.comparison import Apply
from kerasexplain.compiler.override import Overridden, quotient_at, relevance_at
from kerasexplain.graph.graph import Graph, Value
from kerasexplain.graph.recurrent import Recurrent
from kerasexplain.graph.signal import Signal
from kerasexplain.graph.taps import Tap

Tensor = Any


class Cell(Protocol):
    """The graph of one step, ready to run."""

    graph: Graph
    signals: dict[Value, Signal]

    def run(
        self,
        inputs: Sequence[Tensor],
        taps: Mapping[Tap, Tensor],
        *,
        references: Mapping[Value, Tensor] | None = None,
    ) -> dict[Value, Tensor]: ...

    def bias_taps(self) -> dict[Tap, tuple[int | None, ...]]: ...


def overridden_steps(
    recurrent: Recurrent, execution: Cell, carrying: Sequence[bool], stabilizer: float | None, unroll: bool
) -> Overridden:
    """A recurrent layer whose relevance goes back from step to step as Q.

    Args:
        recurrent: The layer.
        execution: Its cell.
        carrying: Which of the layer's inputs relevance goes to.
        stabilizer: For the divisions that turn R into Q.
        unroll: Whether steps are laid out one after the other; else they are a loop.
    """
    cell = execution.graph
    of_x, *of_states = (execution.signals.get(value, Signal.Q) for value in cell.inputs)
    biases = {tap: shape for tap, shape in execution.bias_taps().items() if tap.kind == "bias"}

    def apply(xs: Sequence[Tensor], tap: Tensor | None) -> list[Tensor]:
        taps = {} if tap is None else {bias: _spread(tap, shape) for bias, shape in biases.items()}

        def step(x: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
            given = [
                quotient_at(state, stabilizer) if signal is Signal.R else state
                for state, signal in zip(states, of_states, strict=True)
            ]
            values = execution.run([x, *given], taps)
            output, *new = (
                relevance_at(values[value]) if execution.signals[value] is Signal.R else values[value]
                for value in cell.outputs
            )
            return output, new

        if of_x is Signal.R:  # then so do the initial states
            xs = [xs[0], *(relevance_at(x) if c else x for x, c in zip(xs[1:], carrying[1:], strict=True))]
        return recurrent.over_time(step, xs, unroll)

    return Overridden(apply, Signal.Q, of_x, () if biases else None)


def comparing_steps(recurrent: Recurrent, execution: Cell, unroll: bool) -> Apply:
    """A recurrent layer whose cell runs at the baseline beside the input, with states of its own, in every step."""
    cell = execution.graph

    def step(both: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        count = len(states) // 2
        inputs, baseline = [both[:, 0], *states[:count]], [both[:, 1], *states[count:]]
        references = execution.run(baseline, {})
        values = execution.run(inputs, {}, references=references)
        output, *new = cell.outputs
        return values[output], [at[value] for at in (values, references) for value in new]

    def apply(operands: Sequence[Tensor], tap: Tensor | None) -> list[Tensor]:
        count = len(operands) // 2
        return recurrent.over_time(step, operands[:count], unroll, baseline=operands[count:])

    return apply


def _spread(tap: Tensor, shape: Sequence[int | None]) -> Tensor:
    """One number per sample, as a tensor of that shape for each."""
    per_sample = ops.reshape(tap, (-1,) + (1,) * len(shape))
    return ops.broadcast_to(per_sample, (ops.shape(tap)[0], *shape))
