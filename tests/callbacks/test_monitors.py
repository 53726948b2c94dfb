"""Curves, distributions and warnings: their numbers are those that an analyzer gives, or that are computed by hand."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
from helpers.backends import gradients_by_weights
from helpers.events import Run
from helpers.training import data, fit, network
from keras import layers

from kerasexplain import create_analyzer
from kerasexplain.callbacks import ConservationMonitor, EarlyWarning, RelevanceHistogram
from kerasexplain.callbacks.early_warning import share_inside
from kerasexplain.callbacks.histogram import paths

pytestmark = pytest.mark.once("what is made of relevance is numpy's")


def test_where_relevance_goes(tmp_path: pathlib.Path) -> None:
    model, (x, y) = network(), data()
    monitor = ConservationMonitor("lrp.epsilon", (x, y), log_dir=tmp_path, max_samples=10)
    fit(model, [monitor], epochs=2)
    run = Run.of(tmp_path / "relevance")
    audit = create_analyzer("lrp.epsilon", model).audit(x[:10], y[:10])
    total = audit.explained.sum()
    expected = {
        "explained": audit.explained.mean(),
        "share of inputs": audit.inputs.sum() / total,
        "share of biases": audit.biases.sum() / total,
        "share lost": audit.lost.sum() / total,
        **{f"share of bias/{row.name}": row.bias.sum() / total for row in audit.rows if row.name in ("conv", "logits")},
        **{f"share lost/{row.name}": row.lost.sum() / total for row in audit.rows if row.name in ("conv", "logits")},
    }
    assert run.tags("scalars") == {f"lrp.epsilon/{name}" for name in expected}
    for name, value in expected.items():
        assert run.steps(f"lrp.epsilon/{name}") == [0, 1]
        assert float(run.values(f"lrp.epsilon/{name}")[-1]) == pytest.approx(value, rel=1e-4, abs=1e-6), name
    parts = [float(run.values(f"lrp.epsilon/share {name}")[-1]) for name in ("of inputs", "of biases", "lost")]
    assert sum(parts) == pytest.approx(1, abs=1e-5)


def test_an_operation_that_loses_is_told_whatever_it_is(tmp_path: pathlib.Path) -> None:
    inputs = keras.Input((6,), name="image")
    x = layers.Dense(4, "tanh", name="hidden")(layers.LayerNormalization(name="normalized")(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="logits")(x))
    model.get_layer("normalized").beta.assign(np.arange(6.0))
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(4, 6))
    model.fit(x, np.ones((4, 2)), verbose=0, callbacks=[ConservationMonitor("lrp.epsilon", x, log_dir=tmp_path)])
    tags = Run.of(tmp_path / "relevance").tags("scalars")
    assert "lrp.epsilon/share of bias/normalized" in tags
    assert not any(tag.endswith(("/hidden/tanh", "/hidden/relu")) for tag in tags)


def test_nothing_has_no_shares(tmp_path: pathlib.Path) -> None:
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Dense(2, kernel_initializer="zeros", name="logits")(inputs))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x = np.ones((4, 3))
    model.fit(x, np.ones((4, 2)), verbose=0, callbacks=[ConservationMonitor("lrp.epsilon", x, log_dir=tmp_path)])
    assert Run.of(tmp_path / "relevance").tags("scalars") == {"lrp.epsilon/explained"}


def test_a_gradient_has_nothing_to_be_audited(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="propagates no relevance that could be audited"):
        fit(network(), [ConservationMonitor("gradient", data(), log_dir=tmp_path)])


def test_distributions(tmp_path: pathlib.Path) -> None:
    model, (x, y) = network(), data()
    fit(model, [RelevanceHistogram("lrp.epsilon", (x, y), log_dir=tmp_path)], epochs=2)
    run = Run.of(tmp_path / "relevance")
    weights = ["conv/kernel", "conv/bias", "logits/kernel", "logits/bias"]
    assert run.tags("histograms") == {
        *("lrp.epsilon/conv", "lrp.epsilon/logits"),
        *(f"{kind}/{name}" for kind in ("weights", "gradients") for name in weights),
    }
    relevance = create_analyzer("lrp.epsilon", model).explain(x, y, layers=["conv"]).layers["conv"]
    _is_histogram_of(run.values("lrp.epsilon/conv")[-1], relevance)
    _is_histogram_of(run.values("weights/conv/kernel")[-1], np.asarray(model.get_layer("conv").kernel))
    expected = gradients_by_weights(lambda: model.compute_loss(x, y, model(x)), model.trainable_variables)
    for variable, gradient in zip(model.trainable_variables, expected, strict=True):
        _is_histogram_of(run.values(f"gradients/{variable.path}")[-1], np.asarray(gradient))


def _is_histogram_of(bins: np.ndarray, values: np.ndarray) -> None:
    assert bins[:, 2].sum() == values.size
    if values.min() < values.max():
        assert bins[0, 0] == pytest.approx(values.min(), rel=1e-3, abs=1e-6)
        assert bins[-1, 1] == pytest.approx(values.max(), rel=1e-3, abs=1e-6)


def test_gradients_follow_statistics_that_are_not_trained(tmp_path: pathlib.Path) -> None:
    inputs = keras.Input((3,), name="image")
    x = layers.BatchNormalization(momentum=0.5, name="normalized")(inputs)
    model = keras.Model(inputs, layers.Dense(2, name="logits")(x))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x, y = 3 + np.random.default_rng(0).normal(size=(8, 3)).astype("float32"), np.ones((8, 2), "float32")
    model.fit(x, y, verbose=0, epochs=3, callbacks=[RelevanceHistogram("lrp.epsilon", (x, y), log_dir=tmp_path)])
    found = Run.of(tmp_path / "relevance").values("gradients/logits/kernel")
    expected = gradients_by_weights(
        lambda: model.compute_loss(x, y, model(x, training=False)), [model.layers[-1].kernel]
    )
    _is_histogram_of(found[-1], np.asarray(expected[0]))
    assert not np.allclose(found[0], found[-1])


@pytest.mark.parametrize(
    "options", [{"gradients": False}, {"weights": False}, {"data": data()[0], "layers": ["conv/relu"]}]
)
def test_what_is_not_wanted_is_left_out(options: dict[str, Any], tmp_path: pathlib.Path) -> None:
    given = {"data": data(), **options}
    fit(network(), [RelevanceHistogram(["lrp.epsilon", "lrp.z"], log_dir=tmp_path, **given)], epochs=1)
    kinds = {tag.split("/")[0] for tag in Run.of(tmp_path / "relevance").tags("histograms")}
    left_out = {"gradients"} if options.get("gradients") is False or "layers" in options else {"weights"}
    assert kinds == {"lrp.epsilon", "lrp.z", "weights", "gradients"} - left_out


def test_recurrent_layers_count_as_one(tmp_path: pathlib.Path) -> None:
    inputs = keras.Input((4, 3))
    model = keras.Model(inputs, layers.Dense(2, name="logits")(layers.LSTM(5, name="lstm")(inputs)))
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(6, 4, 3))
    model.fit(
        x, np.ones((6, 2)), verbose=0, callbacks=[RelevanceHistogram("lrp.z", x, log_dir=tmp_path, weights=False)]
    )
    assert Run.of(tmp_path / "relevance").tags("histograms") == {"lrp.z/lstm", "lrp.z/logits"}


def test_weights_of_the_same_path_are_told_apart() -> None:
    parts = [keras.Sequential([keras.Input((2,)), layers.Dense(2, name="dense")], name=name) for name in "ab"]
    variables = [variable for part in parts for variable in part.trainable_variables]
    found = paths(variables)
    assert len(set(found)) == 4
    assert found[0] == variables[0].path


def test_gradients_are_those_of_the_loss_as_it_is_now(tmp_path: pathlib.Path) -> None:
    model, (x, y) = network(), data()
    model.get_layer("conv").trainable = False
    histogram = RelevanceHistogram("lrp.epsilon", (x, y), log_dir=tmp_path, weights=False)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss)
    fit(model, [histogram], epochs=1)
    model.get_layer("conv").trainable = True
    model.compile(keras.optimizers.SGD(0.0), loss, loss_weights=1000.0)
    fit(model, [histogram], epochs=1)
    run = Run.of(tmp_path / "relevance")
    small, large = run.values("gradients/logits/kernel")
    np.testing.assert_allclose(1000 * small[:, :2], large[:, :2], rtol=1e-3, atol=1e-3)
    assert len(run.values("gradients/conv/kernel")) == 1
    assert len(run.values("lrp.epsilon/conv")) == 2


def test_labels_that_the_loss_cannot_take_are_told_before_training(tmp_path: pathlib.Path) -> None:
    model, (x, _) = network(), data()
    with pytest.raises(Exception, match=r"shape|rank|dim"):
        fit(model, [RelevanceHistogram("lrp.z", (x, np.ones((24, 2, 3))), log_dir=tmp_path)])
    assert int(model.optimizer.iterations) == 0


def test_gradients_need_labels(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="which needs labels"):
        RelevanceHistogram("lrp.z", data()[0], log_dir=tmp_path, gradients=True)


def half() -> np.ndarray:
    mask = np.zeros((6, 6))
    mask[:3] = 1
    return mask


@pytest.mark.parametrize("of", ["absolute", "positive"])
def test_the_share_inside_is_one_of_the_logs(of: str) -> None:
    model, (x, y) = network(), data()
    stop = keras.callbacks.EarlyStopping("relevance_inside", mode="max", patience=1, min_delta=1.0)
    warning = EarlyWarning("lrp.epsilon", (x, y), mask=half(), of=of)
    history = fit(model, [warning, stop], epochs=5).history["relevance_inside"]
    assert len(history) == 2  # no share grows by 1: it stops as soon as it may
    relevance = create_analyzer("lrp.epsilon", model).analyze(x, y).astype("float64")
    strength = np.abs(relevance) if of == "absolute" else np.maximum(relevance, 0)
    expected = np.mean(strength[:, :3].sum(axis=(1, 2, 3)) / strength.sum(axis=(1, 2, 3)))
    assert history[-1] == pytest.approx(expected, rel=1e-5)


def test_the_share_keeps_its_value_between_events() -> None:
    history = fit(network(), [EarlyWarning("lrp.z", data(), mask=half(), every_n_epochs=2, name="inside")], epochs=4)
    found = history.history["inside"]
    assert found[0] == found[1]
    assert found[2] == found[3] != found[1]


def test_a_share_that_is_not_known_is_nan_and_not_that_of_before() -> None:
    class Spoil(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                self.model.set_weights([np.full_like(weight, np.nan) for weight in self.model.get_weights()])

    warning = EarlyWarning("lrp.z", data(), mask=half())
    with pytest.warns(RuntimeWarning, match="no relevance of 'lrp.z' at epoch 1"):
        found = fit(network(), [Spoil(), warning]).history["relevance_inside"]
    assert np.isfinite(found[0])
    assert np.isnan(found[1:]).all()


def test_another_training_begins_with_its_own_share() -> None:
    warning = EarlyWarning("lrp.z", data(), mask=half(), every_n_epochs=10)
    first = fit(network(), [warning], epochs=1).history["relevance_inside"]
    second = fit(network(), [warning], epochs=3, initial_epoch=1).history["relevance_inside"]
    assert len(second) == 2
    assert second[0] == second[1] != first[0]


def test_a_mask_of_all_samples_is_cut_with_them() -> None:
    x, y = data()
    masks = np.random.default_rng(0).random((24, 6, 6)) > 0.5
    cut = EarlyWarning("lrp.z", (x, y), mask=masks, max_samples=8)
    own = EarlyWarning("lrp.z", (x[:8], y[:8]), mask=masks[:8], name="own")
    found = fit(network(), [cut, own], epochs=1).history
    assert found["relevance_inside"] == found["own"]


def test_a_checkpoint_can_follow_it(tmp_path: pathlib.Path) -> None:
    checkpoint = keras.callbacks.ModelCheckpoint(
        str(tmp_path / "best.keras"), monitor="relevance_inside", mode="max", save_best_only=True
    )
    fit(network(), [EarlyWarning("lrp.z", data(), mask=half()), checkpoint])
    assert (tmp_path / "best.keras").exists()


def test_samples_without_relevance_do_not_count() -> None:
    strength = np.array([[1.0, 3.0], [0.0, 0.0], [2.0, 2.0]])
    assert share_inside(strength, np.array([[1.0, 0.0]])) == pytest.approx((0.25 + 0.5) / 2)
    assert np.isnan(share_inside(np.zeros((2, 2)), np.ones((1, 2))))


@pytest.mark.parametrize("shape", [(6, 6), (6, 6, 1), (24, 6, 6), (24, 6, 6, 1), (1, 6, 6, 1)])
def test_masks_that_fit(shape: tuple[int, ...]) -> None:
    EarlyWarning("lrp.z", data(), mask=np.ones(shape))


@pytest.mark.parametrize(
    ("mask", "options", "match"),
    [
        (np.ones((5, 6)), {}, r"the mask has shape \(5, 6\), which does not fit the samples, \(24, 6, 6, 1\)"),
        (np.zeros((6, 6)), {}, "the mask is empty"),
        (np.full((6, 6), 0.5), {}, "True .or 1. inside and False"),
        (np.ones((6, 6)), {"analyzer": ["lrp.z", "gradient"]}, "one analyzer gives the warning"),
        (np.ones((6, 6)), {"of": "both"}, "of must be one of 'absolute', 'positive'"),
        (np.ones((6, 6)), {"data": [data()[0], data()[0]]}, "the data have several"),
    ],
)
def test_what_does_not_fit_is_refused(mask: np.ndarray, options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        EarlyWarning(**{"analyzer": "lrp.z", "data": data(), "mask": mask, **options})


def test_configurations() -> None:
    warning = EarlyWarning("lrp.z", data(), mask=half(), of="positive", name="inside", every_n_epochs=3)
    again = EarlyWarning.from_config(json.loads(json.dumps(warning.get_config())), data(), mask=half())
    assert again.get_config() == warning.get_config()
    assert (again.of, again.name, again.every_n_epochs) == ("positive", "inside", 3)
