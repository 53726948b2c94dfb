"""Recurrent layers: one cell, run step after step."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from kerasexplain.graph.graph import Graph
from kerasexplain.graph.primitives import Call, Primitive

Tensor = Any
Step = Callable[[Tensor, Sequence[Tensor]], "tuple[Tensor, list[Tensor]]"]


@dataclasses.dataclass(frozen=True, eq=False)
class Recurrent(Primitive):
    """A recurrent layer. What it is to relevance, the graph of its cell says.

    Attributes:
        call: The call of the layer.
        graph: The graph of its cell; None until it has been traced.
    """

    call: Call
    graph: Graph | None = None
    bias_shape: tuple[int, ...] = ()  # type: ignore[misc]

    def __call__(self, *xs: Tensor, tap: Tensor | None = None) -> Tensor:
        args, kwargs = self.call.fill(*xs)
        return self.call.operation.call(*args, **kwargs)

    @property
    def cell(self) -> Graph:
        """The graph of one step: inputs are `x, *states`, outputs `output, *new states`."""
        assert self.graph is not None, "canonize adds the graph"
        return self.graph

    def over_time(
        self, step: Step, xs: Sequence[Tensor], unroll: bool, baseline: Sequence[Tensor] | None = None
    ) -> list[Tensor]:
        """The layer's outputs by another function for its cell: `(x, states) -> (output, new states)`.

        Args:
            step: One step, on samples of one time.
            xs: The layer's inputs: sequences, initial states and mask, as far as it has them.
            unroll: Whether steps are laid out one after the other; else they are a loop.
            baseline: Inputs that are compared with. A step then gets both samples, along an axis behind the batch's,
                and the states of both, those at the baseline last. The mask is that of xs.
        """
        layer = self.call.operation
        sequences, states, mask = self._arguments(xs)
        count = len(states)
        if baseline is not None:
            compared, others, _ = self._arguments(baseline)
            sequences, states = ops.stack([sequences, compared], axis=2), [*states, *others]
        time_major = _time_major(sequences, layer.go_backwards)
        masks = None if mask is None else _time_major(mask, layer.go_backwards)
        # Where Keras lays out the steps itself, it sets outputs to zero behind the last, in the order of the input's
        # mask, and on JAX never.
        zeros_within = layer.zero_output_for_mask and not layer.unroll
        zeros_behind = layer.zero_output_for_mask and layer.unroll and keras.backend.backend() != "jax"

        def advance(carry: Any, x_and_mask: Any) -> Any:
            (previous, *old), (x, mask) = carry, x_and_mask
            output, new = step(x, old)
            if mask is not None:
                new = [_where(mask, state, before) for state, before in zip(new, old, strict=True)]
                kept = ops.zeros_like(previous) if zeros_within else previous
                output = _where(mask, output, kept)
            return [output, *new]

        # The first output before there is any: zeros, of the output's shape.
        first, _ = step(time_major[0], states)
        carry, outputs = _scan(advance, [ops.zeros_like(first), *states], time_major, masks, unroll)
        last, *final = carry
        if masks is not None and zeros_behind:
            kept = _time_major(mask, backwards=False)
            shape = (*ops.shape(kept), *(1 for _ in outputs.shape[2:]))
            outputs = ops.where(ops.reshape(ops.cast(kept, "bool"), shape), outputs, ops.zeros_like(outputs))
            last = _where(masks[-1], last, ops.zeros_like(last))
        result = ops.moveaxis(outputs, 0, 1) if layer.return_sequences else last
        return [result, *final[:count]] if layer.return_state else [result]

    def _arguments(self, xs: Sequence[Tensor]) -> tuple[Tensor, list[Tensor], Tensor | None]:
        def named(sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = None) -> Any:
            return sequences, initial_state, mask

        args, kwargs = self.call.fill(*xs)
        sequences, states, mask = named(*args, **kwargs)
        layer = self.call.operation
        if states is None:
            states = layer.states if layer.stateful else layer.get_initial_state(ops.shape(sequences)[0])
        states = [ops.cast(state, sequences.dtype) for state in keras.tree.flatten(states)]
        mask = keras.tree.flatten(mask)[0] if mask is not None else None
        return sequences, states, mask


def _time_major(x: Tensor, backwards: bool) -> Tensor:
    x = ops.moveaxis(x, 1, 0)
    return ops.flip(x, axis=0) if backwards else x


def _where(mask: Tensor, new: Tensor, old: Tensor) -> Tensor:
    mask = ops.reshape(ops.cast(mask, "bool"), (-1,) + (1,) * (len(new.shape) - 1))
    return ops.where(mask, new, old)


def _scan(advance: Any, carry: Any, xs: Tensor, masks: Tensor | None, unroll: bool) -> tuple[Any, Tensor]:
    """The last carry, and the outputs of all steps."""
    if unroll and xs.shape[0] is not None:
        outputs = []
        for t in range(xs.shape[0]):
            carry = advance(carry, (xs[t], None if masks is None else masks[t]))
            outputs.append(carry[0])
        return carry, ops.stack(outputs)

    def step(carry: Any, x: Any) -> Any:
        carry = advance(carry, (x, None) if masks is None else _unpacked(x, xs))
        return carry, carry  # TensorFlow's scan collects no other structure than the carry's

    last, collected = ops.scan(step, carry, xs if masks is None else _packed(xs, masks))
    return last, collected[0]


def _packed(xs: Tensor, masks: Tensor) -> Tensor:
    """Sequence and mask in one tensor: Keras' scan over two of unknown length fails on TensorFlow."""
    steps, samples = ops.shape(xs)[:2]
    mask = ops.cast(ops.reshape(masks, (steps, samples, 1)), xs.dtype)
    return ops.concatenate([ops.reshape(xs, (steps, samples, math.prod(xs.shape[2:]))), mask], axis=-1)


def _unpacked(packed: Tensor, xs: Tensor) -> tuple[Tensor, Tensor]:
    return ops.reshape(packed[:, :-1], (-1, *xs.shape[2:])), packed[:, -1] > 0.5
