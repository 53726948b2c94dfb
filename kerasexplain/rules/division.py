"""Division as the rules mean it."""

from __future__ import annotations

from typing import Any

from keras import ops

from kerasexplain.rules.stabilizer import Relative, Stabilizer

Tensor = Any


def share(n: Tensor, d: Tensor, stabilizer: Stabilizer, sign: int = 0) -> Tensor:
    """`n / st(d)` with `st(d) = d + stabilizer * sign(d)`, sign(0) = +1; `quotient(n, d)` if the stabilizer is 0.

    Args:
        n: What is shared.
        d: A denominator.
        stabilizer: What keeps it from zero: a number, or a share of the size of d.
        sign: +1 or -1 where d is known never to have the other sign: then no sign has to be taken.
    """
    if isinstance(stabilizer, Relative):
        epsilon = stabilizer.of(d)  # 0 where all of d is
        return quotient(n, d + (sign * epsilon if sign else ops.where(d < 0, -epsilon, epsilon)))
    if stabilizer == 0:
        return quotient(n, d)
    if sign:
        return n / (d + sign * stabilizer)
    # In d's own precision: Keras turns a bare Python number into float32 first.
    eps = ops.convert_to_tensor(stabilizer, dtype=d.dtype)
    return n / (d + ops.where(d < 0, -eps, eps))


def divided(n: Tensor, stabilized: Tensor, stabilizer: float) -> Tensor:
    """`n / stabilized`, a denominator that holds its stabilizer already; `quotient` of them if that is 0."""
    return n / stabilized if stabilizer else quotient(n, stabilized)


def quotient(n: Tensor, d: Tensor) -> Tensor:
    """`n / d`, and 0 where d is 0."""
    zero = ops.equal(d, 0)
    return ops.where(zero, ops.zeros_like(n), n / ops.where(zero, ops.ones_like(d), d))


def positive(x: Tensor) -> Tensor:
    """`max(x, 0)`."""
    return ops.relu(x)


def negative(x: Tensor) -> Tensor:
    """`min(x, 0)`, whose slope at 0 is 1, as that of `max(x, 0)` is 0: `ops.minimum` has 1 / 2 there on JAX.

    Not `x - max(x, 0)`: TensorFlow's graph optimizer reorders sums, and turned `(b - max(b, 0)) - stabilizer` into
    `(b - stabilizer) - max(b, 0)`, which is 0 in float32 for b = 3. A sum of terms of one sign has no such order.
    """
    return ops.where(x > 0, ops.zeros_like(x), x)
