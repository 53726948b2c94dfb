"""Operations that are easily taken for something else."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasexplain
from kerasexplain import UnsupportedModelError


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: ops.flip(x, 0),
        lambda x: ops.roll(x, 1, 0),
        lambda x: ops.concatenate([x, x], 0),
        lambda x: ops.vstack([x, x]),
    ],
    ids=["flip", "roll", "concatenate", "vstack"],
)
def test_what_moves_values_between_samples_is_refused(operation) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(operation(inputs)))
    with pytest.raises(UnsupportedModelError, match="from one sample of the batch to another"):
        kerasexplain.create_analyzer("lrp.epsilon", model)


@pytest.mark.parametrize(
    "operation",
    [lambda x: ops.flip(x, 1), lambda x: ops.roll(x, 1, -1), lambda x: x[:, 1:], lambda x: ops.reshape(x, (-1, 2, 2))],
    ids=["flip", "roll", "slice", "reshape"],
)
def test_what_moves_values_within_samples_is_not(operation, rng: np.random.Generator) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(operation(inputs))))
    x = rng.normal(size=(3, 4))
    relevance = kerasexplain.create_analyzer("lrp.z", model).analyze(x, 1)
    np.testing.assert_allclose(relevance.sum(axis=1), model.predict(x, verbose=0)[:, 1], rtol=1e-5)


@pytest.mark.tensorflow("its variables can be used without Keras")
def test_a_bare_tensorflow_variable_stays_live() -> None:
    import tensorflow as tf

    kernel = tf.Variable(np.eye(3, dtype="float32"))
    inputs = keras.Input((3,))
    analyzer = kerasexplain.create_analyzer("lrp.z", keras.Model(inputs, ops.matmul(inputs, kernel)))
    x = np.ones((1, 3), "float32")
    np.testing.assert_array_equal(analyzer.analyze(x, 0), [[1, 0, 0]])
    kernel.assign(3 * kernel)
    np.testing.assert_array_equal(analyzer.analyze(x, 0), [[3, 0, 0]])


def test_augmentation_in_a_model_is_inactive_as_it_is_when_the_model_predicts(rng: np.random.Generator) -> None:
    model = keras.Sequential([keras.Input((4, 4, 3)), layers.RandomFlip(), layers.Flatten(), layers.Dense(2)])
    x = rng.normal(size=(2, 4, 4, 3))
    relevance = kerasexplain.create_analyzer("lrp.z", model).analyze(x, 0)
    np.testing.assert_allclose(relevance.sum(axis=(1, 2, 3)), model.predict(x, verbose=0)[:, 0], rtol=1e-4)


def test_einsum_with_weights_takes_the_rule_of_a_layer(rng: np.random.Generator) -> None:
    kernel = rng.normal(size=(4, 2, 3)).astype("float32")
    inputs = keras.Input((5, 4))
    by_hand = keras.Model(inputs, ops.einsum("btd,dhk->bthk", inputs, kernel))
    layer = layers.EinsumDense("btd,dhk->bthk", output_shape=(None, 2, 3))
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([kernel])
    x = rng.normal(size=(3, 5, 4))
    one, other = (
        kerasexplain.create_analyzer("lrp.z_plus", m, neuron_selection_mode="all").analyze(x) for m in (by_hand, model)
    )
    np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("equation", ["bt,bk->tk", "bt,ck->btck", "bt,bt->t"])
def test_products_that_sum_over_the_batch_or_leave_it_behind_are_refused(equation: str) -> None:
    first, second = keras.Input((3,)), keras.Input((3,))
    model = keras.Model([first, second], ops.einsum(equation, first, second))
    with pytest.raises(UnsupportedModelError, match="mixes the samples"):
        kerasexplain.create_analyzer("lrp.z", model)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: ops.matmul(np.ones((2, 3), "float32"), x),
        lambda x: ops.matmul(x, np.ones((2, 4, 3), "float32")),
        lambda x: ops.tensordot(x, np.ones((2, 3), "float32"), axes=[[0], [1]]),
    ],
    ids=["batch as rows", "batch moved back", "batch summed"],
)
def test_products_with_constants_that_take_the_batch_for_an_axis_are_refused(operation) -> None:
    inputs = keras.Input((4,))
    with pytest.raises(UnsupportedModelError, match="mixes the samples"):
        kerasexplain.create_analyzer("lrp.z", keras.Model(inputs, operation(inputs)))


def test_a_quantised_kernel_gives_about_the_relevance_of_the_one_it_was(rng: np.random.Generator) -> None:
    inputs = keras.Input((6,))
    layer = layers.Dense(3)
    model = keras.Model(inputs, layer(inputs))
    x = rng.normal(size=(4, 6))
    before = kerasexplain.create_analyzer("lrp.epsilon", model).analyze(x, 0)
    layer.quantize("int8")
    after = kerasexplain.create_analyzer("lrp.epsilon", model).analyze(x, 0)
    np.testing.assert_allclose(after, before, atol=0.05 * np.abs(before).max())


@pytest.mark.skipif(not hasattr(layers, "AdaptiveMaxPooling2D"), reason="this version of Keras has no adaptive pooling")
def test_windows_of_adaptive_maximum_pooling_are_what_it_pools(rng: np.random.Generator) -> None:
    inputs = keras.Input((5, 7, 2))
    model = keras.Model(inputs, layers.AdaptiveMaxPooling2D((3, 4))(inputs))
    x = rng.normal(size=(2, 5, 7, 2))
    shared, first = (
        kerasexplain.create_analyzer(
            "lrp.z", model, neuron_selection_mode="all", maximum=kerasexplain.rules.WinnerTakesAll(ties=ties)
        ).analyze(x)
        for ties in ("share", "first")
    )
    np.testing.assert_allclose(shared, first, rtol=1e-6)  # there are no ties
    np.testing.assert_allclose(shared.sum(axis=(1, 2, 3)), model.predict(x, verbose=0).sum(axis=(1, 2, 3)), rtol=1e-5)


def test_a_layer_may_be_an_activation(rng: np.random.Generator) -> None:
    inputs = keras.Input((4,))
    leaky = layers.LeakyReLU(0.1, name="leaky")
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(5, activation=leaky, name="hidden")(inputs)))
    split = keras.Model(inputs, layers.Dense(2)(layers.LeakyReLU(0.1)(layers.Dense(5)(inputs))))
    split.set_weights(model.get_weights())
    analyzer = kerasexplain.create_analyzer("lrp.epsilon", model)
    assert [row.name for row in analyzer.rows][:2] == ["hidden", "hidden/leaky"]
    x = rng.normal(size=(3, 4))
    of_split = kerasexplain.create_analyzer("lrp.epsilon", split).analyze(x)
    np.testing.assert_array_equal(analyzer.analyze(x), of_split)


@pytest.mark.parametrize("name", ["lrp.epsilon", "lrp.z_plus", "lrp.alpha_2_beta_1", "lrp.gamma", "lrp.w_square"])
def test_without_a_stabilizer_empty_denominators_give_nothing(name: str) -> None:
    inputs = keras.Input((4, 4, 1))
    hidden = layers.Conv2D(3, 3, activation="relu")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(hidden)))
    none = {"epsilon": 0.0} if name == "lrp.epsilon" else {"stabilizer": 0.0}
    relevance = kerasexplain.create_analyzer(name, model, **none).analyze(np.zeros((1, 4, 4, 1)))
    np.testing.assert_array_equal(relevance, np.zeros((1, 4, 4, 1)))
