"""Names for the operations of TensorFlow graphs, from the scopes that they were made in.

A scope that is entered again has a number behind its name: the layer `conv` of a saved model is `conv_1` in its graph.
The names of the variables tell where that is so.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable
from typing import Any

_NUMBER = re.compile(r"_\d+$")
Path = tuple[str, ...]


class Names:
    """The names of the operations of graphs.

    Args:
        variables: Names of variables, which begin with those of the layers that they are of.
    """

    def __init__(self, variables: Iterable[str]) -> None:
        self._layers = {part for name in variables for part in name.split(":")[0].split("/")[:-1]}
        self._renamed: dict[int, dict[Path, Path]] = {}

    def path(self, op: Any, prefix: Path) -> Path:
        """The scopes of an operation, and its own name last; `prefix` is around all of its graph."""
        parts = _parts(op)
        renamed = self._renamed.get(id(op.graph))
        if renamed is None:
            renamed = self._renamed[id(op.graph)] = self._scopes(op.graph)
        scopes = renamed[parts[:-1]]
        # A graph inside of another may repeat the scopes around it, with one in front that has been left out there.
        for begin in range(len(scopes) + 1):
            if scopes[begin : begin + len(prefix)] == prefix:
                return (*scopes[begin:], parts[-1])
        return (*prefix, *scopes, parts[-1])

    def _scopes(self, graph: Any) -> dict[Path, Path]:
        """The name of each scope of a graph."""
        inside: dict[Path, dict[str, None]] = collections.defaultdict(dict)
        scoped = [_parts(op)[:-1] for op in graph.get_operations()]
        for parts in scoped:
            for depth, part in enumerate(parts):
                inside[parts[:depth]][part] = None
        names: dict[Path, dict[str, str]] = {}
        for scope in sorted(inside, key=len):
            around = names.get(scope[:-1], {}) if scope else {}
            names[scope] = self._without_numbers(
                list(inside[scope]), bool(scope) and around.get(scope[-1]) != scope[-1]
            )
        # Of a scope that everything is in, no name needs to tell.
        outermost = inside.get((), {})
        dropped = 1 if len(outermost) == 1 and len(inside.get(tuple(outermost), {})) > 1 else 0
        found = {}
        for parts in scoped:
            said = tuple(names[parts[:depth]][part] for depth, part in enumerate(parts))
            found[parts] = said[dropped:]
        return found

    def _without_numbers(self, children: list[str], within: bool) -> dict[str, str]:
        """The scopes in one scope, without the numbers that TensorFlow put behind their names.

        Args:
            children: Their names.
            within: Whether there was a number behind the name of the scope that they are in.
        """
        stripped = {name: _NUMBER.sub("", name) for name in children}
        counted = any(stripped[name] in self._layers and name not in self._layers for name in children)
        counted = counted or within
        times = collections.Counter(stripped.values())
        return {name: stripped[name] if counted and times[stripped[name]] == 1 else name for name in children}


def _parts(op: Any) -> Path:
    return tuple(part for part in op.name.split("/") if part) or (op.type,)
