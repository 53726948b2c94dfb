"""SmoothGrad, and the controls: what they are by their formulas."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasexplain import create_analyzer


def square(shape: tuple[int, ...] = (3, 2)) -> keras.Model:
    """y = sum x^2, whose gradient is 2 x: at x + n, 2 (x + n)."""
    inputs = keras.Input(shape, dtype="float64")
    return keras.Model(inputs, ops.reshape(ops.sum(ops.square(inputs), axis=(1, 2)), (-1, 1)))


def x_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


def mean_noise(x: np.ndarray, **options: Any) -> np.ndarray:
    """The noise in the mean gradient, in units of each sample's range."""
    found = create_analyzer("smoothgrad", square(x.shape[1:]), **options).analyze(x, 0)
    return (found - 2 * x) / 2 / np.ptp(x, axis=(1, 2), keepdims=True)


def test_the_noise_has_the_scale_that_was_asked_for() -> None:
    x = x_of(4, 3, 2)
    one, two = mean_noise(x, noise_scale=0.1), mean_noise(x, noise_scale=0.2)
    np.testing.assert_allclose(two, 2 * one, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        one, np.broadcast_to(one[:1], one.shape), rtol=0, atol=1e-12
    )  # the same for every sample
    many = x_of(1, 40, 50)
    assert mean_noise(many, noise_scale=1.0, augment_by_n=1).std() == pytest.approx(1, rel=0.1)
    # Means of 25 normal numbers: of 2000 such, the standard deviation is known to 1.6 percent.
    assert mean_noise(many, noise_scale=1.0, augment_by_n=25).std() == pytest.approx(1 / np.sqrt(25), rel=0.1)


def test_the_noise_is_seeded() -> None:
    x = x_of(2, 3, 2)
    np.testing.assert_array_equal(mean_noise(x, seed=7), mean_noise(x, seed=7))
    assert not np.allclose(mean_noise(x, seed=7), mean_noise(x, seed=8))


def test_without_noise_it_is_the_gradient() -> None:
    x = x_of(2, 3, 2)
    np.testing.assert_allclose(mean_noise(x, noise_scale=0), np.zeros_like(x), rtol=0, atol=1e-12)


def test_each_gradient_is_postprocessed_before_the_mean() -> None:
    x = x_of(2, 3, 2)
    squared = create_analyzer("smoothgrad", square(), postprocess="square", augment_by_n=3).analyze(x, 0)
    each = [2 * (x + sigma_noise(x, copy)) for copy in range(3)]
    np.testing.assert_allclose(squared, np.mean(np.square(each), axis=0), rtol=0, atol=1e-12)


def sigma_noise(x: np.ndarray, copy: int) -> np.ndarray:
    noise = np.random.default_rng([0, copy, 0]).standard_normal(x.shape[1:])
    return 0.15 * np.ptp(x, axis=(1, 2), keepdims=True) * noise


def test_copies_run_in_full_batches_of_one_shape() -> None:
    analyzer = create_analyzer("smoothgrad", square(), augment_by_n=7, batch_size=4)
    x = x_of(3, 3, 2)
    found = analyzer.analyze(x, 0)
    traces = analyzer.traces
    np.testing.assert_allclose(analyzer.analyze(x, 0, batch_size=100), found, rtol=0, atol=1e-12)
    one_more = keras.backend.backend() == "jax"  # which compiles for every batch size
    assert analyzer.traces == traces + one_more


def test_noise_is_added_to_what_ids_look_up() -> None:
    ids = keras.Input((5,), dtype="int32")
    model = keras.Model(ids, layers.Dense(2)(layers.Flatten()(layers.Embedding(10, 3)(ids))))
    x = np.array([[1, 2, 3, 4, 5], [3, 0, 0, 6, 7]])
    found, expected = (create_analyzer(name, model).analyze(x, 1) for name in ("smoothgrad", "gradient"))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)  # the gradient is the same everywhere


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("smoothgrad", {"augment_by_n": 0}, "augment_by_n must be an integer of at least 1"),
        ("smoothgrad", {"noise_scale": -1}, "noise_scale must be a number that is not negative"),
        ("smoothgrad", {"seed": 0.5}, "seed must be an integer"),
        ("gradient", {"postprocess": "root"}, "None, 'abs', 'square'"),
        ("integrated_gradients", {"steps": True}, "steps must be an integer"),
        ("random", {"stddev": "much"}, "stddev"),
        ("pattern.net", {"pattern_type": "tanh"}, "'relu', 'linear'"),
        ("lrp.algebra", {"maximum": "first"}, "'softmax limit'"),
        ("deep_lift", {"rule": "resscale"}, "'rescale', 'reveal_cancel'"),
        ("lrp.baseline", {"maximum": "radial"}, "SoftmaxLimit"),
    ],
)
def test_bad_values_are_answered_with_the_legal_ones(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_analyzer(name, square(), **options)


def test_input_times_gradient_takes_the_gradient_postprocessed() -> None:
    x = x_of(2, 3, 2)
    found = create_analyzer("input_t_gradient", square(), postprocess="abs").analyze(x, 0)
    np.testing.assert_allclose(found, x * np.abs(2 * x), rtol=0, atol=1e-12)


def test_the_controls() -> None:
    x = x_of(3, 3, 2)
    np.testing.assert_array_equal(create_analyzer("input", square()).analyze(x), x)
    analyzer = create_analyzer("random", square(), stddev=2.0)
    found = analyzer.explain(x)
    np.testing.assert_allclose(found.explained, np.square(x).sum(axis=(1, 2)), rtol=1e-12)
    assert not np.allclose(found.relevance[0], found.relevance[1])
    assert not np.allclose(found.relevance, create_analyzer("random", square(), seed=1).analyze(x))
    many = analyzer.analyze(x_of(500, 3, 2))
    assert 1.9 < many.std() < 2.1
    with pytest.raises(ValueError, match="inner layers"):
        analyzer.explain(x, layers=["anything"])


def test_biases_can_share_one_constant_input() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5, "relu", bias_initializer="ones"), layers.Dense(2)])
    x = x_of(3, 4)
    each = create_analyzer("lrp.algebra", model, bias="as_input").explain(x, 0, bias=True)
    one = create_analyzer("lrp.algebra", model, bias="as_one_input").explain(x, 0, bias=True)
    absorbed = create_analyzer("lrp.algebra", model).explain(x, 0, bias=True)
    assert len(each.bias) == 2
    assert list(one.bias) == ["1"]
    assert absorbed.bias == {}
    total = sum(array.reshape(3, -1).sum(axis=1) for array in each.bias.values())
    np.testing.assert_allclose(one.bias["1"], total, rtol=1e-5)
    np.testing.assert_allclose(one.relevance.sum(axis=1) + one.bias["1"], one.explained, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(absorbed.relevance, each.relevance, rtol=1e-6)
