"""Streams: data that need not fit into memory, with input and output while the model computes."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import keras
import numpy as np

from kerasexplain.foundation.errors import InputError
from kerasexplain.runtime.inputs import Structure, by_input, count_of

if TYPE_CHECKING:
    from kerasexplain.runtime.batch_size import BatchSize

Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True)
class Batch:
    """Samples that are explained together.

    Attributes:
        arrays: The model's inputs, flattened.
        structure: Gives such a list the structure of what the user passed.
        begin: The number of the first sample, counted through all batches.
        total: How many samples there are in all; None where that is not known before the end.
        given: The batch as the user, or a stream, gave it.
    """

    arrays: list[np.ndarray]
    structure: Structure
    begin: int
    total: int | None
    given: Any

    @property
    def count(self) -> int:
        """How many samples these are."""
        return len(self.arrays[0])

    @property
    def rows(self) -> slice:
        """Which of all samples these are."""
        return slice(self.begin, self.begin + self.count)


class Data:
    """Data to be explained or fitted to: arrays, or a stream of batches of them.

    Args:
        given: Arrays as `analyze` takes them, or an iterable of batches: a `tf.data.Dataset`, a `PyDataset`, a
            generator. Of a stream's batches that are tuples the first entry counts, as in `fit` of a model.

    Attributes:
        is_stream: Which of the two.
        first: What is put into the model, of the first batch.

    Raises:
        InputError: There is no batch.
    """

    def __init__(self, given: Any) -> None:
        self.is_stream = is_stream(given)
        items = batches_of(given) if self.is_stream else iter([given])
        try:
            item = next(items)
        except StopIteration:
            raise InputError("there is no data: the stream holds no batch") from None
        self.first = self._inputs(item)
        self._items = itertools.chain([item], items)

    def batches(
        self, names: Sequence[str], prepare: Callable[[list[Any], int], list[np.ndarray]], size: BatchSize
    ) -> Generator[Batch, None, None]:
        """Batches, ready to run: those of a stream as it gives them, those of arrays cut from them.

        They can be gone through once.

        Args:
            names: Of the model's inputs.
            prepare: `(inputs, number of the first sample) -> arrays`, checked.
            size: How many samples are to be cut from arrays at once.
        """
        begin = 0
        for item in self._items:
            given, structure = by_input(self._inputs(item), names)
            count = count_of(given, names)
            if self.is_stream or count <= size.now:
                yield Batch(prepare(given, begin), structure, begin, None if self.is_stream else count, item)
                begin += count
                continue
            while begin < count:
                part = [array[begin : begin + size.now] for array in given]
                batch = Batch(prepare(part, begin), structure, begin, count, structure(part))
                yield batch
                begin += batch.count

    def _inputs(self, item: Any) -> Any:
        return item[0] if self.is_stream and isinstance(item, tuple) else item


def is_stream(data: Any) -> bool:
    """Whether data come batch by batch, and are no arrays."""
    if isinstance(data, keras.utils.PyDataset):
        return True
    arrays = isinstance(data, (list, tuple, dict, str, bytes)) or hasattr(data, "__array__")
    return isinstance(data, Iterable) and not arrays


def batches_of(stream: Any) -> Iterator[Any]:
    """The batches of a stream, once."""
    if isinstance(stream, keras.utils.PyDataset):
        count = stream.num_batches
        return (stream[i] for i in (itertools.count() if count is None else range(count)))
    return iter(stream)


def ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The same items, prefetched: each is made in a thread of its own while the one before it is used.

    What making one raises is raised here, in its place.
    """
    context = contextvars.copy_context()
    end: Any = object()

    def make() -> Item:
        return context.run(lambda: next(items, end))

    with ThreadPoolExecutor(1, thread_name_prefix="kerasexplain-input") as pool:
        coming = pool.submit(make)
        while (item := coming.result()) is not end:
            coming = pool.submit(make)
            yield item


@contextlib.contextmanager
def behind(use: Callable[..., None]) -> Iterator[Callable[..., None]]:
    """The same function, to be called in a thread of its own, one call after the other, while the caller goes on.

    A call waits until the one before it has ended, and raises what that raised; so does leaving the context.
    """
    context = contextvars.copy_context()
    running: list[Future[None]] = []

    def later(*arguments: Any) -> None:
        if running:
            running.pop().result()
        running.append(pool.submit(lambda: context.run(use, *arguments)))

    with ThreadPoolExecutor(1, thread_name_prefix="kerasexplain-output") as pool:
        yield later
        if running:
            running.pop().result()
