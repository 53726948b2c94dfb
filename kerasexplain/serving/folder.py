"""The folder of an export: it appears whole, and never in place of what is no export."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from kerasexplain.foundation.untrusted import JSON_BYTES, from_json

#: The file that tells an export from any other folder, and what it says of itself.
RECORD, FORMAT = "explainer.json", "kerasexplain export 1"


def check_folder(folder: pathlib.Path) -> None:
    """Raises OSError unless an export may be written there: no folder, an empty one, or one with an export alone."""
    if not folder.exists():
        return
    if folder.resolve() in (here := pathlib.Path.cwd(), *here.parents):
        raise FileExistsError(f"the folder {os.fspath(folder)!r} is in use, as the working directory: name one in it")
    if not folder.is_dir():
        raise FileExistsError(f"an export is a folder, and {os.fspath(folder)!r} is a file: choose another name")
    if not any(folder.iterdir()):
        return
    own = _files_of_export(folder)
    foreign = sorted(set(_files(folder)) - {*own, RECORD})
    if foreign or not own:
        held = f"holds {foreign[0]!r}" if own else f"is no export (it has no {RECORD} of this library's)"
        raise FileExistsError(
            f"the folder {os.fspath(folder)!r} {held}, and is not overwritten: choose another, or empty it first"
        )


def _files_of_export(folder: pathlib.Path) -> list[str]:
    """The files that an export says it has; none of what is no export."""
    try:
        with (folder / RECORD).open("rb") as raw:
            found = from_json(raw.read(JSON_BYTES + 1))
    except (OSError, ValueError):
        return []
    is_export = isinstance(found, dict) and found.get("format") == FORMAT
    files = found.get("files") if is_export else None
    return [name for name in files if isinstance(name, str)] if isinstance(files, list) else []


def _files(folder: pathlib.Path) -> list[str]:
    """All files in a folder and the folders in it, by their path there."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


@contextlib.contextmanager
def written(folder: pathlib.Path, record: Mapping[str, Any]) -> Iterator[pathlib.Path]:
    """Gives an empty folder to write to, which takes the place of the other when all is written.

    Args:
        folder: Where the export will be.
        record: What is told of it, as plain data.

    Raises:
        OSError: There is something else already, or it cannot be written.
    """
    folder = folder.resolve()
    check_folder(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
        new, old = pathlib.Path(beside, "new"), pathlib.Path(beside, "old")
        new.mkdir()
        yield new
        text = json.dumps({"format": FORMAT, **record, "files": _files(new)}, indent=2)
        (new / RECORD).write_text(text + "\n", encoding="utf-8")
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
