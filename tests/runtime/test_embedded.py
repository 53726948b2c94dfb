"""Integers that are looked up: methods that change samples do so in the space of what is looked up."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from helpers.small_models import ids_model
from keras import layers, ops

from kerasexplain import InputError, create_analyzer

on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about TensorFlow's own objects")


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_ids_are_moved_in_the_space_of_what_they_look_up(dtype: str) -> None:
    ids, model = np.random.default_rng(0).integers(0, 30, (2, 6)), ids_model(dtype)
    found = create_analyzer("integrated_gradients", model, reference_inputs=3).explain(ids, 1)
    at_baseline = model.predict(np.full_like(ids, 3), verbose=0)[:, 1]
    assert found.relevance.shape == ids.shape
    np.testing.assert_allclose(found.reference, at_baseline, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.relevance.sum(axis=1), found.explained - at_baseline, rtol=1e-3, atol=1e-5)
    # The gradient at every point of the line, from a model of what is looked up.
    embedding, (flatten, last) = model.layers[0], model.layers[1:]
    behind = keras.Sequential([keras.Input((6, 4)), flatten, last])
    x, b = (ops.convert_to_numpy(embedding(np.asarray(i))) for i in (ids, np.full_like(ids, 3)))
    own = [
        create_analyzer("integrated_gradients", behind, reference_inputs=b[i]).analyze(x[i : i + 1], 1)[0].sum(axis=-1)
        for i in range(2)
    ]
    np.testing.assert_allclose(found.relevance, own, rtol=1e-3, atol=1e-5)
    noisy = create_analyzer("smoothgrad", model, noise_scale=1e-4).analyze(ids, 1)
    np.testing.assert_allclose(noisy, create_analyzer("gradient", model).analyze(ids, 1), rtol=1e-2, atol=1e-3)


class Positions(layers.Layer):
    """Adds a row of its own for every position, for as many samples and positions as there are: as GPT-2 does."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.table = self.add_weight(shape=(8, shape[-1]), initializer="random_normal", name="table")

    def call(self, x: Any) -> Any:
        samples, length, channels = ops.shape(x)
        rows = ops.slice(ops.convert_to_tensor(self.table), (0, 0), (length, channels))
        return x + ops.broadcast_to(rows, (samples, length, channels))


@pytest.mark.not_on("torch", "where Keras runs code that slices by symbolic sizes on no symbols")
@pytest.mark.parametrize("name", ["integrated_gradients", "smoothgrad", "deep_lift", "gradient"])
def test_a_model_that_is_traced_for_every_shape(name: str) -> None:
    given = keras.Input((None,), dtype="int32")
    x = Positions(name="positions")(layers.Embedding(9, 4)(given))
    model = keras.Model(given, layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.Dense(6, "tanh")(x))))
    ids = np.random.default_rng(0).integers(0, 9, (5, 6))
    analyzer = create_analyzer(name, model, batch_size=3)
    found = analyzer.explain(ids, 1)
    assert found.relevance.shape[:2] == ids.shape
    if found.reference is not None:
        total = found.relevance.sum(axis=tuple(range(1, found.relevance.ndim)))
        np.testing.assert_allclose(total, found.explained - found.reference, rtol=1e-2, atol=1e-4)
    assert analyzer.analyze(ids[:, :4], 1).shape[:2] == (5, 4)


def test_a_column_of_ids_beside_real_ones() -> None:
    given = keras.Input((3,))
    embedded = layers.Embedding(5, 4)(ops.cast(given[:, 1], "int32"))
    hidden = layers.Dense(5, activation="tanh")(layers.Concatenate()([embedded, given[:, 2:], given[:, :1]]))
    model = keras.Model(given, layers.Dense(1)(hidden))
    x = np.array([[0.5, 4.0, 0.3], [1.0, 2.0, -0.3]], "float32")
    found = create_analyzer("integrated_gradients", model).explain(x, 0)
    np.testing.assert_allclose(found.relevance.sum(axis=1), found.explained - found.reference, rtol=1e-3, atol=1e-5)
    assert np.abs(found.relevance).min() > 0
    shares = create_analyzer("lrp.bias_as_input", model).explain(x, 0, bias=True)
    biases = sum(part.sum(axis=tuple(range(1, part.ndim))) for part in shares.bias.values())
    np.testing.assert_allclose(shares.relevance.sum(axis=1) + biases, shares.explained, rtol=1e-5, atol=1e-6)
    assert np.abs(shares.relevance).min() > 0


def test_ids_that_are_moved_first_are_checked() -> None:
    given = keras.Input((3,))
    column = ops.cast(given[:, 1], "int32")
    embedded = layers.Embedding(5, 4)(column)
    model = keras.Model(given, layers.Dense(2)(layers.Concatenate()([embedded, given[:, 2:]])))
    analyzer = create_analyzer("lrp.epsilon", model)
    analyzer.analyze(np.array([[99.0, 4.0, 0.3]]), 0)
    with pytest.raises(InputError, match=r"indices, made of that, from 0 to 4.*got 7 to 7"):
        analyzer.analyze(np.array([[0.0, 7.0, 0.3]]), 0)


@on_tensorflow
@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count", "int"])
def test_numbers_that_are_looked_up(mode: str) -> None:
    lookup = layers.IntegerLookup(vocabulary=[10, 20, 30], output_mode=mode)
    code, age = keras.Input((1,), dtype="int64", name="code"), keras.Input((1,), name="age")
    vector = lookup(code) if mode != "int" else layers.Flatten()(layers.Embedding(4, 4)(lookup(code)))
    model = keras.Model([code, age], layers.Dense(1, use_bias=False)(layers.Concatenate()([vector, age])))
    x = {"code": np.array([[10], [20]]), "age": np.array([[1.0], [2.0]], "float32")}
    found = create_analyzer("lrp.bias_as_input", model).explain(x)
    total = found.relevance["code"].ravel() + found.relevance["age"].ravel()
    np.testing.assert_allclose(total, found.explained, rtol=1e-5, atol=1e-6)
    if mode != "int":
        kernel = keras.ops.convert_to_numpy(model.layers[-1].kernel).ravel()
        np.testing.assert_allclose(found.relevance["code"].ravel(), kernel[[1, 2]], rtol=1e-5)


@on_tensorflow
def test_ragged_tensors_are_refused() -> None:
    import tensorflow as tf

    model = ids_model("int32")
    with pytest.raises(InputError, match=r"ragged tensor.*x.to_tensor\(\)"):
        create_analyzer("lrp.epsilon", model).analyze(tf.ragged.constant([[1, 2, 3, 4, 5, 6], [4]]))
