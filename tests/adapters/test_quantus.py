"""The metrics of Quantus with our explanation function: which run, and that their numbers are those of our maps."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from helpers.evaluated import cnn, images, labels
from keras import layers

from kerasexplain import create_analyzer
from kerasexplain.adapters.quantus import explain_func, functional

quantus = pytest.importorskip("quantus", reason="tox run -e quantus has it")
stats = pytest.importorskip("scipy.stats")
sklearn_metrics = pytest.importorskip("sklearn.metrics")

pytestmark = [
    pytest.mark.tensorflow("Quantus takes Keras models on TensorFlow"),
    pytest.mark.filterwarnings("ignore"),
]

#: Every metric that runs on images of one channel and of three, with options that make it quick.
RUNS: dict[str, dict[str, Any]] = {
    "Completeness": {},
    "Complexity": {},
    "EffectiveComplexity": {},
    "Sparseness": {},
    "FaithfulnessCorrelation": {"nr_runs": 4, "subset_size": 8},
    "FaithfulnessEstimate": {"features_in_step": 32},
    "Infidelity": {"perturb_patch_sizes": [4], "n_perturb_samples": 1},
    "Monotonicity": {"features_in_step": 32},
    "MonotonicityCorrelation": {"nr_samples": 2, "features_in_step": 32},
    "PixelFlipping": {"features_in_step": 32},
    "RegionPerturbation": {"patch_size": 4, "regions_evaluation": 2},
    "Selectivity": {"patch_size": 4},
    "SensitivityN": {"features_in_step": 32},
    "Sufficiency": {},
    "AttributionLocalisation": {},
    "AUC": {},
    "Focus": {},
    "PointingGame": {},
    "RelevanceMassAccuracy": {},
    "RelevanceRankAccuracy": {},
    "TopKIntersection": {"k": 10},
    "MPRT": {},
    "EfficientMPRT": {},
    "RandomLogit": {"num_classes": 5},
    "AvgSensitivity": {"nr_samples": 2},
    "Consistency": {},
    "Continuity": {"nr_steps": 2, "return_nan_when_prediction_changes": False},
    "LocalLipschitzEstimate": {"nr_samples": 2},
    "MaxSensitivity": {"nr_samples": 2},
    "RelativeInputStability": {"nr_samples": 2, "return_nan_when_prediction_changes": False},
}
#: Those that run on images of one channel alone.
RUNS_ON_ONE_CHANNEL: dict[str, dict[str, Any]] = {"ROAD": {"percentages": [20, 50]}, "IROF": {}}
#: Those that fail inside of Quantus, whatever explains the model. They are written down, so that a change is noticed.
FAILS: dict[str, dict[str, Any]] = {
    "BatchSufficiency": {},
    "InputInvariance": {},
    "SmoothMPRT": {"nr_samples": 2},
    "RelativeOutputStability": {"nr_samples": 2},
    "RelativeRepresentationStability": {"nr_samples": 2},
}
IN_MASKS = ("AttributionLocalisation", "AUC", "PointingGame", "RelevanceMassAccuracy", "RelevanceRankAccuracy")
MASKS = np.zeros((4, 1, 8, 8))
MASKS[:, :, 2:6, 3:7] = 1
EXPLAIN = explain_func("lrp.epsilon")


def metric(name: str, **options: Any) -> Any:
    return getattr(quantus, name)(**options, disable_warnings=True, display_progressbar=False)


def called(name: str, model: keras.Model, x: np.ndarray, y: np.ndarray, /, **options: Any) -> Any:
    """What a metric gives for a model."""
    call: dict[str, Any] = {"explain_func": EXPLAIN}
    if name in (*IN_MASKS, "TopKIntersection"):
        call["s_batch"] = MASKS
    if name == "Focus":
        call["custom_batch"] = np.array([[1, 0, 0, 0]] * len(x))
    if name.startswith("Relative"):
        call["channel_first"] = False
    if "softmax" in options:
        call["softmax"] = options.pop("softmax")
    return metric(name, **options)(model=model, x_batch=x.copy(), y_batch=y, a_batch=None, **call)


@pytest.fixture(scope="module", params=[1, 3])
def setting(request: pytest.FixtureRequest) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """A Functional model, images of one or three channels, and classes."""
    model, x = functional(cnn(request.param)), images(request.param)
    return model, x, labels(model, x)


Setting = tuple[keras.Model, np.ndarray, np.ndarray]


def maps(setting: Setting, normalised: bool = True) -> np.ndarray:
    """Relevance per pixel, `(samples, pixels)`; by default as Quantus scales it."""
    model, x, y = setting
    found = create_analyzer("lrp.epsilon", model).analyze(x, y).sum(axis=-1).reshape(len(x), -1)
    return found / np.abs(found).max(axis=1, keepdims=True) if normalised else found


@pytest.mark.parametrize("name", RUNS)
def test_it_runs(name: str, setting: Setting) -> None:
    found = called(name, *setting, **RUNS[name])
    scores = list(found.values()) if isinstance(found, dict) else found
    assert np.isfinite(np.asarray(scores, "float64")).all()


def test_every_metric_is_accounted_for() -> None:
    others = {"Metric", "ModelParameterRandomisation"}  # the base, and an old name of MPRT
    found = {
        name
        for name, kind in vars(quantus).items()
        if isinstance(kind, type) and issubclass(kind, quantus.Metric) and name not in others
    }
    assert found == {*RUNS, *RUNS_ON_ONE_CHANNEL, *FAILS, "NonSensitivity"}


@pytest.mark.parametrize("name", RUNS_ON_ONE_CHANNEL)
def test_it_runs_on_one_channel_and_fails_inside_of_quantus_on_three(name: str, setting: Setting) -> None:
    if setting[1].shape[-1] == 1:
        called(name, *setting, **RUNS_ON_ONE_CHANNEL[name])
    else:
        with pytest.raises(Exception):  # noqa: B017, PT011
            called(name, *setting, **RUNS_ON_ONE_CHANNEL[name])


@pytest.mark.parametrize("name", FAILS)
def test_it_fails_inside_of_quantus(name: str, setting: Setting) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011
        called(name, *setting, **FAILS[name])


def test_sequential_models_need_the_helper(setting: Setting) -> None:
    model = cnn(setting[1].shape[-1])
    with pytest.raises(AttributeError, match="has no defined input"):
        called("Monotonicity", model, *setting[1:], features_in_step=32)
    assert called("Sparseness", model, *setting[1:]) == pytest.approx(called("Sparseness", *setting))


def test_complexity(setting: Setting) -> None:
    sizes = np.abs(maps(setting))
    shares = sizes / sizes.sum(axis=1, keepdims=True)
    entropy = -np.sum(shares * np.log(np.maximum(shares, 1e-12)), axis=1)
    np.testing.assert_allclose(called("Complexity", *setting), entropy, rtol=1e-5)
    # Quantus scales by the maximum of a whole batch.
    several = sizes * np.abs(maps(setting, normalised=False)).max(axis=1, keepdims=True)
    found = called("EffectiveComplexity", *setting, eps=0.1)
    np.testing.assert_array_equal(found, np.sum(several / several.max() > 0.1, axis=1))
    ranks = 2 * np.arange(1, 65) - 65
    gini = np.sum(ranks * np.sort(sizes, axis=1), axis=1) / (64 * sizes.sum(axis=1))
    np.testing.assert_allclose(called("Sparseness", *setting), gini, rtol=1e-4)


def test_localisation(setting: Setting) -> None:
    found, mask = maps(setting), MASKS[0].ravel().astype(bool)
    share = found[:, mask].sum(axis=1) / found.sum(axis=1)
    np.testing.assert_allclose(called("RelevanceMassAccuracy", *setting), share, rtol=1e-4)
    expected = np.where(share > 1, np.nan, share)
    np.testing.assert_allclose(called("AttributionLocalisation", *setting, abs=False), expected, rtol=1e-4)
    np.testing.assert_array_equal(called("PointingGame", *setting), mask[found.argmax(axis=1)])
    order = np.argsort(-found, axis=1)
    np.testing.assert_allclose(called("RelevanceRankAccuracy", *setting), mask[order[:, :16]].mean(axis=1))
    np.testing.assert_allclose(called("TopKIntersection", *setting, k=10), mask[order[:, :10]].mean(axis=1))
    areas = [sklearn_metrics.roc_auc_score(mask, each) for each in found]
    np.testing.assert_allclose(called("AUC", *setting), areas)
    positive = np.maximum(found, 0).reshape(4, 8, 8)
    quarter = positive[:, :4, :4].sum(axis=(1, 2)) / positive.sum(axis=(1, 2))
    np.testing.assert_allclose(called("Focus", *setting), quarter, rtol=1e-5)


def test_pixel_flipping(setting: Setting) -> None:
    """Values, not pixels, are replaced: a pixel's sum stands for each of its channels."""
    model, x, y = setting
    spread = np.repeat(maps(setting)[:, None], x.shape[-1], axis=1).reshape(4, -1)
    order = np.argsort(-spread, axis=1)
    first = np.moveaxis(x, -1, 1)
    flipped, expected = first.reshape(4, -1).copy(), []
    for step in np.split(order, order.shape[1] // 32, axis=1):
        np.put_along_axis(flipped, step, first.reshape(4, -1).min(axis=1, keepdims=True), axis=1)
        y_flipped = model.predict(np.moveaxis(flipped.reshape(first.shape), 1, -1), verbose=0)
        expected.append(y_flipped[np.arange(4), y])
    found = called("PixelFlipping", *setting, features_in_step=32, softmax=False)
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-4, atol=1e-6)


