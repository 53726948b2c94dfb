"""The fingerprint of a model: whether its layers still compute what they did when it was traced."""

from __future__ import annotations

import functools
import operator
import types
from typing import Any

import keras
import numpy as np

#: What of a layer's attributes may decide what it computes, if it is replaced. What is private to Keras changes in use.
_DECISIVE = {bool, int, float, str, tuple, type(None), types.FunctionType, types.MethodType, functools.partial}
_ARRAYS = (np.ndarray, np.generic)
#: The same, told by identity: these have no single truth value when they are compared, or would take long.
_HELD = (*_ARRAYS, list, dict, set)
#: Of those, what training sets on a model, and what Keras wraps for every layer.
_BESIDE = {
    *("build", "built", "compiled", "loss", "predict_function", "quantize", "steps_per_execution", "stop_evaluating"),
    *("stop_predicting", "stop_training", "test_function", "train_function", "training"),
    "unrolled_steps_per_execution",
}
#: What decides although it is a property, or an object of a kind of its own.
_OF_KERAS = ("quantization_mode", "activation", "mean", "variance")


def _is_held(value: Any) -> bool:
    """Whether it is told by identity; variables of the backend itself are among that."""
    return isinstance(value, _HELD) or (hasattr(type(value), "assign") and hasattr(type(value), "dtype"))


class Fingerprint:
    """A fingerprint of all that decides, besides the weights' values, what the layers of a model compute.

    That is which layers there are, the code that they run, their variables themselves, and those of their attributes
    that are numbers, text, functions, arrays or collections; of private ones, numbers, text and arrays that are not
    Keras' own. What changes inside of an attribute, such as an entry of a list, does not show.

    Args:
        model: The model.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._layers = [_Layer(layer) for layer in model._flatten_layers()]

    @property
    def is_outdated(self) -> bool:
        """Whether the model has become another one since: it is asked for every batch, and so compares identities."""
        layers = self._model._flatten_layers()
        return len(layers) != len(self._layers) or not all(map(_Layer.is_still, self._layers, layers))


class _Layer:
    """A fingerprint of all that decides what one layer computes."""

    def __init__(self, layer: keras.layers.Layer) -> None:
        self._layer = layer
        self._parts = _parts(layer)
        self._attributes = _attributes(layer)
        self._count = len(vars(layer))

    def is_still(self, layer: keras.layers.Layer) -> bool:
        """Whether a layer is this one, and computes the same."""
        if layer is not self._layer:
            return False
        parts, own = _parts(layer), vars(layer)
        if len(parts) != len(self._parts) or any(map(operator.is_not, parts, self._parts)):
            return False
        if len(own) != self._count:  # most often something of Keras' own
            if _attributes(layer).keys() != self._attributes.keys():
                return False
            self._count = len(own)
        for name, value in self._attributes.items():
            now = own.get(name)
            if now is not value and (_is_held(value) or _is_held(now) or now != value):
                return False
        return True


def _parts(layer: keras.layers.Layer) -> list[Any]:
    """The parts of a layer that are compared by identity."""
    of_keras = (getattr(layer, name, None) for name in _OF_KERAS)
    code = (type(layer).call, vars(layer).get("call"))
    return [*code, *of_keras, *layer._trainable_variables, *layer._non_trainable_variables]


def _attributes(layer: keras.layers.Layer) -> dict[str, Any]:
    """The attributes of a layer that are compared by value."""
    own = vars(layer).items()
    found = {
        name: value
        for name, value in own
        if name[0] != "_" and name not in _BESIDE and (type(value) in _DECISIVE or _is_held(value))
    }
    if not type(layer).__module__.startswith("keras."):
        of_keras = _private_to_keras()
        found |= {
            name: value
            for name, value in own
            if name[0] == "_" and name not in of_keras and isinstance(value, (float, int, str, tuple, *_ARRAYS))
        }
    return found


@functools.cache
def _private_to_keras() -> set[str]:
    """The private attributes that every layer or model has, which change in use."""
    x = keras.Input((1,))
    y = keras.layers.Identity()(x)  # Keras 3.12 makes no model of an input alone
    samples = [keras.layers.Layer(), keras.Model(x, y), keras.Sequential([x])]
    return {name for sample in samples for name in vars(sample) if name[0] == "_"}
