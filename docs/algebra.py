"""Writes docs/algebra.md, which combinations of backward rules conserve what, computed: `python docs/algebra.py`."""

from __future__ import annotations

import itertools
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from kerasexplain import create_analyzer
from kerasexplain.analyzers.algebra import LINEAR, MAXIMUM, NONLINEARITY

PAGE = pathlib.Path(__file__).parent / "algebra.md"
#: A sum is conserved if it is off by no more than this share of the sum of absolute values.
TOLERANCE = 1e-9
OUTPUT = 1

HEAD = """# Which backward rules conserve

Made by `python docs/algebra.py`.

`create_analyzer("lrp.algebra", model, linear=, nonlinearity=, maximum=, bias=)` combines one rule for each kind of
operation; [analyzers.md](analyzers.md) has their formulas. Every rule is applied to one number S for every activation.
A combination conserves if what arrives at the input adds up to what was started with at the output: S itself, or S
times the activation x, the reading in which S is relevance per unit of activation.

It is computed here, not derived: on small networks with random weights, in double precision, for {samples} random
images. Each has two convolutions with a maximum behind each (over numbers of both signs), then the nonlinearity,
average pooling and a dense layer. *yes* means that the sum agrees to {tolerance:g} of the sum of absolute values for
every image; a number is the largest relative deviation otherwise. With biases as inputs, what they take counts too.

| linear | nonlinearity | maximum | ReLU: S | ReLU: x S | tanh: S | tanh: x S | ReLU, biases: S | ReLU, biases: x S |
|---|---|---|---|---|---|---|---|---|
"""
TAIL = """
What the table shows:

* Normalized rules with the nonlinearity ignored (LRP) conserve S, whatever a maximum does, and with biases once their
  share counts. Behind ReLU the gradient and the slope conserve it as well: a unit that is off holds no relevance, since
  what is in front of it shares in proportion to its activation. Behind tanh they do not.
* Gradients with the slope conserve x S: that is LRP rephrased. For ReLU the gradient is the slope.
* There the maximum matters: a share of relevance is no share of relevance per unit of activation. The radial rule
  shares among several candidates, and breaks the sum. The limit of softmax does so only where all are negative: behind
  ReLU that is not seen, behind tanh it is. So the two ways to take a maximum apart, this limit and the chain of ReLUs,
  are not the same rule.
* Repeating the nonlinearity on what comes back (the deconvnet) conserves nothing.
"""


def network(activation: str, bias: bool) -> keras.Model:
    keras.utils.set_random_seed(11)
    options = {"dtype": "float64", "use_bias": bias, "bias_initializer": keras.initializers.RandomNormal(0, 0.2)}
    x = inputs = keras.Input((9, 9, 2), dtype="float64")
    for filters in (4, 5):
        x = layers.Conv2D(filters, 2, **options)(x)
        x = layers.MaxPooling2D(2, strides=1, dtype="float64")(x)
        x = layers.Activation(activation, dtype="float64")(x)
    x = layers.AveragePooling2D(2, dtype="float64")(x)
    return keras.Model(inputs, layers.Dense(3, **options)(layers.Flatten(dtype="float64")(x)))


def deviations(model: keras.Model, x: np.ndarray, linear: str, nonlinearity: str, maximum: str) -> list[float]:
    """How far the sums of S and of x S are from what was started with, relative to the sums of absolute values."""
    analyzer = create_analyzer(
        "lrp.algebra", model, linear=linear, nonlinearity=nonlinearity, maximum=maximum, bias="as_input"
    )
    found = analyzer.explain(x, OUTPUT, bias=True)
    biases = sum((array.reshape(len(x), -1).sum(axis=1) for array in found.bias.values()), np.zeros(len(x)))
    started = {"normalized": (found.explained, None), "gradient": (np.ones(len(x)), found.explained)}[linear]
    result = []
    for S, start in zip((found.relevance, x * found.relevance), started, strict=True):
        if start is None:  # S is not per unit of anything
            result.append(np.nan)
            continue
        arrived = S.reshape(len(x), -1)
        scale = np.abs(arrived).sum(axis=1) + np.abs(biases) + np.abs(start)
        result.append(float((np.abs(arrived.sum(axis=1) + biases - start) / scale).max()))
    return result


def page() -> str:
    """The page, computed anew."""
    x = np.random.default_rng(12).normal(size=(6, 9, 9, 2))
    networks = [network("relu", False), network("tanh", False), network("relu", True)]
    lines = [HEAD.format(samples=len(x), tolerance=TOLERANCE)]
    for rules in itertools.product(LINEAR, NONLINEARITY, MAXIMUM):
        shown = [_shown(value) for model in networks for value in deviations(model, x, *rules)]
        lines.append(f"| {' | '.join((*rules, *shown))} |\n")
    return "".join([*lines, TAIL])


def _shown(deviation: float) -> str:
    if np.isnan(deviation):
        return ""
    return "yes" if deviation < TOLERANCE else f"{deviation:.1g}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
