"""The logits are found through whatever only moves them, and where probabilities are explained, that is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasexplain import create_analyzer

Tensor = Any
MOVES: dict[str, Callable[[Tensor], Tensor]] = {
    "squeeze": lambda p: ops.squeeze(ops.expand_dims(p, 1), 1),
    "reshape": lambda p: layers.Reshape((2, 2))(p),
    "flatten": lambda p: layers.Flatten()(p),
    "permute": lambda p: layers.Permute((2, 1))(layers.Reshape((2, 2))(p)),
    "slice": lambda p: p[:, 1:],
    "identity": lambda p: layers.Identity()(p),
    "linear": lambda p: layers.Activation("linear")(p),
    "dropout": lambda p: layers.Dropout(0.5)(p),
    "cast": lambda p: ops.cast(p, "float32"),
    "upsampling": lambda p: layers.UpSampling1D(2)(layers.Reshape((4, 1))(p)),
    "heads": lambda p: layers.Concatenate()([p[:, :2], p[:, 2:]]),
}


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("move", MOVES)
def test_logits_are_found_behind_what_moves_them(move: str, activation: str) -> None:
    inputs = keras.Input((5,))
    hidden = layers.Dense(6, activation="relu")(inputs)
    dense = layers.Dense(4)
    logits = dense(hidden)
    with_activation = keras.Model(inputs, MOVES[move](layers.Activation(activation)(logits)))
    without = keras.Model(inputs, MOVES[move](logits))
    x = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    weights = np.linspace(-1, 1, int(np.prod(without.output_shape[1:]))).reshape(without.output_shape[1:])
    found, expected = (create_analyzer("lrp.epsilon_plus", m).explain(x, weights) for m in (with_activation, without))
    np.testing.assert_allclose(found.explained, expected.explained, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.relevance, expected.relevance, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.output, with_activation.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


def test_softmax_of_every_time_step() -> None:
    inputs = keras.Input((4, 3))
    hidden = layers.TimeDistributed(layers.Dense(5, activation="relu"))(inputs)
    dense = layers.Dense(3, activation="softmax")
    model = keras.Model(inputs, layers.TimeDistributed(dense)(hidden))
    logits = keras.Model(inputs, ops.matmul(hidden, dense.kernel) + dense.bias)
    x = np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    found = create_analyzer("lrp.epsilon", model).explain(x, (2, 1))
    np.testing.assert_allclose(found.explained, logits.predict(x, verbose=0)[:, 2, 1], rtol=1e-5)


def test_probabilities_that_are_explained_are_said_to_be() -> None:
    inputs = keras.Input((5,))
    probabilities = layers.Dense(4, activation="softmax", name="classes")(inputs)
    averaged = keras.Model(inputs, layers.Average()([probabilities, layers.Dense(4)(inputs)]))
    for model, options in ((averaged, {}), (keras.Model(inputs, probabilities), {"explain": "activation"})):
        assert "made of the probabilities of classes/softmax" in str(create_analyzer("gradient", model, **options))
    assert "probabilities" not in str(create_analyzer("gradient", keras.Model(inputs, probabilities)))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about TensorFlow's own functions")
@pytest.mark.parametrize("name", ["softmax", "sigmoid", "relu", "silu", "tanh", "gelu", "elu"])
def test_activations_of_tensorflow(name: str) -> None:
    import tensorflow as tf

    def model(activation: Any) -> keras.Model:
        behind = [] if name in ("softmax", "sigmoid") else [layers.Dense(3)]
        return keras.Sequential([keras.Input((6,)), layers.Dense(5, activation=activation), *behind])

    theirs, own = model(getattr(tf.nn, name)), model(name)
    own.set_weights(theirs.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 6)).astype("float32")
    for analyzer in ("gradient", "lrp.epsilon_plus"):
        found, expected = (create_analyzer(analyzer, m).explain(x, 1) for m in (theirs, own))
        np.testing.assert_allclose(found.explained, expected.explained, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.relevance, expected.relevance, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("how", ["tokens", "axis", "flattened", "permuted", "masked"])
def test_the_largest_output_is_explained_where_positions_have_a_softmax_each(how: str) -> None:
    inputs = keras.Input((6,))
    tokens = layers.Reshape((3, 2))(inputs)
    output = {
        "tokens": lambda: layers.Dense(4, activation="softmax")(tokens),
        "axis": lambda: layers.Softmax(axis=1)(layers.Dense(4)(tokens)),
        "flattened": lambda: layers.Flatten()(layers.Dense(4, activation="softmax")(tokens)),
        "permuted": lambda: layers.Permute((2, 1))(layers.Dense(4, activation="softmax")(tokens)),
        "masked": lambda: layers.Softmax()(layers.Dense(6)(inputs), mask=inputs > -1),
    }[how]()
    model = keras.Model(inputs, output)
    x = 2 * np.random.default_rng(0).normal(size=(20, 6)).astype("float32")
    found = create_analyzer("lrp.epsilon", model).explain(x)
    outputs = np.asarray(ops.convert_to_numpy(model(x)))
    each = np.arange(20)
    chosen = outputs[(each, *found.neuron.T)] if found.neuron.ndim > 1 else outputs[each, found.neuron]
    np.testing.assert_array_equal(chosen, outputs.reshape(20, -1).max(axis=1))
