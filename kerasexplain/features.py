"""Features of a table by name: relevance and values from arrays, DataFrames, or one array per input."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerasexplain.feature_space import Column, columns_of, is_feature_space
from kerasexplain.foundation.arrays import real_array
from kerasexplain.foundation.checks import check_count
from kerasexplain.foundation.errors import nearest
from kerasexplain.frames import aligned, column_names, is_frame, label_name, orders_of
from kerasexplain.labels import as_number, labels


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """The features of several samples.

    Attributes:
        names: Of each feature.
        relevance: `(samples, features)`, in double precision.
        values: `(samples, features)`, numbers or whatever else a table holds; None where they are not known.
        categories: Which category each column of a one-hot code stands for, None where it is none; or None of all.
        orders: Of each feature the order of its values, as texts; empty where a table says of none. Or None of all.
    """

    names: tuple[str, ...]
    relevance: np.ndarray
    values: np.ndarray | None = None
    categories: tuple[str | None, ...] | None = None
    orders: tuple[tuple[str, ...], ...] | None = None

    def label(self, sample: int, feature: int) -> str:
        """A feature with its value in a sample, such as "age = 41"."""
        return self.labels(sample, [feature])[0]

    def labels(self, sample: int, features: Sequence[int]) -> list[str]:
        """The labels of several features, no two of them alike."""
        values = None if self.values is None else [self.values[sample, i] for i in features]
        return labels([self.names[i] for i in features], values)

    def numbers(self, feature: int) -> np.ndarray:
        """The values of a feature, NaN where they are no numbers, `(samples,)`."""
        if self.values is None:
            return np.full(len(self.relevance), np.nan)
        return np.array([as_number(value) for value in self.values[:, feature]])

    def index(self, feature: Any) -> int:
        """Where a feature is, by its name or index.

        An integer is an index, but a name in a table that has integers for names.

        Raises:
            ValueError: There is no such feature.
        """
        name = label_name(feature)
        if name in self.names:
            return self.names.index(name)
        is_index = isinstance(feature, (int, np.integer)) and not isinstance(feature, bool)
        if is_index and not any(name.lstrip("-").isdigit() for name in self.names):
            if 0 <= feature < len(self.names):
                return int(feature)
        elif is_index or isinstance(feature, (str, tuple)):
            raise ValueError(f"there is no feature {feature!r}.{nearest(name, self.names)}")
        raise ValueError(f"feature must be a name or from 0 to {len(self.names) - 1}, got {feature!r}")


def features_of(relevance: Any, values: Any = None, names: Any = None, *, summed: bool = True) -> Features:
    """The features of a table.

    Args:
        relevance: `(samples, features)`; or of several inputs one entry each, `(samples,)` or `(samples, columns)`.
        values: In the same structure, or a DataFrame; None where they are not known. What has labels in both, rows or
            columns, is joined by them.
        names: One per column, where a column of a one-hot code may be `(feature, category)`; of inputs by name a dict
            of such lists, or of one text for an input that is one feature. A list of inputs may have a list of texts.
            Or the `keras.utils.FeatureSpace` that encoded the table. None takes those of DataFrames and inputs, and
            else the columns' numbers.
        summed: Whether columns of one name, and those of an input whose columns have no names, are one feature: their
            relevance is summed, and its value names the column that holds the one of a one-hot code.

    Raises:
        ValueError: Relevance, values or names are no table, or do not fit together.
    """
    names = named_columns(names)
    entries = entries_of(relevance)
    if entries is None:
        parts = [_table(relevance, aligned(relevance, values), names, None)]
    elif len(entries) == 1:
        ((name, only),) = entries.items()
        held = aligned(only, values_of_one(values, name))
        if is_code(only, held):
            only = np.asarray(only).sum(axis=1, keepdims=True)
        parts = [_table(_columns(only), held, _of_one(names, name, only, held), None)]
    else:
        if names is not None and not isinstance(names, Mapping):
            names = _of_list(names, entries, isinstance(relevance, Mapping))
        parts = _by_input(entries, values, names or {}, summed)
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
        tuple(order for part in parts for order in part.orders or ((),) * len(part.names)),
    )
    return _merged(found) if summed else _by_column(found)


def named_columns(names: Any) -> Any:
    """Names as they are; of a FeatureSpace those of its columns, and of the columns of a DataFrame their texts."""
    if isinstance(names, Mapping):
        return {key: named_columns(value) for key, value in names.items()}
    if is_feature_space(names):
        return columns_of(names)
    return column_names(names) if hasattr(names, "nlevels") else names


def column_name(column: str | Column) -> str:
    """The name of one column among others."""
    return f"{column[0]}[{column[1]}]" if isinstance(column, tuple) else str(column)


def is_one_feature(names: Any) -> bool:
    """Whether names are those of one feature: a text, or those of its columns, alone or in a one-hot code."""
    columns = [names] if isinstance(names, str) else list(names)
    return len({column[0] if _is_column(column) else column for column in columns}) == 1


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
    if not isinstance(values, Mapping) and not is_frame(values):
        raise ValueError(f"there are several inputs: values must be by input, too, got {type(values).__name__}")
    if name not in values:
        raise ValueError(f"values have no entry for the input {name!r}.{nearest(name, map(str, values))}")
    return values[name]


def values_of_one(values: Any, name: str) -> Any:
    """The values of the only input, by its name or as they are."""
    return values_of(values, name) if entries_of(values) is not None else values


def is_code(relevance: Any, values: Any) -> bool:
    """Whether relevance is that of several columns which encode one value."""
    if values is None or np.ndim(relevance) != 2 or np.shape(relevance)[1] == 1:
        return False
    return len(values.columns) == 1 if is_frame(values) else np.shape(values)[1:] in ((), (1,))


def is_binary(values: Any) -> bool:
    """Whether values are zeros and ones, as flags and one-hot codes are."""
    array = np.asarray(values)
    return array.dtype.kind in "biuf" and bool(np.isin(array, (0, 1)).all())


def ranked(strength: np.ndarray, most: int) -> tuple[list[int], list[int]]:
    """The features that are shown, the strongest first, and those that are summed: never one alone."""
    check_count("most", most)
    order = np.argsort(-strength, kind="stable").tolist()
    shown = len(order) if len(order) <= most + 1 else most
    return order[:shown], order[shown:]


def _of_one(names: Any, input_: str, relevance: Any, values: Any) -> Any:
    """The names of the columns of the only input."""
    width = np.shape(relevance)[1] if np.ndim(relevance) == 2 else 1
    if isinstance(names, Mapping) and input_ in names:
        told = names[input_]
        return [told] * width if isinstance(told, str) else told
    return [input_] if names is None and width == 1 and not (is_frame(values) or is_frame(relevance)) else names


def _of_list(names: Any, entries: Mapping[str, Any], have_names: bool) -> dict[str, str]:
    """Names of several inputs that were not told by input: only a list of inputs has an order that one can know."""
    if have_names:
        raise ValueError(
            f"there are several inputs: names must be a dict by input, of {list(entries)}; each has a list of its "
            f"columns' names, or one text where it is one feature; got {names!r}"
        )
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"names must be a list of {len(entries)} strings, one for each of the inputs, got {names!r}")
    if len(names) != len(entries):
        raise ValueError(f"there are {len(entries)} inputs, but {len(names)} names")
    return dict(zip(entries, names, strict=True))


def _by_input(entries: Mapping[str, Any], values: Any, names: Mapping[str, Any], summed: bool) -> list[Features]:
    """The features of each input."""
    unknown = [name for name in names if name not in entries]
    if unknown:
        raise ValueError(f"names= has an entry for {unknown[0]!r}, which is no input.{nearest(unknown[0], entries)}")
    parts = []
    for name, relevance in entries.items():
        told = names.get(name)
        shown = told if isinstance(told, str) else name
        held = aligned(relevance, values_of(values, name), f"relevance of input {name!r}")
        table = _columns(relevance)
        width = np.shape(table)[1] if np.ndim(table) == 2 else 0
        own = None if is_code(table, held) else _own_names(told, relevance, held, width)
        if own is None and width <= 1:
            part = _table(table, held, [shown] * width, name)
        elif summed and (own is None or isinstance(told, str)):
            table = np.asarray(table).sum(axis=1, keepdims=True) if is_code(table, held) else table
            part = _table(table, held, [shown] * np.shape(table)[1], name)
        else:
            part = _table(table, held, own, name)
            columns = range(width) if own is None else part.names
            if part.categories is None and list(columns) != [name]:
                part = dataclasses.replace(part, names=tuple(f"{shown}[{column}]" for column in columns))
        parts.append(part)
    return parts


def _own_names(told: Any, relevance: Any, values: Any, width: int) -> Any:
    """The names of an input's columns, where they have some."""
    if told is not None and not isinstance(told, str):
        return told
    frame = next((frame for frame in (values, relevance) if is_frame(frame)), None)
    return None if frame is None or width == 1 else column_names(frame.columns)


