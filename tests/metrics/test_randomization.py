"""Model randomisation, random logits and robustness: by hand where that can be, and the weights as they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from helpers.linear import convolutional, linear
from keras import layers
from scipy import stats

from kerasexplain import Analyzer, InputError, create_analyzer
from kerasexplain.metrics import LocalLipschitz, MaxSensitivity, ModelRandomization, RandomLogit
from kerasexplain.metrics.randomization import layers_with_weights, weights_put_back

COUNT = 3


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(COUNT, 6, 6, 2))


def permuted(values: np.ndarray, layer: int, number: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, layer, number]).permutation(values.ravel()).reshape(values.shape)


@pytest.mark.parametrize("cascading", [True, False])
@pytest.mark.parametrize("absolute", [True, False])
def test_similarity_to_a_model_that_is_randomised_by_hand(x: np.ndarray, cascading: bool, absolute: bool) -> None:
    model = convolutional()
    target = np.asarray(model(x)).argmax(axis=1)
    original = create_analyzer("gradient", model).analyze(x, target).sum(axis=-1)
    found = ModelRandomization(cascading=cascading, absolute=absolute)(create_analyzer("gradient", model), x)
    other = convolutional()
    other.set_weights(model.get_weights())
    for k, name in enumerate(("logits", "conv")):
        if not cascading:
            other.set_weights(model.get_weights())
        kernel, bias = model.get_layer(name).get_weights()
        other.get_layer(name).set_weights([permuted(kernel, k, 0), permuted(bias, k, 1)])
        maps = create_analyzer("gradient", other).analyze(x, target).sum(axis=-1)
        for i in range(COUNT):
            a, b = (np.abs(m) if absolute else m for m in (original[i].ravel(), maps[i].ravel()))
            assert found.curves["model_randomization"][i, k] == pytest.approx(stats.spearmanr(a, b).statistic)
    np.testing.assert_allclose(found.values, found.curves["model_randomization"].mean(axis=1))
    np.testing.assert_allclose(found.steps["model_randomization"], [0.5, 1])


def test_what_does_not_look_at_the_model_stays_as_it_is(x: np.ndarray) -> None:
    for name in ("random", "edges", "input"):
        found = ModelRandomization()(create_analyzer(name, convolutional()), x)
        assert found.values == pytest.approx(np.ones(COUNT))
        assert RandomLogit()(create_analyzer(name, convolutional()), x).values == pytest.approx(np.ones(COUNT))


def normalised() -> keras.Model:
    x = inputs = keras.Input((6, 6, 2), dtype="float64")
    x = layers.Conv2D(3, 3, dtype="float64")(x)
    x = layers.BatchNormalization(dtype="float64")(x)
    return keras.Model(inputs, layers.Dense(2, dtype="float64")(layers.GlobalAveragePooling2D(dtype="float64")(x)))


def shared() -> keras.Model:
    inputs = keras.Input((6, 6, 2), dtype="float64")
    conv = layers.Conv2D(2, 3, padding="same", activation="tanh", dtype="float64")
    x = layers.Flatten(dtype="float64")(conv(conv(inputs)))
    return keras.Model(inputs, layers.Dense(2, dtype="float64")(x))


def nested() -> keras.Model:
    def part(channels: int) -> keras.Model:
        inputs = keras.Input((6, 6, channels), dtype="float64")
        x = layers.Conv2D(3, 3, padding="same", name="conv", dtype="float64")(inputs)
        return keras.Model(inputs, layers.Conv2D(3, 1, name="mix", activation="relu", dtype="float64")(x))

    inputs = keras.Input((6, 6, 2), dtype="float64")
    x = part(3)(part(2)(inputs))
    return keras.Model(inputs, layers.Dense(2, name="logits", dtype="float64")(layers.Flatten(dtype="float64")(x)))


def frozen() -> keras.Model:
    model = convolutional()
    model.get_layer("conv").trainable = False
    return model


@pytest.mark.parametrize("make", [normalised, shared, nested, frozen])
@pytest.mark.parametrize("cascading", [True, False])
def test_the_model_is_as_it_was(make: Callable[[], keras.Model], x: np.ndarray, cascading: bool) -> None:
    model = make()
    analyzer = create_analyzer("lrp.epsilon", model)
    before, maps = [np.array(w) for w in model.get_weights()], analyzer.analyze(x)
    flags = [v.trainable for v in model.variables]
    found = ModelRandomization(cascading=cascading)(analyzer, x, batch_size=2)
    assert found.mean < 0.99
    for one, other in zip(before, model.get_weights(), strict=True):
        assert one.tobytes() == other.tobytes()
    assert flags == [v.trainable for v in model.variables]
    np.testing.assert_array_equal(analyzer.analyze(x), maps)


def test_layers_from_the_output_to_the_input() -> None:
    def names(model: keras.Model) -> list[str]:
        return [weights[0].path.rsplit("/", 2)[-2] for weights in layers_with_weights(model)]

    assert names(nested()) == ["logits", "mix", "conv", "mix", "conv"]
    assert names(frozen()) == ["logits", "conv"]
    assert len(layers_with_weights(shared())) == 2
    assert [len(weights) for weights in layers_with_weights(normalised())] == [2, 2, 2]
    sequential = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="one"), layers.Dense(2, name="two")])
    assert names(sequential) == ["two", "one"]
    with pytest.raises(InputError, match="no trainable weights"):
        layers_with_weights(keras.Sequential([keras.Input((3,)), layers.ReLU()]))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_error_the_model_is_as_it_was(x: np.ndarray, error: Any) -> None:
    model = normalised()
    before = [np.array(w) for w in model.get_weights()]

    def exchanged() -> None:
        with weights_put_back(layers_with_weights(model)):
            model.set_weights([w + 1 for w in before])
            raise error

    with pytest.raises(error):
        exchanged()
    trained = layers_with_weights(model)
    kept = {id(weight) for weights in trained for weight in weights}
    for variable, values in zip(model.weights, before, strict=True):
        assert (keras.ops.convert_to_numpy(variable).tobytes() == values.tobytes()) == (id(variable) in kept)


def test_a_map_that_fails_on_the_way_leaves_the_model_as_it_was(x: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    model = convolutional()
    analyzer = create_analyzer("gradient", model)
    before, calls = [np.array(w) for w in model.get_weights()], []

    def failing(*args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("on the way")
        return Analyzer.analyze(analyzer, *args, **options)

    monkeypatch.setattr(analyzer, "analyze", failing)
    with pytest.raises(RuntimeError, match="on the way"):
        ModelRandomization()(analyzer, x)
    for one, other in zip(before, model.get_weights(), strict=True):
        assert one.tobytes() == other.tobytes()


def test_training_goes_on_afterwards(x: np.ndarray) -> None:
    model = normalised()
    model.compile("sgd", "mse")
    analyzer = create_analyzer("gradient", model)
    y = np.ones((COUNT, 2))
    model.train_on_batch(x, y)
    other = normalised()
    other.set_weights(model.get_weights())
    other.compile("sgd", "mse")
    ModelRandomization()(analyzer, x)
    for each in (model, other):
        each.train_on_batch(x, y)
    for one, same in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, same, rtol=1e-5, atol=1e-7)


def test_structural_similarity(x: np.ndarray) -> None:
    model = convolutional()
    assert ModelRandomization(similarity="ssim")(create_analyzer("edges", model), x).values == pytest.approx(
        np.ones(COUNT)
    )
    found = ModelRandomization(similarity="ssim")(create_analyzer("gradient", model), x)
    assert np.all(np.abs(found.values) < 0.9)
    table = linear(np.ones(4))
    with pytest.raises(InputError, match="take similarity='spearman'"):
        ModelRandomization(similarity="ssim")(create_analyzer("gradient", table), np.ones((1, 4)))


def test_a_map_of_another_class(rng: np.random.Generator) -> None:
    weights, x = rng.normal(size=(5, 2)), rng.normal(size=(4, 5))
    model = linear(weights)
    analyzer = create_analyzer("gradient", model)
    expected = stats.spearmanr(weights[:, 0], weights[:, 1]).statistic
    for target in (None, 0, np.array([0, 1, 1, 0])):
        assert RandomLogit()(analyzer, x, target).values == pytest.approx(np.full(4, expected))
    many = linear(rng.normal(size=(5, 6)))
    found = RandomLogit()(create_analyzer("gradient", many), x, 2)
    assert np.all(found.values < 1)  # it never is the same class


@pytest.mark.formula
def test_constant_maps_are_like_nothing() -> None:
    model = linear(np.ones((4, 2)))
    for metric in (ModelRandomization(), RandomLogit()):
        assert np.isnan(metric(create_analyzer("gradient", model), np.ones((2, 4))).values).all()


@pytest.mark.formula
def test_the_greatest_change_of_a_linear_models_maps(rng: np.random.Generator) -> None:
    weights, x = rng.normal(size=5), rng.normal(size=(3, 5))
    model = linear(weights)
    assert MaxSensitivity()(create_analyzer("gradient", model), x).values == pytest.approx(np.zeros(3), abs=1e-12)
    analyzer = create_analyzer("input_t_gradient", model)
    metrics = MaxSensitivity(runs=4, radius=0.1, seed=3), LocalLipschitz(runs=4, radius=0.1, seed=3)
    change, lipschitz = (metric(analyzer, x).values for metric in metrics)
    width = np.ptp(x, axis=0)
    for i in range(3):
        e = [np.random.default_rng([3, i, 0, run]).uniform(-0.1, 0.1, 5) * width for run in range(4)]
        norms = [np.linalg.norm(weights * each) for each in e]
        assert change[i] == pytest.approx(max(norms) / np.linalg.norm(weights * x[i]))
        ratios = [norm / np.linalg.norm(each) for norm, each in zip(norms, e, strict=True)]
        assert lipschitz[i] == pytest.approx(max(ratios))
    assert np.all(lipschitz <= np.abs(weights).max())


@pytest.mark.formula
def test_zero_maps_and_data_without_a_range() -> None:
    zero = create_analyzer("gradient", linear(np.zeros(3)))
    assert np.isnan(MaxSensitivity()(zero, np.eye(3)).values).all()
    analyzer = create_analyzer("gradient", linear(np.ones(3)))
    assert np.isnan(LocalLipschitz()(analyzer, np.ones((2, 3))).values).all()
    assert LocalLipschitz()(analyzer, np.ones((2, 3)), background=np.eye(3)).values == pytest.approx([0, 0])


def test_neighbours_keep_what_was_promised_of_inputs(rng: np.random.Generator) -> None:
    analyzer = create_analyzer("gradient", convolutional(), input_range=(0, 1))
    x = rng.integers(0, 2, (2, 6, 6, 2)).astype(float)
    assert MaxSensitivity(radius=0.5)(analyzer, x).defined == 2


@pytest.mark.once("before anything runs")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaxSensitivity(radius=0), "radius must be greater than 0"),
        (lambda: LocalLipschitz(radius=-1), "radius must be"),
        (lambda: MaxSensitivity(runs=0), "runs must be"),
        (lambda: ModelRandomization(similarity="pearson"), "similarity must be one of"),
        (lambda: ModelRandomization(cascading=1), "cascading must be one of"),
        (lambda: RandomLogit(absolute="yes"), "absolute must be one of"),
    ],
)
def test_wrong_options(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
