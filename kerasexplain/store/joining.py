"""The joining of stores that were made by several processes, or on several machines, into one."""

from __future__ import annotations

import itertools
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kerasexplain.foundation.digests import changed
from kerasexplain.runtime.results import Progress
from kerasexplain.store.circumstances import SHARD, check_path, check_same, digest, not_the_same
from kerasexplain.store.format import leaves, rebuilt
from kerasexplain.store.reading import Store
from kerasexplain.store.writing import Arrays, StoreWriter


def join_stores(
    stores: Sequence[Store | str | os.PathLike[str]],
    path: str | os.PathLike[str],
    *,
    resume: bool = False,
    verbose: int = 0,
) -> Store:
    """Joins the shards of a dataset into one file, unit by unit, which an interruption leaves whole.

    The file is, byte for byte, that of a single process that explained all of the data. Where samples were given no
    keys, those of streams are numbered through.

    Args:
        stores: The stores, or their files, in any order: all that `analyze_dataset(..., shard=(index, count))` made.
        path: The new file.
        resume: Whether a file that is there is gone on with.
        verbose: 1 shows a progress bar.

    Returns:
        The store, complete.

    Raises:
        FileExistsError: The file is there, and `resume` is False.
        ValueError: A shard is missing, is there twice, is incomplete, is damaged, or was made of something else than
            the others, which is told.
        BlockingIOError: Another process writes to it.
        OSError: There is no room, say; what was done is kept.

    Example:
        >>> analyze_dataset(analyzer, images, f"part{i}.h5", shard=(i, 2))    # in two processes, of i = 0 and 1
        >>> store = join_stores(["part0.h5", "part1.h5"], "relevance.h5")
    """
    path = pathlib.Path(path).absolute()
    check_path(path, resume)
    shards = _in_order([store if isinstance(store, Store) else Store(store) for store in stores])
    record = dict(shards[0].record)
    record["made_of"] = {name: value for name, value in record["made_of"].items() if name != SHARD}
    form = record["made_of"]["the form of the file"]
    joined = _Joined(shards)
    writer = StoreWriter(path, digest(record["made_of"]), form["unit"], None, form["compression"])
    try:
        if writer.state is not None:
            joined.check_held(Store(path), record)
        progress = Progress(len(joined)) if verbose else None
        if progress is not None:
            progress(writer.samples)
        while writer.samples < len(joined):
            begin = writer.samples
            part = joined.rows(begin, min(begin + form["unit"], len(joined)))
            writer.append(part, record, errors=joined.errors)
            if progress is not None:
                progress(writer.samples - begin)
        if writer.state is None or not writer.state.is_complete:
            writer.append({}, record, is_complete=True)
        writer.finish()
    finally:
        writer.close()
    return Store(path)


class _Joined:
    """The samples of several stores one after the other, as their files hold them.

    Attributes:
        errors: What another precision has cost: the most of all stores, by path.
    """

    def __init__(self, stores: Sequence[Store]) -> None:
        self._stores = stores
        self._ends = np.cumsum([len(store) for store in stores])
        self._keys = _keys(stores)
        self.errors: dict[str, float] = {}
        self._paths = ["digests"]
        arrays = stores[0].record["arrays"]
        for path in (path for name, form in arrays.items() for path, _ in leaves(rebuilt(form, lambda at: at), name)):
            errors = [error for store in stores if (error := store.rounding(path)) is not None]
            if errors:
                self.errors[path] = max(errors)
            self._paths += [f"scales/{path}", path] if stores[0].is_scaled(path) else [path]

    def __len__(self) -> int:
        return int(self._ends[-1])

    def rows(self, begin: int, end: int) -> Arrays:
        """The values of some samples, by their path in the file."""
        spans = list(self._spans(begin, end))
        found = {path: np.concatenate([store.held(path, *span) for store, span in spans]) for path in self._paths}
        return {"keys": self._keys[begin:end], **found}

    def check_held(self, held: Store, record: dict[str, Any]) -> None:
        """Raises ValueError unless a store holds the first of these samples."""
        check_same(held, record["made_of"])
        given = np.concatenate([store.digests for store in self._stores])
        if not np.array_equal(held.digests, given[: len(held)]):
            raise not_the_same(held, "the data")

    def _spans(self, begin: int, end: int) -> Iterator[tuple[Store, tuple[int, int]]]:
        for store, last in zip(self._stores, self._ends, strict=True):
            first = int(last) - len(store)
            low, high = max(begin, first), min(end, int(last))
            if low < high:
                yield store, (low - first, high - first)


