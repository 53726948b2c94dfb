"""Analyzers compared: the table, the rows, the images, and what is told before anything runs."""

from __future__ import annotations

import builtins
import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
from helpers.linear import convolutional, linear
from keras import layers

import kerasexplain
from kerasexplain import InputError, compare, create_analyzer
from kerasexplain.evaluation.comparison import Comparison
from kerasexplain.metrics import Completeness, Deletion, PointingGame, RegionPerturbation, Scores, Sparseness

COUNT = 5
NAMES = ["input_t_gradient", "gradient"]
METRICS = [RegionPerturbation(fill=0, size=2), Sparseness(), PointingGame()]


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = convolutional()
    model.name = "a <small> model"
    return model


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(COUNT, 6, 6, 2))


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    masks = np.zeros((COUNT, 6, 6, 1), "uint8")
    masks[:, 1:4, 2:5] = 1
    return masks


@pytest.fixture(scope="module")
def comparison(model: keras.Model, x: np.ndarray, masks: np.ndarray) -> Comparison:
    return compare(model, x, NAMES, METRICS, masks=masks)


def test_scores_are_those_of_the_metrics(comparison: Comparison, model: keras.Model, x: np.ndarray) -> None:
    analyzer = create_analyzer("gradient", model)
    for metric in METRICS[:2]:
        alone = metric(analyzer, x)
        np.testing.assert_allclose(comparison.scores("gradient", metric).values, alone.values)
    assert comparison.scores("gradient").metric == METRICS[0]
    np.testing.assert_array_equal(comparison.trials["gradient"].relevance, analyzer.analyze(x))
    assert comparison.trials["gradient"].config == analyzer.description
    np.testing.assert_allclose(comparison.samples.explained, np.asarray(model(x)).max(axis=1))
    np.testing.assert_array_equal(comparison.samples.target, np.asarray(model(x)).argmax(axis=1))


def test_controls_are_always_there(comparison: Comparison) -> None:
    assert set(comparison.names) == {*NAMES, "random", "edges"}
    assert comparison.skipped == {}
    means = [comparison.scores(name).mean for name in comparison.names]
    assert means == sorted(means, reverse=True)
    assert comparison.best() == comparison.names[0]
    assert set(comparison.shown(1)) == {next(n for n in comparison.names if n in NAMES), "random", "edges"}


def test_the_table(comparison: Comparison) -> None:
    text = str(comparison)
    assert "analyzers of a <small> model" in text
    for name in comparison.names:
        assert name in text
    assert f"{comparison.against('gradient', 'random').wins} of {COUNT}" in text
    assert "Neither direction is better: sparseness." in text
    assert "Lower is better" not in text
    assert repr(comparison) == f"<Comparison of 4 analyzers of a <small> model on {COUNT} samples>"
    markup = comparison.to_html()
    assert "a &lt;small&gt; model" in markup
    assert "<small>" not in markup
    assert comparison._repr_html_() == markup


def test_rows(comparison: Comparison) -> None:
    rows = comparison.rows()
    assert [(row["analyzer"], row["metric"]) for row in rows] == [
        (name, metric) for name in comparison.names for metric in comparison.metrics
    ]
    row = next(row for row in rows if row["analyzer"] == "gradient" and row["metric"] == "pointing_game")
    against = comparison.against("gradient", "random", "pointing_game")
    assert row["mean"] == comparison.scores("gradient", PointingGame()).mean
    assert (row["wins_against_random"], row["difference_to_random"]) == (against.wins, against.mean)
    assert all(row["low"] is None for row in rows if row["analyzer"] == "random")
    assert (
        next(row for row in rows if row["metric"] == "sparseness" and row["analyzer"] == "gradient")["defined"] == COUNT
    )


@pytest.mark.once("pandas alone")
def test_a_data_frame(comparison: Comparison) -> None:
    pandas = pytest.importorskip("pandas")
    pandas.testing.assert_frame_equal(comparison.to_dataframe(), pandas.DataFrame(comparison.rows()))


