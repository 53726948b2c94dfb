"""The architectures of keras.applications."""

from __future__ import annotations

import inspect
import sys

import keras
import numpy as np

from architectures.subject import SAMPLES, Subject, randomize

#: Factors on the gains of deep residual networks that would otherwise amplify a change of 1e-6 of the input to 100 %,
#: so that single precision says nothing about them.
GAINS = {"EfficientNetV2L": 0.6, "EfficientNetV2M": 0.6, "EfficientNetV2S": 0.6}


def names() -> list[str]:
    """The names of the architectures."""
    return [name for name in dir(keras.applications) if inspect.isfunction(getattr(keras.applications, name))]


def build(name: str) -> Subject:
    """An architecture at its smallest legal input, an image as it wants it, and that size."""
    function = getattr(keras.applications, name)
    for size in (32, 71, 75, 96, 128, 224, 331):
        try:
            model = function(weights=None, input_shape=(size, size, 3), classifier_activation=None)
            break
        except ValueError as error:
            if "at least" not in str(error):
                raise
    randomize(model, gain=GAINS.get(name, 1.0))
    images = np.random.default_rng(0).uniform(0, 255, (SAMPLES, size, size, 3)).astype(keras.config.floatx())
    prepared = sys.modules[function.__module__].preprocess_input(images)  # type: ignore[attr-defined]
    return Subject(model, prepared, f"{size} × {size}")
