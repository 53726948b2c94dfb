"""Inputs, selections and names as people give them: the right map, or a refusal in words."""

from __future__ import annotations

import copy
import gc
import pathlib
import pickle
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from helpers.backends import gradients
from keras import layers, ops

from kerasexplain import Contrast, InputError, UnsupportedModelError, create_analyzer
from kerasexplain.callbacks import RelevanceLogger
from kerasexplain.cli.reading import samples

on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="about TensorFlow's own objects")


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def dense() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), layers.Dense(5, activation="relu", name="one"), layers.Dense(3)])


# Arguments and names


def test_exchanged_arguments_are_named() -> None:
    with pytest.raises(TypeError, match="model and name are exchanged"):
        create_analyzer(dense(), "lrp.epsilon")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="takes a Keras model, got of type str"):
        create_analyzer("lrp.epsilon", "model.keras")  # type: ignore[arg-type]


def test_a_layer_itself_or_its_name_alone() -> None:
    model, x = dense(), random(2, 4)
    by_name = create_analyzer("lrp.epsilon", model, override=[("one", "Flat")])
    by_layer = create_analyzer("lrp.epsilon", model, override=[(model.layers[0], "Flat")])
    np.testing.assert_array_equal(by_layer.analyze(x), by_name.analyze(x))
    assert by_layer == by_name
    assert list(by_name.explain(x, layers="one").layers) == ["one"]
    assert list(by_name.explain(x, layers=[model.layers[0]]).layers) == ["one"]


def test_the_end_of_a_name_that_no_other_has() -> None:
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(5, name="hidden")], name="inner")
    other = keras.Sequential([keras.Input((5,)), layers.Dense(5, name="hidden")], name="other")
    x = random(2, 4)
    once = keras.Sequential([keras.Input((4,)), inner, layers.Dense(2)])
    analyzer = create_analyzer("lrp.epsilon", once, override=[("hidden", "Flat")])
    full = create_analyzer("lrp.epsilon", once, override=[("inner/hidden", "Flat")])
    np.testing.assert_array_equal(analyzer.analyze(x), full.analyze(x))
    assert analyzer.explain(x, layers=["hidden"]).layers["hidden"].shape == (2, 5)
    twice = keras.Sequential([keras.Input((4,)), inner, other])
    with pytest.raises(ValueError, match=r"several operations are named 'hidden'.*inner/hidden.*other/hidden"):
        create_analyzer("lrp.epsilon", twice).explain(x, layers=["hidden"])


# Selections


def test_floating_point_labels_are_refused_and_weights_are_not() -> None:
    model, x = dense(), random(3, 4)
    analyzer = create_analyzer("lrp.epsilon", model)
    for labels in ([0.0, 2.0, 1.0], [[0.0], [2.0], [1.0]]):
        with pytest.raises(InputError, match=r"labels are integers, pass y.astype\(int\)"):
            analyzer.analyze(x, np.array(labels))
    with pytest.raises(InputError, match="labels are integers"):
        analyzer.analyze(x[:2], np.array([2.0, 1.0]))
    one_hot = analyzer.explain(x, np.array([0.0, 1.0, 0.0])).explained
    np.testing.assert_allclose(one_hot, model.predict(x, verbose=0)[:, 1], rtol=1e-5)


def test_neurons_of_outputs_of_open_size() -> None:
    model = keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(4, 3, padding="same", activation="relu"), layers.Conv2D(2, 1)]
    )
    for height, width in ((10, 12), (7, 9)):
        x = random(2, height, width, 3)
        y = model.predict(x, verbose=0)
        analyzer = create_analyzer("lrp.epsilon", model)
        found = analyzer.explain(x, (3, 4, 1))
        np.testing.assert_allclose(found.explained, y[:, 3, 4, 1], rtol=1e-5, atol=1e-6)
        found = analyzer.explain(x, Contrast((3, 4, 1), against=(3, 4, 0)))
        np.testing.assert_allclose(found.explained, y[:, 3, 4, 1] - y[:, 3, 4, 0], rtol=1e-4, atol=1e-6)
        found = create_analyzer("lrp.epsilon", model, neuron_selection_mode="all").explain(x)
        np.testing.assert_allclose(found.explained, y.reshape(2, -1).sum(axis=1), rtol=1e-4, atol=1e-5)
        with pytest.raises(IndexError):
            analyzer.explain(x, (3, width, 1))


