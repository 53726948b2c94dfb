"""Parts of the forward pass that run again in the backward pass."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from kerasexplain import create_analyzer
from kerasexplain.compiler.remat import cut

NAMES = ("gradient", "lrp.epsilon", "lrp.epsilon_plus", "lrp.alpha_2_beta_1", "lrp.flat", "deep_lift", "lrp.gamma")


def residual() -> keras.Model:
    x = inputs = keras.Input((8, 8, 3), dtype="float64")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="stem", dtype="float64")(x)
    for i in range(4):
        y = layers.Conv2D(4, 3, padding="same", activation="relu", dtype="float64")(x)
        y = layers.Conv2D(4, 3, padding="same", dtype="float64")(y)
        x = layers.ReLU(name=f"out{i}", dtype="float64")(layers.Add(name=f"sum{i}", dtype="float64")([x, y]))
    return keras.Model(inputs, layers.Dense(3, dtype="float64")(layers.Flatten(dtype="float64")(x)))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return residual()


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, 8, 8, 3))


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
@pytest.mark.parametrize("name", NAMES)
def test_relevance_is_the_same(name: str, jit_compile: bool, model: keras.Model, x: np.ndarray) -> None:
    usual = create_analyzer(name, model, jit_compile=jit_compile).analyze(x)
    again = create_analyzer(name, model, jit_compile=jit_compile, remat=True).analyze(x)
    np.testing.assert_allclose(again, usual, rtol=1e-9, atol=1e-12)


def test_a_graph_is_cut_between_its_blocks(model: keras.Model) -> None:
    graph = create_analyzer("lrp.epsilon", model).graph
    parts = cut(graph)
    first, second = parts.segments
    names = {value: node.name for node in graph.nodes for value in node.outputs}
    assert [names[first.output], names[second.output]] == ["out0", "sum2"]
    assert second.carriers == (first.output,)
    assert (*parts.before, *first.nodes, *second.nodes, *parts.after) == graph.nodes


def test_what_is_read_off_inside_a_part_is_the_same(model: keras.Model, x: np.ndarray) -> None:
    usual, again = (create_analyzer("lrp.epsilon", model, remat=remat) for remat in (False, True))
    names = ("stem", "out1", "out3")
    one, other = (analyzer.explain(x, layers=names, bias=True) for analyzer in (usual, again))
    for name in names:
        np.testing.assert_allclose(other.layers[name], one.layers[name], rtol=1e-9, atol=1e-12)
    assert one.bias.keys() == other.bias.keys()
    for name in one.bias:
        np.testing.assert_allclose(other.bias[name], one.bias[name], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(again.audit(x).lost, usual.audit(x).lost, rtol=1e-7, atol=1e-9)


def test_masks_go_into_the_parts_that_read_them() -> None:
    keras.utils.set_random_seed(1)
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 8, mask_zero=True)(tokens)
    for _ in range(3):
        y = layers.MultiHeadAttention(2, 4)(x, x)
        x = layers.LayerNormalization()(layers.Add()([x, y]))
        x = layers.Add()([x, layers.Dense(8)(layers.Dense(16, "gelu")(x))])
    model = keras.Model(tokens, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))
    ids = np.array([[3, 4, 5, 6, 0, 0], [1, 2, 3, 4, 5, 6]])
    usual, again = (create_analyzer("lrp.attention", model, remat=remat) for remat in (False, True))
    parts = cut(again.graph)
    assert parts.before
    assert any(segment.others for segment in parts.segments)
    np.testing.assert_allclose(again.analyze(ids), usual.analyze(ids), rtol=1e-4, atol=1e-6)


def test_a_graph_without_such_values_runs_as_usual(x: np.ndarray) -> None:
    inputs = keras.Input((8, 8, 3), dtype="float64")
    branches = [layers.Conv2D(2, 3, dtype="float64")(inputs) for _ in range(2)]
    y = layers.Dense(2, dtype="float64")(layers.Flatten(dtype="float64")(layers.Concatenate(dtype="float64")(branches)))
    model = keras.Model(inputs, y)
    usual, again = (create_analyzer("lrp.epsilon", model, remat=remat).analyze(x) for remat in (False, True))
    np.testing.assert_allclose(again, usual, rtol=1e-9)


def test_anything_but_yes_or_no_is_refused(model: keras.Model) -> None:
    with pytest.raises(ValueError, match="remat must be"):
        create_analyzer("lrp.epsilon", model, remat="some")
