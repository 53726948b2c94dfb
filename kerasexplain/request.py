"""A user's request to an analyzer, and the way from there to passes and back to an explanation."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerasexplain.audit import audit_of, by_node
from kerasexplain.compiler.options import Options
from kerasexplain.compiler.pipeline import Pipeline, Pipelines
from kerasexplain.compiler.question import Answer, Given, Question
from kerasexplain.compiler.rows import row_named
from kerasexplain.explanation import Explanation
from kerasexplain.foundation.errors import InputError
from kerasexplain.graph.graph import Graph, Shape
from kerasexplain.graph.taps import Tap
from kerasexplain.runtime.batch_size import BatchSize
from kerasexplain.runtime.conditions import conditions_of
from kerasexplain.runtime.finite import check_finite
from kerasexplain.runtime.inputs import by_input, count_of, model_inputs
from kerasexplain.runtime.method import Method
from kerasexplain.runtime.passes import Passes
from kerasexplain.runtime.results import Progress
from kerasexplain.runtime.selection import Contrast, Selection, is_per_sample, select, unambiguous
from kerasexplain.runtime.streams import Batch, Data, ahead


@dataclasses.dataclass(frozen=True)
class Readings:
    """The places where relevance is read off besides the inputs.

    Attributes:
        at_layers: By the names that were asked for.
        of_biases: At every bias.
        at_edges: At every edge, for the audit.
        sums: Those of which only the sum per sample is wanted.
    """

    at_layers: Mapping[str, Tap]
    of_biases: Sequence[Tap]
    at_edges: Sequence[Tap]
    sums: tuple[Tap, ...]

    @property
    def taps(self) -> tuple[Tap, ...]:
        """All of them, once each: of two at one place only one would be read, and folded layers share theirs."""
        return tuple(dict.fromkeys([*self.at_layers.values(), *self.of_biases, *self.at_edges]))


@dataclasses.dataclass(frozen=True)
class Request:
    """A request about all samples.

    Attributes:
        method: The analyzer's.
        options: The analyzer's.
        description: The analyzer's, for the explanations.
        neuron_selection: As for `Analyzer.analyze`.
        layers, bias, conditions, audit: As for `Analyzer.explain`.

    Raises:
        ValueError: The method does not answer that, or has not been fitted.
    """

    method: Method
    options: Options
    description: dict[str, Any]
    neuron_selection: Any = None
    layers: Sequence[str] = ()
    bias: bool = False
    conditions: Any = None
    audit: bool = False

    def __post_init__(self) -> None:
        method = self.method
        method.check_fitted()
        if not _are_names(self.layers):
            raise ValueError(f"layers= takes the name of an operation, or a list of names, got {self.layers!r:.60}")
        if self.layers and not method.explains_layers:
            raise ValueError(f"{method.name!r} does not support inner layers: leave layers= out")
        if self.conditions is not None and not (method.explains_layers and method.takes_conditions):
            raise ValueError(f"{method.name!r} cannot be conditioned on channels: leave conditions= out")
        if self.audit and not method.explains_audits:
            raise ValueError(f"{method.name!r} propagates no relevance that could be audited: use an lrp method")

    def explanations(
        self, data: Data, pipelines: Pipelines, size: BatchSize, verbose: int, filled_to: int = 1
    ) -> Iterator[tuple[Batch, Explanation]]:
        """Explanations batch by batch: while one is made, the next batch is prepared.

        Args:
            data: The samples.
            pipelines: Of the analyzer.
            size: How many samples run at once.
            verbose: 1 shows a progress bar.
            filled_to: How many samples most batches have.
        """
        names = pipelines.first.graph.input_names
        total = None if data.is_stream else count_of(by_input(data.first, names)[0], names)
        progress = Progress(total) if verbose else None
        usual = filled_to  # how many samples the largest batch so far has
        again = self.method.answer if type(self.method).answer is Method.answer else None
        batches = data.batches(names, functools.partial(model_inputs, pipelines), size)
        with contextlib.closing(batches if total is not None and total <= size.now else ahead(batches)) as coming:
            for batch in coming:
                usual = max(usual, batch.count)
                pipeline = pipelines.of(batch.arrays, pipelines.fixed or min(size.now, usual))
                readings = self._readings(pipeline)
                selection, question, operands = self.asked(batch, pipelines, pipeline, readings)
                passes = Passes(pipelines, question, operands, size, usual, progress)
                answer = self.method.answer(passes)
                check_finite(answer, passes, pipeline, again, batch.begin)
                yield batch, self._explanation(batch, pipeline, readings, answer, selection)
        if progress is not None and total is None:
            progress.end()

    def _readings(self, pipeline: Pipeline) -> Readings:
        layers = [self.layers] if isinstance(self.layers, (str, keras.layers.Layer)) else self.layers
        exact = pipeline.composite.plain and not pipeline.composite.against_baseline
        rows = {getattr(layer, "name", layer): row_named(pipeline.rows, layer, exact=exact) for layer in layers}
        at_layers = {name: Tap("output", row.name) for name, row in rows.items()}
        execution = pipeline.twin.execution
        of_biases = list(execution.bias_taps()) if self.bias or self.audit else []
        at_edges = list(execution.edge_taps()) if self.audit else []
        return Readings(at_layers, of_biases, at_edges, sums=(*at_edges, *([] if self.bias else of_biases)))

    def _explanation(
        self, batch: Batch, pipeline: Pipeline, readings: Readings, answer: Answer, selection: Selection
    ) -> Explanation:
        through = dict(zip(readings.taps, answer.taps, strict=True))
        return Explanation(
            relevance=batch.structure(answer.relevance),
            bias=self.method.of_biases(by_node(readings.of_biases, through)) if self.bias else {},
            layers={name: through[tap] for name, tap in readings.at_layers.items()},
            output=_as_model_output(pipeline.graph, answer.outputs),
            neuron=selection.neuron if answer.index is None else answer.index,
            explained=answer.explained,
            analyzer=self.description,
            reference=answer.reference,
            audit=audit_of(pipeline.twin.execution, answer, through) if self.audit else None,
        )

    def asked(
        self, batch: Batch, pipelines: Pipelines, pipeline: Pipeline, readings: Readings
    ) -> tuple[Selection, Question, Given]:
        """The request about a batch: the neurons, the question, and its operands."""
        shape = pipeline.graph.explained.shape
        needs_sizes = self.neuron_selection is not None or self.options.neuron_selection_mode == "all"
        if None in shape[1:] and needs_sizes:
            shape = pipelines.explained_shape(tuple(array.shape[1:] for array in batch.arrays))
        selection = self._selection(batch, shape)
        conditions = self.method.conditions if self.conditions is None else self.conditions
        each = isinstance(conditions, Sequence) and not isinstance(conditions, str)
        masks = conditions_of(_of_batch("conditions", conditions, each, batch), pipeline, batch.count)
        start = self._start(batch, pipeline)
        array = start if isinstance(start, np.ndarray) else None
        start = start if array is None else "array"
        question = Question(selection.kind, start, readings.taps, readings.sums, tuple(masks))
        operands = Given(batch.arrays, start=array, conditions=list(masks.values()))
        operands = operands.selecting(selection.kind, selection.values)
        return selection, question, operands

    def _selection(self, batch: Batch, shape: Shape) -> Selection:
        given = unambiguous(self.neuron_selection, batch.total, shape)
        if callable(given):
            given = given(batch.given)
        elif isinstance(given, Contrast):
            sides = (given.target, given.against)
            given = Contrast(*(_of_batch("neuron_selection", side, np.ndim(side) > 0, batch) for side in sides))
        else:
            given = _of_batch("neuron_selection", given, is_per_sample(given, shape), batch)
        return select(given, self.options.neuron_selection_mode, batch.count, shape)

    def _start(self, batch: Batch, pipeline: Pipeline) -> Any:
        start = self.options.start
        if start is None:
            return self.method.default_start
        if isinstance(start, str):
            return start
        shape = tuple(size or 1 for size in pipeline.graph.explained.shape[1:])
        start = _of_batch("start", start, np.ndim(start) > len(shape), batch)
        try:
            full = np.broadcast_to(np.asarray(start, pipeline.twin.execution.dtype_of_relevance), (batch.count, *shape))
        except ValueError:
            raise InputError(
                f"start has shape {np.shape(start)}; it must be shaped like the output, {shape} or "
                f"{(batch.count, *shape)}"
            ) from None
        return np.reshape(full, (batch.count, -1))


def _are_names(layers: Any) -> bool:
    """Whether these are names of operations, or layers themselves."""
    if isinstance(layers, (str, keras.layers.Layer)):
        return True
    return hasattr(layers, "__iter__") and all(isinstance(layer, (str, keras.layers.Layer)) for layer in layers)


def _of_batch(what: str, given: Any, per_sample: bool, batch: Batch) -> Any:
    """The part for the samples of a batch, of what is given for all.

    Raises:
        InputError: It is given for each sample, but it is not known for which.
    """
    if not per_sample or batch.count == batch.total:
        return given
    if batch.total is None:
        way_out = ", or a function of the batch, such as lambda batch: batch[1]" if what == "neuron_selection" else ""
        raise InputError(
            f"{what} has an entry for every sample, and a stream does not tell how many there are: pass one that "
            f"holds for all samples{way_out}"
        )
    if len(given) != batch.total:
        raise InputError(f"{what} has {len(given)} entries for {batch.total} samples")
    return given[batch.rows]


def _as_model_output(graph: Graph, outputs: list[np.ndarray]) -> Any:
    by_value = dict(zip(graph.outputs, outputs, strict=True))
    structure = keras.tree.map_structure(by_value.get, graph.structure)
    single = isinstance(structure, (list, tuple)) and len(structure) == 1
    return structure[0] if single else structure
