"""Examples of layers and functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kerasexplain import support

Build = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Example:
    """A layer or function, called on inputs of its own.

    Attributes:
        name: `layers.Name` or `ops.name`, with what is special about the call in brackets.
        build: Calls it on symbolic inputs.
        shapes: The inputs' shapes, without the batch.
        limit: How many values integer inputs have; 0 for real inputs.
        low, high: The range of real inputs.
        refused: A part of the reason why it is refused; empty where it is explained.
        dtype: The precision, lower where TensorFlow has no kernel for double precision, or Keras rounds.
        prepare: What is done to the finished model, such as quantising it.
    """

    name: str
    build: Build
    shapes: tuple[tuple[int, ...], ...]
    limit: int = 0
    low: float = -1.0
    high: float = 1.0
    refused: str = ""
    dtype: str = "float64"
    prepare: Callable[[keras.Model], None] = lambda model: None

    @property
    def subject(self) -> str:
        return self.name.partition(" (")[0]

    @property
    def exists(self) -> bool:
        return support.find(self.subject) is not None

    def model(self) -> keras.Model:
        """The model, with weights all of which matter; `keras.config.floatx()` must be the example's dtype."""
        dtype = "int32" if self.limit else self.dtype
        inputs = [keras.Input(shape, dtype=dtype) for shape in self.shapes]
        outputs = [leaf for leaf in keras.tree.flatten(self.build(*inputs)) if "float" in str(leaf.dtype)]
        model = keras.Model(inputs[0] if len(inputs) == 1 else inputs, outputs[0])
        rng = np.random.default_rng(1)
        for weight in model.weights:
            if "float" in str(weight.dtype):
                signs = 1 if "variance" in weight.path else rng.choice([-1, 1], weight.shape)
                weight.assign(signs * rng.uniform(0.2, 1.0, weight.shape))
        self.prepare(model)
        return model

    def inputs(self) -> Any:
        rng = np.random.default_rng(0)
        if self.limit:
            arrays = [rng.integers(0, self.limit, size=(3, *shape)).astype("int32") for shape in self.shapes]
        else:
            arrays = [rng.uniform(self.low, self.high, (3, *shape)).astype(self.dtype) for shape in self.shapes]
        return arrays[0] if len(arrays) == 1 else arrays


VECTOR, SEQUENCE, IMAGE, VOLUME = (6,), (5, 4), (6, 6, 3), (4, 4, 4, 2)


def weights(*shape: int) -> np.ndarray:
    """Random weights for a function."""
    return np.random.default_rng(3).normal(size=shape)
