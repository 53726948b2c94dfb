"""The form of a store: an HDF5 file behind a block of text that tells how much of it is there.

    keys, digests                 of each sample: its name, and a checksum of its values
    relevance, layers, bias       of inputs, inner layers and constants, in the structure of the explanation
    output, neuron, explained     of the model, and what was explained
    audit/...                     sums per sample: explained, inputs, biases, lost
    scales/...                    where relevance is held in half precision: of each sample, what it is multiplied by

The first axis of every dataset is that of the samples. Blocks of data carry a checksum (Fletcher), and so do the
indexes of HDF5, from version 1.10 of its format on: what has been damaged is an error when it is read.
"""

from __future__ import annotations

import json
import pathlib
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import h5py
import numpy as np

#: What a store begins with.
MARK = b"kerasexplain store 1\n"
#: The size of the block in front of the HDF5 file.
BLOCK = 512
#: Bytes in a block of a dataset, about.
CHUNK = 2**20
#: The version of HDF5's format: from this one on, indexes have checksums.
LIBVER = (h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
#: What relevance is held in: as it was computed, or in half of that.
PRECISIONS = ("float16", "float32", "float64")
#: Bytes of what is told of a store, at most.
LONGEST_RECORD = 2**26
#: The parts of a store in which relevance is held in the chosen precision.
RELEVANCE = ("relevance", "layers", "bias")


class State(NamedTuple):
    """How much of a store is there.

    Attributes:
        samples: How many samples it holds.
        size: Its length in bytes.
        is_complete: Whether that is all of the data.
        identity: A digest of what it is a store of.
    """

    samples: int
    size: int
    is_complete: bool
    identity: str

    def packed(self) -> bytes:
        """The block of text."""
        told = json.dumps({"samples": self.samples, "size": self.size, "complete": self.is_complete}).encode()
        return (MARK + self.identity.encode() + b"\n" + b"%08x " % zlib.crc32(told) + told).ljust(BLOCK, b"\0")


def state_of(path: pathlib.Path) -> State:
    """Reads how much of a store is there.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no store, or is damaged or cut off.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    if not path.is_file():
        raise ValueError(f"{str(path)!r} holds no store: it is {'a folder' if path.is_dir() else 'no file'}")
    with path.open("rb") as raw:
        block = raw.read(BLOCK)
    if not block.startswith(MARK):
        what = "it is empty" if not block.strip(b"\0") else "it is no file that analyze_dataset wrote"
        raise ValueError(f"{str(path)!r} holds no store: {what}")
    try:
        identity, told = block[len(MARK) :].rstrip(b"\0").split(b"\n", 1)
        checksum, told = told.split(b" ", 1)
        if int(checksum, 16) != zlib.crc32(told):
            raise ValueError("its checksum is another")
        read = json.loads(told)
        state = State(int(read["samples"]), int(read["size"]), bool(read["complete"]), identity.decode().strip())
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{str(path)!r} is damaged: its first block cannot be read ({error})") from None
    if path.stat().st_size < state.size:
        raise ValueError(
            f"{str(path)!r} is cut off: it has {path.stat().st_size} of {state.size} bytes. Take it from where it was "
            "copied from, or make it anew"
        )
    return state


def described(tree: Any, path: str) -> Any:
    """The form of a tree of arrays in dicts and lists, as plain data: where each array is, and what contains it."""
    if not isinstance(tree, (dict, list, tuple)):
        return path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    kind = next(kind.__name__ for kind in (dict, list, tuple) if isinstance(tree, kind))
    return {"kind": kind, "items": [[key, described(item, f"{path}/{escaped(str(key))}")] for key, item in items]}


def rebuilt(form: Any, find: Callable[[str], Any]) -> Any:
    """The tree of that form; `find` gives what is at a path."""
    if isinstance(form, str):
        return find(form)
    items = {key: rebuilt(item, find) for key, item in form["items"]}
    return items if form["kind"] == "dict" else {"list": list, "tuple": tuple}[form["kind"]](items.values())


def leaves(tree: Any, path: str) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a tree, each with its path in the file."""
    if not isinstance(tree, (dict, list, tuple)):
        yield path, tree
        return
    for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from leaves(item, f"{path}/{escaped(str(key))}")


def escaped(name: str) -> str:
    """A name as HDF5 can have it: a slash would nest it, and a point alone has a meaning."""
    plain = name.replace("\\", "\\\\").replace("/", "\\-")
    return f"\\{plain}" if plain in ("", ".", "..") else plain


def made_file(file: Any) -> h5py.File:
    """A new HDF5 file in what h5py takes for a file, which tells no times: two runs make the same bytes."""
    access, creation = h5py.h5p.create(h5py.h5p.FILE_ACCESS), h5py.h5p.create(h5py.h5p.FILE_CREATE)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, file)
    access.set_libver_bounds(*LIBVER)
    creation.set_userblock(BLOCK)
    creation.set_obj_track_times(False)
    return h5py.File(h5py.h5f.create(b"store", h5py.h5f.ACC_TRUNC, creation, access))


