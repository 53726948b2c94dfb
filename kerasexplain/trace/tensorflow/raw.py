"""An operation of a TensorFlow graph by itself: the function that it is, its name in errors, where it was made."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from kerasexplain.trace.tensorflow.values import UntranslatableError

#: The names that Python's functions have for operands which the graph calls otherwise.
_IN_PYTHON = {
    **dict.fromkeys(("dim", "reduction_indices", "split_dim"), "axis"),
    "t": "x",
    "e": "y",
    "input": "condition",
}

#: Of longer lines of code, the beginning is shown.
LONGEST_LINE = 120


def raw(op: Any) -> Callable[..., Any]:
    """The function of tensors that an operation is, its attributes bound."""
    function = getattr(tf.raw_ops, op.type, None)
    if function is None:
        raise UntranslatableError(f"the TensorFlow operation {said(op)} cannot be run by itself")
    parameters = inspect.signature(function).parameters
    given = [argument.name for argument in op.op_def.input_arg]
    names = [name if name in parameters else _IN_PYTHON[name] for name in given]
    counts = [_length(op, argument) for argument in op.op_def.input_arg]
    own = [name for name in parameters if name not in (*names, "name")]
    attributes = {name: _attribute(op, "squeeze_dims" if op.type == "Squeeze" else name) for name in own}

    def run(*tensors: Any) -> Any:
        left, given = list(tensors), {}
        for name, count in zip(names, counts, strict=True):
            given[name] = left.pop(0) if count is None else [left.pop(0) for _ in range(count)]
        return function(**given, **attributes)

    return run


def _length(op: Any, argument: Any) -> int | None:
    """How many tensors an argument of an operation is a list of; None where it is one."""
    if argument.number_attr:
        return int(op.get_attr(argument.number_attr))
    return len(op.get_attr(argument.type_list_attr)) if argument.type_list_attr else None


def _attribute(op: Any, name: str) -> Any:
    value = op.get_attr(name)
    if isinstance(value, bytes):
        return value.decode()
    return tf.TensorShape(value) if type(value).__name__ == "TensorShapeProto" else value


def said(op: Any) -> str:
    """Its name and type, and where it was made."""
    return f"{op.name!r} ({op.type}{_where_made(op)})"


def _where_made(op: Any) -> str:
    """Where in the user's code an operation was made: "", where that is not known."""
    frames = [frame for frame in getattr(op, "traceback", None) or () if not _is_library(frame.filename)]
    if not frames:
        return ""
    line = linecache.getline(frames[-1].filename, frames[-1].lineno).strip()
    line = line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]} ..."
    return f", made in {frames[-1].filename}:{frames[-1].lineno}" + (f", {line!r}" if line else "")


def _is_library(filename: str) -> bool:
    return any(part in filename for part in ("site-packages", "kerasexplain", "<frozen", "/lib/python", "__autograph"))
