"""Runs of an analyzer's program over batches: what a method makes its answer of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from kerasexplain.compiler.pipeline import Pipelines
from kerasexplain.compiler.program import Program
from kerasexplain.compiler.question import Answer, Given, Question
from kerasexplain.foundation.errors import InputError
from kerasexplain.foundation.showing import Shown
from kerasexplain.graph.indices import check_indices
from kerasexplain.runtime.batch_size import BatchSize

#: Makes a batch: `(rows, copies) -> inputs`, for copies of samples, both told by number.
Make = Callable[[np.ndarray, np.ndarray], "list[np.ndarray]"]


@dataclasses.dataclass(frozen=True, repr=False)
class Passes(Shown):
    """A question about samples, to be asked as often as a method needs to.

    Attributes:
        pipelines: What runs.
        question: What is asked.
        given: The samples, and what is selected of each.
        size: How many rows run at once.
        usual: How many samples are asked about at once, if these are the last of several batches: fewer are filled up,
            so that one shape is compiled.
        progress: Is told how many samples have been done, of several copies of a sample each a part.
    """

    pipelines: Pipelines
    question: Question
    given: Given
    size: BatchSize
    usual: int
    progress: Callable[[float], None] | None = None

    @property
    def inputs(self) -> list[np.ndarray]:
        """The samples: one array for each input of the model."""
        return self.given.inputs

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self.inputs[0])

    def values(self) -> Answer:
        """The model's answer for the samples, without relevance."""
        silent = dataclasses.replace(self, progress=None)
        return Answer.joined([answer for _, _, answer in silent.copies(1, self.themselves, relevance=False)])

    def fixed(self) -> tuple[Passes, Answer]:
        """These passes with the neurons fixed that are selected for the samples, and what the model says of them."""
        answer = self.values()
        if self.question.selection != "max":
            return self, answer
        assert answer.flat_index is not None
        question = dataclasses.replace(self.question, selection="index")
        given = dataclasses.replace(self.given, selection=answer.flat_index.astype("int64"))
        return dataclasses.replace(self, question=question, given=given), answer

    def copies(
        self,
        count: int,
        make: Make,
        baseline: Make | None = None,
        relevance: bool = True,
        shift: Make | None = None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray, Answer]]:
        """Runs every sample `count` times, each time changed in another way, in full batches.

        Args:
            count: How many copies there are of each sample.
            make: Gives the inputs of a batch.
            baseline: Gives what they are compared with.
            relevance: Whether relevance is wanted, or only what the model gives.
            shift: Gives what is added to the outputs that the question names; nothing is by default.

        Yields:
            `(rows, copies, answer)`: to which samples the rows of the answer belong, and which copies they are.
        """
        question = self.question if relevance else _values(self.question)
        question = dataclasses.replace(question, baseline=baseline is not None)
        if shift is None:
            question = dataclasses.replace(question, shifts=())
        given = self.given if relevance else Given([], selection=self.given.selection, weights=self.given.weights)
        of_samples = dataclasses.replace(given, inputs=[])  # which are made anew for every batch
        fixed, sharing = self.pipelines.fixed, self.pipelines.first.program.sharing
        total, begin = self.samples * count, 0
        while begin < total:
            full = fixed or -(-min(self.size.now, max(self.samples, self.usual) * count) // sharing) * sharing
            used = min(full, total - begin)
            rows, copies = np.divmod(np.minimum(np.arange(begin, begin + full), total - 1), count)
            try:
                inputs = make(rows, copies)
                references = [] if baseline is None else baseline(rows, copies)
                shifts = [] if shift is None else shift(rows, copies)
                pipeline = self.pipelines.of(inputs)
                check_indices(pipeline.graph, pipeline.twin.execution.boundaries, [inputs, references])
                operands = dataclasses.replace(of_samples.at(rows), inputs=inputs, baseline=references, shifts=shifts)
                answer = pipeline.program(question, operands)
                if shift is None:  # else it is not the model's own answer
                    self.pipelines.verify(inputs, answer.outputs)
            except MemoryError as error:
                self.size.halve(min(full, self.size.now), fixed, error)
                continue
            _check_boxes(pipeline.program, answer)
            yield rows[:used], copies[:used], answer.at(slice(used))
            begin += used
            if self.progress is not None:
                self.progress(used / count)

    def averaged(
        self,
        count: int,
        make: Make,
        told: Answer | None = None,
        weigh: Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray | float]] | None = None,
        baseline: Make | None = None,
        shift: Make | None = None,
        weigh_taps: Callable[[np.ndarray, np.ndarray], Sequence[np.ndarray | float]] | None = None,
    ) -> Answer:
        """The mean of the relevance of all copies, or their weighted sum, in double precision.

        Args:
            count: How many copies there are of each sample.
            make: Gives the inputs of a batch.
            told: What the model says of the samples themselves; by default, of the first copies.
            weigh: `(rows, copies) -> weights`, one for each input, broadcastable to its relevance; by default the
                mean.
            baseline: Gives what the inputs are compared with.
            shift: As for `copies`.
            weigh_taps: As `weigh`, for what is read at each tap.
        """
        relevance = [np.zeros(x.shape) for x in self.inputs]
        taps: list[np.ndarray] = []
        reference = np.zeros(self.samples)
        first: list[Answer] = []
        for rows, copies, answer in self.copies(count, make, baseline, shift=shift):
            if told is None:
                first.append(answer.at(copies == 0))
            weights = [1.0 / count] * len(relevance) if weigh is None else weigh(rows, copies)
            for total, part, weight in zip(relevance, answer.relevance, weights, strict=True):
                with np.errstate(over="ignore", invalid="ignore"):  # which the end finds
                    add_rows(total, rows, part * weight)
            taps = taps or [np.zeros((self.samples, *part.shape[1:])) for part in answer.taps]
            at_taps = [1.0 / count] * len(taps) if weigh_taps is None else weigh_taps(rows, copies)
            for total, part, weight in zip(taps, answer.taps, at_taps, strict=True):
                add_rows(total, rows, part * weight)
            if answer.reference is not None:
                add_rows(reference, rows, answer.reference / count)
        told = Answer.joined(first) if told is None else told
        dtype = told.explained.dtype
        with np.errstate(over="ignore"):  # which the end finds
            return dataclasses.replace(
                told,
                relevance=[total.astype(dtype) for total in relevance],
                taps=[total.astype(dtype) for total in taps],
                reference=None if baseline is None else reference.astype(dtype),
            )

    def themselves(self, rows: np.ndarray, copies: np.ndarray) -> list[np.ndarray]:
        """The samples as they are, to be run in batches."""
        if len(rows) == rows[-1] - rows[0] + 1:
            return [x[rows[0] : rows[-1] + 1] for x in self.inputs]  # nothing is copied
        return [x[rows] for x in self.inputs]


def add_rows(total: np.ndarray, rows: np.ndarray, parts: np.ndarray) -> None:
    """Adds each part to the row it belongs to, in double precision; the rows are sorted."""
    first = np.flatnonzero(np.diff(rows, prepend=rows[0] - 1))
    total[rows[first]] += np.add.reduceat(parts, first, axis=0, dtype="float64")


def _values(question: Question) -> Question:
    """The question without relevance."""
    return dataclasses.replace(
        question, relevance=False, taps=(), conditions=(), start="one", baseline=False, summed=()
    )


def _check_boxes(program: Program, answer: Answer) -> None:
    tolerance = 1e-6
    for (node, rule), outside in zip(program.bounded, answer.outside, strict=False):
        width = float(np.max(np.asarray(rule.high) - np.asarray(rule.low)))
        if np.any(outside > tolerance * width):
            raise InputError(
                f"the rule {rule!r} of {node.name!r} ({node.type}) needs an input within its bounds, but it "
                f"leaves them by up to {float(outside.max()):g}: give the bounds of the (preprocessed) input"
            )
