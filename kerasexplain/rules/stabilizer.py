"""Stabilizers, which keep denominators from zero: a number, or a share of their own size."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from kerasexplain.foundation.checks import check_nonnegative, check_positive
from kerasexplain.foundation.config import Configurable, saved

Tensor = Any


@saved
class Relative(Configurable):
    """A stabilizer in proportion to the denominators d of an operation: `epsilon = factor sqrt(mean d^2)`.

    The mean is over all denominators of the operation at one sample: all units, and all positions; in a recurrent layer
    those of one step. Where a rule has two kinds, for contributions or outputs of either sign, each has its own. A rule
    takes it in the place of a number, for one epsilon in all layers, whatever the size of their activations is:
    `Epsilon(Relative(0.25))` shares by `R / (z + 0.25 sqrt(mean z^2) sign(z))`. Where all denominators are 0,
    so is what is shared.

    Args:
        factor: Which part of the root mean square.

    Raises:
        ValueError: factor is not positive.

    Source: the code that comes with Montavon et al. 2019, "Layer-Wise Relevance Propagation: An Overview", whose
    LRP-epsilon has 0.25 of it.
    """

    factor: float

    def __post_init__(self) -> None:
        check_positive("factor", self.factor)

    def of(self, d: Tensor) -> Tensor:
        """The epsilon of every sample, with an axis of one for each other axis of d."""
        axes = tuple(range(1, len(d.shape)))
        # Not ops.mean: on JAX that of Keras is in single precision.
        count = ops.cast(math.prod(ops.shape(d)[axis] for axis in axes), d.dtype)
        # In units of the largest, which is a constant to derivatives: squares of very large numbers are infinite.
        largest = ops.stop_gradient(ops.max(ops.abs(d), axis=axes, keepdims=True))
        unit = ops.where(ops.equal(largest, 0), ops.ones_like(largest), largest)
        square = ops.sum(ops.square(d / unit), axis=axes, keepdims=True) / count
        empty = ops.equal(square, 0)  # where the square root has no derivative
        size = ops.where(empty, ops.zeros_like(square), ops.sqrt(ops.where(empty, ops.ones_like(square), square)))
        return self.factor * unit * size


#: What rules take.
Stabilizer = float | Relative


def check_stabilizer(name: str, value: Any) -> None:
    """Raises ValueError unless the value is None, a number that is not negative, or `Relative`."""
    if not isinstance(value, Relative):
        check_nonnegative(name, value)


def default_stabilizer(value: Stabilizer | None) -> Stabilizer:
    """The stabilizer asked for, or Keras' own small number."""
    return keras.config.epsilon() if value is None else value
