"""Files: arrays in lists and dicts in HDF5, and analyzers' configurations."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import h5py


def write_analyzer(path: str | os.PathLike[str], config: dict[str, Any], learnt: dict[str, Any]) -> None:
    """Writes an analyzer's configuration as JSON, or with what it learnt in HDF5."""
    text = json.dumps(config, indent=2)
    if not learnt:
        pathlib.Path(path).write_text(text, encoding="utf-8")
        return
    with h5py.File(path, "w") as file:
        file.attrs["analyzer"] = text
        for name, value in learnt.items():
            write(file, name, value)


def read_analyzer(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration and what was learnt, as `write_analyzer` wrote them.

    Raises:
        ValueError: The file holds no analyzer.
    """
    none = f"{os.fspath(path)!r} holds no analyzer"
    if h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            if "analyzer" not in file.attrs or "relevance" in file:  # an explanation has the attribute too
                raise ValueError(none)
            return json.loads(file.attrs["analyzer"]), {name: read(file[name]) for name in file}
    try:
        config = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{none}: {error}") from None
    if not isinstance(config, dict) or "analyzer" not in config:
        raise ValueError(none)
    return config, {}


def write(group: h5py.Group, name: str, value: Any) -> None:
    """Writes a value under a name."""
    if isinstance(value, (dict, list, tuple)):
        child = group.create_group(name, track_order=True)
        child.attrs["kind"] = type(value).__name__
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            write(child, str(key).replace("/", "\\"), item)  # a slash would nest the group
    else:
        group.create_dataset(name, data=value)


def read(item: h5py.Group | h5py.Dataset) -> Any:
    """The value that `write` wrote."""
    if isinstance(item, h5py.Dataset):
        value = item[()]
        return value.decode() if isinstance(value, bytes) else value
    values = {key.replace("\\", "/"): read(child) for key, child in item.items()}
    if item.attrs["kind"] == "dict":
        return values
    return list(values.values()) if item.attrs["kind"] == "list" else tuple(values.values())
