"""PatternNet and PatternAttribution: the signal is found where it is known, and fitting streams."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasexplain
from kerasexplain import create_analyzer

Network = Callable[[], keras.Model]


def linear_unit() -> tuple[keras.Model, np.ndarray]:
    """x = s (1, 0) + d (1, 1): the weights (1, -1) cancel the distractor d; the signal's direction is (1, 0)."""
    rng = np.random.default_rng(0)
    s, d = rng.normal(size=(2, 20000))
    x = np.stack([s + d, d], axis=1)
    dense = layers.Dense(1, name="dense", dtype="float64")
    model = keras.Sequential([keras.Input((2,), dtype="float64"), dense])
    dense.set_weights([np.array([[1.0], [-1.0]]), np.array([0.3])])
    return model, x


def test_the_signal_is_found() -> None:
    model, x = linear_unit()
    analyzer = create_analyzer("pattern.net", model).fit(x)
    np.testing.assert_allclose(analyzer.method.patterns["dense"], [[1.0], [0.0]], atol=0.02)
    found = analyzer.analyze(np.array([[2.0, 0.5]]), 0)  # y = 1.8
    np.testing.assert_allclose(found, [[1.8, 0.0]], atol=0.05)
    weighted = create_analyzer("pattern.attribution", model).fit(x).analyze(np.array([[2.0, 0.5]]), 0)
    np.testing.assert_allclose(weighted, [[1.8, 0.0]], atol=0.05)
    assert weighted.sum() == pytest.approx(1.8, rel=1e-9)  # w^T a = 1


def dense_network() -> keras.Model:
    keras.utils.set_random_seed(4)
    return keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu"), layers.Dense(3)])


def convolutional_network() -> keras.Model:
    keras.utils.set_random_seed(4)
    x = inputs = keras.Input((7, 7, 2))
    x = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, activation="relu", depth_multiplier=2)(x)
    x = layers.Conv2DTranspose(3, 2, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


class Attention(layers.Layer):
    def __init__(self) -> None:
        super().__init__()
        self.queries = layers.EinsumDense("abc,cde->abde", (None, 2, 3))
        self.joined = layers.EinsumDense("abde,dec->abc", (None, 4))

    def call(self, x: Any) -> Any:
        return self.joined(self.queries(x))


def einsum_network() -> keras.Model:
    keras.utils.set_random_seed(4)
    inputs = keras.Input((5, 4))
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(Attention()(inputs))))


@pytest.mark.parametrize("network", [dense_network, convolutional_network, einsum_network])
@pytest.mark.parametrize("pattern_type", ["relu", "linear"])
def test_what_weights_see_of_a_pattern_is_one(network: Network, pattern_type: str) -> None:
    """`w^T a = 1` for every unit that is ever positive: relevance keeps its sum through a linear layer."""
    model = network()
    analyzer = create_analyzer("pattern.attribution", model, pattern_type=pattern_type)
    analyzer.fit(np.random.default_rng(1).normal(size=(200, *model.input_shape[1:])))
    for row in analyzer.rows:
        if row.kernel:
            linear, pattern = row.node.primitive, analyzer.method.patterns[row.name]
            kernel = keras.ops.convert_to_numpy(linear.kernel())
            assert pattern.shape == kernel.shape
            shape = row.input_shapes[0][1:]
            sides = [16, 16] if row.convolution else shape[:-1]  # room for a place that no padding touches
            ones = np.ones((1, *sides, shape[-1]))
            seen = keras.ops.convert_to_numpy(linear.apply(ones, keras.ops.convert_to_tensor(kernel * pattern)))
            middle = seen[0, 8, 8] if row.convolution else seen[0]
            np.testing.assert_allclose(middle, np.ones_like(middle), atol=1e-5)


@pytest.fixture
def in_float64() -> Iterator[None]:
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("network", [dense_network, convolutional_network])
def test_fitting_streams(network: Network, in_float64: None) -> None:
    model = network()
    data = np.random.default_rng(1).normal(size=(50, *model.input_shape[1:]))
    at_once = create_analyzer("pattern.net", model).fit(data, batch_size=50)
    sources = {
        "one array": lambda: data,
        "generator": lambda: (data[i : i + 7] for i in range(0, 50, 7)),
    }
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        sources["dataset"] = lambda: tf.data.Dataset.from_tensor_slices((data, np.arange(50))).batch(9)
    for source in sources.values():
        streamed = create_analyzer("pattern.net", model).fit(source(), batch_size=8)
        for name, pattern in at_once.method.patterns.items():
            np.testing.assert_allclose(streamed.method.patterns[name], pattern, rtol=0, atol=1e-9 * abs(pattern).max())


