"""Interval arithmetic: what is known of the range of an activation without running the model.

A layer whose input is known to be non-negative needs only half the products that signed inputs need, and an
operand known to lie in [0, 1] is a gate.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Interval:
    """The closed interval `[low, high]`; infinite bounds mean that nothing is known."""

    low: float = -math.inf
    high: float = math.inf

    @property
    def nonnegative(self) -> bool:
        return self.low >= 0

    @property
    def is_gate(self) -> bool:
        """Within [0, 1]: as an operand of a product it says how much of the other passes."""
        return self.low >= 0 and self.high <= 1

    def __or__(self, other: Interval) -> Interval:
        return Interval(min(self.low, other.low), max(self.high, other.high))

    def __and__(self, other: Interval) -> Interval:
        return Interval(max(self.low, other.low), min(self.high, other.high))

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.low + other.low, self.high + other.high)

    def __mul__(self, other: Interval) -> Interval:
        corners = [_times(a, b) for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(min(corners), max(corners))

    def __str__(self) -> str:
        if self == ANY:
            return "any"
        low = "(-inf" if math.isinf(self.low) else f"[{self.low:g}"
        high = "inf)" if math.isinf(self.high) else f"{self.high:g}]"
        return f"{low}, {high}"


def union(domains: Sequence[Interval]) -> Interval:
    """The smallest interval that holds all of them."""
    return functools.reduce(lambda one, other: one | other, domains)


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b  # 0 * inf is 0 here: an exact zero stays zero


ANY = Interval()
UNIT = Interval(0.0, 1.0)
NONNEGATIVE = Interval(0.0, math.inf)
