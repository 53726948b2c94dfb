"""What methods learn from data, batch by batch: no more than one batch is held at a time."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kerasexplain.errors import InputError
from kerasexplain.inputs import as_arrays

if TYPE_CHECKING:
    from kerasexplain.pipeline import Pipelines

Prepare = Callable[[Any], "list[np.ndarray]"]


@dataclasses.dataclass(frozen=True)
class Fitting:
    """Data to learn from.

    Attributes:
        pipelines: Of the analyzer that is fitted.
        data: Batches, each as `analyze` takes its input.
        prepare: Makes the model's inputs, flattened, of what `analyze` would take.
        size: How many samples run at once.
        verbose: 1 shows a progress bar.
    """

    pipelines: Pipelines
    data: Iterable[Any]
    prepare: Prepare
    size: int
    verbose: int = 0

    def __iter__(self) -> Iterator[list[np.ndarray]]:
        """The model's inputs, flattened, batch by batch."""
        progress = keras.utils.Progbar(None, verbose=1, unit_name="sample") if self.verbose else None
        # Filling up the last batch would count its samples more than once: it runs as short as it is.
        for part in in_batches(self.data, self.size):
            batch = self.prepare(part)
            yield batch
            if progress is not None:
                progress.add(len(batch[0]))

    def mean(self) -> list[np.ndarray]:
        """The mean sample, one array for each input of the model, in double precision.

        Raises:
            ValueError: There is no data.
        """
        count, totals = 0, None
        for batch in self:
            count += len(batch[0])
            sums = [array.sum(axis=0, dtype="float64") for array in batch]
            totals = sums if totals is None else [total + part for total, part in zip(totals, sums, strict=True)]
        if totals is None:
            raise ValueError("there is no data to be fitted to")
        return [total / count for total in totals]


def in_batches(data: Iterable[Any], size: int) -> Iterator[Any]:
    """The same data, in pieces of at most that many samples."""
    for given in data:
        arrays = as_arrays(given)
        count = len(keras.tree.flatten(arrays)[0])
        for begin in range(0, count, size):
            yield keras.tree.map_structure(lambda array, b=begin: array[b : b + size], arrays)


def peeked(data: Any) -> tuple[Any, Iterator[Any]]:
    """The first batch of some data, and all batches, the first among them.

    Args:
        data: Arrays as `analyze` takes them, or an iterable of batches: a `tf.data.Dataset`, a `PyDataset`, a
            generator. Of a batch that is a tuple, as for `fit` of a model, the first entry counts.

    Raises:
        ValueError: There is none.
    """
    items = iter(_batches(data))
    try:
        first = next(items)
    except StopIteration:
        raise ValueError("there is no data to be fitted to") from None
    return first, itertools.chain([first], items)


def _batches(data: Any) -> Iterator[Any]:
    if isinstance(data, keras.utils.PyDataset):
        items: Any = (data[i] for i in range(data.num_batches))
    elif isinstance(data, (list, tuple, dict)) or hasattr(data, "__array__"):
        yield data
        return
    elif isinstance(data, Iterable):
        items = data
    else:
        raise InputError(f"data must be arrays or an iterable of batches, got {type(data).__name__}")
    for item in items:
        yield item[0] if isinstance(item, tuple) else item
