"""`Analyzer.differentiable` gives what `analyze` gives, as tensors."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from helpers.backends import gradients_by_weights
from helpers.networks import bn_cnn
from keras import layers, ops

import kerasexplain
from kerasexplain import Contrast, InputError, create_analyzer


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    return bn_cnn("float64")


X = np.random.default_rng(0).random((3, 12, 12, 3))


@pytest.mark.parametrize("name", ["lrp.epsilon_plus", "lrp.gamma", "gradient", "deep_taylor", "guided_backprop"])
@pytest.mark.parametrize(
    "target",
    [
        *(None, 2, -2, np.array([0, -1, 1]), np.random.default_rng(1).random((3, 5))),
        *(Contrast(1), Contrast([1, 2, -2], against=0)),
    ],
    ids=["largest", "index", "from the end", "indices", "weights", "contrast", "contrast of two"],
)
def test_it_gives_what_analyze_gives(network: keras.Model, name: str, target: Any) -> None:
    analyzer = create_analyzer(name, network)
    found = analyzer.differentiable(X, target)
    expected = analyzer.explain(X, target, bias=name.startswith("lrp"))
    assert np.allclose(ops.convert_to_numpy(found.inputs), expected.relevance, rtol=1e-9, atol=1e-12)
    assert np.allclose(ops.convert_to_numpy(found.explained), expected.explained)
    if name.startswith("lrp"):
        biases = analyzer.differentiable(X, target, bias=True).biases
        assert set(biases) == set(expected.bias)
        for where, taken in expected.bias.items():
            assert np.allclose(ops.convert_to_numpy(biases[where]), taken, rtol=1e-9, atol=1e-12)


def test_the_modes_of_the_analyzer_hold(network: keras.Model) -> None:
    everything = create_analyzer("lrp.epsilon", network, neuron_selection_mode="all")
    found = ops.convert_to_numpy(everything.differentiable(X).inputs)
    assert np.allclose(found, everything.analyze(X), atol=1e-12)
    with pytest.raises(InputError, match="needs a target"):
        create_analyzer("lrp.epsilon", network, neuron_selection_mode="index").differentiable(X)


def test_lrp_0_has_the_derivatives_of_gradient_times_input() -> None:
    """Without biases LRP-0 is x times gradient, whose derivative any framework has."""
    keras.utils.set_random_seed(2)
    options: dict[str, Any] = {"use_bias": False, "dtype": "float64"}
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), dtype="float64"),
            layers.Conv2D(4, 3, activation="relu", **options),
            layers.Flatten(dtype="float64"),
            layers.Dense(3, **options),
        ]
    )
    x = np.random.default_rng(1).random((2, 8, 8, 1))
    signal = ops.convert_to_tensor(np.random.default_rng(2).standard_normal(x.shape))
    of_lrp, of_gradient = (create_analyzer(name, model) for name in ("lrp.z", "input_t_gradient"))
    found, expected = (
        gradients_by_weights(lambda a=a: ops.sum(a.differentiable(x, 1).inputs * signal), model.trainable_variables)
        for a in (of_lrp, of_gradient)
    )
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(ops.convert_to_numpy(one), ops.convert_to_numpy(other), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mode", ["function", "xla"])
@pytest.mark.parametrize("name", ["lrp.epsilon_plus", "lrp.alpha_2_beta_1", "gradient"])
def test_derivatives_in_a_compiled_function(network: keras.Model, name: str, mode: str) -> None:
    analyzer = create_analyzer(name, network)

    def loss() -> Any:
        return ops.sum(ops.square(analyzer.differentiable(X, 1).inputs))

    eager, compiled = (gradients_by_weights(loss, network.trainable_variables, m) for m in ("eager", mode))
    for one, other in zip(eager, compiled, strict=True):
        if one is not None:
            one, other = ops.convert_to_numpy(one), ops.convert_to_numpy(other)
            assert np.allclose(one, other, rtol=1e-8, atol=1e-10 * np.abs(one).max())


def test_methods_of_several_passes_are_refused(network: keras.Model) -> None:
    for name in ("integrated_gradients", "smoothgrad", "occlusion", "lrp.baseline", "grad_cam", "random"):
        with pytest.raises(ValueError, match="one pass"):
            create_analyzer(name, network).differentiable(X)
    with pytest.raises(ValueError, match="fit"):
        create_analyzer("pattern.net", network).differentiable(X)
    with pytest.raises(ValueError, match="start="):
        create_analyzer("lrp.epsilon", network, start=np.ones(5)).differentiable(X)


def test_what_does_not_fit_is_refused(network: keras.Model) -> None:
    analyzer = create_analyzer("lrp.epsilon", network)
    with pytest.raises(InputError, match="has shape"):
        analyzer.differentiable(X[:, :6])
    with pytest.raises(InputError, match="one weight per output"):
        analyzer.differentiable(X, np.array([1.0, 0.0, 1.0]))
    with pytest.raises(InputError, match="one integer for each sample"):
        analyzer.differentiable(X, np.zeros((3, 2), int))
    for target in (5, -6, np.array([0, 1, 5]), Contrast(5)):
        with pytest.raises(IndexError, match="out of range: the output has 5"):
            analyzer.differentiable(X, target)
    single = create_analyzer("lrp.epsilon", keras.Sequential([keras.Input((3,)), layers.Dense(1)]))
    with pytest.raises(InputError, match="several neurons"):
        single.differentiable(np.ones((1, 3)), Contrast(0))
    shaped = create_analyzer("lrp.epsilon", keras.Sequential([keras.Input((4, 3)), layers.Dense(2)]))
    with pytest.raises(InputError, match="pass weights like it"):
        shaped.differentiable(np.ones((1, 4, 3)), 0)


def dead() -> keras.Model:
    """Units that are never active, and inputs that saturate."""
    keras.utils.set_random_seed(4)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(5, activation="tanh"),
            layers.Dense(3, activation="softmax"),
        ]
    )
    kernel, bias = model.layers[0].get_weights()
    bias[:2] = -100.0
    model.layers[0].set_weights([kernel, bias])
    return model


@pytest.mark.formula
@pytest.mark.parametrize("x", ["zeros", "saturated", "ordinary"])
@pytest.mark.parametrize("name", [name for name in kerasexplain.analyzer_names() if name.startswith("lrp")])
def test_derivatives_are_finite_at_dead_units_zeros_and_saturated_inputs(name: str, x: str) -> None:
    model = dead()
    values = {"zeros": 0.0, "saturated": 1e4, "ordinary": 1.0}[x] * np.ones((2, 6, 6, 1), "float32")
    try:
        analyzer = create_analyzer(name, model)
        analyzer.differentiable(values, 1)
    except ValueError as error:
        pytest.skip(str(error))

    def loss() -> Any:
        found = analyzer.differentiable(values, 1).inputs
        return ops.sum(kerasexplain.training.RelevanceSparsity().call(None, found)) + ops.sum(ops.square(found))

    for gradient in gradients_by_weights(loss, model.trainable_variables):
        assert gradient is None or np.isfinite(ops.convert_to_numpy(gradient)).all()
