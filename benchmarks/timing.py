"""Times that can be compared on a noisy machine: measured in turns, read as ratios of the same round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

Key = TypeVar("Key", bound=Hashable)


def seconds(run: Callable[[], Any]) -> float:
    """How long a call takes."""
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def in_turns(measures: Mapping[Key, Callable[[], float]], rounds: int) -> dict[Key, list[float]]:
    """The result of each measure, once a round: whatever slows the machine down for a while slows all of them."""
    times: dict[Key, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            times[name].append(measure())
    return times


def ratio(times: Sequence[float], units: Sequence[float]) -> float:
    """The median over the rounds of what took so many units of the same round."""
    return statistics.median(time / unit for time, unit in zip(times, units, strict=True))
