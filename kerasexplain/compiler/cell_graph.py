"""The graph of one step of a recurrent layer."""

from __future__ import annotations

from typing import Any

import keras

from kerasexplain.compiler.canonize import folded, split_into_primitives
from kerasexplain.graph.graph import Graph
from kerasexplain.trace.specification import Input, Specification
from kerasexplain.trace.trace import trace_function

Tensor = Any


def trace_cell(layer: Any, sequences: Any) -> Graph:
    """The graph of one step of a recurrent layer on such sequences."""
    cell, dtype = layer.cell, keras.backend.standardize_dtype(sequences.dtype)
    example = layer.get_initial_state(1)
    states = [(None, *state.shape[1:]) for state in keras.tree.flatten(example)]
    shapes = [(None, *sequences.shape[2:]), *states]
    names = ["x", *(f"state_{i}" for i in range(len(states)))]
    inputs = tuple(Input(name, shape, dtype) for name, shape in zip(names, shapes, strict=True))

    def step(tensors: list[Tensor]) -> list[Tensor]:
        x, *flat = tensors
        given = keras.tree.pack_sequence_as(example, flat)
        output, new = cell(x, given if keras.tree.is_nested(example) else given[0])
        return [output, *keras.tree.flatten(new)]

    return folded(split_into_primitives(trace_function(layer, step, Specification(inputs, list(range(len(inputs)))))))
