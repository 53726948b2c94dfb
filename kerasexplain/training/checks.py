"""Checks of a training on relevance, made before it starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from kerasexplain.analyzer import Analyzer
from kerasexplain.foundation.checks import check_choice, check_nonnegative
from kerasexplain.training.losses import JUDGED_BY, RelevanceLoss, RelevanceSmoothness

#: What a network of its own ways of training overrides: none of it would be run.
_OF_TRAINING = ("train_step", "test_step", "compute_loss", "compute_metrics")


def check_has_no_own_training(model: keras.Model) -> None:
    """Raises ValueError where a network trains by code of its own, which would be left out without a word."""
    own = [name for name in _OF_TRAINING if getattr(type(model), name) is not getattr(keras.Model, name)]
    if own:
        raise ValueError(
            f"the network {model.name!r} ({type(model).__name__}) has its own {', '.join(own)}, which would not "
            "be run: add losses over relevance there, by Analyzer.differentiable"
        )


def check_losses(losses: Sequence[Any]) -> None:
    """Raises ValueError unless these are losses over relevance, each with a name of its own."""
    if not losses:
        raise ValueError("there is no loss over relevance: pass RelevanceOutside() or another")
    for loss in losses:
        if not isinstance(loss, RelevanceLoss):
            raise ValueError(f"losses= takes losses over relevance such as RelevanceOutside(), got {loss!r:.60}")
        check_choice(f"judged_by of {loss.name}", loss.judged_by, JUDGED_BY)
        if loss.name in ("loss", "relevance_inside"):
            raise ValueError(f"a loss is named {loss.name!r}, which logs have for something else: pass name=")
    names = [loss.name for loss in losses]
    if len(set(names)) < len(names):
        raise ValueError(f"two losses have one name, {names}: pass name= to one of them")


def check_target(analyzer: Analyzer, target: Any) -> None:
    """Raises ValueError where the analyzer cannot explain what is to be explained."""
    graph, options = analyzer.graph, analyzer.options
    if target == "prediction" and options.neuron_selection_mode == "index":
        raise ValueError(
            f'{analyzer.name!r} has neuron_selection_mode="index", and target="prediction" names no index: choose '
            'neuron_selection_mode="max_activation"'
        )
    of_model = not isinstance(options.output, str) or options.output in graph.output_names
    if target in ("label", "contrast") and not of_model and graph.explained not in graph.outputs:
        raise ValueError(
            f"{analyzer.name!r} explains {options.output!r}, an inner layer, of which labels say nothing: choose "
            "target='prediction', 'all' or a function"
        )


def check_layout(analyzer: Analyzer, losses: Sequence[RelevanceLoss]) -> None:
    """Raises ValueError where losses that have to know which axes are those of space would take others."""
    usual = keras.config.image_data_format()
    formats = {getattr(node.operation, "data_format", None) for node in analyzer.graph.nodes}
    for loss in losses:
        if formats - {usual, None} and (isinstance(loss, RelevanceSmoothness) or getattr(loss, "resize", False)):
            raise ValueError(
                f"{loss.name} takes axes as Keras is set to, {usual!r}, and the network has layers of another "
                "data_format: set keras.config.set_image_data_format, or resize masks beforehand"
            )


def no_masks(loss: RelevanceLoss) -> str:
    """The message where a loss finds no masks."""
    return f"{loss.name} needs masks: pass mask= to fit, or batches (x, y, mask); validation data have them, too"


def one_each(weights: float | Sequence[float], losses: Sequence[RelevanceLoss]) -> list[float]:
    """The weight of each loss.

    Raises:
        ValueError: There are more or fewer, or one is no weight.
    """
    given: list[Any] = list(weights) if isinstance(weights, (list, tuple)) else [weights] * len(losses)
    if len(given) != len(losses):
        raise ValueError(f"weights= is a number, or one for each loss: {len(losses)} losses, {len(given)} weights")
    for weight in given:
        check_nonnegative("weights", weight)
        if weight is None or not math.isfinite(weight):
            raise ValueError(f"weights must be finite numbers, got {weight!r}")
    return [float(weight) for weight in given]
