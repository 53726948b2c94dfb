"""`choose`: the search is seeded, honest about what it found, and its result is an ordinary analyzer."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import kerasexplain
from kerasexplain import InputError, create_analyzer, load_analyzer
from kerasexplain.compiler.options import Options
from kerasexplain.evaluation.choice.candidates import Candidate, candidates
from kerasexplain.evaluation.choice.choice import Choice, measures
from kerasexplain.evaluation.choice.halving import LADDER, Tried, _thrifty, plan, rounds
from kerasexplain.evaluation.trials import Samples
from kerasexplain.metrics.scores import paired
from kerasexplain.metrics.value import ExplainedValue

pytestmark = pytest.mark.formula


def network() -> keras.Model:
    """A small CNN."""
    inputs = keras.Input((6, 6, 1))
    x = layers.Conv2D(3, 3, activation="relu")(inputs)
    x = layers.Conv2D(4, 3, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


def images(count: int = 9) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, 6, 6, 1)).astype("float32")


@pytest.fixture(scope="module")
def choice() -> Choice:
    return kerasexplain.choose(network(), images(), trials=6, seed=3)


def test_the_choice_is_an_analyzer_that_can_be_saved(choice: Any, tmp_path: pathlib.Path) -> None:
    model = choice.analyzer.model
    choice.analyzer.save(tmp_path / "analyzer.json")
    again = load_analyzer(tmp_path / "analyzer.json", model)
    assert again == choice.analyzer
    np.testing.assert_array_equal(again.analyze(images(2)), choice.analyzer.analyze(images(2)))


def test_the_table_tells_all_that_was_tried_and_the_report_is_on_other_samples(choice: Any) -> None:
    assert len(choice.table) == 6
    assert choice.table[0]["label"] == choice.label
    assert [row["round"] for row in choice.table] == sorted((row["round"] for row in choice.table), reverse=True)
    assert not set(choice.searched) & set(choice.reported)
    assert len(choice.searched) + len(choice.reported) == 9
    assert choice.against["random"].samples == len(choice.reported) == 3
    known = {*choice.against, choice.label}
    assert {"random", "lrp.epsilon", "lrp.epsilon_plus", "lrp.z_plus", "gradient"} <= known
    assert choice.label in str(choice)
    assert choice.verdict in str(choice)
    assert "<table" in choice._repr_html_()


def test_the_same_call_gives_the_same_choice() -> None:
    keras.utils.set_random_seed(5)
    model = network()
    one, two = (kerasexplain.choose(model, images(), trials=5, seed=7) for _ in range(2))
    assert one.table == two.table
    assert one.analyzer == two.analyzer
    assert {name: each.mean for name, each in one.against.items()} == {
        name: each.mean for name, each in two.against.items()
    }


def test_it_says_that_nothing_is_better_than_random_where_nothing_is() -> None:
    """A model that does not look at its input: whatever is removed, the output stays."""
    model = network()
    model.layers[-1].set_weights([np.zeros_like(weight) for weight in model.layers[-1].get_weights()])
    choice = kerasexplain.choose(model, images(), trials=4)
    assert not choice.beats_random
    assert "Nothing that was tried is clearly better than a random order" in str(choice)


def test_it_says_that_samples_are_too_few_where_that_is_what_is_missing() -> None:
    """Of three samples, a mean of four standard errors has an interval that holds 0, by Student's t."""
    gains = paired(np.array([0.9, 1.6, 2.2]), np.zeros(3))
    assert gains.mean > 4 * gains.standard_error
    of_fills: list[Any] = []
    choice = Choice(
        create_analyzer("gradient", network()), "x", [], {"random": gains}, of_fills, *[np.arange(3)] * 2, 1.0
    )
    assert not choice.beats_random
    assert "ahead of a random order" in choice.verdict
    assert "too few to be sure of it: its 95% interval is" in choice.verdict


def test_what_is_chosen_is_the_truest_where_that_is_known() -> None:
    """Of a linear model, whose effects `x w` are the truth, the gradient alone orders the parts wrongly."""
    rng = np.random.default_rng(2)
    model = keras.Sequential([keras.Input((8,)), layers.Dense(1, use_bias=False)])
    model.set_weights([rng.normal(size=(8, 1))])
    x = rng.normal(size=(24, 8)).astype("float32")
    choice = kerasexplain.choose(model, x, trials=6, fills=[0.0])
    assert choice.beats_random
    assert choice.against["gradient"].mean > 0
    truth = x * model.get_weights()[0][:, 0]
    np.testing.assert_allclose(choice.analyzer.analyze(x), truth, atol=1e-5)


