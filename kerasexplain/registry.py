"""Analyzers by name: found through entry points, ours by the same door as everybody's."""

from __future__ import annotations

from kerasexplain.foundation.errors import nearest
from kerasexplain.listing import GROUP, entry_points
from kerasexplain.listing import names as names
from kerasexplain.runtime.method import Method


def find(name: str) -> type[Method]:
    """The method registered under a name.

    Raises:
        ValueError: There is none; the nearest names are given.
        TypeError: What is registered is no `Method`.
    """
    points = entry_points()
    if not points:
        raise RuntimeError("no analyzers are registered: kerasexplain is not installed (pip install .)")
    if name not in points:
        raise ValueError(f"there is no analyzer {name!r}.{nearest(name, points)}")
    method = points[name].load()
    if not (isinstance(method, type) and issubclass(method, Method)):
        raise TypeError(f"the entry point {name!r} of {GROUP} is {method!r}, which is no subclass of Method")
    return method
