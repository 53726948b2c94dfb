"""The verification of a trace: whole batches are compared with the model, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasexplain import NotFiniteError, UnsupportedModelError, create_analyzer
from kerasexplain.compiler.verification import paddings
from kerasexplain.operations.catalogue import _BY_CLASS
from kerasexplain.operations.leaves import register_leaf


class Masked(layers.Layer):
    """Sets what is masked to zero; registered, wrongly, as a layer that only moves values."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True

    def call(self, x: Any, mask: Any = None) -> Any:
        return x if mask is None else x * ops.cast(ops.expand_dims(mask, -1), x.dtype)


class Forgetful(Masked):
    """Looks like `Masked`, and is traced without its mask."""


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    register_leaf(Forgetful, "routing")
    describer = _BY_CLASS[Forgetful]

    def without_mask(call: Any) -> Any:
        kwargs = {name: value for name, value in call.kwargs.items() if name != "mask"}
        return describer(type(call)(call.operation, call.args, kwargs, call.inputs))

    _BY_CLASS[Forgetful] = without_mask
    yield
    del _BY_CLASS[Forgetful]


def model_with(layer: layers.Layer) -> keras.Model:
    given = keras.Input((6,), dtype="int32")
    x = layer(layers.Embedding(7, 3, mask_zero=True)(given))
    return keras.Model(given, layers.Dense(2)(layers.Flatten()(x)))


FULL = np.array([[1, 2, 3, 4, 5, 6], [2, 2, 3, 1, 5, 6]])
END = np.array([[1, 2, 3, 4, 5, 6], [2, 2, 3, 0, 0, 0]])


def test_every_row_of_the_first_batch_is_compared() -> None:
    with pytest.raises(UnsupportedModelError, match=r"1 of 2 samples differ.*number 1 .*padded at the end"):
        create_analyzer("lrp.epsilon", model_with(Forgetful())).analyze(END, 0)


def test_what_is_padded_in_a_new_way_is_compared_too() -> None:
    analyzer = create_analyzer("lrp.epsilon", model_with(Forgetful()))
    analyzer.analyze(FULL, 0)
    with pytest.raises(UnsupportedModelError, match="padded at the end"):
        analyzer.analyze(END, 0)


def test_a_layer_that_is_followed_passes() -> None:
    model = model_with(Masked())
    found = create_analyzer("lrp.epsilon", model, verify="always").explain(END, 0)
    np.testing.assert_allclose(found.output, model.predict(END, verbose=0), atol=1e-6)


def test_it_can_be_left_out() -> None:
    create_analyzer("lrp.epsilon", model_with(Forgetful()), verify=False).analyze(END, 0)
    with pytest.raises(ValueError, match="verify must be one of"):
        create_analyzer("lrp.epsilon", model_with(Masked()), verify="never")


def test_ways_of_padding() -> None:
    rows = np.array([[1, 2, 3], [1, 2, 0], [0, 2, 1], [1, 0, 2], [0, 1, 0], [0, 0, 0]])
    ways = ["nowhere", "at the end", "at the front", "in between", "in between", "wholly"]
    for row, way in zip(rows, ways, strict=True):
        assert paddings(row[None], [0.0]) == {way}
        assert paddings(np.repeat(row[None, :, None], 2, axis=2).astype("float32"), [0.0]) == {way}


class Sample(layers.Layer):
    """A mean, and noise."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seed = keras.random.SeedGenerator(1)

    def call(self, mean: Any) -> Any:
        return mean + keras.random.normal((ops.shape(mean)[0], 2), seed=self.seed)


def test_another_output_may_be_random() -> None:
    given = keras.Input((6,))
    mean = layers.Dense(2, name="mean")(layers.Dense(5, activation="relu")(given))
    encoder = keras.Model(given, [mean, Sample(name="z")(mean)])
    x = np.random.default_rng(0).normal(size=(3, 6)).astype("float32")
    expected = create_analyzer("lrp.epsilon", keras.Model(given, mean)).analyze(x, 1)
    for output in ("mean", 0):
        found = create_analyzer("lrp.epsilon", encoder, output=output).analyze(x, 1)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(UnsupportedModelError):
        create_analyzer("lrp.epsilon", encoder, output="z").analyze(x, 1)


def test_an_output_that_is_nan_is_an_error_beside_finite_relevance() -> None:
    model = keras.Sequential(
        [
            keras.Input((5,), dtype="int32"),
            layers.Embedding(9, 3, mask_zero=True),
            layers.GlobalAveragePooling1D(),
            layers.Dense(2),
        ]
    )
    x = np.array([[1, 2, 3, 0, 0], [0, 0, 0, 0, 0]])
    with pytest.raises(NotFiniteError, match=r"1 of 2 samples, the first is number 1"):
        create_analyzer("lrp.epsilon_plus", model).explain(x, 1)


class Counting(keras.Model):
    """A model whose call changes a variable."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(2)
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x: Any) -> Any:
        self.count.assign_add(1.0)
        return self.dense(x) * self.count


@pytest.mark.tensorflow("JAX and PyTorch keep such a variable otherwise")
def test_a_call_that_counts_is_refused_in_words() -> None:
    model = Counting()
    x = np.ones((2, 3), "float32")
    model(x)
    with pytest.raises(UnsupportedModelError) as error:
        create_analyzer("lrp.epsilon", model).analyze(x)
    assert "''" not in str(error.value)
    assert "register_leaf" not in str(error.value)


@pytest.mark.parametrize(
    "depends",
    [
        lambda x: x * ops.cast(ops.shape(x)[0], x.dtype),
        lambda x: x + ops.cast(ops.arange(ops.shape(x)[0]), x.dtype)[:, None],
        lambda x: x - ops.mean(x, axis=0, keepdims=True),
        lambda x: x / ops.max(ops.abs(x)),
    ],
    ids=["size", "place", "mean", "largest"],
)
@pytest.mark.parametrize("name", ["lrp.epsilon", "gradient"])
def test_what_depends_on_the_batch_is_refused(name: str, depends: Callable[[Any], Any]) -> None:
    class Depends(layers.Layer):
        def call(self, x: Any) -> Any:
            return depends(x)

    given = keras.Input((4,))
    model = keras.Model(given, layers.Dense(2)(Depends()(given)))
    x = np.random.default_rng(0).normal(size=(5, 4))
    with pytest.raises(UnsupportedModelError):
        create_analyzer(name, model, batch_size=4).analyze(x, 1)
