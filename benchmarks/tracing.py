"""How long it takes until the first answer: `python -m benchmarks.tracing`.

Seconds to trace a large model (with its rules), and to compile and run the first analysis, as multiples of one ordinary
forward pass of the same model in the same process too, since seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

import kerasexplain


def resnet152() -> keras.Model:
    return keras.applications.ResNet152(weights=None, classifier_activation=None, input_shape=(64, 64, 3))


def efficientnet_v2_l() -> keras.Model:
    return keras.applications.EfficientNetV2L(weights=None, classifier_activation=None, input_shape=(64, 64, 3))


class Block(layers.Layer):
    """A pre-norm transformer block, subclassed: its code has to be opened."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norms = [layers.LayerNormalization(), layers.LayerNormalization()]
        self.attention = layers.MultiHeadAttention(heads, width // heads)
        self.inner, self.outer = layers.Dense(4 * width, "gelu"), layers.Dense(width)

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.attention.build(shape, shape)
        super().build(shape)

    def call(self, x: Any) -> Any:
        h = self.norms[0](x)
        x = x + self.attention(h, h)
        return x + self.outer(self.inner(self.norms[1](x)))


def transformer() -> keras.Model:
    inputs = keras.Input((64,), dtype="int32")
    x = layers.Embedding(1000, 256)(inputs)
    for _ in range(12):
        x = Block(256, 8)(x)
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling1D()(x)))


MODELS: dict[str, Callable[[], keras.Model]] = {
    "ResNet152": resnet152,
    "EfficientNetV2L": efficientnet_v2_l,
    "12-block transformer": transformer,
}


def measure(model: keras.Model, name: str) -> tuple[float, float, float]:
    """Seconds of a forward pass, of making the analyzer, and of its first analysis."""
    shape = (2, *model.input_shape[1:])
    x = np.ones(shape, model.inputs[0].dtype)
    model(x)
    passes = []
    for _ in range(3):
        begin = time.perf_counter()
        model(x)
        passes.append(time.perf_counter() - begin)
    begin = time.perf_counter()
    analyzer = kerasexplain.create_analyzer(name, model)
    traced = time.perf_counter()
    analyzer.analyze(x, 0)
    return float(np.median(passes)), traced - begin, time.perf_counter() - traced


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--analyzer", default="lrp.epsilon_plus")
    parser.add_argument("models", nargs="*", metavar="model", help=f"of {', '.join(MODELS)}; all by default")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.models if name not in MODELS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(MODELS)}")
    for name in arguments.models or MODELS:
        keras.backend.clear_session()
        model = MODELS[name]()
        forward, trace, first = measure(model, arguments.analyzer)
        print(
            f"{name}: trace {trace:.1f} s, compile and first analysis {first:.1f} s "
            f"({trace / forward:.0f} and {first / forward:.0f} eager forward passes)"
        )


if __name__ == "__main__":
    main()