def test_masks_of_regions() -> None:
    model = keras.Sequential([keras.Input((5, 6, 3)), layers.Conv2D(2, 3, padding="same")])
    x = random(4, 5, 6, 3)
    y = model.predict(x, verbose=0)
    region = np.zeros((5, 6, 2), bool)
    region[1:3, 2:4, 1] = True
    each = np.stack([np.roll(region, shift, axis=0) for shift in range(4)])
    analyzer = create_analyzer("lrp.epsilon", model, batch_size=3)
    for mask in (region, region.astype("uint8"), each, each.astype(int)):
        expected = (y * mask).reshape(4, -1).sum(axis=1)
        np.testing.assert_allclose(analyzer.explain(x, mask).explained, expected, rtol=1e-4, atol=1e-6)
    two = create_analyzer("lrp.epsilon", dense()).explain(x[:, 0, :4, 0], [True, False, True])
    np.testing.assert_allclose(two.explained, two.output[:, 0] + two.output[:, 2], rtol=1e-5)


# Indices


def ids_model(dtype: str) -> keras.Model:
    return keras.Sequential(
        [keras.Input((6,), dtype=dtype), layers.Embedding(30, 4), layers.Flatten(), layers.Dense(2, activation="tanh")]
    )


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_ids_are_moved_in_the_space_of_what_they_look_up(dtype: str) -> None:
    ids, model = np.random.default_rng(0).integers(0, 30, (2, 6)), ids_model(dtype)
    found = create_analyzer("integrated_gradients", model, reference_inputs=3).explain(ids, 1)
    at_baseline = model.predict(np.full_like(ids, 3), verbose=0)[:, 1]
    assert found.relevance.shape == ids.shape
    np.testing.assert_allclose(found.reference, at_baseline, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.relevance.sum(axis=1), found.explained - at_baseline, rtol=1e-3, atol=1e-5)
    # The gradient at every point of the line, from a model of what is looked up.
    embedding, (flatten, last) = model.layers[0], model.layers[1:]
    behind = keras.Sequential([keras.Input((6, 4)), flatten, last])
    x, b = (ops.convert_to_numpy(embedding(np.asarray(i))) for i in (ids, np.full_like(ids, 3)))
    own = [
        create_analyzer("integrated_gradients", behind, reference_inputs=b[i]).analyze(x[i : i + 1], 1)[0].sum(axis=-1)
        for i in range(2)
    ]
    np.testing.assert_allclose(found.relevance, own, rtol=1e-3, atol=1e-5)
    noisy = create_analyzer("smoothgrad", model, noise_scale=1e-4).analyze(ids, 1)
    np.testing.assert_allclose(noisy, create_analyzer("gradient", model).analyze(ids, 1), rtol=1e-2, atol=1e-3)


def test_a_column_of_ids_beside_real_ones() -> None:
    given = keras.Input((3,))
    embedded = layers.Embedding(5, 4)(ops.cast(given[:, 1], "int32"))
    hidden = layers.Dense(5, activation="tanh")(layers.Concatenate()([embedded, given[:, 2:], given[:, :1]]))
    model = keras.Model(given, layers.Dense(1)(hidden))
    x = np.array([[0.5, 4.0, 0.3], [1.0, 2.0, -0.3]], "float32")
    found = create_analyzer("integrated_gradients", model).explain(x, 0)
    np.testing.assert_allclose(found.relevance.sum(axis=1), found.explained - found.reference, rtol=1e-3, atol=1e-5)
    assert np.abs(found.relevance).min() > 0
    shares = create_analyzer("lrp.bias_as_input", model).explain(x, 0, bias=True)
    biases = sum(part.sum(axis=tuple(range(1, part.ndim))) for part in shares.bias.values())
    np.testing.assert_allclose(shares.relevance.sum(axis=1) + biases, shares.explained, rtol=1e-5, atol=1e-6)
    assert np.abs(shares.relevance).min() > 0


