"""Indices that are computed: every token gets what is looked up by it, or the model is refused in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasexplain import InputError, UnsupportedModelError, create_analyzer

IDS = np.array([[1, 2, 3], [4, 5, 0], [0, 3, 3]])


def reads(index: Any, size: int = 40) -> Any:
    """Two outputs of what is looked up by an index."""
    vectors = layers.Embedding(size, 4, dtype="float64")(index)
    return layers.Dense(2, dtype="float64")(layers.Flatten()(layers.Dense(3, "tanh", dtype="float64")(vectors)))


def of_indices(model: keras.Model, count: int) -> keras.Model:
    """The layers of `reads` in a model that takes the indices themselves."""
    given = read = keras.Input((count,), dtype="int32")
    for layer in model.layers[-4:]:
        read = layer(read)
    return keras.Model(given, read)


def randomized(model: keras.Model) -> keras.Model:
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    return model


COMPUTED: dict[str, Callable[[Any], Any]] = {
    "an offset": lambda i: i + 1,
    "an offset for each column": lambda i: i + np.arange(3) * 10,
    "a factor": lambda i: i * 4,
    "a remainder": lambda i: ops.mod(i, 5),
    "a choice": lambda i: ops.where(i > 3, 1, i),
    "a mask": lambda i: i * ops.cast(i > 2, "int32"),
    "real numbers between": lambda i: ops.cast(ops.cast(i, "float32") * 2.0, "int32"),
    "from behind": lambda i: 7 - ops.flip(i, axis=1),
    "another rank": lambda i: ops.reshape(ops.expand_dims(i, 1) + 2, (-1, 3)),
}


@pytest.mark.formula
@pytest.mark.parametrize(
    ("how", "dtype"), [*((how, "int32") for how in COMPUTED), ("an offset", "float32"), ("from behind", "float32")]
)
def test_computed_indices_are_explained_as_indices_are(how: str, dtype: str) -> None:
    given = keras.Input((3,), dtype=dtype)
    ids = ops.cast(COMPUTED[how](given), "int32")
    model = randomized(keras.Model(given, reads(ids)))
    plain = of_indices(model, 3)
    x = IDS.astype(dtype)
    indices = ops.convert_to_numpy(keras.Model(given, ids)(x))
    for name in ("lrp.epsilon", "gradient"):
        found = create_analyzer(name, model).analyze(x, 1)
        expected = create_analyzer(name, plain).analyze(indices, 1)
        if how == "from behind":
            expected = expected[:, ::-1]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9, err_msg=name)
    for name in ("integrated_gradients", "deep_lift"):
        complete = create_analyzer(name, model).explain(x, 1)
        assert np.abs(complete.completeness_error).max() < 1e-3 * np.abs(complete.explained - complete.reference).max()


def test_the_baseline_is_computed_as_well() -> None:
    given = keras.Input((3,), dtype="int32")
    model = randomized(keras.Model(given, reads(given + 1)))
    at_five = model(np.full_like(IDS, 5))[:, 1]
    for name in ("deep_lift", "integrated_gradients"):
        found = create_analyzer(name, model, reference_inputs=5).explain(IDS, 1)
        np.testing.assert_allclose(found.reference, ops.convert_to_numpy(at_five), rtol=1e-6)


def test_indices_of_several_inputs_and_of_constants() -> None:
    one, other = keras.Input((2,), dtype="int32"), keras.Input((3,), dtype="int32")
    joined = ops.concatenate([ops.zeros_like(one[:, :1]), one + 1, ops.pad(other, [[0, 0], [1, 0]])], axis=1)
    model = randomized(keras.Model([one, other], reads(joined)))
    plain = of_indices(model, 7)
    x = [IDS[:, :2], IDS]
    indices = ops.convert_to_numpy(keras.Model([one, other], joined)(x))
    found = create_analyzer("lrp.epsilon", model).analyze(x, 1)
    expected = create_analyzer("lrp.epsilon", plain).analyze(indices, 1)
    np.testing.assert_allclose(found[0], expected[:, 1:3], rtol=1e-6)
    np.testing.assert_allclose(found[1], expected[:, 4:], rtol=1e-6)


@pytest.mark.parametrize(
    ("index", "named"),
    [
        (lambda i: ops.cumsum(i, axis=1), "cumsum"),
        (lambda i: i[:, :1] + i[:, 1:], "add"),
        (lambda i: ops.sort(i), "sort"),
    ],
)
def test_what_is_not_followed_is_refused(index: Callable[[Any], Any], named: str) -> None:
    given = keras.Input((3,), dtype="int32")
    with pytest.raises(UnsupportedModelError, match=rf"embedding.*its indices are computed .* by '{named}"):
        create_analyzer("lrp.epsilon", keras.Model(given, reads(index(given))))


def test_positions_counted_by_a_mask_are_no_tokens() -> None:
    given = keras.Input((3,), dtype="int32")
    position = ops.cumsum(ops.cast(ops.not_equal(given, 0), "int32"), axis=1)
    vectors = layers.Embedding(9, 4)(given) + layers.Embedding(9, 4)(position)
    model = randomized(keras.Model(given, layers.Dense(2)(layers.Flatten()(vectors))))
    found = create_analyzer("lrp.bias_as_input", model).explain(IDS, 0, bias=True)
    assert np.abs(found.bias["embedding_1" if "embedding_1" in found.bias else sorted(found.bias)[-1]]).max() > 0


def test_computed_indices_out_of_range_are_told() -> None:
    given = keras.Input((3,), dtype="int32")
    analyzer = create_analyzer("lrp.epsilon", keras.Model(given, reads(given + 1, size=6)))
    analyzer.analyze(IDS - (IDS == 5))
    with pytest.raises(InputError, match=r"must hold indices, made of that, from 0 to 5, which .* got 1 to 6"):
        analyzer.analyze(IDS)


class Table(layers.Layer):
    """An embedding written by hand."""

    def build(self, shape: Any) -> None:
        self.table = self.add_weight(shape=(10, 4), name="table")

    def call(self, ids: Any) -> Any:
        return ops.take(self.table, ids, axis=0)


def test_a_table_written_by_hand_is_looked_up() -> None:
    given = keras.Input((3,), dtype="int32")
    table = Table()
    model = randomized(keras.Model(given, layers.Dense(2)(layers.Flatten()(table(given)))))
    embedding = layers.Embedding(10, 4)
    plain = keras.Model(given, model.layers[-1](layers.Flatten()(embedding(given))))
    embedding.set_weights(table.get_weights())
    for name in ("lrp.epsilon", "integrated_gradients"):
        found, expected = (create_analyzer(name, one).analyze(IDS, 1) for one in (model, plain))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        assert np.abs(found).max() > 0


@pytest.mark.parametrize("width", [3, 5])
def test_categories_in_a_floating_input(width: int) -> None:
    given = keras.Input((width,))
    model = keras.Model(given, layers.Dense(2)(layers.CategoryEncoding(8, output_mode="count")(given)))
    assert np.abs(create_analyzer("lrp.epsilon", model).analyze(np.ones((2, width), "float32"))).min() > 0


def test_the_largest_output_of_joined_heads_is_the_models() -> None:
    given = keras.Input((5,))
    heads = [layers.Dense(size, activation="softmax")(given) for size in (2, 3)]
    model = randomized(keras.Model(given, layers.Concatenate()(heads)))
    x = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
    found = create_analyzer("gradient", model).explain(x)
    np.testing.assert_array_equal(found.neuron, model.predict(x, verbose=0).argmax(axis=1))
    assert not np.allclose(found.explained, model.predict(x, verbose=0).max(axis=1))  # the logit is explained


@pytest.mark.parametrize(
    "scaled",
    [
        lambda x: x * ops.cast(ops.any(x > 1.0), x.dtype),
        lambda x: x / ops.max(ops.abs(x)),
        lambda x: x - ops.stop_gradient(ops.mean(x)),
    ],
)
def test_what_is_scaled_by_other_samples_is_refused(scaled: Callable[[Any], Any]) -> None:
    given = keras.Input((3,))
    model = keras.Model(given, layers.Dense(2)(scaled(layers.Dense(3)(given))))
    with pytest.raises(UnsupportedModelError, match="mixes the samples of a batch"):
        create_analyzer("lrp.epsilon", model)


class Choice(layers.Layer):
    """Each token has a table of its own, from which its id chooses a number."""

    def build(self, shape: Any) -> None:
        self.tables = self.add_weight(shape=(1, 3, 6), name="tables")

    def call(self, ids: Any) -> Any:
        tables = ops.repeat(self.tables, ops.shape(ids)[0], axis=0)
        return ops.take_along_axis(tables, ops.expand_dims(ids, -1), axis=-1)[..., 0]


def test_a_number_chosen_from_weights_is_looked_up() -> None:
    given = keras.Input((3,), dtype="int32")
    model = randomized(keras.Model(given, layers.Dense(2)(Choice()(given))))
    found = create_analyzer("lrp.bias_as_input", model).explain(IDS, 0, bias=True)
    total = found.relevance.sum(axis=1) + sum(bias.reshape(len(IDS), -1).sum(axis=1) for bias in found.bias.values())
    np.testing.assert_allclose(total, found.explained, rtol=1e-5, atol=1e-6)
    kernel, tables = model.layers[-1].kernel, np.asarray(model.weights[0])[0]
    each = tables[np.arange(3), IDS] * np.asarray(ops.convert_to_numpy(kernel))[:, 0]
    np.testing.assert_allclose(found.relevance, each, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["gradient", "integrated_gradients"])
def test_what_is_not_followed_is_refused_by_gradients_too(name: str) -> None:
    given = keras.Input((3,), dtype="int32")
    with pytest.raises(UnsupportedModelError, match=r"its indices are computed .* by 'add"):
        create_analyzer(name, keras.Model(given, reads(given[:, :1] + given[:, 1:])))


@pytest.mark.parametrize("baseline", [20, -1])
def test_a_baseline_of_indices_out_of_range_is_told(baseline: int) -> None:
    given = keras.Input((3,), dtype="int32")
    analyzer = create_analyzer("integrated_gradients", keras.Model(given, reads(given, 9)), reference_inputs=baseline)
    with pytest.raises(InputError, match="must hold indices from 0 to 8"):
        analyzer.analyze(IDS)


@pytest.mark.parametrize("example", [None, IDS])
def test_ids_of_a_model_that_has_not_been_built(example: Any) -> None:
    last = layers.Dense(2)
    model = keras.Sequential([layers.Embedding(6, 4), layers.GlobalAveragePooling1D(), last])
    found = create_analyzer("lrp.bias_as_input", model, example=example).explain(IDS, 1, bias=True)
    total = found.relevance.sum(axis=1) + sum(bias.reshape(len(IDS), -1).sum(axis=1) for bias in found.bias.values())
    np.testing.assert_allclose(total, found.explained, rtol=1e-4, atol=1e-6)
    assert (found.relevance != 0).all()


def test_a_map_that_misses_the_change_of_the_output_says_so() -> None:
    given = keras.Input((4,))
    jumps = ops.cast(given > 0, "float32") + given * 1e-3
    model = randomized(keras.Model(given, layers.Dense(2)(jumps)))
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    with pytest.warns(UserWarning, match="misses the change of the output from the baseline by"):
        create_analyzer("integrated_gradients", model).analyze(x, 1)
