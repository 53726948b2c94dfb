"""Occlusion: exact on linear models, where what is covered is simply missing."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from kerasexplain import InputError, create_analyzer


def linear(*shape: int) -> tuple[keras.Model, np.ndarray]:
    """A model that sums its input with weights, and the weights."""
    weights = np.random.default_rng(2).normal(size=shape).astype("float32")
    dense = layers.Dense(1, use_bias=False)
    model = keras.Sequential([keras.Input(shape), layers.Flatten(), dense])
    dense.set_weights([weights.reshape(-1, 1)])
    return model, weights


def x_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=shape).astype("float32")


def test_single_features_of_a_vector() -> None:
    model, weights = linear(5)
    x = x_of(3, 5)
    found = create_analyzer("occlusion", model, window=1, fill=0.5).analyze(x, 0)
    np.testing.assert_allclose(found, weights * (x - 0.5), atol=1e-5)


def test_windows_cover_all_channels() -> None:
    model, weights = linear(4, 6, 2)
    x = x_of(2, 4, 6, 2)
    found = create_analyzer("occlusion", model, window=(2, 3)).analyze(x, 0)
    effect = (weights * x).sum(axis=-1).reshape(2, 2, 2, 2, 3).sum(axis=(2, 4))
    expected = np.repeat(np.repeat(effect, 2, axis=1), 3, axis=2)[..., None]
    np.testing.assert_allclose(found, np.broadcast_to(expected, x.shape), atol=1e-5)


def test_a_position_gets_the_mean_of_its_windows() -> None:
    """Windows of two at 0, 1, 2 of a sequence of four; the last one ends where the sequence ends."""
    model, weights = linear(4, 1)
    x = x_of(1, 4, 1)
    effect = (weights * x)[0, :, 0]
    of_windows = np.array([effect[i : i + 2].sum() for i in range(3)])
    expected = [of_windows[0], of_windows[:2].mean(), of_windows[1:].mean(), of_windows[2]]
    found = create_analyzer("occlusion", model, window=2, stride=1).analyze(x, 0)
    np.testing.assert_allclose(found[0, :, 0], expected, atol=1e-5)
    last = create_analyzer("occlusion", model, window=3, stride=3).analyze(x, 0)  # at 0 and, to reach the end, at 1
    np.testing.assert_allclose(last[0, 0, 0], effect[:3].sum(), atol=1e-5)
    np.testing.assert_allclose(last[0, 3, 0], effect[1:].sum(), atol=1e-5)


def test_regions_are_covered_at_once() -> None:
    """The cat, and the litter box beside it."""
    model, weights = linear(3, 4, 2)
    x = x_of(1, 3, 4, 2)
    regions = np.array([[0, 0, 7, 7], [0, 0, 7, 7], [0, 2, 2, 7]])
    found = create_analyzer("occlusion", model, regions=regions).analyze(x, 0)
    effect = (weights * x)[0].sum(axis=-1)
    for number in (0, 2, 7):
        np.testing.assert_allclose(found[0][regions == number], effect[regions == number].sum(), atol=1e-5)


def test_the_mean_and_a_blur_as_fill() -> None:
    model, weights = linear(6, 6, 2)
    x = x_of(2, 6, 6, 2)
    everything = np.zeros((6, 6), int)
    found = create_analyzer("occlusion", model, regions=everything, fill="mean").analyze(x, 0)
    expected = (weights * (x - x.mean(axis=(1, 2), keepdims=True))).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found[:, 0, 0, 0], expected, atol=1e-4)
    flat = np.ones_like(x)  # a blur changes nothing in what is the same everywhere
    assert np.abs(create_analyzer("occlusion", model, fill="blur").analyze(flat, 0)).max() < 1e-5
    assert np.abs(create_analyzer("occlusion", model, fill="blur").analyze(x, 0)).max() > 0.1


def test_token_ids_are_covered_by_another() -> None:
    ids = keras.Input((4,), dtype="int32")
    embedding = layers.Embedding(5, 1)
    model = keras.Model(
        ids, layers.Dense(1, use_bias=False, kernel_initializer="ones")(layers.Flatten()(embedding(ids)))
    )
    embedding.set_weights([np.array([[0.0], [1.0], [2.0], [3.0], [4.0]])])
    x = np.array([[4, 1, 0, 2]])
    found = create_analyzer("occlusion", model, window=1, fill=0).analyze(x, 0)
    np.testing.assert_allclose(found, [[4, 1, 0, 2]], atol=1e-6)
    with pytest.raises(InputError, match="integers"):
        create_analyzer("occlusion", model, window=1, fill=0.5).analyze(x, 0)


def test_inputs_are_covered_one_at_a_time() -> None:
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    ones = {"use_bias": False, "kernel_initializer": "ones"}
    model = keras.Model([a, b], layers.Dense(1, **ones)(layers.Concatenate()([a, b])))
    x = [x_of(2, 2), x_of(2, 3)]
    found = create_analyzer("occlusion", model, window=1).analyze(x, 0)
    for relevance, given in zip(found, x, strict=True):
        np.testing.assert_allclose(relevance, given, atol=1e-5)


def test_the_model_runs_in_full_batches(capsys: pytest.CaptureFixture[str]) -> None:
    """Six windows of three samples in batches of four: five runs of one shape, and one trace."""
    model, _ = linear(6)
    analyzer = create_analyzer("occlusion", model, window=1, batch_size=4)
    analyzer.analyze(x_of(3, 6), 0, verbose=1)
    assert "3/3" in capsys.readouterr().out
    traces = analyzer.traces
    analyzer.analyze(x_of(3, 6), 0)
    assert analyzer.traces == traces


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "at least 1"),
        ({"stride": 1.5}, "integer"),
        ({"window": 9}, "larger than the input"),
        ({"window": (2, 2, 2)}, "2 axes"),
        ({"fill": "black"}, "'mean' or 'blur'"),
        ({"fill": None}, "'mean' or 'blur'"),
        ({"fill": np.nan}, "finite"),
        ({"fill": np.zeros(7)}, "does not fit"),
        ({"regions": np.zeros((3, 3), int)}, r"shape \(4, 4\)"),
        ({"regions": np.zeros((4, 4), int), "window": 2}, "one or the other"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    model, _ = linear(4, 4, 3)
    with pytest.raises((InputError, ValueError), match=message):
        create_analyzer("occlusion", model, **options).analyze(x_of(1, 4, 4, 3), 0)


def test_bytes_do_not_wrap_around() -> None:
    inputs = keras.Input((4,), dtype="uint8")
    model, x = keras.Model(inputs, layers.Dense(2)(layers.Rescaling(1 / 255)(inputs))), np.full((1, 4), 200, "uint8")
    with pytest.raises(InputError, match="from 0 to 255"):
        create_analyzer("occlusion", model, fill=-1).analyze(x)
    with pytest.raises(InputError, match="from 0 to 255"):
        create_analyzer("occlusion", model).analyze(np.full((1, 4), 300))


def test_ids_that_no_embedding_knows() -> None:
    ids = keras.Input((4,), dtype="int32", name="ids")
    words = layers.Embedding(5, 2, name="words")
    model = keras.Model(ids, layers.Dense(2)(layers.Flatten()(words(ids))))
    x = np.array([[4, 1, 0, 2]])
    for name, options in (("occlusion", {"window": 1, "fill": 5}), ("deep_lift", {"reference_inputs": -1})):
        with pytest.raises(InputError, match=r"0 to 4, which 'words' \(Embedding\) knows"):
            create_analyzer(name, model, **options).analyze(x, 0)
    with pytest.raises(InputError, match="'ids' must hold indices"):
        create_analyzer("lrp.z", model).analyze(np.array([[0, 1, 5, 2]]))
    behind = keras.Model(ids, layers.Dense(2)(layers.Flatten()(words(ids[:, 1:]))))
    assert create_analyzer("lrp.z", behind).analyze(np.array([[9, 1, 0, 2]])).shape == (1, 4)
