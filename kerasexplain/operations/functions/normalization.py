"""The operations of `keras.ops` that normalise by statistics of their input."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kerasexplain.graph.primitives import Call, Primitive, now
from kerasexplain.operations.batches import MIXES, axes_of, has_batch_axis
from kerasexplain.operations.catalogue import describes, opaque
from kerasexplain.operations.statistics import Weight, layer_statistics, unit_statistics


def _weight(call: Call, position: int, name: str) -> Weight:
    leaf = call.args[position] if len(call.args) > position else call.kwargs.get(name)
    return None if leaf is None else lambda: ops.convert_to_tensor(now(leaf))


@describes("ops.LayerNorm")
def _layer_norm(call: Call) -> Primitive:
    deviation = call.operation.rms_scaling  # without centring, for all its name
    gamma, beta = _weight(call, 1, "gamma"), None if deviation else _weight(call, 2, "beta")
    return _over_axes(call, gamma, beta, centres=not deviation)


@describes("ops.RMSNorm")
def _rms_norm(call: Call) -> Primitive:
    return _over_axes(call, _weight(call, 1, "scale"), None, about_mean=False)


def _over_axes(call: Call, gamma: Weight, beta: Weight, **how: bool) -> Primitive:
    shape, operation = call.inputs[0].shape, call.operation
    if len(call.inputs) > 1:
        return opaque(call, "its gain or offset is another activation")
    if has_batch_axis(call):
        return opaque(call, MIXES)
    epsilon = keras.config.epsilon() if operation.epsilon is None else operation.epsilon
    return layer_statistics(shape, sorted(axes_of(operation.axis, len(shape))), epsilon, gamma, beta, **how)


@describes("ops.Normalize")
def _normalize(call: Call) -> Primitive:
    if has_batch_axis(call):
        return opaque(call, MIXES)
    operation: Any = call.operation
    epsilon = keras.config.epsilon() if operation.epsilon is None else operation.epsilon
    return unit_statistics(operation.axis, operation.order, epsilon)
