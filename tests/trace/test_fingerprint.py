"""Models that have been changed since an analyzer was made."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasexplain import create_analyzer

X = np.random.default_rng(0).normal(size=(3, 4, 4)).astype("float32")


class Scaled(layers.Layer):
    """A layer whose code reads an attribute."""

    factor = 2.0

    def call(self, x: Any) -> Any:
        return self.factor * x


class Written(layers.Layer):
    """A layer whose code reads attributes of many kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.number, self.listed, self.by_name = np.float32(2), [1.0, 2.0], {"a": 1.0}
        self.array, self._private = np.ones(4, "float32"), 3.0

    def call(self, x: Any) -> Any:
        return x * float(self.number) * self.listed[0] * self.by_name["a"] * self.array * self._private


def _replacing(name: str, value: Any) -> Callable[[layers.Layer], None]:
    return lambda layer: setattr(layer, name, value)


def _steeper(layer: Any) -> None:
    layer.negative_slope = 0.7


def _called_otherwise(layer: Any) -> None:
    layer.call = lambda x: 3.0 * x


@pytest.mark.parametrize(
    ("layer", "change"),
    [
        (lambda: layers.LeakyReLU(0.1), _steeper),
        (Scaled, lambda layer: setattr(layer, "factor", -1.0)),
        (Scaled, _called_otherwise),
        (Written, _replacing("number", np.float32(7))),
        (Written, _replacing("listed", [5.0, 1.0])),
        (Written, _replacing("by_name", {"a": -1.0})),
        (Written, _replacing("array", np.full(4, 2.0, "float32"))),
        (Written, _replacing("_private", 5.0)),
        (lambda: layers.Dense(4, activation="relu"), lambda layer: setattr(layer, "activation", ops.tanh)),
        (lambda: layers.Permute((2, 1)), lambda layer: setattr(layer, "dims", (1, 2))),
        (lambda: layers.Lambda(lambda x: 2.0 * x), lambda layer: setattr(layer, "function", lambda x: -x)),
    ],
)
def test_layers_that_were_changed_are_looked_at_anew(
    layer: Callable[[], layers.Layer], change: Callable[[layers.Layer], None]
) -> None:
    changed = layer()
    model = keras.Sequential([keras.Input((4, 4)), layers.Dense(4), changed, layers.Flatten(), layers.Dense(2)])
    analyzer, x = create_analyzer("lrp.bias_as_input", model, explain="activation"), X
    analyzer.analyze(x)
    twin = analyzer.twin
    analyzer.analyze(x)
    assert analyzer.twin is twin
    change(changed)
    found = analyzer.explain(x, 0, bias=True)
    np.testing.assert_allclose(found.output, ops.convert_to_numpy(model(x)), rtol=1e-4, atol=1e-5)
    fresh = create_analyzer("lrp.bias_as_input", model, explain="activation")
    np.testing.assert_allclose(found.relevance, fresh.analyze(x, 0), rtol=1e-4, atol=1e-6)


def test_training_is_no_change(tmp_path: pathlib.Path) -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5, activation="relu"), layers.Dense(3)])
    x, y = X[:, 0], X[:, 1, :3]
    analyzer = create_analyzer("lrp.epsilon", model)
    analyzer.analyze(x)
    twin = analyzer.twin
    model.compile("sgd", "mse")
    model.fit(x, y, validation_data=(x, y), verbose=0)
    assert analyzer.twin is twin
    model.predict(x, verbose=0)
    model.evaluate(x, y, verbose=0)
    model.train_on_batch(x, y)
    model.save(tmp_path / "m.keras")
    assert analyzer.twin is twin
