"""Overrides that compare with a baseline: what travels is a multiplier, how much the output changes per unit of change.

Each operation's multipliers add up exactly: the sum of `m_i (x_i - x'_i)` over its inputs is `m_y (y - y')`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from kerasexplain.backend import override, pull_back, transposed
from kerasexplain.operations import Elementwise, Linear, Maximum, Primitive, Product, Statistics
from kerasexplain.rules import BaselineSlope, MaximumRule, RevealCancel, Rule
from kerasexplain.rules.step import LinearStep

Tensor = Any
Apply = Callable[[Sequence[Tensor], "Tensor | None"], Tensor]

#: Nodes of the quadrature for operations on whole vectors: softmax of scores that differ by 10 is exact to 1e-7.
NODES = 16


def against_baseline(primitive: Primitive, rule: Rule) -> Apply:
    """An operation as a function of its inputs, followed by their values at the baseline."""
    if isinstance(primitive, Elementwise):
        assert isinstance(rule, BaselineSlope)
        return _comparing(primitive, lambda xs, refs, s: [rule.against(primitive, xs[0], refs[0], s)])
    if isinstance(primitive, Maximum):
        assert isinstance(rule, MaximumRule)

        def of_candidates(xs: Sequence[Tensor], refs: Sequence[Tensor], s: Tensor) -> Any:
            slopes = rule.slopes(primitive.candidates(*xs), primitive.candidates(*refs))
            return transposed(lambda xs: primitive.candidates(*xs), tuple(xs), slopes * ops.expand_dims(s, -1))

        return _comparing(primitive, of_candidates)
    if isinstance(primitive, Statistics) and primitive.quadratic:
        return _comparing(primitive, lambda xs, refs, s: [normalization(primitive, xs[0], refs[0], s)])
    # The gradient of a product of n factors is a polynomial of degree n - 1 along the line.
    exact = isinstance(primitive, Product) and primitive.denominator is None
    return _comparing(primitive, lambda xs, refs, s: mean_gradient(primitive, xs, refs, s, None if exact else NODES))


def mean_gradient(
    function: Callable[..., Tensor], xs: Sequence[Tensor], refs: Sequence[Tensor], s: Tensor, nodes: int | None
) -> list[Tensor | None]:
    """`int_0^1 J(x' + t (x - x'))^T s dt` by Gauss-Legendre quadrature; None for what is not a real number.

    Args:
        function: `(*xs) -> y`.
        xs, refs: Its inputs, and their values at the baseline.
        s: Shaped like y.
        nodes: How many nodes; None for as many as a product of the inputs needs to be exact.
    """
    real = [i for i, x in enumerate(xs) if "float" in str(x.dtype)]
    at, weights = gauss_legendre(nodes or (len(real) + 1) // 2)
    total: list[Tensor | None] = [None] * len(xs)
    for t, weight in zip(at, weights, strict=True):

        def of_real(*operands: Tensor) -> tuple[Tensor, None]:
            given = dict(zip(real, operands, strict=True))
            return function(*(given.get(i, x) for i, x in enumerate(xs))), None

        between = [refs[i] + float(t) * (xs[i] - refs[i]) for i in real]
        _, _, pullback = pull_back(of_real, *between)
        for i, part in zip(real, pullback(s), strict=True):
            part = part * float(weight)
            total[i] = part if total[i] is None else total[i] + part
    return total


def normalization(primitive: Statistics, x: Tensor, reference: Tensor, s: Tensor) -> Tensor:
    """What x gets of `y = c(x) r(x)`, c linear, `r = 1 / sigma`, `sigma^2` quadratic; exactly.

    A product of two changes by `(c - c') (r + r') / 2 + (r - r') (c + c') / 2`, r with sigma^2 by
    `-r^2 r'^2 / (r + r')`, and sigma^2 with x by its gradient halfway. A baseline without contrast has a tiny sigma,
    near which no quadrature is exact.
    """
    r, r_ref = primitive.factor(x), primitive.factor(reference)

    def back(x: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        _, _, pullback = pull_back(lambda x, r: (primitive.scaled(x, r), None), x, r)
        return pullback(s)

    by_c, by_r = back(x, r)
    by_c_ref, by_r_ref = back(reference, r_ref)
    of_square = -0.5 * (by_r + by_r_ref) * ops.square(r * r_ref) / (r + r_ref)
    halfway = 0.5 * (x + reference)
    _, _, pullback = pull_back(lambda x: (1.0 / ops.square(primitive.factor(x)), None), halfway)
    return 0.5 * (by_c + by_c_ref) + pullback(of_square)[0]


def gauss_legendre(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in [0, 1] and weights that add up to 1."""
    at, weights = np.polynomial.legendre.leggauss(nodes)
    return (at + 1.0) / 2.0, weights / 2.0


def _comparing(primitive: Primitive, backward: Callable[..., Sequence[Tensor | None]]) -> Apply:
    """`backward` is `(xs, their values at the baseline, what y gets) -> what each x gets`."""

    def apply(operands: Sequence[Tensor], tap: Tensor | None) -> Tensor:
        count = len(operands) // 2

        def both(operands: Sequence[Tensor], s: Tensor) -> list[Tensor | None]:
            return [*backward(operands[:count], operands[count:], s), *(None for _ in range(count))]

        return override(lambda *operands: (primitive(*operands[:count]), operands), both, *operands)

    return apply


def reveal_cancel(linear: Linear, nonlinearity: Elementwise, rule: RevealCancel) -> Apply:
    """A linear operation and the nonlinearity behind it as one, as a function of its input and the baseline's."""

    def forward(x: Tensor, reference: Tensor, kernel: Tensor, *bias: Tensor) -> tuple[Tensor, Any]:
        z = linear.add_bias(linear.apply(x, kernel), bias[0] if bias else None)
        return nonlinearity(z), (x, reference, kernel, *bias)

    def backward(operands: Sequence[Tensor], s: Tensor) -> list[Tensor | None]:
        x, reference, kernel, *bias = operands
        z_ref = linear.add_bias(linear.apply(reference, kernel), bias[0] if bias else None)
        step = LinearStep(linear.apply, _transposed_product(linear), x - reference, kernel, None, nonnegative=False)
        of_positive, of_negative = rule.parts(nonlinearity, z_ref, step.P, step.N)
        m_up, m_down = of_positive * s, of_negative * s
        half = 0.5 * step.T(m_up + m_down)
        of_x = ops.where(ops.equal(step.x, 0), half, step.split_T(m_up, m_down))
        return [of_x, *(None for _ in operands[1:])]

    def apply(operands: Sequence[Tensor], tap: Tensor | None) -> Tensor:
        x, reference = operands
        bias = linear.placed_bias(x, None)
        kernel = ops.cast(linear.kernel(), x.dtype)
        return override(forward, backward, x, reference, kernel, *([] if bias is None else [bias]))

    return apply


def _transposed_product(linear: Linear) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    return lambda s, kernel, x: transposed(lambda x: linear.apply(x, kernel), x, s)
