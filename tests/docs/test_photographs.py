"""The example on photographs: real networks see what is there, and look at it."""

from __future__ import annotations

import pathlib
from types import ModuleType

import numpy as np
import pytest
from helpers.scripts import script

pytest.importorskip("matplotlib")

from PIL import Image

pytestmark = pytest.mark.once("an example that trains for long")

NAMES = {"chelsea": "tiger cat", "coffee": "espresso", "coral_parrot": "macaw", "coral_hot_dog": "hotdog"}
FRAME = 20  # pixels of 224


@pytest.fixture(scope="session")
def example() -> ModuleType:
    return script("examples/photographs.py")


def test_photographs_are_read_from_folders_and_arrays(example: ModuleType, tmp_path: pathlib.Path) -> None:
    photo = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    Image.fromarray(photo).save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("no image")
    np.savez(tmp_path / "photos.npz", b=photo)
    assert list(example.photographs(tmp_path)) == ["a"]
    from_arrays = example.photographs(tmp_path / "photos.npz")
    assert (np.asarray(from_arrays["b"]) == photo).all()


def test_the_photographs_of_scikit_image_are_the_default(example: ModuleType) -> None:
    pytest.importorskip("skimage")
    assert list(example.photographs(None)) == ["chelsea", "coffee"]


def test_the_centre_is_cut_out_without_resampling(example: ModuleType, rng: np.random.Generator) -> None:
    photo = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    expected = photo[16:240, 16:240] / np.float32(127.5) - 1
    np.testing.assert_allclose(example.centre(Image.fromarray(photo), (224, 224)), expected, atol=1e-6)


@pytest.mark.slow("a large network")
def test_the_network_looks_at_what_it_names(
    example: ModuleType, reference_networks: ModuleType, reference_data: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    model, _ = reference_networks.build("imagenet_mobilenetv2_224")
    nets = reference_data / "nets"
    photos = {name: example.photographs(nets / "photos256.npz")[name] for name in NAMES}
    labels = (nets / "imagenet_labels_1001.txt").read_text().splitlines()
    titles, _, relevance = example.explain(model, photos, labels)
    assert [title.split("\n")[0] for title in titles] == list(NAMES.values())

    border = np.ones((224, 224), bool)
    border[FRAME:-FRAME, FRAME:-FRAME] = False
    for name in ("lrp.epsilon_plus", "lrp.epsilon_gamma_box"):
        strength = np.abs(relevance[name].sum(axis=-1))
        on_border = strength[:, border].sum(axis=1) / strength.sum(axis=(1, 2))
        # The parrot's head and tail are in the frame; the others are all inside.
        assert (on_border[[0, 1, 3]] < 0.75 * border.mean()).all(), (name, on_border)
    for name, values in relevance.items():
        assert np.isfinite(values).all(), name


@pytest.mark.slow("a large network")
def test_the_gallery_is_written(
    example: ModuleType,
    reference_networks: ModuleType,
    reference_data: pathlib.Path,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reference_networks.build("imagenet_mobilenetv2_224")[0].save(tmp_path / "model.keras")
    nets = reference_data / "nets"
    example.main(
        [
            *("--model", str(tmp_path / "model.keras"), "--photos", str(nets / "photos256.npz")),
            *("--labels", str(nets / "imagenet_labels_1001.txt"), "--only", "coffee"),
            *("-o", str(tmp_path / "gallery.png")),
        ]
    )
    assert "espresso, logit" in capsys.readouterr().out
    with Image.open(tmp_path / "gallery.png") as image:
        assert image.width > 5 * 220
