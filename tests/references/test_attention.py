"""Transformers: the reference in `attention.py`, checked by itself, and the analyzers checked against it."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from helpers.references import attention
from helpers.references.attention import Affine, Array, Block, Norm, Transformer
from keras import layers

import kerasexplain

pytestmark = pytest.mark.formula

BATCH, T, D, HEADS, KEY, VALUE, WIDE, CLASSES = 3, 5, 6, 2, 4, 3, 7, 3
#: No query sees nothing, and none sees all.
SEEN = np.eye(T, dtype=bool) | (np.random.default_rng(7).uniform(size=(T, T)) < 0.5)
LENGTHS = (5, 3, 1)  # of the samples in a padded batch
PADDING = -2.0
MASKS = ["none", "causal", "attention_mask", "padding"]
#: Sums are divided by with a stabilizer; this one is nothing beside rounding.
STABILIZER = 1e-16


class Case(NamedTuple):
    """A Keras model, its input, and what the reference needs."""

    model: keras.Model
    x: Array
    net: Transformer
    allowed: Array
    counted: Array


def build(mask: str) -> keras.Model:
    options: dict[str, Any] = {"dtype": "float64"}
    seen = {"causal": {"use_causal_mask": True}, "attention_mask": {"attention_mask": SEEN[None]}}.get(mask, {})
    x = inputs = keras.Input((T, D), **options)
    if mask == "padding":
        x = layers.Masking(PADDING, **options)(x)
    for _ in range(2):
        y = layers.LayerNormalization(epsilon=1e-3, **options)(x)
        y = layers.MultiHeadAttention(HEADS, KEY, VALUE, **options)(y, y, **seen)
        x = layers.Add(**options)([x, y])
        y = layers.LayerNormalization(epsilon=1e-5, **options)(x)
        y = layers.Dense(WIDE, "gelu", **options)(y)  # exact: keras.activations.gelu has approximate=False
        y = layers.Dense(D, **options)(y)
        x = layers.Add(**options)([x, y])
    x = layers.LayerNormalization(**options)(x)
    x = layers.GlobalAveragePooling1D(**options)(x)
    return keras.Model(inputs, layers.Dense(CLASSES, **options)(x))


def read(model: keras.Model) -> Transformer:
    parts: list[Any] = []
    for layer in model.layers:
        weights = layer.get_weights()
        if isinstance(layer, layers.LayerNormalization):
            parts.append(Norm(*weights, layer.epsilon))
        elif isinstance(layer, layers.MultiHeadAttention):
            for kernel, bias in zip(weights[:6:2], weights[1:6:2], strict=True):  # query, key, value: (d, heads, size)
                parts.append(Affine(kernel.reshape(D, -1), bias.reshape(-1)))
            parts.append(Affine(weights[6].reshape(-1, D), weights[7]))  # (heads, size, d)
        elif weights:
            parts.append(Affine(*weights))
    return Transformer([Block(*parts[:8]), Block(*parts[8:16])], parts[16], parts[17], HEADS, gelu)


def gelu(z: Array) -> Array:
    """As TensorFlow computes it, with sqrt(2) in single precision whatever the precision of z."""
    return keras.ops.convert_to_numpy(keras.activations.gelu(keras.ops.convert_to_tensor(z)))


def case(mask: str, seed: int = 0) -> Case:
    rng = np.random.default_rng(seed)
    model = build(mask)
    for variable in model.weights:  # gamma, beta and every bias too
        variable.assign(rng.uniform(-1, 1, variable.shape))
    x = rng.normal(size=(BATCH, T, D)).astype("float32").astype("float64")  # `predict` would round it to float32
    counted = np.ones((BATCH, T), dtype=bool)
    allowed = {"causal": np.tri(T, dtype=bool), "attention_mask": SEEN}.get(mask, np.ones((T, T), dtype=bool))
    if mask == "padding":
        counted = np.arange(T) < np.array(LENGTHS)[:, None]
        x[~counted] = PADDING
        allowed = counted[:, None, None, :]
    return Case(model, x, read(model), allowed, counted)


def reference(c: Case, neuron: int, cp: bool) -> tuple[Array, dict[str, Array]]:
    x = np.where(c.counted[..., None], c.x, 0.0)  # as `Masking` has it
    return attention.relevance(c.net, x, neuron, c.allowed, c.counted, cp=cp)


def by_gradient(c: Case, neuron: int, cp: bool) -> Array:
    """x times a gradient in which everything that the rules hold constant is."""
    import tensorflow as tf

    constant = tf.stop_gradient

    def normalized(norm: Norm, x: tf.Tensor) -> tf.Tensor:
        centred = x - tf.reduce_mean(x, -1, keepdims=True)
        sigma = tf.sqrt(tf.reduce_mean(centred**2, -1, keepdims=True) + norm.epsilon)
        return norm.gamma * centred / constant(sigma) + norm.beta

    def product(equation: str, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        return 0.5 * (tf.einsum(equation, constant(a), b) + tf.einsum(equation, a, constant(b)))

    def heads(x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(x, (BATCH, T, HEADS, -1))

    def mixed(block: Block, x: tf.Tensor) -> tf.Tensor:
        q, k, v = (heads(x @ layer.kernel + layer.bias) for layer in (block.query, block.key, block.value))
        scores = product("btha,bsha->bhts", q / KEY**0.5, k)
        weights = tf.nn.softmax(tf.where(c.allowed, scores, tf.constant(-1e30, scores.dtype)))
        if cp:
            return tf.einsum("bhts,bshv->bthv", constant(weights), v)
        return product("bhts,bshv->bthv", weights, v)

    inputs = x = tf.constant(np.where(c.counted[..., None], c.x, 0.0))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        for block in c.net.blocks:
            merged = tf.reshape(mixed(block, normalized(block.norm1, x)), (BATCH, T, -1))
            x += merged @ block.merge.kernel + block.merge.bias
            z = normalized(block.norm2, x) @ block.up.kernel + block.up.bias
            x += constant(tf.nn.gelu(z, approximate=False) / z) * z @ block.down.kernel + block.down.bias
        share = (c.counted / c.counted.sum(axis=1, keepdims=True))[..., None]
        pooled = tf.reduce_sum(normalized(c.net.norm, x) * share, axis=1)
        logit = (pooled @ c.net.logits.kernel + c.net.logits.bias)[:, neuron]
    return (inputs * tape.gradient(logit, inputs)).numpy()


def test_gelu_is_the_exact_one() -> None:
    z = np.linspace(-6, 6, 101)
    np.testing.assert_allclose(gelu(z), attention.gelu(z), rtol=0, atol=1e-7)
    assert np.abs(gelu(z) - np.asarray(keras.ops.gelu(z, approximate=True))).max() > 1e-4


@pytest.mark.parametrize("mask", MASKS)
def test_the_reference_computes_what_keras_computes(mask: str) -> None:
    c = case(mask)
    x = np.where(c.counted[..., None], c.x, 0.0)
    found = attention.logits(c.net, x, c.allowed, c.counted)
    np.testing.assert_allclose(found, c.model.predict(c.x, verbose=0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("cp", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_the_sum_of_the_reference_closes(mask: str, cp: bool) -> None:
    c = case(mask)
    R, constants = reference(c, neuron=1, cp=cp)
    explained = c.model.predict(c.x, verbose=0)[:, 1]
    held = [part.reshape(BATCH, -1) for part in (R, *constants.values())]
    moved = sum(np.abs(part).sum(axis=1) for part in held)
    assert np.all(np.abs(sum(part.sum(axis=1) for part in held) - explained) <= 1e-12 * moved)


@pytest.mark.parametrize("mask", MASKS)
def test_every_constant_takes_something_except_behind_constant_weights(mask: str) -> None:
    c = case(mask)
    behind = {f"{name} of block {i}" for name in ("query", "key", "softmax") for i in range(2)}
    assert all(part.any() for part in reference(c, neuron=1, cp=False)[1].values())
    assert {name for name, part in reference(c, neuron=1, cp=True)[1].items() if not part.any()} == behind


@pytest.mark.tensorflow("a reference without any of ours, checked by its tape")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cp", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_the_reference_is_a_gradient_with_constants(mask: str, cp: bool, seed: int) -> None:
    c = case(mask, seed)
    R, _ = reference(c, neuron=2, cp=cp)
    np.testing.assert_allclose(R, by_gradient(c, neuron=2, cp=cp), rtol=0, atol=1e-10 * np.abs(R).max())


@pytest.mark.parametrize("name", ["lrp.attention", "lrp.attention_cp"])
@pytest.mark.parametrize("mask", MASKS)
def test_an_analyzer_agrees_with_the_reference(mask: str, name: str) -> None:
    c = case(mask)
    analyzer = kerasexplain.create_analyzer(name, c.model, stabilizer=STABILIZER)
    for neuron in range(CLASSES):
        R, _ = reference(c, neuron, cp=name == "lrp.attention_cp")
        np.testing.assert_allclose(analyzer.analyze(c.x, neuron), R, rtol=0, atol=1e-9 * np.abs(R).max())
