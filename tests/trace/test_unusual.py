"""Code that is written in unusual ways, models that change, and what is promised of them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from helpers.backends import gradients
from helpers.opening import RNG, Raw, X, built, conserves, with_raw
from helpers.small_models import random
from keras import layers, ops

import kerasexplain
from kerasexplain import UnsupportedModelError, create_analyzer


class Windows(layers.Layer):
    """Attention within windows: the windows of all images become one batch, and images again."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = layers.MultiHeadAttention(2, 3)
        self.norm = layers.LayerNormalization()

    def call(self, x: Any) -> Any:
        x = ops.reshape(x, (-1, 2, 2, 2, 2, 4))
        x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, 4, 4))
        x = self.norm(x + self.attention(x, x))
        return ops.reshape(ops.transpose(ops.reshape(x, (-1, 2, 2, 2, 2, 4)), (0, 1, 3, 2, 4, 5)), (-1, 4, 4, 4))


def test_other_axes_may_be_folded_into_the_batch_and_out_again() -> None:
    inputs = keras.Input((4, 4, 4))
    model = built(
        keras.Model(inputs, layers.Dense(2)(layers.Flatten()(Windows()(inputs)))), RNG.normal(size=(2, 4, 4, 4))
    )
    x = RNG.normal(size=(3, 4, 4, 4))
    conserves(model, x, 1)
    analyzer = create_analyzer("lrp.attention", model)
    together = analyzer.analyze(x, 1)
    np.testing.assert_allclose(
        together, np.concatenate([analyzer.analyze(s[None], 1) for s in x]), rtol=1e-4, atol=1e-6
    )
    audit = analyzer.audit(x, 1)
    assert all(row.received.shape == (3,) and row.bias.shape == (3,) for row in audit.rows)
    np.testing.assert_allclose(audit.inputs + audit.biases + audit.lost, audit.explained, rtol=1e-4, atol=1e-6)
    query = next(row.name for row in analyzer.rows if row.name.endswith("/query"))
    assert analyzer.explain(x, 1, layers=[query]).layers[query].shape == (3, 4, 4, 2, 3)


def test_samples_that_are_exchanged_are_refused() -> None:
    inputs = keras.Input((4,))
    for mixed in (ops.flip(inputs, axis=0), ops.transpose(ops.matmul(inputs, ops.transpose(inputs)))):
        with pytest.raises(UnsupportedModelError, match=r"sample|batch"):
            create_analyzer("lrp.z", keras.Model(inputs, layers.Dense(2)(mixed) if mixed.shape[1] else mixed))


def test_control_flow_on_values_is_refused_by_the_layer_s_name() -> None:
    class Branching(layers.Layer):
        def call(self, x: Any) -> Any:
            return x * 2.0 if ops.mean(x) > 0 else x

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.branching, self.dense = Branching(name="branching"), layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.dense(self.branching(x))

    model = Own()
    model(X[:, 0])
    refused = r"the layer 'branching' \(Branching\) can neither .*control flow"
    if keras.backend.backend() == "torch":  # where Keras tells the shape of its output by running it
        refused = r"branching \(Branching\): its code does not run on symbolic tensors"
    with pytest.raises(UnsupportedModelError, match=refused):
        create_analyzer("lrp.z", model, example=X[:, 0])


def test_a_call_of_several_arguments_is_refused_as_predict_refuses_it() -> None:
    class Two(keras.Model):
        def call(self, a: Any, b: Any) -> Any:
            return a * b

    model = Two()
    model(X, X)
    with pytest.raises(UnsupportedModelError, match="takes several tensors: let it take one list or dict"):
        create_analyzer("lrp.z", model)


