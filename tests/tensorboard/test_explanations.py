"""Explanations as events, without a callback."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import pytest
from helpers.events import Run
from keras import layers

from kerasexplain import Explanation, create_analyzer
from kerasexplain.callbacks import RelevanceLogger
from kerasexplain.cli.command import main
from kerasexplain.tensorboard.explanations import ExplanationLog
from kerasexplain.tensorboard.writer import Writer


def test_channels_first(tmp_path: pathlib.Path) -> None:
    images, relevance = np.random.default_rng(0).random((2, 4, 3, 8, 9))
    log, found = ExplanationLog(images), explanation_of(relevance)
    with Writer(tmp_path) as writer:
        log.write(writer, "a", found, 0)
        log.write_images(writer, "a", found, 0)
    run = Run.of(tmp_path)
    np.testing.assert_array_equal(run.section("a", "input"), np.moveaxis(relevance, 1, -1))
    np.testing.assert_array_equal(run.section("samples", "input"), np.moveaxis(images, 1, -1))
    width, height, *_ = run.values("relevance/a")[0]
    assert int(width) > int(height) >= 96


@pytest.mark.parametrize(
    ("shape", "tag", "size"),
    [
        ((2, 7), "relevance/a", (7 * 96, 96)),  # a table: a cell for every feature
        ((2, 300), "relevance/a", (600, 150)),
        ((2, 1), "relevance/a", (96, 96)),
        ((2, 100, 2), "relevance/a", (400, 96)),  # a signal: a row for every channel
        ((2, 9, 16, 12, 1), "relevance/a/plane 5 of 9", (3 * 72 + 2 * 4, 96)),
        ((2, 1, 9, 16, 12), "relevance/a/plane 5 of 9", (3 * 72 + 2 * 4, 96)),  # channels first
        ((2, 5, 16, 12, 7), "relevance/a/plane 3 of 5", (72, 96)),  # of seven channels relevance alone
    ],
)
def test_tables_signals_and_volumes_are_drawn(
    shape: tuple[int, ...], tag: str, size: tuple[int, int], tmp_path: pathlib.Path
) -> None:
    x, relevance = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    log, found = ExplanationLog(x), explanation_of(relevance)
    with Writer(tmp_path) as writer:
        log.write(writer, "a", found, 0)
        log.write_images(writer, "a", found, 0)
    run = Run.of(tmp_path)
    assert run.tags("images") == {tag}
    width, height, *pngs = run.values(tag)[0]
    assert (int(width), int(height), len(pngs)) == (*size, 2)
    moved = np.moveaxis(relevance, 1, -1) if shape[1] == 1 and len(shape) == 5 else relevance
    np.testing.assert_array_equal(run.section("a", "input"), moved)


def test_the_colours_of_a_table_and_of_the_plane_in_the_middle(tmp_path: pathlib.Path) -> None:
    """Red is for, blue against, white is zero: in the order of the features, and of no other plane."""
    (table,) = ExplanationLog(np.ones((1, 3))).images(explanation_of(np.array([[1.0, 0.0, -1.0]])))["input"]
    first, second, third = (table.getpixel((96 * i + 48, 48)) for i in range(3))
    assert first[0] > first[2]
    assert second == (255, 255, 255)
    assert third[0] < third[2]
    volume = np.zeros((1, 5, 4, 4, 1))
    volume[:, [0, 1, 3, 4]] = -1.0
    volume[:, 2, :2] = 1.0
    (strip,) = ExplanationLog(np.ones_like(volume)).images(explanation_of(volume))["input"]
    upper, lower = (strip.getpixel((96 + 4 + 48, y)) for y in (24, 72))
    assert upper[0] > upper[2]
    assert lower == (255, 255, 255)


@pytest.mark.parametrize(
    ("shape", "tag"), [((5,), "relevance/lrp.z"), ((12, 2), "relevance/lrp.z"), ((4, 3, 3, 1), "plane 3 of 4")]
)
def test_a_training_and_the_command_log_them(shape: tuple[int, ...], tag: str, tmp_path: pathlib.Path) -> None:
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(inputs)))
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype("float32")
    model.fit(x, np.ones((3, 2)), verbose=0, callbacks=[RelevanceLogger("lrp.z", x, log_dir=tmp_path / "fit")])
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    names = [str(tmp_path / name) for name in ("model.keras", "x.npy", "told")]
    assert main(["explain", *names[:2], "-a", "lrp.z", "--tensorboard", names[2]]) == 0
    expected = create_analyzer("lrp.z", model).analyze(x)
    for folder in ("fit", "told"):
        run = Run.of(tmp_path / folder / "relevance")
        np.testing.assert_allclose(run.section("lrp.z", "input"), expected, rtol=1e-4, atol=1e-6)
        (drawn,) = run.tags("images")
        assert drawn.endswith(tag)


def explanation_of(relevance: np.ndarray) -> Explanation:
    count = len(relevance)
    return Explanation(
        relevance, {}, {}, np.zeros((count, 2)), np.zeros(count, int), np.zeros(count), {"analyzer": "a"}
    )


def test_an_explanation_of_other_samples_is_refused(tmp_path: pathlib.Path) -> None:
    log = ExplanationLog(np.ones((3, 8, 8, 1)))
    with (
        Writer(tmp_path) as writer,
        pytest.raises(ValueError, match=r"has shape \(3, 8, 8, 1\), but what was explained"),
    ):
        log.write(writer, "a", explanation_of(np.ones((2, 8, 8, 1))), 0)


def test_features_have_names_and_a_regression_has_no_class(tmp_path: pathlib.Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.random.default_rng(0).normal(size=(4, 3)), columns=["age", "tax", "rooms"])
    inputs = keras.Input((3,))
    analyzer = create_analyzer("lrp.epsilon", keras.Model(inputs, layers.Dense(1)(inputs)))
    found = analyzer.explain(frame.to_numpy())
    for run, options in {"frame": {}, "given": {"feature_names": ["a", "b", "c"]}}.items():
        log = ExplanationLog(frame if run == "frame" else frame.to_numpy(), labels=np.array([3, 70, 1, 0]), **options)
        with Writer(tmp_path / run) as writer:
            log.write(writer, "a", found, 0)
    frames, given = (Run.of(tmp_path / run) for run in ("frame", "given"))
    assert frames.header("samples").features == {"input": ["age", "tax", "rooms"]}
    assert given.header("samples").features == {"input": ["a", "b", "c"]}
    assert frames.header("a").neuron == ["output"] * 4
    assert frames.header("a").target is None
    binary = ExplanationLog(frame, labels=np.array([0, 1, 1, 0]))
    with Writer(tmp_path / "binary") as writer:
        binary.write(writer, "a", found, 0)
    assert Run.of(tmp_path / "binary").header("a").target == [0, 1, 1, 0]
    with pytest.raises(ValueError, match="there are 2 feature_names for the 3 features of 'input'"):
        ExplanationLog(frame.to_numpy(), feature_names=["a", "b"])
    with pytest.raises(ValueError, match="feature_names are a list, or of several inputs a dict"):
        ExplanationLog({"x": frame, "y": frame}, feature_names=["a", "b", "c"])


def test_a_signal_is_logged_as_one(tmp_path: pathlib.Path) -> None:
    x = np.random.default_rng(0).normal(size=(2, 40, 3)).astype("float32")
    log = ExplanationLog(x, feature_names=["u", "v", "w"])
    with Writer(tmp_path) as writer:
        log.write(writer, "a", explanation_of(x), 0)
    header = Run.of(tmp_path).header("a")
    assert header.section("input").kind == "signal"
    assert header.section("input").shape == (40, 3)