def linear(channels: int) -> keras.Model:
    """An output of integers for images of integers, so that sums are exact in any order."""
    model = keras.Sequential([keras.Input((8, 8, channels)), layers.Flatten(), layers.Dense(5, use_bias=False)])
    model.layers[-1].set_weights([np.random.default_rng(0).integers(-3, 4, (64 * channels, 5)).astype("float32")])
    return functional(model)


@pytest.mark.parametrize("channels", [1, 3])
def test_completeness_is_exact_where_numbers_are(channels: int) -> None:
    """Of maps with one channel Quantus takes the size, and replaces no more values than that by black."""
    model, y = linear(channels), np.array([0, 1, 2, 3])
    x = np.random.default_rng(1).integers(0, 5, (4, 8, 8, channels)).astype("float32")
    assert (x.reshape(4, -1).min(axis=1) == 0).all()  # what Quantus calls black, its baseline
    completeness = metric("Completeness", normalise=False)
    call = {"model": model, "x_batch": x, "y_batch": y}
    for name, complete in (("lrp.z", True), ("input_t_gradient", True), ("gradient", False)):
        every_channel = np.moveaxis(create_analyzer(name, model).analyze(x, y), -1, 1)
        assert list(completeness(**call, a_batch=every_channel)) == [complete] * 4
    summed = completeness(**call, a_batch=None, explain_func=explain_func("lrp.z"))
    assert list(summed) == [channels == 1] * 4


