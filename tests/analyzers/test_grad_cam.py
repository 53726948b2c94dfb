"""Grad-CAM: by its formula, enlarged without a shift, on the layer that is meant."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from kerasexplain import UnsupportedModelError, create_analyzer


def network(**options: object) -> keras.Model:
    x = inputs = keras.Input((12, 8, 3), dtype="float64")
    x = layers.Conv2D(4, 3, activation="relu", name="early", padding="same", dtype="float64")(x)
    x = layers.MaxPooling2D(2, dtype="float64")(x)
    x = layers.Conv2D(5, 3, activation="relu", name="late", padding="same", dtype="float64")(x)
    x = layers.MaxPooling2D(2, name="pool", dtype="float64")(x)
    return keras.Model(inputs, layers.Dense(4, dtype="float64")(layers.Flatten(dtype="float64")(x)))


def x_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


def test_the_formula() -> None:
    model, x = network(), x_of(3, 12, 8, 3)
    found = create_analyzer("grad_cam", model).explain(x, 2, layers=["late/relu", "early"])
    activations = np.asarray(keras.Model(model.inputs, model.get_layer("late").output)(x))
    gradients = create_analyzer("gradient", model).explain(x, 2, layers=["late/relu"]).layers["late/relu"]
    weights = gradients.mean(axis=(1, 2))
    cam = np.maximum(np.einsum("nhwc,nc->nhw", activations, weights), 0)
    assert found.layers["late/relu"].shape == (3, 6, 4, 1)
    np.testing.assert_allclose(found.layers["late/relu"][..., 0], cam, rtol=0, atol=1e-12)
    assert found.layers["early"].shape == (3, 12, 8, 1)
    whole = found.relevance.sum(axis=-1)
    resized = keras.ops.image.resize(cam[..., None].astype("float32"), (12, 8), interpolation="bilinear")
    np.testing.assert_allclose(whole, np.asarray(resized)[..., 0], rtol=0, atol=1e-6 * cam.max())


def test_a_layer_by_name() -> None:
    model, x = network(), x_of(2, 12, 8, 3)
    by_name = create_analyzer("grad_cam", model, layer="pool").explain(x, 2, layers=["pool"])
    assert by_name.layers["pool"].shape == (2, 3, 2, 1)
    assert not np.allclose(by_name.relevance, create_analyzer("grad_cam", model).analyze(x, 2))
    with pytest.raises(ValueError, match="late"):
        create_analyzer("grad_cam", model, layer="lat").analyze(x)


def test_sequences_and_volumes() -> None:
    for shape, convolution, pooling in (
        ((10, 3), layers.Conv1D, layers.GlobalAveragePooling1D),
        ((6, 6, 6, 1), layers.Conv3D, layers.GlobalAveragePooling3D),
    ):
        inputs = keras.Input(shape)
        model = keras.Model(inputs, layers.Dense(2)(pooling()(convolution(4, 2, strides=2, activation="relu")(inputs))))
        assert create_analyzer("grad_cam", model).analyze(x_of(2, *shape)).shape == (2, *shape)


def test_without_positions_there_is_no_map() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    with pytest.raises(UnsupportedModelError, match="positions"):
        create_analyzer("grad_cam", model).analyze(x_of(1, 4))


def test_images_of_any_size() -> None:
    inputs = keras.Input((None, None, 3), dtype="float64")
    x = layers.Conv2D(4, 3, activation="relu", name="late", dtype="float64")(inputs)
    model = keras.Model(inputs, layers.Dense(2, dtype="float64")(layers.GlobalAveragePooling2D(dtype="float64")(x)))
    given = x_of(2, 9, 7, 3)
    found = create_analyzer("grad_cam", model).explain(given, 1, layers=["late/relu"])
    gradients = create_analyzer("gradient", model).explain(given, 1, layers=["late/relu"]).layers["late/relu"]
    activations = np.asarray(keras.Model(model.inputs, model.get_layer("late").output)(given))
    cam = np.maximum(np.einsum("nhwc,nc->nhw", activations, gradients.mean(axis=(1, 2))), 0)
    np.testing.assert_allclose(found.layers["late/relu"][..., 0], cam, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "move",
    [
        lambda x: x[:, ::-1],
        lambda x: keras.ops.flip(x, axis=1),
        layers.Permute((2, 1, 3)),
        lambda x: keras.ops.transpose(x, (0, 1, 3, 2)),
        layers.CenterCrop(6, 6),
        layers.Cropping2D(((4, 0), (0, 0))),
        layers.ZeroPadding2D(((12, 0), (0, 0))),
    ],
    ids=["slice", "flip", "permute", "channels", "center crop", "cropping", "padding"],
)
def test_a_map_is_not_stretched_over_what_was_moved(move: Any) -> None:
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(4, 3, activation="relu")(move(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    with pytest.raises(UnsupportedModelError, match="moves positions"):
        create_analyzer("grad_cam", model).analyze(x_of(2, 12, 12, 3))


def test_padding_of_a_window_and_what_acts_on_each_position_are_no_moves() -> None:
    inputs = keras.Input((24, 24, 3))
    x = layers.RandomFlip()(layers.BatchNormalization()(layers.Rescaling(1 / 255)(inputs)))
    x = layers.Conv2D(4, 7, strides=2, activation="relu")(layers.ZeroPadding2D(3)(x))
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    x = layers.Conv2D(5, 3, activation="relu", name="late")(layers.Concatenate()([x, x]))
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    assert "late" in str(create_analyzer("grad_cam", model))


def test_grad_cam_takes_positions_alone_and_says_which() -> None:
    given = keras.Input((16, 16, 8))
    convolved = layers.Conv2D(4, 3, activation="relu", name="last")(given)
    model = keras.Model(given, layers.Dense(2)(layers.Flatten()(convolved)))
    assert "the map is that of last/relu" in str(create_analyzer("grad_cam", model))

    tokens = keras.Input((16, 8))
    attended = layers.MultiHeadAttention(2, 4)(tokens, tokens)
    transformer = keras.Model(tokens, layers.Dense(3)(layers.GlobalAveragePooling1D()(tokens + attended)))
    with pytest.raises(UnsupportedModelError, match=r"positions in the input.*no positions"):
        create_analyzer("grad_cam", transformer).analyze(x_of(1, 16, 8))

    turned = layers.Dense(4)(layers.Permute((1, 3, 2))(layers.Conv2D(14, 3)(given)))
    square = keras.Model(given, layers.Dense(2)(layers.Flatten()(turned)))
    with pytest.raises(UnsupportedModelError, match="positions"):
        create_analyzer("grad_cam", square, layer=square.layers[3].name).analyze(x_of(1, 16, 16, 8))