@pytest.mark.once("an import")
def test_without_pandas(comparison: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    known = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
        return known(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match="pip install pandas; rows"):
        comparison.to_dataframe()


@pytest.mark.once("matplotlib alone")
def test_images(comparison: Comparison, x: np.ndarray) -> None:
    figure = comparison.curves()
    (axes,) = figure.axes
    assert len(axes.lines) == 4
    steps, drawn = axes.lines[0].get_data()
    name = axes.get_legend().get_texts()[0].get_text()
    np.testing.assert_allclose(drawn, comparison.scores(name).curves["most"].mean(axis=0))
    np.testing.assert_allclose(steps[[0, -1]], [0, 100])
    assert len(comparison.curves(analyzers=["gradient"]).axes[0].lines) == 1
    image = comparison.to_image(images=np.zeros((COUNT, 6, 6, 3), "uint8"), analyzers=["gradient", "random"])
    assert image.width > image.height / COUNT
    for draw in (comparison.curves, comparison.to_image):
        with pytest.raises(KeyError, match="Did you mean 'gradient'"):
            draw(analyzers=["gradiend"])
    with pytest.raises(ValueError, match="'sparseness' has no curves"):
        comparison.curves("sparseness")


@pytest.mark.once("matplotlib alone")
def test_curves_that_are_not_defined(comparison: Comparison) -> None:
    trial = comparison.trials["gradient"]
    label = METRICS[0].label
    scores = trial.scores[label]
    curve = scores.curves["most"].copy()
    curve[:, 1], curve[1:, 2] = np.nan, np.nan
    holed = Scores(scores.metric, "gradient", scores.values, {}, {"most": curve}, scores.steps)
    trials = {"gradient": dataclasses.replace(trial, scores={label: holed})}
    line = dataclasses.replace(comparison, trials=trials).curves(METRICS[0]).axes[0].lines[0].get_ydata()
    assert np.isnan(line[1])
    assert line[2] == curve[0, 2]


def test_against_is_computed_once(comparison: Comparison) -> None:
    str(comparison)
    known = dict(comparison._paired)
    assert known
    str(comparison)
    assert all(comparison._paired[key] is value for key, value in known.items())


@pytest.mark.parametrize("samples", [None, 3])
def test_streams_are_gathered(model: keras.Model, x: np.ndarray, masks: np.ndarray, samples: int | None) -> None:
    parts = ((x[i : i + 2], masks[i : i + 2]) for i in (0, 2, 4))
    metrics = [RegionPerturbation(fill="mean", size=3), PointingGame()]
    found = compare(model, parts, "gradient", metrics, masks=lambda b: b[1], background=x, samples=samples)
    expected = compare(model, x, "gradient", metrics, masks=masks, samples=samples, batch_size=2)
    assert len(found.samples) == len(expected.samples) == (samples or COUNT)
    for metric in metrics:
        np.testing.assert_allclose(found.scores("gradient", metric).values, expected.scores("gradient", metric).values)


def test_analyzers_of_ones_own(model: keras.Model, x: np.ndarray) -> None:
    mine = create_analyzer("lrp", model, rule="Z")
    found = compare(model, x, {"mine": mine, "theirs": "gradient"}, Completeness())
    assert {"mine", "theirs"} < set(found.names)
    assert found.scores("mine").mean < 1e-9  # the biases of a new model are zero
    assert found.best() == "mine"
    assert set(compare(model, x, mine, METRICS[0]).names) == {"lrp", "random", "edges"}
    assert set(compare(model, x, [mine, "gradient"], METRICS[0], seconds=1e-9).names) == {"lrp", "random", "edges"}
    assert set(compare(model, x, [], METRICS[0]).names) == {"random", "edges"}


def test_what_is_skipped_has_a_reason(model: keras.Model, x: np.ndarray) -> None:
    found = compare(model, x, ["gradient", "deep_taylor.bounded"], METRICS[0], seconds=60)
    assert list(found.skipped) == ["deep_taylor.bounded"]
    assert "deep_taylor.bounded: " in str(found)
    with pytest.raises(KeyError, match="was skipped"):
        found.scores("deep_taylor.bounded")
    with pytest.raises(KeyError, match="was skipped"):
        found.to_image(analyzers=["deep_taylor.bounded"])
    quick = compare(model, x, "gradient", METRICS[0], seconds=1e-9)
    assert "its maps would take" in quick.skipped["gradient"]
    assert set(quick.names) == {"random", "edges"}


def test_methods_that_are_fitted(model: keras.Model, x: np.ndarray) -> None:
    assert "pattern.net" in compare(model, x, "pattern.net", METRICS[0]).names


def test_default_metrics(model: keras.Model, x: np.ndarray) -> None:
    found = compare(model, x, "gradient", samples=2)
    assert list(found.metrics) == ["region_perturbation", "region_perturbation(fill='blur')", "sparseness"]
    table = compare(linear(np.ones(4)), np.random.default_rng(0).normal(size=(3, 4)), "gradient")
    assert list(table.metrics)[:2] == ["region_perturbation(fill='mean')", "region_perturbation(fill='other')"]
    assert "edges" not in table.trials
    with pytest.raises(ValueError, match="maps are drawn beside images"):
        table.to_image()


@pytest.mark.formula
def test_ids(rng: np.random.Generator) -> None:
    model = keras.Sequential(
        [keras.Input((4,), dtype="int32"), layers.Embedding(9, 2), layers.Flatten(), layers.Dense(3)]
    )
    found = compare(model, rng.integers(0, 9, (4, 4)), ["input_t_gradient", "gradient"])
    assert list(found.metrics) == ["region_perturbation(fill='other')", "sparseness"]
    assert "input_t_gradient" in found.names


@pytest.mark.formula
def test_the_value_that_is_explained(x: np.ndarray) -> None:
    model = convolutional(activation="softmax")
    found = compare(model, x, "gradient", METRICS[0], explain="activation")
    np.testing.assert_allclose(found.samples.explained, np.asarray(model(x)).max(axis=1))
    np.testing.assert_allclose(found.scores("random").curves["most"][:, 0], found.samples.explained)
    of_logits = {"mine": create_analyzer("gradient", model)}
    with pytest.raises(InputError, match="'mine' is of another value than the one measured"):
        compare(model, x, of_logits, METRICS[0], explain="activation")


def test_one_sample(model: keras.Model, x: np.ndarray) -> None:
    found = compare(model, x[:1], "gradient", METRICS[0])
    assert str(found)
    assert found.against("gradient", "random").verdict == "unclear"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"analyzers": ["gradiant"]}, ValueError, "Did you mean 'gradient"),
        ({"analyzers": {"mine": "gradiant"}}, ValueError, "Did you mean 'gradient"),
        ({"analyzers": ["gradient", "gradient"]}, ValueError, "two analyzers are named 'gradient': pass a dict"),
        ({"analyzers": {"mine": None}}, TypeError, "analyzers are names, or analyzers as create_analyzer makes them"),
        ({"analyzers": [layers.ReLU()]}, TypeError, "analyzers are names, or analyzers as create_analyzer makes them"),
        ({"metrics": "sparseness"}, TypeError, "metrics are values such as"),
        ({"metrics": [RegionPerturbation]}, TypeError, r"is a class: pass RegionPerturbation\(\)"),
        ({"metrics": RegionPerturbation}, TypeError, r"is a class: pass RegionPerturbation\(\)"),
        ({"metrics": []}, ValueError, "there is no metric"),
        ({"metrics": [Sparseness(), Sparseness()]}, ValueError, "two metrics are the same"),
        ({"metrics": [PointingGame()]}, ValueError, "'pointing_game' compares maps with masks"),
        ({"metrics": [RegionPerturbation(steps=500)]}, InputError, "has 36 steps of 1; steps=500"),
        ({"masks": np.ones((COUNT, 6, 5))}, InputError, "one truth value for each position"),
        ({"masks": np.ones((COUNT - 1, 6, 6))}, InputError, "masks has 4 entries for 5 samples"),
        ({"background": np.ones((2, 6, 6, 3))}, InputError, "got"),
        ({"samples": 0}, ValueError, "samples must be"),
        ({"seconds": -1}, ValueError, "seconds must be greater than 0"),
        ({"target": 7}, IndexError, "7"),
        ({"rule": "Z"}, ValueError, "there is no option 'rule' that holds for all analyzers"),
        ({"explian": "activation"}, ValueError, "Did you mean 'explain'"),
    ],
)
def test_what_is_wrong_is_told_at_once(
    model: keras.Model, x: np.ndarray, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        compare(model, x, **{"analyzers": "gradient", "metrics": METRICS[0], **arguments})


@pytest.mark.once("before anything runs")
def test_other_models(model: keras.Model, x: np.ndarray) -> None:
    other = create_analyzer("gradient", convolutional())
    with pytest.raises(ValueError, match="'gradient' is an analyzer of another model, 'small'"):
        compare(model, x, other, METRICS[0])
    with pytest.raises(TypeError, match="compare takes a Keras model and data, got Analyzer"):
        compare(other, x)
    with pytest.raises(InputError):
        compare(model, x[:0], "gradient")
    assert kerasexplain.compare is compare


@pytest.mark.once("before anything runs")
def test_names_that_are_not_there(comparison: Comparison) -> None:
    with pytest.raises(KeyError, match="no analyzer 'gradiant'"):
        comparison.scores("gradiant")
    with pytest.raises(KeyError, match="no metric 'deletion'"):
        comparison.scores("gradient", Deletion())
    with pytest.raises(ValueError, match="no score of 'sparseness' is better"):
        comparison.best("sparseness")
    assert comparison.scores("gradient", "region_perturbation").metric == METRICS[0]


def test_an_analyzer_that_fails_is_skipped(model: keras.Model, x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that was made on purpose, and whatever it raises: the others are not lost."""

    def failing(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of something")

    mine = create_analyzer("gradient", model)
    monkeypatch.setattr(mine, "explain", failing)
    found = compare(model, x, {"mine": mine, "other": "gradient"}, METRICS[0])
    assert found.skipped == {"mine": "RuntimeError: out of something"}
    assert set(found.names) == {"other", "random", "edges"}


def test_the_whole_catalogue_on_a_table() -> None:
    """Where edges are not, they are skipped."""
    x = np.random.default_rng(0).normal(size=(3, 4))
    found = compare(linear(np.ones(4)), x, ["edges", "gradient"])
    assert list(found.skipped) == ["edges"]
    assert {"gradient", "random"} <= set(found.names)
