"""The explanation function and the model for Quantus, without Quantus: axes, channels, copies of models, refusals."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from helpers.evaluated import cnn, images, labels
from helpers.small_models import random
from keras import layers

from kerasexplain import InputError, UnsupportedModelError, create_analyzer
from kerasexplain.adapters.quantus import MODELS, explain_func, functional

pytestmark = pytest.mark.once("layouts and bookkeeping, in numpy")


def per_pixel(model: keras.Model, x: np.ndarray, y: Any, axis: int = -1) -> np.ndarray:
    return create_analyzer("lrp.epsilon", model).analyze(x, y).sum(axis=axis)[:, None]


@pytest.mark.parametrize("channels", [1, 3])
def test_relevance_is_summed_over_channels_in_any_order_of_the_axes(channels: int) -> None:
    model, x = cnn(channels), images(channels)
    y = labels(model, x)
    expected, explain = per_pixel(model, x, y), explain_func("lrp.epsilon")
    first = np.moveaxis(x, -1, 1)
    for moved in (x, first, np.moveaxis(x, 1, -1)):
        found = explain(model=model, inputs=moved, targets=y)
        np.testing.assert_array_equal(found, expected)
        assert found.shape == (4, 1, 8, 8)
        assert found.flags.writeable


def test_images_that_are_not_square() -> None:
    model = keras.Sequential(
        [keras.Input((6, 9, 3)), layers.Conv2D(2, 3, activation="relu"), layers.Flatten(), layers.Dense(3)]
    )
    x = random(2, 6, 9, 3)
    expected, explain = per_pixel(model, x, [0, 2]), explain_func("lrp.epsilon")
    for moved in (x, np.moveaxis(x, -1, 1), np.moveaxis(x, 1, -1)):
        np.testing.assert_array_equal(explain(model, moved, [0, 2]), expected)
    with pytest.raises(InputError, match="in no order of axes"):
        explain(model, np.swapaxes(x, 1, 2), [0, 2])


def test_targets_are_indices_or_one_hot_labels() -> None:
    model, x, explain = cnn(1), images(1), explain_func("lrp.epsilon")
    y = np.array([4, 0, 1, 2])
    expected = explain(model, x, y)
    for one_hot in (np.eye(5)[y], np.eye(5, dtype=int)[y]):
        np.testing.assert_array_equal(explain(model, x, one_hot), expected)
    np.testing.assert_array_equal(explain(model, x), explain(model, x, labels(model, x)))


def test_one_sample() -> None:
    model, x, explain = cnn(3), images(3), explain_func("lrp.epsilon")
    np.testing.assert_allclose(
        explain(model, x[:1], np.array([2])), explain(model, x, np.array([2] * 4))[:1], rtol=1e-5, atol=1e-7
    )


def test_models_with_channels_first_sum_over_the_first_axis() -> None:
    inputs = keras.Input((3, 8, 8))
    hidden = layers.Permute((2, 3, 1))(inputs)
    hidden = layers.Conv2D(4, 3, activation="relu")(hidden)
    model = keras.Model(inputs, layers.Dense(5)(layers.Flatten()(hidden)))
    x = random(2, 3, 8, 8)
    with pytest.raises(InputError, match=r"the last by its layers, the first by its sizes\. Pass channel_first=True"):
        explain_func("lrp.epsilon")(model, x, 1)
    found = explain_func("lrp.epsilon", channel_first=True)(model, x, 1)
    np.testing.assert_array_equal(found, per_pixel(model, x, 1, axis=1))
    # A layer says it.
    pooled = keras.Sequential(
        [keras.Input((3, 8, 8)), layers.GlobalAveragePooling2D(data_format="channels_first"), layers.Dense(5)]
    )
    found = explain_func("lrp.epsilon")(pooled, x, 1)
    np.testing.assert_array_equal(found, per_pixel(pooled, x, 1, axis=1))


def test_signals_and_features() -> None:
    signal = keras.Sequential(
        [keras.Input((16, 2)), layers.Conv1D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3)]
    )
    x = random(2, 16, 2)
    explain = explain_func("lrp.epsilon")
    expected = per_pixel(signal, x, 1)
    assert expected.shape == (2, 1, 16)
    for moved in (x, np.swapaxes(x, 1, 2)):
        np.testing.assert_array_equal(explain(signal, moved, 1), expected)
    table = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="relu"), layers.Dense(3)])
    x = random(2, 6)
    found = explain(table, x, 1)
    np.testing.assert_array_equal(found, create_analyzer("lrp.epsilon", table).analyze(x, 1))
    assert found.flags.writeable


def test_axes_that_cannot_be_told_apart_are_refused() -> None:
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 1), layers.GlobalMaxPooling2D()])
    explain = explain_func("lrp.epsilon")
    x = random(2, 3, 5, 4)
    np.testing.assert_array_equal(explain(model, x, 1), per_pixel(model, np.moveaxis(x, 1, -1), 1))
    with pytest.raises(InputError, match="in more than one order of axes"):
        explain(model, random(2, 3, 5, 3), 1)
    with pytest.raises(InputError, match="got an array of shape"):
        explain(model, random(2, 3, 5), 1)
    volume = keras.Sequential([keras.Input((4, 4, 4, 1)), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(InputError, match="Quantus takes samples of"):
        explain(volume, random(2, 4, 4, 4, 1), 1)
    a, b = keras.Input((3,)), keras.Input((3,))
    with pytest.raises(InputError, match="Quantus passes one array"):
        explain(keras.Model([a, b], layers.Dense(2)(layers.Add()([a, b]))), random(2, 3), 1)


def test_double_precision(double_precision: None) -> None:
    model, x = cnn(3), images(3).astype("float64")
    found = explain_func("lrp.epsilon")(model, x, [0, 1, 2, 3])
    assert found.dtype == "float64"
    np.testing.assert_array_equal(found, per_pixel(model, x, [0, 1, 2, 3]))
    assert functional(model).outputs[0].dtype == "float64"


@pytest.mark.compiled
def test_calls_on_one_model_trace_nothing_again() -> None:
    model, x, explain = cnn(1), images(1), explain_func("lrp.epsilon")
    for count in (4, 4, 2, 1):
        explain(model, x[:count], np.arange(count))
    ((analyzer, _),) = explain._known
    traces = analyzer.traces
    for _ in range(3):
        explain(model, x[:3], np.arange(3))
        explain(model, np.moveaxis(x, -1, 1), np.arange(4))
    assert explain._known[-1][0] is analyzer
    assert analyzer.traces == traces


def test_a_copy_of_a_model_has_an_analyzer_of_its_own_and_weights_are_read_anew() -> None:
    model, x, explain = cnn(1), images(1), explain_func("lrp.epsilon")
    original = explain(model, x, 1)
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(explain(copy, x, 1), original)
    for scale in (0.5, 2.0):
        copy.layers[-1].set_weights([scale * weight for weight in model.layers[-1].get_weights()])
        np.testing.assert_allclose(explain(copy, x, 1), scale * original, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(explain(model, x, 1), original)


def test_analyzers_are_kept_for_the_last_models_alone() -> None:
    x, explain = images(1), explain_func("lrp.epsilon")
    models = [cnn(1) for _ in range(MODELS + 1)]
    for i, model in enumerate(models):
        model.layers[-1].set_weights([weight * (i + 1) for weight in model.layers[-1].get_weights()])
        np.testing.assert_array_equal(explain(model, x, 1), per_pixel(model, x, 1))
    assert [analyzer.model for analyzer, _ in explain._known] == models[1:]
    explain(models[1], x, 1)
    assert [analyzer.model for analyzer, _ in explain._known] == [models[2], models[1]]


def test_what_cannot_work_is_refused_where_it_is_given() -> None:
    with pytest.raises(ValueError, match=r"lrp\.epsilon_plus"):
        explain_func("lrp.epsilon_pluss")
    with pytest.raises(ValueError, match="has no option 'epsilo'"):
        explain_func("lrp.epsilon", epsilo=0.1)
    with pytest.raises(ValueError, match="has to be fitted to data"):
        explain_func("pattern.attribution")
    explain = explain_func("lrp.epsilon", channel_first=False, epsilon=0.25)
    assert repr(explain) == "explain_func('lrp.epsilon', epsilon=0.25, channel_first=False)"
    with pytest.raises(TypeError, match="analyzer"):
        explain(cnn(1), images(1), 1, analyzer="lrp.gamma")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="Keras model"):
        explain(len, images(1), 1)  # type: ignore[arg-type]


class Subclassed(keras.Model):
    """A model whose code alone says what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = layers.Conv2D(4, 3, activation="relu")
        self.flatten, self.dense = layers.Flatten(), layers.Dense(5)

    def call(self, x: Any) -> Any:
        return self.dense(self.flatten(self.conv(x)))


