"""A compiled function's question, which is its key; its operands; and its answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kerasexplain.foundation.showing import Shown
from kerasexplain.graph.taps import Tap


@dataclasses.dataclass(frozen=True)
class Question:
    """A question to a compiled function: all that it computes besides the relevance of the inputs.

    Attributes:
        selection: How neurons are chosen: "max", "index", "weights", or "target", an index or -1 for the
            largest; "any" is that of a function for the first three.
        start: "output", "one" or "array".
        taps: Where else relevance is read off.
        summed: The taps of which only the sum per sample is wanted.
        conditions: Operations whose output's relevance is multiplied by factors, one per sample and channel.
        baseline: Whether the inputs are compared with others.
        relevance: Whether relevance is wanted at all, or only what the model gives.
        inputs: Whether that of the inputs is wanted, or only what is read at the taps.
        shifts: The outputs of operations to which something is added; relevance is read there, too.
    """

    selection: str
    start: str
    taps: tuple[Tap, ...] = ()
    summed: tuple[Tap, ...] = ()
    conditions: tuple[str, ...] = ()
    baseline: bool = False
    relevance: bool = True
    inputs: bool = True
    shifts: tuple[Tap, ...] = ()


@dataclasses.dataclass(frozen=True, repr=False)
class Given(Shown):
    """The operands of a compiled function, batch first.

    Attributes:
        inputs: The model's inputs, flattened.
        baseline: Inputs to compare with; empty where there are none.
        selection: The indices that say what is explained; None for the largest output, and for weights.
        weights: The weights `(samples, outputs)` that say it; None for the others.
        start: What the relevance starts as; None where the question says it.
        conditions: Factors `(samples, channels)`, one array for each operation of the question.
        shifts: What is added to each output that the question says.
    """

    inputs: list[Any]
    baseline: list[Any] = dataclasses.field(default_factory=list)
    selection: Any = None
    weights: Any = None
    start: Any = None
    conditions: list[Any] = dataclasses.field(default_factory=list)
    shifts: list[Any] = dataclasses.field(default_factory=list)

    def selecting(self, kind: str, values: Any) -> Given:
        """The same with the indices or weights of a selection of that kind."""
        if kind == "weights":
            return dataclasses.replace(self, weights=values)
        return dataclasses.replace(self, selection=values)

    def at(self, rows: np.ndarray) -> Given:
        """Some of the samples, in the order of the rows."""
        return self.like([array[rows] for array in self.flat()])

    def flat(self) -> list[Any]:
        """All arrays, in a fixed order."""
        single = [array for array in (self.selection, self.weights, self.start) if array is not None]
        return [*self.inputs, *self.baseline, *single, *self.conditions, *self.shifts]

    def like(self, arrays: Sequence[Any]) -> Given:
        """The same with other arrays, in the order of `flat`."""
        rest = iter(arrays)
        inputs, baseline = [next(rest) for _ in self.inputs], [next(rest) for _ in self.baseline]
        selection, weights, start = (
            None if array is None else next(rest) for array in (self.selection, self.weights, self.start)
        )
        conditions = [next(rest) for _ in self.conditions]
        return Given(inputs, baseline, selection, weights, start, conditions, list(rest))


@dataclasses.dataclass(frozen=True, repr=False)
class Answer(Shown):
    """The result of a compiled function, as numpy arrays with one row per sample.

    Attributes:
        relevance: Per model input; sums if they were asked for.
        taps: Per tap of the question, in its order; zeros where it lies on no path of relevance.
        outputs: The model's outputs, flattened.
        index: Index of the explained neuron, one column per axis of the output if it has several; None for weights.
        flat_index: The same, into the flattened output.
        explained: Its value (the weighted sum, for weights).
        started: The relevance that the pass started with.
        outside: Per operation with a bounded rule: by how much each sample leaves the bounds; not above 0 within them.
        reference: The explained value at the baseline; None without one.
    """

    relevance: list[np.ndarray]
    taps: list[np.ndarray]
    outputs: list[np.ndarray]
    index: np.ndarray | None
    explained: np.ndarray
    started: np.ndarray
    outside: list[np.ndarray]
    reference: np.ndarray | None = None
    flat_index: np.ndarray | None = None

    def at(self, rows: slice | np.ndarray) -> Answer:
        """The answer for some of the samples alone."""
        return self._map(lambda arrays: arrays[0][rows], [self])

    @classmethod
    def joined(cls, answers: Sequence[Answer]) -> Answer:
        """The answers for several batches, as one."""
        return answers[0] if len(answers) == 1 else cls._map(np.concatenate, answers)

    @classmethod
    def _map(cls, function: Callable[[list[np.ndarray]], np.ndarray], answers: Sequence[Answer]) -> Answer:
        def apply(name: str) -> Any:
            parts = [getattr(answer, name) for answer in answers]
            if isinstance(parts[0], list):
                return [function(list(arrays)) for arrays in zip(*parts, strict=True)]
            return None if parts[0] is None else function(parts)

        return cls(**{field.name: apply(field.name) for field in dataclasses.fields(cls)})
