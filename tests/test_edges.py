"""Inputs, selections and names as people give them: the right map, or a refusal in words."""

from __future__ import annotations

import copy
import gc
import pathlib
import pickle
import weakref
from typing import Any

import keras
import numpy as np
import pytest
from helpers.small_models import dense, random
from keras import layers, ops

from kerasexplain import InputError, UnsupportedModelError, create_analyzer
from kerasexplain.callbacks import RelevanceLogger
from kerasexplain.cli.reading import samples

on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about TensorFlow's own objects")

# Arguments and names


def test_exchanged_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="model and name are exchanged"):
        create_analyzer(dense(), "lrp.epsilon")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes a Keras model, got of type str"):
        create_analyzer("lrp.epsilon", "model.keras")  # type: ignore[arg-type]


def test_a_layer_itself_or_its_name_alone() -> None:
    model, x = dense(), random(2, 4)
    by_name = create_analyzer("lrp.epsilon", model, override=[("one", "Flat")])
    by_layer = create_analyzer("lrp.epsilon", model, override=[(model.layers[0], "Flat")])
    np.testing.assert_array_equal(by_layer.analyze(x), by_name.analyze(x))
    assert by_layer == by_name
    assert list(by_name.explain(x, layers="one").layers) == ["one"]
    assert list(by_name.explain(x, layers=[model.layers[0]]).layers) == ["one"]


def test_the_end_of_a_name_that_no_other_has() -> None:
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(5, name="hidden")], name="inner")
    other = keras.Sequential([keras.Input((5,)), layers.Dense(5, name="hidden")], name="other")
    x = random(2, 4)
    once = keras.Sequential([keras.Input((4,)), inner, layers.Dense(2)])
    analyzer = create_analyzer("lrp.epsilon", once, override=[("hidden", "Flat")])
    full = create_analyzer("lrp.epsilon", once, override=[("inner/hidden", "Flat")])
    np.testing.assert_array_equal(analyzer.analyze(x), full.analyze(x))
    assert analyzer.explain(x, layers=["hidden"]).layers["hidden"].shape == (2, 5)
    twice = keras.Sequential([keras.Input((4,)), inner, other])
    with pytest.raises(ValueError, match=r"several operations are named 'hidden'.*inner/hidden.*other/hidden"):
        create_analyzer("lrp.epsilon", twice).explain(x, layers=["hidden"])


# Inputs


def test_images_of_16_bits(tmp_path: pathlib.Path) -> None:
    image = pytest.importorskip("PIL.Image")
    model = keras.Sequential([keras.Input((16, 16, 1)), layers.Flatten(), layers.Dense(2)])
    ramp = np.linspace(0, 255, 256).reshape(16, 16)
    image.fromarray(ramp.astype("uint8")).save(tmp_path / "8.png")
    image.fromarray((ramp * 257).astype("uint16")).save(tmp_path / "16.png")
    (eight, _), (sixteen, _) = (samples([tmp_path / f"{bits}.png"], model) for bits in (8, 16))
    assert np.abs(sixteen.astype(int) - eight).max() <= 1


def test_keys_in_any_order() -> None:
    inputs = {"tokens": keras.Input((6,), dtype="int32"), "mask": keras.Input((6,))}
    embedded = layers.Embedding(20, 8)(inputs["tokens"]) * ops.expand_dims(inputs["mask"], -1)
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(embedded)))
    x = {"tokens": np.arange(12).reshape(2, 6), "mask": np.ones((2, 6), "float32")}
    found = create_analyzer("lrp.epsilon", model, example=x).explain(x, 1)
    np.testing.assert_allclose(found.explained, model.predict(x, verbose=0)[:, 1], rtol=1e-5)


# Models


def test_a_sequential_model_that_has_not_been_built() -> None:
    x = random(2, 6)
    model = keras.Sequential([layers.Dense(4, activation="relu"), layers.Dense(2)])
    assert create_analyzer("lrp.epsilon", model, example=x).analyze(x).shape == x.shape
    later = create_analyzer("lrp.epsilon", keras.Sequential([layers.Dense(2)]))
    assert "not been called" in str(later)
    with pytest.raises(UnsupportedModelError, match="has not been built"):
        _ = later.graph