def test_subclassed_models() -> None:
    model, x = Subclassed(), images(3)
    with pytest.raises(UnsupportedModelError, match="call it once"):
        explain_func("lrp.epsilon")(model, x, 1)
    with pytest.raises(UnsupportedModelError, match="call it once"):
        functional(model)
    model(x)
    expected, explain = per_pixel(model, x, 1), explain_func("lrp.epsilon")
    np.testing.assert_array_equal(explain(model, np.moveaxis(x, -1, 1), 1), expected)
    made = functional(model)
    np.testing.assert_array_equal(made.predict(x, verbose=0), model.predict(x, verbose=0))
    assert made.layers[-1].activation is keras.activations.linear
    np.testing.assert_allclose(explain(made, x, 1), expected, rtol=1e-5, atol=1e-7)


def test_functional_models_share_weights_and_have_one_output() -> None:
    model, x = cnn(3), images(3)
    made = functional(model)
    assert made.layers[-1] is model.layers[-1]
    np.testing.assert_array_equal(made.predict(x, verbose=0), model.predict(x, verbose=0))
    inputs = keras.Input((8, 8, 3))
    hidden = layers.Flatten()(inputs)
    heads = keras.Model(inputs, [layers.Dense(2, name="few")(hidden), layers.Dense(4, name="many")(hidden)])
    for output, size in ((0, 2), (1, 4), ("many", 4)):
        assert functional(heads, output).output_shape == (None, size)
    for output in (2, -1, "maby"):
        with pytest.raises(ValueError, match=r"has no output .* Known: few, many"):
            functional(heads, output)
    explain = explain_func("lrp.epsilon", output="many")
    np.testing.assert_allclose(explain(heads, x, 3), explain_func("lrp.epsilon")(functional(heads, 1), x, 3), rtol=1e-5)


def test_a_softmax_at_the_end_becomes_a_layer_that_quantus_knows() -> None:
    model = cnn(1)
    ends = keras.Sequential([keras.Input((8, 8, 1)), *model.layers, layers.Activation("softmax")])
    made, x = functional(ends), images(1)
    assert isinstance(made.layers[-1], layers.Softmax)
    assert made.layers[-2] is model.layers[-1]
    np.testing.assert_allclose(made.predict(x, verbose=0), ends.predict(x, verbose=0), rtol=1e-6)
