"""What stands in place of removed parts, computed by hand."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasexplain import InputError
from kerasexplain.metrics import fills

pytestmark = pytest.mark.once("numpy alone")

#: Two samples of two positions with two channels, and other data.
X = np.array([[[1.0, 10.0], [3.0, 30.0]], [[5.0, 50.0], [7.0, 90.0]]])
DATA = np.array([[[0.0, -1.0], [2.0, 1.0]], [[4.0, 3.0], [6.0, 5.0]]])


def generators(i: int) -> np.random.Generator:
    return np.random.default_rng([0, i])


def cover(fill: Any, x: np.ndarray = X, background: np.ndarray | None = DATA) -> np.ndarray:
    return fills.get(fill).cover(x, background, generators)


@pytest.mark.parametrize(
    ("fill", "expected"),
    [
        (3, np.full(X.shape, 3.0)),
        ([1, 2], np.broadcast_to([1.0, 2.0], X.shape)),
        ([[0.0, 1.0], [2.0, 3.0]], np.broadcast_to([[0.0, 1.0], [2.0, 3.0]], X.shape)),
        ("low", np.broadcast_to([0.0, -1.0], X.shape)),
        ("mean", np.broadcast_to([3.0, 2.0], X.shape)),
        ("own_mean", np.array([[[2.0, 20.0]] * 2, [[6.0, 70.0]] * 2])),
    ],
)
def test_values_of_channels(fill: Any, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(cover(fill), expected)


@pytest.mark.parametrize(("fill", "expected"), [("low", [0, 1]), ("mean", [1, 3])])
def test_features_of_tables_are_each_of_their_own_kind(fill: str, expected: list[float]) -> None:
    data = np.array([[0.0, 5.0], [2.0, 1.0]])
    np.testing.assert_array_equal(cover(fill, np.ones((3, 2)), data), np.broadcast_to(expected, (3, 2)))


def test_channels_first() -> None:
    known = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        x = np.arange(16.0).reshape(1, 2, 4, 2)
        np.testing.assert_array_equal(cover("mean", x, x)[0, :, 0, 0], [3.5, 11.5])
        np.testing.assert_array_equal(cover("own_mean", x)[0, :, 1, 1], [3.5, 11.5])
        assert np.ptp(cover(fills.Blur(1.0), x)[0, 1]) < 8  # channels do not mix
        assert cover(fills.Blur(1.0), x)[0, 0].max() < cover(fills.Blur(1.0), x)[0, 1].min()
    finally:
        keras.config.set_image_data_format(known)


def test_uniform_noise_is_within_the_range_of_each_channel() -> None:
    x = np.zeros((2, 500, 2))
    found = cover("uniform", x)
    for channel, (low, high) in enumerate([(0, 6), (-1, 5)]):
        assert low <= found[..., channel].min() < low + 0.1
        assert high - 0.1 < found[..., channel].max() <= high
    assert not np.array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[1], fills.Uniform().cover(x[1:], DATA, lambda i: generators(1))[0])


def test_uniform_noise_between_given_values() -> None:
    found = cover(fills.Uniform(low=[0, 10], high=[1, 10]), np.zeros((2, 50, 2)), None)
    assert np.all(found[..., 1] == 10)
    assert 0 <= found[..., 0].min() < found[..., 0].max() <= 1


def test_pixels_of_bytes_do_not_overflow() -> None:
    data = np.array([[[0], [255]]], "uint8")
    x = np.zeros((1, 100, 1), "float32")
    found = cover("uniform", x, data)
    assert found.dtype == "float32"
    assert found.max() > 200
    assert cover("low", x, data).dtype == "float32"
    assert cover("mean", x, data)[0, 0, 0] == 127.5


def test_a_blur_is_a_gaussian_within_each_channel() -> None:
    x = np.zeros((1, 9, 9, 2))
    x[0, 4, 4, 0] = 1.0
    found = cover(fills.Blur(1.0), x)
    kernel = np.exp(-(np.arange(-4, 5) ** 2) / 2)
    kernel /= kernel.sum()
    np.testing.assert_allclose(found[0, ..., 0], np.outer(kernel, kernel), atol=1e-12)
    assert not found[..., 1].any()
    flat = np.full((1, 5, 5, 1), 3.0)
    np.testing.assert_allclose(cover("blur", flat), flat)  # its edges are repeated
    np.testing.assert_array_equal(cover(fills.Blur(0), x), x)


def test_another_sample_is_never_the_same() -> None:
    data = np.array([[1, 2], [3, 4], [1, 2]])
    for i in range(20):
        found = fills.Other().cover(data[:1], data, lambda _, i=i: generators(i))
        np.testing.assert_array_equal(found, [[3, 4]])
    with pytest.raises(InputError, match="pass background="):
        cover("other", data[:1], data[::2])


def test_another_sample_is_not_the_same_before_rounding() -> None:
    """The data are in double precision, and the model gets them in single precision."""
    data = np.random.default_rng(0).normal(size=(2, 6))
    for seed in range(4):
        found = fills.get("other").cover(
            data.astype("float32"), data, lambda i, seed=seed: np.random.default_rng([i, seed])
        )
        np.testing.assert_array_equal(found, data[::-1].astype("float32"))


@pytest.mark.parametrize("fill", ["uniform", "low", "mean"])
def test_rows_that_are_all_alike_have_nothing_to_be_filled_with(fill: str) -> None:
    with pytest.raises(InputError, match="there is a single row: pass background="):
        cover(fill, np.ones((1, 3)), np.ones((1, 3)))
    with pytest.raises(InputError, match="there are 4 rows, all alike"):
        cover(fill, np.ones((4, 3)), np.ones((4, 3)))


def test_tokens_that_are_deleted_let_the_others_move_up() -> None:
    x = np.array([[5, 6, 7, 8], [1, 2, 0, 0]])
    fill = fills.Delete()
    removed = np.array([[True, False, True, False], [False, True, False, False]])
    np.testing.assert_array_equal(fill.changed(x, cover(fill, x), removed), [[6, 8, 0, 0], [1, 0, 0, 0]])
    other = fills.Delete(padding=9)
    np.testing.assert_array_equal(other.changed(x, cover(other, x), np.ones_like(removed)), np.full((2, 4), 9))
    with pytest.raises(InputError, match="sequences of ids"):
        cover(fill)
    with pytest.raises(InputError, match="must hold integers"):
        cover(fill, np.array([[0.5, 1]]))
    with pytest.raises(InputError, match="the padding must be from 0 to 255"):
        cover(fills.Delete(padding=-1), x.astype("uint8"))


def imputed_by_hand(sample: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """The equations of all positions, in a dense matrix: 1/6 and 1/12, which the edges share out anew."""
    height, width = gone.shape
    matrix, right = np.eye(height * width), sample.reshape(height * width, -1).copy()
    for i, j in np.argwhere(gone):
        row = np.zeros((height, width))
        for di in (-1, 0, 1):
            for dj in (-1, 0, 1):
                if (di or dj) and 0 <= i + di < height and 0 <= j + dj < width:
                    row[i + di, j + dj] = 1 / 12 if di and dj else 1 / 6
        matrix[i * width + j] -= row.ravel() / row.sum()
        right[i * width + j] = 0
    return np.linalg.solve(matrix, right).reshape(sample.shape)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(1, 6), st.integers(1, 3), st.integers(0, 2**16))
def test_neighbours_are_the_solution_of_all_equations_at_once(
    height: int, width: int, channels: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, gone = rng.normal(size=(1, height, width, channels)), rng.random((height, width)) < 0.5
    gone[rng.integers(height), rng.integers(width)] = False  # something is kept
    fill = fills.Neighbours(noise=0)
    found = fill.changed(x, fill.cover(x, None, generators), gone[None, ..., None])
    np.testing.assert_allclose(found[0], imputed_by_hand(x[0], gone), rtol=1e-9, atol=1e-12)


def test_a_pixel_alone_is_the_weighted_mean_of_those_around_it() -> None:
    x = np.arange(9.0).reshape(1, 3, 3, 1) ** 2
    gone = np.zeros((1, 3, 3, 1), bool)
    gone[0, 1, 1] = True
    fill = fills.Neighbours(noise=0)
    found = fill.changed(x, fill.cover(x, None, generators), gone)
    assert found[0, 1, 1, 0] == pytest.approx((1 + 9 + 25 + 49) / 6 + (0 + 4 + 36 + 64) / 12)
    np.testing.assert_array_equal(found[~gone], x[~gone])


def test_where_nothing_is_kept_the_mean_of_all_is_left() -> None:
    fill = fills.Neighbours(noise=0)
    found = fill.changed(X, fill.cover(X, None, generators), np.ones((2, 2, 1), bool))
    np.testing.assert_allclose(found, cover("own_mean"))


def test_noise_of_neighbours_is_a_share_of_the_range() -> None:
    x = np.zeros((1, 40, 40, 1))
    x[0, 0, 0] = 10.0
    gone = np.ones(x.shape, bool)
    gone[0, :2] = False
    fill = fills.Neighbours(noise=0.1)
    noise = (
        fill.changed(x, fill.cover(x, None, generators), gone) - fills.Neighbours(noise=0).changed(x, 0 * x, gone)
    )[gone]
    assert abs(noise.std() - 1.0) < 0.05
    assert abs(noise.mean()) < 0.1


@pytest.mark.parametrize("name", ["own_mean", "blur", "neighbours"])
def test_tables_have_no_neighbours(name: str) -> None:
    with pytest.raises(InputError, match=f"'{name}' is for images and signals"):
        cover(name, np.ones((2, 3)))


@pytest.mark.parametrize("name", fills.BY_NAME)
def test_every_fill_of_a_volume_has_its_shape_and_dtype(name: str, rng: np.random.Generator) -> None:
    data = rng.normal(size=(4, 3, 4, 2, 2))
    x = data[:2].astype("float32")
    fill = fills.get(name)
    found = fill.changed(x, fill.cover(x, data, generators), rng.random((2, 3, 4, 2, 1)) < 0.5)
    assert found.dtype == "float32"
    assert found.shape == x.shape


@pytest.mark.parametrize("name", ["uniform", "mean", "low", "blur", "neighbours", "own_mean"])
def test_ids_are_not_mixed(name: str) -> None:
    with pytest.raises(InputError, match="pass the id of a mask"):
        fills.check_fill(fills.get(name), np.zeros((2, 3), "int32"), "ids", True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fills.Uniform(low=0), "go together"),
        (lambda: fills.Uniform(low=[0, 2], high=[1, 1]), "must not be above high"),
        (lambda: fills.Blur(-1), "sigma must be"),
        (lambda: fills.Neighbours(noise=-1), "noise must be"),
        (lambda: fills.Constant("white"), "finite number"),
        (lambda: fills.Constant([0, np.inf]), "finite number"),
        (lambda: fills.get("grey"), "there is no fill 'grey'"),
    ],
)
def test_wrong_options(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "fill", [fills.Uniform(low=[0, 1], high=[1, 2]), fills.Constant(np.ones(3)), fills.Blur(), fills.Other()]
)
def test_fills_are_values(fill: Any) -> None:
    assert type(fill).from_config(fill.get_config()) == fill
    assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(fill)) == fill
