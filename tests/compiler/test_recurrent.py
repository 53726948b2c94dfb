"""Recurrent layers: custom cells, stacked cells, states, masks, and loops against steps laid out one after the other.

The numbers of Keras' own cells are compared with an independent reference in tests/references.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasexplain import create_analyzer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 4, 4))


class Minimal(layers.Layer):
    """A cell of one's own: no subclass of a cell of Keras'."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = self.state_size = units

    def build(self, shape: Any) -> None:
        self.w = self.add_weight(shape=(shape[-1], self.units))
        self.u = self.add_weight(shape=(self.units, self.units))
        self.b = self.add_weight(shape=(self.units,))

    def call(self, x: Any, states: Any) -> Any:
        gate = ops.sigmoid(ops.matmul(x, self.w) + self.b * 2.0)
        h = ops.relu(ops.matmul(x, self.w) + ops.matmul(states[0], self.u))
        h = gate * h + (1.0 - gate) * states[0]
        return h, [h]


LAYERS: dict[str, Callable[[], Any]] = {
    "LSTM": lambda: layers.LSTM(3),
    "LSTM, sequences": lambda: layers.LSTM(3, return_sequences=True, go_backwards=True),
    "GRU": lambda: layers.GRU(3, reset_after=False),
    "GRU, relu": lambda: layers.GRU(3, activation="relu", use_bias=False),
    "SimpleRNN": lambda: layers.SimpleRNN(3, unroll=True),
    "custom cell": lambda: layers.RNN(Minimal(3)),
    "stacked cells": lambda: layers.RNN([layers.LSTMCell(3), Minimal(4), layers.GRUCell(2)], return_sequences=True),
    "bidirectional sum": lambda: layers.Bidirectional(layers.LSTM(3, return_sequences=True), merge_mode="sum"),
    "bidirectional mul": lambda: layers.Bidirectional(layers.GRU(3), merge_mode="mul"),
    "bidirectional ave": lambda: layers.Bidirectional(layers.SimpleRNN(3), merge_mode="ave"),
    "own backward layer": lambda: layers.Bidirectional(layers.LSTM(3), backward_layer=layers.GRU(3, go_backwards=True)),
}


def model_of(layer: Any, masked: bool = False) -> keras.Model:
    inputs = keras.Input((4, 4), dtype="float64")
    x = layers.Masking(dtype="float64")(inputs) if masked else inputs
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layer(x))))
    for variable in model.trainable_variables:
        variable.assign(0.6 * RNG.normal(size=variable.shape))
    return model


@pytest.fixture(autouse=True)
def _double_precision() -> Any:
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


def total(explanation: Any) -> np.ndarray:
    parts = [*keras.tree.flatten(explanation.relevance), *explanation.bias.values()]
    return sum(np.asarray(part).reshape(len(explanation.explained), -1).sum(1) for part in parts)


@pytest.mark.formula
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("kind", LAYERS)
def test_the_twin_follows_and_the_audit_closes(kind: str, masked: bool) -> None:
    model, x = model_of(LAYERS[kind](), masked), X.copy()
    if masked:
        x[0, 2:] = x[1, :1] = 0.0
    # Steps laid out one after the other, which XLA compiles for long, are compared below.
    by_xla = kind in ("LSTM", "custom cell") and keras.backend.backend() != "torch"
    for jit_compile in (False, True)[: 2 if by_xla else 1]:
        explanation = create_analyzer("lrp.bias_as_input", model, jit_compile=jit_compile).explain(x, 1, bias=True)
        np.testing.assert_allclose(explanation.output, model(x), rtol=0, atol=1e-10)
        np.testing.assert_allclose(total(explanation), explanation.explained, rtol=0, atol=1e-10)
        if masked:
            assert not explanation.relevance[x == 0].any()