def test_a_table_of_positions_that_is_shorter_than_what_is_tried() -> None:
    class Tokens(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.positions = layers.Embedding(30, 8), layers.Embedding(12, 8)

        def call(self, x: Any) -> Any:
            return self.tokens(x) + self.positions(ops.arange(0, ops.shape(x)[-1]))

    given = keras.Input((None,), dtype="int32")
    model = keras.Model(given, layers.Dense(2)(layers.GlobalAveragePooling1D()(Tokens()(given))))
    x = np.arange(18).reshape(2, 9)
    found = create_analyzer("lrp.attention", model).explain(x, 1)
    np.testing.assert_allclose(found.explained, model.predict(x, verbose=0)[:, 1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))], ids=["copy", "pickle"])
def test_analyzers_are_copied_used_or_not(copied: Any, used: bool) -> None:
    x = random(2, 4)
    analyzer = create_analyzer("lrp.gamma", dense())
    if used:
        analyzer.analyze(x)
    np.testing.assert_allclose(copied(analyzer).analyze(x), analyzer.analyze(x), rtol=1e-6)


def test_a_copy_knows_what_inputs_its_model_takes() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    x = random(2, 4)
    analyzer = create_analyzer("lrp.epsilon", Own(), example=x)
    assert copy.copy(analyzer).graph.inputs[0].shape == (None, 4)


# What is said


@on_tensorflow
def test_text_is_refused_with_the_code_that_explains_the_rest() -> None:
    words = layers.TextVectorization(output_sequence_length=5, vocabulary=["a", "b", "c"], name="words")
    model = keras.Sequential(
        [keras.Input((1,), dtype="string"), words, layers.Embedding(6, 3), layers.Flatten(), layers.Dense(2)]
    )
    text = np.array([["a b"]], object)
    with pytest.raises(InputError, match=r"is text, which has no relevance.*model.get_layer\('words'\)"):
        create_analyzer("gradient", model).analyze(text)
    lookup = model.get_layer("words")
    behind = keras.Model(lookup.output, model.outputs)
    assert create_analyzer("lrp.epsilon", behind).analyze(lookup(text)).shape == (1, 5)


def test_nonlinearities_that_are_not_zero_at_zero_are_marked() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5, activation="sigmoid"), layers.Dense(3)])
    x = random(3, 4)
    assert "Ignore(), though f(0) = 0.5" in str(create_analyzer("lrp.z", model))
    slope = create_analyzer("lrp.z", model, nonlinearity="slope")
    assert "though" not in str(slope)
    expected = create_analyzer("lrp.bias_as_input", model).analyze(x)
    np.testing.assert_allclose(slope.analyze(x), expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="nonlinearity must be one of 'ignore', 'slope'"):
        create_analyzer("lrp.z", model, nonlinearity="gradient")


@on_tensorflow
def test_dropped_models_are_freed() -> None:
    def once() -> Any:
        model = keras.Sequential([keras.Input((30,)), layers.Dense(20, activation="relu"), layers.Dense(10)])
        create_analyzer("lrp.epsilon", model).analyze(np.ones((2, 30), "float32"))
        return weakref.ref(model.layers[0].kernel)

    kernels = [once() for _ in range(4)]
    gc.collect()
    assert sum(kernel() is not None for kernel in kernels) <= 1


@pytest.mark.parametrize("wrong", [True, [3], 1.5])
def test_layers_are_named(wrong: Any) -> None:
    with pytest.raises(ValueError, match="layers= takes the name of an operation, or a list of names"):
        create_analyzer("lrp.epsilon", dense()).explain(random(2, 4), layers=wrong)


@pytest.mark.parametrize(("x", "match"), [(None, "x is None"), ([[1, 2, 3, 4], [5]], "pad them to one length")])
def test_inputs_that_are_none(x: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        create_analyzer("lrp.epsilon", dense()).analyze(x)


def test_a_wrong_name_is_told_when_a_callback_is_made(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"there is no analyzer 'lrp\.epsilom'\. Did you mean 'lrp\.epsilon'"):
        RelevanceLogger(["gradient", "lrp.epsilom"], random(2, 4), log_dir=tmp_path)
