"""The analyzer shares the model's variables: training needs no new analyzer, and relevance can be trained through."""

from __future__ import annotations

import threading
from typing import Any

import keras
import numpy as np
import pytest
from helpers.backends import gradients, gradients_by_weights
from keras import layers, ops

import kerasexplain
from kerasexplain import create_analyzer, relevance_pass
from kerasexplain.rules import AlphaBeta, Epsilon, Gamma, ZPlus


def image_network() -> keras.Model:
    x = inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.5)(x))
    x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    return keras.Model(inputs, layers.Dense(3)(x))


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(1.0, 2.0, size=(8, 6, 6, 2)).astype("float32")


@pytest.mark.parametrize("name", ["lrp.epsilon_plus", "lrp.flat", "lrp.bias_as_input", "gradient"])
def test_training_and_set_weights_are_seen_without_a_new_trace(name: str, images: np.ndarray) -> None:
    model = image_network()
    analyzer = create_analyzer(name, model)
    before = analyzer.analyze(images, 1)
    traces = analyzer.traces
    assert traces == 1
    model.compile(keras.optimizers.SGD(0.05), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(images, np.arange(8) % 3, batch_size=8, epochs=2, verbose=0)
    trained = analyzer.analyze(images, 1)
    np.testing.assert_allclose(trained, create_analyzer(name, model).analyze(images, 1), rtol=1e-5, atol=1e-7)
    model.set_weights([1.5 * weights for weights in model.get_weights()])
    scaled = analyzer.analyze(images, 1)
    np.testing.assert_allclose(scaled, create_analyzer(name, model).analyze(images, 1), rtol=1e-5, atol=1e-7)
    assert analyzer.traces == traces
    if name != "lrp.flat":  # which knows only the architecture and the output's value
        assert np.abs(trained - before).max() > 1e-3 * np.abs(before).max()


def test_moving_statistics_are_live(images: np.ndarray) -> None:
    model = image_network()
    analyzer = create_analyzer("lrp.epsilon", model)
    before = analyzer.analyze(images, 0)
    norm = next(layer for layer in model.layers if isinstance(layer, layers.BatchNormalization))
    norm.moving_variance.assign(4.0 * np.ones(4))
    norm.moving_mean.assign(np.full(4, 0.5))
    after = analyzer.explain(images, 0)
    np.testing.assert_allclose(after.output, model(images), rtol=1e-4, atol=1e-5)
    assert np.abs(after.relevance - before).max() > 1e-3


def test_a_hundred_analyses_of_every_size_add_no_trace(images: np.ndarray) -> None:
    analyzer = create_analyzer("lrp.epsilon_plus", image_network(), batch_size=3)
    whole = analyzer.analyze(images, 2)
    for i in range(100):
        part = slice(i % 4, 4 + i % 5)
        np.testing.assert_allclose(analyzer.analyze(images[part], 2), whole[part], rtol=1e-4, atol=1e-6)
    # JAX compiles for every shape: here for batches of one, two and three samples.
    assert analyzer.traces == (3 if keras.backend.backend() == "jax" else 1)


def test_analysis_leaves_nothing_on_the_model(images: np.ndarray) -> None:
    model = image_network()
    weights, attributes = model.get_weights(), set(vars(model))
    traced = {layer.name: set(vars(layer)) for layer in model.layers}
    analyzer = create_analyzer("lrp.epsilon_plus", model)
    analyzer.audit(images)
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert set(vars(model)) == attributes
    assert {layer.name: set(vars(layer)) for layer in model.layers} == traced


def dense_network(rng: np.random.Generator) -> keras.Model:
    inputs = keras.Input((3,), dtype="float64")
    hidden = layers.Dense(4, "relu", dtype="float64")(inputs)
    model = keras.Model(inputs, layers.Dense(2, dtype="float64")(hidden))
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return model


def relevance_of(twin: Any, x: Any) -> Any:
    """Q at the input, for neuron 1, times the input."""
    with relevance_pass():
        _, (q,) = gradients(lambda x: twin(x)[:, 1], x, signal=lambda y: y)
    return x * q


@pytest.mark.parametrize(
    "mode",
    [
        "eager",
        pytest.param("function", marks=pytest.mark.tensorflow("a graph without XLA")),
        pytest.param("xla", marks=pytest.mark.xla),
    ],
)
@pytest.mark.parametrize("rule", [Epsilon(0.1), AlphaBeta(2.0, 1.0, stabilizer=0.1), ZPlus(stabilizer=0.1), Gamma(0.5)])
def test_a_loss_on_relevance_has_the_right_gradient_for_the_weights(
    rule: Any, mode: str, rng: np.random.Generator
) -> None:
    model = dense_network(rng)
    analyzer = create_analyzer("lrp", model, rule=rule)
    x = ops.convert_to_tensor(rng.normal(size=(5, 3)))
    np.testing.assert_allclose(relevance_of(analyzer.twin, x), analyzer.analyze(x, 1), rtol=1e-9)
    kernels = [model.layers[1].kernel, model.layers[2].kernel]

    def loss() -> Any:
        return ops.sum(ops.square(relevance_of(analyzer.twin, x)))

    for kernel, gradient in zip(kernels, gradients_by_weights(loss, kernels, mode), strict=True):
        for index in ((0, 0), (2, 1)):
            step = np.zeros(kernel.shape)
            step[index] = 1e-6
            kernel.assign_add(step)
            above = float(loss())
            kernel.assign_sub(2 * step)
            below = float(loss())
            kernel.assign_add(step)
            assert float(gradient[index]) == pytest.approx((above - below) / 2e-6, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", ["lrp.alpha_2_beta_1", "lrp.gamma", "lrp.z_plus", "lrp.flat", "lrp.bias_as_input"])
def test_outside_of_a_pass_the_twin_has_the_ordinary_gradient(name: str, rng: np.random.Generator) -> None:
    model = dense_network(rng)
    kernel = model.layers[1].kernel
    kernel.assign(np.where(np.abs(kernel) < 0.5, 0.0, kernel))  # exact zeros belong to neither part
    assert not np.asarray(kernel).all()
    x = ops.convert_to_tensor(np.where(rng.uniform(size=(5, 3)) < 0.3, 0.0, rng.normal(size=(5, 3))))
    found = []
    for network in (model, create_analyzer(name, model).twin):

        def loss(x: Any = x, network: Any = network) -> Any:
            return ops.sum(ops.square(network(x)))

        found.append([*gradients(loss, x)[1], *gradients_by_weights(loss, model.trainable_variables)])
    for ordinary, of_twin in zip(*found, strict=True):
        np.testing.assert_allclose(of_twin, ordinary, rtol=1e-9, atol=1e-12)


def test_a_relevance_pass_is_of_its_own_thread(rng: np.random.Generator) -> None:
    model = dense_network(rng)
    twin = create_analyzer("lrp.z_plus", model).twin
    x = rng.normal(size=(2, 3))

    def gradient(network: Any) -> np.ndarray:
        return np.asarray(gradients(lambda x: network(x)[:, 1], x)[1][0])

    seen: list[np.ndarray] = []
    with relevance_pass():
        thread = threading.Thread(target=lambda: seen.append(gradient(twin)))
        thread.start()
        thread.join()
        inside = gradient(twin)
    np.testing.assert_allclose(seen[0], gradient(model), rtol=1e-12)
    assert np.abs(inside - seen[0]).max() > 1e-3


def test_two_analyzers_of_one_model_do_not_disturb_each_other(images: np.ndarray) -> None:
    model = image_network()
    alone = create_analyzer("lrp.flat", model).analyze(images, 0)
    first, second = create_analyzer("lrp.flat", model), create_analyzer("lrp.epsilon", model)
    second.analyze(images, 0)
    np.testing.assert_array_equal(first.analyze(images, 0), alone)
    assert kerasexplain.create_analyzer("gradient", model).analyze(images, 0).any()


def test_a_model_that_has_only_been_explained_has_weights_and_can_be_trained() -> None:
    class Model(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(2, name="dense")

        def call(self, x: Any) -> Any:
            return self.dense(x)

    model, x = Model(), np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    analyzer = create_analyzer("lrp.z", model, example=x)
    first = analyzer.analyze(x)
    np.testing.assert_array_equal(analyzer.analyze(x), first)
    np.testing.assert_allclose(first, create_analyzer("lrp.z", model).analyze(x), rtol=1e-6)
    model.compile("sgd", "mse")
    model.fit(x, np.ones((4, 2)), verbose=0)
    assert np.abs(analyzer.analyze(x) - first).max() > 1e-6
