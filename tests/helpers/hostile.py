"""Files made to harm: archives that unpack to far more than they are, names that lead elsewhere, and so on."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import pathlib
import resource
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import numpy as np

#: What a file may cost: seconds, and bytes.
SECONDS, BYTES = 10.0, 2**30


@contextlib.contextmanager
def within_bounds() -> Iterator[None]:
    """Fails where what is done takes too long, or too much memory."""
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.monotonic() - began < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < BYTES


def members(path: pathlib.Path, change: Callable[[dict[str, bytes]], Any], packed: int = zipfile.ZIP_STORED) -> None:
    """Writes an archive anew, with other members."""
    with zipfile.ZipFile(path) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    change(held)
    with zipfile.ZipFile(path, "w", packed) as archive:
        for name, content in held.items():
            archive.writestr(name, content)


def directory(path: pathlib.Path, change: Callable[[zipfile.ZipFile], Any]) -> None:
    """Changes what an archive says of its members, and leaves them as they are."""
    with zipfile.ZipFile(path, "a") as archive:
        change(archive)
        archive._didModify = True  # type: ignore[attr-defined]


def twins(archive: zipfile.ZipFile) -> None:
    """A member of another name that lies where one does."""
    twin = copy.copy(archive.filelist[0])
    twin.filename = "twin.npy"
    archive.filelist.append(twin)


def claims(size: int) -> Callable[[zipfile.ZipFile], None]:
    """A first member that says it is so large."""

    def change(archive: zipfile.ZipFile) -> None:
        archive.filelist[0].file_size = size

    return change


def many(archive: zipfile.ZipFile) -> None:
    """More members than any model has."""
    for number in range(10_001):
        archive.writestr(str(number), b"")


def weights(path: pathlib.Path, change: Callable[[h5py.File], Any]) -> None:
    """Changes the weights in a `.keras` file."""

    def changed(held: dict[str, bytes]) -> None:
        buffer = io.BytesIO(held["model.weights.h5"])
        with h5py.File(buffer, "r+") as file:
            change(file)
        held["model.weights.h5"] = buffer.getvalue()

    members(path, changed)


def configuration(path: pathlib.Path, change: Callable[[Any], Any]) -> None:
    """Changes the configuration in a `.keras` file."""

    def changed(held: dict[str, bytes]) -> None:
        config = json.loads(held["config.json"])
        change(config)
        held["config.json"] = json.dumps(config).encode()

    members(path, changed)


def array(shape: tuple[int, ...], dtype: str = "<f8", content: bytes = b"") -> bytes:
    """An array's file, whatever its header says."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + content


def png(width: int, height: int) -> bytes:
    """An image that says that it is so large, with one row."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(width * 3)))
        + chunk(b"IEND", b"")
    )
