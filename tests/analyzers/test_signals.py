"""Deconvolution, guided backpropagation and beta-smoothing: by hand, and what they refuse."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from helpers.backends import gradients
from keras import layers, ops

from kerasexplain import UnsupportedModelError, create_analyzer, relevance_pass, rules
from kerasexplain.backend import pull_back

W1, W2 = np.array([[1.0, -2.0, 1.0], [1.0, 1.0, -1.0]]), np.array([[1.0], [3.0], [-2.0]])


def network(activation: Any) -> keras.Model:
    hidden, out = layers.Dense(3, use_bias=False), layers.Dense(1, use_bias=False)
    inputs = keras.Input((2,))
    model = keras.Model(inputs, out(activation(hidden(inputs))))
    hidden.set_weights([W1])
    out.set_weights([W2])
    return model


RELUS = {
    "layer": layers.ReLU(),
    "function": layers.Activation("relu"),
    "relu6": layers.ReLU(6.0),
    "operation": lambda z: ops.relu6(z),
    "maximum": lambda z: ops.maximum(z, 0.0),
}


@pytest.mark.parametrize("relu", RELUS.values(), ids=list(RELUS))
def test_by_hand(relu: Any) -> None:
    """x = (2, 1): z = (3, -3, 1); the weights behind are (1, 3, -2): the gradient is (1 - 2, 1 + 2) = (-1, 3).

    Deconvolution keeps what is positive of the weights, (1, 3, 0): (1 - 6, 1 + 3). Guided backpropagation keeps of it
    what went through the ReLU, (1, 0, 0): (1, 1).
    """
    model, x = network(relu), np.array([[2.0, 1.0]])
    for name, expected in (("gradient", [-1, 3]), ("deconvnet", [-5, 4]), ("guided_backprop", [1, 1])):
        np.testing.assert_allclose(create_analyzer(name, model, start="one").analyze(x, 0)[0], expected, atol=1e-6)


def test_the_cap_of_a_relu6_applies_to_what_comes_back() -> None:
    model, x = network(layers.ReLU(6.0)), np.array([[2.0, 1.0]])
    found = create_analyzer("deconvnet", model, start=np.array([5.0])).analyze(x, 0)[0]
    np.testing.assert_allclose(found, [5 - 12, 5 + 6], atol=1e-5)  # (5, 15, -10), capped: (5, 6, 0)


@pytest.mark.parametrize(("name", "function"), [("guided_backprop", "gelu"), ("deconvnet", "sigmoid")])
def test_other_nonlinearities_are_refused_unless_the_gradient_is_asked_for(name: str, function: str) -> None:
    model, x = network(layers.Activation(function)), np.array([[2.0, 1.0]])
    with pytest.raises(UnsupportedModelError, match=r"activation.*(ReLU alone|f\(0\))"):
        create_analyzer(name, model)
    found = create_analyzer(name, model, on_unsupported="gradient", start="one").analyze(x, 0)
    np.testing.assert_allclose(found, create_analyzer("gradient", model).analyze(x, 0), atol=1e-6)


def test_a_network_with_softmax_inside_has_its_plain_gradient_there() -> None:
    x = inputs = keras.Input((4,))
    x = layers.Softmax()(layers.Dense(5, "relu")(x))
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(3, "relu")(x)))
    assert create_analyzer("guided_backprop", model).analyze(np.ones((1, 4))).shape == (1, 4)


def test_the_table_shows_the_rules() -> None:
    shown = str(create_analyzer("guided_backprop", network(layers.ReLU())))
    assert "GuidedReLU()" in shown
    assert "unsupported" not in shown


@pytest.mark.parametrize("relu", [lambda z: ops.where(z > 0, z, 0.0), lambda z: z * ops.cast(z > 0, z.dtype)])
@pytest.mark.parametrize("name", ["guided_backprop", "deconvnet"])
def test_a_relu_by_comparison_is_refused(name: str, relu: Any) -> None:
    with pytest.raises(UnsupportedModelError, match="comparison"):
        create_analyzer(name, network(layers.Lambda(relu)))


@pytest.mark.parametrize(
    "rule",
    [rules.GuidedReLU(), rules.SoftplusSlope(), rules.BaselineSlope(), rules.RevealCancel(), rules.MeanGradient()],
)
def test_rules_of_gradients_are_refused_where_relevance_travels(rule: type) -> None:
    with pytest.raises(ValueError, match="whose signal is a gradient"):
        create_analyzer("lrp", network(layers.ReLU()), rule=[("*", rule), "lrp.z"])


def test_repeat_is_refused_where_it_has_no_meaning() -> None:
    with pytest.raises(UnsupportedModelError, match=r"f\(0\) = 0"):
        create_analyzer("lrp", network(layers.Activation("sigmoid")), rule=[("activation*", "Repeat"), "lrp.z"])


def logistic(z: float) -> float:
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize("relu", RELUS.values(), ids=list(RELUS))
def test_softplus_by_hand(relu: Any) -> None:
    """x = (2, 1): z = (3, -3, 1), and the weights behind are (1, 3, -2); beta = 2.

    The slopes of the softplus are sigmoid(2 z); those of a ReLU6, less sigmoid(2 (z - 6)).
    """
    model, x = network(relu), np.array([[2.0, 1.0]])
    bounded = relu is RELUS["relu6"] or relu is RELUS["operation"]
    slopes = np.array([logistic(2 * z) - (logistic(2 * (z - 6)) if bounded else 0) for z in (3, -3, 1)])
    found = create_analyzer("beta_smooth", model, beta=2.0).analyze(x, 0)[0]
    np.testing.assert_allclose(found, W1 @ (slopes * W2[:, 0]), atol=1e-6)


def test_softplus_with_a_large_beta_is_the_gradient_and_its_derivative_is_that_of_the_softplus_network() -> None:
    model, x = network(layers.ReLU()), np.array([[2.0, 1.0]])
    expected = create_analyzer("gradient", model).analyze(x, 0)
    np.testing.assert_allclose(create_analyzer("beta_smooth", model, beta=1e3).analyze(x, 0), expected, atol=1e-6)
    # Of one hidden layer, z is that of the softplus network too: so is the gradient.
    smooth = network(lambda z: ops.softplus(3 * z) / 3)
    expected = create_analyzer("gradient", smooth).analyze(x, 0)
    np.testing.assert_allclose(create_analyzer("beta_smooth", model, beta=3).analyze(x, 0), expected, atol=1e-6)


def test_softplus_leaves_smooth_functions_alone_and_refuses_other_kinks() -> None:
    x = np.array([[2.0, 1.0]])
    smooth = network(layers.Activation("gelu"))
    expected = create_analyzer("gradient", smooth).analyze(x, 0)
    np.testing.assert_allclose(create_analyzer("beta_smooth", smooth).analyze(x, 0), expected, atol=1e-6)
    with pytest.raises(UnsupportedModelError, match="not a ReLU's"):
        create_analyzer("beta_smooth", network(layers.LeakyReLU()))
    for beta in (0, -1.0, float("inf"), True, "2"):
        with pytest.raises(ValueError, match="beta must be a positive number"):
            create_analyzer("beta_smooth", smooth, beta=beta)


def test_softplus_has_second_derivatives_where_relu_has_none() -> None:
    """The sum of the map is `sum_j u_j sigmoid(beta z_j) w_j` with u the column sums of W1; it is differentiated."""
    model, x, beta = network(layers.ReLU()), np.array([[0.3, 0.1]], "float32"), 2.0
    twin = create_analyzer("beta_smooth", model, beta=beta).twin

    def sum_of_map(x: Any) -> Any:
        with relevance_pass():
            y, _, pullback = pull_back(lambda x: (twin(x), None), x)
            (q,) = pullback(ops.ones_like(y))
        return ops.sum(q, axis=-1)

    total, (found,) = gradients(sum_of_map, x)
    z = x[0] @ W1
    slope = np.array([logistic(beta * value) for value in z])
    np.testing.assert_allclose(total, [np.sum(W1.sum(axis=0) * slope * W2[:, 0])], atol=1e-6)
    expected = W1 @ (W1.sum(axis=0) * beta * slope * (1 - slope) * W2[:, 0])
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
