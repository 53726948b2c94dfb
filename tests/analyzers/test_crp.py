"""Relevance on purpose: conditions, contrasts, inner layers as what is explained, top neurons, reference samples."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import kerasexplain
from kerasexplain import Contrast, InputError, create_analyzer


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(6)
    x = inputs = keras.Input((8, 8, 3), dtype="float64")
    x = layers.Conv2D(5, 3, activation="relu", name="first", dtype="float64")(x)
    x = layers.Conv2D(6, 3, activation="relu", name="second", dtype="float64")(x)
    x = layers.GlobalAveragePooling2D(dtype="float64")(x)
    return keras.Model(inputs, layers.Dense(4, name="last", dtype="float64")(x))


def images(count: int = 4) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(count, 8, 8, 3))


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("layer", ["first", "first/relu", "second", "second/relu"])
def test_single_channels_add_up_to_the_whole(model: keras.Model, layer: str) -> None:
    channels = 5 if layer.startswith("first") else 6
    for name in ("lrp.epsilon_plus", "lrp.flat", "lrp.alpha_2_beta_1"):
        analyzer = create_analyzer(name, model)
        each = [analyzer.explain(images(), 2, conditions={layer: c}).relevance for c in range(channels)]
        close(sum(each), analyzer.analyze(images(), 2))


def test_a_condition_cuts_off_all_other_channels(model: keras.Model) -> None:
    analyzer = create_analyzer("crp", model, conditions={"second": [1, 4]})
    found = analyzer.explain(images(), 2, layers=["second", "first"])
    free = create_analyzer("lrp.epsilon_plus", model).explain(images(), 2, layers=["second"])
    # What is read at an operation is what arrives there, before the condition: what goes on is what it leaves.
    close(found.layers["second"], free.layers["second"])
    kept = free.layers["second"][..., [1, 4]].sum(axis=(1, 2, 3))
    assert found.layers["first"].sum() == pytest.approx(kept.sum(), rel=1e-6)  # all biases are zero


def test_several_conditions_in_one_batch(model: keras.Model) -> None:
    conditions = [{"second": 1}, {"second": [0, 2], "first": 3}, {"first": np.array([1.0, 0.5, 0.0, 0.0, 2.0])}, {}]
    x = np.repeat(images(1), 4, axis=0)
    analyzer = create_analyzer("crp", model)
    together = analyzer.explain(x, 2, conditions=conditions, batch_size=3).relevance
    for row, condition in zip(together, conditions, strict=True):
        close(row, analyzer.explain(x[:1], 2, conditions=condition).relevance[0])
    close(together[3], create_analyzer("lrp.epsilon_plus", model).analyze(x[:1], 2)[0])


@pytest.mark.parametrize(
    ("conditions", "error", "message"),
    [
        ({"frist": 1}, ValueError, "first"),
        ({"first": 5}, IndexError, "5 channels"),
        ({"first": "red"}, InputError, "indices"),
        ({"first": np.ones(3)}, InputError, "5 floating factors"),
        ([{"first": 1}], InputError, "each of the 4 samples"),
        (3, InputError, "must be a dict"),
    ],
)
def test_conditions_that_do_not_fit(model: keras.Model, conditions: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        create_analyzer("crp", model).explain(images(), conditions=conditions)


@pytest.mark.parametrize("name", ["gradient", "deep_lift", "lrp.attention", "smoothgrad"])
def test_every_method_with_layers_takes_conditions(model: keras.Model, name: str) -> None:
    analyzer = create_analyzer(name, model)
    each = [analyzer.explain(images(), 2, conditions={"first": c}).relevance for c in range(5)]
    close(sum(each), analyzer.analyze(images(), 2))


@pytest.mark.parametrize("name", ["integrated_gradients", "occlusion", "random", "grad_cam"])
def test_methods_without_layers_refuse_conditions(model: keras.Model, name: str) -> None:
    with pytest.raises(ValueError, match="conditions="):
        create_analyzer(name, model).explain(images(), conditions={"first": 0})


def test_channels_in_front() -> None:
    x = inputs = keras.Input((3, 2, 4), dtype="float64")
    x = layers.UpSampling2D(2, data_format="channels_first", name="enlarged", dtype="float64")(x)
    x = layers.ReLU(name="rectified", dtype="float64")(x)  # which says nothing of channels itself
    x = layers.Permute((2, 3, 1), name="moved", dtype="float64")(x)
    model = keras.Model(inputs, layers.Dense(2, dtype="float64")(layers.Flatten(dtype="float64")(x)))
    given = np.random.default_rng(1).normal(size=(2, 3, 2, 4))
    analyzer = create_analyzer("lrp.z", model)
    whole = analyzer.analyze(given, 0)
    for channel in range(3):
        for name in ("enlarged", "rectified"):
            found = analyzer.explain(given, 0, conditions={name: channel}).relevance
            close(found, np.where(np.arange(3)[:, None, None] == channel, whole, 0))
    with pytest.raises(InputError, match="which axis"):
        analyzer.explain(given, 0, conditions={"moved": 0})


def test_a_contrast_is_a_difference(model: keras.Model) -> None:
    analyzer = create_analyzer("input_t_gradient", model)
    each = [analyzer.analyze(images(), i) for i in range(4)]
    close(analyzer.analyze(images(), Contrast(3, against=1)), each[3] - each[1])
    close(analyzer.analyze(images(), Contrast(3)), each[3] - (each[0] + each[1] + each[2]) / 3)
    rows = analyzer.analyze(images(), Contrast([0, 1, 2, 3], against=[1, 2, 3, -4]))
    close(rows[3], each[3][3] - each[0][3])
    explained = analyzer.explain(images(), Contrast(3, against=1))
    outputs = np.asarray(model(images()))
    close(explained.explained, outputs[:, 3] - outputs[:, 1])


@pytest.mark.parametrize("contrast", [Contrast(4), Contrast(1.5), Contrast(1, against=[1, 2])])
def test_contrasts_that_do_not_fit(model: keras.Model, contrast: Contrast) -> None:
    with pytest.raises((InputError, IndexError)):
        create_analyzer("gradient", model).analyze(images(), contrast)


def test_a_contrast_needs_several_outputs() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    with pytest.raises(InputError, match="between several neurons"):
        create_analyzer("gradient", model).analyze(np.ones((1, 3)), Contrast(0))


def test_from_any_layer_to_any_layer(model: keras.Model) -> None:
    """One neuron of an inner operation is explained; relevance is read at another one."""
    analyzer = create_analyzer("lrp.z", model, output="second/relu")
    found = analyzer.explain(images(), (1, 2, 3), layers=["first/relu"], bias=True)
    inner = np.asarray(keras.Model(model.inputs, model.get_layer("second").output)(images()))
    close(found.explained, inner[:, 1, 2, 3])
    assert "last" not in [row.name for row in analyzer.rows]
    biases = sum(found.bias[name].reshape(4, -1).sum(axis=1) for name in ("first", "second"))
    close(found.relevance.sum(axis=(1, 2, 3)) + biases, found.explained)
    at_first = found.layers["first/relu"].sum(axis=(1, 2, 3)) + found.bias["second"].sum(axis=1)
    close(at_first, found.explained)
    with pytest.raises(ValueError, match="second"):
        create_analyzer("lrp.z", model, output="secnod")


def test_the_most_relevant_neurons(model: keras.Model) -> None:
    found = create_analyzer("lrp.z_plus", model).explain(images(), 2, layers=["second/relu"])
    top = found.top_neurons("second/relu", 3)
    per_channel = found.layers["second/relu"].sum(axis=(1, 2))
    assert top.neurons.shape == top.relevance.shape == (4, 3)
    close(top.relevance, -np.sort(-per_channel, axis=1)[:, :3])
    close(np.take_along_axis(per_channel, top.neurons, axis=1), top.relevance)
    for layer, k in (("first", 1), ("second/relu", 7)):
        with pytest.raises(ValueError, match=r"layers=|channels"):
            found.top_neurons(layer, k)


def test_reference_samples(model: keras.Model) -> None:
    analyzer = create_analyzer("lrp.z_plus", model)
    data = images(20)
    found = kerasexplain.reference_samples(analyzer, (data[i : i + 6] for i in range(0, 20, 6)), "second/relu", k=3)
    per_channel = analyzer.explain(data, layers=["second/relu"]).layers["second/relu"].sum(axis=(1, 2))
    np.testing.assert_array_equal(found.samples, np.argsort(-per_channel, axis=0, kind="stable")[:3].T)
    close(found.scores, -np.sort(-per_channel, axis=0)[:3].T)
    with pytest.raises(ValueError, match="there are 2"):
        kerasexplain.reference_samples(analyzer, data[:2], "second", k=3)