@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.sqrt(ops.maximum(x, 0.01)),
        lambda x: ops.sqrt(ops.square(x) + 1e-3),
        lambda x: ops.sqrt(ops.clip(x, 0.1, 5.0)),
        lambda x: ops.sqrt(ops.relu(x) + 1e-6),
    ],
)
def test_roots_of_what_stays_above_zero(function: Callable[[Any], Any]) -> None:
    given = keras.Input((3,), dtype="float64")
    hidden = layers.Dense(4, dtype="float64")(given)
    model = keras.Model(given, layers.Dense(2, dtype="float64")(function(hidden)))
    found = create_analyzer("lrp.bias_as_input", model).explain(
        np.random.default_rng(0).normal(size=(4, 3)), 0, bias=True
    )
    biases = sum(part.sum(axis=tuple(range(1, part.ndim))) for part in found.bias.values())
    np.testing.assert_allclose(found.relevance.sum(axis=1) + biases, found.explained, rtol=1e-12)
    with pytest.raises(UnsupportedModelError, match="sqrt"):
        create_analyzer("lrp.epsilon", keras.Model(given, layers.Dense(1)(ops.sqrt(ops.relu(hidden)))))


def test_ids_that_are_moved_first_are_checked() -> None:
    given = keras.Input((3,))
    column = ops.cast(given[:, 1], "int32")
    embedded = layers.Embedding(5, 4)(column)
    model = keras.Model(given, layers.Dense(2)(layers.Concatenate()([embedded, given[:, 2:]])))
    analyzer = create_analyzer("lrp.epsilon", model)
    analyzer.analyze(np.array([[99.0, 4.0, 0.3]]), 0)
    with pytest.raises(InputError, match=r"indices, made of that, from 0 to 4.*got 7 to 7"):
        analyzer.analyze(np.array([[0.0, 7.0, 0.3]]), 0)


@on_tensorflow
@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count", "int"])
def test_numbers_that_are_looked_up(mode: str) -> None:
    lookup = layers.IntegerLookup(vocabulary=[10, 20, 30], output_mode=mode)
    code, age = keras.Input((1,), dtype="int64", name="code"), keras.Input((1,), name="age")
    vector = lookup(code) if mode != "int" else layers.Flatten()(layers.Embedding(4, 4)(lookup(code)))
    model = keras.Model([code, age], layers.Dense(1, use_bias=False)(layers.Concatenate()([vector, age])))
    x = {"code": np.array([[10], [20]]), "age": np.array([[1.0], [2.0]], "float32")}
    found = create_analyzer("lrp.bias_as_input", model).explain(x)
    total = found.relevance["code"].ravel() + found.relevance["age"].ravel()
    np.testing.assert_allclose(total, found.explained, rtol=1e-5, atol=1e-6)
    if mode != "int":
        kernel = keras.ops.convert_to_numpy(model.layers[-1].kernel).ravel()
        np.testing.assert_allclose(found.relevance["code"].ravel(), kernel[[1, 2]], rtol=1e-5)


# Inputs


@on_tensorflow
def test_ragged_tensors_are_refused() -> None:
    import tensorflow as tf

    model = ids_model("int32")
    with pytest.raises(InputError, match=r"ragged tensor.*x.to_tensor\(\)"):
        create_analyzer("lrp.epsilon", model).analyze(tf.ragged.constant([[1, 2, 3, 4, 5, 6], [4]]))


def test_images_of_16_bits(tmp_path: pathlib.Path) -> None:
    image = pytest.importorskip("PIL.Image")
    model = keras.Sequential([keras.Input((16, 16, 1)), layers.Flatten(), layers.Dense(2)])
    ramp = np.linspace(0, 255, 256).reshape(16, 16)
    image.fromarray(ramp.astype("uint8")).save(tmp_path / "8.png")
    image.fromarray((ramp * 257).astype("uint16")).save(tmp_path / "16.png")
    (eight, _), (sixteen, _) = (samples([tmp_path / f"{bits}.png"], model) for bits in (8, 16))
    assert np.abs(sixteen.astype(int) - eight).max() <= 1


