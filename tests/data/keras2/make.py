"""Makes the files of this folder: models of Keras 2 as .h5, and beside each an input and what it gave for it.

Run it where tf_keras is installed (2.21.0 made the files here): `python make.py FOLDER`. Weights are random: those of
files made anew are others. The function in lambda.h5 is bytecode, which only the version of Python that wrote it reads.
"""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tf_keras as keras
from tf_keras import layers
from tf_keras.src.layers.rnn import cudnn_gru, cudnn_lstm


def models_of_sequences() -> Iterator[tuple[str, keras.Model]]:
    inputs = keras.Input((7, 5))
    yield "lstm", keras.Model(inputs, layers.Dense(2)(layers.LSTM(4)(inputs)))
    yield "bigru", keras.Model(inputs, layers.Dense(2)(layers.Bidirectional(layers.GRU(4))(inputs)))
    each = layers.TimeDistributed(layers.Dense(3))
    masked = [layers.Masking(input_shape=(7, 5)), layers.LSTM(4, return_sequences=True), each, layers.Flatten()]
    yield "mask", keras.Sequential([*masked, layers.Dense(2)])


def models_of_numbers() -> Iterator[tuple[str, keras.Model]]:
    inputs = keras.Input((6,))
    x = (2.0 - inputs) * (1.0 + layers.Dense(6)(inputs) ** 2)
    yield "const", keras.Model(inputs, layers.Dense(2)(x))


def models_of_images() -> Iterator[tuple[str, keras.Model]]:
    inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(layers.SeparableConv2D(4, 3, activation="relu")(inputs))
    x = layers.Conv2DTranspose(3, 3)(layers.DepthwiseConv2D(3)(x))
    x = layers.GlobalAveragePooling2D()(layers.LeakyReLU(0.2)(x))
    yield "conv", keras.Model(inputs, layers.Dense(2)(x))
    x = tf.nn.relu(layers.Conv2D(4, 3)(inputs)) * 2.0 + 1.0
    x = tf.concat([tf.reshape(x[:, ::2, ::2], [-1, 36]), tf.reduce_mean(x, axis=[1, 2])], 1)
    yield "tfop", keras.Model(inputs, layers.Dense(2)(x))
    x = layers.Lambda(lambda t: tf.reduce_mean(t, axis=[1, 2]))(inputs)
    yield "lambda", keras.Model(inputs, layers.Dense(2)(x))


def models_of_cudnn() -> Iterator[tuple[str, Any, Any]]:
    """Their layers run on GPUs alone; with each, the layer that tf_keras itself reads their weights into elsewhere."""
    plain = {"name": "r", "recurrent_activation": "sigmoid"}
    yield "cudnnlstm", cudnn_lstm.CuDNNLSTM(4, name="r"), layers.LSTM(4, **plain)
    yield "cudnngru", cudnn_gru.CuDNNGRU(4, name="r"), layers.GRU(4, reset_after=True, **plain)


def save(folder: pathlib.Path, name: str, model: keras.Model, same: keras.Model, x: np.ndarray) -> None:
    model.save(folder / f"{name}.h5")
    np.savez(folder / f"{name}.npz", x=x, y=same(x).numpy())


def main(folder: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    sequences = rng.normal(size=(3, 7, 5)).astype("float32")
    images = rng.normal(size=(2, 8, 8, 3)).astype("float32")
    numbers = rng.normal(size=(3, 6)).astype("float32")
    kinds = ((models_of_sequences(), sequences), (models_of_images(), images), (models_of_numbers(), numbers))
    for models, x in kinds:
        for name, model in models:
            save(folder, name, model, model, x)
    for name, layer, plain in models_of_cudnn():
        model, same = (keras.Sequential([keras.Input((7, 5)), r, layers.Dense(2, name="d")]) for r in (layer, plain))
        for variable in model.weights:
            variable.assign(rng.normal(size=variable.shape))
        weights = folder / f"{name}_weights.h5"  # of no other name: ".weights.h5" is another format
        model.save_weights(weights)
        same.load_weights(weights)
        weights.unlink()
        save(folder, name, model, same, sequences)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
