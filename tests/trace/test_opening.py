"""Opening: subclassed models, custom and composite layers are explained by what their code calls."""

from __future__ import annotations

import threading
from typing import Any

import keras
import numpy as np
import pytest
from helpers.backends import BACKEND, untranslated
from helpers.opening import RNG, Raw, X, built, conserves, with_raw
from keras import layers, ops

import kerasexplain
from kerasexplain import UnsupportedModelError, create_analyzer
from kerasexplain.compiler.probe import traced
from kerasexplain.trace.specification import Specification


class Scaled(layers.Layer):
    """Multiplies by an expression over its weights, which symbolic tensors would make a constant of."""

    def build(self, shape: Any) -> None:
        self.w = self.add_weight(shape=(shape[-1],), initializer="ones")

    def call(self, x: Any) -> Any:
        return ops.tanh(ops.multiply(x, self.w * 2.0) + ops.reshape(self.w, (1, 1, -1)))


class Encoder(keras.Model):
    """A hand-written transformer block with a class token, which needs to know the batch size."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = layers.MultiHeadAttention(2, 3)
        self.norm = layers.LayerNormalization()
        self.inner = [layers.Dense(7, "gelu"), layers.Dense(4)]
        self.scaled = Scaled()
        self.head = layers.Dense(3)

    def build(self, shape: Any) -> None:
        self.token = self.add_weight(shape=(1, 1, 4), initializer="random_normal")
        super().build(shape)

    def call(self, x: Any, training: bool = False) -> Any:
        token = ops.broadcast_to(self.token, (ops.shape(x)[0], 1, 4))
        x = ops.concatenate([token, x], axis=1)
        x = x + self.attention(x, x)
        h = self.norm(x)
        for layer in self.inner:
            h = layer(h)
        return self.head(self.scaled(x + h)[:, 0])


def test_a_subclassed_model_is_opened_down_to_its_operations() -> None:
    model = built(Encoder())
    rows = create_analyzer("lrp.attention", model).rows
    names = [row.name for row in rows]
    assert len(set(names)) == len(names)
    assert next(name for name in names if "query" in name).endswith("/query")
    assert {"Dense", "EinsumDense", "Einsum", "Softmax", "LayerNormalization", "Add"} <= {row.type for row in rows}
    assert all(row.supported for row in rows)
    conserves(model, X, 1)


def test_expressions_over_weights_stay_live() -> None:
    inputs = keras.Input((6, 4))
    functional = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(Scaled()(inputs))))
    for model in (functional, built(Encoder())):
        analyzer = create_analyzer("lrp.bias_as_input", model)
        analyzer.analyze(X)
        model.compile("sgd", "mse")
        model.fit(X, RNG.normal(size=model(X).shape), epochs=1, verbose=0)
        for variable in model.trainable_variables:
            variable.assign(variable + 0.1 * RNG.normal(size=variable.shape))
        traces = analyzer.traces
        explanation = analyzer.explain(X, 1)
        np.testing.assert_allclose(explanation.output, model(X), rtol=1e-4, atol=1e-5)
        again = create_analyzer("lrp.bias_as_input", model).explain(X, 1)
        np.testing.assert_allclose(explanation.relevance, again.relevance, rtol=1e-4, atol=1e-6)
        assert analyzer.traces == traces  # a neuron that is given is no other function


def test_group_normalization_written_out_has_its_scale_detached_and_its_gain_live() -> None:
    class Written(layers.Layer):
        def build(self, shape: Any) -> None:
            self.gain = self.add_weight(shape=(shape[-1],), initializer="ones")

        def call(self, x: Any) -> Any:
            mean = ops.mean(x, axis=-1, keepdims=True)
            variance = ops.mean(ops.square(x - mean), axis=-1, keepdims=True)
            return (x - mean) * ops.rsqrt(variance + 1e-3) * ops.cast(self.gain, "float32")

    dense, inputs = layers.Dense(2), keras.Input((6, 4))
    layer, reference = Written(), layers.LayerNormalization(epsilon=1e-3)
    written = keras.Model(inputs, dense(layers.Flatten()(layer(inputs))))
    known = keras.Model(inputs, dense(layers.Flatten()(reference(inputs))))
    layer.gain.assign([1.0, -0.5, 2.0, 0.7])
    reference.gamma.assign(layer.gain)
    given, expected = (create_analyzer("lrp.attention", model).analyze(X, 1) for model in (written, known))
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("norm", ["x / rms", "x * rsqrt", "x / std"])
def test_other_ways_to_write_a_normalisation(norm: str) -> None:
    def normalized(x: Any) -> Any:
        square = ops.mean(ops.square(x), axis=-1, keepdims=True)
        if norm == "x / rms":
            return x / ops.sqrt(square + 1e-6)
        return x * ops.rsqrt(square + 1e-6) if norm == "x * rsqrt" else x / ops.std(x, axis=-1, keepdims=True)

    inputs = keras.Input((6, 4))
    conserves(keras.Model(inputs, layers.Dense(2)(layers.Flatten()(normalized(inputs)))), X, 0)


@pytest.mark.parametrize("denominator", ["the same root", "another root"])
def test_a_root_divided_by_a_root_is_an_activation_in_units_of_a_constant(denominator: str) -> None:
    """Both could be the scale of the other: taken for two activations, their shares cancel, and nothing is found."""

    def divided(x: Any) -> Any:
        root = ops.sqrt(ops.maximum(x, 0.01))
        return root / (1.0 + (root if denominator == "the same root" else ops.sqrt(ops.maximum(1.0 - x, 0.02))))

    inputs = keras.Input((6, 4))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(divided(inputs))))
    found = create_analyzer("lrp.bias_as_input", model).explain(X, 0, bias=True)
    parts = [found.relevance, *found.bias.values()]
    np.testing.assert_allclose(sum(p.reshape(len(X), -1).sum(axis=1) for p in parts), found.explained, rtol=1e-4)


def test_code_that_needs_the_batch_size_is_traced_for_each() -> None:
    model = built(Encoder())
    analyzer = create_analyzer("lrp.attention", model)
    together = analyzer.analyze(X, 2)
    apart = np.concatenate([analyzer.analyze(x[None], 2) for x in X])
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(analyzer.analyze(X, 2, batch_size=2), together, rtol=1e-4, atol=1e-6)


def test_a_model_that_was_never_called_is_looked_at_when_first_analysed() -> None:
    model = Encoder()
    analyzer = create_analyzer("lrp.attention", model)
    assert "not known before the first analysis" in str(analyzer)
    relevance = analyzer.analyze(X.astype("float32"), 0)
    assert relevance.shape == X.shape
    assert "MultiHeadAttention" not in [row.type for row in analyzer.rows]
    by_example = create_analyzer("lrp.attention", model, example=X)
    np.testing.assert_allclose(by_example.analyze(X, 0), relevance, rtol=1e-5, atol=1e-7)


def test_padding_and_masks_are_honoured_and_get_no_relevance() -> None:
    tokens = RNG.integers(1, 20, size=(4, 6))
    tokens[0, 3:] = tokens[2, 1:] = 0
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(20, 4, mask_zero=True)(inputs)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 3)(x, x)])  # a bare `+` would lose the mask, in Keras too
    x = layers.LSTM(5, return_sequences=True)(x)
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))
    conserves(model, tokens, 1)
    relevance = create_analyzer("lrp.attention", model).analyze(tokens, 1)
    assert relevance.shape == tokens.shape
    assert not relevance[tokens == 0].any()
    assert np.all(relevance[tokens != 0] != 0)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_mask_that_a_layer_makes_within_other_code_reaches_the_layers_behind_it(data_format: str) -> None:
    class Masked(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.masking = layers.Masking(0.5)
            self.recurrent = layers.LSTM(6, return_sequences=True)  # as many as there are steps: either axis is one
            self.pool, self.dense = layers.GlobalAveragePooling1D(data_format), layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.dense(self.pool(self.recurrent(self.masking(x))))

    x = X.copy()
    x[0, 3:] = x[2, 1:] = 0.5
    model = built(Masked(), x)
    conserves(model, x, 1)
    relevance = create_analyzer("lrp.attention", model).analyze(x, 1)
    assert not relevance[x == 0.5].any()
    assert np.all(relevance[x != 0.5] != 0)


def test_relevance_of_tokens_is_the_sum_over_their_vectors() -> None:
    embedding, dense = layers.Embedding(20, 4), layers.Dense(2)
    tokens, vectors = keras.Input((6,), dtype="int32"), keras.Input((6, 4))
    of_tokens = keras.Model(tokens, dense(layers.Flatten()(embedding(tokens))))
    of_vectors = keras.Model(vectors, dense(layers.Flatten()(vectors)))
    x = RNG.integers(0, 20, size=(3, 6))
    for name in ("lrp.epsilon", "input_t_gradient", "gradient", "lrp.flat"):
        given = create_analyzer(name, of_tokens).analyze(x, 0)
        expected = create_analyzer(name, of_vectors).analyze(ops.convert_to_numpy(embedding(x)), 0).sum(-1)
        np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-6)


def test_tokens_that_are_sliced_reshaped_or_declared_as_real_numbers_keep_their_relevance() -> None:
    embedding = layers.Embedding(20, 4)
    inputs = keras.Input((6,))  # Keras' default dtype, also for token models
    x = embedding(ops.reshape(inputs[:, 2:], (-1, 2, 2)))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    tokens = RNG.integers(0, 20, size=(3, 6))
    relevance = create_analyzer("lrp.z", model).analyze(tokens, 0)
    assert not relevance[:, :2].any()
    assert np.all(relevance[:, 2:] != 0)
    conserves(model, tokens, 0)


def test_positions_counted_up_are_a_bias_entry() -> None:
    inputs = keras.Input((6,), dtype="int32")
    counted = ops.cumsum(ops.cast(inputs > 3, "int32"), axis=1)
    x = layers.Embedding(20, 4)(inputs) + layers.Embedding(7, 4, name="counted")(counted)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    tokens = RNG.integers(0, 20, size=(3, 6))
    assert "counted" in create_analyzer("lrp.z", model).explain(tokens, 0, bias=True).bias
    conserves(model, tokens, 0)


def test_what_cannot_be_opened_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    untranslated(monkeypatch)
    named = r"raw \(Raw\): its code does not run on"
    if BACKEND == "tensorflow":
        named = r"raw/Cumsum \(Cumsum\): the TensorFlow operation 'Cumsum' .*made in .*backends.py:\d+"
    with pytest.raises(UnsupportedModelError, match=rf"(?s){named}.*register_leaf"):
        create_analyzer("lrp.z", with_raw(Raw))


@pytest.mark.parametrize("treatment", ["linear", "gradient"])
def test_a_leaf_is_treated_as_registered(treatment: str) -> None:
    kind = type("Leaf", (Raw,), {})
    kerasexplain.register_leaf(kind, treatment)
    model = with_raw(kind)
    assert "raw" in [row.name for row in create_analyzer("lrp.z", model).rows]
    conserves(model, X[:, 0], 1)


def test_a_rule_of_one_s_own() -> None:
    kind = type("Ruled", (Raw,), {})

    def to_the_first(layer: Any, x: Any, y: Any, relevance: Any) -> Any:
        return ops.sum(relevance, axis=-1, keepdims=True) * ops.one_hot(0, 4, dtype=x.dtype)

    kerasexplain.register_rule(kind, to_the_first)
    analyzer = create_analyzer("lrp.z", with_raw(kind))
    assert "its own: to_the_first" in str(analyzer)
    explanation = analyzer.explain(X[:, 0], 1, layers=["raw"])
    before = analyzer.audit(X[:, 0], 1).rows[0].received
    np.testing.assert_allclose(before, explanation.layers["raw"].sum(1), rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: kerasexplain.register_leaf(Raw, "lineal"),
            ValueError,
            "got 'lineal'",
        ),
        (lambda: kerasexplain.register_leaf(Raw(), "linear"), TypeError, "a class of layers"),
        (lambda: kerasexplain.register_rule(Raw, "Z"), TypeError, "a function"),
    ],
)
def test_wrong_registrations_are_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_graph_that_gives_another_output_than_the_model_is_refused() -> None:
    class Fickle(layers.Layer):
        def call(self, x: Any) -> Any:
            return x * (2.0 if isinstance(x, keras.KerasTensor) else 3.0)

    inputs = keras.Input((4,))
    with pytest.raises(UnsupportedModelError, match=r"another output.*begin to differ at the layer 'odd' \(Fickle\)"):
        create_analyzer("lrp.z", keras.Model(inputs, layers.Dense(2)(Fickle(name="odd")(inputs))))


def test_tracing_leaves_nothing_on_the_model_and_other_threads_alone() -> None:
    model = built(Encoder())
    before = {layer.name: len(layer._inbound_nodes) for layer in model._flatten_layers()}
    built_meanwhile: list[keras.Model] = []

    def build_another() -> None:
        inputs = keras.Input((3,))
        built_meanwhile.append(keras.Model(inputs, layers.Dense(2)(layers.Dense(3)(inputs))))

    thread = threading.Thread(target=build_another)
    thread.start()
    traced(model, Specification.of(model))
    thread.join()
    assert {layer.name: len(layer._inbound_nodes) for layer in model._flatten_layers()} == before
    assert len(built_meanwhile[0].layers) == 3
    assert keras.layers.Layer.symbolic_call.__qualname__ == "Layer.symbolic_call"


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_is_explained_in_single_precision(policy: str) -> None:
    inputs = keras.Input((6, 4))
    block = layers.MultiHeadAttention(2, 3, dtype=policy)
    x = layers.LayerNormalization(dtype=policy)(inputs + block(inputs, inputs))
    x = layers.LSTM(5, dtype=policy)(layers.Dense(4, "gelu", dtype=policy)(x))
    model = keras.Model(inputs, layers.Dense(2, dtype=policy)(x))
    explanation = create_analyzer("lrp.attention", model).explain(X, 0, bias=True)
    assert explanation.relevance.dtype == "float32"
    total = explanation.relevance.sum((1, 2)) + sum(b.reshape(3, -1).sum(1) for b in explanation.bias.values())
    np.testing.assert_allclose(total, explanation.explained, rtol=1e-5, atol=1e-6)
    # NumPy 1 cannot compare bfloat16, which is no dtype of its own.
    np.testing.assert_allclose(explanation.output, ops.cast(model(X), "float32"), atol=0.05)


def test_relevance_per_head() -> None:
    inputs = keras.Input((6, 4))
    x = layers.MultiHeadAttention(2, 3)(inputs, inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    analyzer = create_analyzer("lrp.attention", model)
    weighed = [row.name for row in analyzer.rows if row.type == "Einsum"][-1]
    heads = analyzer.explain(X, 0, layers=[weighed]).layers[weighed]
    assert heads.shape == (3, 6, 2, 3)
    audit = {row.name: row for row in analyzer.audit(X, 0).rows}
    np.testing.assert_allclose(heads.sum((1, 2, 3)), audit[weighed].received, rtol=1e-4, atol=1e-6)
