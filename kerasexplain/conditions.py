"""Conditions: which channels of which operations relevance may go through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerasexplain.errors import InputError, nearest
from kerasexplain.graph import Node
from kerasexplain.pipeline import Pipeline
from kerasexplain.program import channel_axis


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
    each = [conditions] * samples if isinstance(conditions, Mapping) else list(conditions)
    if len(each) != samples or not all(isinstance(condition, Mapping) for condition in each):
        raise InputError(
            f"conditions must be a dict such as {{'conv1': [0, 3]}}, or one for each of the {samples} samples; got "
            f"{conditions!r}"
        )
    nodes = {name: _node(pipeline, name) for condition in each for name in condition}
    factors = {node.name: np.ones((samples, _channels(node))) for node in nodes.values()}
    for i, condition in enumerate(each):
        for name, channels in condition.items():
            node = nodes[name]
            factors[node.name][i] = factors[node.name][i] * _mask(node, channels)
    dtype = pipeline.twin.execution.dtype_of_relevance
    return {name: array.astype(dtype) for name, array in factors.items()}


def _node(pipeline: Pipeline, name: str) -> Node:
    nodes = [row.node for row in pipeline.rows]
    for node in nodes:
        if name == node.name or name in node.absorbed:
            return node
    raise ValueError(f"no operation is named {name!r}.{nearest(name, [node.name for node in nodes])}")


def _channels(node: Node) -> int:
    value = node.outputs[0]
    size = value.shape[channel_axis(node)]
    if size is None or len(value.shape) < 2 or value.fold != 1 or value.batch_axis != 0:
        raise InputError(f"the output of {node.name!r} ({node.type}) has no fixed number of channels: {value.shape}")
    return size


def _mask(node: Node, channels: int | Sequence[int] | np.ndarray) -> np.ndarray:
    count, given = _channels(node), np.asarray(channels)
    if given.dtype.kind == "f" and given.shape == (count,):
        return given
    if given.dtype.kind not in "iu":
        raise InputError(f"the channels of {node.name!r} must be indices or {count} floating factors, got {channels!r}")
    if np.any((given < -count) | (given >= count)):
        raise IndexError(f"{node.name!r} has {count} channels; got {channels!r}")
    mask = np.zeros(count)
    mask[given] = 1.0
    return mask
