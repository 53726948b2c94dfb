"""Images: colours mean what they should, and what is no image is refused."""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("PIL")

from PIL import Image

from kerasexplain import Explanation, visualize

pytestmark = pytest.mark.once("images are made of arrays")


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def one(*rows: list[float]) -> np.ndarray:
    return np.asarray([rows], "float32")


def test_zero_is_exactly_white_and_signs_are_red_and_blue() -> None:
    ((positive, zero, negative),) = pixels(visualize.heatmap(one([2.0, 0.0, -2.0]))[0])
    assert zero.tolist() == [255, 255, 255]
    assert positive[0] > positive[2] + 50
    assert negative[2] > negative[0] + 50


def test_the_range_is_symmetric() -> None:
    # The largest is 4: -1 is at 3/8 of the map, not at its lower end.
    ((_, weak),) = pixels(visualize.heatmap(one([4.0, -1.0]))[0])
    ((_, strong),) = pixels(visualize.heatmap(one([4.0, -4.0]))[0])
    assert weak.sum() > strong.sum() + 200


def test_each_sample_has_its_own_range_unless_a_scale_is_given() -> None:
    relevance = np.asarray([[[1.0, 0.5]], [[100.0, 50.0]]])
    assert (pixels(visualize.heatmap(relevance)[0]) == pixels(visualize.heatmap(relevance)[1])).all()
    weak, strong = visualize.heatmap(relevance, scale=100.0)
    assert pixels(weak).min() > 240
    assert (pixels(strong) == pixels(visualize.heatmap(relevance)[1])).all()


def test_a_percentile_keeps_outliers_from_bleaching_the_rest(rng: np.random.Generator) -> None:
    relevance = rng.normal(size=(1, 20, 20))
    relevance[0, 0, 0] = 1e6
    assert pixels(visualize.heatmap(relevance)[0])[1:].min() > 250
    assert pixels(visualize.heatmap(relevance, percentile=99)[0])[1:].min() < 50


def test_one_strong_pixel_does_not_bleach_a_photograph_and_a_small_map_is_exact(rng: np.random.Generator) -> None:
    large = rng.uniform(-1, 1, size=(1, 100, 100))
    large[0, 50, 50] = 1e6
    shown = pixels(visualize.heatmap(large)[0])
    assert (shown == pixels(visualize.heatmap(large, percentile=99.5)[0])).all()
    assert shown.min() < 50
    small = large[:, :99, :]
    assert (pixels(visualize.heatmap(small)[0]) == pixels(visualize.heatmap(small, percentile=100)[0])).all()


def test_a_percentile_of_a_map_that_is_mostly_zero_shows_what_there_is() -> None:
    relevance = np.zeros((1, 10, 10))
    relevance[0, 5, 5] = 3.0
    image = pixels(visualize.heatmap(relevance, percentile=50)[0])
    assert image[5, 5].tolist() == pixels(visualize.heatmap(one([1.0]))[0])[0, 0].tolist()
    assert (image.sum(axis=-1) < 765).sum() == 1


def test_a_map_of_zeros_is_white_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (image,) = visualize.heatmap(np.zeros((1, 4, 5, 3)))
    assert image.size == (5, 4)
    assert (pixels(image) == 255).all()


