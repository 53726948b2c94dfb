"""The reading of a store: its arrays are read when they are sliced."""

from __future__ import annotations

import functools
import os
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np

from kerasexplain.explanation import Explanation
from kerasexplain.foundation.errors import plain
from kerasexplain.foundation.showing import Shown
from kerasexplain.store.durable import log_of, repair
from kerasexplain.store.format import own_dataset, rebuilt, record_of, state_of
from kerasexplain.store.slicing import sliced
from kerasexplain.tables import Table, Tabled

#: How often what cannot be read is read again while another process writes, and how long to wait in between.
TRIES, SECONDS = 20, 0.1


class StoredArray(Shown):
    """An array in a store. It slices like one of numpy, and what is sliced is read then; `np.asarray` reads all of it.

    Attributes:
        path: Its path in the file.
        shape, dtype: As of an array.
        error: What holding it in another precision has cost: the largest difference, relative to the largest |value|
            of its sample; 0.0 where it is held as it was computed.
    """

    def __init__(self, store: Store, path: str, samples: int) -> None:
        self._store, self.path = store, path

        def look(file: h5py.File) -> tuple[tuple[int, ...], np.dtype, bool]:
            is_scaled = f"scales/{path}" in file
            dtype = own_dataset(file, f"scales/{path}" if is_scaled else path).dtype
            return own_dataset(file, path).shape[1:], dtype, is_scaled

        shape, self.dtype, self._is_scaled = store._read(path, look)
        self.shape, self.error = (samples, *shape), store.rounding(path) or 0.0

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many values it has."""
        return int(np.prod(self.shape, dtype=int))

    @property
    def nbytes(self) -> int:
        """How many bytes it takes in memory."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("an array in a store is read from a file, and so copied")
        return self[:].astype(dtype or self.dtype, copy=False)

    def __getitem__(self, key: Any) -> Any:
        """The part of it that a slice, an index, or an array of indices or truth values chooses, as numpy has it."""
        return sliced(self._rows, self.shape, key)

    def _rows(self, low: int, high: int) -> np.ndarray:
        return self._store._rows(self.path, low, high, self._is_scaled)

    def __repr__(self) -> str:
        return f"<{self.path} of {os.fspath(self._store.path)!r}: {self.dtype} {self.shape}>"


