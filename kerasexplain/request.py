"""What a user asks of an analyzer, and the way from there to passes and back to an explanation."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerasexplain.audit import books, by_node
from kerasexplain.batch_size import BatchSize
from kerasexplain.conditions import conditions_of
from kerasexplain.errors import InputError
from kerasexplain.explanation import Explanation
from kerasexplain.finite import check_finite
from kerasexplain.graph import Graph, Shape
from kerasexplain.inputs import by_input, count_of
from kerasexplain.method import Method
from kerasexplain.passes import Passes
from kerasexplain.pipeline import Pipeline, Pipelines
from kerasexplain.program import Given, Question
from kerasexplain.results import Progress
from kerasexplain.rows import named
from kerasexplain.selection import Contrast, Selection, is_per_sample, select
from kerasexplain.streams import Batch, Data, ahead
from kerasexplain.taps import Tap


@dataclasses.dataclass(frozen=True)
class Running:
    """What a batch runs on.

    Attributes:
        pipelines: Of the analyzer.
        size: How many samples run at once.
        usual: How many samples the largest batch so far has.
        progress: Is told how many samples have been done.
    """

    pipelines: Pipelines
    size: BatchSize
    usual: int = 1
    progress: Callable[[float], None] | None = None

    def pipeline(self, batch: Batch) -> Pipeline:
        """What runs the batch, filled up as it will be."""
        full = self.pipelines.fixed or min(self.size.now, max(batch.count, self.usual))
        return self.pipelines.of(batch.arrays, full)


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked of all samples.

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
    options: Mapping[str, Any]
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
            raise ValueError(f"{method.name!r} says nothing of inner layers: leave layers= out")
        if self.conditions is not None and not (method.explains_layers and method.takes_conditions):
            raise ValueError(f"{method.name!r} cannot be conditioned on channels: leave conditions= out")
        if self.audit and not method.explains_audits:
            raise ValueError(f"{method.name!r} propagates no relevance that could be audited: use an lrp method")

    def explanations(
        self, data: Data, pipelines: Pipelines, asked: int | str, verbose: int
    ) -> Iterator[tuple[Batch, Explanation]]:
        """Explanations batch by batch: while one is made, the next batch is prepared.

        Args:
            data: The samples.
            pipelines: Of the analyzer.
            asked: How many samples are to run at once, or "auto".
            verbose: 1 shows a progress bar.
        """
        names = pipelines.first.graph.input_names
        given, _ = by_input(data.first, names)
        size = pipelines.batch_sizes.of(asked, pipelines, given)
        total = None if data.is_stream else count_of(given, names)
        progress = Progress(total) if verbose else None
        running = Running(pipelines, size, progress=progress)
        batches = data.batches(names, pipelines.arrays, size)
        with contextlib.closing(batches if total is not None and total <= size.now else ahead(batches)) as coming:
            for batch in coming:
                running = dataclasses.replace(running, usual=max(running.usual, batch.count))
                yield batch, self._explanation(batch, running)
        if progress is not None and total is None:
            progress.end()

    def _explanation(self, batch: Batch, running: Running) -> Explanation:
        pipeline = running.pipeline(batch)
        layers = [self.layers] if isinstance(self.layers, (str, keras.layers.Layer)) else self.layers
        exact = pipeline.composite.plain and not pipeline.composite.against_baseline
        output_taps = {
            getattr(layer, "name", layer): Tap("output", named(pipeline.rows, layer, exact=exact).name)
            for layer in layers
        }
        execution = pipeline.twin.execution
        bias_taps = list(execution.bias_taps()) if self.bias or self.audit else []
        edge_taps = list(execution.edge_taps()) if self.audit else []
        # Once each: of two taps at one place only one would be read, and folded layers share theirs.
        taps = tuple(dict.fromkeys([*output_taps.values(), *bias_taps, *edge_taps]))
        summed = (*edge_taps, *([] if self.bias else bias_taps))
        passes, selection = self._passes(batch, running, pipeline, taps, summed)
        answer = self.method.answer(passes)
        in_one_pass = type(self.method).answer is Method.answer
        check_finite(answer, passes, pipeline, in_one_pass, batch.begin)
        through = dict(zip(taps, answer.taps, strict=True))
        return Explanation(
            relevance=batch.structure(answer.relevance),
            bias=self.method.of_biases(by_node(bias_taps, through)) if self.bias else {},
            layers={name: through[tap] for name, tap in output_taps.items()},
            output=_as_model_output(pipeline.graph, answer.outputs),
            neuron=selection.neuron if answer.index is None else answer.index,
            explained=answer.explained,
            analyzer=self.description,
            reference=answer.reference,
            audit=books(execution, answer, through) if self.audit else None,
        )

    def _passes(
        self, batch: Batch, running: Running, pipeline: Pipeline, taps: tuple[Tap, ...], summed: tuple[Tap, ...]
    ) -> tuple[Passes, Selection]:
        sizes = tuple(array.shape[1:] for array in batch.arrays)
        shape = pipeline.graph.explained.shape
        needs_sizes = self.neuron_selection is not None or self.options["neuron_selection_mode"] == "all"
        if None in shape[1:] and needs_sizes:
            shape = running.pipelines.explained_shape(sizes)
        selection = self._selection(batch, shape)
        conditions = self.method.conditions if self.conditions is None else self.conditions
        each = isinstance(conditions, Sequence) and not isinstance(conditions, str)
        conditions = _of_batch("conditions", conditions, each, batch)
        masks = conditions_of(conditions, pipeline, batch.count)
        start = self._start(batch, pipeline)
        array = start if isinstance(start, np.ndarray) else None
        question = Question(selection.kind, start if array is None else "array", taps, summed, tuple(masks))
        given = Given(batch.arrays, selection=selection.values, start=array, conditions=list(masks.values()))
        usual = max(batch.count, running.usual)
        return Passes(running.pipelines, question, given, running.size, usual, running.progress), selection

    def _selection(self, batch: Batch, shape: Shape) -> Selection:
        given = self.neuron_selection
        if callable(given):
            given = given(batch.given)
        elif isinstance(given, Contrast):
            sides = (given.target, given.against)
            given = Contrast(*(_of_batch("neuron_selection", side, np.ndim(side) > 0, batch) for side in sides))
        else:
            given = _of_batch("neuron_selection", given, is_per_sample(given, shape), batch)
        return select(given, self.options["neuron_selection_mode"], batch.count, shape)

    def _start(self, batch: Batch, pipeline: Pipeline) -> Any:
        start = self.options["start"]
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
    """What is given for the samples of a batch, of what is given for all.

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
