"""Changed copies of inputs that hold indices: what changes is the values that are looked up by them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from kerasexplain.compiler.pipeline import Pipeline
from kerasexplain.compiler.question import Answer
from kerasexplain.foundation.errors import InputError
from kerasexplain.graph.graph import Graph
from kerasexplain.graph.indices import Boundary, check_indices
from kerasexplain.graph.taps import Tap
from kerasexplain.runtime.passes import Passes

#: `(rows, copies) -> what is added to every lookup`.
Shift = Callable[[np.ndarray, np.ndarray], "list[np.ndarray]"]


@dataclasses.dataclass(frozen=True)
class Embedded:
    """The lookups of a model, and which numbers of its inputs are real.

    Attributes:
        passes: The samples, asked at the lookups as well.
        graph: The model's, as it was traced for inputs of their shapes.
        boundaries: Where something is looked up by an input.
        real: For each input, which of its numbers are real, broadcastable to a sample; the others are indices.
    """

    passes: Passes
    graph: Graph
    boundaries: list[Boundary]
    real: list[np.ndarray]

    @classmethod
    def of(cls, passes: Passes) -> Embedded:
        """The lookups on the way to what the passes explain.

        Raises:
            InputError: What is looked up is folded into the batch, so that it is not known to which sample it belongs.
        """
        pipeline = passes.pipelines.of(passes.inputs)
        graph = pipeline.graph
        found = [b for b in pipeline.twin.execution.boundaries if b.sources]
        for boundary in found:
            value = boundary.node.outputs[0]
            if value.fold != 1 or value.batch_axis:
                raise InputError(
                    f"what {boundary.node.name!r} ({boundary.node.type}) looks up is not batch first, with one row for "
                    "every sample: explain a model that takes embeddings"
                )
        first = {value: x[:1] for value, x in zip(graph.inputs, passes.inputs, strict=True)}
        is_real = {value: np.full(x.shape, value.is_float) for value, x in first.items()}
        for boundary in found:
            ones = ops.ones(ops.shape(boundary.computed(first)[boundary.index]))
            for value, reached in boundary.at_inputs(ones, first).items():
                is_real[value] &= _as_array(reached) == 0
        real = [is_real[value][0] for value in graph.inputs]
        if not found and not any(numbers.any() for numbers in real):
            names = ", ".join(map(repr, graph.input_names))
            raise InputError(f"the model's input {names} holds integers, and nothing is looked up by them")
        question = dataclasses.replace(passes.question, shifts=tuple(map(_tap, found)))
        return cls(dataclasses.replace(passes, question=question), graph, found, real)

    def looked_up(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The looked-up values where the model's inputs are these, one array for each lookup.

        Raises:
            InputError: An index is out of range.
        """
        check_indices(self.graph, self.boundaries, [inputs])
        given = dict(zip(self.graph.inputs, inputs, strict=True))
        indices = [boundary.computed(given)[boundary.index] for boundary in self.boundaries]
        return [
            _as_array(boundary.node.primitive(index)) for boundary, index in zip(self.boundaries, indices, strict=True)
        ]

    def with_indices(self, answer: Answer, through: Sequence[np.ndarray]) -> Answer:
        """The answer, where what the lookups have is added to the relevance of the inputs that hold the indices.

        Args:
            answer: What was found; its relevance is that of real numbers.
            through: What every lookup has, shaped like what is looked up.
        """
        inputs = self.graph.inputs
        relevance = [np.where(real, part, 0) for part, real in zip(answer.relevance, self.real, strict=True)]
        given = dict(zip(inputs, self.passes.inputs, strict=True))
        for boundary, part in zip(self.boundaries, through, strict=True):
            of_index = boundary.at_index(ops.convert_to_tensor(part))
            for value, moved in boundary.at_inputs(of_index, given).items():
                position = inputs.index(value)
                relevance[position] = relevance[position] + _as_array(moved)
        dtype = answer.explained.dtype
        return dataclasses.replace(answer, relevance=[part.astype(dtype) for part in relevance], taps=[])


def holding_ids(pipeline: Pipeline) -> tuple[bool, ...]:
    """For each input of a model, whether it holds ids: integers, or floating-point numbers that are looked up by.

    Keras' inputs are of floating point where nothing else is said, those of an Embedding too.
    """
    looked_up = {value for boundary in pipeline.twin.execution.boundaries for value in boundary.sources}
    return tuple(not value.is_float or value in looked_up for value in pipeline.graph.inputs)


def _tap(boundary: Boundary) -> Tap:
    return Tap("output", boundary.node.name)


def _as_array(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))
