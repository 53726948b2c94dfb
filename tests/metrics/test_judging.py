"""From data to scores: whatever the samples come from, and however many run at once, the scores are the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from helpers.linear import convolutional, linear
from keras import layers

from kerasexplain import Analyzer, Contrast, InputError, create_analyzer, metrics
from kerasexplain.metrics import (
    Completeness,
    Deletion,
    FaithfulnessCorrelation,
    Infidelity,
    LocalLipschitz,
    MaxSensitivity,
    ModelRandomization,
    PointingGame,
    RandomLogit,
    RegionPerturbation,
    Scores,
    SensitivityN,
    Sparseness,
    fills,
    judge,
)

COUNT = 5
EVERY = [
    RegionPerturbation(fill="uniform", size=2, order="both"),
    Deletion(fill="other", steps=4),
    FaithfulnessCorrelation(fill="neighbours", runs=8),
    SensitivityN(shares=(0.2, 0.5), runs=6),
    Infidelity(runs=6),
    ModelRandomization(),
    RandomLogit(),
    MaxSensitivity(runs=2),
    LocalLipschitz(runs=2),
    PointingGame(),
    Sparseness(),
    Completeness(),
]


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return convolutional(activation="softmax")


@pytest.fixture(scope="module")
def analyzer(model: keras.Model) -> Analyzer:
    return create_analyzer("lrp.epsilon_plus", model)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(COUNT, 6, 6, 2))


@pytest.fixture(scope="module")
def masks() -> np.ndarray:
    masks = np.zeros((COUNT, 6, 6), bool)
    masks[:, 1:4, 2:5] = True
    return masks


@pytest.fixture(scope="module")
def expected(analyzer: Analyzer, x: np.ndarray, masks: np.ndarray) -> list[Scores]:
    return judge(analyzer, EVERY, x, masks=masks)


def same(found: list[Scores], expected: list[Scores], rtol: float = 1e-7) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.values, other.values, rtol=rtol, atol=1e-9, err_msg=one.metric.name)
        for name, curve in other.curves.items():
            np.testing.assert_allclose(one.curves[name], curve, rtol=rtol, atol=1e-9)


@pytest.mark.parametrize("batch_size", [2, 64])
def test_batches(analyzer: Analyzer, x: np.ndarray, masks: np.ndarray, expected: list[Scores], batch_size: int) -> None:
    same(judge(analyzer, EVERY, x, masks=masks, batch_size=batch_size), expected)


class Sequence(keras.utils.PyDataset):
    def __init__(self, x: np.ndarray, masks: np.ndarray) -> None:
        super().__init__()
        self.x, self.masks = x, masks

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        rows = slice(2 * index, 2 * index + 2)
        return self.x[rows], self.masks[rows]


def test_streams(analyzer: Analyzer, x: np.ndarray, masks: np.ndarray, expected: list[Scores]) -> None:
    def generator() -> Iterator[Any]:
        yield from (Sequence(x, masks)[i] for i in range(3))

    for stream in (Sequence(x, masks), generator()):
        same(judge(analyzer, EVERY, stream, masks=lambda batch: batch[1], background=x), expected)


@pytest.mark.tensorflow("its data sets")
def test_a_dataset(analyzer: Analyzer, x: np.ndarray, masks: np.ndarray, expected: list[Scores]) -> None:
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((x, masks)).batch(2)
    same(judge(analyzer, EVERY[:2], dataset, masks=lambda batch: batch[1], background=x), expected[:2])


def test_maps_of_ones_own(
    model: keras.Model, analyzer: Analyzer, x: np.ndarray, masks: np.ndarray, expected: list[Scores]
) -> None:
    of_them = [scores for scores in expected if not scores.metric.explains_anew][::3]
    own = [scores.metric for scores in of_them]
    explanation = analyzer.explain(x)
    for maps in (explanation, explanation.relevance, lambda batch: analyzer.analyze(batch)):
        found = judge(model, own, x, masks=masks, relevance=maps, batch_size=2)
        same(found, of_them)
        assert found[0].analyzer == "relevance"
    stream = Sequence(x, masks)
    maps_of = judge(model, own, stream, masks=lambda b: b[1], background=x, relevance=lambda b: analyzer.analyze(b[0]))
    same(maps_of, of_them)


def test_maps_whose_channels_are_summed(
    model: keras.Model, analyzer: Analyzer, x: np.ndarray, masks: np.ndarray
) -> None:
    relevance = analyzer.analyze(x)
    own = [PointingGame(), Completeness(), RegionPerturbation(fill=0, size=3)]
    whole = judge(model, own, x, masks=masks, relevance=relevance)
    summed = relevance.sum(axis=-1)
    for maps in (summed, summed[..., None]):
        same(judge(model, own, x, masks=masks, relevance=maps), whole)
    with pytest.raises(InputError, match="of='gradient' needs the relevance of every channel"):
        Infidelity(of="gradient")(model, x, relevance=summed)
    with pytest.raises(InputError, match="'max_sensitivity' needs the relevance of every channel"):
        MaxSensitivity()(analyzer, x, relevance=summed)


def test_an_explanation_says_which_neuron_it_is_of(model: keras.Model, analyzer: Analyzer, x: np.ndarray) -> None:
    metric = RegionPerturbation(fill=0, size=3)
    least = np.asarray(model(x)).argmin(axis=1)
    explanation = analyzer.explain(x, least)
    found = metric(model, x, relevance=explanation)
    np.testing.assert_allclose(found.values, metric(analyzer, x, least).values)
    np.testing.assert_allclose(found.curves["most"][:, 0], explanation.explained)
    for target in (0, np.asarray(model(x)).argmax(axis=1)):
        with pytest.raises(InputError, match="the explanation is of another value than the one measured"):
            metric(model, x, target, relevance=explanation)
    with pytest.raises(InputError, match="the explanation is of another value"):
        metric(model, x[::-1], relevance=explanation)


@pytest.mark.parametrize(
    "target",
    [
        1,
        np.array([0, 1, 2, 1, 0]),
        np.eye(3)[[0, 1, 2, 1, 0]] * 2.0,
        Contrast(1),
        Contrast(np.array([0, 1, 2, 1, 0]), against=2),
    ],
    ids=["index", "indices", "weights", "contrast", "contrasts"],
)
def test_targets(model: keras.Model, analyzer: Analyzer, x: np.ndarray, target: Any) -> None:
    if isinstance(target, Contrast) and target.against == 2:
        target = Contrast(np.array([0, 1, 0, 1, 0]), against=2)
    found = RegionPerturbation(fill=0, size=3)(analyzer, x, target, batch_size=2)
    explained = analyzer.explain(x, target).explained
    np.testing.assert_allclose(found.curves["most"][:, 0], explained)
    again = RegionPerturbation(fill=0, size=3)(model, x, target, relevance=analyzer.analyze(x, target))
    np.testing.assert_allclose(found.values, again.values)


def test_outputs_of_several_axes(x: np.ndarray) -> None:
    inputs = keras.Input((4, 3), dtype="float64")
    model = keras.Model(inputs, layers.Conv1D(2, 1, dtype="float64", use_bias=False, name="conv")(inputs))
    analyzer = create_analyzer("input_t_gradient", model)
    signals = x.reshape(COUNT, -1)[:, :12].reshape(COUNT, 4, 3)
    kernel = model.get_layer("conv").get_weights()[0][0]
    outputs = signals @ kernel
    metric = RegionPerturbation(fill=0)
    for target in (None, (1, 0), np.stack([np.arange(COUNT) % 4, np.arange(COUNT) % 2], axis=1)):
        if target is None:
            first = outputs.reshape(COUNT, -1).max(axis=1)
        else:
            rows = np.broadcast_to(np.asarray(target), (COUNT, 2))
            first = outputs[np.arange(COUNT), rows[:, 0], rows[:, 1]]
        curve = metric(analyzer, signals, target, batch_size=2).curves["most"]
        np.testing.assert_allclose(curve[:, 0], first)
        # Only one position is looked at: it is removed first where it speaks for the output, and last where against.
        np.testing.assert_allclose(curve[:, 1], np.where(first > 0, 0, first), atol=1e-12)
    with pytest.raises(InputError, match="compares a class with another"):
        RandomLogit()(analyzer, signals)


def test_one_of_several_outputs(x: np.ndarray) -> None:
    inputs = keras.Input((6, 6, 2), dtype="float64")
    flat = layers.Flatten(dtype="float64")(inputs)
    outs = [layers.Dense(size, name=name, dtype="float64")(flat) for name, size in (("first", 2), ("second", 3))]
    model = keras.Model(inputs, outs)
    analyzer = create_analyzer("gradient", model, output="second")
    found = RegionPerturbation(fill=0, size=3)(analyzer, x)
    np.testing.assert_allclose(found.curves["most"][:, 0], np.asarray(model(x)[1]).max(axis=1))


def test_one_sample_and_one_class() -> None:
    model, x = linear(np.ones(4)), np.array([[1.0, 2, 3, 4]])
    analyzer = create_analyzer("input_t_gradient", model)
    assert RegionPerturbation(fill=0)(analyzer, x).values == pytest.approx([(4 + 7 + 9 + 10) / 5])
    with pytest.raises(InputError, match="there is a single row"):  # the mean of one sample is the sample
        RegionPerturbation(fill="mean")(analyzer, x)
    with pytest.raises(InputError, match="needs a sample that differs"):
        RegionPerturbation(fill="other")(analyzer, x)
    with pytest.raises(InputError, match="compares a class with another"):
        RandomLogit()(analyzer, x)


def test_single_precision(x: np.ndarray) -> None:
    model = linear(np.random.default_rng(3).normal(size=(6, 6, 2, 3)), "float32")
    analyzer = create_analyzer("gradient", model)
    metric = RegionPerturbation(fill="low", size=3)
    one = metric(analyzer, x.astype("float32"))
    other = metric(analyzer, x)  # which the model is given in single precision
    np.testing.assert_array_equal(one.values, other.values)
    assert metric(analyzer, x.tolist()).values == pytest.approx(one.values)


def test_seeds(analyzer: Analyzer, x: np.ndarray) -> None:
    for make in (RandomLogit, MaxSensitivity, RegionPerturbation):
        scores = [make(seed=seed)(analyzer, x).values for seed in (0, 0, 1)]
        np.testing.assert_array_equal(scores[0], scores[1])
        assert not np.array_equal(scores[0], scores[2])


def test_functions_are_compiled_once(model: keras.Model, x: np.ndarray) -> None:
    analyzer = create_analyzer("gradient", model)
    RegionPerturbation(fill=0)(analyzer, x)
    value = metrics.judging.value_of(analyzer)
    Deletion(fill=0)(analyzer, x)
    assert metrics.judging.value_of(analyzer) is value


def test_live_weights(x: np.ndarray) -> None:
    model = linear(np.ones((6, 6, 2, 1)))
    analyzer = create_analyzer("input_t_gradient", model)
    before = RegionPerturbation(fill=0, size=3)(analyzer, x)
    model.set_weights([2 * w for w in model.get_weights()])
    after = RegionPerturbation(fill=0, size=3)(analyzer, x)
    np.testing.assert_allclose(after.values, 2 * before.values)


def test_progress(analyzer: Analyzer, x: np.ndarray, masks: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    RegionPerturbation(fill=0, size=3)(analyzer, x, verbose=1, batch_size=2)
    assert "5/5" in capsys.readouterr().out
    RegionPerturbation(fill=0, size=3)(analyzer, Sequence(x, masks), verbose=1)
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"relevance": np.zeros((COUNT, 6, 6, 3))},
            r"must have its shape \(5, 6, 6, 2\), or that with channels summed",
        ),
        ({"relevance": np.zeros((COUNT, 6, 5))}, "must have its shape"),
        ({"relevance": np.zeros((COUNT, 2, 6, 6))}, "must have its shape"),
        ({"relevance": np.zeros((COUNT - 1, 6, 6, 2))}, "relevance has 4 entries for 5 samples"),
        ({"relevance": np.full((COUNT, 6, 6, 2), np.nan)}, "holds values that are NaN or infinite"),
        ({"relevance": [np.zeros((COUNT, 6, 6, 2))] * 2}, "relevance is an array for each input of the model"),
        ({"relevance": np.zeros((COUNT, 6, 6, 2), complex)}, "must hold real numbers"),
        ({"relevance": 0.5}, "entries for 5 samples"),
        ({"background": np.zeros((3, 6, 6, 3))}, "got \\(3, 6, 6, 3\\)"),
        ({"background": np.full((3, 6, 6, 2), np.nan)}, "NaN or infinite"),
        ({"background": iter([np.zeros((3, 6, 6, 2))])}, "background= takes arrays, and got a stream"),
        ({"target": np.array([0, 1])}, "2"),
        ({"masks": np.zeros((COUNT, 6, 5), bool)}, "one truth value for each position"),
    ],
)
def test_what_does_not_fit_is_told(analyzer: Analyzer, x: np.ndarray, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RegionPerturbation(fill="mean", size=3)(analyzer, x, **options)


def test_streams_need_to_be_told_more(analyzer: Analyzer, x: np.ndarray, masks: np.ndarray) -> None:
    with pytest.raises(InputError, match="pass background="):
        RegionPerturbation(fill="mean")(analyzer, Sequence(x, masks))
    with pytest.raises(InputError, match="masks of a stream's samples is a function of the batch"):
        PointingGame()(analyzer, Sequence(x, masks), masks=masks)
    with pytest.raises(InputError, match="relevance of a stream's samples is a function of the batch"):
        Sparseness()(analyzer, Sequence(x, masks), relevance=analyzer.analyze(x))
    assert RegionPerturbation(fill="blur", size=3)(analyzer, Sequence(x, masks)).defined == COUNT


@pytest.mark.once("before anything runs")
def test_what_is_no_analyzer_or_metric(model: keras.Model, analyzer: Analyzer, x: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pass relevance=, or an analyzer"):
        RegionPerturbation()(model, x)
    with pytest.raises(TypeError, match="a metric takes an analyzer"):
        RegionPerturbation()("lrp.epsilon", x)
    with pytest.raises(ValueError, match="'max_sensitivity' explains samples anew: pass an analyzer"):
        MaxSensitivity()(model, x, relevance=x)
    with pytest.raises(TypeError, match=r"metrics are values, and Sparseness is a class: pass Sparseness\(\)"):
        judge(analyzer, [Sparseness], x)
    with pytest.raises(TypeError, match="metrics are values such as"):
        judge(analyzer, ["sparseness"], x)
    with pytest.raises(TypeError, match="positional"):
        RegionPerturbation(analyzer, x)


def test_ids_and_masks_of_padding(rng: np.random.Generator) -> None:
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(20, 4, mask_zero=True),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3),
        ]
    )
    ids = rng.integers(1, 20, (4, 6))
    ids[:, 4:] = 0
    analyzer = create_analyzer("input_t_gradient", model)
    for fill in (fills.Delete(), 0, 7, "other"):
        found = RegionPerturbation(fill=fill, steps=3)(analyzer, ids, batch_size=3)
        assert found.defined == 4
    with pytest.raises(InputError, match=r"gives nan for changed copy 4 of 7 of sample 0: for a sentence"):
        RegionPerturbation(fill=fills.Delete())(analyzer, ids)
    with pytest.raises(InputError, match="pass the id of a mask or padding token"):
        RegionPerturbation()(analyzer, ids)
    with pytest.raises(InputError, match="holds integers"):
        MaxSensitivity()(analyzer, ids)


def test_sizes_of_samples_and_of_batches(rng: np.random.Generator) -> None:
    inputs = keras.Input((None, None, 2))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(inputs))
    analyzer = create_analyzer("gradient", keras.Model(inputs, layers.Dense(3)(x)))
    small, large = rng.normal(size=(2, 6, 6, 2)), rng.normal(size=(2, 7, 6, 2))
    with pytest.raises(InputError, match="samples of one size are judged together"):
        RegionPerturbation(fill=0, steps=3)(analyzer, iter([small, large]))
    assert RegionPerturbation(fill="mean", steps=3)(analyzer, small, background=large).defined == 2
    with pytest.raises(InputError, match="'other' needs other samples of the same size"):
        RegionPerturbation(fill="other", steps=3)(analyzer, small, background=large)

    inputs = keras.Input(batch_shape=(4, 6))
    fixed = create_analyzer("input_t_gradient", keras.Model(inputs, layers.Dense(3)(inputs)))
    open_ = create_analyzer("input_t_gradient", linear(fixed.model.get_weights()[0], "float32"))
    table = rng.normal(size=(6, 6))
    np.testing.assert_allclose(
        RegionPerturbation(fill=0)(fixed, table).values, RegionPerturbation(fill=0)(open_, table).values, rtol=1e-5
    )


def test_ids_in_an_input_of_floating_point(rng: np.random.Generator) -> None:
    """Keras' inputs are of floating point where nothing else is said: half an id is none, there either."""
    inputs = keras.Input((6,))
    h = layers.Flatten()(layers.Embedding(9, 3)(inputs))
    analyzer = create_analyzer("lrp.epsilon", keras.Model(inputs, layers.Dense(2)(h)))
    x = rng.integers(1, 9, (4, 6)).astype("float32")
    for fill in ("uniform", "mean"):
        with pytest.raises(InputError, match=r"holds ids \(float32\), which are looked up"):
            RegionPerturbation(fill=fill)(analyzer, x)
    with pytest.raises(InputError, match="the fill must hold integers"):
        RegionPerturbation(fill=0.5)(analyzer, x)
    with pytest.raises(InputError, match=r"holds ids \(float32\), which have no near neighbours"):
        metrics.MaxSensitivity()(analyzer, x)
    x[:, 4:] = 0
    integers = keras.Input((6,), dtype="int32")
    same = keras.Model(integers, analyzer.model(keras.ops.cast(integers, "float32")))
    found = RegionPerturbation(fill=0)(analyzer, x)
    of_integers = RegionPerturbation(fill=0)(create_analyzer("lrp.epsilon", same), x.astype("int32"))
    np.testing.assert_allclose(found.values, of_integers.values, rtol=1e-6)  # padding comes last for both


def test_neighbours_of_a_single_row_do_not_differ_from_it() -> None:
    analyzer = create_analyzer("gradient", linear(np.ones(4)))
    row = np.ones((1, 4))
    assert np.isnan(metrics.MaxSensitivity()(analyzer, row).values).all()
    assert metrics.MaxSensitivity()(analyzer, row, background=np.array([[0.0] * 4, [1.0] * 4])).values == 0
