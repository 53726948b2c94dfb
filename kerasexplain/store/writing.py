"""The writing of a store: whole units of samples, each a step of a durable file."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from kerasexplain.foundation.errors import plain
from kerasexplain.store.durable import DurableFile
from kerasexplain.store.format import MARK, RELEVANCE, State, halved, made_file, make_dataset, rounded, state_of

Arrays = dict[str, np.ndarray]


class StoreWriter:
    """Writes samples to a store, unit by unit.

    Args:
        path: The file. What is left of a unit that was not finished is taken back.
        identity: A digest of what it is a store of.
        unit: How many samples are written at once.
        precision: What relevance is held in; None for what it was computed in.
        compression: As in h5py.

    Attributes:
        state: How much of it is there; None while nothing is.

    Raises:
        BlockingIOError: Another process writes to it.
        ValueError: The file is something else than a store.
    """

    def __init__(
        self, path: pathlib.Path, identity: str, unit: int, precision: str | None, compression: str | None
    ) -> None:
        if path.exists() and path.stat().st_size:
            _check_is_ours(path)
        self.path, self._identity, self._unit = path, identity, unit
        self._precision, self._compression = precision, compression
        self._file = DurableFile(path)
        try:
            self.state = state_of(path) if path.stat().st_size else None
        except BaseException:
            self._file.close()
            raise

    @property
    def samples(self) -> int:
        """How many samples are there."""
        return 0 if self.state is None else self.state.samples

    def append(
        self,
        arrays: Arrays,
        record: dict[str, Any],
        *,
        is_complete: bool = False,
        errors: Mapping[str, float] | None = None,
    ) -> None:
        """Writes samples; when it returns, they are on the disk.

        Args:
            arrays: Their values by path, with one row for each sample.
            record: What is told of the store, which the first samples write.
            is_complete: Whether that is all of the data.
            errors: By the path of arrays that were rounded before, what that has cost.

        Raises:
            OSError: There is no room, say; what was written before is as it was.
        """
        count = max((len(values) for values in arrays.values()), default=0)
        try:
            if count or self.state is None:
                self._put(arrays, record, count, errors or {})
            self._file.seek(0, os.SEEK_END)
            state = State(self.samples + count, self._file.tell(), is_complete, self._identity)
            self._file.seek(0)
            self._file.write(memoryview(state.packed()))
            self._file.commit()
        except BaseException as error:
            self._file.discard()
            if not isinstance(error, OSError):
                raise
            raise OSError(
                error.errno,
                f"{error.strerror or plain(error)}: {self.samples} samples are kept, and resume=True goes on from them",
                os.fspath(self.path),
            ) from error
        self.state = state

    def _put(self, arrays: Arrays, record: dict[str, Any], count: int, errors: Mapping[str, float]) -> None:
        is_new = self.state is None
        with made_file(self._file) if is_new else h5py.File(self._file, "r+") as file:
            if is_new:
                told = np.frombuffer(json.dumps(record).encode(), "uint8")
                file.create_dataset("record", data=told, chunks=told.shape, fletcher32=True)
            for path, values in arrays.items():
                self._put_array(file, path, values, count, errors.get(path))

    def _put_array(self, file: h5py.File, path: str, values: np.ndarray, count: int, error: float | None) -> None:
        if len(values) != count:
            raise ValueError(f"there are {len(values)} rows of {path} for {count} samples")
        if path.split("/")[0] in RELEVANCE and self._precision is not None:
            if self._precision == "float16":
                values, scale, error = halved(values)
                self._put_rows(file, f"scales/{path}", scale)
            else:
                values, error = rounded(values, self._precision)
        self._put_rows(file, path, values)
        if error is not None:
            file[path].attrs["error"] = max(error, file[path].attrs.get("error", 0.0))

    def _put_rows(self, file: h5py.File, path: str, values: np.ndarray) -> None:
        if path not in file:
            make_dataset(file, path, values.shape[1:], values.dtype, self._unit, self._compression)
        held = file[path]
        if held.shape[1:] != values.shape[1:]:
            raise ValueError(
                f"the samples differ in size: {path} is of {held.shape[1:]} for the first, and of {values.shape[1:]} "
                f"from sample {held.shape[0]} on. A store holds samples of one size: make one store for each"
            )
        if held.dtype.kind == "S" and held.dtype.itemsize < values.dtype.itemsize:
            raise ValueError(
                f"{path} are held with up to {held.dtype.itemsize} letters, and have up to {values.dtype.itemsize} "
                f"from sample {held.shape[0]} on: they are not those that the file was begun with"
            )
        begin = held.shape[0]
        held.resize(begin + len(values), axis=0)
        held[begin:] = values

    def finish(self) -> None:
        """Ends the writing of a complete store."""
        self._file.finish()

    def close(self) -> None:
        """Ends the writing; it can go on later. A file without samples is removed."""
        if not self._file.closed and self.state is None:
            self._file.finish()
            self.path.unlink(missing_ok=True)
        self._file.close()


def _check_is_ours(path: pathlib.Path) -> None:
    """Raises ValueError unless a file begins as a store does, or has been cut off before that."""
    with path.open("rb") as raw:
        head = raw.read(len(MARK))
    if not MARK.startswith(head):
        raise ValueError(f"{str(path)!r} exists, and is no file that analyze_dataset wrote: choose another name")
