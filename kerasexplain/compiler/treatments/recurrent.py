"""Recurrent layers: the graph of the cell runs overridden in every step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from kerasexplain.compiler.against_baseline import Apply
from kerasexplain.compiler.environment import Environment
from kerasexplain.compiler.rows import Row
from kerasexplain.compiler.treatments.treatment import (
    Cell,
    Context,
    Overridden,
    Treatment,
    quotient_at,
    relevance_at,
    treats,
)
from kerasexplain.graph.recurrent import Recurrent
from kerasexplain.graph.signal import Signal

Tensor = Any


@treats(Recurrent)
class OfRecurrent(Treatment):
    """The treatment of recurrent layers: the operations of the cell are treated each by its own, in every step."""

    words = "step by step"

    def of_relevance(self, row: Row, plain: Overridden, arriving: Signal, context: Context) -> Overridden:
        return self._steps(row, context)

    def of_gradient(self, row: Row, plain: Overridden, context: Context) -> Overridden:
        return self._steps(row, context) if context.composite.overrides else plain

    def _steps(self, row: Row, context: Context) -> Overridden:
        recurrent, cell = row.node.primitive, context.cell(row)
        assert isinstance(recurrent, Recurrent)
        if context.composite.against_baseline:
            apply = comparing_steps(recurrent, cell, context.unroll)
            return Overridden(apply, Signal.Q, Signal.Q, compares=True)
        return steps_under_rules(recurrent, cell, row.carrying, context.composite.outside_rules, context.unroll)


def steps_under_rules(
    recurrent: Recurrent, cell: Cell, carrying: Sequence[bool], stabilizer: float, unroll: bool
) -> Overridden:
    """A recurrent layer whose relevance goes back from step to step as Q.

    Args:
        recurrent: The layer.
        cell: Its cell, ready to run.
        carrying: Which of the layer's inputs relevance goes to.
        stabilizer: For the divisions that turn R into Q.
        unroll: Whether steps are laid out one after the other; else they are a loop.
    """
    graph = cell.graph
    of_x, *of_states = (cell.signals.get(value, Signal.Q) for value in graph.inputs)
    biases = {tap: shape for tap, shape in cell.bias_taps().items() if tap.kind == "bias"}

    def apply(xs: Sequence[Tensor], tap: Tensor | None) -> list[Tensor]:
        taps = {} if tap is None else {bias: _spread(tap, shape) for bias, shape in biases.items()}

        def step(x: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
            given = [
                quotient_at(state, stabilizer) if signal is Signal.R else state
                for state, signal in zip(states, of_states, strict=True)
            ]
            values = cell.run([x, *given], Environment(taps))
            output, *new = (
                relevance_at(values[value]) if cell.signals[value] is Signal.R else values[value]
                for value in graph.outputs
            )
            return output, new

        if of_x is Signal.R:  # then so do the initial states
            xs = [xs[0], *(relevance_at(x) if c else x for x, c in zip(xs[1:], carrying[1:], strict=True))]
        return recurrent.over_time(step, xs, unroll)

    return Overridden(apply, Signal.Q, of_x, () if biases else None)


def comparing_steps(recurrent: Recurrent, cell: Cell, unroll: bool) -> Apply:
    """A recurrent layer whose cell runs at the baseline beside the input, with states of its own, in every step."""
    graph = cell.graph

    def step(both: Tensor, states: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        count = len(states) // 2
        inputs, baseline = [both[:, 0], *states[:count]], [both[:, 1], *states[count:]]
        references = cell.run(baseline)
        values = cell.run(inputs, Environment(references=references))
        output, *new = graph.outputs
        return values[output], [at[value] for at in (values, references) for value in new]

    def apply(operands: Sequence[Tensor], tap: Tensor | None) -> list[Tensor]:
        count = len(operands) // 2
        return recurrent.over_time(step, operands[:count], unroll, baseline=operands[count:])

    return apply


def _spread(tap: Tensor, shape: Sequence[int | None]) -> Tensor:
    """One number per sample, as a tensor of that shape for each."""
    per_sample = ops.reshape(tap, (-1,) + (1,) * len(shape))
    return ops.broadcast_to(per_sample, (ops.shape(tap)[0], *shape))
