"""BiLRP: by hand, against sums over all pairs, by random directions, and what is refused."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from kerasexplain import InputError, bilrp, create_analyzer
from kerasexplain.rules import Epsilon

pytestmark = pytest.mark.usefixtures("double_precision")


def x_of(*shape: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def linear(W: np.ndarray) -> keras.Model:
    model = keras.Sequential([keras.Input((len(W),)), layers.Dense(W.shape[1], use_bias=False)])
    model.set_weights([W])
    return model


def encoder(bias: bool = False) -> keras.Model:
    inputs = keras.Input((6, 4, 2))
    x = layers.Conv2D(3, 2, activation="relu", use_bias=bias, bias_initializer="random_normal")(inputs)
    x = layers.Dense(8, "relu", use_bias=bias, name="hidden")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(5, use_bias=bias, name="embedding")(x))


def test_by_hand() -> None:
    """y = W^T x with columns (1, 2) and (3, -1); x = (1, 1), x' = (2, 1): f = (3, 2), f' = (4, 5), and 12 + 10 = 22.

    `R_ij = x_i x'_j sum_m W_im W_jm`: for the pair of the two first inputs, 1 2 (1 1 + 3 3) = 20.
    """
    model = linear(np.array([[1.0, 3.0], [2.0, -1.0]]))
    found = bilrp(create_analyzer("lrp.z", model), np.array([[1.0, 1.0]]), np.array([[2.0, 1.0]]))
    np.testing.assert_allclose(found.pairs()[0], [[20.0, -1.0], [-2.0, 5.0]], rtol=0, atol=1e-13)
    np.testing.assert_allclose([found.similarity, found.total], 22.0, rtol=0, atol=1e-13)
    np.testing.assert_allclose(found.of_left, [[19.0, 3.0]], rtol=0, atol=1e-13)
    np.testing.assert_allclose(found.of_right, [[18.0, 4.0]], rtol=0, atol=1e-13)
    top = found.top(2)
    np.testing.assert_array_equal(top.left, [[[0], [1]]])
    np.testing.assert_array_equal(top.right, [[[0], [1]]])
    np.testing.assert_allclose(top.relevance, [[20.0, 5.0]], rtol=0, atol=1e-13)
    assert "(2,) and (2,) parts by 2 directions: 22 of 22" in repr(found)


def test_the_sum_over_entries_of_the_embedding() -> None:
    model, x, other = encoder(bias=True), x_of(3, 6, 4, 2), x_of(3, 6, 4, 2, seed=6)
    analyzer = create_analyzer("lrp.gamma", model, batch_size=4)
    found = bilrp(analyzer, x, other)
    expected = np.zeros((3, 6, 4, 6, 4))
    for m in range(5):
        left, right = (analyzer.analyze(given, m).sum(axis=-1) for given in (x, other))
        expected += left[:, :, :, None, None] * right[:, None, None]
    np.testing.assert_allclose(found.pairs(), expected, rtol=0, atol=1e-13 * np.abs(expected).max())
    embedded = model.predict(x, verbose=0), model.predict(other, verbose=0)
    np.testing.assert_allclose(found.similarity, np.sum(embedded[0] * embedded[1], axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.total, expected.reshape(3, -1).sum(axis=1), rtol=1e-10)
    np.testing.assert_allclose(found.of_left, expected.sum(axis=(3, 4)), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.of_right, expected.sum(axis=(1, 2)), rtol=0, atol=1e-12)


def test_without_biases_all_pairs_add_up_to_the_similarity() -> None:
    model, x, other = encoder(), x_of(2, 6, 4, 2), x_of(2, 6, 4, 2, seed=6)
    found = bilrp(create_analyzer("lrp.z", model), x, other)
    np.testing.assert_allclose(found.total, found.similarity, rtol=1e-10)
    absorbing = bilrp(create_analyzer("lrp.epsilon", model, epsilon=0.3), x, other)
    np.testing.assert_allclose(absorbing.similarity, found.similarity, rtol=1e-12)
    assert np.all(np.abs(absorbing.total) < np.abs(found.similarity))


@pytest.mark.formula
def test_as_many_random_directions_as_entries_are_exact_and_fewer_so_in_the_mean() -> None:
    model, x, other = encoder(), x_of(1, 6, 4, 2), x_of(1, 6, 4, 2, seed=6)
    analyzer = create_analyzer("lrp.epsilon", model, epsilon=0.01)
    exact = bilrp(analyzer, x, other, pool=2)
    full = bilrp(analyzer, x, other, pool=2, rank=5, seed=3)
    np.testing.assert_allclose(full.pairs(), exact.pairs(), rtol=0, atol=1e-12)
    np.testing.assert_allclose(full.similarity, exact.similarity, rtol=1e-12)
    draws = [bilrp(analyzer, x, other, pool=2, rank=3, seed=seed).pairs()[0] for seed in range(40)]
    error = np.std(draws, axis=0) / np.sqrt(len(draws))
    assert np.all(np.abs(np.mean(draws, axis=0) - exact.pairs()[0]) < 4.5 * error + 1e-15)
    again = bilrp(analyzer, x, other, pool=2, rank=3, seed=0)
    np.testing.assert_array_equal(again.pairs()[0], draws[0])
    assert again.left.shape == (1, 3, 3, 2)
    np.testing.assert_allclose(again.similarity, exact.similarity, rtol=1e-12)


def test_windows_add_up_what_is_in_them_at_once_or_later() -> None:
    model, x, other = encoder(), x_of(2, 6, 4, 2), x_of(2, 6, 4, 2, seed=6)
    analyzer = create_analyzer("lrp.z", model)
    found = bilrp(analyzer, x, other)
    whole = found.pairs()
    tiles = whole.reshape(2, 3, 2, 2, 2, 3, 2, 2, 2).sum(axis=(2, 4, 6, 8))
    np.testing.assert_allclose(found.pairs(pool=2), tiles, rtol=0, atol=1e-13)
    np.testing.assert_allclose(bilrp(analyzer, x, other, pool=2).pairs(), tiles, rtol=0, atol=1e-13)
    rows = whole.sum(axis=(2, 4))[:, :, None, :, None]
    np.testing.assert_allclose(found.pairs(pool=(1, None)), rows, rtol=0, atol=1e-13)
    assert found.pairs(pool=4).shape == (2, 2, 1, 2, 1)  # what is left over is a smaller window
    np.testing.assert_allclose(found.pairs(pool=4).sum(axis=(1, 2, 3, 4)), found.total, rtol=1e-10)


def test_an_inner_layer_of_a_classifier_is_an_embedding_too() -> None:
    inputs = keras.Input((5,))
    hidden = layers.Dense(4, "relu", name="embedding")(inputs)
    model = keras.Model(inputs, layers.Dense(3, "softmax")(hidden))
    x, other = x_of(2, 5), x_of(2, 5, seed=6)
    embed = keras.Model(inputs, hidden)
    for rank in (None, 4):
        found = bilrp(create_analyzer("lrp.z", model, output="embedding"), x, other, rank=rank)
        expected = bilrp(create_analyzer("lrp.z", embed), x, other)
        np.testing.assert_allclose(found.pairs(), expected.pairs(), rtol=0, atol=1e-13)
        np.testing.assert_allclose(
            found.similarity, np.sum(embed.predict(x) * embed.predict(other), axis=1), rtol=1e-12
        )


def test_sentences_of_different_lengths() -> None:
    inputs = keras.Input((None,), dtype="int32")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(9, 4)(inputs))
    model = keras.Model(inputs, layers.Dense(3, use_bias=False)(x))
    found = bilrp(create_analyzer("lrp.z", model), np.array([[1, 2, 3]]), np.array([[4, 5, 6, 7, 8]]))
    assert found.pairs().shape == (1, 3, 5)
    np.testing.assert_allclose(found.total, found.similarity, rtol=1e-10)


def test_lines_between_images() -> None:
    pytest.importorskip("PIL")
    model, x, other = encoder(), x_of(2, 6, 4, 2), x_of(2, 6, 4, 2, seed=6)
    found = bilrp(create_analyzer("lrp.z", model), x, other)
    drawn = found.to_image(np.zeros((2, 6, 4)), np.zeros((2, 6, 4)), k=3, pool=2)
    assert drawn.height == 2 * 192
    pixels = np.asarray(drawn).reshape(2, 192, -1, 3)
    assert all(len(np.unique(row.reshape(-1, 3), axis=0)) > 2 for row in pixels)
    with pytest.raises(ValueError, match="1 and 1 images, but lines for 2"):
        found.to_image(np.zeros((1, 6, 4)), np.zeros((1, 6, 4)))
    with pytest.raises(ValueError, match=r"the parts \(3, 2\), of \(2, 2\) pixels, are not those"):
        found.to_image(np.zeros((2, 8, 4)), np.zeros((2, 8, 4)), pool=2)


@pytest.mark.parametrize("again", [None, 2])
def test_lines_end_in_the_middle_of_their_windows(again: int | None) -> None:
    """Six rows in windows of 4: their middles are 2 and 5; four columns in one: 2. Twice windows of 2 are the same."""
    pytest.importorskip("PIL")
    model, x = encoder(), x_of(1, 6, 4, 2)
    found = bilrp(create_analyzer("lrp.z", model), x, x, pool=2 if again else 4)
    top = found.top(4, again)
    centres = found._centres(top.left, 0, (1, 6, 4), again)
    np.testing.assert_array_equal(centres[0], np.where(top.left[0] == [0, 0], 2.0, [5.0, 2.0]))


def test_what_has_no_such_meaning_is_refused() -> None:
    model, x = encoder(), x_of(2, 6, 4, 2)
    analyzer = create_analyzer("lrp.z", model)
    for name, options in (("gradient", {}), ("input_t_gradient", {}), ("lrp.baseline", {})):
        with pytest.raises(ValueError, match="propagates no relevance"):
            bilrp(create_analyzer(name, model, **options), x, x)
    for other in (create_analyzer("deep_taylor", model), create_analyzer("lrp.z", model, start="one")):
        with pytest.raises(ValueError, match="starts with something else"):
            bilrp(other, x, x)
    with pytest.raises(InputError, match="there is no sample to compare"):
        bilrp(analyzer, x[:0], x[:0])
    with pytest.raises(InputError, match="bilrp takes arrays, and got a stream"):
        bilrp(analyzer, iter([x]), x)
    with pytest.raises(InputError, match="2 and 1"):
        bilrp(analyzer, x, x[:1])
    with pytest.raises(ValueError, match="from 1 to the 5 entries"):
        bilrp(analyzer, x, x, rank=6)
    with pytest.raises(ValueError, match="which= is the index or the name"):
        bilrp(analyzer, x, x, which="nothing")
    found = bilrp(create_analyzer("lrp", model, rule=Epsilon(0.1)), x, x)
    for pool, told in (((2,), "one for each of the 2 axes"), (0, "pool must be an integer"), (True, "pool must be")):
        with pytest.raises(ValueError, match=told):
            found.pairs(pool=pool)
    with pytest.raises(ValueError, match="pairs there are"):
        found.top(1000, pool=4)


def test_channels_first() -> None:
    """Parts are positions with all their channels, wherever the channels are."""
    x, other = x_of(2, 4, 5, 3), x_of(2, 4, 5, 3, seed=6)
    W = np.random.default_rng(2).normal(size=(60, 2))
    found = bilrp(create_analyzer("lrp.epsilon", _flat((4, 5, 3), W)), x, other)
    first = [np.moveaxis(array, -1, 1) for array in (x, other)]
    moved = np.moveaxis(W.reshape(4, 5, 3, 2), 2, 0).reshape(60, 2)
    keras.config.set_image_data_format("channels_first")
    try:
        again = bilrp(create_analyzer("lrp.epsilon", _flat((3, 4, 5), moved)), *first)
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_allclose(again.pairs(), found.pairs(), rtol=1e-9)
    assert again.windows == found.windows


def _flat(shape: tuple[int, ...], W: np.ndarray) -> keras.Model:
    inputs = keras.Input(shape)
    outputs = layers.Dense(W.shape[1], use_bias=False)(layers.Reshape((len(W),))(inputs))
    model = keras.Model(inputs, outputs)
    model.layers[-1].kernel.assign(W)
    return model
