"""Bad input is refused with a message that names the thing and the way out; good input keeps its structure."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasexplain import Analyzer, InputError, UnsupportedModelError, create_analyzer


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    inputs = keras.Input((3,), name="measurements")
    return create_analyzer("lrp.z", keras.Model(inputs, layers.Dense(4)(inputs)))


@pytest.fixture(scope="module")
def of_two() -> Analyzer:
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    return create_analyzer("lrp.z", keras.Model([a, b], layers.Dense(4)(layers.Concatenate()([a, b]))))


NAN = np.array([[0.0, 1.0, np.nan], [np.inf, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((2, 4)), r"'measurements' has shape \(batch, 3\), got \(2, 4\)"),
        (np.ones(3), r"got \(3,\)\. The first axis is the batch: pass x\[None\] for one sample"),
        (np.ones((2, 3, 1)), r"got \(2, 3, 1\)"),
        (np.ones((0, 3)), "'measurements' is empty"),
        (np.ones((2, 3), complex), "must hold real numbers, got complex128"),
        (np.array([["a", "b", "c"]]), "must hold real numbers, got <U1"),
        ("images.npy", "must hold real numbers, got the text 'images.npy': files are read first, by np.load say"),
        (np.array([[None, 1, 2]], object), "must hold real numbers, got object"),
        ([[1.0, 2.0, 3.0], [1.0]], "must be an array of numbers|real numbers"),
        (NAN, r"2 values that are NaN or infinite in float32, the first at \(0, 2\)"),
        (np.full((1, 3), 1e300), r"3 values that are NaN or infinite in float32, the first at \(0, 0\)"),
        ({"measurement": np.ones((1, 3))}, r"inputs are \['measurements'\]; the input has no \['measurements'\]"),
        (np.datetime64("2020-01-01"), "real numbers"),
    ],
)
def test_input_that_does_not_fit(analyzer: Analyzer, x: Any, message: str) -> None:
    for use in (analyzer.analyze, analyzer.explain, analyzer.audit):
        with pytest.raises(InputError, match=message):
            use(x)


@pytest.mark.parametrize(
    ("shape", "way"),
    [
        ((6, 5, 1), "pass x[None] for one sample"),
        ((2, 6, 5), "pass x[..., None]"),
        ((2, 1, 6, 5), "pass np.moveaxis(x, 1, -1)"),
        ((6, 5), ""),
        ((2, 6, 4), ""),
        ((2, 5, 6, 1), ""),
    ],
)
def test_a_missing_or_moved_axis_is_told(shape: tuple[int, ...], way: str) -> None:
    inputs = keras.Input((6, 5, 1), name="image")
    analyzer = create_analyzer("gradient", keras.Model(inputs, layers.Dense(2)(layers.Flatten()(inputs))))
    with pytest.raises(InputError) as refused:
        analyzer.analyze(np.ones(shape))
    assert str(refused.value).endswith(way or f"got {shape}")


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((2, 3)), r"has 2 inputs, \['a', 'b'\]: pass a list or a dict of them, not one array"),
        ([np.ones((2, 3))], "not 1 arrays"),
        ([np.ones((2, 2)), np.ones((2, 3))], r"'a' has shape \(batch, 3\), got \(2, 2\)"),
        ([np.ones((2, 3)), np.ones((4, 2))], r"different numbers of samples \(a: 2, b: 4\)"),
        ({"a": np.ones((2, 3))}, r"the input has no \['b'\], only \['a'\]"),
    ],
)
def test_several_inputs_that_do_not_fit(of_two: Analyzer, x: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        of_two.analyze(x)


@pytest.mark.parametrize(
    ("selection", "error", "message"),
    [
        (4, IndexError, r"neuron_selection 4 is out of range: the output has 4 neurons"),
        (-5, IndexError, "neuron_selection -5 is out of range"),
        ([0, 4], IndexError, "neuron_selection 4 is out of range"),
        (
            [0, 1, 2],
            InputError,
            "holds 3 indices, and there are 2 samples: pass one index for all of them, or one for each",
        ),
        (2.0, InputError, r"one weight per output and has its shape, \(4,\) or \(2, 4\); got \(\)"),
        ([0.5], InputError, r"got \(1,\)"),
        (np.ones((2, 1)), InputError, "labels are integers"),
        (np.full((2, 1), 0.5), InputError, r"got \(2, 1\)"),
        ("first", InputError, "must be an index, .* or a Contrast; got 'first'"),
        ([True, False, False], InputError, "must be an index, .* got list of 3 entries"),
    ],
)
def test_selections_that_do_not_fit(analyzer: Analyzer, selection: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        analyzer.analyze(np.ones((2, 3)), selection)


def test_mode_index_needs_an_index(analyzer: Analyzer) -> None:
    of_index = create_analyzer("lrp.z", analyzer.model, neuron_selection_mode="index")
    with pytest.raises(InputError, match='neuron_selection_mode="index" needs a neuron_selection'):
        of_index.analyze(np.ones((2, 3)))


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True])
def test_batch_sizes_that_are_none(analyzer: Analyzer, batch_size: Any) -> None:
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1"):
        analyzer.analyze(np.ones((2, 3)), batch_size=batch_size)


def test_a_broken_promise_about_the_range_is_told(analyzer: Analyzer) -> None:
    promised = create_analyzer("lrp.z_plus", analyzer.model, input_range=(0, 1))
    promised.analyze(np.array([[0.0, 1.0, 0.5]]))
    message = r"input_range=\(0, 1\) was promised, but the input 'measurements' holds values from -0\.5 to 2"
    with pytest.raises(InputError, match=message):
        promised.analyze(np.array([[0.0, 1.0, -0.5], [0.0, 0.0, 2.0]]))


def test_leaving_the_box_of_zb_is_told(analyzer: Analyzer) -> None:
    boxed = create_analyzer("lrp.epsilon", analyzer.model, input_layer_rule=(0.0, 1.0))
    boxed.analyze(np.array([[0.0, 1.0, 1.0 + 1e-7]]))
    with pytest.raises(InputError, match=r"ZB\(0\.0, 1\.0\).*Dense.*leaves them by up to 0\.5"):
        boxed.analyze(np.array([[0.0, 1.0, 1.0], [0.0, 1.0, 1.5]]))
    with pytest.raises(InputError, match="leaves them by up to"):
        boxed.audit(np.array([[0.0, 1.0, -0.1]]))


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_inputs_declared_as_integers_are_explained_as_the_numbers_they_are(dtype: str) -> None:
    rescaled, dense = layers.Rescaling(1 / 255), layers.Dense(2)
    whole, real = keras.Input((3,), dtype=dtype, name="pixels"), keras.Input((3,))
    x = np.array([[3, 200, 77], [0, 9, 1]], dtype)
    for name in ("lrp.z", "gradient", "input_t_gradient"):
        expected = create_analyzer(name, keras.Model(real, dense(rescaled(real)))).analyze(x, 1)
        given = create_analyzer(name, keras.Model(whole, dense(rescaled(whole)))).analyze(x, 1)
        assert given.dtype == "float32"
        np.testing.assert_allclose(given, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "x",
    [
        np.array([[1, 2, 3]]),
        np.array([[True, False, True]]),
        np.array([[1.0, 2.0, 3.0]], "float16"),
        [[1.0, 2.0, 3.0]],
        [np.array([[1.0, 2.0, 3.0]])],
        (np.array([[1.0, 2.0, 3.0]]),),
        {"measurements": np.array([[1.0, 2.0, 3.0]])},
        ops.convert_to_tensor([[1.0, 2.0, 3.0]]),
        ops.convert_to_tensor([[1.0, 2.0, 3.0]], "bfloat16"),
    ],
)
def test_real_numbers_of_any_kind_are_taken_and_come_back_in_their_structure(analyzer: Analyzer, x: Any) -> None:
    relevance = analyzer.analyze(x, 0)
    one = relevance
    if isinstance(x, (dict, tuple)) or (isinstance(x, list) and isinstance(x[0], np.ndarray)):
        keras.tree.assert_same_structure(relevance, x)
        (one,) = keras.tree.flatten(relevance)
    assert isinstance(one, np.ndarray)
    assert one.dtype == np.float32
    values = np.asarray(keras.tree.flatten(x)[0] if not isinstance(x, list) else x, "float32").reshape(1, 3)
    kernel = analyzer.model.layers[-1].get_weights()[0]
    np.testing.assert_allclose(one, values * kernel[:, 0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_several_inputs_come_back_in_their_structure(of_two: Analyzer, kind: type, rng: np.random.Generator) -> None:
    arrays = {"a": rng.normal(size=(5, 3)), "b": rng.normal(size=(5, 2))}
    x = dict(reversed(arrays.items())) if kind is dict else kind(arrays.values())
    relevance = of_two.analyze(x, 1)
    assert type(relevance) is kind
    kernel = of_two.model.layers[-1].get_weights()[0]
    a, b = (relevance["a"], relevance["b"]) if kind is dict else relevance
    np.testing.assert_allclose(a, arrays["a"] * kernel[:3, 1], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(b, arrays["b"] * kernel[3:, 1], rtol=1e-3, atol=1e-5)


def test_labels_beside_the_input_and_masked_arrays_are_told(analyzer: Analyzer) -> None:
    x = np.ones((2, 3))
    with pytest.raises(InputError, match=r"one input, 'measurements', and got 2 arrays .* without labels"):
        analyzer.analyze((x, np.array([0, 1])))
    with pytest.raises(InputError, match="masked array"):
        analyzer.analyze(np.ma.masked_array(x, x > 0))
    with pytest.raises(InputError, match="weights that are NaN"):
        analyzer.analyze(x, np.full((2, 4), np.nan))
    with pytest.raises(InputError, match="example= takes an input"):
        create_analyzer("lrp.z", keras.Sequential([layers.Dense(2)]), example="x")
    with pytest.raises(UnsupportedModelError, match="has no layers"):
        create_analyzer("lrp.z", keras.Sequential()).analyze(x)


def test_a_namedtuple_is_given_back_as_one(of_two: Analyzer) -> None:
    class Pair(NamedTuple):
        a: np.ndarray
        b: np.ndarray

    x = Pair(np.ones((2, 3)), np.ones((2, 2)))
    found = of_two.analyze(x)
    assert isinstance(found, Pair)
    np.testing.assert_array_equal(found.b, of_two.analyze(list(x))[1])
