"""Region perturbation, insertion and deletion, by hand: of a linear model every curve is a sum of weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from helpers.linear import convolutional, linear
from keras import layers

from kerasexplain import InputError, create_analyzer
from kerasexplain.metrics import Deletion, Insertion, RegionPerturbation, fills

WEIGHTS = np.array([1.0, 4.0, 2.0, 3.0])
ONE = np.ones((1, 4))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return linear(WEIGHTS)


@pytest.mark.formula
@pytest.mark.parametrize(
    ("options", "score"),
    [
        # f falls from 10 to 6, 3, 1 and 0: by 0, 4, 7, 9 and 10.
        ({}, 30 / 5),
        ({"steps": 2}, 11 / 3),
        ({"per_step": 2}, 17 / 3),
        # The least relevant first, it falls by 0, 1, 3, 6 and 10.
        ({"order": "least"}, -20 / 5),
        ({"order": "both"}, 10 / 5),
        # A fill of 1 takes 0.5 from nowhere: f falls by w (1 - fill).
        ({"fill": 0.5}, 15 / 5),
        ({"fill": np.array([1.0, 0.0, 0.0, 0.0])}, (4 + 7 + 9 + 9) / 5),
        ({"regions": np.array([7, 7, 2, -1])}, (5 + 7) / 3),  # and the last is never removed
        ({"size": 2}, (5 + 10) / 3),
        ({"size": 3}, (7 + 10) / 3),  # the second part has one feature
    ],
)
def test_area_over_the_curve(model: keras.Model, options: dict[str, Any], score: float) -> None:
    metric = RegionPerturbation(**{"fill": 0, **options})
    found = metric(model, ONE, relevance=WEIGHTS[None])
    assert found.values == pytest.approx([score], abs=1e-12)


@pytest.mark.formula
def test_curves_and_details_are_those_of_both_orders(model: keras.Model) -> None:
    found = RegionPerturbation(fill=0, order="both")(model, ONE, relevance=WEIGHTS[None])
    np.testing.assert_allclose(found.curves["most"], [[10, 6, 3, 1, 0]])
    np.testing.assert_allclose(found.curves["least"], [[10, 9, 7, 4, 0]])
    np.testing.assert_allclose(found.steps["most"], [0, 0.25, 0.5, 0.75, 1])
    assert found.details["most"] == pytest.approx([6])
    assert found.details["least"] == pytest.approx([4])


@pytest.mark.formula
@pytest.mark.parametrize(
    ("metric", "area"), [(Insertion(fill=0), 25 / 4), (Deletion(fill=0), 15 / 4), (Deletion(fill=0, steps=2), 16 / 4)]
)
def test_area_under_the_curve(model: keras.Model, metric: Any, area: float) -> None:
    # Inserted: 0, 4, 7, 9, 10; deleted: 10, 6, 3, 1, 0, or at every second part 10, 3, 0; by trapezoids.
    found = metric(model, ONE, relevance=WEIGHTS[None])
    assert found.values == pytest.approx([area], abs=1e-12)
    assert found.curves[metric.name].shape[1] == min(4, metric.steps) + 1


@pytest.mark.formula
@pytest.mark.parametrize("value", [0.0, 0.1, -3.0])
def test_a_constant_map_is_a_random_order_and_not_that_of_positions(value: float) -> None:
    count, samples = 12, 100
    weights = np.arange(count, dtype=float)  # an order by position would be the worst there is
    x = np.ones((samples, count))
    found = RegionPerturbation(fill=0)(linear(weights), x, relevance=np.full(x.shape, value, "float32"))
    # In a random order every step takes the mean weight: the mean fall is half of all.
    assert abs(found.mean - weights.sum() / 2) < 4 * found.standard_error
    assert len(np.unique(found.values)) > samples / 2
    again = RegionPerturbation(fill=0, seed=1)(linear(weights), x, relevance=np.full(x.shape, value, "float32"))
    assert not np.array_equal(found.values, again.values)


@pytest.mark.formula
def test_only_equals_of_equals_are_shuffled(model: keras.Model) -> None:
    relevance = np.tile([5.0, 1.0, 1.0, 1.0], (50, 1))
    curves = RegionPerturbation(fill=0)(model, np.ones((50, 4)), relevance=relevance).curves["most"]
    np.testing.assert_allclose(curves[:, 1], 9)
    assert set(np.round(curves[:, 2])) == {5, 6, 7}


@pytest.mark.formula
def test_parts_of_images_are_squares_and_channels_go_together() -> None:
    weights = np.zeros((5, 4, 2, 1))
    weights[:2, :2] = 1.0
    weights[4, 2:] = 5.0  # a part that is cut off by the edge
    x = np.ones((1, 5, 4, 2))
    found = RegionPerturbation(fill=0, size=2)(linear(weights), x, relevance=weights[None, ..., 0])
    np.testing.assert_allclose(found.curves["most"], [[28, 8, 0, 0, 0, 0, 0]])


@pytest.mark.formula
def test_channels_come_first_where_keras_says_so() -> None:
    weights = np.zeros((2, 3, 3, 1))
    weights[:, 1, 2] = 1.0
    known = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        found = RegionPerturbation(fill=0, size=1)(
            linear(weights), np.ones((1, 2, 3, 3)), relevance=weights[None, ..., 0]
        )
    finally:
        keras.config.set_image_data_format(known)
    assert found.curves["most"].shape == (1, 10)
    np.testing.assert_allclose(found.curves["most"][0, :3], [2, 0, 0])


@pytest.fixture(scope="module")
def of_two() -> keras.Model:
    a, b = keras.Input((2,), name="a", dtype="float64"), keras.Input((2,), name="b", dtype="float64")
    x = layers.Concatenate(dtype="float64")([a, b])
    out = layers.Dense(1, use_bias=False, dtype="float64")(x)
    model = keras.Model({"a": a, "b": b}, out)
    model.layers[-1].set_weights([WEIGHTS[:, None]])
    return model


@pytest.mark.formula
@pytest.mark.parametrize(("which", "curve"), [(None, [10, 6, 3, 1, 0]), ("b", [10, 7, 5]), (0, [10, 6, 5])])
def test_parts_of_several_inputs(of_two: keras.Model, which: Any, curve: list[float]) -> None:
    x = {"b": np.ones((1, 2)), "a": np.ones((1, 2))}
    relevance = {"b": WEIGHTS[None, 2:], "a": WEIGHTS[None, :2]}
    found = RegionPerturbation(fill=0, which=which)(of_two, x, relevance=relevance)
    np.testing.assert_allclose(found.curves["most"], [curve])


def test_padding_is_removed_last_and_deleted_tokens_move_up() -> None:
    model = keras.Sequential(
        [keras.Input((5,), dtype="int32"), layers.Embedding(9, 1), layers.Flatten(), layers.Dense(1)]
    )
    model.layers[0].set_weights([np.arange(9.0)[:, None]])
    model.layers[2].set_weights([np.array([[1.0], [10], [100], [1000], [10000]]), np.zeros(1)])
    ids = np.array([[3, 7, 2, 0, 0]])
    relevance = np.array([[1.0, 2.0, 3.0, 9.0, 8.0]])  # of padding, which nothing depends on, most
    metric = RegionPerturbation(fill=fills.Delete(), steps=3)
    found = metric(model, ids, relevance=relevance)
    np.testing.assert_allclose(found.curves["most"], [[273, 73, 3, 0]])
    inserted = Insertion(fill=fills.Delete())(model, ids, relevance=relevance)
    np.testing.assert_allclose(inserted.curves["insertion"], [[0, 2, 27, 273, 273, 273]])
    masked = RegionPerturbation(fill=8, steps=3)(model, ids, relevance=relevance)
    np.testing.assert_allclose(masked.curves["most"][0, 1], 273 + 8000)


def test_the_best_order_beats_any_other(rng: np.random.Generator) -> None:
    # What is removed are the parts that a linear model says: no order has a larger area.
    weights = rng.normal(size=(6, 6, 2, 1))
    model, x = linear(weights), rng.normal(size=(3, 6, 6, 2))
    metric = RegionPerturbation(fill=0, size=2)
    best = metric(model, x, relevance=x * weights[..., 0])
    others = metric(model, x, relevance=rng.normal(size=x.shape))
    assert np.all(best.values > others.values)
    assert best.against(others).verdict == "better"


def test_logits_or_probabilities(rng: np.random.Generator) -> None:
    model, x = convolutional(activation="softmax"), rng.normal(size=(2, 6, 6, 2))
    probabilities = np.asarray(model(x)).max(axis=1)
    metric = RegionPerturbation(fill=0, steps=3)
    found = metric(create_analyzer("gradient", model, explain="activation"), x)
    np.testing.assert_allclose(found.curves["most"][:, 0], probabilities, rtol=1e-9)
    logits = metric(create_analyzer("gradient", model), x).curves["most"][:, 0]
    assert not np.allclose(logits, probabilities)


@pytest.mark.formula
@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (RegionPerturbation(fill=0, steps=5), "4 parts has 4 steps of 1; steps=5"),
        (RegionPerturbation(fill=0, per_step=5), "4 parts has 0 steps"),
        (RegionPerturbation(fill="blur"), "'blur' is for images and signals"),
        (RegionPerturbation(fill=[1.0, 2.0]), "fill has shape"),
        (RegionPerturbation(fill=np.zeros((1, 4))), "fill has shape"),
        (RegionPerturbation(fill=0, size=(1, 1)), "one for each of the 1 axes"),
        (RegionPerturbation(fill=0, regions=[0, 1]), "regions must be integers of shape"),
        (RegionPerturbation(fill=0, regions=[-1, -1, -1, -1]), "no part that could be removed"),
        (RegionPerturbation(fill=0, which="pixels"), "is no input of the model"),
        (RegionPerturbation(fill="other"), "pass background="),
    ],
)
def test_what_cannot_be_removed_is_told(model: keras.Model, metric: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        metric(model, ONE, relevance=WEIGHTS[None])


@pytest.mark.once("no model runs")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be an integer"),
        ({"per_step": 1.5}, "per_step must be"),
        ({"order": "random"}, "order must be one of"),
        ({"size": 0}, "size must be an integer"),
        ({"size": 2, "regions": [1]}, "one or the other"),
        ({"fill": "blurr"}, "Did you mean 'blur'"),
        ({"fill": float("nan")}, "finite number"),
        ({"fill": None}, "finite number"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_options_are_checked_when_given(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RegionPerturbation(**options)


@pytest.mark.once("no model runs")
def test_metrics_are_values() -> None:
    metric = RegionPerturbation(steps=3, fill=fills.Blur(2.0), size=(2, 3))
    assert metric == RegionPerturbation.from_config(metric.get_config())
    assert metric != RegionPerturbation(steps=3, fill=fills.Blur(2.5), size=(2, 3))
    assert hash(metric) == hash(RegionPerturbation(steps=3, fill=fills.Blur(2.0), size=(2, 3)))
    assert metric.label == "region_perturbation(steps=3, fill=Blur(2.0), size=(2, 3))"
    assert RegionPerturbation().label == "region_perturbation"
    regions = RegionPerturbation(regions=np.arange(12).reshape(3, 4))
    assert regions == RegionPerturbation.from_config(regions.get_config())
    assert regions != RegionPerturbation(regions=np.arange(12).reshape(3, 4) + 1)
    assert "\n" not in regions.label
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert again == metric
