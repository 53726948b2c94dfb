"""Trace: any Sequential or Functional model becomes one flat graph, or is refused."""

from __future__ import annotations

import sys
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasexplain
from kerasexplain import UnsupportedModelError
from kerasexplain.compiler.assign import assign
from kerasexplain.compiler.canonize import canonize
from kerasexplain.compiler.composite import GRADIENT
from kerasexplain.graph.primitives import Opaque
from kerasexplain.trace.trace import trace

X = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")


def names(model: keras.Model) -> list[str]:
    return [node.name for node in trace(model).nodes]


def assert_followed(model: keras.Model, x: Any) -> None:
    """The twin, which is nothing but the traced graph, gives the model's outputs in the model's structure."""
    expected = model(x)
    given = kerasexplain.create_analyzer("gradient", model).twin(x)
    keras.tree.assert_same_structure(given, expected)
    for one, other in zip(keras.tree.flatten(given), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def _dense_inside(name: str = "inner") -> keras.Model:
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(4, "relu", name="dense")(inputs), name=name)


@pytest.mark.parametrize("how", ["input", "build", "call"])
def test_sequential_models_however_they_were_built(how: str) -> None:
    stack = [layers.Dense(5, "relu", name="one"), layers.Dense(2, name="two")]
    model = keras.Sequential([keras.Input((4,)), *stack] if how == "input" else stack)
    if how == "build":
        model.build((None, 4))
    if how == "call":
        model(X)
    assert names(model) == ["one", "two"]
    assert_followed(model, X)


def test_unbuilt_sequential_is_refused_with_the_way_out() -> None:
    with pytest.raises(UnsupportedModelError, match=r"has not been built.*keras\.Input"):
        trace(keras.Sequential([layers.Dense(3)]))


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(TypeError, match=r"expected a keras\.Model, got Dense"):
        trace(layers.Dense(3))


def test_operations_between_layers_are_seen() -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, ops.relu(1 - layers.Dense(4)(inputs) * 2)[:, 1:])
    assert [node.type for node in trace(model).nodes] == ["Dense", "Multiply", "Subtract", "Relu", "GetItem"]
    assert_followed(model, X)


def test_nested_models_are_opened_at_every_depth() -> None:
    middle = keras.Sequential([keras.Input((4,)), _dense_inside(), layers.Dense(4, name="last")], name="middle")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2, name="head")(middle(inputs)))
    assert names(model) == ["middle/inner/dense", "middle/last", "head"]
    assert_followed(model, X)


def test_shared_layers_and_models_are_one_node_per_call_with_names_of_their_own() -> None:
    inputs, dense, inner = keras.Input((4,)), layers.Dense(4, name="a"), _dense_inside()
    x = layers.Dense(4, name="a@2")(dense(dense(inputs)))
    model = keras.Model(inputs, inner(inner(x)))
    found = names(model)
    assert len(set(found)) == len(found) == 5
    assert found == ["a", "a@2", "a@2@2", "inner/dense", "inner@2/dense"]
    assert_followed(model, X)
    audit = kerasexplain.create_analyzer("lrp.bias_as_input", model).audit(X)
    np.testing.assert_allclose(audit.inputs + audit.biases, audit.explained, rtol=1e-5)


def test_several_inputs_and_outputs_as_lists() -> None:
    a, b = keras.Input((4,)), keras.Input((4,))
    model = keras.Model([a, b], [layers.Dense(3, name="first")(a - 2.0 * b), layers.Dense(2, name="second")(b)])
    assert trace(model).output_names == ("first", "second")
    assert_followed(model, [X, X + 1])


def _difference(of: Any, names_of_tensors: tuple[str, str] = ("p", "q")) -> keras.Model:
    p, q = (keras.Input((4,), name=name) for name in names_of_tensors)
    return keras.Model(of(p, q), {"difference": p - 2.0 * q, "again": 3.0 * p})


@pytest.mark.parametrize("tensors", [("p", "q"), ("u", "v"), ("v", "u")])
def test_dicts_are_keyed_by_their_own_keys_whatever_the_tensors_are_called(tensors: tuple[str, str]) -> None:
    model = _difference(lambda p, q: {"u": p, "v": q}, tensors)
    x = {"u": X, "v": X + 1}
    assert_followed(model, x)
    explanation = kerasexplain.create_analyzer("lrp.z", model, output="difference").explain(x, 0)
    np.testing.assert_allclose(explanation.relevance["u"][:, 0], X[:, 0], rtol=1e-5)
    np.testing.assert_allclose(explanation.relevance["v"][:, 0], -2 * (X + 1)[:, 0], rtol=1e-5)
    np.testing.assert_allclose(explanation.explained, explanation.output["difference"][:, 0])


@pytest.mark.parametrize("tensors", [("p", "q"), ("v", "u")])
def test_nested_models_called_with_dicts(tensors: tuple[str, str]) -> None:
    inner = _difference(lambda p, q: {"u": p, "v": q}, tensors)
    inputs = keras.Input((4,))
    outputs = inner({"u": inputs, "v": inputs**2})
    assert_followed(keras.Model(inputs, outputs["difference"] * 5 + outputs["again"]), X)


@pytest.mark.parametrize("given", [lambda x: [x, x**2], lambda x: {"q": x**2, "p": x}])
def test_nested_models_of_two_inputs_called_with_lists_or_names(given: Any) -> None:
    inner = _difference(lambda p, q: [p, q])
    inputs = keras.Input((4,))
    assert_followed(keras.Model(inputs, inner(given(inputs))["difference"]), X)


def test_models_that_begin_at_an_inner_tensor() -> None:
    hidden = layers.Dense(4)(keras.Input((4,)))
    assert_followed(keras.Model(hidden, layers.Dense(2)(hidden)), X)