def _table(relevance: Any, values: Any, names: Any, input_: str | None) -> Features:
    """The features of one array."""
    what = "relevance" if input_ is None else f"relevance of input {input_!r}"
    expected = f"{what} must be that of a table, (samples, features)"
    if np.ndim(relevance) == 1:
        raise ValueError(f"{expected}; got shape {np.shape(relevance)}: of one sample, pass relevance[None]")
    table = real_array(relevance, what, expected, (2,)).astype(np.float64)
    if names is None:
        framed = next((frame.columns for frame in (values, relevance) if is_frame(frame)), None)
        names = [f"feature {i}" for i in range(table.shape[1])] if framed is None else column_names(framed)
    named, categories = _split(_checked(names, table.shape[1]))
    if values is None:
        return Features(named, table, None, categories)
    held = values.to_numpy(dtype=object) if hasattr(values, "to_numpy") else np.asarray(values)
    # As dates of Python: those of nanoseconds would be integers as objects.
    held = held.astype("datetime64[us]") if held.dtype.kind == "M" else held
    held = _columns(held).astype(object)
    if held.shape != table.shape:
        raise ValueError(f"values must have the shape of the {what}, {table.shape}; got {held.shape}")
    return Features(named, table, held, categories, tuple(orders_of(values)) or None)