def test_patterns_are_needed_and_are_saved(tmp_path: pathlib.Path) -> None:
    model = dense_network()
    x = np.random.default_rng(1).normal(size=(100, 6)).astype("float32")
    unfitted = create_analyzer("pattern.net", model)
    with pytest.raises(ValueError, match=r"analyzer\.fit\(data\)"):
        unfitted.analyze(x)
    analyzer = create_analyzer("pattern.net", model).fit(x)
    assert analyzer != unfitted
    assert analyzer != create_analyzer("pattern.net", model).fit(x[:50])
    analyzer.save(tmp_path / "patterns.h5")
    again = kerasexplain.load_analyzer(tmp_path / "patterns.h5", model)
    assert again == analyzer
    np.testing.assert_array_equal(again.analyze(x), analyzer.analyze(x))
    assert "array" not in repr(analyzer)


def test_kernels_without_patterns_are_refused() -> None:
    model = keras.Sequential([keras.Input((5, 2)), layers.LSTM(3), layers.Dense(2)])
    with pytest.raises(kerasexplain.UnsupportedModelError, match="no pattern"):
        create_analyzer("pattern.net", model).fit(np.random.default_rng(0).normal(size=(4, 5, 2)))


def test_no_data() -> None:
    with pytest.raises(ValueError, match="no data"):
        create_analyzer("pattern.net", dense_network()).fit(iter([]))


def test_data_that_does_not_fit_the_model() -> None:
    with pytest.raises(kerasexplain.InputError, match="has shape"):
        create_analyzer("pattern.net", dense_network()).fit(np.zeros((4, 7)))


def test_what_needs_no_data_leaves_it_alone() -> None:
    analyzer = create_analyzer("lrp.z", dense_network())
    assert analyzer.fit(np.zeros((4, 6))) is analyzer


def test_data_that_show_nothing_give_no_pattern() -> None:
    for data in (np.ones((50, 6)), np.random.default_rng(0).normal(size=(1, 6))):
        with pytest.raises(ValueError, match="no pattern for"):
            create_analyzer("pattern.net", dense_network(), pattern_type="linear").fit(data)


def test_the_pattern_is_that_of_a_relu_further_on() -> None:
    """A Dropout in between changes nothing at inference."""
    keras.utils.set_random_seed(4)
    direct, between = layers.Dense(8, "relu", name="direct"), layers.Dense(8, name="between")
    last = layers.Dense(3)
    one = keras.Sequential([keras.Input((6,)), direct, last])
    other = keras.Sequential([keras.Input((6,)), between, layers.Dropout(0.5), layers.ReLU(), last])
    between.set_weights(direct.get_weights())
    x = np.random.default_rng(1).normal(size=(100, 6)).astype("float32")
    patterns = [create_analyzer("pattern.net", model).fit(x).method.patterns for model in (one, other)]
    np.testing.assert_allclose(patterns[0]["direct"], patterns[1]["between"], rtol=1e-9)


class Convolution(layers.Layer):
    def build(self, shape: Any) -> None:
        self.w = self.add_weight(shape=(3, 3, 2, 4), name="w")

    def call(self, x: Any) -> Any:
        return ops.relu(ops.conv(x, self.w, padding="same"))


def test_a_convolution_written_by_hand_has_the_same_patterns() -> None:
    layer, own = layers.Conv2D(4, 3, padding="same", use_bias=False, activation="relu"), Convolution()
    head = layers.Dense(2)
    models = []
    for convolution in (layer, own):
        inputs = keras.Input((6, 6, 2))
        models.append(keras.Model(inputs, head(layers.Flatten()(convolution(inputs)))))
    own.set_weights(layer.get_weights())
    x = np.random.default_rng(1).normal(size=(50, 6, 6, 2)).astype("float32")
    one, other = (create_analyzer("pattern.attribution", model).fit(x).analyze(x[:3], 0) for model in models)
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(one).max())
