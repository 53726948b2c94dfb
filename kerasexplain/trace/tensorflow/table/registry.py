"""The table of TensorFlow's operations: how each is said by `keras.ops`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kerasexplain.trace.tensorflow.values import Weight, is_constant

Function = Callable[..., Any]
#: By the type of the operation: a function of the operation and its operands.
TABLE: dict[str, Callable[..., Any]] = {}


def registers(table: dict[str, Callable[..., Any]]) -> Callable[..., Callable[[Function], Function]]:
    """A decorator that enters functions into a table, under types of operations."""

    def under(*types: str) -> Callable[[Function], Function]:
        def register(function: Function) -> Function:
            for kind in types:
                assert kind not in table, kind
                table[kind] = function
            return function

        return register

    return under


translates = registers(TABLE)


def channels_first(op: Any) -> bool:
    """Whether the channels are in front of the axes of space."""
    return word(op, "data_format").startswith("NC")


def data_format(op: Any) -> str:
    """The same as Keras says it."""
    return "channels_first" if channels_first(op) else "channels_last"


def word(op: Any, name: str) -> str:
    """An attribute that is text."""
    value = op.get_attr(name)
    return value.decode() if isinstance(value, bytes) else str(value)


def number(value: Any) -> Any:
    """A constant of one entry as a number, as `keras.ops` wants those; everything else as it is."""
    return value.item() if is_constant(value) and np.ndim(value) == 0 else value


def changed(value: Any, function: Callable[[Any], Any]) -> Any:
    """A constant, a weight or a symbolic tensor, changed by a function of arrays, tensors and symbolic tensors."""
    return value.then(function) if isinstance(value, Weight) else function(value)


def one(sizes: tuple[int, ...]) -> Any:
    """A size for all axes as one number, which is what Keras takes up to 3.13."""
    return sizes[0] if len(set(sizes)) == 1 else sizes
