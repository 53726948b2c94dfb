"""Normalisation that is one operation of TensorFlow."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from keras import ops

from kerasexplain.trace.tensorflow.table.registry import channels_first, translates
from kerasexplain.trace.tensorflow.values import UntranslatableError, is_symbolic, weight

Tensor = Any


@translates("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
def _batch_normalization(op: Any, x: Tensor, scale: Any, offset: Any, mean: Any, variance: Any) -> Tensor:
    if op.get_attr("is_training") or any(map(is_symbolic, (scale, offset, mean, variance))):
        raise UntranslatableError("it normalises by the statistics of the batch, so that samples depend on each other")
    epsilon = op.get_attr("epsilon")
    spread = (-1, *[1] * (len(x.shape) - 2)) if channels_first(op) else (-1,)

    def factor(scale: Tensor, variance: Tensor) -> Tensor:
        return tf.reshape(tf.math.rsqrt(variance + epsilon) * scale, spread)

    def shift(scale: Tensor, variance: Tensor, offset: Tensor, mean: Tensor) -> Tensor:
        return tf.reshape(offset, spread) - tf.reshape(mean, spread) * factor(scale, variance)

    return ops.add(ops.multiply(x, weight(factor, scale, variance)), weight(shift, scale, variance, offset, mean))
