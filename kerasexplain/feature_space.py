"""The columns that a `keras.utils.FeatureSpace` encodes a table in, by feature and category."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from kerasexplain.labels import number

#: A feature, and the category that a column of its one-hot code stands for.
Column = tuple[str, str]


def is_feature_space(names: Any) -> bool:
    """Whether names are to be taken from a `keras.utils.FeatureSpace`."""
    return hasattr(names, "get_encoded_features") and hasattr(names, "one_hot_encoders")


def columns_of(space: Any) -> list[str | Column] | dict[str, list[str | Column]]:
    """The columns of a FeatureSpace: of one array, or by feature where it gives a dict.

    A column of a one-hot code is `(feature, category)`, any other the name of its feature.

    Args:
        space: A `keras.utils.FeatureSpace` that is adapted.

    Raises:
        ValueError: It is not adapted.
    """
    encoded = space.get_encoded_features()
    # In the order in which Keras puts them side by side.
    names = [*sorted(space.features), *sorted(cross.name for cross in space.crosses)]
    found = {name: _columns(space, name) for name in names}
    if isinstance(encoded, dict):
        return {name: columns or [name] * int(encoded[name].shape[-1]) for name, columns in found.items()}
    return [column for name, columns in found.items() for column in columns or [name] * _width(space, name)]


def _width(space: Any, name: str) -> int:
    """How many columns a feature has that is no one-hot code, as one with a preprocessor of its own may have many."""
    if name not in space.features:
        return 1
    return int(space.preprocessors[name](space.get_inputs()[name]).shape[-1] or 1)


def _columns(space: Any, name: str) -> list[str | Column]:
    """The columns of a feature's one-hot code; none where it has no such code."""
    encoder = space.one_hot_encoders.get(name)
    if encoder is None:
        return []
    layer = space.preprocessors.get(name) or space.crossers.get(name)
    return [(name, category) for category in _categories(layer, int(encoder.num_tokens))]


def _categories(layer: Any, count: int) -> list[str]:
    if hasattr(layer, "get_vocabulary"):
        told = ["unknown" if word == layer.oov_token else str(word) for word in layer.get_vocabulary()]
        return told if len(told) == count else [f"category {i}" for i in range(count)]
    boundaries = np.asarray(getattr(layer, "bin_boundaries", None) or ())
    if len(boundaries) != count - 1:
        return [f"bin {i}" for i in range(count)]
    edges = [number(edge) for edge in boundaries.ravel()]
    between = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
    return [f"below {edges[0]}", *between, f"from {edges[-1]}"]
