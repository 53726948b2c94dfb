"""The circumstances of a store: all that its numbers depend on, as plain data that can be compared with what it was."""

from __future__ import annotations

import hashlib
import os
import pathlib
from typing import Any

import keras
import numpy as np

from kerasexplain.analyzer import Analyzer
from kerasexplain.foundation.config import serialize
from kerasexplain.foundation.digests import as_text, changed, of_arrays, of_model, versions
from kerasexplain.store.reading import Store

#: Packages that have no part in an explanation.
BESIDE = ("scipy", "scikit-image", "scikit-learn")
#: What "changed" is said of, where it is not told which part of a model it is.
MODEL = "the model or its weights"
#: A digest of all keys that were given.
KEYS = "the keys"
#: Which part of the data a store holds, where it is not all: `[index, count]`.
SHARD = "the shard"


def circumstances(analyzer: Analyzer, **asked: Any) -> dict[str, Any]:
    """The circumstances, by readable names.

    Args:
        analyzer: The analyzer, of which the configuration, the values it was fitted to and the model count.
        **asked: What else decides, as plain data.

    Raises:
        ValueError: The model has no weights yet.
        TypeError: The analyzer's configuration cannot be told from another: it holds a function without a name.
    """
    if not analyzer.model.built:
        raise ValueError(
            f"the model {analyzer.model.name!r} has not been called, so that its weights are not known yet: call it "
            "once, or pass example= to create_analyzer"
        )
    method = analyzer.method
    fitted = {name: getattr(method, name) for name in method.fitted_fields if getattr(method, name) is not None}
    config = analyzer.get_config()
    config["options"].pop("batch_size", None)  # told on its own
    return {
        MODEL: of_model(analyzer.model),
        "the analyzer": as_text(config),
        "what the analyzer was fitted to": of_arrays(fitted) if fitted else "",
        **asked,
        "the floating-point numbers": keras.config.floatx(),
        "versions": {name: version for name, version in versions().items() if name not in BESIDE},
    }


def digest(found: dict[str, Any]) -> str:
    """The circumstances in 32 letters."""
    return hashlib.sha256(as_text(found).encode()).hexdigest()[:32]


def told(target: Any) -> str:
    """A target as text; of a function its name, which is all that two processes can compare."""
    if callable(target):
        return f"a function {getattr(target, '__qualname__', type(target).__name__)}"
    if hasattr(target, "against"):
        return f"Contrast {of_arrays([np.asarray(side) for side in (target.target, target.against)])}"
    if target is None or isinstance(target, (int, str)):
        return as_text(serialize(target))
    return of_arrays(np.asarray(target))


def check_path(path: pathlib.Path, resume: bool) -> None:
    """Raises OSError or ValueError unless a store can be written there, anew or to be gone on with."""
    if path.is_dir():
        raise ValueError(f"the store is a file, and {str(path)!r} is a folder")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(path.parent)!r} to write {path.name!r} to")
    if path.exists() and not resume:
        raise FileExistsError(f"{str(path)!r} exists: resume=True goes on with it; or choose another name")


def check_same(held: Store, made_of: dict[str, Any]) -> None:
    """Raises ValueError unless a store was made of the same."""
    others = changed(held.record["made_of"], made_of)
    if others:
        raise not_the_same(held, ", ".join(others))


def not_the_same(held: Store, what: str) -> ValueError:
    """The error for a store that was begun with something else; `what` has changed."""
    return ValueError(
        f"{os.fspath(held.path)!r} cannot be resumed: {what} changed since it was begun. Take what it was begun with, "
        "or another file"
    )
