"""Operations that are easily taken for something else."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
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


def test_a_bare_tensorflow_variable_stays_live() -> None:
    kernel = tf.Variable(np.eye(3, dtype="float32"))
    inputs = keras.Input((3,))
    analyzer = kerasexplain.create_analyzer("lrp.z", keras.Model(inputs, ops.matmul(inputs, kernel)))
    x = np.ones((1, 3), "float32")
    np.testing.assert_array_equal(analyzer.analyze(x, 0), [[1, 0, 0]])
    kernel.assign(3 * kernel)
    np.testing.assert_array_equal(analyzer.analyze(x, 0), [[3, 0, 0]])


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
