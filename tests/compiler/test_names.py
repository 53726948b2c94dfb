"""The name of a layer means what Keras means by it: that layer's output."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from helpers.backends import gradients
from keras import layers

from kerasexplain import create_analyzer


@pytest.fixture
def model(double_precision: None) -> keras.Model:
    """Layers with others folded into them, and with activations of their own."""
    x = inputs = keras.Input((6, 6, 2))
    x = layers.BatchNormalization(name="norm")(layers.Conv2D(3, 3, name="conv")(x))
    x = layers.Dense(4, activation="gelu", name="bent")(x)
    model = keras.Model(inputs, layers.Dense(3, activation="softmax", name="out")(layers.Flatten()(x)))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        positive = "variance" in weight.name or "gamma" in weight.name
        weight.assign(rng.uniform(0.2, 1.5, weight.shape) if positive else rng.normal(size=weight.shape) / 2)
    return model


X = np.random.default_rng(1).normal(size=(2, 6, 6, 2))


@pytest.mark.parametrize("name", ["conv", "norm", "bent"])
def test_the_gradient_at_a_layer_is_that_at_its_output(model: keras.Model, name: str) -> None:
    def rest(x: keras.KerasTensor) -> keras.KerasTensor:
        behind = [layer.name for layer in model.layers].index(name) + 1
        for layer in model.layers[behind:]:
            x = layer(x)
        return x[:, 1]

    output = keras.Model(model.inputs, model.get_layer(name).output)(X)
    _, (expected,) = gradients(rest, np.asarray(output))

    found = create_analyzer("gradient", model, explain="activation").explain(X, 1, layers=[model.get_layer(name)])

    np.testing.assert_allclose(found.layers[name], np.asarray(expected), rtol=0, atol=1e-12)


def test_the_explained_output_of_a_layer_is_that_of_its_activation(model: keras.Model) -> None:
    found = create_analyzer("lrp.epsilon", model, output="bent", explain="activation").explain(X, (0, 1, 2))

    expected = keras.Model(model.inputs, model.get_layer("bent").output)(X)
    np.testing.assert_allclose(found.explained, np.asarray(expected)[:, 0, 1, 2], rtol=0, atol=1e-12)


def test_relevance_is_the_same_in_front_of_a_normalisation_and_behind_it(model: keras.Model) -> None:
    found = create_analyzer("lrp.epsilon", model).explain(X, 1, layers=["conv", "norm"])

    np.testing.assert_array_equal(found.layers["conv"], found.layers["norm"])


def test_a_number_in_front_of_a_folded_normalisation_is_refused() -> None:
    x = inputs = keras.Input((6, 6, 2))
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(layers.Conv2D(3, 3, name="conv")(x)))
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))
    analyzer = create_analyzer("lrp.algebra", model, linear="gradient")

    assert analyzer.explain(X, 1, layers=["norm"]).layers["norm"].shape == (2, 4, 4, 3)
    with pytest.raises(ValueError, match=r"'conv' runs as one operation .*: name 'norm'"):
        analyzer.explain(X, 1, layers=["conv"])
    guided = create_analyzer("guided_backprop", model).explain(X, 1, layers=["conv", "norm"]).layers
    norm = model.get_layer("norm")
    gamma, variance = (keras.ops.convert_to_numpy(weight) for weight in (norm.gamma, norm.moving_variance))
    np.testing.assert_allclose(guided["conv"], guided["norm"] * gamma / np.sqrt(variance + 1e-3), rtol=1e-5)
