"""Masks are in the twin wherever Keras has them at run time, on samples padded in every way.

The measure is the model's own `predict`; and `lrp.bias_as_input` closes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasexplain import create_analyzer

Tensor = Any
WORDS, SENTENCES = (6,), (4, 6)
#: What stands between masked embeddings and the output.
MASKED: dict[str, tuple[tuple[int, ...], Callable[[Tensor], Tensor]]] = {
    "Multiply": (WORDS, lambda e: layers.Multiply()([e, layers.Dense(3, activation="sigmoid")(e)])),
    "Multiply, one masked": (WORDS, lambda e: layers.Multiply()([e, layers.Dense(3)(ops.relu(e))])),
    "Multiply, another rank": (WORDS, lambda e: layers.Multiply()([e, layers.GlobalMaxPooling1D()(e)])),
    "Maximum": (WORDS, lambda e: layers.Maximum()([e, layers.Dense(3)(e)])),
    "Maximum, one masked": (WORDS, lambda e: layers.Maximum()([ops.tanh(e), layers.Dense(3)(e)])),
    "Minimum": (WORDS, lambda e: layers.Minimum()([e, layers.Dense(3)(e), layers.Dense(3)(e)])),
    "Add": (WORDS, lambda e: layers.LSTM(3)(layers.Add()([e, layers.Dense(3)(e)]))),
    "Concatenate": (WORDS, lambda e: layers.LSTM(3)(layers.Concatenate()([e, layers.Dense(3)(e)]))),
    "Masking": (WORDS, lambda e: layers.LSTM(3)(layers.Masking()(e))),
    "nested": (WORDS, lambda e: keras.Sequential([layers.Dense(3), layers.LSTM(3)])(e)),
    "SpectralNormalization": (WORDS, lambda e: layers.LSTM(3)(layers.SpectralNormalization(layers.Dense(3))(e))),
    "words in sentences": (SENTENCES, lambda e: layers.TimeDistributed(layers.LSTM(3))(e)),
    "model in sentences": (
        SENTENCES,
        lambda e: layers.TimeDistributed(keras.Sequential([layers.Dense(3), layers.GRU(3)]))(e),
    ),
    "Bidirectional": (WORDS, lambda e: layers.Bidirectional(layers.GRU(3, return_sequences=True))(e)),
    "backwards, unrolled": (
        WORDS,
        lambda e: layers.GRU(3, unroll=True, go_backwards=True, return_sequences=True)(e),
    ),
    "Bidirectional, unrolled": (
        WORDS,
        lambda e: layers.Bidirectional(layers.GRU(3, return_sequences=True, unroll=True))(e),
    ),
}


def padded(shape: tuple[int, ...]) -> np.ndarray:
    """Five samples: none of the words is missing, those at the end, at the front, one between, all."""
    x = np.random.default_rng(0).integers(1, 7, (5, *shape))
    x[1, ..., 3:] = 0
    x[2, ..., :2] = 0
    x[3, ..., 2] = 0
    x[4] = 0
    return x.astype("int32")


@pytest.mark.parametrize("name", MASKED)
def test_masks_are_those_of_run_time(name: str) -> None:
    if "unrolled" in name and keras.backend.backend() == "torch":
        pytest.skip("Keras cannot run a masked, unrolled layer backwards on PyTorch")
    shape, build = MASKED[name]
    given = keras.Input(shape, dtype="int32")
    embedded = layers.Embedding(7, 3, mask_zero=True)(given)
    model = keras.Model(given, layers.Dense(2)(layers.Flatten()(build(embedded))))
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(size=weight.shape) / 2)
    x = padded(shape)

    found = create_analyzer("lrp.bias_as_input", model).explain(x, 1, bias=True)

    np.testing.assert_allclose(found.output, model.predict(x, verbose=0), rtol=0, atol=1e-5)
    parts = [found.relevance, *found.bias.values()]
    total = sum(part.reshape(len(x), -1).sum(axis=1) for part in parts)
    np.testing.assert_allclose(total, found.explained, rtol=0, atol=1e-5)


def test_the_gradient_of_attention_is_the_function_s_where_a_query_sees_nothing(double_precision: None) -> None:
    """Where all keys of a query are masked, PyTorch's own gradient is not: scores next to -1e308 do not count."""
    given = keras.Input((5, 3))
    masked = layers.Masking()(given)
    attended = layers.MultiHeadAttention(2, 2)(masked, masked)
    model = keras.Model(given, layers.Dense(2)(layers.Flatten()(attended)))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 5, 3))
    x[1, 2:] = x[2, 1] = 0

    found = create_analyzer("gradient", model).analyze(x, 1)

    step = 1e-6
    entries = list(np.ndindex(5, 3))
    moved = np.stack([x + step * sign * np.eye(15)[i].reshape(5, 3) for i in range(15) for sign in (1, -1)])
    values = np.stack([np.asarray(ops.convert_to_numpy(model(batch)))[:, 1] for batch in moved])
    differences = (values[::2] - values[1::2]) / (2 * step)
    for i, entry in enumerate(entries):
        seen = np.any(x != 0, axis=-1)[:, entry[0]]  # moving a masked token unmasks it
        np.testing.assert_allclose(found[(seen, *entry)], differences[i][seen], rtol=0, atol=1e-7)
