"""The explained value as a function of the input: what a metric asks the model again and again."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from kerasexplain.compiler.options import Options
from kerasexplain.create import create_method
from kerasexplain.foundation.errors import InputError
from kerasexplain.request import Readings, Request
from kerasexplain.runtime.engine import Engine
from kerasexplain.runtime.inputs import as_arrays, by_input, model_inputs
from kerasexplain.runtime.passes import Passes
from kerasexplain.runtime.streams import Batch, Data, is_stream

#: The common options of analyzers that decide what is explained, and how it is compiled.
DECIDING = ("output", "explain", "jit_compile", "batch_size", "neuron_selection_mode", "input_range")


class ExplainedValue:
    """The value that an analyzer explains, compiled once as a function of the input, without any relevance.

    Args:
        model: The model.
        options: Those of the analyzer that count: which output, with or without its softmax, how it is compiled.
    """

    def __init__(self, model: keras.Model, options: Options) -> None:
        self.model = model
        self.options = dataclasses.replace(options, start=None, remat=False)
        self._method = create_method("gradient")
        self._engine = Engine(model, self._method, self.options)

    def batches(
        self, x: Any, target: Any = None, batch_size: int | str | None = None
    ) -> Iterator[tuple[Batch, Passes, np.ndarray, Any]]:
        """Batches of samples, ready to be run as often as needed with their neurons fixed.

        Args:
            x: As for `Analyzer.analyze`.
            target: As for `Analyzer.analyze`.
            batch_size: How many samples, or changed copies of them, run at once; by default the analyzer's number.

        Yields:
            `(batch, passes, explained, neuron)`: the samples; runs of the model over copies of them; the explained
            value of each; and what is explained, as `analyze` takes it for these samples.

        Raises:
            InputError: The samples do not fit the model, or differ in size.
        """
        request = Request(self._method, self.options, {}, neuron_selection=target)
        data = Data(x)
        pipelines = self._engine.pipelines_for(data.first)
        size = self._engine.batch_size(batch_size, pipelines, data.first)
        names = pipelines.first.graph.input_names
        nothing = Readings({}, [], [], ())
        first: list[tuple[int, ...]] | None = None
        for batch in data.batches(names, functools.partial(model_inputs, pipelines), size):
            shapes = [array.shape[1:] for array in batch.arrays]
            if first not in (None, shapes):
                raise InputError(f"samples of one size are judged together, and these are {first} and {shapes}")
            first = shapes
            pipeline = pipelines.of(batch.arrays)
            selection, question, operands = request.asked(batch, pipelines, pipeline, nothing)
            passes, told = Passes(pipelines, question, operands, size, batch.count).fixed()
            neuron = selection.neuron if told.index is None else told.index
            if isinstance(neuron, str):  # "all", which is told as weights: an analyzer may have another mode
                sizes = tuple(array.shape[1:] for array in batch.arrays)
                neuron = np.ones((batch.count, *pipelines.explained_shape(sizes)[1:]))  # type: ignore[arg-type]
            yield batch, passes, told.explained, neuron

    def kept_options(self) -> dict[str, Any]:
        """The options for an analyzer that is to explain this value."""
        changed = self.options.changed()
        return {name: value for name, value in changed.items() if name in DECIDING}

    def arrays(self, x: Any) -> list[np.ndarray]:
        """Other samples, checked as those that are explained are: an array for each input of the model.

        Raises:
            InputError: They do not fit the model, or are a stream.
        """
        if is_stream(x):
            raise InputError("background= takes arrays, and got a stream: gather some of its samples first")
        pipelines = self._engine.pipelines_for(as_arrays(x))
        return model_inputs(pipelines, by_input(x, pipelines.first.graph.input_names)[0])

    def names(self, x: Any) -> list[str]:
        """The names of the model's inputs, for data like x."""
        return list(self._engine.pipelines_for(Data(x).first).first.graph.input_names)
