"""The samples that metrics judge, and what a metric makes of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from kerasexplain.analyzer import Analyzer
from kerasexplain.foundation.errors import InputError
from kerasexplain.runtime.embedded import holding_ids
from kerasexplain.runtime.passes import Make, Passes


@dataclasses.dataclass(frozen=True)
class Judged:
    """Samples, their maps, and the model that these are maps of.

    Attributes:
        inputs: The samples, an array for each input of the model.
        names: Of the inputs.
        relevance: Their maps, shaped alike.
        numbers: The number of each sample among all.
        explained: The explained value of each sample.
        reference: What the map's method compares it with, per sample; None where there is no baseline.
        neuron: What is explained, as `Analyzer.analyze` takes it.
        masks: Truth values at every position of the one input, or None.
        background: Other samples, an array for each input; None where the data are a stream.
        analyzer: What made the maps; None where they come from elsewhere.
        structure: Gives arrays the structure in which the analyzer takes them.
        passes: Runs of the model with the neurons fixed.
        summed: Whether maps came with their channels summed: then the sum stands in the first channel.
    """

    inputs: list[np.ndarray]
    names: list[str]
    relevance: list[np.ndarray]
    numbers: np.ndarray
    explained: np.ndarray
    reference: np.ndarray | None
    neuron: Any
    masks: np.ndarray | None
    background: list[np.ndarray] | None
    analyzer: Analyzer | None
    structure: Callable[[list[np.ndarray]], Any]
    passes: Passes
    summed: bool = False

    def check_channels(self, what: str) -> None:
        """Raises InputError where maps came without channels."""
        if self.summed:
            raise InputError(f"{what} needs the relevance of every channel, and it came with channels summed")

    @property
    def ids(self) -> tuple[bool, ...]:
        """For each input, whether it holds ids, between which there is nothing."""
        return holding_ids(self.passes.pipelines.of(self.inputs))

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self.numbers)

    def generator(self, seed: int, sample: int, *purpose: int) -> np.random.Generator:
        """Random numbers of one sample's own, which do not depend on the batches that it comes in.

        Args:
            seed: The metric's.
            sample: The position of the sample in this batch.
            *purpose: Tells draws for one purpose from those for another.
        """
        return np.random.default_rng([seed, int(self.numbers[sample]), *purpose])

    def values(self, count: int, make: Make) -> np.ndarray:
        """The explained value of changed copies of every sample, `(samples, count)`.

        Args:
            count: How many copies there are of each sample.
            make: `(rows, copies) -> inputs`, the inputs of a batch of copies.

        Raises:
            InputError: The model gives no number for one.
        """
        found = np.zeros((self.samples, count))
        for rows, copies, answer in self.passes.copies(count, make, relevance=False):
            found[rows, copies] = answer.explained
        if not np.isfinite(found).all():
            sample, copy = np.argwhere(~np.isfinite(found))[0]
            raise InputError(
                f"the model gives {found[sample, copy]} for changed copy {copy} of {count} of sample "
                f"{self.numbers[sample]}: for a sentence without any word, say. Remove less (steps=, shares=), or fill "
                "otherwise"
            )
        return found

    def explained_anew(self, inputs: Sequence[np.ndarray], neuron: Any = None) -> list[np.ndarray]:
        """The maps of other inputs, or of another neuron, by the same analyzer; the neuron is this one by default."""
        assert self.analyzer is not None  # `Metric.explains_anew` has it
        relevance = self.analyzer.analyze(
            self.structure(list(inputs)),
            self.neuron if neuron is None else neuron,
            batch_size=min(len(inputs[0]), self.passes.size.now),
        )
        return as_list(relevance, self.names)


@dataclasses.dataclass(frozen=True)
class Result:
    """The scores of one batch.

    Attributes:
        values: Per sample; NaN where the metric is not defined.
        details, curves: As in `Scores`.
        steps: As in `Scores`; the same for all batches.
    """

    values: np.ndarray
    details: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    curves: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    steps: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


def as_list(values: Any, names: Sequence[str]) -> list[np.ndarray]:
    """The arrays of all inputs, in their order, from an array, a list or a dict."""
    if isinstance(values, dict):
        return [np.asarray(values[name]) for name in names]
    return [np.asarray(v) for v in values] if isinstance(values, (list, tuple)) else [np.asarray(values)]


class Judging(Protocol):
    """The interface of a metric to judging; see `Metric`."""

    @property
    def name(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def better(self) -> str: ...
    @property
    def needs_masks(self) -> bool: ...
    @property
    def explains_anew(self) -> bool: ...
    def scores(self, judged: Judged) -> Result: ...