class Joint(layers.Layer):
    """Attention as it is often written: one kernel for queries, keys and values, taken apart in front of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.joint, self.out = layers.Dense(3 * 8), layers.Dense(4)

    def call(self, x: Any) -> Any:
        x = ops.transpose(ops.reshape(self.joint(x), (-1, x.shape[1], 3, 2, 4)), (2, 0, 3, 1, 4))
        query, key, value = x[0] * 0.5, x[1], x[2]
        weights = ops.softmax(ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))))
        x = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        return self.out(ops.reshape(x, (-1, x.shape[1], 8)))


def test_the_batch_may_leave_the_front_and_come_back() -> None:
    inputs = keras.Input((6, 4))
    model = built(keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(Joint()(inputs)))))
    conserves(model, X, 1)
    analyzer = create_analyzer("lrp.attention", model)
    together = analyzer.analyze(X, 1)
    apart = np.concatenate([analyzer.analyze(x[None], 1) for x in X])
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-6)
    moved = next(row.name for row in analyzer.rows if row.type == "Transpose")
    assert analyzer.explain(X, 1, layers=[moved]).layers[moved].shape == (3, 3, 2, 6, 4)
    audit = analyzer.audit(X, 1)
    np.testing.assert_allclose(audit.lost, 0, atol=1e-5)


class PerStep(layers.Layer):
    """Code that needs to know the length, and gives one output per step."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, x: Any) -> Any:
        return ops.stack([self.dense(x[:, t]) * float(t + 1) for t in range(x.shape[1])], axis=1)

    def compute_output_shape(self, shape: Any) -> Any:
        return (*shape[:2], 2)


def test_neurons_biases_and_audits_of_models_that_are_traced_for_each_shape() -> None:
    inputs = keras.Input((None, 4))
    model = keras.Model(inputs, PerStep()(inputs))
    analyzer = create_analyzer("lrp.bias_as_input", model)
    for length in (3, 6):
        x = X[:, :length]
        explanation = analyzer.explain(x, (-1, 1), bias=True)
        np.testing.assert_allclose(explanation.explained, model(x)[:, -1, 1], rtol=1e-5)
        np.testing.assert_allclose(analyzer.audit(x, (-1, 1)).explained, explanation.explained, rtol=1e-5)
        with pytest.raises(IndexError, match="out of range"):
            analyzer.analyze(x, (length, 0))


def test_integers_given_to_a_model_that_keeps_no_dtypes() -> None:
    class Pixels(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.dense(ops.cast(x, "float32") / 255.0 if "uint8" in str(x.dtype) else x)

    x = RNG.integers(0, 255, size=(3, 5)).astype("uint8")
    model = Pixels()
    model(x)
    explanation = create_analyzer("lrp.z", model).explain(x, 0)
    np.testing.assert_allclose(explanation.output, model(x), rtol=1e-5)


def test_code_that_depends_on_sizes_the_trace_did_not_see_is_noticed() -> None:
    class Shortened(layers.Layer):
        def call(self, x: Any) -> Any:
            return x[:, :32] * 1.0 if x.shape[1] is not None and x.shape[1] > 32 else x * 1.0

        def compute_output_shape(self, shape: Any) -> Any:  # which Keras cannot tell from such code on JAX
            return shape

    inputs = keras.Input((None, 4))
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(Shortened()(inputs))))
    analyzer = create_analyzer("lrp.z", model)
    analyzer.analyze(X, 0)
    with pytest.raises(UnsupportedModelError, match="another output for this input"):
        analyzer.analyze(RNG.normal(size=(2, 40, 4)), 0)


def test_layers_that_compute_something_else_than_before_are_looked_at_again() -> None:
    inputs = keras.Input((4,))
    normalization, dense = layers.Normalization(), layers.Dense(3)
    normalization.adapt(X[:, 0])
    model = keras.Model(inputs, dense(normalization(inputs)))
    analyzer = create_analyzer("lrp.z", model)
    analyzer.analyze(X[:, 0], 0)
    normalization.adapt(5.0 * X[:, 1] + 1.0)
    np.testing.assert_allclose(analyzer.explain(X[:, 0], 0).output, model(X[:, 0]), rtol=1e-4, atol=1e-5)
    dense.enable_lora(2)
    dense.lora_kernel_b.assign(RNG.normal(size=(2, 3)))
    np.testing.assert_allclose(analyzer.explain(X[:, 0], 0).output, model(X[:, 0]), rtol=1e-4, atol=1e-5)
    dense.activation = keras.activations.tanh
    np.testing.assert_allclose(analyzer.explain(X[:, 0], 0).output, model(X[:, 0]), rtol=1e-4, atol=1e-5)


def test_a_call_replaced_on_the_instance_is_followed() -> None:
    dense, inputs = layers.Dense(3), keras.Input((4,))
    model = keras.Model(inputs, dense(inputs))
    original = dense.call
    dense.call = lambda x, training=None: original(x) * 5.0
    np.testing.assert_allclose(create_analyzer("lrp.z", model).explain(X[:, 0], 0).output, model(X[:, 0]), rtol=1e-5)