@pytest.mark.xla
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("GRU", "lrp.epsilon"),
        ("custom cell", "lrp.z_plus"),
        ("LSTM", "lrp.alpha_2_beta_1"),
        ("GRU", "lrp.flat"),
        ("SimpleRNN", "lrp.gamma"),
    ],
)
def test_a_loop_gives_what_its_steps_give(kind: str, name: str) -> None:
    model = model_of(LAYERS[kind]())
    loop, steps = (create_analyzer(name, model, jit_compile=jit).analyze(X, 0) for jit in (False, True))
    np.testing.assert_allclose(loop, steps, rtol=0, atol=1e-10 * np.abs(steps).max())


def test_the_first_layer_s_rule_holds_for_the_first_cell_alone() -> None:
    inputs = keras.Input((4, 4))
    x = layers.LSTM(3, return_sequences=True, name="one")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.LSTM(3, name="two")(x)))
    rows = create_analyzer("lrp.epsilon", model, input_layer_rule="Flat").rows
    kernels = {row.name: repr(row.rule) for row in rows if row.kernel}
    assert kernels["one/lstm_cell/preactivation"] == "Flat()"
    assert kernels["two/lstm_cell/preactivation"].startswith("Epsilon")
    assert kernels[model.layers[-1].name].startswith("Epsilon")


def test_initial_states_are_inputs_like_any_other() -> None:
    sequence, h, c = keras.Input((4, 4)), keras.Input((3,)), keras.Input((3,))
    outputs, *states = layers.LSTM(3, return_state=True)(sequence, initial_state=[h, c])
    model = keras.Model([sequence, h, c], layers.Dense(2)(ops.concatenate([outputs, *states], axis=-1)))
    x = [X, RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3))]
    explanation = create_analyzer("lrp.bias_as_input", model).explain(x, 0, bias=True)
    np.testing.assert_allclose(explanation.output, model(x), atol=1e-10)
    np.testing.assert_allclose(total(explanation), explanation.explained, atol=1e-10)
    assert all(np.abs(relevance).min() > 0 for relevance in explanation.relevance)


def test_sequences_of_any_length() -> None:
    inputs = keras.Input((None, 4))
    model = keras.Model(inputs, layers.Dense(2)(layers.GRU(3)(inputs)))
    analyzer = create_analyzer("lrp.epsilon", model)
    for steps in (2, 4):
        np.testing.assert_allclose(analyzer.explain(X[:, :steps], 0).output, model(X[:, :steps]), atol=1e-10)
    assert analyzer.traces == (2 if keras.backend.backend() == "jax" else 1)  # JAX compiles for every shape


def test_convolutional_lstm() -> None:
    inputs = keras.Input((3, 6, 6, 2))
    x = layers.ConvLSTM2D(3, 3, padding="same", return_sequences=True)(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.ConvLSTM2D(2, 3)(x))))
    x = RNG.normal(size=(2, 3, 6, 6, 2))
    explanation = create_analyzer("lrp.bias_as_input", model).explain(x, 1, bias=True)
    np.testing.assert_allclose(explanation.output, model(x), atol=1e-10)
    np.testing.assert_allclose(total(explanation), explanation.explained, atol=1e-10)


def test_a_recurrent_model_that_is_trained_is_explained_as_it_is_now() -> None:
    model = model_of(layers.RNN(Minimal(3)))
    analyzer = create_analyzer("lrp.epsilon", model)
    analyzer.analyze(X, 0)
    for variable in model.trainable_variables:
        variable.assign(variable + 0.3 * RNG.normal(size=variable.shape))
    given = analyzer.analyze(X, 0)
    np.testing.assert_allclose(given, create_analyzer("lrp.epsilon", model).analyze(X, 0), atol=1e-12)
    assert analyzer.traces == 1


def test_masked_sequences_of_any_length() -> None:
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Bidirectional(layers.LSTM(3))(x)))
    tokens = RNG.integers(1, 9, size=(3, 5))
    tokens[1, 2:] = 0
    for steps in (3, 5):
        explanation = create_analyzer("lrp.bias_as_input", model).explain(tokens[:, :steps], 0, bias=True)
        np.testing.assert_allclose(explanation.output, model(tokens[:, :steps]), atol=1e-10)
        np.testing.assert_allclose(total(explanation), explanation.explained, atol=1e-10)
        assert not explanation.relevance[tokens[:, :steps] == 0].any()
