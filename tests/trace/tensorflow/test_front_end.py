"""Code of TensorFlow in layers and models: traced, live, open in the batch, or refused with its line."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from helpers.opening import conserves
from helpers.small_models import random
from keras import layers

from kerasexplain import UnsupportedModelError, create_analyzer

pytestmark = pytest.mark.tensorflow("is about code of TensorFlow")
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

X = random(4, 6)
IMAGES = random(3, 8, 8, 3)


class Edges(layers.Layer):
    """A convolution by TensorFlow, with weights that the code computes with."""

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(3, 3, shape[-1], 4), name="kernel")
        self.bias = self.add_weight(shape=(4,), name="bias")

    def call(self, x: Any) -> Any:
        return tf.nn.relu(tf.nn.conv2d(x, 2.0 * self.kernel, 1, "SAME") + self.bias)


class Mixed(keras.Model):
    """Layers of Keras and functions of TensorFlow, in a function of TensorFlow."""

    def __init__(self) -> None:
        super().__init__()
        self.first = layers.Conv2D(5, 3, activation="relu", name="first")
        self.edges, self.dense = Edges(name="edges"), layers.Dense(3, name="dense")

    @property
    def traced_call(self) -> Any:
        return tf.function(self._compute)

    def _compute(self, x: Any) -> Any:
        x = tf.nn.max_pool2d(self.edges(self.first(x)), 2, 2, "VALID")
        return self.dense(tf.reshape(x, [tf.shape(x)[0], -1]))

    def call(self, x: Any) -> Any:
        return self.traced_call(x)


def _mixed() -> keras.Model:
    model = Mixed()
    model(IMAGES)
    return model


def _of(function: Any) -> keras.Model:
    """A model with a function between two layers."""

    class Of(layers.Layer):
        def call(self, x: Any) -> Any:
            return function(x)

    inputs = keras.Input((6,))
    return keras.Model(inputs, layers.Dense(2)(Of(name="of")(layers.Dense(6)(inputs))))


def test_layers_in_code_of_tensorflow_stay_layers() -> None:
    analyzer = create_analyzer("lrp.epsilon_plus", _mixed())
    assert [(row.name, row.type) for row in analyzer.rows] == [
        ("first", "Conv2D"),
        ("first/relu", "relu"),
        ("edges/Conv2D", "Conv + Add"),
        ("edges/Relu", "Relu"),
        ("MaxPool2d", "MaxPool"),
        ("Reshape", "Reshape"),
        ("dense", "Dense"),
    ]
    assert set(analyzer.explain(IMAGES, layers=["first", "edges/Conv2D"]).layers) == {"first", "edges/Conv2D"}


def test_layers_in_a_function_that_was_traced_before_stay_layers() -> None:
    model = _mixed()
    first, second = (create_analyzer("lrp.epsilon", model) for _ in range(2))
    assert [row.name for row in second.rows] == [row.name for row in first.rows]


def test_a_variable_of_tensorflow_that_is_replaced_is_noticed() -> None:
    class Scaled(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.scale = tf.Variable(np.ones(6, "float32"))

        def call(self, x: Any) -> Any:
            return tf.tanh(x * self.scale)

    layer = Scaled()
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dense(2)(layer(inputs)))
    analyzer = create_analyzer("lrp.epsilon", model)
    before = analyzer.analyze(X, 0)
    layer.scale = tf.Variable(np.full(6, 0.3, "float32"))
    after = analyzer.analyze(X, 0)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, create_analyzer("lrp.epsilon", model).analyze(X, 0), atol=1e-6)


def test_operations_of_single_precision_in_a_model_of_double_precision_have_a_gradient() -> None:
    inputs = keras.Input((4, 4, 6), dtype="float64")
    normed = layers.Lambda(lambda x: tf.cast(tf.nn.lrn(tf.cast(x, tf.float32)), tf.float64), dtype="float64")(inputs)
    outputs = layers.Dense(2, dtype="float64")(layers.Flatten(dtype="float64")(normed))
    model = keras.Model(inputs, outputs)
    assert np.isfinite(create_analyzer("integrated_gradients", model).analyze(random(2, 4, 4, 6))).all()


def test_it_conserves_and_takes_every_batch_without_another_trace() -> None:
    model = _mixed()
    conserves(model, IMAGES, 1)
    analyzer = create_analyzer("lrp.epsilon", model)
    together = analyzer.analyze(IMAGES, 1)
    traces = analyzer.traces
    np.testing.assert_allclose(analyzer.analyze(IMAGES[1:2], 1), together[1:2], rtol=1e-4, atol=1e-6)
    assert analyzer.traces == traces


def test_after_training_the_new_weights_are_explained_without_another_trace() -> None:
    model = _mixed()
    analyzer = create_analyzer("lrp.epsilon_plus", model)
    before, traces = analyzer.analyze(IMAGES), analyzer.traces
    model.compile("sgd", "mse")
    model.fit(IMAGES, np.ones((3, 3)), verbose=0)
    after = analyzer.analyze(IMAGES)
    assert analyzer.traces == traces
    assert np.abs(after - before).max() > 1e-5
    np.testing.assert_allclose(create_analyzer("lrp.epsilon_plus", model).analyze(IMAGES), after, rtol=1e-4, atol=1e-6)


def test_a_saved_layer_is_opened_and_live(tmp_path: Any) -> None:
    inputs = keras.Input((6,))
    keras.Model(inputs, layers.Dense(4, activation="relu")(inputs)).export(str(tmp_path / "saved"), verbose=False)
    inner = layers.TFSMLayer(str(tmp_path / "saved"), call_endpoint="serve", name="saved")
    model = keras.Model(inputs, layers.Dense(2)(inner(inputs)))
    analyzer = create_analyzer("lrp.epsilon", model)
    assert [row.kernel for row in analyzer.rows] == [True, False, True]
    before = analyzer.analyze(X)
    model.compile("sgd", "mse")
    model.fit(X, np.ones((4, 2)), verbose=0)
    assert np.abs(analyzer.analyze(X) - before).max() > 1e-6
    np.testing.assert_allclose(create_analyzer("lrp.epsilon", model).analyze(X), analyzer.analyze(X), atol=1e-6)


def test_a_constant_for_every_sample_is_a_bias_entry() -> None:
    class Token(layers.Layer):
        def build(self, shape: Any) -> None:
            self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer="ones")

        def call(self, x: Any) -> Any:
            return tf.concat([tf.tile(self.token, [tf.shape(x)[0], 1, 1]), x], axis=1)

    inputs = keras.Input((4, 3))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(Token()(inputs))))
    conserves(model, random(3, 4, 3), 1)
    traces = create_analyzer("lrp.z", model)
    traces.analyze(random(3, 4, 3))
    traces.analyze(random(5, 4, 3))
    assert traces.traces == 1


def test_a_loop_of_known_length_is_run_out() -> None:
    def looped(x: Any) -> Any:
        for _ in tf.range(3):
            x = tf.matmul(tf.nn.tanh(x), matrix)
        return x

    matrix = random(6, 6)

    assert (
        len([row for row in create_analyzer("lrp.epsilon", _of(tf.function(looped))).rows if row.type == "Tanh"]) == 3
    )
    conserves(_of(tf.function(looped)), X, 1)


def test_masks_reach_the_layers_inside() -> None:
    class Inner(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.pool = layers.GlobalAveragePooling1D()
            self.supports_masking = True

        def call(self, x: Any) -> Any:
            return tf.identity(self.pool(x))

    ids = keras.Input((5,), dtype="int32")
    model = keras.Model(ids, layers.Dense(2)(Inner()(layers.Embedding(9, 4, mask_zero=True)(ids))))
    plain = keras.Model(
        ids, layers.Dense(2)(layers.GlobalAveragePooling1D()(layers.Embedding(9, 4, mask_zero=True)(ids)))
    )
    plain.set_weights(model.get_weights())
    x = np.array([[1, 2, 3, 0, 0], [4, 5, 6, 7, 8]])
    expected = create_analyzer("lrp.epsilon", plain).analyze(x, 0)
    np.testing.assert_allclose(create_analyzer("lrp.epsilon", model).analyze(x, 0), expected, atol=1e-6)
    assert np.abs(expected[0, 3:]).max() == 0


UNTRANSLATED = "tf.math.bessel_i0e"


def _untranslated() -> keras.Model:
    return _of(lambda x: tf.math.bessel_i0e(x))


def test_an_operation_that_is_not_translated_is_named_with_its_line() -> None:
    with pytest.raises(UnsupportedModelError) as told:
        create_analyzer("lrp.epsilon", _untranslated())
    message = str(told.value)
    assert "of/bessel_i0e/BesselI0e (BesselI0e): the TensorFlow operation" in message
    assert f"{__file__}:" in message
    assert UNTRANSLATED in message
    assert "keras.ops" in message


@pytest.mark.parametrize(
    "name", ["gradient", "input_t_gradient", "integrated_gradients", "smoothgrad", "occlusion", "sensitivity"]
)
def test_methods_that_need_no_translation_take_every_model(name: str) -> None:
    deciding = _of(lambda x: tf.cond(tf.reduce_mean(x) > 0, lambda: 2 * x, lambda: x))
    for model in (_untranslated(), deciding):
        assert np.isfinite(create_analyzer(name, model).analyze(X[:2])).all()


def test_grad_cam_takes_a_model_with_code_that_is_not_translated() -> None:
    inputs = keras.Input((8, 8, 3))
    x = layers.Lambda(lambda x: tf.math.bessel_i0e(x))(layers.Conv2D(4, 3, name="conv")(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    assert create_analyzer("grad_cam", model).analyze(IMAGES).shape[0] == 3


def test_the_rest_is_explained_where_what_is_not_translated_passes_its_gradient() -> None:
    analyzer = create_analyzer("lrp.epsilon", _untranslated(), on_unsupported="gradient")
    assert [row.supported for row in analyzer.rows] == [True, False, True]


def test_what_goes_by_values_is_refused_in_words() -> None:
    model = _of(lambda x: tf.cond(tf.reduce_mean(x) > 0, lambda: 2 * x, lambda: x))
    said = r"of \(Of\): 'cond' \(StatelessIf, made in .*\) goes by values of the input"
    with pytest.raises(UnsupportedModelError, match=said):
        create_analyzer("lrp.epsilon", model)


def test_a_model_whose_own_code_is_refused_has_a_gradient() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x: Any) -> Any:
            return tf.cond(tf.reduce_mean(x) > 0, lambda: self.dense(x), lambda: self.dense(2 * x))

    model = Own()
    model(X)
    assert create_analyzer("gradient", model).analyze(X).shape == X.shape
    with pytest.raises(UnsupportedModelError, match="goes by values of the input"):
        create_analyzer("lrp.epsilon", model)


def test_samples_that_depend_on_each_other_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="batch"):
        create_analyzer("lrp.epsilon", _of(lambda x: x - tf.reduce_mean(x, 0, keepdims=True)))


@pytest.mark.parametrize("activation", ["dense", "lstm", "layer"])
def test_activations_by_tensorflow_are_those_of_keras(activation: str) -> None:
    def by_tensorflow(x: Any) -> Any:
        return tf.nn.tanh(x)

    inputs, sequences = keras.Input((6,)), keras.Input((3, 6))
    makes = {
        "dense": lambda f: keras.Model(inputs, layers.Dense(2)(layers.Dense(5, activation=f)(inputs))),
        "lstm": lambda f: keras.Model(sequences, layers.Dense(2)(layers.LSTM(4, activation=f)(sequences))),
        "layer": lambda f: keras.Model(inputs, layers.Dense(2)(layers.Activation(f)(layers.Dense(5)(inputs)))),
    }
    one, other = (makes[activation](function) for function in ("tanh", by_tensorflow))
    other.set_weights(one.get_weights())
    x = random(3, 3, 6) if activation == "lstm" else X
    found = [create_analyzer("lrp.epsilon_plus", model).analyze(x, 1) for model in (one, other)]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-7)


def test_what_is_random_is_no_constant() -> None:
    with pytest.raises(UnsupportedModelError, match=r"RandomStandardNormal.* gives something else in each run"):
        create_analyzer("lrp.epsilon", _of(lambda x: tf.nn.relu(x) + 1e-9 * tf.random.normal((6,))))


@pytest.mark.parametrize("how", ["cond", "keras", "if", "float"])
def test_code_that_goes_by_the_value_of_a_variable_is_refused(how: str) -> None:
    class Deciding(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.switch = self.add_weight(shape=(), initializer="ones")
            self.dense = layers.Dense(2)

        def call(self, x: Any) -> Any:
            if how in ("cond", "keras"):
                choose = tf.cond if how == "cond" else keras.ops.cond
                return self.dense(choose(self.switch > 0, lambda: 2 * x, lambda: 3 * x))
            if how == "if":
                return self.dense(2 * x if self.switch > 0 else 3 * x)
            return self.dense(x * float(keras.ops.convert_to_tensor(self.switch)))

    model = Deciding()
    model(X)
    with pytest.raises(UnsupportedModelError, match="value"):
        create_analyzer("lrp.epsilon", model, example=X)
