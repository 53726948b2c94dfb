"""A file of a model: what it declares is looked at before Keras reads it, and what its layers ask for meanwhile."""

from __future__ import annotations

import contextlib
import math
import pathlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from typing import Any

import keras

from kerasexplain.foundation.hdf5 import check_apart
from kerasexplain.foundation.untrusted import (
    JSON_BYTES,
    check_archive,
    from_json,
    most_unpacked,
    place_of,
)

#: Keras holds the configuration of a model in memory twice.
MOST_CONFIGURATION = JSON_BYTES // 2
#: What layers may hold that is in no file: counters, seeds, and what was never saved.
_UNSAVED = 64 * 2**20
#: Numbers of half precision in a file may be read by layers of single precision.
_WIDER = 2


def check_file(path: pathlib.Path) -> int:
    """How many bytes of weights the model in a `.keras` or HDF5 file may hold.

    Raises:
        ValueError: It declares more than it may, in numbers or in text, or values that lie in other files.
    """
    most = most_unpacked(path)
    if path.suffix != ".keras":
        return _WIDER * check_apart(path, most, names=True) + _UNSAVED
    held = 0
    for name, member in check_archive(path).items():
        if name.endswith(".json") and "/" not in name:  # a layer's own may be a vocabulary
            with zipfile.ZipFile(path) as archive, archive.open(member) as raw:
                from_json(raw.read(MOST_CONFIGURATION + 1), MOST_CONFIGURATION)
        if name.endswith(".h5"):
            held += _of_member(path, member, most)
        else:
            held += member.file_size
    return _WIDER * held + _UNSAVED


def _of_member(path: pathlib.Path, member: zipfile.ZipInfo, most: int) -> int:
    """How many bytes the values of an HDF5 file in an archive take."""
    if member.compress_type == zipfile.ZIP_STORED:
        return check_apart(path, most, part=place_of(path, member))
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(path) as archive:
        copy = pathlib.Path(folder) / "copy.h5"
        with archive.open(member) as raw, copy.open("wb") as there:
            shutil.copyfileobj(raw, there)
        return check_apart(copy, most)


@contextlib.contextmanager
def weights_within(most: int) -> Iterator[None]:
    """While active, layers that ask for more bytes of weights than that, in all, are refused.

    A configuration of a few bytes can ask for any number, and gets the memory before weights are read.

    Raises:
        ValueError: They do.
    """
    held = 0
    original = keras.layers.Layer.add_weight

    def add_weight(self: Any, *args: Any, **options: Any) -> Any:
        nonlocal held
        positional = dict(zip(("shape", "initializer", "dtype"), args, strict=False))
        shape, dtype = ((positional | options).get(name) for name in ("shape", "dtype"))
        sizes = shape if isinstance(shape, (list, tuple)) else (shape,) if isinstance(shape, int) else ()
        held += math.prod(sizes) * _bytes_of(keras.backend.standardize_dtype(dtype or self.variable_dtype))
        if held > most:
            raise ValueError(f"its layers ask for more weights than it holds, the layer {self.name!r} for {shape}")
        return original(self, *args, **options)

    keras.layers.Layer.add_weight = add_weight
    try:
        yield
    finally:
        keras.layers.Layer.add_weight = original


def _bytes_of(dtype: str) -> int:
    """The size of a number, by the name of its type."""
    bits = re.search(r"\d+", dtype)
    return max(1, int(bits[0]) // 8) if bits else 1
