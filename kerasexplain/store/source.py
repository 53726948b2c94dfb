"""The data of a store: explained batch by batch from any sample on, each sample known by its checksum."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import numbers
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from kerasexplain.analyzer import Analyzer
from kerasexplain.explanation import Explanation
from kerasexplain.foundation.digests import of_arrays
from kerasexplain.foundation.errors import InputError
from kerasexplain.runtime.inputs import count_of
from kerasexplain.runtime.selection import Contrast, is_per_sample, unambiguous
from kerasexplain.runtime.streams import batches_of, is_stream
from kerasexplain.store.circumstances import KEYS, not_the_same
from kerasexplain.store.format import described, leaves
from kerasexplain.store.reading import Store

Arrays = dict[str, np.ndarray]

#: Of samples that are there already, so many are compared with the data when it goes on.
COMPARED = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class BatchSource:
    """Data in the batches that are explained together.

    Attributes:
        batches: Gives them, as what `explain_batches` takes of a stream, from a sample on where that can be chosen.
        target: What is explained of such batches.
        keys: A name for each sample, or None.
        filled_to: How many samples most batches have.
        total: How many samples there are; None for a stream, which begins where it begins.
        whole: How many samples there are in all shards.
        row: Gives the sample of a number; None for a stream.
        every_key: Those of all shards, as far as they are known.
    """

    batches: Callable[[int], Iterator[Any]]
    target: Any
    keys: np.ndarray | None
    filled_to: int = 1
    total: int | None = None
    whole: int | None = None
    row: Callable[[int], Any] | None = None
    every_key: np.ndarray | None = None

    def told_of_keys(self) -> dict[str, str]:
        """A digest of all keys, among the circumstances of a store."""
        return {} if self.every_key is None else {KEYS: of_arrays(self.every_key)}

    def check_held(self, held: Store) -> None:
        """Raises ValueError unless the samples that are in a store are the first of the data.

        Of arrays some are compared; of a stream all are, when it comes to them.
        """
        own = np.arange(len(held)) if self.keys is None else self.keys[: len(held)]
        if not np.array_equal(own, held.stored_keys):
            raise not_the_same(held, "the keys of the data, or their order,")
        if self.row is None:
            return
        digests = held.digests
        for number in np.unique(np.linspace(0, len(held) - 1, COMPARED).astype(int)):
            if _digests(self.row(int(number)))[0] != digests[number]:
                raise not_the_same(held, f"sample {number}, or the order of the data,")

    def check_complete(self, held: Store) -> None:
        """Raises ValueError unless the samples in a store are all of the data: a stream is read to its end for that."""
        if self.row is None and next(self._left(held, collections.deque()), None) is not None:
            raise not_the_same(held, f"the data, of which there are more than {len(held)} samples,")

    def explained(
        self, analyzer: Analyzer, held: Store | None, asked: dict[str, Any], record: dict[str, Any]
    ) -> Iterator[Arrays]:
        """The explanations from the first sample on that is in no store, as arrays by their path in the file.

        Args:
            analyzer: The analyzer.
            held: A store with the samples before.
            asked: What `explain_batches` is asked besides.
            record: What is told of the store; the form of the explanations becomes part of it.
        """
        done = 0 if held is None else len(held)
        coming: collections.deque[tuple[int, np.ndarray]] = collections.deque()
        sizes = [self.filled_to]
        batches = self._left(held, coming, sizes)
        first = next(batches, None)
        if first is None:
            return

        def chained() -> Iterator[Any]:
            yield first
            yield from batches

        asked = {**asked, "target": self.target, "filled_to": max(sizes)}
        for _, found in analyzer.explain_batches(chained(), **asked):
            begin, digests = coming.popleft()
            if len(found.explained) != len(digests):
                raise InputError(
                    f"there are {len(digests)} rows in the first array of a batch, and {len(found.explained)} samples: "
                    "a list of arrays is taken for several inputs, pass samples as one array"
                )
            keys = self._keys(begin, begin + len(digests))
            yield {path: array[max(0, done - begin) :] for path, array in _arrays(found, keys, digests, record).items()}
        if self.keys is not None and self.total is None and len(self.keys) != begin + len(digests):
            raise InputError(f"there are {len(self.keys)} keys for {begin + len(digests)} samples")

    def _left(
        self, held: Store | None, coming: collections.deque[tuple[int, np.ndarray]], sizes: list[int] | None = None
    ) -> Iterator[Any]:
        """The batches with samples that are in no store; what is in one is compared on the way.

        Args:
            held: The store, if there is one.
            coming: Gets, of each batch, the number of its first sample and the checksums.
            sizes: Gets the sizes of batches that are passed over.
        """
        done = 0 if held is None else len(held)
        begin = done if self.row is not None else 0
        for batch in self.batches(begin):
            digests = _digests(batch[0] if isinstance(batch, tuple) else batch)
            if held is not None and begin < done:
                was = held.digests[begin : begin + len(digests)]
                different = np.flatnonzero(was != digests[: len(was)])
                if different.size:
                    raise not_the_same(held, f"sample {begin + different[0]}, or the order of the data,")
            if begin + len(digests) > done:
                coming.append((begin, digests))
                yield batch
            elif sizes is not None:
                sizes.append(len(digests))
            begin += len(digests)
        if begin < done:
            assert held is not None
            raise not_the_same(held, f"the data, of which there are {begin} samples where there were {done},")

    def _keys(self, begin: int, end: int) -> np.ndarray:
        if self.keys is None:
            return np.arange(begin, end)
        if len(self.keys) < end:
            raise InputError(f"there are {len(self.keys)} keys for at least {end} samples")
        return self.keys[begin:end]


def source_of(
    data: Any, batch: int, analyzer: Analyzer, target: Any, keys: Sequence[Any] | None, part: tuple[int, int, int]
) -> BatchSource:
    """The source of a part of arrays, cut into batches, or of a stream, in its own.

    Args:
        data, batch, analyzer, target, keys: As for `analyze_dataset`.
        part: `(index, count, unit)`: which of how many parts of arrays, of whole units each.
    """
    names = None if keys is None else _as_keys(keys)
    if is_stream(data):
        return BatchSource(lambda _: batches_of(data), target, names, every_key=names if part[1] == 1 else None)
    if isinstance(data, (list, tuple)) and not any(hasattr(entry, "shape") for entry in data):
        data = np.asarray(data)
    arrays = {str(path[0]) if path else "x": array for path, array in keras.tree.flatten_with_path(data)}
    for name, array in arrays.items():
        if not hasattr(array, "shape"):
            raise InputError(f"data must be arrays, or a stream of batches; {name!r} is {type(array).__name__}")
    if not arrays:
        raise InputError("there is no data: it holds no array")
    total = count_of(list(arrays.values()), list(arrays))
    if names is not None and len(names) != total:
        raise InputError(f"there are {len(names)} keys for {total} samples")

    low, high = _span(total, *part)
    every_key = names

    def rows(begin: int, end: int) -> Any:
        return keras.tree.map_structure(lambda array: array[begin:end], data)

    def batches(begin: int) -> Iterator[Any]:
        for first in range(low + begin, high, batch):
            last = min(first + batch, high)
            yield rows(first, last), slice(first, last)

    def of_batch(given: Any) -> Any:
        return target(given[0]) if callable(target) else _of_rows(target, given[1], total, analyzer)

    if part[1] > 1:
        names = np.arange(low, high) if names is None else names[low:high]
    return BatchSource(
        batches,
        None if target is None else of_batch,
        names,
        batch,
        high - low,
        total,
        lambda number: rows(low + number, low + number + 1),
        every_key,
    )


def _span(total: int, index: int, count: int, unit: int) -> tuple[int, int]:
    """The samples of one of so many parts of all of them: whole units, which the last alone may not fill."""
    units = -(-total // unit)
    if count > 1 and units < count:
        raise InputError(
            f"{total} samples are {units} units of {unit}, too few for {count} shards: take fewer, or a smaller unit="
        )
    return units * index // count * unit, min(total, units * (index + 1) // count * unit)


def _of_rows(target: Any, rows: slice, total: int, analyzer: Analyzer) -> Any:
    """The part of a target for some samples, if it has one for each."""
    if isinstance(target, Contrast):
        return Contrast(*(_part(side, np.ndim(side) > 0, rows, total) for side in (target.target, target.against)))
    shape = analyzer.graph.explained.shape
    target = unambiguous(target, total, shape)
    return _part(target, is_per_sample(target, shape), rows, total)


def _part(given: Any, is_each: bool, rows: slice, total: int) -> Any:
    if not is_each:
        return given
    if len(given) != total:
        raise InputError(f"the target has {len(given)} entries for {total} samples")
    return given[rows]


def _as_keys(keys: Sequence[Any]) -> np.ndarray:
    """Names as numbers, or as text of one length in UTF-8, which HDF5 holds with a checksum."""
    if hasattr(keys, "dtype"):
        keys = np.asarray(keys).tolist()
    kinds = {"text" if isinstance(key, (str, os.PathLike)) else _kind(key) for key in keys}
    if len(kinds) > 1 or not kinds <= {"text", "integer"}:
        raise InputError(f"keys are a list of text or of integers, one for each sample, got {sorted(kinds)}")
    if kinds == {"integer"}:
        return np.array([int(key) for key in keys], "int64")
    try:
        encoded = [os.fsdecode(key).encode() for key in keys]
    except UnicodeEncodeError as error:
        raise InputError(f"a key is no text that can be held in UTF-8: {error}") from None
    if any(b"\0" in key for key in encoded):
        raise InputError("a key has a character of the code 0, which cannot be held")
    return np.array(encoded, dtype=f"S{max(1, *map(len, encoded))}" if encoded else "S1")


def _kind(key: Any) -> str:
    is_integer = isinstance(key, numbers.Integral) and not isinstance(key, bool) and -(2**63) <= int(key) < 2**63
    return "integer" if is_integer else type(key).__name__


def _digests(x: Any) -> np.ndarray:
    """A checksum of each sample."""
    arrays = [np.ascontiguousarray(keras.ops.convert_to_numpy(array)) for array in keras.tree.flatten(x)]
    kind = " ".join(f"{array.dtype} {array.shape[1:]}" for array in arrays).encode()
    found = np.empty(len(arrays[0]), "uint64")
    for i in range(len(found)):
        checksum = hashlib.blake2b(kind, digest_size=8)
        for array in arrays:
            checksum.update(array[i].tobytes())
        found[i] = int.from_bytes(checksum.digest(), "little")
    return found


def _arrays(found: Explanation, keys: np.ndarray, digests: np.ndarray, record: dict[str, Any]) -> Arrays:
    """An explanation as arrays by their path in the file, its form told in the record."""
    parts = {name: getattr(found, name) for name in ("relevance", "layers", "bias", "output", "neuron", "explained")}
    parts["reference"] = found.reference
    audit = found.audit
    if audit is not None:
        parts["audit"] = {name: getattr(audit, name) for name in ("explained", "inputs", "biases", "lost")}
    values = {name: parts.pop(name) for name, part in list(parts.items()) if part is None or isinstance(part, str)}
    record["values"] = {**values, **({} if audit is not None else {"audit": {}})}
    record["arrays"] = {name: described(part, name) for name, part in parts.items()}
    arrays = {path: array for name, part in parts.items() for path, array in leaves(part, name)}
    return {"keys": keys, "digests": digests, **{path: _storable(array) for path, array in arrays.items()}}


def _storable(array: np.ndarray) -> np.ndarray:
    """An array that HDF5 can hold: it has no bfloat16."""
    return array.astype("float32") if array.dtype == "bfloat16" else array