@pytest.mark.parametrize("channels", [1, 3])
def test_faithfulness_is_one_where_relevance_is_what_the_output_falls_by(channels: int) -> None:
    model, x, y = linear(channels), images(channels), np.array([0, 1, 2, 3])
    x[:, 0, 0, :] = 0  # black
    correlation = metric("FaithfulnessCorrelation", nr_runs=6, subset_size=8)
    call = {"model": model, "x_batch": x, "y_batch": y}
    every_channel = np.moveaxis(create_analyzer("lrp.z", model).analyze(x, y), -1, 1)
    assert correlation(**call, a_batch=every_channel)[0] == pytest.approx(1, abs=1e-5)
    summed = correlation(**call, a_batch=None, explain_func=explain_func("lrp.z"))[0]
    assert (summed == pytest.approx(1, abs=1e-5)) == (channels == 1)


def test_model_parameter_randomisation_explains_each_copy_by_its_own_weights(setting: Setting) -> None:
    model, x, y = setting
    found = called("MPRT", *setting, layer_order="independent", seed=3, abs=False)
    original = maps(setting)
    generated = quantus.helpers.model.tf_model.TensorFlowModel(model).get_random_layer_generator("independent", seed=3)
    expected = {"original": original}
    for name, copy in generated:
        expected[name] = create_analyzer("lrp.epsilon", copy).analyze(x, y).sum(axis=-1).reshape(4, -1)
    assert list(found) == ["original", "dense", "conv"] or list(found) == ["original", "conv", "dense"]
    for name, each in expected.items():
        similarity = [stats.spearmanr(a, b)[0] for a, b in zip(original, each, strict=True)]
        np.testing.assert_allclose(found[name], similarity, atol=0.01)  # ranks of nearly equal numbers may change
        assert name == "original" or np.max(similarity) < 0.99
    np.testing.assert_array_equal(maps(setting), original)


