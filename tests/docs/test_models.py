"""Whole architectures with random weights; `python docs/models.py` does this for all there are."""

from __future__ import annotations

import importlib.util
import pathlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasexplain import UnsupportedModelError, create_analyzer

PATH = pathlib.Path(__file__).parents[2] / "docs" / "models.py"
#: Rounding in single precision, relative to the sum of absolute relevance or to the largest output.
ROUNDING = 1e-5


@pytest.fixture(scope="module")
def models() -> ModuleType:
    spec = importlib.util.spec_from_file_location("models_page", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["models_page"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Depthwise convolutions, hard swish, squeeze-and-excite; layers that are opened, with weights of their own.
@pytest.mark.slow("large networks")
@pytest.mark.parametrize("name", ["MobileNet", "MobileNetV3Small", "ConvNeXtTiny"])
def test_applications(models: ModuleType, name: str) -> None:
    _assert_explained(models, models.applications.build(name))


# A padding mask; a class token, which needs the batch size; rotary positions and heads that share keys.
@pytest.mark.slow("imports keras_hub")
@pytest.mark.parametrize("name", ["BERT", "ViT", "Llama", "ResNet"])
def test_tiny_architectures_of_keras_hub(models: ModuleType, name: str) -> None:
    pytest.importorskip("keras_hub")
    _assert_explained(models, models.hub.build(name))


def _assert_explained(models: ModuleType, subject: object) -> None:
    found = models.check(subject)
    assert found["predicts"] < ROUNDING
    assert found["closes"] < ROUNDING
    assert found["finite"]
    assert found["reaches"], "nothing was checked: no relevance reaches the input"


def test_the_page_names_every_architecture_of_keras_hub(models: ModuleType) -> None:
    page = models.PAGE.read_text(encoding="utf-8")  # new ones of keras.applications come with new versions of Keras
    assert not [name for name in models.hub.names() if f"| {name} |" not in page]


class Own(layers.Layer):
    """A layer with one weight, whose code is a function of the layer and its input."""

    def __init__(self, function: Callable[[Own, Any], Any], shape: tuple[int, ...] = (4,)) -> None:
        super().__init__()
        self.function, self.shape = function, shape

    def build(self, shape: Any) -> None:
        self.weight = self.add_weight(shape=self.shape, initializer="normal")
        self.built = True

    def call(self, x: Any) -> Any:
        return self.function(self, x)


def _lost(layer: Own, shape: tuple[int, ...] = (5, 4)) -> float:
    """How much relevance is missing from the sum over inputs and biases, of a model around the layer."""
    inputs = keras.Input(shape)
    hidden = layers.Flatten()(layer(layers.Dense(4)(inputs)))
    model = keras.Model(inputs, layers.Dense(3)(hidden))
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    explanation = create_analyzer("lrp.bias_as_input", model).explain(x, 0, bias=True)
    np.testing.assert_allclose(explanation.output, model.predict(x, verbose=0), rtol=1e-4, atol=1e-6)
    found = sum(array.reshape(2, -1).sum(axis=1) for array in (explanation.relevance, *explanation.bias.values()))
    return float(np.max(np.abs(found - explanation.explained)))


def test_a_variable_before_an_operator() -> None:
    """As in T5's normalisation: TensorFlow's own operators know no symbolic tensors."""
    assert _lost(Own(lambda layer, x: layer.weight * x + layer.weight)) < 1e-6
    assert _lost(Own(lambda layer, x: layer.weight - x)) < 1e-6
    assert _lost(Own(lambda layer, x: layer.weight @ x, (5, 5))) < 1e-6


@pytest.mark.not_on(
    "torch", "Keras runs symbolic calls for batches of 83 there, and refuses to merge one row with them"
)
@pytest.mark.parametrize("kind", ["Add", "Average", "Maximum", "Minimum", "Subtract"])
def test_merging_layers_give_constants_their_share(kind: str) -> None:
    """As for position embeddings that are added by a layer."""
    merge = getattr(layers, kind)()
    assert _lost(Own(lambda layer, x: merge([x, 1.0 * ops.convert_to_tensor(layer.weight)]), (1, 5, 4))) < 1e-6


def test_padding_before_a_maximum() -> None:
    """As in ResNet V2 of keras_hub."""

    def pooled(layer: Own, x: Any) -> Any:
        padded = ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=float("-inf"))
        return ops.max_pool(padded, 3, strides=2)

    assert _lost(Own(pooled), (5, 5, 2)) < 1e-6


def test_two_samples_that_are_exchanged_are_not_kept_apart() -> None:
    inputs = keras.Input((4,), batch_size=2)
    model = keras.Model(inputs, layers.Dense(3)(ops.flip(layers.Dense(4)(inputs), axis=0)))
    with pytest.raises(UnsupportedModelError, match="from one sample of the batch to another"):
        create_analyzer("lrp.z", model)
