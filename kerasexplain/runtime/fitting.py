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
