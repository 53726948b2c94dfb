"""Class activation maps: by their formulas, enlarged without a shift, on the layer that is meant."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from kerasexplain import InputError, UnsupportedModelError, create_analyzer


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


def on_two_positions(*weights: float, activation: str = "relu") -> keras.Model:
    """`y = w A` with A = x, or max(x, 0), at two positions of one channel."""
    inputs = keras.Input((1, 2, 1), dtype="float64")
    late = layers.Conv2D(1, 1, activation=activation, kernel_initializer="ones", name="late", dtype="float64")(inputs)
    model = keras.Model(inputs, layers.Dense(1, name="last", dtype="float64")(layers.Flatten(dtype="float64")(late)))
    model.get_layer("last").set_weights([np.reshape(weights, (2, 1)), np.zeros(1)])
    return model


def test_by_hand() -> None:
    """A = (1, 3), g = (1/2, -1/10). Grad-CAM weighs by the mean, 1/5.

    Grad-CAM++: 1 / (2 + g sum A) is 1/4 where g is positive, so that w = 1/4 1/2. LayerCAM: g+ at each position.
    """
    model, x = on_two_positions(0.5, -0.1), np.reshape([1.0, 3.0], (1, 1, 2, 1))
    expected = {"grad_cam": [0.2, 0.6], "grad_cam_plus_plus": [0.125, 0.375], "layer_cam": [0.5, 0.0]}
    for name, by_hand in expected.items():
        found = create_analyzer(name, model).analyze(x, 0).ravel()
        np.testing.assert_allclose(found, by_hand, rtol=0, atol=1e-15, err_msg=name)


def test_the_formulas_of_grad_cam_plus_plus_and_layer_cam() -> None:
    model, x = network(), x_of(3, 12, 8, 3)
    A = np.asarray(keras.Model(model.inputs, model.get_layer("late").output)(x))
    g = create_analyzer("gradient", model).explain(x, 2, layers=["late"]).layers["late"]
    # As in the paper, with the second and third derivatives of exp(y) at a piecewise linear y.
    denominators = 2 * g**2 + g**3 * A.sum(axis=(1, 2), keepdims=True)
    alpha = np.divide(g**2, denominators, out=np.zeros_like(g), where=denominators != 0)
    weights = (alpha * np.maximum(g, 0)).sum(axis=(1, 2), keepdims=True)
    for name, w in (("grad_cam_plus_plus", weights), ("layer_cam", np.maximum(g, 0))):
        found = create_analyzer(name, model).explain(x, 2, layers=["late", "early"])
        expected = np.maximum((w * A).sum(axis=-1, keepdims=True), 0)
        np.testing.assert_allclose(found.layers["late"], expected, rtol=0, atol=1e-12 * expected.max())
        assert found.layers["early"].shape == (3, 12, 8, 1)
        assert found.relevance.shape == x.shape


def test_grad_cam_plus_plus_refuses_layers_in_which_its_weights_have_no_meaning() -> None:
    """A = (-3, -1), g = (1/2, 1): `2 + g sum A` is 0 and -2."""
    model, x = on_two_positions(0.5, 1.0, activation="linear"), np.reshape([-3.0, -1.0], (1, 1, 2, 1))
    with pytest.raises(InputError, match=r"'late'.*not positive.*layer_cam"):
        create_analyzer("grad_cam_plus_plus", model).analyze(x, 0)
    assert not create_analyzer("layer_cam", model).analyze(x, 0).any()


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
