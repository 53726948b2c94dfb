"""Properties of every analyzer, whatever it computes."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import kerasexplain
from kerasexplain import registry

CLASSES = 4
CHANNELS = 3
#: No sum of float64 numbers is the same in another order.
ROUNDING = 1e-12


@dataclasses.dataclass(frozen=True)
class Case:
    """An analyzer, and what is to be expected of it.

    Attributes:
        options: What it needs; an epsilon so small that it does not show.
        power: With which power of a factor of the last layer the map grows; None where it does not grow in proportion.
        is_zero_at_zero: Whether the map of a zero input to a network without biases is zero.
        knows_channels: Whether its map is permuted with the input's channels.
    """

    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    power: int | None = 1
    is_zero_at_zero: bool = True
    knows_channels: bool = True


EXACT = {"epsilon": 1e-14}
CASES: dict[str, Case] = {
    "beta_smooth": Case(is_zero_at_zero=False),
    "crp": Case({"conditions": {"second": [1, 4, 5]}, "rule": "ZPlus"}),
    "deconvnet": Case(power=2),
    "deep_lift": Case(),
    "deep_taylor": Case(),
    "deep_taylor.bounded": Case({"low": -6, "high": 6}),
    "edges": Case(power=0),
    "excitation_backprop": Case(),
    "expected_gradients": Case({"samples": 6}, is_zero_at_zero=False),
    "grad_cam": Case(),
    "grad_cam_plus_plus": Case(power=None),
    "gradient": Case(is_zero_at_zero=False),
    "gradient.baseline": Case(is_zero_at_zero=False),
    "guided_backprop": Case(power=2),
    "input": Case(power=0),
    "input_t_gradient": Case(),
    "integrated_gradients": Case({"steps": 6}),
    "layer_cam": Case(),
    "lrp": Case({"rule": "Z"}),
    "lrp.algebra": Case({"nonlinearity": "slope", "maximum": "radial"}),
    "lrp.alpha_1_beta_0": Case(),
    "lrp.alpha_1_beta_0_IB": Case(),
    "lrp.alpha_2_beta_1": Case(),
    "lrp.alpha_2_beta_1_IB": Case(),
    "lrp.alpha_beta": Case({"alpha": 1.5}),
    "lrp.attention": Case(),
    "lrp.attention_cp": Case(),
    "lrp.baseline": Case(),
    "lrp.bias_as_input": Case(),
    "lrp.epsilon": Case(EXACT),
    "lrp.epsilon_IB": Case(EXACT),
    "lrp.epsilon_alpha2_beta1": Case(EXACT),
    "lrp.epsilon_alpha2_beta1_flat": Case(EXACT),
    "lrp.epsilon_gamma_box": Case({"low": -6, "high": 6, **EXACT}),
    "lrp.epsilon_plus": Case(EXACT),
    "lrp.epsilon_plus_flat": Case(EXACT),
    "lrp.flat": Case(),
    "lrp.gamma": Case(),
    "lrp.sequential_preset_a": Case(EXACT),
    "lrp.sequential_preset_a_flat": Case(EXACT),
    "lrp.sequential_preset_b": Case(EXACT),
    "lrp.sequential_preset_b_flat": Case(EXACT),
    "lrp.sequential_preset_b_flat_until_idx": Case({"until_layer_idx": 1, **EXACT}),
    "lrp.w_square": Case(),
    "lrp.z": Case(),
    "lrp.z_IB": Case(),
    "lrp.z_plus": Case(),
    "lrp.z_plus_fast": Case(),
    "occlusion": Case({"window": 3, "stride": 2}),
    "pattern.attribution": Case(),
    "pattern.net": Case(power=0),
    "random": Case(power=0, is_zero_at_zero=False, knows_channels=False),
    "sensitivity": Case(power=2, is_zero_at_zero=False),
    "smoothgrad": Case({"augment_by_n": 4}, is_zero_at_zero=False, knows_channels=False),
}


def network(bias: bool = True) -> keras.Model:
    """A small ReLU network with everything that pools."""
    with_bias = {"use_bias": bias, "dtype": "float64"}
    x = inputs = keras.Input((8, 8, CHANNELS), dtype="float64")
    x = layers.Conv2D(5, 3, padding="same", activation="relu", name="first", **with_bias)(x)
    x = layers.MaxPooling2D(2, dtype="float64")(x)
    x = layers.Conv2D(6, 3, name="second", **with_bias)(x)
    x = layers.ReLU(dtype="float64")(x)
    x = layers.AveragePooling2D(2, dtype="float64")(x)
    x = layers.Flatten(dtype="float64")(x)
    model = keras.Model(inputs, layers.Dense(CLASSES, name="last", **with_bias)(x))
    rng = np.random.default_rng(5)  # the same numbers on every backend
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape) * (0.3 if len(weight.shape) == 1 else 2.0 / weight.shape[0] ** 2))
    return model


def samples(count: int = 5) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(count, 8, 8, CHANNELS))


def analyzer(name: str, model: keras.Model, **options: Any) -> kerasexplain.Analyzer:
    stabilizer = {"stabilizer": 1e-14} if name.startswith(("lrp", "deep_taylor", "excitation", "crp")) else {}
    if name in ("lrp.baseline", "lrp.algebra"):
        stabilizer = {}
    found = kerasexplain.create_analyzer(name, model, **{**stabilizer, **CASES[name].options, **options})
    return found.fit(samples(40))


@functools.cache
def explained(name: str) -> tuple[kerasexplain.Analyzer, np.ndarray]:
    """An analyzer of the network, and its maps for output 1."""
    found = analyzer(name, network())
    return found, found.analyze(samples(), 1)


def check_same(found: np.ndarray, expected: np.ndarray, tolerance: float = ROUNDING) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * max(np.abs(expected).max(), 1e-300))


every = pytest.mark.parametrize("name", list(CASES))


def test_no_analyzer_is_left_out() -> None:
    assert list(CASES) == kerasexplain.analyzer_names()


@every
def test_batch_order_does_not_matter(name: str) -> None:
    found, expected = explained(name)
    order = [3, 0, 4, 2, 1]
    check_same(found.analyze(samples()[order], 1), expected[order])


@every
def test_a_batch_of_one_is_a_row_of_many(name: str) -> None:
    found, expected = explained(name)
    check_same(found.analyze(samples()[2:3], 1), expected[2:3])


@every
def test_batches_do_not_matter(name: str) -> None:
    found, expected = explained(name)
    check_same(found.analyze(samples(), 1, batch_size=2), expected)


@pytest.mark.formula
@every
def test_a_stream_is_its_samples(name: str) -> None:
    found, expected = explained(name)
    traces = found.traces
    x = samples()
    check_same(found.analyze(iter([x[:2], x[2:4], x[4:]]), 1), expected)
    out = np.zeros_like(x)
    check_same(found.analyze(iter([x[:1], x[1:]]), 1, batch_size=3, out=out), expected)
    if keras.backend.backend() != "jax":  # which traces anew for every batch size
        assert found.traces == traces


@every
def test_the_map_has_shape_and_dtype_of_the_input_and_is_finite(name: str) -> None:
    _, relevance = explained(name)
    assert relevance.shape == samples().shape
    assert relevance.dtype == "float64"
    assert np.isfinite(relevance).all()
    assert np.abs(relevance).max() > 0


@pytest.mark.formula
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.power is not None])
def test_a_factor_of_the_last_layer_is_a_factor_of_the_map(name: str) -> None:
    _, expected = explained(name)
    model = network()
    model.get_layer("last").set_weights([3.0 * w for w in model.get_layer("last").get_weights()])
    check_same(analyzer(name, model).analyze(samples(), 1), 3.0 ** (CASES[name].power or 0) * expected, 1e-9)


@pytest.mark.formula
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.knows_channels])
def test_permuting_channels_permutes_the_map(name: str) -> None:
    _, expected = explained(name)
    model, order = network(), [2, 0, 1]
    kernel, bias = model.get_layer("first").get_weights()
    model.get_layer("first").set_weights([kernel[:, :, order], bias])
    found = analyzer(name, model).fit(samples(40)[..., order])
    check_same(found.analyze(samples()[..., order], 1), expected[..., order], 1e-10)


@pytest.mark.formula
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.is_zero_at_zero])
def test_zero_input_to_a_network_without_biases_gives_zero(name: str) -> None:
    found = analyzer(name, network(bias=False))
    assert not found.analyze(np.zeros((2, 8, 8, CHANNELS)), 1).any()


@pytest.mark.formula
@every
def test_an_index_is_a_weight_of_one(name: str) -> None:
    found, expected = explained(name)
    check_same(found.analyze(samples(), np.eye(CLASSES)[1]), expected)
    check_same(found.analyze(samples(), [1] * 5), expected)
    check_same(found.analyze(samples(), 1 - CLASSES), expected)


@pytest.mark.formula
@pytest.mark.parametrize("name", [name for name in CASES if registry.find(name).takes_start_array])
def test_an_index_is_a_start_of_one(name: str) -> None:
    from_index = analyzer(name, network(), start="one").analyze(samples(), 1)
    from_start = analyzer(name, network(), neuron_selection_mode="all", start=np.eye(CLASSES)[1]).analyze(samples())
    check_same(from_start, from_index)


@pytest.mark.formula
@every
def test_the_largest_output_is_explained_by_default(name: str) -> None:
    found, _ = explained(name)
    largest = found.model.predict(samples(), verbose=0).argmax(axis=1)
    assert len(set(largest.tolist())) > 1
    check_same(found.analyze(samples()), found.analyze(samples(), largest))


@every
def test_it_can_be_called(name: str) -> None:
    found, expected = explained(name)
    check_same(found(samples(), [1] * 5), expected)


@every
def test_it_can_be_saved(name: str, tmp_path: pathlib.Path) -> None:
    found, expected = explained(name)
    found.save(tmp_path / "analyzer")
    again = kerasexplain.load_analyzer(tmp_path / "analyzer", found.model)
    assert again == found
    check_same(again.analyze(samples(), 1), expected, 1e-15)


@every
def test_an_option_that_does_not_exist_is_answered_with_those_that_do(name: str) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        kerasexplain.create_analyzer(name, network(), no_such_option=1, **CASES[name].options)


@every
def test_what_it_is_is_written_down(name: str) -> None:
    """The formula or a description, the paper, when to use it and when not."""
    text = " ".join(str(registry.find(name).__doc__).split())
    assert "Source: " in text
    assert "Use it: " in text
    assert "Not for: " in text