def test_random_logit_explains_another_class(setting: Setting) -> None:
    seen: list[np.ndarray] = []

    def distance(a: np.ndarray, b: np.ndarray, batched: bool) -> np.ndarray:
        seen.extend([a, b])
        return np.abs(a - b).max(axis=-1)

    model, x, y = setting
    called("RandomLogit", *setting, num_classes=5, similarity_func=distance, normalise=False)
    per_class = [
        create_analyzer("lrp.epsilon", model).analyze(x, target).sum(axis=-1).reshape(4, -1) for target in range(5)
    ]
    np.testing.assert_allclose(seen[0], maps(setting, normalised=False), rtol=1e-4, atol=1e-6)
    for i in range(4):
        others = [c for c in range(5) if c != y[i]]
        assert min(np.abs(per_class[c][i] - seen[1][i]).max() for c in others) < 1e-5


def test_continuity_hands_over_images_whose_axes_it_has_moved_twice(setting: Setting) -> None:
    model, x, y = setting
    shapes: set[tuple[int, ...]] = set()

    def recording(model: keras.Model, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        shapes.add(inputs.shape)
        return EXPLAIN(model, inputs, targets)

    metric("Continuity", **RUNS["Continuity"])(model=model, x_batch=x, y_batch=y, a_batch=None, explain_func=recording)
    assert shapes == {x.shape, (4, 8, x.shape[-1], 8)}


def test_signals() -> None:
    network = keras.Sequential(
        [keras.Input((16, 2)), layers.Conv1D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(5)]
    )
    model, x = functional(network), np.random.default_rng(0).uniform(0.1, 1, (4, 16, 2)).astype("float32")
    y = labels(model, x)
    sizes = np.abs(create_analyzer("lrp.epsilon", model).analyze(x, y).sum(axis=-1))
    np.testing.assert_array_equal(
        called("EffectiveComplexity", model, x, y, normalise=False, eps=0.01), np.sum(sizes > 0.01, axis=1)
    )
    called("PixelFlipping", model, x, y, features_in_step=8)
    called("FaithfulnessCorrelation", model, x, y, nr_runs=4, subset_size=4)
    called("MaxSensitivity", model, x, y, nr_samples=2)
    assert called("MPRT", model, x, y)["original"] == pytest.approx([1.0] * 4)


def test_features() -> None:
    network = keras.Sequential([keras.Input((12,)), layers.Dense(8, activation="relu"), layers.Dense(5)])
    model, x = functional(network), np.random.default_rng(0).uniform(0.1, 1, (4, 12)).astype("float32")
    y = labels(model, x)
    sizes = np.abs(create_analyzer("lrp.epsilon", model).analyze(x, y))
    np.testing.assert_array_equal(
        called("EffectiveComplexity", model, x, y, normalise=False, eps=0.01), np.sum(sizes > 0.01, axis=1)
    )
    called("MaxSensitivity", model, x, y, nr_samples=2)
    assert called("MPRT", model, x, y)["original"] == pytest.approx([1.0] * 4)
    # They hand inputs to the model without moving axes back, and so run where there are none to be moved.
    for name in ("RelativeInputStability", "RelativeOutputStability", "RelativeRepresentationStability"):
        assert np.isfinite(called(name, model, x, y, nr_samples=2, return_nan_when_prediction_changes=False)).all()


def test_non_sensitivity() -> None:
    """Values without effect, and values without relevance: how many are one and not the other."""
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(5, use_bias=False)])
    weights = np.random.default_rng(0).uniform(1, 2, (16, 5)).astype("float32")
    weights[:6] = 0
    model.layers[-1].set_weights([weights])
    x = images(1, size=4)
    y = np.array([0, 1, 2, 3])
    model = functional(model)
    is_black = x.reshape(4, -1).argmin(axis=1) >= 6  # the one value that black does not change
    np.testing.assert_array_equal(called("NonSensitivity", model, x, y, softmax=False), is_black)


def test_evaluate_compares_several_analyzers(setting: Setting) -> None:
    model, x, y = setting
    table = quantus.evaluate(
        metrics={"sparseness": metric("Sparseness"), "stability": metric("MaxSensitivity", nr_samples=2)},
        xai_methods={name: explain_func(name) for name in ("lrp.epsilon", "gradient")},
        model=model,
        x_batch=x,
        y_batch=y,
        agg_func=np.mean,
        explain_func_kwargs={},
        call_kwargs={"all": {"channel_first": False}},
    )
    assert table["lrp.epsilon"]["sparseness"] == pytest.approx(np.mean(called("Sparseness", *setting)))
    assert table["gradient"]["stability"] != table["lrp.epsilon"]["stability"]
