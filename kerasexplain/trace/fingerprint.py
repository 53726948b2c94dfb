"""Whether the layers of a model still compute what they did when the model was traced."""

from __future__ import annotations

import functools
import operator
import types
from typing import Any

import keras

#: What of a layer's attributes may decide what it computes, if it is replaced. What is private to Keras changes in use.
_DECISIVE = {bool, int, float, str, tuple, type(None), types.FunctionType, types.MethodType, functools.partial}
#: Of those, what training sets on a model, and what Keras wraps for every layer.
_BESIDE = {
    *("build", "built", "compiled", "loss", "predict_function", "quantize", "steps_per_execution", "stop_evaluating"),
    *("stop_predicting", "stop_training", "test_function", "train_function", "training"),
    "unrolled_steps_per_execution",
}
#: What decides although it is a property, or an object of a kind of its own.
_OF_KERAS = ("quantization_mode", "activation", "mean", "variance")


class Fingerprint:
    """What decides, besides the weights' values, what the layers of a model compute.

    That is which layers there are, the code that they run, their variables themselves, and their public attributes that
    are numbers, text, tuples or functions. What changes inside of an attribute, such as an entry of a list, does not
    show.

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
    """What decides what one layer computes."""

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
            if own.get(name) is not value and own.get(name) != value:
                return False
        return True


def _parts(layer: keras.layers.Layer) -> list[Any]:
    """What counts by identity."""
    of_keras = (getattr(layer, name, None) for name in _OF_KERAS)
    code = (type(layer).call, vars(layer).get("call"))
    return [*code, *of_keras, *layer._trainable_variables, *layer._non_trainable_variables]


def _attributes(layer: keras.layers.Layer) -> dict[str, Any]:
    """What counts by value."""
    return {
        name: value
        for name, value in vars(layer).items()
        if name[0] != "_" and name not in _BESIDE and type(value) in _DECISIVE
    }
