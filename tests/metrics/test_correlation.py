"""Correlations of relevance with what removal does, by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from helpers.linear import linear

from kerasexplain import InputError
from kerasexplain.metrics import FaithfulnessCorrelation, Infidelity, SensitivityN
from kerasexplain.metrics.correlation import pearson
from kerasexplain.metrics.perturbation import SUBSETS

pytestmark = pytest.mark.formula

WEIGHTS = np.array([1.0, -4.0, 2.0, 3.0, 0.5, -1.0])


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return linear(WEIGHTS)


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(3, 6))


def subsets(count: int, sizes: list[int], sample: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng([seed, sample, SUBSETS])
    flags = np.zeros((len(sizes), count), bool)
    for row, size in zip(flags, sizes, strict=True):
        row[rng.choice(count, size, replace=False)] = True
    return flags


@pytest.mark.parametrize("fill", [0, 0.3, "mean", "uniform"])
def test_what_a_linear_model_takes_from_each_feature_correlates(
    model: keras.Model, x: np.ndarray, fill: object
) -> None:
    given = np.mean(x, axis=0) if fill == "mean" else 0 if fill == "uniform" else fill
    relevance = WEIGHTS * (x - given)
    if fill == "uniform":  # which is another one for each sample: relevance of x is no longer all
        assert np.all(FaithfulnessCorrelation(fill=fill)(model, x, relevance=relevance).values < 1)
        return
    for metric in (FaithfulnessCorrelation(fill=fill, subset=2), SensitivityN(fill=fill)):
        assert metric(model, x, relevance=relevance).values == pytest.approx([1, 1, 1])
        assert metric(model, x, relevance=7 * relevance).values == pytest.approx([1, 1, 1])
        assert metric(model, x, relevance=-relevance).values == pytest.approx([-1, -1, -1])


def test_two_parts_are_one_comparison() -> None:
    # Of the two subsets of one part, the more relevant one takes less: -1, whatever the numbers.
    found = FaithfulnessCorrelation(fill=0, subset=1)(
        linear([1.0, 2.0]), np.ones((1, 2)), relevance=np.array([[3.0, 1.0]])
    )
    assert found.values == pytest.approx([-1])


def test_any_map_by_the_subsets_that_are_drawn(model: keras.Model, x: np.ndarray, rng: np.random.Generator) -> None:
    relevance = rng.normal(size=x.shape)
    found = FaithfulnessCorrelation(fill=0, subset=2, runs=9, seed=5)(model, x, relevance=relevance)
    by_n = SensitivityN(fill=0, shares=(0.5, 1 / 3), runs=9, seed=5)(model, x, relevance=relevance)
    np.testing.assert_allclose(by_n.steps["sensitivity_n"], [1 / 3, 1 / 2])
    for i in range(3):
        flags = subsets(6, [2] * 9, i, seed=5)
        expected = np.corrcoef(flags @ relevance[i], flags @ (WEIGHTS * x[i]))[0, 1]
        assert found.values[i] == pytest.approx(expected)
        flags = subsets(6, [2] * 9 + [3] * 9, i, seed=5).reshape(2, 9, 6)
        each = [np.corrcoef(f @ relevance[i], f @ (WEIGHTS * x[i]))[0, 1] for f in flags]
        np.testing.assert_allclose(by_n.curves["sensitivity_n"][i], each)
        assert by_n.values[i] == pytest.approx(np.mean(each))


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, -7.3e5])
def test_constant_maps_correlate_with_nothing(model: keras.Model, x: np.ndarray, value: float) -> None:
    relevance = np.full(x.shape, value)
    for metric in (FaithfulnessCorrelation(fill=0, subset=5), FaithfulnessCorrelation(fill=0), SensitivityN(fill=0)):
        assert np.isnan(metric(model, x, relevance=relevance).values).all()


def test_what_the_model_does_not_look_at_correlates_with_nothing(x: np.ndarray) -> None:
    found = FaithfulnessCorrelation(fill=0)(linear(np.zeros(6)), x, relevance=x)
    assert np.isnan(found.values).all()
    assert np.isnan(found.mean)
    assert found.defined == 0
    assert "3 of 3 samples undefined" in str(found)


def test_all_parts_at_once_say_nothing(model: keras.Model, x: np.ndarray) -> None:
    found = SensitivityN(fill=0, shares=(0.5, 1.0))(model, x, relevance=x)
    assert np.isnan(found.curves["sensitivity_n"][:, 1]).all()
    np.testing.assert_allclose(found.values, found.curves["sensitivity_n"][:, 0])


def test_rounding_is_no_spread() -> None:
    a = np.array([[0.1 + 0.2, 0.3, 0.3], [1.0, 2.0, 3.0]])
    assert np.isnan(pearson(a, a)[0])
    assert pearson(a, a)[1] == pytest.approx(1)
    assert pearson(a * 1e-100, a)[1] == pytest.approx(1)


def test_infidelity_of_what_a_linear_model_takes_is_none(model: keras.Model, x: np.ndarray) -> None:
    relevance = WEIGHTS * x
    for metric in (Infidelity(), Infidelity(scaled=False)):
        assert metric(model, x, relevance=relevance).values == pytest.approx([0, 0, 0], abs=1e-20)
    assert Infidelity()(model, x, relevance=-3 * relevance).values == pytest.approx([0, 0, 0], abs=1e-20)
    gradient = np.broadcast_to(WEIGHTS, x.shape)
    for fill in (0, 0.5, "mean"):
        metric = Infidelity(of="gradient", scaled=False, fill=fill)
        assert metric(model, x, relevance=gradient).values == pytest.approx([0, 0, 0], abs=1e-20)


def test_infidelity_is_the_mean_squared_error(model: keras.Model, x: np.ndarray, rng: np.random.Generator) -> None:
    relevance = rng.normal(size=x.shape)
    plain = Infidelity(scaled=False, runs=7)(model, x, relevance=relevance)
    scaled = Infidelity(runs=7)(model, x, relevance=relevance)
    zero = Infidelity(runs=7)(model, x, relevance=0 * relevance)
    for i in range(3):
        flags = np.random.default_rng([0, i, SUBSETS]).random((7, 6)) < 0.5
        a, b = flags @ relevance[i], flags @ (WEIGHTS * x[i])
        assert plain.values[i] == pytest.approx(np.mean((a - b) ** 2))
        best = np.linalg.lstsq(a[:, None], b, rcond=None)[0][0]
        assert scaled.values[i] == pytest.approx(np.mean((best * a - b) ** 2))
        assert zero.values[i] == pytest.approx(np.mean(b**2))


def test_wrong_options(model: keras.Model, x: np.ndarray) -> None:
    with pytest.raises(InputError, match="subset of 7 parts cannot be drawn from 6"):
        FaithfulnessCorrelation(fill=0, subset=7)(model, x, relevance=x)
    for make in (
        lambda: SensitivityN(shares=()),
        lambda: SensitivityN(shares=(0.0, 0.5)),
        lambda: SensitivityN(shares=(1.5,)),
    ):
        with pytest.raises(ValueError, match="shares must be"):
            make()
    with pytest.raises(ValueError, match="runs must be"):
        Infidelity(runs=0)
    with pytest.raises(ValueError, match="of must be one of"):
        Infidelity(of="gradients")
