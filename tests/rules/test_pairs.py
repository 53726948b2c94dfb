"""A product and the ReLU behind it run as one operation, where nothing is read off between them: nobody can tell."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from kerasexplain import create_analyzer
from kerasexplain.rules import AlphaBeta, BiasAsInput, Epsilon, Gamma, LinearRule, WSquare, Z, ZPlus

RULES = [
    *(Z(), BiasAsInput(), WSquare(), ZPlus(), AlphaBeta(2.0, 1.0)),
    *(Epsilon(0.1), Epsilon(0.1, bias=False), Gamma(0.3), Gamma(0.3, bias=False)),
]


@pytest.mark.parametrize("bound", [None, 1.0])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_product_and_the_relu_behind_it_give_together_what_they_give_apart(
    rule: LinearRule, bound: float | None, rng: np.random.Generator
) -> None:
    x = inputs = keras.Input((6, 6, 2), dtype="float64")
    for i in range(3):
        x = layers.Conv2D(4, 2, name=f"conv{i}", dtype="float64")(x)
        x = layers.ReLU(max_value=bound, name=f"relu{i}", dtype="float64")(x)
    x = layers.Dense(2, name="dense", dtype="float64")(layers.Flatten(dtype="float64")(x))
    model = keras.Model(inputs, x)
    model.set_weights([rng.normal(size=weight.shape) for weight in model.get_weights()])
    analyzer = create_analyzer("lrp", model, rule=rule)
    x = rng.normal(size=(5, 6, 6, 2))
    apart = analyzer.explain(x, layers=[f"conv{i}" for i in range(3)])  # read off between the two
    if bound:
        values = keras.Model(model.inputs, [model.get_layer(f"conv{i}").output for i in range(3)])(x)
        assert all((np.asarray(value) > bound).any() for value in values)
    np.testing.assert_allclose(analyzer.analyze(x), apart.relevance, rtol=1e-9, atol=1e-12)
