"""Canonize: folding is exact, happens only where it is exact, and leaves the live variables in charge."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasexplain
from kerasexplain.compiler.canonize import canonize
from kerasexplain.trace.trace import trace


def types(model: keras.Model, **options: Any) -> list[str]:
    return [node.type for node in canonize(trace(model), **options).nodes]


def stack(*stacked: Any, shape: tuple[int, ...] = (6, 6, 2)) -> keras.Model:
    x = inputs = keras.Input(shape)
    for layer in stacked:
        x = layer(x)
    return keras.Model(inputs, x)


def test_fused_activations_are_split_off() -> None:
    model = stack(layers.Dense(3, "tanh", name="d"), layers.Dense(2, "linear", name="e"), shape=(4,))
    graph = canonize(trace(model))
    assert [node.name for node in graph.nodes] == ["d", "d/tanh", "e"]


def test_the_values_between_the_steps_of_a_layer_have_their_own_shapes() -> None:
    model = stack(layers.SeparableConv2D(5, 3, depth_multiplier=3, activation="relu", name="s"))
    nodes = canonize(trace(model)).nodes
    assert [node.outputs[0].shape for node in nodes] == [(None, 4, 4, 6), (None, 4, 4, 5), (None, 4, 4, 5)]


def test_batch_normalization_is_folded_behind_every_kind_of_linear_operation() -> None:
    for layer in (layers.Conv2D(3, 3), layers.Conv2DTranspose(3, 3), layers.DepthwiseConv2D(3), layers.Dense(3)):
        assert types(stack(layer, layers.BatchNormalization())) == [f"{type(layer).__name__} + BatchNormalization"]


def test_batch_normalization_stays_where_folding_is_not_exact() -> None:
    norm = layers.BatchNormalization
    assert types(stack(layers.Conv2D(3, 3, activation="relu"), norm()))[-1] == "BatchNormalization"
    assert types(stack(layers.Dense(3), norm(axis=1)))[-1] == "BatchNormalization"
    assert types(stack(norm(), layers.Conv2D(3, 3, padding="same")))[0] == "BatchNormalization"
    assert types(stack(layers.Conv2D(3, 3), norm(), norm()))[-1] == "BatchNormalization"


def test_batch_normalization_is_not_folded_if_what_is_before_it_is_read_elsewhere() -> None:
    inputs = keras.Input((6, 6, 2))
    y = layers.Conv2D(3, 3)(inputs)
    normed = layers.BatchNormalization()(y)
    assert types(keras.Model(inputs, y + normed)) == ["Conv2D", "BatchNormalization", "Add"]
    assert types(keras.Model(inputs, [normed, y])) == ["Conv2D", "BatchNormalization"]


def test_zero_padding_is_folded_into_every_convolution_that_reads_it() -> None:
    pad = layers.ZeroPadding2D(1)
    assert types(stack(pad, layers.Conv2D(3, 3))) == ["ZeroPadding2D + Conv2D"]
    assert types(stack(layers.ZeroPadding2D(1), layers.MaxPooling2D(2))) == ["ZeroPadding2D", "MaxPooling2D"]
    inputs = keras.Input((6, 6, 2))
    padded = layers.ZeroPadding2D(1)(inputs)
    model = keras.Model(inputs, layers.Conv2D(3, 3)(padded) + layers.Conv2D(3, 3)(padded))
    assert types(model) == ["ZeroPadding2D + Conv2D", "ZeroPadding2D + Conv2D", "Add"]
    model = keras.Model(inputs, [layers.Conv2D(3, 3)(padded), layers.MaxPooling2D(2)(padded)])
    assert sorted(types(model)) == ["MaxPooling2D", "ZeroPadding2D", "ZeroPadding2D + Conv2D"]


@pytest.mark.parametrize("name", ["lrp.flat", "lrp.w_square", "lrp.epsilon", "deep_taylor.bounded"])
def test_padding_by_a_layer_is_padding_by_the_convolution(name: str, rng: np.random.Generator) -> None:
    same = stack(layers.Conv2D(3, 3, padding="same"), layers.Flatten(), layers.Dense(2))
    padded = stack(layers.ZeroPadding2D(1), layers.Conv2D(3, 3), layers.Flatten(), layers.Dense(2))
    padded.set_weights(same.get_weights())
    x = rng.uniform(size=(2, 6, 6, 2))
    box = {"low": 0, "high": 1} if name == "deep_taylor.bounded" else {}
    of_same, of_padded = (kerasexplain.create_analyzer(name, m, **box).analyze(x, 0) for m in (same, padded))
    np.testing.assert_allclose(of_padded, of_same, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "last",
    [
        lambda x: layers.Dense(3, "softmax")(x),
        lambda x: layers.Softmax()(layers.Dense(3)(x)),
        lambda x: ops.softmax(layers.Dense(3)(x)),
        lambda x: ops.sigmoid(layers.Dense(3)(x)),
        lambda x: layers.Activation("sigmoid")(layers.Dense(3)(x)),
    ],
)
def test_the_logits_are_explained_unless_the_activation_is_asked_for(last: Any, rng: np.random.Generator) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, last(inputs))
    x = rng.normal(size=(3, 4)).astype("float32")
    dense = next(layer for layer in model.layers if isinstance(layer, layers.Dense))
    logits = x @ dense.get_weights()[0]
    of_logits = kerasexplain.create_analyzer("lrp.z", model)
    assert "logits are explained" in str(of_logits)
    explanation = of_logits.explain(x, 1)
    np.testing.assert_allclose(explanation.explained, logits[:, 1], rtol=1e-4)
    np.testing.assert_allclose(explanation.output, model(x), rtol=1e-5)
    kept = kerasexplain.create_analyzer("lrp.bias_as_input", model, explain="activation").explain(x, 1, bias=True)
    np.testing.assert_allclose(kept.explained, model(x)[:, 1], rtol=1e-5)


def test_hidden_activations_are_not_set_aside() -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(3, "softmax")(inputs)))
    assert not canonize(trace(model)).notes
    flat = keras.Model(inputs, layers.Flatten()(layers.Dense(3, "softmax")(inputs)))  # it only moves them
    assert "logits are explained" in canonize(trace(flat)).notes[0]


def test_what_a_stranger_calls_softmax_is_not_set_aside() -> None:
    class Softmax(layers.Layer):
        def call(self, x: Any) -> Any:
            return ops.exp(x) * 7.0

    def sigmoid(x: Any) -> Any:
        return x * x[:, ::-1]

    for last in (Softmax(), layers.Activation(sigmoid)):
        graph = canonize(trace(stack(layers.Dense(3), last, shape=(4,))))
        assert not graph.notes
        assert graph.explained is graph.outputs[0]


def test_outputs_are_chosen_by_index_and_name() -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [layers.Dense(3, name="first")(inputs), layers.Dense(2, name="second")(inputs)])
    for output, size in ((0, 3), (1, 2), (-1, 2), ("first", 3), ("second", 2)):
        assert canonize(trace(model), output=output).explained.shape == (None, size)
    with pytest.raises(ValueError, match=r"no output or operation 'secnd'.*Did you mean 'second'"):
        canonize(trace(model), output="secnd")
    with pytest.raises(ValueError, match="output=2, but the model has 2 outputs"):
        canonize(trace(model), output=2)


@pytest.mark.parametrize(
    "combine", [ops.add, ops.subtract, ops.multiply, lambda x, c: ops.stack([x, c], 1)], ids=["+", "-", "*", "stack"]
)
def test_constants_that_differ_from_sample_to_sample_are_sources_with_a_bias_entry(combine: Any) -> None:
    constant = np.array([[0.5, 1.0, -2.0], [3.0, -1.0, 0.25]])
    inputs = keras.Input(batch_shape=(2, 3))
    model = keras.Model(inputs, layers.Flatten()(combine(inputs, constant)))
    x = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 2.0]])
    explanation = kerasexplain.create_analyzer("lrp.z", model).explain(x, [0, 1], bias=True)
    given = explanation.relevance.sum(1) + sum(bias.reshape(2, -1).sum(1) for bias in explanation.bias.values())
    np.testing.assert_allclose(given, explanation.explained, rtol=1e-6)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: ops.mean(x, axis=0), "mixes the samples"),
        (lambda x: ops.max(x, axis=1, initial=0.5), "initial value"),
        (lambda x: ops.pad(x, ((0, 0), (1, 1)), constant_values=2.0), "pads with the constant 2"),
        (lambda x: 1.0 / x, "division of a constant by an activation"),
        (lambda x: x**0.5, "positive integer exponent"),
        (lambda x: ops.cast(x, "int32"), "does not depend on any input by real numbers"),
    ],
)
def test_what_has_no_rule_says_why(function: Any, reason: str) -> None:
    inputs = keras.Input((4,))
    with pytest.raises(kerasexplain.UnsupportedModelError, match=reason):
        kerasexplain.create_analyzer("lrp.z", keras.Model(inputs, function(inputs)))
