"""HDF5 files of strangers: what they declare, and where it lies, is looked at before a value is read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

#: No file has more groups, arrays, attributes and pieces of arrays.
MOST_OBJECTS = 100_000
#: Attributes of Keras 2 that list names; a long list is in several.
NAMES, MOST_NAMES = ("layer_names", "weight_names"), 5_000


def check_hdf5(file: h5py.File, most: int, *, names: bool = False) -> int:
    """How many bytes the values of an HDF5 file take, if all are its own, and no more than so many.

    Values in other files are refused, for whoever made the file may have chosen which; what is reached by two names,
    for each could be read by many more; and arrays of text of any length, of which many can share what is long.

    Args:
        file: The file.
        most: How many bytes.
        names: Whether attributes may hold lists of names, as the files of Keras 2 do.

    Raises:
        ValueError: They are not, or take more.
    """
    count = held = 0
    for item, declared in _objects(file):
        pieces = 0
        if isinstance(item, h5py.Dataset) and item.chunks:
            pieces = math.prod(-(-size // piece) for size, piece in zip(item.shape, item.chunks, strict=True))
        count += 1 + len(item.attrs) + pieces
        held += declared
        if held > most:
            raise ValueError("it declares more values than it can hold")
        if count > MOST_OBJECTS:
            raise ValueError(f"it declares more than {MOST_OBJECTS} groups, arrays and pieces of arrays")
        for name in item.attrs:
            attribute = item.attrs.get_id(name)
            size = math.prod(attribute.shape or ())
            if not (names and name.startswith(NAMES) and size <= MOST_NAMES):
                _check_type(name, attribute.dtype, size)
    return held


def _objects(file: h5py.File) -> Iterator[tuple[Any, int]]:
    """All groups and arrays of a file, with how many bytes they declare, and 1 for being there."""
    seen = {h5py.h5o.get_info(file["/"].id).addr}
    groups = [file["/"]]
    yield file["/"], 1
    while groups:
        group = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{name!r} is a link, and what it leads to may lie in another file")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                raise ValueError(f"{name!r} is there by two names, or contains itself")
            seen.add(address)
            if isinstance(item, h5py.Group):
                groups.append(item)
                yield item, 1
                continue
            if not isinstance(item, h5py.Dataset):
                raise ValueError(f"{name!r} is neither a group nor an array")
            if item.external or item.is_virtual:
                raise ValueError(f"the values of {name!r} lie in another file")
            _check_type(name, item.dtype, item.size or 0)
            yield item, 1 + (item.size or 0) * item.dtype.itemsize


def _check_type(name: str, dtype: np.dtype, size: int) -> None:
    if dtype.hasobject and (size > 1 or dtype.kind != "O"):
        raise ValueError(f"{name!r} holds several values of no fixed length")
