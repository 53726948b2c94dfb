"""One linear operation at one input: the quantities that the rules' formulas are written in."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from keras import ops

from kerasexplain.rules.arithmetic import negative, positive

Tensor = Any
Product = Callable[[Tensor, Tensor], Tensor]


class LinearStep:
    """`z = x W + b`, with what a rule may ask of it. Everything is computed when first asked for.

    Args:
        product: `(x, W) -> x W`.
        transposed: `(s, W, x) -> W^T s`, the transposed product, shaped like x.
        x: Input, `(batch, ...)`.
        W: Kernel.
        b: Bias, broadcastable to z; None without one.
        nonnegative: Whether x is known to be >= 0 everywhere; then half of every signed product is zero.
        rectified: Whether z is given as max(z, 0), because no relevance arrives where it is negative.
        cached: Quantities known already, by name.
    """

    def __init__(
        self,
        product: Product,
        transposed: Callable[[Tensor, Tensor, Tensor], Tensor],
        x: Tensor,
        W: Tensor,
        b: Tensor | None,
        nonnegative: bool,
        rectified: bool = False,
        **cached: Tensor,
    ) -> None:
        self._product, self._transposed = product, transposed
        self.x, self.W, self.b, self.nonnegative = x, W, b, nonnegative
        self.sign_of_z = 1 if rectified else 0
        vars(self).update(cached)

    def forward(self, x: Tensor, W: Tensor) -> Tensor:
        """`x W`, for another input or kernel."""
        return self._product(x, W)

    def T(self, s: Tensor, W: Tensor | None = None) -> Tensor:  # noqa: N802 - as in the formulas
        """`W^T s`, the transposed product, shaped like x."""
        return self._transposed(s, self.W if W is None else W, self.x)

    @functools.cached_property
    def W_pos(self) -> Tensor:  # noqa: N802
        return positive(self.W)

    @functools.cached_property
    def W_neg(self) -> Tensor:  # noqa: N802
        return negative(self.W)

    @functools.cached_property
    def xW(self) -> Tensor:  # noqa: N802
        """`x W`, without the bias."""
        return self.forward(self.x, self.W)

    @functools.cached_property
    def z(self) -> Tensor:
        """`x W + b`."""
        return self.xW if self.b is None else self.xW + self.b

    @functools.cached_property
    def P(self) -> Tensor:  # noqa: N802
        """The positive contributions, `x+ W+ + x- W-`."""
        if self.nonnegative:
            return self.forward(self.x, self.W_pos)
        return self.forward(positive(self.x), self.W_pos) + self.forward(negative(self.x), self.W_neg)

    @functools.cached_property
    def N(self) -> Tensor:  # noqa: N802
        """The negative contributions, `x+ W- + x- W+`."""
        if self.nonnegative:
            return self.forward(self.x, self.W_neg)
        return self.forward(positive(self.x), self.W_neg) + self.forward(negative(self.x), self.W_pos)

    def P_T(self, s: Tensor) -> Tensor:  # noqa: N802
        """What each unit of x gets through its positive contributions: `(W+)^T s` where x > 0, else `(W-)^T s`."""
        if self.nonnegative:
            return self.T(s, self.W_pos)
        return ops.where(self.x > 0, self.T(s, self.W_pos), self.T(s, self.W_neg))

    def N_T(self, s: Tensor) -> Tensor:  # noqa: N802
        """What each unit of x gets through its negative contributions: `(W-)^T s` where x > 0, else `(W+)^T s`."""
        if self.nonnegative:
            return self.T(s, self.W_neg)
        return ops.where(self.x > 0, self.T(s, self.W_neg), self.T(s, self.W_pos))

    def split_T(self, s_pos: Tensor, s_neg: Tensor) -> Tensor:  # noqa: N802
        """`P_T(s_pos) + N_T(s_neg)`; two products fewer where the input has both signs."""
        if self.nonnegative:
            return self.T(s_pos, self.W_pos) + self.T(s_neg, self.W_neg)
        of_positive = self.T(s_pos, self.W_pos) + self.T(s_neg, self.W_neg)
        of_negative = self.T(s_pos, self.W_neg) + self.T(s_neg, self.W_pos)
        return ops.where(self.x > 0, of_positive, of_negative)

    @property
    def b_pos(self) -> Tensor:
        return 0.0 if self.b is None else positive(self.b)

    @property
    def b_neg(self) -> Tensor:
        return 0.0 if self.b is None else negative(self.b)
