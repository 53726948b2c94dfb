"""The replacements for Keras' own while code is recorded: symbolic calls, and what Python reads of variables."""

from __future__ import annotations

import contextlib
import contextvars
import sys
import threading
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from kerasexplain.foundation.errors import UnsupportedModelError
from kerasexplain.trace.recorder import Recorder

_active: contextvars.ContextVar[Recorder | None] = contextvars.ContextVar("kerasexplain_recorder", default=None)
_patching = threading.RLock()
#: Between a variable and a symbolic tensor, Keras leaves them to the backend, which knows no symbolic tensors.
_OPERATORS = tuple(f"__{name}__" for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"))


class _Watch(keras.StatelessScope):
    """Lets code read variables and change none; what reads one's value directly is noted."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__(initialize_variables=False)
        self._recorder = recorder

    def get_current_value(self, variable: Any) -> Any:
        self._recorder.weights_were_read()
        value = super().get_current_value(variable)
        if value is None and self.original_scope is not None:
            value = self.original_scope.get_current_value(variable)
        return value


@contextlib.contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """While active, symbolic calls of this thread are written down; no Keras node is made, and no model changes."""
    layer_module = sys.modules[keras.layers.Layer.__module__]
    variable = next(kind for kind in keras.Variable.__mro__ if _OPERATORS[0] in vars(kind))
    with _patching, contextlib.ExitStack() as stack:
        for owner, name, replacement in (
            (keras.layers.Layer, "symbolic_call", _layer_call(keras.layers.Layer.symbolic_call)),
            (keras.Operation, "symbolic_call", _operation_call(keras.Operation.symbolic_call)),
            (layer_module, "Node", _node(layer_module.Node)),  # type: ignore[attr-defined]
            *((variable, name, _operator(getattr(variable, name))) for name in _OPERATORS),
            *_of_numbers(),
        ):
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, replacement)
        token = _active.set(recorder)
        stack.callback(_active.reset, token)
        with _Watch(recorder):
            yield


def _of_numbers() -> Iterator[tuple[Any, str, Any]]:
    """The methods that Python decides and counts by: of a weight, a trace would keep what it was then, silently.

    TensorFlow alone has another way to trace such code, and its tensors can be told so.
    """
    if keras.backend.backend() != "tensorflow":
        return
    for kinds in (type(ops.zeros(())).__mro__, keras.Variable.__mro__):
        for name in ("__bool__", "__int__", "__float__", "numpy"):
            for owner in [kind for kind in kinds if name in vars(kind)][:1]:
                yield owner, name, _of_number(vars(owner)[name], conditions=name == "numpy")


def _of_number(original: Any, conditions: bool) -> Any:
    """A method that gives the number in a tensor; with `conditions`, it is asked for others, too, which do no harm."""

    def of_number(self: Any) -> Any:
        recorder = _active.get()
        is_condition = keras.backend.standardize_dtype(self.dtype) == "bool" and not len(self.shape)
        of_weights = recorder is not None and (recorder.has_read_weights or isinstance(self, keras.Variable))
        if of_weights and (is_condition or not conditions):
            raise UnsupportedModelError("its code goes by the value of a variable")
        return original(self)

    return of_number


def _layer_call(original: Any) -> Any:
    def symbolic_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = _active.get()
        return original(self, *args, **kwargs) if recorder is None else recorder.layer(self, args, kwargs)

    return symbolic_call


def _operation_call(original: Any) -> Any:
    def symbolic_call(self: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = _active.get()
        return original(self, *args, **kwargs) if recorder is None else recorder.operation(self, args, kwargs)

    return symbolic_call


def _node(original: Any) -> Any:
    def node(*args: Any, **kwargs: Any) -> Any:
        return original(*args, **kwargs) if _active.get() is None else None

    return node


def _operator(original: Any) -> Any:
    def operator(self: Any, other: Any) -> Any:
        if _active.get() is not None and isinstance(other, keras.KerasTensor):
            return NotImplemented  # Python then asks the symbolic tensor, which records it
        return original(self, other)

    return operator
