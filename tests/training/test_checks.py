"""What is refused when a RelevanceModel is made, and what it shares with its network."""

from __future__ import annotations

import copy
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
from helpers.relevance_training import data, evaluated, network, trained
from keras import layers, ops

from kerasexplain import InputError
from kerasexplain.training import RelevanceLoss, RelevanceModel, RelevanceOutside, RelevanceSmoothness

X, Y, MASK = data(8)


class OwnLoss(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def call(self, x: Any) -> Any:
        return self.inner(x)

    def compute_loss(self, *args: Any, **options: Any) -> Any:
        return 1000 + super().compute_loss(*args, **options)


class OwnStep(OwnLoss):
    compute_loss = keras.Model.compute_loss

    def train_step(self, *args: Any) -> Any:
        return super().train_step(*args)


@pytest.mark.parametrize(("kind", "own"), [(OwnLoss, "compute_loss"), (OwnStep, "train_step")])
def test_networks_with_a_training_of_their_own_are_refused(kind: type[keras.Model], own: str) -> None:
    with pytest.raises(ValueError, match=f"its own {own}, which would not"):
        RelevanceModel(kind(), "lrp.epsilon", RelevanceOutside(), example=X)


class Wrong(RelevanceLoss):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.sum(y_pred, axis=-1)


class Misspelt(Wrong):
    judged_by = "masks"


def test_losses_of_ones_own_are_checked() -> None:
    with pytest.raises(ValueError, match="judged_by of wrong must be one of"):
        trained(Misspelt("wrong"))
    with pytest.raises(InputError, match="one number for each sample"):
        evaluated(trained(Wrong("wrong")), X, Y)
    for name in ("loss", "relevance_inside"):
        with pytest.raises(ValueError, match="something else"):
            trained(RelevanceOutside(name=name))
    with pytest.raises(ValueError, match="finite"):
        trained(weights=float("inf"))


@pytest.mark.formula
def test_the_share_inside_is_that_whatever_the_options_of_the_loss() -> None:
    expected = evaluated(trained(), X, Y, MASK)["relevance_inside"]
    for losses in (
        RelevanceOutside(normalize=False),
        RelevanceOutside(power=2),
        [RelevanceOutside(), RelevanceOutside(power=2, name="squares")],
    ):
        assert evaluated(trained(losses), X, Y, MASK)["relevance_inside"] == pytest.approx(expected, rel=1e-5)
    model = trained()
    some = np.concatenate([X[:4], np.zeros_like(X[:4])])  # of black pictures no relevance is inside or outside
    found = evaluated(model, some, Y, MASK)["relevance_inside"]
    assert found == pytest.approx(evaluated(model, X[:4], Y[:4], MASK[:4])["relevance_inside"], rel=1e-5)


def test_axes_of_pictures_are_those_that_keras_is_set_to() -> None:
    first = keras.Sequential(
        [
            keras.Input((3, 6, 6)),
            layers.Conv2D(2, 3, data_format="channels_first"),
            layers.Flatten(data_format="channels_first"),
            layers.Dense(2),
        ]
    )
    for loss in (RelevanceOutside(resize=True), RelevanceSmoothness()):
        with pytest.raises(ValueError, match="another data_format"):
            RelevanceModel(first, "lrp.epsilon", loss)
    RelevanceModel(first, "lrp.epsilon", RelevanceOutside())


@pytest.mark.formula
def test_a_network_of_mixed_precision_is_trained_as_it_would_be() -> None:
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        mixed = network()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    model = RelevanceModel(mixed, "lrp.epsilon_plus", RelevanceOutside())
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    plain = network()
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        of_plain = RelevanceModel(plain, "lrp.epsilon_plus", RelevanceOutside())
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert np.array_equal(ops.convert_to_numpy(of_plain(X)), ops.convert_to_numpy(plain(X)))


def test_copies_are_those_of_the_network() -> None:
    model = trained()
    for copied in (copy.deepcopy, keras.models.clone_model):
        with pytest.raises(NotImplementedError, match=r"relevance_model\.network"):
            copied(model)


@pytest.mark.formula
def test_a_training_that_was_interrupted_continues_with_its_optimizer(tmp_path: pathlib.Path) -> None:
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                raise KeyboardInterrupt

    whole = trained().fit(X, Y, MASK, epochs=3, shuffle=False, verbose=0).history["loss"]
    model, backup = trained(), keras.callbacks.BackupAndRestore(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, MASK, epochs=3, shuffle=False, verbose=0, callbacks=[backup, Stop()])
    model = trained()
    continued = model.fit(
        X, Y, MASK, epochs=3, shuffle=False, verbose=0, callbacks=[keras.callbacks.BackupAndRestore(tmp_path)]
    ).history["loss"]
    assert continued == pytest.approx(whole[1:], rel=1e-5)
    assert getattr(model.network, "optimizer", None) is None
