"""Networks to export, and the functions of an export, called by the framework alone."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import keras
import numpy as np
from keras import layers

BACKEND = keras.backend.backend()


def called(folder: pathlib.Path, name: str, **arguments: Any) -> dict[str, np.ndarray]:
    """A function of an export, by the framework alone."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        function = tf.saved_model.load(os.fspath(folder)).signatures[name]
        specs = function.structured_input_signature[1]
        tensors = {key: tf.constant(value, specs[key].dtype) for key, value in arguments.items()}
        return {key: tensor.numpy() for key, tensor in function(**tensors).items()}
    import jax.export

    with np.load(folder / "weights.npz") as weights:
        found = jax.export.deserialize((folder / f"{name}.jax").read_bytes())
        return {key: np.asarray(tensor) for key, tensor in found.call(dict(weights), *arguments.values()).items()}


def shifted(model: keras.Model) -> keras.Model:
    """The model with biases and statistics that are not zero."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(np.asarray(weight) + rng.uniform(0.02, 0.2, weight.shape))
    return model


def network() -> keras.Model:
    inputs = keras.Input((6, 6, 2), name="image")
    x = layers.Conv2D(3, 3, activation="relu", name="conv")(inputs)
    x = layers.MaxPooling2D()(layers.BatchNormalization()(x))
    return shifted(keras.Model(inputs, layers.Dense(4, activation="softmax", name="digits")(layers.Flatten()(x))))


def of_two_inputs() -> keras.Model:
    """An image and words, a class and a number; one name is no identifier, one is that of another argument."""
    image, words = keras.Input((4, 3), name="target"), keras.Input((None,), dtype="int32", name="words-of.it")
    x = layers.LSTM(4)(layers.Embedding(7, 3, mask_zero=True)(words))
    x = layers.Concatenate()([layers.Flatten()(image), x])
    outputs = [layers.Dense(3, activation="softmax", name="kind")(x), layers.Dense(1, name="size")(x)]
    return shifted(keras.Model([image, words], outputs))


def attention() -> keras.Model:
    x = inputs = keras.Input((5, 4), name="tokens")
    x = layers.Add()([x, layers.MultiHeadAttention(2, 2)(x, x)])
    x = layers.Dense(4, activation="gelu")(layers.LayerNormalization()(x))
    return shifted(keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(x))))


def images(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (count, 6, 6, 2))
