"""Rules for linear operations whose relevance is not proportional to x: for first layers above all."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from keras import ops

from kerasexplain.foundation.config import saved
from kerasexplain.rules.division import share
from kerasexplain.rules.linear import LinearRule, Stabilized, Stabilizing
from kerasexplain.rules.stabilizer import Stabilizer
from kerasexplain.rules.step import LinearStep

Tensor = Any


@saved
class ZB(Stabilizing):
    """`s = R / st(x W - low W+ - high W-)`, `R_i = (x - low) (W+)^T s + (x - high) (W-)^T s`, for bounded inputs.

    Args:
        low, high: The box that x lies in: scalars, one number per channel, or arrays shaped like one sample.
        stabilizer: `keras.config.epsilon()` by default.

    Raises:
        ValueError: low is not below high, or they are no numbers.

    Source: Montavon et al. 2017, the z^B rule.
    """

    low: Any
    high: Any
    _: KW_ONLY
    stabilizer: Stabilizer | None = None

    absolute = True

    def __post_init__(self) -> None:
        low, high = np.asarray(self.low), np.asarray(self.high)
        if low.dtype.kind not in "biuf" or high.dtype.kind not in "biuf":
            raise ValueError(f"low and high must be numbers, got low={self.low!r}, high={self.high!r}")
        if not np.all(low < high):
            raise ValueError(f"low must be below high, got low={self.low!r}, high={self.high!r}")
        super().__post_init__()

    def kernels(self, step: LinearStep) -> dict[str, Any]:
        return {"W_pos": step.W_pos, "W_neg": step.W_neg}

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        low, high = like_one_sample(self.low, step.x), like_one_sample(self.high, step.x)
        corner = step.forward(low, step.W_pos) + step.forward(high, step.W_neg)
        s = share(R, step.xW - corner, self.eps)
        of_pos, of_neg = step.T_of_several(s, [step.W_pos, step.W_neg])
        return (step.x - low) * of_pos + (step.x - high) * of_neg, None


def like_one_sample(value: Any, x: Tensor) -> Tensor:
    """`value` broadcast to `(1, *x.shape[1:])`: what is the same for every sample is computed once."""
    return ops.broadcast_to(ops.convert_to_tensor(value, dtype=x.dtype), (1, *ops.shape(x)[1:]))


@dataclass(frozen=True, eq=False, repr=False)
class _Weighted(Stabilized):
    """`R_i = (V^T (R / st(1 V)))_i` with weights V that are never negative and do not depend on x."""

    absolute = True

    def weights(self, W: Tensor) -> Tensor:
        raise NotImplementedError

    def kernels(self, step: LinearStep) -> dict[str, Any]:
        return {"V": self.weights(step.W)}

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        V = step.kernels["V"]
        s = share(R, step.forward(like_one_sample(1.0, step.x), V), self.eps, sign=+1)
        return step.T(s, V), None


@saved
class WSquare(_Weighted):
    """`R_i = ((W^2)^T (R / st(1 W^2)))_i`, independent of x; the ones stand at real inputs only, not at padding.

    Source: Montavon et al. 2017, the w^2 rule.
    """

    def weights(self, W: Tensor) -> Tensor:
        return ops.square(W)


@saved
class Flat(_Weighted):
    """`R_i = (1^T (R / n))_i`, n the inputs really in the window: everyone gets the same.

    Source: Lapuschkin et al. 2016, the flat rule of the LRP toolbox.
    """

    def weights(self, W: Tensor) -> Tensor:
        return ops.ones_like(W)


@saved
class PassThrough(LinearRule):
    """`R_i = R`, unchanged; for operations that keep the shape."""

    absolute = True

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        return R, None
