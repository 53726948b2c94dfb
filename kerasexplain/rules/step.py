"""One linear operation at one input: the quantities that the rules' formulas are written in."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from typing import Any

from keras import ops

from kerasexplain.rules.division import negative, positive

Tensor = Any
Product = Callable[[Tensor, Tensor], Tensor]

#: Up to so many input channels, one product of twice as many takes less time than two: up to a third less on images.
FEW_CHANNELS = 64


class LinearStep:
    """`z = x W + b`, with what a rule may ask of it. Everything is computed when first asked for.

    Args:
        product: `(x, W) -> x W`.
        transposed: `(s, W, x) -> W^T s`, the transposed product, shaped like x.
        summed: The axes of x and of W that the product sums over, where it is one each; None otherwise.
        x: Input, `(batch, ...)`.
        W: Kernel.
        b: Bias, broadcastable to z; None without one.
        nonnegative: Whether x is known to be >= 0 everywhere; then half of every signed product is zero.
        rectified: Whether z is given as max(z, 0), because no relevance arrives where it is negative.

    Attributes:
        kernels: What the rule's `kernels` gave; among them may be quantities of the step, by name.
        parts: What its `parts` gave.
    """

    def __init__(
        self,
        product: Product,
        transposed: Callable[[Tensor, Tensor, Tensor], Tensor],
        summed: tuple[int, int] | None,
        x: Tensor,
        W: Tensor,
        b: Tensor | None,
        nonnegative: bool,
        rectified: bool = False,
    ) -> None:
        self._product, self._transposed = product, transposed
        self.x, self.W, self.b, self.nonnegative, self.rectified = x, W, b, nonnegative, rectified
        self.kernels: dict[str, Any] = {}
        self.parts: tuple[Tensor, Tensor] | None = None
        self._joined = summed if summed is not None and W.shape[summed[1]] <= FEW_CHANNELS else None

    def know(self, **quantities: Any) -> None:
        """Takes quantities, by name, that have been computed before."""
        vars(self).update(quantities)

    def forward(self, x: Tensor, W: Tensor) -> Tensor:
        """`x W`, for another input or kernel."""
        return self._product(x, W)

    def T(self, s: Tensor, W: Tensor | None = None) -> Tensor:  # noqa: N802 - as in the formulas
        """`W^T s`, the transposed product, shaped like x."""
        return self._transposed(s, self.W if W is None else W, self.x)

    def T_of_several(self, s: Tensor, kernels: list[Tensor]) -> list[Tensor]:  # noqa: N802
        """`W^T s` for each of several kernels."""
        if self._joined is None:
            return [self.T(s, W) for W in kernels]
        of_x, of_W = self._joined
        like = ops.concatenate([self.x] * len(kernels), axis=of_x)
        return ops.split(self._transposed(s, ops.concatenate(kernels, axis=of_W), like), len(kernels), axis=of_x)

    @functools.cached_property
    def xW(self) -> Tensor:  # noqa: N802
        """`x W`, without the bias."""
        return self.forward(self.x, self.W)

    @functools.cached_property
    def z(self) -> Tensor:
        """`x W + b`; not below 0 if it is rectified."""
        z = self.xW if self.b is None else self.xW + self.b
        return ops.relu(z) if self.rectified else z

    @functools.cached_property
    def W_pos(self) -> Tensor:  # noqa: N802
        return positive(self.W)

    @functools.cached_property
    def W_neg(self) -> Tensor:  # noqa: N802
        return negative(self.W)

    # The contributions of one sign are products of the parts of x with kernels: of x itself where it is not negative,
    # else of x+ and x-; joined along the axis that is summed over, they are one input with twice the channels.

    @functools.cached_property
    def x_parts(self) -> list[Tensor]:
        """x by sign: what `W_P` and `W_N` are for."""
        if self.nonnegative:
            return [self.x]
        positive_part = positive(self.x)
        return self._join([positive_part, self.x - positive_part], 0)

    @functools.cached_property
    def W_P(self) -> list[Tensor]:  # noqa: N802
        """The kernels that make P of the parts of x."""
        return [self.W_pos] if self.nonnegative else self._join([self.W_pos, self.W_neg], 1)

    @functools.cached_property
    def W_N(self) -> list[Tensor]:  # noqa: N802
        """The kernels that make N of the parts of x."""
        return [self.W_neg] if self.nonnegative else self._join([self.W_neg, self.W_pos], 1)

    def _join(self, parts: list[Tensor], operand: int) -> list[Tensor]:
        return parts if self._joined is None else [ops.concatenate(parts, axis=self._joined[operand])]

    @functools.cached_property
    def P(self) -> Tensor:  # noqa: N802
        """The positive contributions, `x+ W+ + x- W-`."""
        return _sum(map(self.forward, self.x_parts, self.W_P))

    @functools.cached_property
    def N(self) -> Tensor:  # noqa: N802
        """The negative contributions, `x+ W- + x- W+`."""
        return _sum(map(self.forward, self.x_parts, self.W_N))

    def P_T(self, s: Tensor) -> Tensor:  # noqa: N802
        """The transpose of `P` at s, per unit of x: `(W+)^T s` where x > 0, else `(W-)^T s`."""
        both = zip(self.x_parts, self.W_P, strict=True)
        return self._by_sign([self._transposed(s, W, part) for part, W in both])

    def split_T(  # noqa: N802
        self, s_pos: Tensor, s_neg: Tensor, join: Callable[[Tensor, Tensor], Tensor] = operator.add
    ) -> Tensor:
        """The transposes of `P` at s_pos and of `N` at s_neg, per unit of x.

        They are added, or joined otherwise.
        """
        both = zip(self.x_parts, self.W_P, self.W_N, strict=True)
        transposed = self._transposed
        return self._by_sign([join(transposed(s_pos, P, part), transposed(s_neg, N, part)) for part, P, N in both])

    def _by_sign(self, of_parts: list[Tensor]) -> Tensor:
        """The shares of x, from those of its parts."""
        if self.nonnegative:
            return of_parts[0]
        if self._joined is not None:
            of_parts = ops.split(of_parts[0], 2, axis=self._joined[0])
        return ops.where(self.x > 0, *of_parts)

    @property
    def b_pos(self) -> Tensor:
        return 0.0 if self.b is None else positive(self.b)

    @property
    def b_neg(self) -> Tensor:
        return 0.0 if self.b is None else negative(self.b)


def _sum(products: Iterable[Tensor]) -> Tensor:
    return functools.reduce(operator.add, products)
