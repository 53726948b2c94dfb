"""Maps of every resolution: which operation has one, and that each has all relevance."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from kerasexplain import create_analyzer

pytestmark = pytest.mark.usefixtures("double_precision")


def x_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


def residual() -> keras.Model:
    """Maps of 16, 8 and 4: at 16 all goes through the first ReLU, at 8 through the addition, of 4 there is a branch."""
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu", use_bias=False, name="fine")(inputs)
    x = layers.MaxPooling2D(2, name="pool")(x)
    y = layers.Conv2D(4, 3, padding="same", activation="relu", use_bias=False, name="branch")(x)
    x = layers.ReLU(name="joined")(layers.Add(name="add")([x, y]))
    y = layers.Conv2D(4, 3, padding="same", activation="relu", use_bias=False, name="within")(x)
    y = layers.Conv2D(5, 3, strides=2, padding="same", use_bias=False, name="main")(y)
    x = layers.Conv2D(5, 1, strides=2, use_bias=False, name="skip")(x)
    x = layers.ReLU(name="coarse")(layers.Add(name="sum")([x, y]))
    return keras.Model(inputs, layers.Dense(2, use_bias=False)(layers.GlobalAveragePooling2D()(x)))


def test_each_map_has_all_relevance_from_coarse_to_fine() -> None:
    analyzer, x = create_analyzer("lrp.z", residual()), x_of(2, 16, 16, 3)
    assert analyzer.resolutions == ["coarse", "joined"]  # the branch "within" has only a part; "fine" is of the input's
    found = analyzer.explain(x, 1, layers=analyzer.resolutions)
    maps = found.resolutions()
    assert {name: array.shape for name, array in maps.items()} == {
        "coarse": (2, 4, 4),
        "joined": (2, 8, 8),
        "input": (2, 16, 16),
    }
    for array in maps.values():
        np.testing.assert_allclose(array.sum(axis=(1, 2)), found.explained, rtol=1e-9)
    np.testing.assert_allclose(maps["coarse"], found.layers["coarse"].sum(axis=-1), rtol=0, atol=1e-15)
    np.testing.assert_allclose(maps["input"], analyzer.analyze(x, 1).sum(axis=-1), rtol=0, atol=1e-12)


def test_the_names_mean_what_they_mean_in_layers() -> None:
    inputs = keras.Input((9, 9, 1))
    x = layers.Conv2D(2, 3, activation="relu", name="first")(inputs)
    x = layers.Conv2D(2, 3, name="second")(x)
    x = layers.ReLU(name="last")(layers.BatchNormalization()(x))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    for name in ("lrp.epsilon_plus", "input_t_gradient"):
        analyzer = create_analyzer(name, model)
        assert analyzer.resolutions == ["last", "first"]
        maps = analyzer.explain(x_of(3, 9, 9, 1), layers=analyzer.resolutions).resolutions()
        assert [array.shape for array in maps.values()] == [(3, 5, 5), (3, 7, 7), (3, 9, 9)]


def test_signals_and_several_inputs() -> None:
    one, two = keras.Input((12, 2), name="one"), keras.Input((12, 2), name="two")
    x = layers.Conv1D(3, 3, strides=2, activation="relu", name="conv")(layers.Concatenate()([one, two]))
    model = keras.Model([one, two], layers.Dense(2)(layers.Flatten()(x)))
    analyzer = create_analyzer("lrp.z", model)
    found = analyzer.explain({"one": x_of(2, 12, 2), "two": x_of(2, 12, 2)}, layers=analyzer.resolutions)
    shapes = {name: array.shape for name, array in found.resolutions().items()}
    assert shapes == {"conv": (2, 5), "one": (2, 12), "two": (2, 12)}


def test_models_without_known_maps() -> None:
    inputs = keras.Input((None, None, 1))
    x = layers.Conv2D(2, 3, name="first")(inputs)
    anyhow = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    with pytest.raises(ValueError, match=r"inputs of any size.*layers=\[\.\.\.\]"):
        create_analyzer("lrp.z", anyhow).resolutions  # noqa: B018
    table = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    analyzer = create_analyzer("lrp.z", table)
    assert analyzer.resolutions == []
    with pytest.raises(ValueError, match="positions and channels"):
        analyzer.explain(x_of(2, 4)).resolutions()


def test_maps_of_all_sizes_in_one_image() -> None:
    visualize = pytest.importorskip("kerasexplain.visualize")
    analyzer, x = create_analyzer("lrp.z", residual()), x_of(2, 16, 16, 3)
    maps = analyzer.explain(x, layers=analyzer.resolutions).resolutions()
    drawn, one = visualize.grid(x, maps), visualize.grid(x, {"coarse": maps["coarse"]})
    assert drawn.width > one.width + 2 * 150  # each 1.3 inches wide: the map of the input is beside the input itself
