"""Files: arrays in lists and dicts in HDF5, and analyzers' configurations; damage is noticed before anything is used.

HDF5 files begin with a block of our own, which HDF5 leaves alone: the checksum of all that follows. It is compared
before the HDF5 library opens the file, which may crash or never end on a damaged one. In JSON, the checksum is one more
key. Files that were written before there were checksums have neither: they are looked at in another process first.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from typing import Any, BinaryIO

import h5py

from kerasexplain.foundation.digests import versions
from kerasexplain.foundation.errors import plain
from kerasexplain.foundation.hdf5 import check_apart, check_hdf5
from kerasexplain.foundation.untrusted import JSON_BYTES, Path, from_json

#: What our HDF5 files begin with; the checksum follows.
MARK = b"kerasexplain sha256 "
#: The size of that block, the smallest that HDF5 has.
BLOCK = 512
#: What any HDF5 file without such a block begins with.
HDF5 = b"\x89HDF\r\n\x1a\n"
#: What is told of the versions that wrote a file; it is for people, and not read.
MADE_BY = "made_by"
#: The key of the checksum in JSON.
CHECKSUM = "sha256"


def write_analyzer(path: Path, config: dict[str, Any], fitted: dict[str, Any]) -> None:
    """Writes an analyzer's configuration as JSON, or in HDF5 together with its fitted values."""
    if fitted:
        write_values(path, config, fitted)
        return
    config = {**config, MADE_BY: versions()}
    text = json.dumps({**config, CHECKSUM: _of_config(config)}, indent=2)
    pathlib.Path(path).write_text(text, encoding="utf-8")


def read_analyzer(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration and the fitted values, as `write_analyzer` wrote them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file holds no analyzer, or is damaged.
    """
    none = f"{os.fspath(path)!r} holds no analyzer"
    head = _head(path, none)
    if not head.lstrip().startswith(b"{"):  # what is not read as text may be large
        config, fitted = read_values(path, "analyzer")
        if "relevance" in fitted:
            raise ValueError(f"{none}, but an explanation")
        return config, fitted
    try:
        with pathlib.Path(path).open("rb") as raw:
            config = from_json(raw.read(JSON_BYTES + 1))
    except ValueError as error:
        raise ValueError(f"{none}: {error}") from None
    checksum = config.pop(CHECKSUM, None)
    if checksum is not None and checksum != _of_config(config):
        raise ValueError(
            f"{none} as it was saved: it does not match its checksum, so that it is damaged or was changed by hand "
            f"(without the key {CHECKSUM!r} it is taken as it is)"
        )
    config.pop(MADE_BY, None)
    if set(config) != {"analyzer", "method", "options"}:
        raise ValueError(f"{none}: its keys are {list(config)}")
    return config, {}


def write_values(path: Path, config: dict[str, Any], values: dict[str, Any]) -> None:
    """Writes arrays and strings, in lists and dicts, with an analyzer's configuration, to an HDF5 file.

    Raises:
        OSError: The file cannot be written.
    """
    pathlib.Path(path).open("wb").close()  # where that fails, Python tells why in better words than HDF5
    with h5py.File(path, "w", userblock_size=BLOCK) as file:
        file.attrs["analyzer"] = json.dumps(config)
        file.attrs[MADE_BY] = json.dumps(versions())
        for name, value in values.items():
            _write(file, name, value)
    with pathlib.Path(path).open("r+b") as raw:
        checksum = _of_rest(raw)
        raw.seek(0)
        raw.write(MARK + checksum)


def read_values(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration and the values that `write_values` wrote.

    Args:
        path: The file.
        kind: What it should hold, for messages.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is of another kind, or damaged.
    """
    none = f"{os.fspath(path)!r} holds no {kind}"
    head = _head(path, none)
    if not any(head):
        raise ValueError(f"{none}: it is empty, or was not written to its end")
    if head.startswith(MARK):
        with pathlib.Path(path).open("rb") as raw:
            if head[len(MARK) :].rstrip(b"\0") != _of_rest(raw):
                raise ValueError(f"{none} as it was saved: it is damaged or cut off, and does not match its checksum")
    elif not head.startswith(HDF5):
        raise ValueError(f"{none}: it is no file of kerasexplain's")
    size = pathlib.Path(path).stat().st_size
    try:
        if not head.startswith(MARK):
            check_apart(path, size)
        with h5py.File(path, "r") as file:
            check_hdf5(file, size)
            config = from_json(file.attrs.get("analyzer", "{}"))
            values = {name: _read(file[name]) for name in file}
    except Exception as error:  # whatever h5py finds wrong with a file that has no checksum, or is a stranger's
        raise ValueError(f"{none}: {plain(error)}") from error
    if not isinstance(config, dict) or "analyzer" not in config:
        raise ValueError(f"{none}: it has no configuration")
    return config, values


def _head(path: Path, none: str) -> bytes:
    """The first bytes of a file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no file; `none` is what the message begins with.
    """
    file = pathlib.Path(path)
    if not file.exists():
        raise FileNotFoundError(f"there is no file {os.fspath(path)!r}")
    if not file.is_file():
        raise ValueError(f"{none}: it is {'a folder' if file.is_dir() else 'no file'}")
    with file.open("rb") as raw:
        return raw.read(BLOCK)


def _of_config(config: dict[str, Any]) -> str:
    """The checksum of a configuration, however it is spaced."""
    return hashlib.sha256(json.dumps(config).encode()).hexdigest()


def _of_rest(raw: BinaryIO) -> bytes:
    """The checksum of all that follows the first block."""
    raw.seek(BLOCK)
    found = hashlib.sha256()
    while piece := raw.read(2**20):
        found.update(piece)
    return found.hexdigest().encode()


def _write(group: h5py.Group, name: str, value: Any) -> None:
    """Writes a value under a name."""
    if isinstance(value, (dict, list, tuple)):
        child = group.create_group(name, track_order=True)
        child.attrs["kind"] = type(value).__name__
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            _write(child, str(key).replace("/", "\\"), item)  # a slash would nest the group
    else:
        group.create_dataset(name, data=value)


def _read(item: h5py.Group | h5py.Dataset) -> Any:
    """The value that `_write` wrote."""
    if isinstance(item, h5py.Dataset):
        value = item[()]
        return value.decode() if isinstance(value, bytes) else value
    values = {key.replace("\\", "/"): _read(child) for key, child in item.items()}
    if item.attrs["kind"] == "dict":
        return values
    return list(values.values()) if item.attrs["kind"] == "list" else tuple(values.values())