def test_operations_with_several_outputs() -> None:
    inputs = keras.Input((4,))
    first, second = ops.split(inputs, 2, axis=-1)
    parts = ops.unstack(inputs, axis=1)
    assert_followed(keras.Model(inputs, ops.concatenate([second, first * 2, ops.stack(parts[1:], 1)], -1)), X)


def test_very_deep_chains_are_no_recursion() -> None:
    x = inputs = keras.Input((2,))
    for _ in range(2000):
        x = -x
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)  # Keras itself builds its map of the graph by recursion
    model = keras.Model(inputs, x)
    sys.setrecursionlimit(limit)
    graph = canonize(trace(model))
    assert len(graph.nodes) == len(graph.nodes_towards([graph.explained])) == 2000
    assert len(assign(graph, GRADIENT)) == 2000


class _Times5(keras.Model):
    def __init__(self) -> None:
        inputs = keras.Input((4,))
        super().__init__(inputs, layers.Dense(4)(inputs), name="times5")

    def call(self, x: Any, **options: Any) -> Any:
        return 5.0 * super().call(x, **options)


def test_functional_subclass_with_a_call_of_its_own_is_followed_in_its_own_code() -> None:
    class Own(keras.Sequential):
        def call(self, x: Any, **options: Any) -> Any:
            return 5.0 * super().call(x, **options)

    inputs = keras.Input((4,))
    nested = keras.Model(inputs, layers.Dense(2)(_Times5()(inputs)))
    for model in (_Times5(), Own([keras.Input((4,)), layers.Dense(3)]), nested):
        assert "Multiply" in [node.type for node in trace(model).nodes]
        assert_followed(model, X)


def _unsupported(model: keras.Model, x: Any, reason: str) -> None:
    """LRP refuses the model for that reason; the gradient family runs it as it is."""
    with pytest.raises(UnsupportedModelError, match=reason):
        kerasexplain.create_analyzer("lrp.z", model)
    analyzer = kerasexplain.create_analyzer("gradient", model)
    assert any(isinstance(row.node.primitive, Opaque) and not row.supported for row in analyzer.rows)
    assert_followed(model, x)


def test_calls_in_training_mode_are_not_taken_for_inference() -> None:
    class Own(keras.Model):
        def __init__(self, layer: Any) -> None:
            super().__init__()
            self.layer = layer

        def call(self, x: Any, training: Any = None) -> Any:
            return self.layer(x, training=True)

    normed = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.BatchNormalization()])
    for layer in (layers.BatchNormalization(), normed):
        model = Own(layer)
        model(X)
        _unsupported(model, X, "training=True")


def test_what_a_graph_was_built_with_gives_way_to_inference_as_it_predicts() -> None:
    inputs = keras.Input((4,))
    normed = layers.BatchNormalization()(inputs, training=True)
    resized = layers.Flatten()(layers.Resizing(2, 2)(layers.Reshape((1, 4, 1))(normed)))  # its default is training=True
    model = keras.Model(inputs, layers.BatchNormalization()(layers.Dropout(0.5)(resized, training=True)))
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_mean.assign_add(0.3 * np.ones(4, "float32"))
    twin = kerasexplain.create_analyzer("lrp.z", model).twin
    np.testing.assert_allclose(twin(X), model.predict(X, verbose=0), rtol=1e-6)


@pytest.mark.parametrize("kind", ["call", "convolution_op"])
def test_subclasses_of_known_layers_that_compute_something_else_are_opened(kind: str) -> None:
    class Doubled(layers.Dense):
        def call(self, inputs: Any, training: Any = None) -> Any:
            return 2 * super().call(inputs)

    class Standardized(layers.Conv1D):
        def convolution_op(self, inputs: Any, kernel: Any) -> Any:
            return super().convolution_op(inputs, kernel * 2)

    inputs = keras.Input((4, 4))
    layer = Doubled(3) if kind == "call" else Standardized(3, 2)
    model = keras.Model(inputs, layer(inputs))
    assert all("/" in name for name in names(model))
    assert_followed(model, np.stack([X] * 4, axis=1))


def test_subclasses_of_known_layers_that_change_nothing_are_known() -> None:
    class Renamed(layers.Dense):
        pass

    inputs = keras.Input((4,))
    assert kerasexplain.create_analyzer("lrp.z", keras.Model(inputs, Renamed(3)(inputs))).rows[0].kernel


def test_lambda_is_opened() -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Lambda(lambda x: x**2, name="squared")(inputs))
    assert names(model) == ["squared/power"]
    assert_followed(model, X)


def test_the_graph_can_be_printed() -> None:
    inputs = keras.Input((4,), name="x")
    text = str(trace(keras.Model(inputs, ops.relu(layers.Dense(3, name="d")(inputs)))))
    assert text.splitlines()[:2] == ["inputs: x", "d = Dense(x) -> (None, 3)"]


@pytest.mark.parametrize("name", ["relu", "relu6", "gelu", "silu", "softmax", "log_softmax"])
def test_activation_functions_called_by_code_of_one_s_own(name: str) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(keras.activations.get(name)(layers.Dense(3)(inputs))))
    rows = kerasexplain.create_analyzer("lrp.z", model).rows
    assert len(rows) == 3
    assert_followed(model, X)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_model_in_double_precision_that_casts_on_the_way(dtype: str, double_precision: None) -> None:
    inputs = keras.Input((4,))
    hidden = ops.cast(ops.cast(layers.Dense(5, activation="relu")(inputs), dtype), "float64")
    model = keras.Model(inputs, layers.Dense(3)(hidden))
    found = kerasexplain.create_analyzer("lrp.epsilon", model).explain(X, 1)
    np.testing.assert_allclose(found.output, ops.convert_to_numpy(model(X)), rtol=0.05, atol=0.05)