def _keys(stores: Sequence[Store]) -> np.ndarray:
    """The keys of all stores, as files hold them; numbers that each store counts for itself become those of all.

    Raises:
        ValueError: A key of a stream's samples is in two stores.
    """
    keys = np.concatenate([store.stored_keys for store in stores])
    if stores[0].record["made_of"]["the number of samples"] is not None:
        return keys  # of arrays, each shard has samples of its own
    if all(np.array_equal(store.stored_keys, np.arange(len(store))) for store in stores):
        return np.arange(len(keys))
    owners = np.repeat(np.arange(len(stores)), [len(store) for store in stores])
    order = np.argsort(keys, kind="stable")
    same = np.flatnonzero((keys[order][1:] == keys[order][:-1]) & (owners[order][1:] != owners[order][:-1]))
    if same.size:
        first, second = (_told(stores[owners[order[same[0] + i]]]) for i in range(2))
        key = keys[order[same[0]]]
        raise ValueError(f"the sample {key.decode() if isinstance(key, bytes) else key} is in {first} and in {second}")
    return keys


def _in_order(stores: Sequence[Store]) -> list[Store]:
    """The stores in the order of their shards.

    Raises:
        ValueError: They are not all shards of one dataset, each of them once.
    """
    if not stores:
        raise ValueError("there are no stores to join")
    for store in stores:
        if SHARD not in store.record["made_of"]:
            raise ValueError(f"{_told(store)} is no shard: analyze_dataset(..., shard=(index, count)) makes them")
        if not store.is_complete:
            raise ValueError(f"{_told(store)} is incomplete: analyze_dataset(..., resume=True) goes on with it")
    first = stores[0]
    count = first.record["made_of"][SHARD][1]
    found: dict[int, Store] = {}
    for store in stores:
        index, of = store.record["made_of"][SHARD]
        own, others = ({k: v for k, v in one.record["made_of"].items() if k != SHARD} for one in (store, first))
        differing = [*changed(own, others), *([] if of == count else ["the number of shards"])]
        differing += [name for name in ("arrays", "values", "analyzer") if store.record[name] != first.record[name]]
        if differing:
            raise ValueError(f"{_told(store)} was made of something else than {_told(first)}: {', '.join(differing)}")
        if index in found:
            raise ValueError(f"{_told(store)} and {_told(found[index])} are both shard {index} of {count}")
        found[index] = store
    missing = sorted(set(range(count)) - set(found))
    if missing:
        raise ValueError(f"of {count} shards, those of the index {', '.join(map(str, missing))} are missing")
    _check_differ(list(found.values()), first.record["made_of"]["the number of samples"])
    return [found[index] for index in range(count)]


def _check_differ(stores: Sequence[Store], total: int | None) -> None:
    """Raises ValueError unless stores have all samples: so many, or of streams, not the same twice."""
    if total is not None and sum(map(len, stores)) != total:
        raise ValueError(f"the shards have {sum(map(len, stores))} samples, and the data {total}")
    for one, other in itertools.combinations(stores, 2) if total is None else ():
        if np.array_equal(one.digests, other.digests):
            raise ValueError(f"{_told(one)} and {_told(other)} hold the same samples")


def _told(store: Store) -> str:
    return repr(os.fspath(store.path))
