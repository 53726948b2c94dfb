"""A SavedModel has the same relevance as the Keras model that was exported, to rounding, under names one can read."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasexplain import compat, create_analyzer

pytestmark = pytest.mark.tensorflow("SavedModels are TensorFlow's")
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

ANALYZERS = ("lrp.epsilon", "lrp.epsilon_plus", "lrp.bias_as_input", "lrp.alpha_2_beta_1", "lrp.gamma")
DOUBLE: dict[str, Any] = {"dtype": "float64"}


def _convolutional() -> keras.Model:
    x = inputs = keras.Input((10, 10, 3), **DOUBLE)
    x = layers.Rescaling(2.0, offset=-1.0, **DOUBLE)(x)
    x = layers.Conv2D(4, 3, use_bias=False, **DOUBLE)(layers.ZeroPadding2D(1, **DOUBLE)(x))
    x = layers.ReLU(6.0, **DOUBLE)(layers.BatchNormalization(**DOUBLE)(x))
    y = layers.DepthwiseConv2D(3, padding="same", activation="silu", **DOUBLE)(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True, **DOUBLE)(y)
    gate = layers.Conv2D(4, 1, activation="sigmoid", **DOUBLE)(gate)
    x = layers.Add(**DOUBLE)([x, layers.Multiply(**DOUBLE)([y, gate])])
    x = layers.Conv2D(5, 3, dilation_rate=2, activation="hard_silu", **DOUBLE)(layers.MaxPooling2D(2, **DOUBLE)(x))
    x = layers.GlobalMaxPooling2D(**DOUBLE)(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", **DOUBLE)(x))


def _transformer() -> keras.Model:
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(11, 8, mask_zero=True, **DOUBLE)(inputs)
    y = layers.LayerNormalization(**DOUBLE)(x)
    x = layers.Add(**DOUBLE)([x, layers.MultiHeadAttention(2, 4, **DOUBLE)(y, y)])
    y = layers.Dense(8, **DOUBLE)(layers.Dense(16, activation="gelu", **DOUBLE)(layers.RMSNormalization(**DOUBLE)(x)))
    x = layers.GlobalAveragePooling1D(**DOUBLE)(layers.Add(**DOUBLE)([x, y]))
    return keras.Model(inputs, layers.Dense(3, **DOUBLE)(x))


def _recurrent() -> keras.Model:
    inputs = keras.Input((4, 3), **DOUBLE)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True, **DOUBLE), **DOUBLE)(inputs)
    x = layers.GRU(3, **DOUBLE)(x)
    return keras.Model(inputs, layers.Dense(2, **DOUBLE)(x))


def _u_net() -> keras.Model:
    inputs = keras.Input((8, 8, 2), **DOUBLE)
    fine = layers.Conv2D(3, 3, padding="same", activation="relu", **DOUBLE)(inputs)
    coarse = layers.Conv2D(4, 3, padding="same", activation="relu", **DOUBLE)(layers.MaxPooling2D(2, **DOUBLE)(fine))
    one = layers.Conv2DTranspose(3, 2, strides=2, activation="relu", **DOUBLE)(coarse)
    other = layers.UpSampling2D(2, interpolation="bilinear", **DOUBLE)(coarse)
    x = layers.Concatenate(**DOUBLE)([fine, one, other])
    return keras.Model(inputs, layers.Conv2D(2, 1, **DOUBLE)(layers.GroupNormalization(2, **DOUBLE)(x)))


def _siamese() -> keras.Model:
    inputs = [keras.Input((5,), name=name, **DOUBLE) for name in ("left", "right")]
    tower = keras.Sequential([keras.Input((5,), **DOUBLE), layers.Dense(6, activation="tanh", **DOUBLE)])
    difference = ops.abs(layers.Subtract(**DOUBLE)([tower(x) for x in inputs]))
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid", **DOUBLE)(difference))


def _all_kinds_of_layers() -> keras.Model:
    x = inputs = keras.Input((12, 4), **DOUBLE)
    x = layers.Conv1D(4, 3, padding="causal", dilation_rate=2, **DOUBLE)(x)
    x = layers.SeparableConv1D(4, 2, **DOUBLE)(layers.BatchNormalization(**DOUBLE)(x))
    x = layers.PReLU(alpha_initializer="uniform", **DOUBLE)(layers.AveragePooling1D(2, **DOUBLE)(x))
    x = layers.EinsumDense("abc,cde->abde", (5, 2, 3), bias_axes="de", **DOUBLE)(x)
    x = layers.Permute((2, 1), **DOUBLE)(layers.Reshape((5, 6), **DOUBLE)(x))
    x = layers.TimeDistributed(layers.Dense(3, activation="elu", **DOUBLE), **DOUBLE)(x)
    x = layers.UnitNormalization(**DOUBLE)(x)
    return keras.Model(inputs, layers.Dense(2, **DOUBLE)(layers.Flatten(**DOUBLE)(x)))


def _patches() -> keras.Model:
    class Patches(layers.Layer):
        def call(self, x: Any) -> Any:
            return ops.reshape(ops.image.extract_patches(x, (4, 4)), (-1, 4, 32))

    inputs = keras.Input((8, 8, 2), **DOUBLE)
    x = layers.Dense(4, **DOUBLE)(Patches(**DOUBLE)(inputs))
    x = layers.Conv1DTranspose(3, 3, strides=2, padding="same", **DOUBLE)(x)
    x = layers.LayerNormalization(**DOUBLE)(layers.UnitNormalization(**DOUBLE)(x))
    x = layers.MultiHeadAttention(2, 3, **DOUBLE)(x, x, use_causal_mask=True)
    return keras.Model(inputs, layers.Dense(2, **DOUBLE)(layers.Flatten(**DOUBLE)(x)))


MODELS = (_convolutional, _transformer, _recurrent, _u_net, _siamese, _all_kinds_of_layers, _patches)


def _with_random_weights(model: keras.Model) -> keras.Model:
    rng = np.random.default_rng(0)
    for weight in model.weights:
        spread = rng.uniform(0.05, 0.3, weight.shape)
        weight.assign(np.asarray(weight) + (spread if "moving" in weight.path else spread * rng.choice([-1, 1])))
    return model


def _exported(model: keras.Model, folder: pathlib.Path) -> keras.Model:
    model.export(str(folder), verbose=False)
    return compat.load_model(folder)


def _samples(model: keras.Model) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found = {}
    for tensor in model.inputs:
        shape = (3, *tensor.shape[1:])
        found[tensor.name] = rng.integers(1, 11, shape) if "int" in tensor.dtype else rng.normal(size=shape)
        if "int" in tensor.dtype:
            found[tensor.name][0, 3:] = 0
    return found


def _given(model: keras.Model, samples: dict[str, np.ndarray]) -> Any:
    return list(samples.values()) if len(samples) > 1 else next(iter(samples.values()))


def _same_relevance(model: keras.Model, saved: keras.Model) -> None:
    samples = _samples(model)
    for name in ANALYZERS:
        expected = create_analyzer(name, model).analyze(_given(model, samples))
        analyzer = create_analyzer(name, saved)
        found = analyzer.analyze(samples if len(samples) > 1 else _given(model, samples))
        found = [found[key] for key in samples] if isinstance(found, dict) else [found]
        expected = expected if isinstance(expected, list) else [expected]
        scale = max(np.abs(part).max() for part in expected)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-9 * scale, err_msg=name)


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__.strip("_"))
def test_a_saved_model_has_the_relevance_of_the_keras_model(make: Callable[[], keras.Model], tmp_path: Any) -> None:
    model = _with_random_weights(make())
    _same_relevance(model, _exported(model, tmp_path / "saved"))


def test_methods_against_a_baseline_know_normalisation_in_a_saved_model(tmp_path: pathlib.Path) -> None:
    x = inputs = keras.Input((4, 6), **DOUBLE)
    for layer in (layers.LayerNormalization, layers.RMSNormalization, layers.GroupNormalization):
        options = {"groups": 2} if layer is layers.GroupNormalization else {}
        x = layers.Dense(6, activation="gelu", **DOUBLE)(layer(**options, **DOUBLE)(x))
    x = layers.Add(**DOUBLE)([x, layers.MultiHeadAttention(2, 3, **DOUBLE)(x, x)])
    x = layers.LayerNormalization(**DOUBLE)(x)
    model = _with_random_weights(keras.Model(inputs, layers.Dense(2, **DOUBLE)(layers.Flatten(**DOUBLE)(x))))
    saved = _exported(model, tmp_path)
    samples = np.random.default_rng(0).normal(size=(3, 4, 6))
    for name in ("deep_lift", "lrp.baseline", "lrp.flat"):
        expected, found = (create_analyzer(name, each).analyze(samples, 1) for each in (model, saved))
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max(), err_msg=name)


def test_operations_of_a_saved_model_are_called_as_the_layers(tmp_path: pathlib.Path) -> None:
    x = inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization(name="bn")(layers.Conv2D(4, 3, name="conv")(inputs))
    x = layers.Activation("gelu", name="act")(x)
    x = layers.Dense(3, activation="softmax", name="head")(layers.Flatten(name="flat")(x))
    analyzer = create_analyzer("lrp.epsilon_plus", _exported(keras.Model(inputs, x), tmp_path / "saved"))
    assert [row.name.split("/")[0] for row in analyzer.rows] == ["conv", "act", "flat", "head"]
    assert analyzer.rows[0].convolution
    assert analyzer.rows[0].first
    assert analyzer.rows[-1].last
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    assert analyzer.explain(images, layers=["bn", "act", "head"]).layers["act"].shape == (2, 6, 6, 4)


@pytest.mark.slow("architectures of keras.applications, whole")
@pytest.mark.parametrize(
    ("name", "size"), [("MobileNetV2", 32), ("ResNet50", 32), ("EfficientNetB0", 32), ("DenseNet121", 32)]
)
def test_an_architecture_of_keras_applications(name: str, size: int, tmp_path: pathlib.Path) -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=5)
    finally:
        keras.config.set_dtype_policy(policy)
    _with_random_weights(model)
    _same_relevance(model, _exported(model, tmp_path / "saved"))


class Block(layers.Layer):
    """Layers of some names in the code of a layer that goes on with weights of its own."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(name="block")
        self.one, self.two = (layers.Dense(4, name=name) for name in names[:2])
        self.norm = layers.BatchNormalization(name=names[2])

    def build(self, shape: Any) -> None:
        self.gain = self.add_weight(shape=(4,), name="gain")
        self.shift = self.add_weight(shape=(4,), name="shift")
        for layer in (self.one, self.two):
            layer.build(shape)
        self.norm.build((None, 4))

    def call(self, x: Any) -> Any:
        y = self.norm(self.one(x)) * self.gain + self.shift
        return self.one(x) + self.two(ops.tanh(y)) + ops.silu(y)


