"""Analyzers by name: found through entry points, ours by the same door as everybody's."""

from __future__ import annotations

import functools
import importlib.metadata

from kerasexplain.foundation.errors import nearest
from kerasexplain.runtime.method import Method

GROUP = "kerasexplain.analyzers"


@functools.cache
def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=GROUP)}


def names() -> list[str]:
    """The names of all installed analyzers, sorted."""
    return sorted(_entry_points())


def find(name: str) -> type[Method]:
    """The method registered under a name.

    Raises:
        ValueError: There is none; the nearest names are given.
        TypeError: What is registered is no `Method`.
    """
    points = _entry_points()
    if not points:
        raise RuntimeError("no analyzers are registered: kerasexplain is not installed (pip install .)")
    if name not in points:
        raise ValueError(f"there is no analyzer {name!r}.{nearest(name, points)}")
    method = points[name].load()
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise TypeError(f"the entry point {name!r} of {GROUP} is {method!r}, which is no subclass of Method")
    return method
