"""DataFrames without pandas: the names of their columns, and two of them put in the same order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def is_frame(values: Any) -> bool:
    """Whether values have columns with labels, as a DataFrame has."""
    return hasattr(values, "columns")


def column_names(columns: Iterable[Any]) -> list[str]:
    """The names of columns: what `str` says of their labels, with a space between those of several levels."""
    labels = list(columns)
    names = [label_name(label) for label in labels]
    # ("a b", "c") and ("a", "b c") are two columns.
    return names if len(set(names)) == len(set(labels)) else [str(label) for label in labels]


def label_name(label: Any) -> str:
    """The name of one column."""
    return " ".join(map(str, label)) if isinstance(label, tuple) else str(label)


def orders_of(frame: Any) -> list[tuple[str, ...]]:
    """Of each column the order of its categories; empty where they have none."""
    if not hasattr(frame, "iloc"):
        return []
    kinds = [frame.iloc[:, i].dtype for i in range(len(frame.columns))] if is_frame(frame) else [frame.dtype]
    return [tuple(map(str, kind.categories)) if getattr(kind, "ordered", False) else () for kind in kinds]


def aligned(relevance: Any, values: Any, what: str = "relevance") -> Any:
    """Values in the order of relevance, where both have labels of columns or of rows.

    Raises:
        ValueError: The labels are others, or do not say which is which.
    """
    if is_frame(relevance) and is_frame(values):
        order = _order(column_names(relevance.columns), column_names(values.columns), what, "columns")
        if order is not None:
            values = values.iloc[:, order] if hasattr(values, "iloc") else values[:, order]
    ours: Any = getattr(relevance, "index", None)
    theirs: Any = getattr(values, "index", None)
    if hasattr(ours, "equals") and hasattr(theirs, "equals"):  # of lists, `index` is a method
        order = None if ours.equals(theirs) else _order(list(ours), list(theirs), what, "rows")
        if order is not None:
            values = values.iloc[order]
    return values


def _order(ours: list[Any], theirs: list[Any], what: str, of: str) -> list[int] | None:
    """Where the labels of the relevance are among those of the values; None where they are as they should be."""
    if ours == theirs:
        return None
    places = {label: i for i, label in enumerate(theirs)}
    way_out = f"with values.to_numpy() they are joined by position, or give both the same {of}"
    if len(places) < len(theirs) or len(set(ours)) < len(ours):
        raise ValueError(f"the {of} of {what} and values differ, and several have one label: {way_out}")
    unknown = [label for label in ours if label not in places] or [label for label in theirs if label not in set(ours)]
    if unknown:
        one = f"as by {unknown[0]!r}, which only one of them has"
        raise ValueError(f"the {of} of {what} and values differ, {one}: {way_out}")
    return [places[label] for label in ours]