def test_keys_in_any_order() -> None:
    inputs = {"tokens": keras.Input((6,), dtype="int32"), "mask": keras.Input((6,))}
    embedded = layers.Embedding(20, 8)(inputs["tokens"]) * ops.expand_dims(inputs["mask"], -1)
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(embedded)))
    x = {"tokens": np.arange(12).reshape(2, 6), "mask": np.ones((2, 6), "float32")}
    found = create_analyzer("lrp.epsilon", model, example=x).explain(x, 1)
    np.testing.assert_allclose(found.explained, model.predict(x, verbose=0)[:, 1], rtol=1e-5)


# Models


def test_a_sequential_model_that_has_not_been_built() -> None:
    x = random(2, 6)
    model = keras.Sequential([layers.Dense(4, activation="relu"), layers.Dense(2)])
    assert create_analyzer("lrp.epsilon", model, example=x).analyze(x).shape == x.shape
    later = create_analyzer("lrp.epsilon", keras.Sequential([layers.Dense(2)]))
    assert "not been called" in str(later)
    with pytest.raises(UnsupportedModelError, match="has not been built"):
        _ = later.graph


def test_a_table_of_positions_that_is_shorter_than_what_is_tried() -> None:
    class Tokens(layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.positions = layers.Embedding(30, 8), layers.Embedding(12, 8)

        def call(self, x: Any) -> Any:
            return self.tokens(x) + self.positions(ops.arange(0, ops.shape(x)[-1]))

    given = keras.Input((None,), dtype="int32")
    model = keras.Model(given, layers.Dense(2)(layers.GlobalAveragePooling1D()(Tokens()(given))))
    x = np.arange(18).reshape(2, 9)
    found = create_analyzer("lrp.attention", model).explain(x, 1)
    np.testing.assert_allclose(found.explained, model.predict(x, verbose=0)[:, 1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))], ids=["copy", "pickle"])
def test_analyzers_are_copied_used_or_not(copied: Any, used: bool) -> None:
    x = random(2, 4)
    analyzer = create_analyzer("lrp.gamma", dense())
    if used:
        analyzer.analyze(x)
    np.testing.assert_allclose(copied(analyzer).analyze(x), analyzer.analyze(x), rtol=1e-6)


def test_a_copy_knows_what_inputs_its_model_takes() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    x = random(2, 4)
    analyzer = create_analyzer("lrp.epsilon", Own(), example=x)
    assert copy.copy(analyzer).graph.inputs[0].shape == (None, 4)


# Grad-CAM


def test_grad_cam_takes_positions_alone_and_says_which() -> None:
    given = keras.Input((16, 16, 8))
    convolved = layers.Conv2D(4, 3, activation="relu", name="last")(given)
    model = keras.Model(given, layers.Dense(2)(layers.Flatten()(convolved)))
    assert "the map is that of last/relu" in str(create_analyzer("grad_cam", model))

    tokens = keras.Input((16, 8))
    attended = layers.MultiHeadAttention(2, 4)(tokens, tokens)
    transformer = keras.Model(tokens, layers.Dense(3)(layers.GlobalAveragePooling1D()(tokens + attended)))
    with pytest.raises(UnsupportedModelError, match=r"positions in the input.*no positions"):
        create_analyzer("grad_cam", transformer).analyze(random(1, 16, 8))

    turned = layers.Dense(4)(layers.Permute((1, 3, 2))(layers.Conv2D(14, 3)(given)))
    square = keras.Model(given, layers.Dense(2)(layers.Flatten()(turned)))
    with pytest.raises(UnsupportedModelError, match="positions"):
        create_analyzer("grad_cam", square, layer=square.layers[3].name).analyze(random(1, 16, 16, 8))


# What is said


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
    with pytest.raises(
        UnsupportedModelError, match=r"closing \(Closing\): .*functions that close over tensors"
    ) as told:
        create_analyzer("lrp.epsilon", model)
    assert "\x1b" not in str(told.value)
    assert "KerasTensor" not in str(told.value)


