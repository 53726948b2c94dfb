"""The circumstances of a store: all that its numbers depend on, as plain data that can be compared with what it was."""

from __future__ import annotations

import hashlib
from typing import Any

import keras
import numpy as np

from kerasexplain.analyzer import Analyzer
from kerasexplain.foundation.config import serialize
from kerasexplain.foundation.digests import as_text, of_arrays, of_model, versions

#: Packages that have no part in an explanation.
BESIDE = ("scipy", "scikit-image", "scikit-learn")
#: What "changed" is said of, where it is not told which part of a model it is.
MODEL = "the model or its weights"
#: Which part of the data a store holds, where it is not all: `[index, count]`.
SHARD = "the shard"


def circumstances(analyzer: Analyzer, **asked: Any) -> dict[str, Any]:
    """The circumstances, by readable names.

    Args:
        analyzer: The analyzer, of which the configuration, the values it was fitted to and the model count.
        **asked: What else decides, as plain data.

    Raises:
        TypeError: The analyzer's configuration cannot be told from another: it holds a function without a name.
    """
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