def _group(file: h5py.File, path: str) -> h5py.Group:
    """The group at a path, made if there is none."""
    group: h5py.Group = file
    for name in path.split("/"):
        if name not in group:
            creation = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
            creation.set_obj_track_times(False)
            h5py.h5g.create(group.id, name.encode(), gcpl=creation)
        group = group[name]
    return group


def make_dataset(file: h5py.File, path: str, shape: tuple[int, ...], dtype: Any, unit: int, compression: Any) -> None:
    """Makes a dataset without samples.

    Args:
        file: An open file.
        path: Its path.
        shape: Of one sample.
        dtype: Of its values.
        unit: How many samples are written at once; blocks of the dataset hold a part of that, so that none is changed.
        compression: As in h5py; numbers are shuffled before, which makes them shorter.
    """
    bytes_each = max(1, int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize)
    rows = max((n for n in range(1, unit + 1) if unit % n == 0 and n * bytes_each <= CHUNK), default=1)
    folder, _, name = path.rpartition("/")
    (_group(file, folder) if folder else file).create_dataset(
        name,
        shape=(0, *shape),
        maxshape=(None, *shape),
        chunks=(rows, *(max(1, size) for size in shape)),
        dtype=dtype,
        compression=compression,
        compression_opts=1 if compression == "gzip" else None,
        shuffle=compression is not None and np.dtype(dtype).kind in "fiu",
        fletcher32=True,
    )


def own_dataset(file: h5py.File, path: str) -> h5py.Dataset:
    """A dataset whose values lie in this file: whoever made another may have chosen which is read instead.

    Raises:
        ValueError: There is none at that path, or its values lie elsewhere.
    """
    group: h5py.Group = file
    for name in path.split("/"):
        if not isinstance(group, h5py.Group) or not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError("it is not in this file")
        group = group[name]
    if not isinstance(group, h5py.Dataset) or group.external or group.is_virtual or group.dtype.hasobject:
        raise ValueError("its values are not in this file, or are no numbers")
    return group


def record_of(file: h5py.File) -> dict[str, Any]:
    """The record of a store.

    Raises:
        ValueError: It has none, or one that is too large.
    """
    held = own_dataset(file, "record")
    if held.size > LONGEST_RECORD:
        raise ValueError(f"it is longer than {LONGEST_RECORD} bytes")
    found = json.loads(held[()].tobytes().decode())
    if not isinstance(found, dict) or not {"analyzer", "made_of", "arrays", "values"} <= set(found):
        raise ValueError("it does not tell what the store is of")
    return found


def halved(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Relevance in half precision: the values over the largest of their sample, that largest, and the error.

    Half precision ends at 65504 and is exact to 2^-11 above 6e-5: within each sample values are from -1 to 1.

    Returns:
        `(values / scale, scale, error)`; the error is relative to the largest |value| of the sample, the worst one.
    """
    flat = np.abs(values).reshape(len(values), -1)
    scale = flat.max(axis=1, initial=0.0) if flat.shape[1] else np.ones(len(values), values.dtype)
    scale = np.where(scale > 0, scale, 1).astype(values.dtype)
    spread = scale.reshape(-1, *(1,) * (values.ndim - 1))
    half = (values / spread).astype("float16")
    error = np.abs(half.astype(values.dtype) - values / spread)
    return half, scale, float(error.max(initial=0.0))


def rounded(values: np.ndarray, precision: str) -> tuple[np.ndarray, float]:
    """Relevance in another precision, and the error, relative to the largest |value| of a sample.

    Raises:
        ValueError: It overflows.
    """
    with np.errstate(over="ignore"):
        found = values.astype(precision)
    if not np.isfinite(found).all():
        raise ValueError(f"relevance of {np.abs(values).max():.4g} does not fit {precision}: leave precision= out")
    flat = np.abs(values).reshape(len(values), -1).max(axis=1, initial=0.0)
    error = np.abs(found.astype(values.dtype) - values).reshape(len(values), -1).max(axis=1, initial=0.0)
    return found, float((error / np.where(flat > 0, flat, 1)).max(initial=0.0))
