"""Under XLA a relevance pass is one compiled module that never leaves the device, and is compiled once for a shape."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from kerasexplain import create_analyzer
from kerasexplain.backend import compiled

pytestmark = pytest.mark.xla

SAMPLES = 4
#: Libraries that XLA hands convolutions and matrix products to.
LIBRARIES = ("__onednn$", "__cudnn$", "__cublas$")


def cnn() -> keras.Model:
    x = inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(6, 3, strides=2, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def transformer() -> keras.Model:
    x = inputs = keras.Input((5, 6))
    normed = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 3)(normed, normed)])
    x = layers.Add()([x, layers.Dense(6)(layers.Dense(12, "gelu")(layers.LayerNormalization()(x)))])
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))


def lstm() -> keras.Model:
    inputs = keras.Input((5, 6))
    return keras.Model(inputs, layers.Dense(3)(layers.LSTM(4)(inputs)))


@pytest.mark.parametrize("name", ["lrp.epsilon", "lrp.epsilon_plus", "lrp.alpha_2_beta_1"])
@pytest.mark.parametrize("network", [cnn, transformer, lstm])
def test_a_relevance_pass_is_one_module_on_the_device(
    network: Callable[[], keras.Model], name: str, rng: np.random.Generator
) -> None:
    model = network()
    analyzer = create_analyzer(name, model, jit_compile=True, batch_size=SAMPLES)
    first, second = rng.normal(size=(2, SAMPLES, *model.input_shape[1:])).astype("float32")
    analyzer.analyze(first, 1)
    traces = analyzer.traces
    assert traces == 1
    analyzer.analyze(second, 2)
    analyzer.analyze(np.concatenate([first, second, first[:1]]), 2)  # the last batch is filled up
    assert analyzer.traces == traces

    (function,) = analyzer._first.program._functions.values()
    text = function.hlo([first, np.full(SAMPLES, 1), np.zeros((SAMPLES, 1), first.dtype)])
    assert len(re.findall(r"^ENTRY ", text, re.MULTILINE)) == 1
    assert all(target.startswith(LIBRARIES) for target in re.findall(r'custom_call_target="([^"]+)"', text))
    assert not re.search(r"\b(infeed|outfeed|send|recv)\(", text)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="TensorFlow compiles no function that calls back")
def test_a_callback_would_be_seen() -> None:
    """That what is looked for above is what XLA calls it."""
    import jax

    def calls_back(inputs: list[Any]) -> Any:
        return jax.pure_callback(np.asarray, inputs[0], inputs[0])

    text = compiled(calls_back, True, [((None, 2), "float32")]).hlo([np.ones((3, 2))])
    assert any(not target.startswith(LIBRARIES) for target in re.findall(r'custom_call_target="([^"]+)"', text))
