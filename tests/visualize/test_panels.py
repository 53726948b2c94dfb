"""A figure of all inputs: every input gets the picture of its kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("PIL")

from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from kerasexplain import visualize
from kerasexplain.visualize.panels import KINDS

pytestmark = pytest.mark.once("pictures are made of arrays")

SHAPES = {"table": (2, 5), "signal": (2, 40, 3), "image": (2, 8, 8, 3), "volume": (2, 4, 6, 6, 1)}


def kinds(figure: Figure) -> list[str]:
    """The kind of each panel, from top to bottom."""
    found = []
    for panel in figure.subfigs:
        ax = panel.axes[0]
        if any(isinstance(collection, LineCollection) for collection in ax.collections):
            found.append("signal")
        elif ax.images:
            found.append("volume" if ax.get_title().startswith("depth") else "image")
        else:
            found.append("text" if not ax.axison else "table")
    return found


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("with_input", [True, False])
def test_one_input_is_drawn_by_its_shape(kind: str, with_input: bool, rng: np.random.Generator) -> None:
    relevance = rng.normal(size=SHAPES[kind])
    assert kinds(visualize.figure(relevance, relevance if with_input else None, sample=1)) == [kind]


@pytest.mark.parametrize("kind", SHAPES)
def test_the_sample_that_was_asked_for_is_drawn(kind: str, rng: np.random.Generator) -> None:
    x, relevance = rng.normal(size=(2, *SHAPES[kind]))
    drawn, alone, first = (
        visualize.figure(R, values, sample=sample)._repr_png_()  # type: ignore[attr-defined]
        for R, values, sample in ((relevance, x, 1), (relevance[1:], x[1:], 0), (relevance, x, 0))
    )
    assert drawn == alone
    assert drawn != first


def test_several_inputs_are_drawn_each_by_its_own_shape(rng: np.random.Generator) -> None:
    relevance = {name: rng.normal(size=shape) for name, shape in SHAPES.items()} | {"words": rng.normal(size=(2, 3))}
    figure = visualize.figure(
        relevance, dict(relevance), tokens={"words": [["a", "b", "c"]] * 2}, title="output 3: 1.5"
    )
    assert kinds(figure) == list(KINDS)
    assert figure.get_suptitle() == "output 3: 1.5"
    figure.draw_without_rendering()


def test_inputs_of_one_feature_share_a_panel(rng: np.random.Generator) -> None:
    x = {"age": np.array([[41], [3]]), "lab": rng.normal(size=(2, 3)), "town": np.eye(2), "size": np.array([1.5, 2.5])}
    relevance = {name: np.full(np.shape(value), 0.5) for name, value in x.items()}
    figure = visualize.figure(relevance, x, names={"town": "town"})
    assert kinds(figure) == ["table", "table"]
    labels = [[label.get_text() for label in panel.axes[0].get_yticklabels()] for panel in figure.subfigs]
    assert labels[0] == ["town = column 0", "age = 41", "size = 1.5"]
    assert len(labels[1]) == 3
    assert figure.subfigs[1].axes[0].get_title() == "lab"


@pytest.mark.parametrize("second", [[1, 0, 0], [1, 1, 0]])
def test_flags_are_drawn_the_same_in_every_batch(second: list[int]) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is optional")
    flags = np.array([[0, 1, 0], second])
    relevance = {"flags": np.ones((2, 3)), "age": np.ones((2, 1))}
    for held in (flags, pandas.DataFrame(flags, columns=["smoker", "asthma", "obese"])):
        figure = visualize.figure(relevance, {"flags": held, "age": np.array([[41], [3]])})
        labels = [[label.get_text() for label in panel.axes[0].get_yticklabels()] for panel in figure.subfigs]
        assert [len(panel) for panel in labels] == [3, 1]
        assert labels[1] == ["age = 41"]
    assert labels[0] == ["smoker = 0", "asthma = 1", "obese = 0"]


def test_a_text_is_one_feature_though_its_code_has_several_columns() -> None:
    relevance = {"town": np.ones((2, 3)), "ecg": np.ones((2, 40, 2))}
    x = {"town": np.array([["Ulm"], ["Bonn"]]), "ecg": np.ones((2, 40, 2))}
    figure = visualize.figure(relevance, x)
    assert [label.get_text() for label in figure.subfigs[0].axes[0].get_yticklabels()] == ["town = Ulm"]
    (width,) = [patch.get_width() for patch in figure.subfigs[0].axes[0].patches]
    assert width == 3


def test_relevance_with_labels_is_joined_by_them() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is optional")
    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": [10.0, 20.0]})
    figure = visualize.figure(frame / 10, frame.loc[[1, 0], ["b", "a"]])
    assert [label.get_text() for label in figure.subfigs[0].axes[0].get_yticklabels()] == ["b = 10", "a = 1"]
    assert [patch.get_width() for patch in figure.subfigs[0].axes[0].patches] == [1.0, 0.1]


def test_images_of_many_channels_are_drawn_by_their_mean(rng: np.random.Generator) -> None:
    x = rng.random((1, 8, 8, 5))
    axes = visualize.figure(x, x).subfigs[0].axes[:3]
    assert [ax.get_title() for ax in axes] == ["input, mean of 5 channels", "relevance", "both"]
    expected = np.asarray(visualize.as_images(x.mean(axis=-1))[0])
    np.testing.assert_array_equal(axes[0].images[0].get_array(), expected)


def test_a_kind_can_be_told(rng: np.random.Generator) -> None:
    relevance = rng.normal(size=(1, 12, 12))
    assert kinds(visualize.figure(relevance)) == ["image"]
    assert kinds(visualize.figure(relevance, kinds="signal")) == ["signal"]
    assert kinds(visualize.figure([relevance, relevance], kinds={"input 1": "signal"})) == ["image", "signal"]
    with pytest.raises(ValueError, match="kinds must be one of 'table'"):
        visualize.figure(relevance, kinds="photograph")


def test_channels_may_come_first(rng: np.random.Generator) -> None:
    relevance = rng.normal(size=(1, 3, 8, 9))
    figure = visualize.figure(relevance, relevance)
    assert [np.asarray(ax.images[0].get_array()).shape for ax in figure.subfigs[0].axes[:3]] == [(8, 9, 3)] * 3
    expected = np.asarray(visualize.heatmap(relevance.sum(axis=1))[0])
    np.testing.assert_array_equal(figure.subfigs[0].axes[1].images[0].get_array(), expected)


def test_text_needs_its_words() -> None:
    ids = np.array([[3, 1, 2]])
    with pytest.raises(ValueError, match="input 'input' is text: pass tokens="):
        visualize.figure(np.ones((1, 3)), ids)
    assert kinds(visualize.figure(np.ones((1, 3)), ids, kinds="table")) == ["table"]
    figure = visualize.figure(np.ones((1, 3, 8)), ids, tokens=[["a", "rather", "good"]])
    assert [text.get_text() for text in figure.subfigs[0].axes[0].texts] == ["a", "rather", "good"]


def test_names_are_those_of_features_or_channels(rng: np.random.Generator) -> None:
    relevance = {"lab": rng.normal(size=(1, 2)), "ecg": rng.normal(size=(1, 40, 2))}
    figure = visualize.figure(relevance, names={"lab": ["K", "Na"], "ecg": ["II", "V1"]})
    labels = [{label.get_text() for label in panel.axes[0].get_yticklabels()} for panel in figure.subfigs]
    assert labels == [{"K", "Na"}, {"II", "V1"}]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"relevance": np.ones((1, 2, 2, 2, 2, 2))}, "there are pictures of tables"),
        ({"relevance": np.ones((1, 2)), "sample": 1}, "sample must be from 0 to 0"),
        ({"relevance": {"a": np.ones((1, 2)), "b": np.ones((1, 2))}, "names": ["x", "y"]}, "names must be a dict"),
        (
            {"relevance": {"age": np.ones((1, 2)), "b": np.ones((1, 2))}, "kinds": {"aeg": "table"}},
            "Did you mean 'age'",
        ),
        ({"relevance": {"a": np.ones((1, 2)), "b": np.ones((1, 2))}, "x": {"a": np.ones((1, 2))}}, "no entry .* 'b'"),
        ({"relevance": 3.0}, "it is one number"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        visualize.figure(**options)
