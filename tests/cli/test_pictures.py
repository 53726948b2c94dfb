"""Pictures that the command reads and draws: images of all kinds, and data that are none."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import pytest
from keras import layers

pytest.importorskip("matplotlib")

from PIL import Image

from kerasexplain.cli.reading import samples
from tests.helpers.commands import explain, model

pytestmark = pytest.mark.once("the command is the same whatever computes")


def save_network(path: pathlib.Path, *shape: int) -> None:
    inputs = keras.Input(shape)
    keras.Model(inputs, layers.Dense(2)(layers.Flatten()(inputs))).save(path)


@pytest.mark.parametrize("shape", [(5,), (64, 2), (8, 6, 2), (3, 8, 6), (3, 4, 5, 1), (1,)])
def test_data_of_any_kind_are_drawn(there: pathlib.Path, shape: tuple[int, ...]) -> None:
    save_network(there / "model.keras", *shape)
    np.save(there / "x.npy", np.random.default_rng(0).normal(size=(3, *shape)).astype("float32"))
    sizes = []
    for name in ("all.png", "pictures"):
        assert explain(there / "model.keras", there / "x.npy", "-o", there / name) == 0
    for path in sorted((there / "pictures").iterdir()):
        with Image.open(path) as image:
            sizes.append(image.size)
            assert np.ptp(np.asarray(image)) > 100
    assert len(sizes) == 3
    with Image.open(there / "all.png") as image:
        assert image.width == max(width for width, _ in sizes)
        assert image.height > 2.5 * min(height for _, height in sizes)


def test_several_inputs_are_drawn(there: pathlib.Path) -> None:
    assert explain("two.keras", "two.npz", "-o", there / "all.png") == 0
    assert explain("two.keras", "two.npz", "-o", there / "pictures") == 0
    assert sorted(path.name for path in (there / "pictures").iterdir()) == [f"two-{i}.png" for i in range(4)]
    with Image.open(there / "all.png") as image, Image.open(there / "pictures" / "two-0.png") as one:
        assert image.height > 3 * one.height


def test_ids_are_drawn_by_position(there: pathlib.Path) -> None:
    inputs = keras.Input((7,), dtype="int32")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(9, 3)(inputs))
    keras.Model(inputs, layers.Dense(2)(x)).save(there / "text.keras")
    np.save(there / "ids.npy", np.arange(14, dtype="int32").reshape(2, 7) % 9)
    assert explain(there / "text.keras", there / "ids.npy", "-o", there / "out.png") == 0
    assert (there / "out.png").exists()


def test_where_nothing_can_be_drawn_no_folder_is_left(there: pathlib.Path) -> None:
    assert explain("deep.keras", "deep.npy", "-o", there / "pictures") == 2
    assert explain("grey.keras", "bad.npy", "-o", there / "pictures") == 2
    assert list(there.iterdir()) == []


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_lies_on_white(there: pathlib.Path, capsys: pytest.CaptureFixture[str], mode: str) -> None:
    logo = np.zeros((8, 6, 4), np.uint8)  # black all over, and seen in the middle
    logo[2:6, 2:4, 3] = 255
    expected = np.where(logo[..., 3:] == 255, 0, 255)
    for name in ("one.png", "two.png"):
        image = Image.fromarray(logo, "RGBA")
        image = image.quantize() if mode == "P" else image.convert(mode)
        image.save(there / name)
    arguments = ("rgb.keras", there / "one.png", there / "two.png", "-o", there / "out.npy")
    assert explain(*arguments, "--range", "0", "255") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "kerasexplain: warning: images that are transparent in parts are shown to the model on white"
    with pytest.warns(UserWarning, match="on white"):
        x, _ = samples([there / "one.png"], model("rgb.keras"))
    np.testing.assert_array_equal(x[0], np.broadcast_to(expected, (8, 6, 3)))


def test_what_has_an_opaque_ground_is_read_as_it_is(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 4), np.uint8)
    pixels[..., 3] = 255
    Image.fromarray(pixels, "RGBA").save(there / "opaque.png")
    assert explain("rgb.keras", there / "opaque.png", "-o", there / "out.npy", "--range", "0", "255") == 0
    assert capsys.readouterr().err == ""
    np.testing.assert_array_equal(samples([there / "opaque.png"], model("rgb.keras"))[0][0], pixels[..., :3])


def test_a_model_of_four_channels_sees_transparency(there: pathlib.Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6, 4), np.uint8)
    Image.fromarray(pixels, "RGBA").save(there / "logo.png")
    save_network(there / "model.keras", 8, 6, 4)
    x, _ = samples([there / "logo.png"], model(str(there / "model.keras")))
    np.testing.assert_array_equal(x[0], pixels)


def test_of_a_folder_all_images_are_read_and_what_is_none_is_told(
    there: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = there / "photos"
    (photos / "more").mkdir(parents=True)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8))
    suffixes = ("png", "jpg", "bmp", "gif", "webp", "tif", "TIFF", "ppm")
    for suffix in suffixes:
        image.save(photos / f"{suffix}.{suffix}")
    for name in (".x.png", "._x.png", "notes.txt"):
        (photos / name).write_text("no image")
    assert explain("rgb.keras", photos, "-o", there / "out.npz", "--range", "0", "255") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("photos', as no images: 'more', 'notes.txt' (2)")
    with np.load(there / "out.npz") as written:
        assert sorted(written["names"]) == sorted(suffixes)
    assert explain("rgb.keras", photos, "-o", there / "out.h5", "--resume", "--range", "0", "255") == 0
