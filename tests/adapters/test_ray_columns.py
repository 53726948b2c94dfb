"""The actor class for Ray, called as Ray calls it: columns in, columns and relevance out. Ray itself has no part."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np
import pytest

from kerasexplain import InputError, create_analyzer
from kerasexplain.adapters.ray import Explain

pytestmark = pytest.mark.once("the same on every backend")


@pytest.fixture
def model() -> keras.Model:
    inputs = keras.Input((6, 6, 2), name="picture")
    x = keras.layers.Conv2D(3, 3, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(keras.layers.Flatten()(x)))


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(5, 6, 6, 2)).astype("float32")


def as_lists(array: np.ndarray) -> np.ndarray:
    """As Arrow gives nested lists: objects that hold objects."""
    found = np.empty(len(array), object)
    for i, row in enumerate(array):
        found[i] = row if row.ndim == 1 else as_lists(row)
    return found


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("nested", [False, True])
def test_columns(model: keras.Model, images: np.ndarray, tmp_path: pathlib.Path, saved: bool, nested: bool) -> None:
    given: dict[str, Any] = {"model": model, "analyzer": "lrp.epsilon", "epsilon": 0.1}
    analyzer = create_analyzer("lrp.epsilon", model, epsilon=0.1)
    if saved:
        model.save(tmp_path / "model.keras")
        analyzer.save(tmp_path / "analyzer.json")
        given = {"model": tmp_path / "model.keras", "analyzer": str(tmp_path / "analyzer.json")}
    labels = np.array([0, 3, 1, 2, 2])
    batch = {"image": as_lists(images) if nested else images, "label": labels, "path": np.array([*"abcde"])}
    found = Explain(**given, target="label")(batch)
    expected = analyzer.explain(images, labels)
    assert list(found) == ["image", "label", "path", "relevance", "output", "neuron", "explained"]
    for name in ("relevance", "output", "neuron", "explained"):
        np.testing.assert_array_equal(found[name], getattr(expected, name))
    np.testing.assert_array_equal(found["path"], batch["path"])
    constant = Explain(**given, target=1, prefix="of one: ")(found)
    np.testing.assert_array_equal(constant["of one: relevance"], analyzer.analyze(images, 1))


def test_several_inputs_and_outputs(rng: np.random.Generator) -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    joined = keras.layers.Concatenate()([a, b])
    model = keras.Model([a, b], [keras.layers.Dense(2)(joined), keras.layers.Dense(3)(joined)])
    batch = {"first": rng.normal(size=(4, 3)).astype("float32"), "second": rng.normal(size=(4, 2)).astype("float32")}
    found = Explain(model, "gradient", inputs={"a": "first", "b": "second"})(batch)
    assert set(found) == {
        *("first", "second", "relevance.a", "relevance.b", "output.0", "output.1", "neuron", "explained")
    }
    expected = create_analyzer("gradient", model).analyze([batch["first"], batch["second"]])
    np.testing.assert_array_equal(found["relevance.b"], expected[1])


def test_half_precision_is_held_as_arrow_can(images: np.ndarray) -> None:
    inputs = keras.Input((6, 6, 2), dtype="bfloat16")
    outputs = keras.layers.Dense(2, dtype="bfloat16")(keras.layers.Flatten(dtype="bfloat16")(inputs))
    found = Explain(keras.Model(inputs, outputs), "gradient")({"image": images})
    assert {str(found[name].dtype) for name in ("relevance", "output", "explained")} == {"float32"}


def test_refusals(model: keras.Model, images: np.ndarray, tmp_path: pathlib.Path) -> None:
    explain = Explain(model, "lrp.epsilon")
    with pytest.raises(InputError, match=r"there is no column 'image'\. Did you mean 'images'"):
        explain({"images": images})
    with pytest.raises(InputError, match=r"columns \['output'\] already: choose a prefix="):
        explain({"image": images, "output": images})
    ragged = np.array([images[0], images[0, :5]], dtype=object)
    with pytest.raises(InputError, match="the column 'image' differ in size"):
        explain({"image": ragged})
    with pytest.raises(ValueError, match="no option 'epsilom'"):
        Explain(model, "lrp.epsilon", epsilom=1)
    create_analyzer("gradient", model).save(tmp_path / "a.json")
    with pytest.raises(ValueError, match="has its own options: leave out 'batch_size'"):
        Explain(model, tmp_path / "a.json", batch_size=3)


def test_targets_of_samples_come_in_a_column(model: keras.Model, images: np.ndarray) -> None:
    with pytest.raises(InputError, match="target has an entry for each sample: put it in a column"):
        Explain(model, "lrp.epsilon", target=np.arange(5) % 4)({"image": images})
    assert "neuron" not in Explain(model, "lrp.epsilon", neuron_selection_mode="all")({"image": images})
    for inputs in (None, ["image"], {}):
        with pytest.raises(ValueError, match="inputs must be the name of a column, or a dict of columns by input"):
            Explain(model, "lrp.epsilon", inputs=inputs)  # type: ignore[arg-type]