@pytest.mark.parametrize("largest", [1e-300, 1e300])
def test_relevance_of_any_size_is_shown(largest: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (image,) = visualize.heatmap(np.asarray([[[largest, 0.0, -largest]]]))
    assert (pixels(image) == pixels(visualize.heatmap(one([1.0, 0.0, -1.0]))[0])).all()


def test_channels_are_summed(rng: np.random.Generator) -> None:
    relevance = rng.normal(size=(2, 4, 5, 3))
    for summed, image in zip(visualize.heatmap(relevance.sum(-1)), visualize.heatmap(relevance), strict=True):
        assert (pixels(summed) == pixels(image)).all()


@pytest.mark.parametrize(
    ("relevance", "expected"),
    [
        (np.zeros((2, 10)), r"got shape \(2, 10\)"),
        (np.zeros(10), r"got shape \(10,\)"),
        (np.zeros((1, 2, 3, 4, 5)), "got shape"),
        (np.zeros((4, 100, 1)), "signals of one dimension"),
        (np.zeros((224, 224, 3)), "one image without its first axis"),
        (np.zeros((0, 4, 4)), "empty"),
        (np.full((1, 2, 2), np.nan), "NaN or infinite"),
        (np.full((1, 2, 2), np.inf), "NaN or infinite"),
        (np.asarray(["a", "text"]), "real numbers"),
        (np.zeros((1, 2, 2), complex), "real numbers"),
        ([np.zeros((1, 4, 4)), np.zeros((1, 5))], "different shapes"),
        ({"a": np.zeros((1, 4, 4))}, r"dict with \['a'\]"),
    ],
)
def test_what_is_no_image_is_refused(relevance: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=expected) as raised:
        visualize.heatmap(relevance)
    assert "relevance" in str(raised.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [("scale", 0.0), ("scale", -1.0), ("scale", np.nan), ("percentile", 0), ("percentile", 101), ("cmap", "no map")],
)
def test_an_option_without_a_legal_value_is_refused(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=option if option != "cmap" else "no map"):
        visualize.heatmap(one([1.0]), **{option: value})


def test_inputs_are_not_changed(rng: np.random.Generator) -> None:
    images, relevance = rng.uniform(size=(2, 6, 6, 3)), rng.normal(size=(2, 6, 6, 3))
    before = images.copy(), relevance.copy()
    visualize.heatmap(relevance)
    visualize.overlay(images, relevance)
    visualize.grid(images, {"lrp.z": relevance})
    assert (images == before[0]).all()
    assert (relevance == before[1]).all()


def test_an_overlay_hides_the_image_only_where_there_is_relevance() -> None:
    image = np.full((1, 1, 3, 3), (200, 100, 50), np.uint8)
    relevance = one([0.0, 0.5, 1.0])
    (coloured,) = visualize.overlay(image, relevance, grey=False)
    (grey,) = visualize.overlay(image, relevance)
    assert pixels(coloured)[0, 0].tolist() == [200, 100, 50]
    assert len(set(pixels(grey)[0, 0].tolist())) == 1
    strongest = pixels(visualize.heatmap(relevance)[0])[0, 2].tolist()
    assert pixels(coloured)[0, 2].tolist() == pixels(grey)[0, 2].tolist() == strongest


@pytest.mark.parametrize("shape", [(2, 4, 5), (1, 4, 4), (1, 5, 4)])
def test_an_overlay_refuses_relevance_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        visualize.overlay(np.zeros((1, 4, 5, 3)), np.zeros(shape))


@pytest.mark.parametrize(
    ("images", "black", "white"),
    [
        (np.asarray([[[0, 255]]], np.uint8), 0, 255),
        (np.asarray([[[0.0, 1.0]]]), 0, 255),
        (np.asarray([[[-1.0, 1.0]]]), 0, 255),
        (np.asarray([[[0.0, 16.0]]]), 0, 255),
        (np.asarray([[[0.25, 0.75]]]), 64, 191),
        (np.asarray([[[5.0, 5.0]]]), 0, 0),
    ],
)
def test_images_are_shown_in_their_range(images: np.ndarray, black: int, white: int) -> None:
    (shown,) = visualize.overlay(images, np.zeros((1, 1, 2)))
    assert pixels(shown)[0, :, 0].tolist() == [black, white]


def test_images_have_channels_that_can_be_shown() -> None:
    with pytest.raises(ValueError, match="1, 3 or 4 channels"):
        visualize.overlay(np.zeros((1, 5, 5, 2)), np.zeros((1, 5, 5)))


def test_a_strip_enlarges_small_images_by_an_integer_factor() -> None:
    images = visualize.heatmap(np.asarray([np.eye(8), -np.eye(8)]))
    image = visualize.strip(images, smallest=20, gap=2)
    assert image.size == (24 + 2 + 24, 24)
    assert (pixels(image)[::3, :24:3] == pixels(images[0])).all()
    assert visualize.strip(images, smallest=1).size == (8 + 4 + 8, 8)
    with pytest.raises(ValueError, match="no image"):
        visualize.strip([])
    with pytest.raises(ValueError, match=r"takes Pillow images: make them of relevance by visualize\.heatmap"):
        visualize.strip(np.zeros((2, 8, 8)))


def explanation(relevance: Any) -> Explanation:
    return Explanation(relevance, {}, {}, output=None, neuron=None, explained=np.zeros(1), analyzer={})


def test_an_explanation_is_an_image() -> None:
    image = explanation(np.ones((3, 8, 8, 1))).to_image(scale=2.0)
    assert image.size == (3 * 96 + 2 * 4, 96)


def test_an_explanation_of_text_is_none() -> None:
    with pytest.raises(ValueError, match="must be that of images"):
        explanation(np.ones((3, 20))).to_image()


@pytest.mark.parametrize("package", ["matplotlib", "PIL"])
def test_a_missing_package_is_told_with_what_to_install(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("kerasexplain.visualize")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r'pip install "kerasexplain\[viz\]"'):
        importlib.import_module("kerasexplain.visualize")


def test_channels_may_come_first_in_images_and_in_the_relevance_over_them(rng: np.random.Generator) -> None:
    images = rng.random((2, 12, 16, 3))
    relevance = rng.normal(size=(2, 12, 16, 3))
    first = np.moveaxis(images, -1, 1), np.moveaxis(relevance, -1, 1)
    for one, other in zip(visualize.overlay(images, relevance), visualize.overlay(*first), strict=True):
        np.testing.assert_array_equal(pixels(one), pixels(other))


def test_to_image_finds_channels_that_come_first(rng: np.random.Generator) -> None:
    relevance = rng.normal(size=(1, 3, 16, 16))
    found = Explanation(relevance, {}, {}, np.ones((1, 2)), np.zeros(1, int), np.ones(1), {"analyzer": "lrp.epsilon"})
    expected = visualize.strip(visualize.heatmap(np.moveaxis(relevance, 1, -1)))
    np.testing.assert_array_equal(pixels(visualize.heatmap(relevance)[0]).shape, (16, 16, 3))
    assert visualize.heatmap(np.ones((1, 4, 4, 64)))[0].size == (4, 4)  # of an inner layer
    np.testing.assert_array_equal(pixels(found.to_image()), pixels(expected))


def test_one_pixel_far_from_all_others_darkens_neither_its_image_nor_the_others() -> None:
    images = np.full((3, 20, 20, 3), 0.5)
    images[:, :, 10:] = 0.7
    images[0, 0, 0] = 50
    drawn = [pixels(image) for image in visualize.as_images(images)]
    assert drawn[2][5, 5].tolist() == [128, 128, 128]
    assert drawn[0][5, 15].min() - drawn[0][5, 5].max() > 100
    images = np.random.default_rng(0).normal(size=(1, 20, 20, 1))  # standardised, and without outliers: all of it shows
    (image,) = visualize.as_images(images)
    assert (pixels(image).min(), pixels(image).max()) == (0, 255)
