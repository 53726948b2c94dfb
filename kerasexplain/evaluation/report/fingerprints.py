"""Fingerprints: what a number of an evaluation depends on, as text that can be compared with what it was."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kerasexplain.evaluation.comparing import Comparing
from kerasexplain.evaluation.naming import SHARED, Chosen
from kerasexplain.evaluation.trials import Samples
from kerasexplain.foundation.config import serialize
from kerasexplain.metrics.metric import Metric

#: Packages whose version may decide a digit of a score.
COMPUTING = ("kerasexplain", "numpy", "scipy", "scikit-image", "scikit-learn")


def of_model(model: keras.Model) -> str:
    """The digest of a model: its configuration, and the name, shape and values of every weight.

    The file that it comes from does not count, which has the time in it when it was saved.
    """
    found = hashlib.sha256(_text(keras.saving.serialize_keras_object(model)).encode())
    for weight in model.weights:
        _add(found, weight.path, keras.ops.convert_to_numpy(weight))
    return found.hexdigest()


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


def of_circumstances(run: Comparing) -> dict[str, Any]:
    """The fingerprints of everything that all scores depend on, by readable names."""
    samples = run.samples
    options = {name: serialize(getattr(run.value.options, name), strict=False) for name in SHARED}
    return {
        "the model": of_model(run.value.model),
        "the data": of_arrays(samples.x),
        "what is explained": f"{of_arrays(samples.target)} {_text(options)}",
        "the background": "" if samples.background is None else of_arrays(samples.background),
        "versions": versions(),
    }


def of_analyzer(chosen: Chosen) -> str:
    """The name and options of an analyzer."""
    return _text({"name": chosen.name, "options": {key: repr(value) for key, value in chosen.options.items()}})


def of_metric(metric: Metric, samples: Samples) -> str:
    """The name and options of a metric, and the masks if it needs them."""
    config = {field: serialize(value, strict=False) for field, value in vars(metric).items()}
    masks = of_arrays(samples.masks) if metric.needs_masks else ""
    return _text({"name": metric.name, "options": config, "masks": masks})


def changed(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The names of the circumstances that differ; of versions, which ones."""
    found = [name for name in now if name != "versions" and was.get(name) != now[name]]
    before, after = was.get("versions") or {}, now["versions"]
    return found + [
        f"{package} (was {before.get(package, 'absent')}, is {after.get(package, 'absent')})"
        for package in sorted({*before, *after})
        if before.get(package) != after.get(package)
    ]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _add(found: Any, name: str, array: np.ndarray) -> None:
    found.update(f"{name} {array.dtype} {array.shape}\n".encode())
    found.update(np.ascontiguousarray(array).tobytes())