def test_ids_and_streams() -> None:
    model = keras.Sequential(
        [keras.Input((6,), dtype="int32"), layers.Embedding(9, 4), layers.Flatten(), layers.Dense(2)]
    )
    ids = np.random.default_rng(0).integers(1, 9, (12, 6))
    choice = kerasexplain.choose(model, iter([ids[:6], ids[6:]]), trials=4, targets=1)
    assert len(choice.searched) + len(choice.reported) == 12
    assert [metric.fill for metric in choice.metrics] == ["other"]


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"data": images(5)}, InputError, "at least 6 samples"),
        ({"seconds": 0}, ValueError, "seconds must be greater than 0"),
        ({"seconds": None}, ValueError, "seconds must be greater than 0, got None"),
        ({"fills": "blur"}, ValueError, "fills is a list"),
        ({"fills": ["blurr"]}, ValueError, "Did you mean 'blur'"),
        ({"trials": 0}, ValueError, "trials must be an integer"),
        ({"epsilon": 1.0}, ValueError, "no option 'epsilon' that holds for all"),
    ],
)
def test_what_is_refused(given: dict[str, Any], error: type[Exception], says: str) -> None:
    arguments = {"data": images(6), "trials": 4, **given}
    with pytest.raises(error, match=says):
        kerasexplain.choose(network(), arguments.pop("data"), **arguments)


def test_every_candidate_explains_a_small_network() -> None:
    value = ExplainedValue(network(), Options())
    found = candidates(value, -1.0, 1.0, is_image=True, seed=0)
    assert len({candidate.label for candidate in found}) == len(found) > 200
    for candidate in found[:40]:
        assert np.isfinite(candidate.made(value).analyze(np.clip(images(1), -1, 1))).all(), candidate.label


def test_rounds_double_until_all_samples_are_judged() -> None:
    assert rounds(5) == [4, 5]
    assert rounds(30) == [10, 20, 30]
    assert rounds(3) == [3]


def test_the_plan_is_coarse_and_grows_with_the_time() -> None:
    found = [plan(seconds, 2.0, 1.0, [4, 8, 12], 1000) for seconds in (1, 30, 60, 120, 240)]
    assert found == sorted(found)
    assert set(found) <= set(LADDER)
    assert plan(60, 2.0, 1.0, [4, 8, 12], 1000) == plan(61, 2.0, 1.05, [4, 8, 12], 1000)
    assert plan(1e9, 0.0, 1.0, [4], 10) == 10


def test_a_method_of_several_passes_must_be_clearly_better() -> None:
    def tried(label: str, passes: int, *gains: float) -> Tried:
        return Tried(Candidate(label, label, passes=passes), np.array([gains]), 1)

    slow, quick = tried("slow", 16, 1.0, 1.3, 0.8), tried("quick", 1, 1.0, 1.1, 0.9)
    assert _thrifty([slow, quick])[0] is quick
    better = tried("better", 16, 2.0, 2.1, 1.9)
    assert _thrifty([better, quick])[0] is better


def test_candidates_are_ranked_by_what_they_surely_gain() -> None:
    """The mean less two standard errors, under the fill where that is least."""
    steady = Tried(Candidate("steady", "steady"), np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]), 1)
    lucky = Tried(Candidate("lucky", "lucky"), np.array([[9.0, 0.0, 0.0], [9.0, 0.0, 0.0]]), 1)
    one_fill = Tried(Candidate("one", "one"), np.array([[0.5, 0.5, 0.5], [9.0, 9.0, 9.0]]), 1)
    assert (steady.sure, one_fill.sure) == (1.0, 0.5)
    assert lucky.mean > steady.mean
    assert lucky.sure == pytest.approx(-3.0)  # 3, with a standard error of 3


def test_fewer_parts_take_fewer_steps() -> None:
    samples = Samples(np.zeros((2, 5), "float32"), np.zeros(2, int), np.zeros(2))
    assert [(m.fill, m.steps, m.per_step) for m in measures(samples, ["x"], None, None, 0)] == [
        ("mean", 5, 1),
        ("other", 5, 1),
    ]
    mixed = Samples([np.zeros((2, 4, 4, 1), "float32"), np.zeros((2, 3), "float32")], np.zeros(2, int), np.zeros(2))
    assert [m.fill for m in measures(mixed, ["image", "table"], None, None, 0)] == ["mean", "other"]
    ids = Samples(np.zeros((2, 5), "float32"), np.zeros(2, int), np.zeros(2), ids=(True,))
    assert [m.fill for m in measures(ids, ["x"], None, None, 0)] == ["other"]
    large = Samples(np.zeros((1, 224, 224, 3), "float32"), np.zeros(1, int), np.zeros(1))
    (first, _) = measures(large, ["x"], None, 9, 0)
    assert (first.steps, first.per_step) == (20, 5)


def test_a_choice_of_another_value() -> None:
    """Options that decide what is explained go to the analyzer that is chosen."""
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(4, activation="relu"), layers.Dense(3, activation="softmax")]
    )
    x = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
    choice = kerasexplain.choose(model, x, trials=4, explain="activation")
    assert choice.analyzer.options.explain == "activation"
    assert choice.analyzer != create_analyzer(choice.analyzer.name, model)
