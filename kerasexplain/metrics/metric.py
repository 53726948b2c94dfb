"""The base of metrics, and the samples that they judge."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from kerasexplain.analyzer import Analyzer
from kerasexplain.foundation.config import Configurable
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
        """
        found = np.zeros((self.samples, count))
        for rows, copies, answer in self.passes.copies(count, make, relevance=False):
            found[rows, copies] = answer.explained
        return found

    def explained_anew(self, inputs: Sequence[np.ndarray], neuron: Any = None) -> list[np.ndarray]:
        """The maps of other inputs, or of another neuron, by the same analyzer; the neuron is this one by default."""
        assert self.analyzer is not None  # `Metric.explains_anew` has it
        relevance = self.analyzer.analyze(
            self.structure(list(inputs)), self.neuron if neuron is None else neuron, batch_size=len(inputs[0])
        )
        return as_list(relevance, self.names)


class Metric(Configurable):
    """The base of metrics: a frozen dataclass whose fields are its options.

    A subclass says in `scores` what it makes of samples and their maps. It is decorated with
    `kerasexplain.foundation.config.saved_by_keyword`, so that it can be compared and saved.
    """

    #: What tables call it.
    name: ClassVar[str]
    #: "higher" or "lower" scores are better; "neither" where the metric describes rather than judges.
    better: ClassVar[str] = "higher"
    #: Whether masks are needed.
    needs_masks: ClassVar[bool] = False
    #: Whether samples are explained anew, so that maps from elsewhere will not do.
    explains_anew: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """The name, with the options that are not at their default."""
        options = repr(self).partition("(")[2].removesuffix(")")
        return f"{self.name}({options})" if options else self.name

    def scores(self, judged: Judged) -> Result:
        """The scores of some samples."""
        raise NotImplementedError

    def __call__(
        self,
        analyzer: Any,
        x: Any,
        target: Any = None,
        *,
        masks: Any = None,
        background: Any = None,
        relevance: Any = None,
        batch_size: int | str | None = None,
        verbose: int = 0,
    ) -> Any:
        """The score of every sample.

        Args:
            analyzer: What makes the maps. Or, with `relevance`, a Keras model that maps from elsewhere belong to.
            x: The samples, as for `Analyzer.analyze`: arrays, or a stream of batches.
            target: What is explained, as for `Analyzer.analyze`; by default what the analyzer explains by default.
            masks: Where the object lies, for metrics of localisation: truth values, one for each position (for an
                image `(samples, height, width)`; see `masks_of_boxes`). For a stream, a function from a batch as the
                stream gives it to the masks of its samples.
            background: Other samples like x that fills are made of; by default x, where it is no stream.
            relevance: Maps to be judged instead of the analyzer's own: arrays shaped like x, or an `Explanation`. For a
                stream, a function of the batch.
            batch_size: How many samples or changed copies run at once; by default the analyzer's number.
            verbose: 1 shows a progress bar.

        Returns:
            `Scores`.

        Raises:
            InputError: x, target, masks, background or relevance do not fit the model or one another.
            ValueError: The metric needs masks, or an analyzer, and there is none.
        """
        from kerasexplain.metrics.judging import judge

        return judge(
            analyzer,
            [self],
            x,
            target,
            masks=masks,
            background=background,
            relevance=relevance,
            batch_size=batch_size,
            verbose=verbose,
        )[0]


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
