"""A network that is trained on its task and on its relevance."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from helpers.relevance_training import data, evaluated, network, trained
from keras import layers, ops

from kerasexplain import InputError, create_analyzer
from kerasexplain.callbacks import EarlyWarning, RelevanceLogger
from kerasexplain.training import (
    RelevanceAgreement,
    RelevanceConsistency,
    RelevanceMatch,
    RelevanceModel,
    RelevanceOfBiases,
    RelevanceOn,
    RelevanceOutside,
    RelevanceSmoothness,
    RelevanceSparsity,
)

BACKEND = keras.backend.backend()


def mean(values: Any) -> float:
    return float(np.mean(ops.convert_to_numpy(values)))


@pytest.mark.formula
def test_relevance_moves_into_the_mask_while_the_task_is_learned() -> None:
    x, y, mask = data()
    plain, judged = trained(weights=0.0), trained(weights=2.0)
    for model in (plain, judged):
        history = model.fit(x, y, mask, epochs=8, batch_size=8, verbose=0).history
    before, after = evaluated(plain, x, y, mask), evaluated(judged, x, y, mask)
    assert after["relevance_outside"] < 0.5 * before["relevance_outside"]
    assert after["accuracy"] == 1.0
    assert after["relevance_inside"] == pytest.approx(1 - after["relevance_outside"], abs=1e-6)
    assert {"loss", "accuracy", "relevance_outside", "relevance_inside"} == set(history)


@pytest.mark.formula
def test_the_loss_is_that_of_the_task_and_those_over_relevance() -> None:
    x, y, mask = data(12)
    losses = [RelevanceOutside(), RelevanceOfBiases(), RelevanceSparsity(), RelevanceSmoothness()]
    model = trained(losses, weights=[3.0, 2.0, 1.0, 0.5])
    found = evaluated(model, x, y, mask)
    model.network.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    explained = create_analyzer("lrp.epsilon_plus", model.network).explain(x, y, bias=True)
    relevance = ops.convert_to_tensor(explained.relevance)
    of_biases = sum(np.abs(taken).reshape(12, -1).sum(1) for taken in explained.bias.values())
    judged_by = [mask, of_biases, None, None]
    values = [
        float(mean(loss.call(None if given is None else ops.convert_to_tensor(given), relevance)))
        for loss, given in zip(losses, judged_by, strict=True)
    ]
    for loss, value in zip(losses, values, strict=True):
        assert found[loss.name] == pytest.approx(value, rel=1e-4)
    task = model.network.evaluate(x, y, verbose=0)
    assert found["loss"] == pytest.approx(task + np.dot([3.0, 2.0, 1.0, 0.5], values), rel=1e-4)


class Batches(keras.utils.PyDataset):
    def __init__(self, *arrays: np.ndarray) -> None:
        super().__init__()
        self.arrays = arrays

    def __len__(self) -> int:
        return len(self.arrays[0]) // 8

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        return tuple(array[8 * index : 8 * index + 8] for array in self.arrays)


def forms(x: np.ndarray, y: np.ndarray, mask: np.ndarray) -> dict[str, Any]:
    weights = np.ones(len(x), "float32")

    def generated() -> Iterator[Any]:
        for begin in range(0, len(x), 8):
            rows = slice(begin, begin + 8)
            yield x[rows], y[rows], mask[rows], weights[rows]

    found = {"PyDataset": Batches(x, y, mask), "generator": generated()}
    if BACKEND == "tensorflow":
        import tensorflow as tf

        found["tf.data"] = tf.data.Dataset.from_tensor_slices({"x": x, "y": y, "mask": mask}).batch(8)
    if BACKEND == "torch":
        import torch

        tensors = torch.utils.data.TensorDataset(*map(torch.tensor, (x, y, mask)))
        found["DataLoader"] = torch.utils.data.DataLoader(tensors, batch_size=8)
    return found


@pytest.mark.parametrize(
    "form",
    [*(pytest.param(form, marks=pytest.mark.formula) for form in ("PyDataset", "generator")), "tf.data", "DataLoader"],
)
def test_data_of_every_form_say_the_same(form: str) -> None:
    x, y, mask = data()
    if form not in forms(x, y, mask):
        pytest.skip("not on this backend")
    model = trained()
    expected = evaluated(model, x, y, mask, batch_size=8)
    assert evaluated(model, forms(x, y, mask)[form]) == pytest.approx(expected, rel=1e-5)
    validation = None if form == "generator" else forms(x, y, mask)[form]
    history = model.fit(forms(x, y, mask)[form], verbose=0, validation_data=validation).history
    assert history["relevance_outside"][0] < expected["relevance_outside"]
    if validation is not None:
        assert history["val_loss"][0] == pytest.approx(evaluated(model, x, y, mask, batch_size=8)["loss"], rel=1e-5)
    with pytest.raises(InputError, match="leave mask= out"):
        model.fit(forms(x, y, mask)[form], mask=mask, verbose=0)


@pytest.mark.formula
@pytest.mark.parametrize("missing", ["None", "NaN", "negative"])
def test_samples_without_a_mask_are_trained_on_the_task_alone(missing: str) -> None:
    x, y, mask = data(8)
    some: Any = mask.copy()
    if missing == "None":
        some = [mask[0], None, *mask[2:6], None, None]
    else:
        some[[1, 6, 7], 0, 0] = np.nan if missing == "NaN" else -1
    model = trained(weights=2.0)
    has = [0, 2, 3, 4, 5]
    found, of_some = evaluated(model, x, y, some), evaluated(model, x[has], y[has], mask[has])
    assert found["relevance_outside"] == pytest.approx(of_some["relevance_outside"], rel=1e-5)
    task = evaluated(trained(weights=0.0, model=model.network), x, y, mask)["loss"]
    assert found["loss"] == pytest.approx(task + 2 * of_some["relevance_outside"] * 5 / 8, rel=1e-5)
    history = model.fit(x, y, some, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.formula
def test_weights_of_samples_and_of_classes_count_in_all_losses() -> None:
    x, y, mask = data(8)
    model = trained(weights=2.0)
    weights = np.where(y == 1, 3.0, 1.0).astype("float32")
    weighted = evaluated(model, x, y, mask, sample_weight=weights)["loss"]
    of_classes = [evaluated(model, x[y == k], y[y == k], mask[y == k])["loss"] for k in (0, 1)]
    assert weighted == pytest.approx((of_classes[0] + 3 * of_classes[1]) / 2, rel=1e-5)
    ways: list[dict[str, Any]] = [{"sample_weight": weights}, {"class_weight": {0: 1.0, 1: 3.0}}]
    losses = [trained(weights=2.0).fit(x, y, mask, verbose=0, **way).history["loss"][0] for way in ways]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    with pytest.raises(InputError, match="one number for each sample"):
        model.fit(iter([(x, y, mask, mask)]), verbose=0)


@pytest.mark.formula
@pytest.mark.parametrize("labels", ["integers", "a column", "one-hot"])
def test_labels_as_losses_take_them(labels: str) -> None:
    x, y, mask = data(8)
    given = {"integers": y, "a column": y[:, None], "one-hot": np.eye(2, dtype="float32")[y]}[labels]
    model = RelevanceModel(network(), "lrp.epsilon", RelevanceOutside())
    model.compile(loss=None if labels != "one-hot" else "mse")
    expected = evaluated(trained(model=model.network, analyzer="lrp.epsilon"), x, y, mask)
    assert evaluated(model, x, given, mask)["relevance_outside"] == pytest.approx(expected["relevance_outside"])


@pytest.mark.formula
@pytest.mark.parametrize("target", ["label", "prediction", "all", "contrast", "function"])
def test_what_is_explained(target: str) -> None:
    x, y, mask = data(8)
    given = (lambda x, y: 1 - y) if target == "function" else target
    model = trained(target=given)
    analyzer = create_analyzer("lrp.epsilon_plus", model.network)
    contrast = np.where(np.eye(2)[y] == 1, 1.0, -1.0)
    selections = {"label": y, "prediction": None, "all": np.arange(8) % 2, "contrast": contrast, "function": 1 - y}
    relevance = analyzer.analyze(x, selections[target])
    expected = mean(RelevanceOutside().call(ops.convert_to_tensor(mask), ops.convert_to_tensor(relevance)))
    assert evaluated(model, x, y, mask)["relevance_outside"] == pytest.approx(float(expected), rel=1e-4)
    model.fit(x, y, mask, verbose=0)


@pytest.mark.formula
def test_several_analyzers_and_views() -> None:
    x, y, mask = data(8)
    losses = [RelevanceOutside(), RelevanceAgreement(), RelevanceConsistency(axis=2), RelevanceMatch()]
    model = trained(losses, analyzer=["lrp.epsilon_plus", "lrp.epsilon", "gradient"], weights=0.1)
    found = evaluated(model, x, y, mask)
    names = ("lrp.epsilon_plus", "lrp.epsilon", "gradient")
    maps = [ops.convert_to_tensor(create_analyzer(name, model.network).analyze(x, y)) for name in names]
    flipped = [create_analyzer(name, model.network).analyze(x[:, :, ::-1], y)[:, :, ::-1] for name in names]
    views = [ops.convert_to_tensor(np.ascontiguousarray(view)) for view in flipped]
    given = ops.convert_to_tensor(mask)
    expected = {
        "relevance_outside": np.mean([mean(losses[0].call(given, one)) for one in maps]),
        "relevance_agreement": np.mean([mean(losses[1].call(*pair)) for pair in (maps[:2], maps[1:])]),
        "relevance_consistency": np.mean([mean(losses[2].call(*pair)) for pair in zip(views, maps, strict=True)]),
        "relevance_match": np.mean([mean(losses[3].call(given, one)) for one in maps]),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(float(value), rel=1e-4), name
    model.fit(x, y, mask, verbose=0)


@pytest.mark.formula
def test_a_feature_and_a_token_that_must_not_matter() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 64)
    table = rng.standard_normal((64, 4)).astype("float32")
    table[:, 1] += 2 * y - 1
    table[:, 2] = 4 * y - 2  # leaks the label
    keras.utils.set_random_seed(0)
    of_table = keras.Sequential([keras.Input((4,)), layers.Dense(8, activation="relu"), layers.Dense(2)])
    ids = rng.integers(1, 9, (64, 6))
    ids[:, 0] = np.where(y, 10, 11)
    of_text = keras.Sequential(
        [keras.Input((6,), dtype="int32"), layers.Embedding(12, 4), layers.Flatten(), layers.Dense(2)]
    )
    for model, x, loss in (
        (of_table, table, RelevanceOn(features=[2])),
        (of_text, ids, RelevanceOn(tokens=[10, 11])),
    ):
        judged = trained(loss, model=model, analyzer="lrp.epsilon", weights=5.0)
        before = evaluated(judged, x, y)["relevance_on"]
        judged.fit(x, y, epochs=15, verbose=0)
        assert evaluated(judged, x, y)["relevance_on"] < 0.5 * before


@pytest.mark.formula
def test_the_network_is_an_ordinary_one(tmp_path: pathlib.Path) -> None:
    x, y, mask = data(16)
    model = trained(model=network(dropout=0.5))
    statistics = np.array(model.network.get_layer("norm").moving_mean)
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    model.fit(x, y, mask, epochs=2, verbose=0, callbacks=[checkpoint])
    assert not np.allclose(statistics, np.array(model.network.get_layer("norm").moving_mean))  # it trains as always
    expected = model.network.predict(x, verbose=0)
    assert np.allclose(model.predict(x, verbose=0), expected)
    loaded = keras.saving.load_model(tmp_path / "2.keras")
    assert isinstance(loaded, keras.Sequential)
    assert np.allclose(loaded.predict(x, verbose=0), expected, atol=1e-6)
    model.save_weights(tmp_path / "network.weights.h5")
    other = network(dropout=0.5)
    other.load_weights(tmp_path / "network.weights.h5")
    assert np.allclose(other.predict(x, verbose=0), expected, atol=1e-6)
    # The relevance that is judged is that of the network as it predicts: Dropout drops nothing.
    assert evaluated(model, x, y, mask) == pytest.approx(evaluated(model, x, y, mask))


@pytest.mark.parametrize(
    "options",
    [
        *("mixed precision", "steps"),
        *(pytest.param(each, marks=pytest.mark.formula) for each in ("accumulation", "eager", "validation split")),
    ],
)
def test_options_of_training(options: str) -> None:
    x, y, mask = data(32)
    if options == "mixed precision":
        keras.mixed_precision.set_global_policy("mixed_float16" if BACKEND == "tensorflow" else "mixed_bfloat16")
    try:
        model = RelevanceModel(network(), "lrp.epsilon_plus", RelevanceOutside())
    finally:
        keras.mixed_precision.set_global_policy("float32")
    optimizer: Any = keras.optimizers.SGD(0.05, gradient_accumulation_steps=2 if options == "accumulation" else None)
    if options == "mixed precision" and BACKEND == "tensorflow":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    compiled: dict[str, Any] = {"steps": {"steps_per_execution": 2}, "eager": {"run_eagerly": True}}.get(options, {})
    if BACKEND == "torch" and options == "steps":
        pytest.skip("Keras has no steps_per_execution on PyTorch")
    model.compile(optimizer, loss, **compiled)
    fitted: dict[str, Any] = {"validation_split": 0.25} if options == "validation split" else {}
    history = model.fit(x, y, mask, epochs=3, batch_size=8, verbose=0, **fitted).history
    assert history["loss"][-1] < history["loss"][0]
    assert np.isfinite(history["relevance_outside"]).all()


@pytest.mark.formula
def test_callbacks_look_at_the_network(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("tensorboard")
    x, y, mask = data(16)
    model = trained()
    logger = RelevanceLogger("lrp.epsilon", (x, y), log_dir=tmp_path)
    warning = EarlyWarning("lrp.epsilon", (x, y), mask=mask, name="inside_of_some")
    history = model.fit(x, y, mask, epochs=2, verbose=0, callbacks=[logger, warning]).history
    assert {"relevance_inside", "inside_of_some"} <= set(history)
    assert logger.analyzers["lrp.epsilon"].model is model.network
    assert any(tmp_path.rglob("*tfevents*"))


@pytest.mark.formula
def test_two_inputs(tmp_path: pathlib.Path) -> None:
    keras.utils.set_random_seed(0)
    image, extra = keras.Input((8, 8, 1), name="image"), keras.Input((3,), name="extra")
    joined = layers.Concatenate()([layers.Flatten()(image), extra])
    two = keras.Model([image, extra], layers.Dense(2)(layers.Dense(6, activation="relu")(joined)))
    x, y, mask = data(8)
    more = np.ones((8, 3), "float32")
    with pytest.raises(ValueError, match="say by input="):
        RelevanceModel(two, "lrp.epsilon", RelevanceOutside())
    with pytest.raises(ValueError, match="no input 'picture'"):
        RelevanceModel(two, "lrp.epsilon", RelevanceOutside(), input="picture")
    model = trained(
        model=two, analyzer="lrp.epsilon", losses=[RelevanceOutside(), RelevanceConsistency(axis=2)], input="image"
    )
    for given in ([x, more], {"image": x, "extra": more}):
        model.fit(given, y, mask, verbose=0)
    relevance = create_analyzer("lrp.epsilon", two).analyze([x, more], y)[0]
    expected = mean(RelevanceOutside().call(ops.convert_to_tensor(mask), ops.convert_to_tensor(relevance)))
    assert evaluated(model, [x, more], y, mask)["relevance_outside"] == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.formula
def test_what_is_wrong_is_told_before_training() -> None:
    x, y, mask = data(8)
    with pytest.raises(ValueError, match="one pass"):
        trained(analyzer="integrated_gradients")
    with pytest.raises(ValueError, match="another model"):
        trained(analyzer=create_analyzer("lrp.epsilon", network()))
    with pytest.raises(ValueError, match=r"lrp\.epsilom"):
        trained(analyzer="lrp.epsilom")
    with pytest.raises(ValueError, match="there is no analyzer"):
        trained(analyzer=[])
    with pytest.raises(ValueError, match="two or more"):
        trained(RelevanceAgreement())
    with pytest.raises(ValueError, match="one name"):
        trained([RelevanceOutside(), RelevanceOutside()])
    with pytest.raises(ValueError, match="2 losses, 3 weights"):
        trained([RelevanceOutside(), RelevanceSparsity()], weights=[1, 2, 3])
    with pytest.raises(ValueError, match="losses="):
        trained("mse")
    with pytest.raises(ValueError, match="target"):
        trained(target="labels")
    with pytest.raises(InputError, match="needs masks"):
        trained().fit(x, y, verbose=0)
    with pytest.raises(InputError, match="resize=True"):
        trained().fit(x, y, mask[:, ::2, ::2], verbose=0)
    with pytest.raises(InputError, match="differ in shape"):
        trained().fit(x, y, [mask[0], mask[1, :4]], verbose=0)
    with pytest.raises(InputError, match="has shape"):
        trained().fit(x[:, :4], y, mask, verbose=0)
    unlabelled = RelevanceModel(network(), "lrp.epsilon", RelevanceSparsity())
    unlabelled.compile("sgd")
    with pytest.raises(InputError, match="needs labels"):
        unlabelled.fit(x, verbose=0)
    segmenting = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3, padding="same")])
    with pytest.raises(InputError, match="one output for each class"):
        RelevanceModel(segmenting, "lrp.epsilon", RelevanceSparsity()).compute_loss(x=x, y=y)


@pytest.mark.tensorflow("its registry of gradients")
def test_nothing_is_kept_of_a_training_step() -> None:
    from tensorflow.python.framework.ops import gradient_registry

    x, y, mask = data(8)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def growth(model: keras.Model, *given: Any) -> int:
        before = len(gradient_registry._registry)
        model.compile("sgd", loss, metrics=["accuracy"], jit_compile=False)
        model.fit(*given, verbose=0)
        return len(gradient_registry._registry) - before

    growth(trained(), x, y, mask)  # what is registered once in a process
    assert growth(trained(), x, y, mask) == growth(network(), x, y)


@pytest.mark.tensorflow("strategies are TensorFlow's")
@pytest.mark.slow("compiles for two devices")
def test_under_a_distribution_strategy() -> None:
    import subprocess
    import sys

    code = f"""
import sys; sys.path[:0] = {sys.path!r}
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from training.test_model import data, evaluated, trained
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    two = trained(weights=2.0)
    two.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
x, y, mask = data()
one = trained(weights=2.0)
one.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
found, expected = (evaluated(model, x, y, mask, batch_size=8) for model in (two, one))
for name, value in expected.items():
    assert abs(found[name] - value) < 1e-5 * abs(value), name
found, expected = (model.fit(x, y, mask, batch_size=8, verbose=0, shuffle=False).history for model in (two, one))
assert abs(found["relevance_outside"][0] - expected["relevance_outside"][0]) < 1e-2  # statistics are of half a batch
print("as expected")
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.stdout.strip().endswith("as expected"), found.stderr[-3000:]
