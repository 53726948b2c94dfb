"""The arithmetic of comparing with a baseline: what travels is the change of the output per unit of change.

Each operation's multipliers add up exactly: the sum of `m_i (x_i - x'_i)` over its inputs is `m_y (y - y')`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from kerasexplain.backend import override, pull_back
from kerasexplain.compiler.linear_override import FEW_TERMS
from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.graph import Node
from kerasexplain.graph.linear import Linear
from kerasexplain.graph.primitives import Primitive, Statistics
from kerasexplain.rules import RevealCancel
from kerasexplain.rules.step import LinearStep

Tensor = Any
Apply = Callable[[Sequence[Tensor], "Tensor | None"], Tensor]

#: Nodes of the quadrature for operations on whole vectors: softmax of scores that differ by 10 is exact to 1e-7.
NODES = 16


def mean_gradient(
    function: Callable[..., Tensor],
    xs: Sequence[Tensor],
    refs: Sequence[Tensor],
    s: Tensor,
    *,
    is_product: bool = False,
) -> list[Tensor | None]:
    """`int_0^1 J(x' + t (x - x'))^T s dt` by Gauss-Legendre quadrature; None for what is not a real number.

    Args:
        function: `(*xs) -> y`.
        xs, refs: Its inputs, and their values at the baseline.
        s: Shaped like y.
        is_product: Whether the function is a product of the inputs, for which fewer nodes are exact.
    """
    real = [i for i, x in enumerate(xs) if "float" in str(x.dtype)]
    at, weights = gauss_legendre((len(real) + 1) // 2 if is_product else NODES)
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
    """The mean gradient of `y = c(x) r(x)`, c linear and `r = 1 / sigma` with sigma^2 quadratic in x.

    On the line x' + t (x - x') the gradient is `r(t) dc^T s - r(t)^3 (p + q t) (g' + t (g - g')) / 2`, with g the
    gradient of sigma^2 and p + q t the product of s and c: what depends on t are moments of r and r^3, numbers for each
    sample and position. A baseline without contrast has a tiny sigma, near which no quadrature of the whole is exact,
    and large terms cancel: in single precision sums were off by 1e-3, so doubles are used where the backend has them.
    """
    dtype = x.dtype
    x, reference, s = (ops.cast(tensor, "float64") for tensor in (x, reference, s))
    return ops.cast(_of_normalization(primitive, x, reference, s), dtype)


def _of_normalization(primitive: Statistics, x: Tensor, reference: Tensor, s: Tensor) -> Tensor:
    r, r_ref = primitive.factor(x), primitive.factor(reference)
    r_half = primitive.factor(0.5 * (x + reference))
    of_r, *of_cube = moments(1.0 / ops.square(r_ref), 1.0 / ops.square(r_half), 1.0 / ops.square(r))

    def back(function: Callable[..., Tensor], s: Tensor, *at: Tensor) -> Any:
        _, _, pullback = pull_back(lambda *at: (function(*at), None), *at)
        return pullback(s)

    def square(x: Tensor) -> Tensor:
        return 1.0 / ops.square(primitive.factor(x))

    of_c, p_and_q = back(primitive.scaled, s, x, of_r)
    p = back(primitive.scaled, s, reference, of_r)[1]
    q = p_and_q - p
    of_start, of_change = (-0.5 * (p * of_cube[k] + q * of_cube[k + 1]) for k in (0, 1))
    at_start = back(square, of_start - of_change, reference)[0]
    return of_c + at_start + back(square, of_change, x)[0]


def moments(start: Tensor, half: Tensor, end: Tensor) -> list[Tensor]:
    """`int_0^1 r dt` and `int_0^1 t^k r^3 dt` for k = 0, 1, 2, of `r(t) = 1 / sqrt(A t^2 + B t + C)`.

    Args:
        start, half, end: `A t^2 + B t + C` at t = 0, 1/2 and 1: positive numbers.

    With D the least value, at t0, and w = sqrt(D / A), r is smooth unless t0 is near [0, 1] and w small: Gauss-Legendre
    quadrature is then exact to rounding. Otherwise t = t0 + w sinh u turns all of them into elementary integrals.
    """
    one = ops.ones_like(start)
    A, B = 2.0 * (start + end - 2.0 * half), 4.0 * half - 3.0 * start - end
    curved = 1e-3 * (start + end) < A
    A_safe = ops.where(curved, A, one)
    t0 = -0.5 * B / A_safe
    D = ops.maximum(start - A_safe * ops.square(t0), 1e-7 * ops.minimum(start, end))
    w = ops.sqrt(D / A_safe)
    outside = ops.maximum(ops.maximum(-t0, t0 - 1.0), ops.zeros_like(t0))
    sharp = ops.logical_and(curved, ops.square(outside) + ops.square(w) < 0.25)
    smooth: list[Tensor] = [ops.zeros_like(start) for _ in range(4)]
    for t, weight in zip(*gauss_legendre(NODES), strict=True):
        r = ops.rsqrt(ops.where(sharp, one, start + float(t) * (B + float(t) * A)))
        parts = [r, *(float(t) ** k * r**3 for k in range(3))]
        smooth = [total + float(weight) * part for total, part in zip(smooth, parts, strict=True)]
    D, w, A = (ops.where(sharp, value, one) for value in (D, w, A_safe))
    u, u_end = ops.arcsinh(-t0 / w), ops.arcsinh((1.0 - t0) / w)
    zeroth = (ops.tanh(u_end) - ops.tanh(u)) / (D * ops.sqrt(A))
    first = (1.0 / ops.cosh(u) - 1.0 / ops.cosh(u_end)) / (A * ops.sqrt(D))
    second = (u_end - ops.tanh(u_end) - u + ops.tanh(u)) / A**1.5
    closed = [
        (u_end - u) / ops.sqrt(A),
        zeroth,
        first + t0 * zeroth,
        second + 2.0 * t0 * first + ops.square(t0) * zeroth,
    ]
    return [ops.where(sharp, c, s) for c, s in zip(closed, smooth, strict=True)]


def gauss_legendre(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes in [0, 1] and weights that add up to 1."""
    at, weights = np.polynomial.legendre.leggauss(nodes)
    return (at + 1.0) / 2.0, weights / 2.0


def comparing(primitive: Primitive, backward: Callable[..., Sequence[Tensor | None]]) -> Apply:
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
        product, transposed, summed = linear.apply, linear.transposed, linear.summed
        step = LinearStep(product, transposed, summed, x - reference, kernel, None, nonnegative=False)
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


def computed_in_doubles(nodes: Sequence[Node]) -> frozenset[Node]:
    """The operations in doubles: normalisations, and linear operations of few terms where there is one.

    Where the baseline has no contrast, hundreds of times the change of the output cancels in what a normalisation hands
    back, and the rounding of these products is most of what is left over. Sums of few terms take hardly longer in
    doubles than reading them does.
    """
    if not any(isinstance(node.primitive, Statistics) for node in nodes):
        return frozenset()

    def is_in_doubles(primitive: Primitive) -> bool:
        if isinstance(primitive, Linear):
            return primitive.terms is not None and 0 < primitive.terms <= FEW_TERMS
        return isinstance(primitive, Statistics)

    return frozenset(node for node in nodes if is_in_doubles(node.primitive))
