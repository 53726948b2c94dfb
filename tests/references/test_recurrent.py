"""Recurrent networks: the reference in `recurrent.py`, checked by itself, and the analyzer checked against it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from helpers.references import recurrent
from helpers.references.recurrent import Array, Cell, Damping, Layer, State, Weights
from keras import layers

import kerasexplain

pytestmark = pytest.mark.formula

BATCH, T, D, CLASSES = 3, 5, 4, 3
PADDING = -2.0
#: Padding at the end, at the start and within, and none at all.
MASK = np.array([[1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [1, 1, 1, 1, 1]], dtype=bool)
DAMPING = Damping(epsilon=1e-3, stabilizer=1e-3)
OPTIONS: dict[str, Any] = {"dtype": "float64"}


class Kind(NamedTuple):
    make: Callable[..., keras.layers.Layer]
    cell: Cell


KINDS = {
    "LSTM": Kind(layers.LSTM, recurrent.LSTM),
    "GRU": Kind(layers.GRU, recurrent.GRU),
    "GRU, reset before": Kind(lambda *a, **k: layers.GRU(*a, reset_after=False, **k), recurrent.GRU_RESET_BEFORE),
    "SimpleRNN": Kind(layers.SimpleRNN, recurrent.SIMPLE),
}
#: Each layer by its units and how it goes; all but the last return sequences.
SHAPES = {
    "one": [(4, "forward")],
    "two": [(4, "forward"), (3, "forward")],
    "backwards": [(4, "backwards")],
    "backwards, then forward": [(4, "backwards"), (3, "forward")],
    "bidirectional": [(3, "bidirectional")],
    "two bidirectional": [(3, "bidirectional"), (2, "bidirectional")],
}
of_every_kind = pytest.mark.parametrize("kind", KINDS)
of_every_shape = pytest.mark.parametrize("shape", SHAPES)
with_and_without_padding = pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])


class Case(NamedTuple):
    """A Keras model, its input, and what the reference needs."""

    model: keras.Model
    x: Array
    layers: list[Layer]
    kernel: Array
    bias: Array
    mask: Array

    def logits(self) -> Array:
        return recurrent.logits(self.layers, self.kernel, self.bias, self.x, self.mask)

    def relevance(self, neuron: int, damping: Damping = DAMPING) -> Array:
        return recurrent.relevance(self.layers, self.kernel, self.bias, self.x, self.mask, neuron, damping)


def case(kind: str, shape: str, padded: bool, biased: bool = True, seed: int = 0) -> Case:
    x = inputs = keras.Input((T, D), **OPTIONS)
    if padded:
        x = layers.Masking(PADDING, **OPTIONS)(x)
    made = []
    for i, (units, way) in enumerate(SHAPES[shape]):
        sequences = i < len(SHAPES[shape]) - 1
        layer = KINDS[kind].make(units, return_sequences=sequences, go_backwards=way == "backwards", **OPTIONS)
        made.append(layers.Bidirectional(layer, **OPTIONS) if way == "bidirectional" else layer)
        x = made[-1](x)
    model = keras.Model(inputs, layers.Dense(CLASSES, **OPTIONS)(x))
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        drawn = rng.uniform(-1, 1, variable.shape)
        variable.assign(drawn if biased or "kernel" in variable.name else 0 * drawn)
    data = rng.normal(size=(BATCH, T, D)).astype("float32").astype("float64")  # `predict` would round it to float32
    mask = MASK if padded else np.ones_like(MASK)
    data[~mask] = PADDING
    return Case(model, data, [read(layer, KINDS[kind].cell) for layer in made], *model.layers[-1].get_weights(), mask)


def read(layer: keras.layers.Layer, cell: Cell) -> Layer:
    weights = layer.get_weights()
    if isinstance(layer, layers.Bidirectional):
        return Layer(cell, Weights(*weights[:3]), mirrored=Weights(*weights[3:]))
    return Layer(cell, Weights(*weights), backwards=layer.go_backwards)


def by_gradient(c: Case, neuron: int, damping: Damping) -> Array:
    """x times a gradient in which everything that the rules hold constant is: for a single layer that goes forward."""
    import tensorflow as tf

    constant = tf.stop_gradient
    ((cell, (W, U, b), *_),) = c.layers

    def damped(y: tf.Tensor, amount: float) -> tf.Tensor:
        share = constant(y / (y + amount * tf.where(y >= 0, 1.0, tf.constant(-1.0, y.dtype))))
        share = tf.where(tf.math.is_nan(share), tf.ones_like(share), share)  # 0 / 0
        return y * share + constant(y - y * share)

    def total(z: tf.Tensor) -> tf.Tensor:
        return damped(z, damping.epsilon)

    def added(y: tf.Tensor) -> tf.Tensor:
        return damped(y, damping.stabilizer)

    def tanh(z: tf.Tensor) -> tf.Tensor:
        share = constant(tf.tanh(z) / z)
        return tf.where(tf.math.is_nan(share), tf.ones_like(share), share) * z

    def gate(z: tf.Tensor) -> tf.Tensor:
        return constant(tf.sigmoid(z))

    def lstm(x: tf.Tensor, h: tf.Tensor, memory: tf.Tensor) -> State:
        i, f, g, o = tf.split(x @ W + h @ U + b, 4, axis=-1)
        memory = added(gate(f) * memory + gate(i) * tanh(total(g)))
        return gate(o) * tanh(memory), memory

    def gru(x: tf.Tensor, h: tf.Tensor) -> State:
        of_x, of_h = (tf.split(z, 3, axis=-1) for z in (x @ W + b[0], h @ U + b[1]))
        z, r = gate(of_x[0] + of_h[0]), gate(of_x[1] + of_h[1])
        candidate = tanh(added(total(of_x[2]) + r * total(of_h[2])))
        return (added(z * h + (1 - z) * candidate),)

    def gru_before(x: tf.Tensor, h: tf.Tensor) -> State:
        units = U.shape[0]
        of_x, of_h = (tf.split(z, 3, axis=-1) for z in (x @ W + b, h @ U))
        z, r = gate(of_x[0] + of_h[0]), gate(of_x[1] + of_h[1])
        return (added(z * h + (1 - z) * tanh(total(of_x[2] + (r * h) @ U[:, 2 * units :]))),)

    def simple(x: tf.Tensor, h: tf.Tensor) -> State:
        return (tanh(total(x @ W + h @ U + b)),)

    steps = {id(recurrent.LSTM): lstm, id(recurrent.GRU): gru, id(recurrent.GRU_RESET_BEFORE): gru_before}
    inputs = tf.constant(c.x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        state = (tf.zeros((BATCH, U.shape[0]), inputs.dtype),) * cell.states
        for t in range(T):
            new = steps.get(id(cell), simple)(inputs[:, t], *state)
            state = tuple(tf.where(c.mask[:, t, None], a, b) for a, b in zip(new, state, strict=True))
        logit = total(state[0] @ c.kernel + c.bias)[:, neuron]
    return (inputs * tape.gradient(logit, inputs)).numpy()


@with_and_without_padding
@of_every_shape
@of_every_kind
def test_the_reference_computes_what_keras_computes(kind: str, shape: str, padded: bool) -> None:
    c = case(kind, shape, padded)
    np.testing.assert_allclose(c.logits(), c.model.predict(c.x, verbose=0), rtol=0, atol=1e-12)


@with_and_without_padding
@of_every_shape
@of_every_kind
def test_the_reference_conserves_without_biases_and_epsilon(kind: str, shape: str, padded: bool) -> None:
    c = case(kind, shape, padded, biased=False)
    R = c.relevance(1, Damping(0.0, 0.0))
    moved = np.abs(R).sum(axis=(1, 2))
    assert np.all(np.abs(R.sum(axis=(1, 2)) - c.logits()[:, 1]) <= 1e-11 * moved)
    assert not R[~c.mask].any()


@pytest.mark.tensorflow("a reference without any of ours, checked by its tape")
@pytest.mark.parametrize("damping", [DAMPING, Damping(0.05, 0.01), Damping(0.0, 0.0)], ids=str)
@with_and_without_padding
@of_every_kind
def test_the_reference_is_a_gradient_with_constants(kind: str, padded: bool, damping: Damping) -> None:
    c = case(kind, "one", padded)
    R = c.relevance(2, damping)
    np.testing.assert_allclose(R, by_gradient(c, 2, damping), rtol=0, atol=1e-10 * np.abs(R).max())


def test_a_step_of_an_lstm_by_hand() -> None:
    """One unit, one input x = 2 with W = 3, h = 1 with U = -2, b = 1: g = 6 - 2 + 1 = 5, where the gates are 1 / 2.

    c' = c / 2 + tanh(5) / 2, and c = 3 tanh(5): of R = 5 + 3 the old c takes 3 / 4 = 6 and g takes 2, of which x takes
    6 / 5 and h -2 / 5.
    """
    weights = Weights(
        np.array([[0.0, 0.0, 3.0, 0.0]]), np.array([[0.0, 0.0, -2.0, 0.0]]), np.array([0.0, 0.0, 1.0, 0.0])
    )
    state = np.array([[1.0]]), 3 * np.tanh([[5.0]])
    R_x, (R_h, R_c) = recurrent.lstm_rule(
        weights, np.array([[2.0]]), state, (np.array([[5.0]]), np.array([[3.0]])), Damping(0.0, 0.0)
    )
    np.testing.assert_allclose([R_x, R_h, R_c], [[[12 / 5]], [[-4 / 5]], [[6.0]]], rtol=1e-14)


@with_and_without_padding
@of_every_shape
@of_every_kind
def test_the_analyzer_agrees_with_the_reference(kind: str, shape: str, padded: bool) -> None:
    c = case(kind, shape, padded)
    # That the two numbers are not exchanged, one shape is enough to tell.
    for damping in (DAMPING, Damping(0.05, 0.01))[: 2 if shape == "one" else 1]:
        if kind.startswith("GRU"):
            # A sum is divided by only where R arrives. What a GRU adds up is read by kernels alone, which hand on R per
            # unit of it: there the sum is exactly proportional. (Arras et al. write LSTMs, where a tanh reads the sum.)
            damping = damping._replace(stabilizer=0.0)
        analyzer = kerasexplain.create_analyzer("lrp.epsilon", c.model, **damping._asdict())
        R = c.relevance(1, damping)
        np.testing.assert_allclose(analyzer.analyze(c.x, 1), R, rtol=0, atol=1e-9 * np.abs(R).max())
