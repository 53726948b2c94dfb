"""Conditions: which channels of which operations relevance may go through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerasexplain.compiler.pipeline import Pipeline
from kerasexplain.compiler.rows import row_named
from kerasexplain.foundation.errors import InputError
from kerasexplain.graph.graph import Node, Value


def conditions_of(conditions: Any, pipeline: Pipeline, samples: int) -> dict[str, np.ndarray]:
    """Factors `(samples, channels)` by operation: 1 where relevance may pass, 0 where not.

    Args:
        conditions: A dict `{operation: channels}` for all samples, or one for each; None for none. Channels are an
            index, several, or a floating array of factors, one for each channel.
        pipeline: What it is for.
        samples: How many samples there are.

    Raises:
        InputError: An operation has no channels that could be told apart, or a condition does not fit.
        ValueError: An operation is not known.
        IndexError: A channel is out of range.
    """
    if conditions is None:
        return {}
    several = isinstance(conditions, Sequence) and not isinstance(conditions, str)
    each = list(conditions) if several else [conditions] * samples
    if len(each) != samples or not all(isinstance(condition, Mapping) for condition in each):
        raise InputError(
            f"conditions must be a dict such as {{'conv1': [0, 3]}}, or one for each of the {samples} samples; got "
            f"{conditions!r}"
        )
    nodes = {name: row_named(pipeline.rows, name).node for condition in each for name in condition}
    axes = pipeline.graph.channel_axes
    factors = {node.name: np.ones((samples, _channels(node, axes))) for node in nodes.values()}
    for i, condition in enumerate(each):
        for name, channels in condition.items():
            node = nodes[name]
            factors[node.name][i] = factors[node.name][i] * _mask(node, channels, factors[node.name].shape[1])
    dtype = pipeline.twin.execution.dtype_of_relevance
    return {name: array.astype(dtype) for name, array in factors.items()}


def _channels(node: Node, axes: Mapping[Value, int]) -> int:
    value = node.outputs[0]
    if value not in axes:
        raise InputError(
            f"it is not known which axis of the output of {node.name!r} ({node.type}) the channels are, {value.shape}: "
            "put the condition on the layer before, which says so"
        )
    size = value.shape[axes[value]]
    if size is None or len(value.shape) < 2 or value.fold != 1 or value.batch_axis != 0:
        raise InputError(f"the output of {node.name!r} ({node.type}) has no fixed number of channels: {value.shape}")
    return size


def _mask(node: Node, channels: int | Sequence[int] | np.ndarray, count: int) -> np.ndarray:
    given = np.asarray(channels)
    if given.dtype.kind == "f" and given.shape == (count,):
        return given
    if given.dtype.kind not in "iu":
        raise InputError(f"the channels of {node.name!r} must be indices or {count} floating factors, got {channels!r}")
    if np.any((given < -count) | (given >= count)):
        raise IndexError(f"{node.name!r} has {count} channels; got {channels!r}")
    mask = np.zeros(count)
    mask[given] = 1.0
    return mask
