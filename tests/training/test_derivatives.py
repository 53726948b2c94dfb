"""The derivative of relevance by the weights is exact: against finite differences, and against a formula."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from helpers.backends import gradients_by_weights
from helpers.networks import bn_cnn
from keras import layers, ops

import kerasexplain
from kerasexplain import registry
from kerasexplain.runtime.method import Method
from kerasexplain.training import (
    RelevanceAgreement,
    RelevanceConsistency,
    RelevanceLoss,
    RelevanceMatch,
    RelevanceModel,
    RelevanceOfBiases,
    RelevanceOutside,
    RelevanceSmoothness,
    RelevanceSparsity,
)
from kerasexplain.training.data import joined

#: Why a network is not for a backend.
NOT_ON = {"of volumes": [pytest.mark.not_on("tensorflow", "it pools no volumes in double precision on CPUs")]}


def of_one_pass() -> list[str]:
    """The analyzers whose relevance can be differentiated and needs no options or data."""

    def fits(kind: type[Method]) -> bool:
        required = [f for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING]  # type: ignore[arg-type]
        return kind.answer is Method.answer and not kind.fitted_fields and not required

    return [name for name in registry.names() if fits(registry.find(name))]


def attentive() -> keras.Model:
    inputs = keras.Input((5,), dtype="int32")
    x = layers.Embedding(11, 8)(inputs)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4)(x, x))
    x = layers.Dense(8, activation="gelu")(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(x)))


def recurrent() -> keras.Model:
    inputs = keras.Input((4, 3))
    return keras.Model(inputs, layers.Dense(3)(layers.LSTM(5)(layers.GRU(5, return_sequences=True)(inputs))))


def residual() -> keras.Model:
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    x = layers.add([x, layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(x))])
    x = layers.AveragePooling2D(2)(layers.Activation("swish")(x))
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


def with_token() -> keras.Model:
    """Part of what is explained comes from weights alone: a token that all samples share."""

    @keras.saving.register_keras_serializable("tests")
    class Token(layers.Layer):
        def build(self, shape: Any) -> None:
            self.token = self.add_weight(shape=(1, 1, shape[-1]), name="token")
            self.dense = layers.Dense(shape[-1], activation="relu")
            self.dense.build((None, 1, shape[-1]))

        def call(self, x: Any) -> Any:
            token = self.dense(self.token)
            return ops.concatenate([ops.repeat(token, ops.shape(x)[0], axis=0), x], axis=1)

    inputs = keras.Input((3, 4))
    x = layers.Dense(6, activation="relu")(Token()(inputs))
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))


NETWORKS: dict[str, Callable[[], keras.Model]] = {
    "convolutional": lambda: bn_cnn("float64"),
    "residual": residual,
    "attentive": attentive,
    "recurrent": recurrent,
    "with a token": with_token,
}


def functional(shape: tuple[int, ...], *stack: layers.Layer, dtype: str | None = None) -> keras.Model:
    inputs = x = keras.Input(shape, dtype=dtype)
    for layer in stack:
        x = layer(x)
    return keras.Model(inputs, layers.Dense(3)(x))


def nested() -> keras.Model:
    """A network in a network, that is called twice."""
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(6, activation="relu"), layers.UnitNormalization()])
    inputs = keras.Input((6,))
    middle = keras.Model(inputs, layers.add([inner(inputs), layers.Dense(6, activation="silu")(inputs)]))
    return functional((6,), middle, middle)


def weighing() -> keras.Model:
    inputs = keras.Input((6,))
    weights = layers.Softmax()(layers.Dense(5)(inputs))
    values = layers.Dense(5, activation="leaky_relu")(inputs)
    return keras.Model(inputs, layers.Dense(3)(layers.multiply([weights, values])))


OTHERS: dict[str, Callable[[], keras.Model]] = {
    "of signals": lambda: functional(
        (10, 3),
        layers.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="relu"),
        layers.SeparableConv1D(4, 2, activation="elu"),
        layers.GlobalMaxPooling1D(),
    ),
    "of volumes": lambda: functional(
        (5, 5, 4, 2), layers.Conv3D(3, 2, activation="relu"), layers.AveragePooling3D(2), layers.Flatten()
    ),
    "transposed": lambda: functional(
        (4, 4, 2), layers.Conv2DTranspose(3, 3, strides=2, padding="same", activation="relu"), layers.Flatten()
    ),
    "normalized by groups": lambda: functional(
        (5, 5, 2), layers.Conv2D(4, 3), layers.GroupNormalization(2), layers.PReLU(), layers.Flatten()
    ),
    "of masked tokens": lambda: functional(
        (6,),
        layers.Embedding(11, 4, mask_zero=True),
        layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
        layers.GRU(4),
        dtype="int32",
    ),
    "by time steps": lambda: functional(
        (4, 5, 2),
        layers.TimeDistributed(layers.Conv1D(3, 2, activation="relu")),
        layers.TimeDistributed(layers.Flatten()),
        layers.SimpleRNN(4),
    ),
    "nested": nested,
    "weighing": weighing,
}


def made(name: str) -> tuple[keras.Model, np.ndarray]:
    """A network in double precision with weights and statistics that are not zero, and inputs for it."""
    keras.utils.set_random_seed(3)
    usual = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    try:
        model = (NETWORKS | OTHERS)[name]()
    finally:
        keras.config.set_dtype_policy(usual)
    rng = np.random.default_rng(2)
    for variable in model.variables:
        if "seed" not in variable.path:
            value = np.asarray(variable.value)
            noise = 0.3 * rng.standard_normal(value.shape)
            variable.assign(np.abs(value + noise) + 0.1 if "variance" in variable.path else value + noise)
    shape = (2, *model.input_shape[1:])
    ids = rng.integers(1, 11, shape)
    if name == "of masked tokens":
        ids[0, 4:] = 0
    return model, ids if name in ("attentive", "of masked tokens") else rng.random(shape)


def directional(loss: Callable[[], Any], model: keras.Model, seed: int) -> tuple[float, float]:
    """The derivative of a number along a random direction of the weights: by gradients, and by differences."""
    rng = np.random.default_rng(seed)
    weights = model.trainable_variables
    found = gradients_by_weights(loss, weights)
    steps = [rng.standard_normal(tuple(weight.shape)) for weight in weights]
    by_gradient = sum(
        float(np.sum(np.asarray(ops.convert_to_numpy(gradient)) * step))
        for gradient, step in zip(found, steps, strict=True)
        if gradient is not None
    )
    before = [np.asarray(ops.convert_to_numpy(weight.value)) for weight in weights]

    def at(distance: float) -> float:
        for weight, value, step in zip(weights, before, steps, strict=True):
            weight.assign(value + distance * step)
        return float(ops.convert_to_numpy(loss()))

    coarse, fine = ((at(h) - at(-h)) / (2 * h) for h in (2e-7, 1e-7))
    at(0.0)
    return by_gradient, (4 * fine - coarse) / 3


#: On these networks every analyzer is tried, and these analyzers on all of `NETWORKS`.
USUAL = ("residual", "attentive")
CENTRAL = ("lrp.z", "lrp.epsilon", "lrp.epsilon_plus", "lrp.gamma", "lrp.alpha_2_beta_1", "lrp.z_plus", "gradient")


def check_derivatives(loss: Callable[[], Any], model: keras.Model) -> None:
    by_gradient, by_differences = directional(loss, model, 7)
    assert np.isfinite(by_gradient)
    scale = max(abs(by_differences), abs(float(ops.convert_to_numpy(loss()))), 1e-12)
    assert abs(by_gradient - by_differences) < 1e-5 * scale, (by_gradient, by_differences)


@pytest.mark.parametrize(
    ("name", "network"),
    [
        # Each backend holds in its own way what a derivative needs.
        *[(name, network) for name in CENTRAL for network in USUAL],
        *[
            pytest.param(name, network, marks=pytest.mark.formula)
            for name in of_one_pass()
            for network in (NETWORKS if name in CENTRAL else USUAL)
            if not (name in CENTRAL and network in USUAL)
        ],
        *[
            pytest.param(name, network, marks=[pytest.mark.formula, *NOT_ON.get(network, [])])
            for network in OTHERS
            for name in ("lrp.epsilon_plus", "lrp.alpha_2_beta_1", "gradient")
        ],
    ],
)
def test_derivatives_by_the_weights_equal_differences(name: str, network: str) -> None:
    model, x = made(network)
    try:
        analyzer = kerasexplain.create_analyzer(name, model, on_unsupported="gradient")
        analyzer.analyze(x, 1)
    except (ValueError, kerasexplain.UnsupportedModelError) as error:
        pytest.skip(f"not for this network: {error}")
    signal = np.random.default_rng(5).standard_normal(x.shape)

    def loss() -> Any:
        found = analyzer.differentiable(x, np.array([1, 1])).inputs
        return ops.sum(found * ops.convert_to_tensor(signal, dtype=found.dtype))

    check_derivatives(loss, model)


LOSSES = [
    RelevanceOutside(),
    RelevanceOutside(power=2),
    RelevanceOutside(normalize=False),
    RelevanceMatch(),
    RelevanceOfBiases(),
    RelevanceSparsity(),
    RelevanceSmoothness(),
    RelevanceAgreement(),
    RelevanceConsistency(axis=2),
]


@pytest.mark.formula
@pytest.mark.parametrize("remat", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss.name} {loss.get_config()}")
def test_derivatives_of_the_loss_of_a_training_equal_differences(loss: RelevanceLoss, remat: bool) -> None:
    network, x = made("residual")
    analyzers = [kerasexplain.create_analyzer(name, network, remat=remat) for name in ("lrp.epsilon_plus", "lrp.gamma")]
    mask = np.random.default_rng(1).random(x.shape[:3])
    mask[1, 0, 0] = np.nan
    keras.config.set_floatx("float64")
    try:
        model = RelevanceModel(network, analyzers, loss, weights=2.0)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        given, y = joined(*map(ops.convert_to_tensor, (x, mask))), ops.convert_to_tensor([0, 2])
        check_derivatives(lambda: model.compute_loss(given, y, network(x), training=False), network)
    finally:
        keras.config.set_floatx("float32")
