"""Models of every shape of task: segmentation, regression, several outputs, siamese networks, volumes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from kerasexplain import create_analyzer

RNG = np.random.default_rng(0)


def randomized(model: keras.Model) -> keras.Model:
    for variable in model.trainable_variables:
        variable.assign(0.4 * RNG.normal(size=variable.shape))
    return model


def gap(model: keras.Model, x: Any, neuron: Any = None, **options: Any) -> float:
    """How far inputs and biases are from what is explained, relative to all relevance that was given."""
    explanation = create_analyzer("lrp.bias_as_input", model, **options).explain(x, neuron, bias=True)
    parts = [*keras.tree.flatten(explanation.relevance), *explanation.bias.values()]
    sums = [np.asarray(part).reshape(len(explanation.explained), -1) for part in parts]
    moved = sum(np.abs(part).sum(1) for part in sums)
    return float(np.max(np.abs(sum(part.sum(1) for part in sums) - explanation.explained) / moved))


def unet() -> keras.Model:
    inputs = keras.Input((16, 16, 3))
    fine = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    coarse = layers.Conv2D(6, 3, padding="same", activation="relu")(layers.MaxPooling2D(2)(fine))
    bottom = layers.Conv2D(8, 3, padding="same", activation="silu")(layers.MaxPooling2D(2)(coarse))
    up = layers.Concatenate()([layers.Conv2DTranspose(6, 2, strides=2)(bottom), coarse])
    up = layers.Concatenate()([layers.UpSampling2D(2, interpolation="bilinear")(up), fine])
    x = layers.GroupNormalization(4)(layers.Conv2D(4, 3, padding="same")(up))
    return randomized(keras.Model(inputs, layers.Conv2D(5, 1)(layers.Activation("relu")(x))))


def test_segmentation_one_pixel_and_a_region() -> None:
    model, x = unet(), RNG.uniform(size=(2, 16, 16, 3)).astype("float32")
    assert gap(model, x, (3, 4, 2)) < 1e-6
    region = np.zeros((16, 16, 5))
    region[4:9, 5:11, 3] = 1.0
    assert gap(model, x, region) < 1e-6
    # A pixel's relevance stays within what the pixel sees.
    relevance = create_analyzer("lrp.epsilon", model).analyze(x, (8, 8, 0))
    assert np.abs(relevance).sum((0, 3))[8, 8] > 0
    of_region = create_analyzer("lrp.z", model).analyze(x, region)
    one = create_analyzer("lrp.z", model)
    pixels = [one.analyze(x, (i, j, 3)) for i in range(4, 9) for j in range(5, 11)]
    np.testing.assert_allclose(of_region, sum(pixels), atol=1e-4 * np.abs(of_region).max())


def test_regression() -> None:
    inputs = keras.Input((7,))
    x = layers.Normalization(mean=np.arange(7.0), variance=np.arange(1.0, 8.0))(inputs)
    model = randomized(keras.Model(inputs, layers.Dense(1)(layers.Dense(9, "elu")(x))))
    assert gap(model, RNG.normal(size=(4, 7)), 0) < 1e-6
    scalar = keras.Model(inputs, ops.squeeze(model(inputs), axis=-1))
    assert gap(scalar, RNG.normal(size=(4, 7))) < 1e-6


def test_several_outputs() -> None:
    inputs = keras.Input((8, 8, 2))
    x = layers.Flatten()(layers.Conv2D(4, 3, activation="tanh")(inputs))
    outputs = {"kind": layers.Dense(3, "softmax")(x), "box": layers.Dense(4)(x), "seen": layers.Dense(1, "sigmoid")(x)}
    model, x = randomized(keras.Model(inputs, outputs)), RNG.normal(size=(3, 8, 8, 2))
    for name in outputs:
        assert gap(model, x, 0, output=name) < 1e-6


def test_siamese_networks_with_a_shared_encoder() -> None:
    encoder = keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu"), layers.Dense(4)])
    left, right = keras.Input((6,), name="left"), keras.Input((6,), name="right")
    one, other = encoder(left), encoder(right)
    similarity = layers.Dot(axes=1)([one, other])
    distance = layers.Dense(1)(ops.abs(one - other))
    model = randomized(keras.Model([left, right], layers.Concatenate()([similarity, distance])))
    x = [RNG.normal(size=(3, 6)), RNG.normal(size=(3, 6))]
    for neuron in (0, 1):
        assert gap(model, x, neuron) < 1e-6
    # The product is symmetric, and so is its relevance.
    analyzer = create_analyzer("lrp.attention", model)
    of_left, of_right = analyzer.analyze(x, 0)
    exchanged = analyzer.analyze(x[::-1], 0)
    np.testing.assert_allclose(exchanged[0], of_right, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(exchanged[1], of_left, rtol=1e-4, atol=1e-6)


def test_volumes() -> None:
    inputs = keras.Input((6, 6, 6, 1))
    x = layers.Conv3D(3, 3, padding="same")(inputs)
    x = layers.MaxPooling3D(2)(layers.ReLU()(layers.BatchNormalization()(x)))
    x = layers.Conv3DTranspose(2, 2, activation="gelu")(x)
    model = randomized(keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling3D()(x))))
    volumes = RNG.normal(size=(2, 6, 6, 6, 1))
    assert gap(model, volumes, 1) < 1e-6
    assert create_analyzer("lrp.epsilon_plus", model).analyze(volumes, 1).shape == volumes.shape
