"""The twin: a Keras model that predicts what the original predicts and whose gradient, in a relevance pass, is
relevance.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from kerasexplain.compiler.composite import Composite
from kerasexplain.compiler.execution import Execution
from kerasexplain.compiler.rows import Row
from kerasexplain.graph.graph import Graph
from kerasexplain.graph.signal import Signal

Tensor = Any


class ReverseGraph(keras.Model):
    """The twin of a model, over the same variables.

    Outside of a relevance pass it is an ordinary model at inference, and can be trained. Inside one, its gradient with
    respect to the inputs is Q or R, as `execution.signals` says for each value.

    Args:
        model: The original, whose variables are shared.
        graph: Its canonized graph.
        rows: The rules, from `assign`.
        composite: Where the rules come from.
        unroll: Whether recurrent layers are laid out step by step, where their length is known.
    """

    def __init__(
        self, model: keras.Model, graph: Graph, rows: Sequence[Row], composite: Composite, unroll: bool = False
    ) -> None:
        # Keras casts what a model is called on to the model's own dtype.
        dtype = _relevance_dtype(graph.explained.dtype)
        super().__init__(name=f"{model.name}_reverse", dtype=dtype)
        self.original = model
        starts = {graph.explained: Signal.Q if composite.plain else Signal.R}
        self.execution = Execution(graph, rows, composite, starts, dtype, unroll)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The original's outputs, in its own structure. The twin is always at inference."""
        graph = self.execution.graph
        names = graph.input_names
        keyed = isinstance(inputs, dict) and set(names) <= set(inputs)
        values = self.execution.run([inputs[name] for name in names] if keyed else keras.tree.flatten(inputs))
        return keras.tree.map_structure(lambda value: values.get(value, value), graph.structure)


def _relevance_dtype(dtype: str) -> str:
    """Half precision is enough to predict, not to divide relevance in."""
    return "float64" if dtype == "float64" else "float32"
