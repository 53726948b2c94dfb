"""Grids of images have a cell per sample and analyzer."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("PIL")

from matplotlib.colorbar import Colorbar
from PIL import Image

from kerasexplain import visualize

pytestmark = pytest.mark.once("images are made of arrays")


def test_a_grid_has_a_cell_per_sample_and_analyzer(rng: np.random.Generator) -> None:
    images, relevance = rng.uniform(size=(3, 8, 8, 1)), rng.normal(size=(3, 8, 8, 1))
    relevances = {"gradient": relevance, "lrp.epsilon_alpha2_beta1": -relevance}
    image = visualize.grid(images, relevances, labels=["three", "four", "five"], cell=0.5, dpi=100)
    assert isinstance(image, Image.Image)
    assert 3 * 50 < image.width < 3 * 50 + 150  # the cells, and room for writing
    assert 3 * 50 < image.height < 3 * 50 + 200
    assert visualize.grid(images, {}, cell=0.5).width < image.width
    assert visualize.grid(images, relevances, over=True, scale=2.0, cell=0.5).size[0] > 100


def test_a_grid_takes_pillow_images() -> None:
    images = visualize.heatmap(np.zeros((2, 8, 8)))
    assert visualize.grid(images, {"lrp.z": np.zeros((2, 8, 8))}, cell=0.5).width > 100


def test_a_grid_refuses_what_does_not_fit() -> None:
    images = np.zeros((2, 8, 8))
    with pytest.raises(ValueError, match="2 images, but 1 labels"):
        visualize.grid(images, {}, labels=["one"])
    with pytest.raises(ValueError, match=r"2 images, but 3 maps under 'lrp\.z'"):
        visualize.grid(images, {"lrp.z": np.zeros((3, 8, 8))})
    with pytest.raises(TypeError, match=r"such as \{'lrp\.epsilon': relevance\}; got ndarray"):
        visualize.grid(images, images)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sizes", "said"),
    [((8, 8), "largest |relevance|"), ((100, 100), "99.5th percentile of |relevance|"), ((8, 100), "limit")],
)
def test_the_bar_says_which_relevance_has_the_full_colour(
    sizes: tuple[int, int], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = []
    monkeypatch.setattr(Colorbar, "set_label", lambda self, label, **look: labels.append(label))
    visualize.grid(np.zeros((1, 8, 8)), {str(i): np.ones((1, size, size)) for i, size in enumerate(sizes)}, cell=0.5)
    assert labels[-1] == f"each map up to its own {said}"


def test_many_rows_are_refused_and_wide_images_are_no_wider_than_a_page() -> None:
    maps = np.ones((101, 4, 4))
    with pytest.raises(ValueError, match="a grid has at most 100 rows, and there are 101 images"):
        visualize.grid(maps, {"lrp.epsilon": maps})
    wide = np.ones((1, 4, 200))
    assert visualize.grid(wide, {"lrp.epsilon": wide}).width < 2500
