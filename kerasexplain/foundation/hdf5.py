"""HDF5 files of strangers: what they declare, and where it lies, is looked at before a value is read.

The HDF5 library may crash on a file that was damaged or made to harm, or never end (1.14.6 does, for one in 400 of the
files that a test damages). What no checksum vouches for is looked at in a process of its own, which may.
"""

from __future__ import annotations

import json
import math
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from kerasexplain.foundation.untrusted import Part, Path

#: No file has more groups, arrays, attributes and pieces of arrays.
MOST_OBJECTS = 100_000
#: Attributes of Keras 2 that list names; a long list is in several.
NAMES, MOST_NAMES = ("layer_names", "weight_names"), 5_000
#: What the process that looks at a file may take: seconds of work, seconds in all, and bytes besides what the file may
#: unpack to.
WORK, SECONDS, BYTES = 5, 60, 256 * 2**20
_BEGUN = b"begun "
_CODE = "import sys; sys.path[:] = sys.argv[2:]; from kerasexplain.foundation.hdf5 import look; look(sys.argv[1])"


def check_apart(path: Path, most: int, *, names: bool = False, part: tuple[int, int] | None = None) -> int:
    """The same as `check_hdf5`, for a file that is opened in a process of its own, where all its structure is read.

    Args:
        path: The file.
        most, names: As for `check_hdf5`.
        part: Where in the file the HDF5 file begins, and how long it is; by default all of it.

    Raises:
        ValueError: The file is refused, or that process crashed, or took too long.
    """
    asked = json.dumps({"path": os.path.abspath(path), "most": most, "names": names, "part": part})  # noqa: PTH100
    folders = [*filter(None, sys.path), str(pathlib.Path(__file__).parents[2])]  # the current one may be a stranger's
    begun, told = _answer([sys.executable, "-c", _CODE, asked, *folders])
    if not begun:  # what runs here may be another program that has Python in it, or may start none
        with _opened(path, part) as file:
            return check_hdf5(file, most, names=names)
    if not told:
        raise ValueError("it is damaged: the HDF5 library crashed, or did not come to its end")
    found = json.loads(told)
    if isinstance(found, str):
        raise ValueError(found)
    return int(found)


def _answer(command: list[str]) -> tuple[bool, bytes]:
    """Whether a process for a file got as far as to open it, and what it then said; nothing if it crashed."""
    if not sys.executable or getattr(sys, "frozen", False):
        return False, b""
    try:
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").startswith(_BEGUN), b""
    except OSError:
        return False, b""
    said = ended.stdout
    return said.startswith(_BEGUN), b"" if ended.returncode else said.removeprefix(_BEGUN)


def look(asked: str) -> None:
    """The work of that process: prints, as JSON, how many bytes the values take, or why the file is refused."""
    given = json.loads(asked)
    print(_BEGUN.decode(), end="", flush=True)
    _limit(given["most"] + BYTES)
    told: int | str
    try:
        with _opened(given["path"], given["part"]) as file:
            told = check_hdf5(file, given["most"], names=given["names"])
            for item, _ in _objects(file):
                dict(item.attrs)
                if isinstance(item, h5py.Dataset) and (item.chunks or item.dtype.hasobject):
                    item[()]
    except Exception as error:  # whatever h5py finds wrong with the file
        told = " ".join(str(error).split()) or type(error).__name__
    print(json.dumps(told))


def _limit(more: int) -> None:
    """Limits the time of this process, and its memory to so much more than it has; where that can be done."""
    try:
        import resource

        used = math.ceil(time.process_time())
        resource.setrlimit(resource.RLIMIT_CPU, (used + WORK, used + WORK))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with open("/proc/self/statm") as file:  # noqa: PTH123
            most = int(file.read().split()[0]) * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    except (ImportError, OSError, ValueError):
        return


def _opened(path: Path, part: tuple[int, int] | None) -> h5py.File:
    return h5py.File(path if part is None else Part(path, *part), "r")


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