def _columns(values: Any) -> Any:
    """One column, where an input has one number per sample."""
    return np.reshape(values, (-1, 1)) if np.ndim(values) == 1 else values


def _checked(names: Any, count: int) -> list[str | Column]:
    """Names, as many as there must be."""
    if isinstance(names, (str, Mapping)) or not all(isinstance(name, str) or _is_column(name) for name in names):
        raise ValueError(f"names must be a list of {count} strings, one for each of the features, got {names!r}")
    if len(names) != count:
        raise ValueError(f"there are {count} features, but {len(names)} names")
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
    blocks: dict[str, list[int]] = {}
    for i, name in enumerate(found.names):
        blocks.setdefault(name, []).append(i)
    if len(blocks) == len(found.names):  # a column that is alone is no code: its category is part of its name
        return _by_column(found)
    categories, orders = found.categories or (), found.orders or ()
    whole = {name: column_name((name, categories[block[0]] or "")) for name, block in blocks.items()}
    names = tuple(whole[name] if len(block) == 1 and categories[block[0]] else name for name, block in blocks.items())
    relevance = np.stack([found.relevance[:, block].sum(axis=1) for block in blocks.values()], axis=1)
    if found.values is None:
        return Features(names, relevance)
    values = np.empty(relevance.shape, dtype=object)
    for i, block in enumerate(blocks.values()):
        held = found.values[:, block]
        values[:, i] = held[:, 0] if len(block) == 1 else [_hot(row, [categories[c] for c in block]) for row in held]
    return Features(names, relevance, values, None, tuple(orders[block[0]] for block in blocks.values()))


def _hot(row: np.ndarray, categories: list[str | None]) -> Any:
    """The category that a one-hot code says, by its column's number where it has no name; NaN of what is no code."""
    numbers = np.array([as_number(value) for value in row])
    if not np.isin(numbers, (0.0, 1.0)).all() or numbers.sum() != 1:
        return np.nan
    return categories[numbers.argmax()] or f"column {numbers.argmax()}"