class Store(Tabled):
    """Explanations of a dataset in a file that `analyze_dataset` wrote, or is writing.

    Nothing but the form is read at first, and no file stays open: a store can be pickled, and larger than memory. It
    holds the samples that were there when it was made.

    Args:
        path: The file. What is left of a unit that was not finished is taken back.

    Attributes:
        path: The file.
        record: What made it, as plain data: the analyzer's configuration, digests of the model and of its weights, what
            was asked, and the versions of what computed.
        is_complete: Whether all samples of the data are there.
        relevance: A `StoredArray`; in the structure of the explanation for several inputs.
        layers, bias: `StoredArray` by name.
        output: Of the model, in its structure.
        neuron: What was explained.
        explained: Its value.
        audit: Sums per sample by name: "explained", "inputs", "biases" and "lost"; empty where it was not asked for.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no store, or is damaged or cut off.

    Example:
        >>> store = Store("relevance.h5")
        >>> store.relevance[:100].mean(axis=0)
        >>> store[7:9].to_image()
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(path).absolute()
        if self.path.is_file():
            repair(self.path)
        state = state_of(self.path)
        self._samples, self.is_complete = state.samples, state.is_complete
        self.record: dict[str, Any] = self._read("record", record_of)
        for name in ("relevance", "layers", "bias", "output", "neuron", "explained", "reference", "audit"):
            setattr(self, name, self._part(name))

    relevance: Any
    layers: dict[str, StoredArray]
    bias: dict[str, StoredArray]
    output: Any
    neuron: Any
    explained: StoredArray
    reference: StoredArray | None
    audit: dict[str, StoredArray]

    def _part(self, name: str) -> Any:
        form = self.record["arrays"].get(name)
        if form is None:
            return self.record["values"].get(name)
        return rebuilt(form, lambda path: StoredArray(self, path, self._samples))

    def __len__(self) -> int:
        return self._samples

    def __getitem__(self, rows: Any) -> Explanation:
        """The explanation of some samples: a slice, an index, or a sequence of indices or truth values.

        Raises:
            IndexError: It is none of these, or out of range.
        """
        if not isinstance(rows, slice):
            wanted = np.asarray(rows)
            if isinstance(rows, tuple) or wanted.ndim > 1 or (wanted.ndim == 0 and wanted.dtype.kind not in "iu"):
                raise IndexError(f"a store is sliced by its samples alone, got {rows!r:.60}; its arrays by every axis")
            rows = wanted.reshape(-1)

        def read(tree: Any) -> Any:
            if isinstance(tree, dict):
                return {name: read(item) for name, item in tree.items()}
            if isinstance(tree, (list, tuple)):
                return type(tree)(map(read, tree))
            return tree[rows] if isinstance(tree, StoredArray) else tree

        names = ("relevance", "bias", "layers", "output", "neuron", "explained", "reference")
        found = {name: read(getattr(self, name)) for name in names}
        return Explanation(**found, analyzer=self.record["analyzer"])

    @functools.cached_property
    def stored_keys(self) -> np.ndarray:
        """The keys as the file holds them: text is in UTF-8."""
        return self._rows("keys", 0, self._samples)

    @property
    def keys(self) -> np.ndarray:
        """The name of each sample, text or an integer."""
        keys = self.stored_keys
        return np.char.decode(keys, "utf-8") if keys.dtype.kind == "S" else keys

    @functools.cached_property
    def digests(self) -> np.ndarray:
        """A checksum of each sample of the data."""
        return self._rows("digests", 0, self._samples)

    @property
    def output_explained(self) -> int | str:
        """Index or name of the model's output that was explained."""
        return self.record["analyzer"].get("options", {}).get("output", 0)

    def totals(self) -> dict[str, float]:
        """The audit of all samples: the mean of what was explained, of what inputs and biases hold, and was lost."""
        return {name: float(np.mean(array)) for name, array in self.audit.items()}

    def held(self, path: str, low: int, high: int) -> np.ndarray:
        """Rows of what is at a path of the file, as it holds them."""
        return self._rows(path, low, high)

    def rounding(self, path: str) -> float | None:
        """The cost of another precision at a path, as `StoredArray.error` has it; None where values are as computed."""

        def look(file: h5py.File) -> float | None:
            error = own_dataset(file, path).attrs.get("error")
            return None if error is None else float(error)

        return self._read(path, look)

    def is_scaled(self, path: str) -> bool:
        """Whether values at a path are held relative to the largest of their sample."""
        return bool(self._read(path, lambda file: f"scales/{path}" in file))

    def _rows(self, path: str, low: int, high: int, is_scaled: bool = False) -> np.ndarray:
        def read(file: h5py.File) -> np.ndarray:
            rows = own_dataset(file, path)[low:high]
            if not is_scaled:
                return np.asarray(rows)
            scale = own_dataset(file, f"scales/{path}")[low:high]
            return np.asarray(rows.astype(scale.dtype) * scale.reshape(-1, *(1,) * (rows.ndim - 1)))

        found = self._read(path, read)
        if len(found) != high - low:
            raise ValueError(f"{os.fspath(self.path)!r} is damaged: {path} has not the rows {low} to {high}")
        return found

    def _read(self, path: str, read: Callable[[h5py.File], Any]) -> Any:
        """The result of reading; again, if another process may have been about to change it."""
        found, error = self._tried(read)
        for _ in range(TRIES):
            if error is None or not log_of(self.path).exists():
                break
            time.sleep(SECONDS)
            found, error = self._tried(read)
        if error is None:
            return found
        if isinstance(error, FileNotFoundError):
            raise FileNotFoundError(f"there is no file {os.fspath(self.path)!r} any more") from None
        raise ValueError(
            f"{os.fspath(self.path)!r} is damaged, or was changed since: {path} cannot be read ({plain(error)})"
        ) from error

    def _tried(self, read: Callable[[h5py.File], Any]) -> tuple[Any, Exception | None]:
        try:
            with h5py.File(self.path, "r") as file:
                return read(file), None
        except Exception as error:  # whatever h5py finds wrong
            return None, error

    def __repr__(self) -> str:
        name = self.record["analyzer"].get("analyzer")
        rest = "" if self.is_complete else ", incomplete"
        return f"<Store {os.fspath(self.path)!r}: {name} of {len(self)} samples{rest}>"

    def _table(self) -> Table:
        kinds = ("relevance", "layers", "bias", "output", "neuron", "explained", "reference", "audit")
        arrays = [(name, array) for kind in kinds for name, array in _named(kind, getattr(self, kind))]
        rows = [(name, str(array.dtype), str(array.shape), f"{array.nbytes / 1e6:.3g}") for name, array in arrays]
        columns = [("array", "left"), ("dtype", "left"), ("shape", "left"), ("MB in memory", "right")]
        notes = [] if self.is_complete else ["incomplete: not all samples of the data are there yet"]
        if self.audit:
            told = ", ".join(f"{name} {value:.6g}" for name, value in self.totals().items())
            notes.append(f"audit, mean of all samples: {told}")
        name = self.record["analyzer"].get("analyzer")
        return Table(f"{os.fspath(self.path)}: {name} of {len(self)} samples", columns, rows, notes)


def _named(name: str, held: Any) -> Iterator[tuple[str, StoredArray]]:
    """The arrays in a structure, with their places in it."""
    if isinstance(held, StoredArray):
        yield name, held
    elif isinstance(held, (dict, list, tuple)):
        for key, item in held.items() if isinstance(held, dict) else enumerate(held):
            yield from _named(f"{name}[{key!r}]", item)
