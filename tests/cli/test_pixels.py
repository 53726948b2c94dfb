"""The range of pixels that a model takes: what the command makes of the preprocessing at its input."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

pytest.importorskip("matplotlib")

from kerasexplain.cli.command import main
from kerasexplain.cli.pixels import pixels_of
from kerasexplain.cli.reading import samples
from tests.helpers.commands import explain, network

pytestmark = pytest.mark.once("the command is the same whatever computes")

IMAGES = [pathlib.Path("images")]
STAY = "pixels stay 0 to 255: nothing at the model's input rescales them; --range LOW HIGH says"


def behind(*steps: Callable[[Any], Any], dtype: str = "float32") -> keras.Model:
    """A network behind preprocessing."""
    inputs = keras.Input((8, 6, 3), dtype=dtype)
    x = inputs
    for step in steps:
        x = step(x)
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(x)))


def normalized(mean: float, variance: float) -> keras.Model:
    return behind(layers.Normalization(mean=[mean] * 3, variance=[variance] * 3))


def trained_norm(mean: float, variance: float) -> layers.Layer:
    layer = layers.BatchNormalization()
    layer.build((None, 8, 6, 3))
    layer.moving_mean.assign([mean] * 3)
    layer.moving_variance.assign([variance] * 3)
    return layer


@pytest.mark.parametrize(
    ("model", "range_", "said"),
    [
        (network((8, 6, 3)), (0, 255), STAY),
        (keras.Sequential([keras.Input((8, 6, 3)), layers.Rescaling(1 / 127.5, -1.0)]), (0, 255), ""),
        (
            keras.Sequential([keras.Input((8, 6, 3)), layers.Rescaling(2.0, -1.0)]),
            (0, 1),
            "pixels are taken as 0 to 1, which the Rescaling at the model's input is made for",
        ),
        (normalized(0.45, 0.05), (0, 1), "which the Normalization at the model's input is made for"),
        (normalized(120.0, 3600.0), (0, 255), ""),
        (normalized(0.0, 1.0), (0, 255), STAY),
        (keras.Sequential([keras.Input((8, 6, 3)), normalized(0.45, 0.05)]), (0, 1), "which the Normalization"),
        (behind(lambda x: (x - 0.5) * 2), (0, 1), "which the Subtract and Multiply at the model's input is made for"),
        (behind(lambda x: x / 255.0), (0, 255), ""),
        (behind(lambda x: x - 128.0), (0, 255), ""),
        (behind(lambda x: x - 0.5), (0, 1), "which the Subtract at"),
        (behind(lambda x: x * 255.0), (0, 1), "which the Multiply at"),
        (behind(keras.applications.mobilenet_v2.preprocess_input), (0, 255), ""),
        (behind(keras.applications.resnet50.preprocess_input), (0, 255), ""),
        (behind(layers.RandomFlip(), layers.Rescaling(1 / 255)), (0, 255), ""),
        (behind(layers.RandomFlip(), layers.Rescaling(2.0, -1.0)), (0, 1), "which the Rescaling"),
        (behind(layers.Resizing(5, 5), layers.Rescaling(2.0, -1.0)), (0, 1), "which the Rescaling"),
        (behind(layers.ZeroPadding2D(), layers.Rescaling(2.0, -1.0)), (0, 1), "which the Rescaling"),
        (behind(layers.Rescaling(2.0, -1.0), layers.ZeroPadding2D()), (0, 1), "which the Rescaling"),
        (behind(layers.BatchNormalization()), (0, 255), STAY),
        (behind(trained_norm(0.45, 0.05)), (0, 1), "which the BatchNormalization"),
        (behind(trained_norm(120.0, 3600.0)), (0, 255), ""),
        (behind(layers.Rescaling(1 / 255), ops.sqrt), (0, 255), ""),
        (behind(lambda x: x + layers.Conv2D(3, 3, padding="same")(x)), (0, 255), STAY),
        (behind(lambda x: ops.cast(x, "float32") / 255, dtype="uint8"), (0, 255), ""),
    ],
)
def test_the_range_of_pixels_is_what_the_preprocessing_takes(
    there: pathlib.Path, model: keras.Model, range_: tuple[int, int], said: str
) -> None:
    pixels, note = pixels_of(None, model, IMAGES)
    x, _ = samples(IMAGES, model, pixels)
    expected, _ = samples(IMAGES, model, range_)
    np.testing.assert_allclose(x, expected, atol=1e-5)
    assert (said in note) if said else note == ""
    assert pixels_of((-1.0, 1.0), model, IMAGES) == ((-1.0, 1.0), "")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (normalized(-40.0, 1.0), "the Normalization at the model's input is made for pixels neither from 0 to 255 nor"),
        (behind(layers.Rescaling(0.5, 0.5)), "the Rescaling at the model's input is made for pixels neither"),
        (
            behind(ops.sqrt),
            "what pixels the sqrt at the model's input is made for, from 0 to 255 or others, is unknown",
        ),
        (behind(layers.LayerNormalization()), "what pixels the LayerNormalization at the model's input is made for"),
        (behind(lambda x: 2.0 * ops.sqrt(x)), "the sqrt at the model's input"),
    ],
)
def test_a_range_that_nothing_tells_is_asked_for(there: pathlib.Path, model: keras.Model, expected: str) -> None:
    with pytest.raises(ValueError, match=r"--range LOW HIGH says what the model takes them as") as raised:
        pixels_of(None, model, IMAGES)
    assert expected.lower() in str(raised.value).lower()
    assert pixels_of(None, model, [pathlib.Path("batch.npy")]) == (None, "")


def test_what_is_assumed_of_pixels_is_told_in_one_line(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("rgb.keras", "images/wide.png", "-o", there / "out.npy") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kerasexplain: pixels stay 0 to 255")
    assert explain("rgb.keras", "images/wide.png", "-o", there / "out.npy", "--range", "0", "255") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_integers_of_every_kind_are_pixels(there: pathlib.Path, dtype: str, kind: str) -> None:
    x = np.random.default_rng(0).integers(0, 256, (2, 8, 6, 3))
    path = there / f"integers.{kind}"
    np.save(path, x.astype(dtype)) if kind == "npy" else np.savez(path, x=x.astype(dtype))
    model = behind(layers.Rescaling(2.0, -1.0))
    pixels, note = pixels_of(None, model, [path])
    assert "0 to 1" in note
    np.testing.assert_allclose(samples([path], model, pixels)[0], x / 255, atol=1e-6)
    np.save(there / "bool.npy", x > 100)
    assert pixels_of(None, model, [there / "bool.npy"]) == (None, "")


def test_data_that_an_analyzer_is_fitted_to_are_pixels_too(
    there: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    behind(layers.Rescaling(2.0, -1.0)).save(there / "model.keras")
    np.save(there / "x.npy", np.random.default_rng(0).uniform(size=(1, 8, 6, 3)).astype("float32"))
    arguments = (there / "model.keras", there / "x.npy", "--fit", "images", "-o", there / "out.npy")
    assert explain(*arguments, analyzer="pattern.net") == 0
    assert "pixels are taken as 0 to 1" in capsys.readouterr().err
    guessed = np.load(there / "out.npy")
    assert explain(*arguments, "--range", "0", "1", analyzer="pattern.net") == 0
    np.testing.assert_array_equal(np.load(there / "out.npy"), guessed)


def test_integers_of_a_table_are_no_pixels(there: pathlib.Path) -> None:
    np.save(there / "table.npy", np.arange(10).reshape(2, 5))
    inputs = keras.Input((5,))
    table = keras.Model(inputs, layers.Dense(2)(layers.Normalization(axis=None, mean=0.5, variance=0.05)(inputs)))
    assert pixels_of(None, table, [there / "table.npy"]) == (None, "")


def test_integers_that_are_no_bytes_are_not_scaled_in_silence(
    there: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(there / "deep.npy", np.full((1, 8, 6, 1), 4000))
    assert explain("grey.keras", there / "deep.npy", "-o", there / "out.npy", "--range", "0", "1") == 2
    assert "holds integers from 4000 to 4000, and pixels are from 0 to 255" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["5 5", "1 0", "nan 1", "0 inf"])
def test_a_range_has_its_lower_end_first(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["explain", "rgb.keras", "images", "--range", *given.split(), "-o", "out.npy"])
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"argument --range: LOW must be a number below HIGH, got {given}" in line