@on_tensorflow
def test_text_is_refused_with_the_code_that_explains_the_rest() -> None:
    words = layers.TextVectorization(output_sequence_length=5, vocabulary=["a", "b", "c"], name="words")
    model = keras.Sequential(
        [keras.Input((1,), dtype="string"), words, layers.Embedding(6, 3), layers.Flatten(), layers.Dense(2)]
    )
    text = np.array([["a b"]], object)
    with pytest.raises(InputError, match=r"is text, which has no relevance.*model.get_layer\('words'\)"):
        create_analyzer("gradient", model).analyze(text)
    lookup = model.get_layer("words")
    behind = keras.Model(lookup.output, model.outputs)
    assert create_analyzer("lrp.epsilon", behind).analyze(lookup(text)).shape == (1, 5)


def test_an_audit_speaks_where_the_inputs_get_almost_nothing() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    model.layers[0].set_weights([np.full((4, 3), 1e-4), np.array([5.0, 0, 0])])
    analyzer, x = create_analyzer("lrp.epsilon", model), np.ones((2, 4), "float32")
    with pytest.warns(UserWarning, match=r"the inputs get 0.008 % of what is explained.*lrp.epsilon_IB"):
        found = analyzer.explain(x, 0, audit=True)
    assert "0.008 %" in str(found.audit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        analyzer.audit(x, 0)  # it is said once
        create_analyzer("lrp.epsilon", dense()).audit(x)


def test_nonlinearities_that_are_not_zero_at_zero_are_marked() -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5, activation="sigmoid"), layers.Dense(3)])
    x = random(3, 4)
    assert "Ignore(), though f(0) = 0.5" in str(create_analyzer("lrp.z", model))
    slope = create_analyzer("lrp.z", model, nonlinearity="slope")
    assert "though" not in str(slope)
    expected = create_analyzer("lrp.bias_as_input", model).analyze(x)
    np.testing.assert_allclose(slope.analyze(x), expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="nonlinearity must be one of 'ignore', 'slope'"):
        create_analyzer("lrp.z", model, nonlinearity="gradient")


@on_tensorflow
def test_dropped_models_are_freed() -> None:
    def once() -> Any:
        model = keras.Sequential([keras.Input((30,)), layers.Dense(20, activation="relu"), layers.Dense(10)])
        create_analyzer("lrp.epsilon", model).analyze(np.ones((2, 30), "float32"))
        return weakref.ref(model.layers[0].kernel)

    kernels = [once() for _ in range(4)]
    gc.collect()
    assert sum(kernel() is not None for kernel in kernels) <= 1


def test_target_is_another_name_of_the_selection() -> None:
    analyzer, x = create_analyzer("lrp.epsilon", dense()), random(3, 4)
    expected = analyzer.analyze(x, [2, 0, 1])
    np.testing.assert_array_equal(analyzer.analyze(x, target=[2, 0, 1]), expected)
    np.testing.assert_array_equal(analyzer.explain(x, target=[2, 0, 1]).relevance, expected)
    (found,) = (found for _, found in analyzer.explain_batches(x, target=[2, 0, 1]))
    np.testing.assert_array_equal(found.relevance, expected)
    assert analyzer.audit(x, target=1).explained == pytest.approx(analyzer.audit(x, 1).explained)
    with pytest.raises(ValueError, match="target= is another name of neuron_selection="):
        analyzer.analyze(x, 0, target=0)


@pytest.mark.parametrize("wrong", [True, [3], 1.5])
def test_layers_are_named(wrong: Any) -> None:
    with pytest.raises(ValueError, match="layers= takes the name of an operation, or a list of names"):
        create_analyzer("lrp.epsilon", dense()).explain(random(2, 4), layers=wrong)


@pytest.mark.parametrize(("x", "match"), [(None, "x is None"), ([[1, 2, 3, 4], [5]], "pad them to one length")])
def test_inputs_that_are_none(x: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        create_analyzer("lrp.epsilon", dense()).analyze(x)


def test_a_wrong_name_is_told_when_a_callback_is_made(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"there is no analyzer 'lrp\.epsilom'\. Did you mean 'lrp\.epsilon'"):
        RelevanceLogger(["gradient", "lrp.epsilom"], random(2, 4), log_dir=tmp_path)


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
