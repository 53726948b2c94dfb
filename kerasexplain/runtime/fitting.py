"""Fitting of methods to data, batch by batch: no more than a few batches are held at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import keras
import numpy as np

from kerasexplain.compiler.pipeline import Pipelines
from kerasexplain.runtime.streams import Batch


@dataclasses.dataclass(frozen=True)
class Fitting:
    """Data to fit a method to.

    Attributes:
        pipelines: Of the analyzer that is fitted.
        data: Batches, one at least.
        size: How many samples run at once.
        verbose: 1 shows a progress bar.
    """

    pipelines: Pipelines
    data: Iterable[Batch]
    size: int
    verbose: int = 0

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        """The model's inputs, flattened, batch by batch."""
        progress = keras.utils.Progbar(None, verbose=1, unit_name="sample") if self.verbose else None
        for batch in self.data:
            # Filling up the last batch would count its samples more than once: it runs as short as it is.
            for begin in range(0, batch.count, self.size):
                yield [array[begin : begin + self.size] for array in batch.arrays]
            if progress is not None:
                progress.add(batch.count)

    def mean(self) -> list[np.ndarray]:
        """The mean sample, one array for each input of the model, in double precision."""
        count, totals = 0, [np.zeros(())] * len(self.pipelines.inputs)
        for batch in self:
            count += len(batch[0])
            totals = [total + array.sum(axis=0, dtype="float64") for total, array in zip(totals, batch, strict=True)]
        return [total / count for total in totals]

    def sample(self, count: int, seed: int) -> list[np.ndarray]:
        """A random choice of the samples, all if there are not more, one array for each input of the model.

        Which ones and in which order depends on the seed and on how the samples are ordered, not on how many run at
        once. No more than the choice and a batch are held.
        """
        rng = np.random.default_rng(seed)
        keys, kept = np.zeros(0), [np.zeros(())] * len(self.pipelines.inputs)
        for batch in self:
            # Those with the smallest of random numbers: any of the samples so far may be among them.
            drawn = np.concatenate([keys, rng.random(len(batch[0]))])
            best = np.argsort(drawn, kind="stable")[:count]
            both = [np.concatenate([held, new]) if len(keys) else new for held, new in zip(kept, batch, strict=True)]
            keys, kept = drawn[best], [array[best] for array in both]
        return kept
