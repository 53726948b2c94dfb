"""Checks of options, so that a wrong value is told where it is given."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any


def check_nonnegative(name: str, value: Any) -> None:
    """Raises ValueError unless the value is None or a number that is not negative."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not float(value) >= 0:
        raise ValueError(f"{name} must be a number that is not negative, got {value!r}")


def check_positive(name: str, value: Any) -> None:
    """Raises ValueError unless the value is a finite number above zero."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < float(value) < math.inf:
        raise ValueError(f"{name} must be a positive number, got {value!r}")


def check_count(name: str, value: Any) -> None:
    """Raises ValueError unless the value is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")


def check_batch_size(value: Any) -> None:
    """Raises ValueError unless the value is "auto" or an integer of at least 1."""
    if isinstance(value, str) and value != "auto":
        raise ValueError(f"batch_size must be an integer of at least 1, or 'auto', got {value!r}")
    if not isinstance(value, str):
        check_count("batch_size", value)


def check_seed(value: Any) -> None:
    """Raises ValueError unless the value is an integer that is not negative."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
        raise ValueError(f"seed must be an integer that is not negative, got {value!r}")


def check_choice(name: str, value: Any, legal: Iterable[Any]) -> None:
    """Raises ValueError unless the value is one of the legal ones, which are told."""
    legal = list(legal)
    if not any(same(value, choice) for choice in legal):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, legal))}, got {value!r}")


def same(value: Any, other: Any) -> bool:
    """Whether two values are equal and of one type: 1 is not True."""
    return type(value) is type(other) and bool(value == other)