@pytest.mark.parametrize(
    "options",
    [{"stride": (2, 1)}, {"stride": 2, "padding": (1, 2)}, {"dilation": (1, 2)}, {"dilation": 2, "padding": 1}],
    ids=str,
)
def test_patches_of_every_stride_padding_and_dilation(options: dict[str, Any]) -> None:
    inputs = keras.Input((2, 6, 7))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(ops.unfold(inputs, (2, 3), **options))))
    conserves(model, RNG.normal(size=(3, 2, 6, 7)), 1)


def test_gradients_stop_where_the_model_stops_them_and_relevance_does_not() -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(ops.stop_gradient(ops.tanh(inputs)) + inputs))
    x = X[:, 0].astype("float32")
    _, (expected,) = gradients(lambda x: model(x)[:, 1], x)
    np.testing.assert_allclose(create_analyzer("gradient", model).analyze(x, 1), expected, rtol=1e-5)
    conserves(model, X[:, 0], 1)


def test_a_rule_of_one_s_own_must_give_relevance_of_the_input() -> None:
    kind = type("Wrong", (Raw,), {})
    kerasexplain.register_rule(kind, lambda layer, x, y, relevance: relevance[:, :2])
    with pytest.raises(
        ValueError, match=r"the rule registered for the layer 'raw' \(Wrong\) gave relevance of the shapes"
    ):
        create_analyzer("lrp.z", with_raw(kind)).analyze(X[:, 0], 0)


def test_scales_of_one_s_own_before_attention_and_normalised_masked_sequences() -> None:
    class Scale(layers.Layer):
        def build(self, shape: Any) -> None:
            self.scale = self.add_weight(shape=(shape[-1],), initializer="ones")

        def call(self, x: Any) -> Any:
            return x * self.scale

    inputs = keras.Input((6, 4))
    h = Scale()(layers.Masking()(inputs))
    h = layers.BatchNormalization()(layers.LSTM(4, return_sequences=True)(layers.Masking()(inputs))) + h
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.MultiHeadAttention(2, 3)(h, h))))
    conserves(model, X, 1)


@pytest.mark.parametrize("loop", ["cond", "fori_loop"])
def test_functions_that_close_over_tensors_have_a_gradient_and_are_refused_in_words(loop: str) -> None:
    class Closing(layers.Layer):
        def call(self, h: Any) -> Any:
            if loop == "cond":
                return ops.cond(ops.mean(h) > 0, lambda: ops.relu(h), lambda: h)
            return ops.fori_loop(0, 3, lambda _, carry: carry * 0.5 + h, h)

    given = keras.Input((6,))
    model = keras.Model(given, layers.Dense(2)(Closing(name="closing")(layers.Dense(4)(given))))
    assert create_analyzer("gradient", model).analyze(random(2, 6)).shape == (2, 6)
    said = r"functions that close over tensors"
    if keras.backend.backend() == "tensorflow":
        if loop == "fori_loop":  # whose steps are as many operations there
            conserves(model, random(2, 6), 1)
            return
        said = r"'cond' \(StatelessIf, made in .*\) goes by values of the input.*choose by ops.where"
    with pytest.raises(UnsupportedModelError, match=rf"closing \(Closing\): .*{said}") as told:
        create_analyzer("lrp.epsilon", model)
    assert "\x1b" not in str(told.value)
    assert "KerasTensor" not in str(told.value)


class Magnitude(layers.Layer):
    """The magnitude of a Fourier transform, by way of complex numbers."""

    def call(self, x: Any) -> Any:
        real, imaginary = ops.rfft(x)
        if keras.backend.backend() == "tensorflow":  # where Keras' own way fails (3.15)
            import tensorflow as tf

            return tf.abs(tf.complex(real, imaginary))
        return ops.abs(ops.view_as_complex(ops.stack([real, imaginary], axis=-1)))

    def compute_output_shape(self, shape: Any) -> Any:
        return (shape[0], shape[1] // 2 + 1)


def test_gradients_go_through_complex_numbers() -> None:
    given = keras.Input((16,))
    model = keras.Model(given, layers.Dense(2)(Magnitude()(given)))
    x = random(3, 16)
    _, (expected,) = gradients(lambda x: model(x)[:, 0], x)
    found = create_analyzer("gradient", model).analyze(x, 0)
    np.testing.assert_allclose(found, ops.convert_to_numpy(expected), rtol=1e-4, atol=1e-5)
    with pytest.raises(UnsupportedModelError, match=r"complex numbers have no rule|magnitude"):
        create_analyzer("lrp.epsilon", model)
