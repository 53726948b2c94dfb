"""Digests: what a saved number was made of, as text that can be compared with what there is now."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

#: Packages whose version may decide a digit of a number.
COMPUTING = ("kerasexplain", "numpy", "scipy", "scikit-image", "scikit-learn")


def of_model(model: keras.Model) -> str:
    """The digest of a model: its configuration, and the name, shape and values of every weight.

    The file that it comes from does not count, which has the time in it when it was saved. Of a model of the user's own
    class, which may have no configuration, the class and the weights count.
    """
    found = hashlib.sha256(_configuration(model).encode())
    for weight in model.weights:
        # A Sequential has its own name in the paths of its weights until it has been saved.
        _add(found, weight.name, keras.ops.convert_to_numpy(weight))
    return found.hexdigest()


def of_architecture(model: keras.Model) -> str:
    """The digest of a model's configuration alone, which takes no look at a weight."""
    return hashlib.sha256(_configuration(model).encode()).hexdigest()


def _configuration(model: keras.Model) -> str:
    try:
        config = keras.saving.serialize_keras_object(model)
        config.pop("compile_config", None)  # what trains it decides nothing
        return as_text(config)
    except (NotImplementedError, TypeError, ValueError):
        return f"{type(model).__module__}.{type(model).__qualname__}"


def of_arrays(tree: Any) -> str:
    """The digest of arrays, in lists and dicts."""
    found = hashlib.sha256()
    for path, array in keras.tree.flatten_with_path(tree):
        _add(found, str(path), np.asarray(array))
    return found.hexdigest()


def versions() -> dict[str, str]:
    """The versions of what computes, by name."""
    backend = keras.backend.backend()
    found = {"keras": keras.__version__, backend: getattr(sys.modules.get(backend), "__version__", "unknown")}
    installed = {name: _version(name) for name in COMPUTING}
    return {**{name: version for name, version in installed.items() if version}, **found}


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def changed(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The names of the circumstances that differ; of versions, which ones."""
    named = dict.fromkeys([*now, *was])
    found = [name for name in named if name != "versions" and was.get(name) != now.get(name)]
    before, after = was.get("versions") or {}, now["versions"]
    return found + [
        f"{package} (was {before.get(package, 'absent')}, is {after.get(package, 'absent')})"
        for package in sorted({*before, *after})
        if before.get(package) != after.get(package)
    ]


def as_text(value: Any) -> str:
    """Plain data as text, the same however its keys are ordered."""
    return json.dumps(value, sort_keys=True, default=str)


def _add(found: Any, name: str, array: np.ndarray) -> None:
    found.update(f"{name} {array.dtype} {array.shape}\n".encode())
    found.update(np.ascontiguousarray(array).tobytes())
