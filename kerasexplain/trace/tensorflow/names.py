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

#: Scopes that functions of TensorFlow make in the code that calls them, and the types of operations they make there.
#: Their operations are of that code; a layer may have such a name too, and is known by its variables or by other types.
_FUNCTIONS = {
    "batchnorm": "AddV2 Mul Rsqrt Sub",
    "clip_by_value": "Maximum Minimum",
    "conv_transpose": "Conv2DBackpropInput Conv3DBackpropInputV2",
    "convolution": "BatchToSpaceND Conv2D Conv3D DepthwiseConv2dNative Pad SpaceToBatchND",
    "depthwise": "BatchToSpaceND DepthwiseConv2dNative SpaceToBatchND",
    "einsum": "BatchMatMulV2 Einsum MatMul",
    "Gelu": "AddV2 Erf Mul Pow RealDiv Sub Tanh",
    "l2_normalize": "Abs Max Maximum Mul RealDiv Rsqrt Sqrt Square Sum",
    "moments": "AddV2 Mean Mul Square SquaredDifference StopGradient Sub",
    "norm": "Abs Max Mul Pow Sqrt Square Sum",
    "normalize": "Abs Max Maximum Mul Pow RealDiv Rsqrt Sqrt Square Sum",
    "resize": "ResizeArea ResizeBicubic ResizeBilinear ResizeNearestNeighbor ScaleAndTranslate",
    "separable_conv2d": "BatchToSpaceND Conv2D DepthwiseConv2dNative SpaceToBatchND",
    "Tensordot": "AddV2 MatMul Mul",
    "tensordot": "AddV2 MatMul Mul",
    "weighted_moments": "AddV2 Maximum Mul RealDiv Reciprocal Square Sub Sum",
}
#: Types of operations that any function may make: of shapes, and those that move values.
_ANY = {
    *("Cast", "ConcatV2", "Const", "ExpandDims", "Fill", "GatherV2", "Identity", "IdentityN", "Pack", "Prod", "Range"),
    *("ReadVariableOp", "Reshape", "Shape", "Split", "Squeeze", "StridedSlice", "Transpose", "Unpack"),
}


class Names:
    """The names of the operations of graphs.

    Args:
        variables: Names of variables, which begin with those of the layers that they are of.
    """

    def __init__(self, variables: Iterable[str]) -> None:
        self._owners = {tuple(name.split(":")[0].split("/")[:-1]) for name in variables} - {()}
        self._layers = {part for owner in self._owners for part in owner}
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
        types = self._types(graph)
        found = {}
        for parts in scoped:
            said = tuple(names[parts[:depth]][part] for depth, part in enumerate(parts))
            of_functions = {
                depth
                for depth in range(len(parts))
                if self._is_of_function(said[: depth + 1], types[parts[: depth + 1]])
            }
            found[parts] = tuple(said[depth] for depth in range(dropped, len(parts)) if depth not in of_functions)
        return found

    def _types(self, graph: Any) -> dict[Path, set[str]]:
        """The types of the operations in each scope."""
        found: dict[Path, set[str]] = collections.defaultdict(set)
        for op in graph.get_operations():
            parts = _parts(op)
            for depth in range(1, len(parts)):
                found[parts[:depth]].add(op.type)
        return found

    def _is_of_function(self, scope: Path, types: set[str]) -> bool:
        """Whether a scope is that of a function of TensorFlow, and no layer's."""
        made = _FUNCTIONS.get(_NUMBER.sub("", scope[-1]))
        if made is None or types - _ANY - set(made.split()):
            return False
        # A layer in a model has one name in those of its variables, in other scopes there are two or more.
        owned = (owner for owner in self._owners if scope[-len(owner) :] == owner)
        return not any(len(owner) > 1 or len(scope) < 3 for owner in owned)

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
