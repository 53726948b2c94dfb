"""Labels as targets of relevance."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from helpers.relevance_training import data, evaluated, network, trained
from keras import layers, ops

from kerasexplain import InputError, create_analyzer
from kerasexplain.training import RelevanceModel, RelevanceOutside

X, Y, MASK = data(8)
OF_THREE = np.arange(8) % 3


def of_two_outputs(as_dict: bool) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    x = layers.Flatten()(layers.Conv2D(4, 3, activation="relu")(inputs))
    outputs = {"a": layers.Dense(2, name="a")(x), "b": layers.Dense(3, name="b")(x)}
    return keras.Model(inputs, outputs if as_dict else list(outputs.values()))


@pytest.mark.formula
@pytest.mark.parametrize("output", [0, 1, "a", "b"])
@pytest.mark.parametrize(("model_has", "labels"), [("list", "list"), ("list", "dict"), ("dict", "dict")])
def test_the_labels_are_those_of_the_output_that_is_explained(model_has: str, labels: str, output: int | str) -> None:
    two = of_two_outputs(model_has == "dict")
    analyzer = create_analyzer("lrp.epsilon_plus", two, output=output)
    model = RelevanceModel(two, analyzer, RelevanceOutside())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss={"a": loss, "b": loss} if labels == "dict" else [loss, loss])
    y = {"a": Y, "b": OF_THREE} if labels == "dict" else [Y, OF_THREE]
    relevance = analyzer.analyze(X, Y if output in (0, "a") else OF_THREE)
    expected = RelevanceOutside().call(ops.convert_to_tensor(MASK), ops.convert_to_tensor(relevance))
    found = evaluated(model, X, y, MASK)
    assert found["relevance_outside"] == pytest.approx(float(ops.convert_to_numpy(ops.mean(expected))), rel=1e-4)
    with pytest.raises(InputError, match=r"for the output 'b'|an array for each output"):
        RelevanceModel(two, create_analyzer("lrp.epsilon_plus", two, output="b"), RelevanceOutside()).evaluate(
            X, {"a": Y} if labels == "dict" else [Y], MASK, verbose=0
        )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (2 * Y - 1, "there is -1"),
        (Y + 1, "there is 2"),
        (Y + 0.5, r"there is 0\.5"),
        (np.where(Y, np.nan, 0.0), "there is nan"),
        (np.ones((8, 2)), "not one-hot"),
        (np.arange(16.0).reshape(8, 2) - 4, "not one-hot"),
        (np.array(["a", "b"])[Y], "labels are integers"),
        (np.zeros((8, 3)), "one-hot rows of 2"),
    ],
    ids=["-1 and 1", "from 1", "halves", "NaN", "several classes", "a regression", "text", "of three classes"],
)
def test_labels_that_are_no_classes_are_refused(labels: np.ndarray, message: str) -> None:
    model = RelevanceModel(network(), "lrp.epsilon", RelevanceOutside())
    model.compile("sgd")
    with pytest.raises(InputError, match=message):
        model.fit(X, labels, MASK, verbose=0)
    function: Any = RelevanceModel(
        model.network, "lrp.epsilon", RelevanceOutside(), target=lambda x, y: ops.zeros((8,), dtype="int32")
    )
    function.compile("sgd")
    if labels.dtype.kind != "U":
        function.fit(X, labels, MASK, verbose=0)


@pytest.mark.formula
def test_labels_of_every_numeric_kind() -> None:
    model = trained()
    one_hot = RelevanceModel(model.network, "lrp.epsilon_plus", RelevanceOutside())
    one_hot.compile()
    expected = evaluated(model, X, Y, MASK)["relevance_outside"]
    for labels in (Y.astype(bool), Y.astype("uint8"), Y.astype("float32")[:, None]):
        assert evaluated(model, X, labels, MASK)["relevance_outside"] == pytest.approx(expected, rel=1e-6)
    for labels in (np.eye(2, dtype=bool)[Y], 0.9 * np.eye(2)[Y] + 0.05):
        assert evaluated(one_hot, X, labels, MASK)["relevance_outside"] == pytest.approx(expected, rel=1e-6)


def test_targets_that_analyzers_cannot_explain_are_refused() -> None:
    model = network()
    with pytest.raises(ValueError, match="an inner layer"):
        trained(model=model, analyzer=create_analyzer("lrp.epsilon", model, output="flatten"))
    indexed = create_analyzer("lrp.epsilon", model, neuron_selection_mode="index")
    with pytest.raises(ValueError, match="names no index"):
        trained(model=model, analyzer=indexed, target="prediction")
    trained(model=model, analyzer=indexed)
