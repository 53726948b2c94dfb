"""Python functions that were saved in a file: run only where that was asked for."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np


@contextlib.contextmanager
def functions_with(names: dict[str, Any]) -> Iterator[None]:
    """While active, the functions of Lambda layers that are loaded know some names.

    Of what a function's module imported, its file says nothing: that was TensorFlow as `tf`, most often.
    """
    known = {"K": keras.backend, "keras": keras, "layers": keras.layers, "np": np, "ops": keras.ops, **names}
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        known.setdefault("tf", tf)
    original = keras.layers.Lambda.__init__

    def init(self: Any, function: Any, *args: Any, **kwargs: Any) -> None:
        given = _with_globals(function, known) if isinstance(function, types.FunctionType) else function
        original(self, given, *args, **kwargs)

    keras.layers.Lambda.__init__ = init
    try:
        yield
    finally:
        keras.layers.Lambda.__init__ = original


def _with_globals(function: types.FunctionType, names: dict[str, Any]) -> types.FunctionType:
    given = {**function.__globals__, **names}
    copy = types.FunctionType(function.__code__, given, function.__name__, function.__defaults__, function.__closure__)
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy
