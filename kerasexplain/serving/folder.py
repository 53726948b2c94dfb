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
#: Whatever else lies in an export, by its name or its end.
_OWN = ("saved_model.pb", "fingerprint.pb", "variables", "assets", "weights.npz", RECORD)
_OWN_SUFFIX = ".jax"


def check_folder(folder: pathlib.Path) -> None:
    """Raises OSError unless an export may be written there: no folder, an empty one, or one with an export alone."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"an export is a folder, and {os.fspath(folder)!r} is a file: choose another name")
    found = {path.name for path in folder.iterdir()}
    if not found:
        return
    foreign = sorted(name for name in found if name not in _OWN and not name.endswith(_OWN_SUFFIX))
    if foreign or not _is_export(folder):
        held = f"holds {foreign[0]!r}" if foreign else f"is no export (it has no {RECORD} of this library's)"
        raise FileExistsError(
            f"the folder {os.fspath(folder)!r} {held}, and is not overwritten: choose another, or empty it first"
        )


def _is_export(folder: pathlib.Path) -> bool:
    try:
        with (folder / RECORD).open("rb") as raw:
            found = from_json(raw.read(JSON_BYTES + 1))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("format") == FORMAT


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
        text = json.dumps({"format": FORMAT, **record}, indent=2)
        (new / RECORD).write_text(text + "\n", encoding="utf-8")
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