@pytest.mark.parametrize(
    "names",
    [
        ("a", "b", "c"),
        ("convolution", "depthwise", "norm"),
        ("Tensordot", "norm", "normalize"),
        ("x", "y", "batchnorm"),
    ],
)
def test_what_layers_are_called_changes_nothing(names: Sequence[str], tmp_path: pathlib.Path) -> None:
    """TensorFlow's own functions have scopes of such names, whose operations are of the code around."""
    inputs = keras.Input((4,))
    model = _with_random_weights(keras.Model(inputs, layers.Dense(3)(Block(names)(inputs))))
    _same_relevance(model, _exported(model, tmp_path))


def test_a_layer_that_is_called_where_a_condition_decides() -> None:
    class Deciding(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(4)

        def call(self, x: Any) -> Any:
            return tf.cond(tf.shape(x)[1] > 3, lambda: self.dense(x), lambda: x)

    inputs = keras.Input((5, 4))
    dense = layers.Dense(3)
    decided, plain = Deciding(), layers.Dense(4)
    model = keras.Model(inputs, dense(layers.Flatten()(decided(inputs))))
    expected = keras.Model(inputs, dense(layers.Flatten()(plain(inputs))))
    plain.set_weights(decided.get_weights())
    x = np.random.default_rng(0).normal(size=(3, 5, 4))
    for name in ("lrp.epsilon", "lrp.alpha_2_beta_1"):
        found, other = (create_analyzer(name, each).analyze(x, 1) for each in (model, expected))
        np.testing.assert_allclose(found, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("axis", [1, 2])
def test_weights_along_an_axis_that_is_not_the_last(axis: int, tmp_path: pathlib.Path) -> None:
    inputs = keras.Input((5, 5))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.BatchNormalization(axis=axis)(inputs))))
    model = _with_random_weights(model)
    _same_relevance(model, _exported(model, tmp_path))
