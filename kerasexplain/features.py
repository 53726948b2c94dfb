"""Features of a table by name: relevance and values from arrays, DataFrames, or one array per input."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasexplain.feature_space import Column, columns_of, is_feature_space
from kerasexplain.foundation.arrays import real_array
from kerasexplain.foundation.checks import check_count
from kerasexplain.foundation.errors import nearest

#: Labels that are longer are cut in their middle: they would leave no room for the picture, and end with the value.
_LONGEST = 36


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """The features of several samples.

    Attributes:
        names: Of each feature.
        relevance: `(samples, features)`, in double precision.
        values: `(samples, features)`, numbers or whatever else a table holds; None where they are not known.
        categories: Which category each column of a one-hot code stands for, None where it is none; or None of all.
    """

    names: tuple[str, ...]
    relevance: np.ndarray
    values: np.ndarray | None = None
    categories: tuple[str | None, ...] | None = None

    def label(self, sample: int, feature: int) -> str:
        """A feature with its value in a sample, such as "age = 41"."""
        value = None if self.values is None else self.values[sample, feature]
        if _is_missing(value):
            return shortened(self.names[feature])
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        return shortened(f"{self.names[feature]} = {f'{value:.4g}' if is_number else value}")

    def numbers(self, feature: int) -> np.ndarray:
        """The values of a feature, NaN where they are no numbers, `(samples,)`."""
        if self.values is None:
            return np.full(len(self.relevance), np.nan)
        return np.array([_number(value) for value in self.values[:, feature]])

    def index(self, feature: int | str) -> int:
        """Where a feature is, by its name or index.

        Raises:
            ValueError: There is no such feature.
        """
        if isinstance(feature, str):
            if feature not in self.names:
                raise ValueError(f"there is no feature {feature!r}.{nearest(feature, self.names)}")
            return self.names.index(feature)
        if isinstance(feature, bool) or not 0 <= feature < len(self.names):
            raise ValueError(f"feature must be a name or from 0 to {len(self.names) - 1}, got {feature!r}")
        return int(feature)


def features_of(relevance: Any, values: Any = None, names: Any = None, *, summed: bool = True) -> Features:
    """The features of a table.

    Args:
        relevance: `(samples, features)`; or of several inputs one entry each, `(samples,)` or `(samples, columns)`.
        values: In the same structure, or a DataFrame; None where they are not known.
        names: One per column, where a column of a one-hot code may be `(feature, category)`; of several inputs one
            per input, or by input the names of its columns. Or the `keras.utils.FeatureSpace` that encoded the table.
            None takes those of DataFrames and inputs, and else the columns' numbers.
        summed: Whether columns of one name, and those of an input whose columns have no names, are one feature: their
            relevance is summed, and its value names the column that holds the one of a one-hot code.

    Raises:
        ValueError: Relevance, values or names are no table, or do not fit together.
    """
    names = named_columns(names)
    entries = entries_of(relevance)
    if entries is None:
        parts = [_table(relevance, values, names, None)]
    elif len(entries) == 1:
        ((name, only),) = entries.items()
        named = names[name] if isinstance(names, Mapping) and name in names else names
        parts = [_table(_columns(only), values_of_one(values, name), named, None)]
    else:
        parts = _by_input(entries, values, names, summed)
    counts = sorted({len(part.relevance) for part in parts})
    if len(counts) > 1:
        raise ValueError(f"the inputs hold different numbers of samples: {counts}")
    every = tuple(name for part in parts for name in part.names)
    known = [part.values for part in parts if part.values is not None]
    found = Features(
        every,
        np.concatenate([part.relevance for part in parts], axis=1),
        np.concatenate(known, axis=1) if len(known) == len(parts) else None,
        tuple(category for part in parts for category in part.categories or (None,) * len(part.names)),
    )
    if not summed:
        return _by_column(found)
    return _merged(found) if len(set(every)) < len(every) else found


def named_columns(names: Any) -> Any:
    """Names as they are; of a FeatureSpace those of its columns."""
    return columns_of(names) if is_feature_space(names) else names


def column_name(column: str | Column) -> str:
    """The name of one column among others."""
    return f"{column[0]}[{column[1]}]" if isinstance(column, tuple) else str(column)


def is_one_feature(names: Any) -> bool:
    """Whether names are those of the columns of one feature: alone, or in a one-hot code."""
    columns = [] if isinstance(names, (str, Mapping)) else list(names)
    return len(columns) == 1 or (all(map(_is_column, columns)) and len(dict(columns)) == 1)


def entries_of(values: Any) -> dict[str, Any] | None:
    """Arrays of several inputs by name: "input 0" and so on where they have none; None of what is one array."""
    if isinstance(values, Mapping):
        return {str(name): value for name, value in values.items()}
    if isinstance(values, (list, tuple)) and values and all(isinstance(value, np.ndarray) for value in values):
        return {f"input {i}": value for i, value in enumerate(values)}
    return None


def values_of(values: Any, name: str) -> Any:
    """The values of an input, of those of several: from a dict, a list, or the columns of a DataFrame.

    Raises:
        ValueError: There are none of that input.
    """
    if values is None:
        return None
    if isinstance(values, (list, tuple)):
        values = {f"input {i}": value for i, value in enumerate(values)}
    if not isinstance(values, Mapping) and not hasattr(values, "columns"):
        raise ValueError(f"there are several inputs: values must be by input, too, got {type(values).__name__}")
    if name not in values:
        raise ValueError(f"values have no entry for the input {name!r}.{nearest(name, map(str, values))}")
    return values[name]


def values_of_one(values: Any, name: str) -> Any:
    """The values of the only input, by its name or as they are."""
    return values_of(values, name) if entries_of(values) is not None else values


def is_one_hot(values: Any) -> bool:
    """Whether each row is a one-hot code: a one among zeros."""
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] < 2 or array.dtype.kind not in "biuf":
        return False
    return bool(np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all())


def ranked(strength: np.ndarray, most: int) -> tuple[list[int], list[int]]:
    """The features that are shown, the strongest first, and those that are summed: never one alone."""
    check_count("most", most)
    order = np.argsort(-strength, kind="stable").tolist()
    shown = len(order) if len(order) <= most + 1 else most
    return order[:shown], order[shown:]


def shortened(text: str) -> str:
    """A text as a label: no longer than there is room for."""
    half = _LONGEST // 2
    return text if len(text) <= _LONGEST else f"{text[: half - 1]}…{text[-half:]}"


def _by_input(entries: Mapping[str, Any], values: Any, names: Any, summed: bool) -> list[Features]:
    """The features of each input."""
    if names is not None and not isinstance(names, Mapping):
        names = _checked(names, len(entries), "inputs")
        shown = dict(zip(entries, names, strict=True))
        columns: Mapping[str, Any] = {}
    else:
        shown = {name: name for name in entries}
        columns = names or {}
        unknown = [name for name in columns if name not in entries]
        if unknown:
            raise ValueError(
                f"names= has an entry for {unknown[0]!r}, which is no input.{nearest(unknown[0], entries)}"
            )
    parts = []
    for name, relevance in entries.items():
        table, held = _columns(relevance), values_of(values, name)
        width = table.shape[1] if table.ndim == 2 else 0
        if name not in columns and width > 1 and summed:
            if held is not None and np.shape(held)[1:] in ((), (1,)):  # what the columns are a code of
                table = table.sum(axis=1, keepdims=True)
            part = _table(table, held, [shown[name]] * table.shape[1], name)
        elif width == 1 and name not in columns:
            part = _table(table, held, [shown[name]], name)
        else:
            part = _table(table, held, columns.get(name), name)
            own = part.names if name in columns or hasattr(held, "columns") else range(width)
            if part.categories is None and list(own) != [name]:
                part = dataclasses.replace(part, names=tuple(f"{shown[name]}[{column}]" for column in own))
        parts.append(part)
    return parts


def _table(relevance: Any, values: Any, names: Any, input_: str | None) -> Features:
    """The features of one array."""
    what = "relevance" if input_ is None else f"relevance of input {input_!r}"
    expected = f"{what} must be that of a table, (samples, features)"
    if np.ndim(relevance) == 1:
        raise ValueError(f"{expected}; got shape {np.shape(relevance)}: of one sample, pass relevance[None]")
    table = real_array(relevance, what, expected, (2,)).astype(np.float64)
    if names is None:
        framed = next((frame.columns for frame in (values, relevance) if hasattr(frame, "columns")), None)
        names = [f"feature {i}" for i in range(table.shape[1])] if framed is None else [str(name) for name in framed]
    named, categories = _split(_checked(names, table.shape[1], "features"))
    if values is None:
        return Features(named, table, None, categories)
    held = values.to_numpy(dtype=object) if hasattr(values, "to_numpy") else np.asarray(values)
    held = _columns(held).astype(object)
    if held.shape != table.shape:
        raise ValueError(f"values must have the shape of the {what}, {table.shape}; got {held.shape}")
    return Features(named, table, held, categories)


def _columns(values: Any) -> Any:
    """One column, where an input has one number per sample."""
    return np.reshape(values, (-1, 1)) if np.ndim(values) == 1 else values


def _checked(names: Any, count: int, of: str) -> list[str | Column]:
    """Names, as many as there must be."""
    if isinstance(names, (str, Mapping)) or not all(isinstance(name, str) or _is_column(name) for name in names):
        raise ValueError(f"names must be a list of {count} strings, one for each of the {of}, got {names!r}")
    if len(names) != count:
        raise ValueError(f"there are {count} {of}, but {len(names)} names")
    return list(names)


def _is_column(name: Any) -> bool:
    return isinstance(name, tuple) and len(name) == 2 and all(isinstance(part, str) for part in name)


def _split(names: list[str | Column]) -> tuple[tuple[str, ...], tuple[str | None, ...] | None]:
    """The features of columns, and the categories, if there are any."""
    pairs = [(name, None) if isinstance(name, str) else name for name in names]
    categories = tuple(category for _, category in pairs)
    return tuple(name for name, _ in pairs), categories if any(categories) else None


def _by_column(found: Features) -> Features:
    """The same, where each column of a code has the name of its category, too."""
    pairs = zip(found.names, found.categories or (), strict=True)
    named = tuple(name if category is None else column_name((name, category)) for name, category in pairs)
    return dataclasses.replace(found, names=named, categories=None)


def _merged(found: Features) -> Features:
    """One feature for all columns of one name."""
    named = np.array(found.names, dtype=object)
    names = tuple(dict.fromkeys(found.names))
    blocks = [np.flatnonzero(named == name) for name in names]
    relevance = np.stack([found.relevance[:, block].sum(axis=1) for block in blocks], axis=1)
    if found.values is None:
        return Features(names, relevance)
    values = np.empty(relevance.shape, dtype=object)
    for i, block in enumerate(blocks):
        held = found.values[:, block]
        categories = [(found.categories or ())[column] for column in block]
        values[:, i] = held[:, 0] if len(block) == 1 else [_hot(row, categories) for row in held]
    return Features(names, relevance, values)


def _hot(row: np.ndarray, categories: list[str | None]) -> Any:
    """The category that a one-hot code says, by its column's number where it has no name; NaN of what is no code."""
    numbers = np.array([_number(value) for value in row])
    if not np.isin(numbers, (0.0, 1.0)).all() or numbers.sum() != 1:
        return np.nan
    return categories[numbers.argmax()] or f"column {numbers.argmax()}"


def _number(value: Any) -> float:
    try:
        return np.nan if isinstance(value, (str, bytes)) else float(value)
    except (TypeError, ValueError):
        return np.nan


def _is_missing(value: Any) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas' NA has no truth
        return True
