"""Rules for linear operations `z = x W + b`. `p+ = max(p, 0)`, `p- = min(p, 0)`, `st(d) = d + stabilizer sign(d)`.

A proportional rule gives each input `R_i = x_i c_i` and returns c, the relevance per unit of activation; an absolute
rule gives relevance that is not proportional to x and returns R itself.
"""

from __future__ import annotations

import dataclasses
from dataclasses import KW_ONLY, dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasexplain.checks import check_nonnegative
from kerasexplain.rules.arithmetic import quotient, share
from kerasexplain.rules.base import Rule, default_stabilizer
from kerasexplain.rules.step import LinearStep

Tensor = Any
serializable = keras.saving.register_keras_serializable(package="kerasexplain")


class LinearRule(Rule):
    """A rule for linear operations.

    Attributes:
        absolute: Whether `relevance` returns R itself instead of R / x.
        split: Whether z is computed as the sum of its positive and negative parts, which the rule needs anyway.
        is_gradient: Whether, above a proportional operation, the rule is the plain gradient and needs no override.
    """

    absolute = False
    split = False
    is_gradient = False

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        """Shares the relevance R of z.

        Args:
            step: The operation at its input.
            R: Relevance, shaped like z.

        Returns:
            `(c, s)`: what x gets, shaped like x (per unit of x, or R itself for an absolute rule), and what the bias
            gets per unit of bias, shaped like z; None where the rule gives it nothing.
        """
        raise NotImplementedError


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class Z(LinearRule):
    """`R_i = x_i (W^T (R / z))_i`, exactly proportional to the contributions.

    Args:
        bias: Whether the bias is in the denominator, `z = x W + b`, and takes its share `b R / z`; without it the
            inputs share everything, `z = x W`.

    Source: Bach et al. 2015, "On Pixel-Wise Explanations...", eq. 56.
    """

    _: KW_ONLY
    bias: bool = True

    @property
    def is_gradient(self) -> bool:  # type: ignore[override]
        return self.bias

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        s = quotient(R, step.z if self.bias else step.xW)
        return step.T(s), s if self.bias else None


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class BiasAsInput(LinearRule):
    """`Z`, read with the bias as one more input that is always 1: `R_b = b R / z` is delivered to it, not lost.

    Source: the "blame the bias" reading of LRP as a modified gradient.
    """

    is_gradient = True

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        s = quotient(R, step.z)
        return step.T(s), s


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class Epsilon(LinearRule):
    """`R_i = x_i (W^T (R / (z + epsilon sign(z))))_i`.

    Args:
        epsilon: Absorbs relevance where the contributions cancel; `keras.config.epsilon()` by default.
        bias: Whether the bias is in the denominator; without it `z = x W`.

    Raises:
        ValueError: epsilon is negative.

    Source: Bach et al. 2015, eq. 58.
    """

    epsilon: float | None = None
    _: KW_ONLY
    bias: bool = True

    def __post_init__(self) -> None:
        check_nonnegative("epsilon", self.epsilon)

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        z, sign = (step.z, step.sign_of_z) if self.bias else (step.xW, 0)
        s = share(R, z, default_stabilizer(self.epsilon), sign)
        return step.T(s), s if self.bias else None


@dataclass(frozen=True, eq=False, repr=False)
class _Stabilized(LinearRule):
    _: KW_ONLY
    stabilizer: float | None = None

    def __post_init__(self) -> None:
        check_nonnegative("stabilizer", self.stabilizer)

    @property
    def eps(self) -> float:
        return default_stabilizer(self.stabilizer)


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class ZPlus(_Stabilized):
    """`s = R / st(x+ W+ + x- W-)`, `R_i = x+ (W+)^T s + x- (W-)^T s`: only what speaks for z counts, no bias.

    Source: Montavon et al. 2017, "Explaining nonlinear classification decisions with deep Taylor decomposition".
    """

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        s = share(R, step.P, self.eps, sign=+1)
        return step.P_T(s), None


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class ZPlusFast(_Stabilized):
    """`R_i = x_i ((W+)^T (R / st(x W+)))_i`, without splitting x: equal to `ZPlus` only for x >= 0.

    Source: iNNvestigate's rule of that name.
    """

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        s = share(R, step.forward(step.x, step.W_pos), self.eps)
        return step.T(s, step.W_pos), None


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class AlphaBeta(LinearRule):
    """Positive contributions weighted by alpha, negative ones by -beta:

    `s1 = R / st(x+ W+ + x- W- + b+)`, `s2 = R / st(x+ W- + x- W+ + b-)`,
    `R_i = alpha [x+ (W+)^T s1 + x- (W-)^T s1] - beta [x+ (W-)^T s2 + x- (W+)^T s2]`.

    Args:
        alpha: At least 1.
        beta: At least 0; `alpha - beta` must be 1, so that relevance is conserved.
        bias: Whether b+ and b- are in the denominators.
        stabilizer: `keras.config.epsilon()` by default.

    Raises:
        ValueError: alpha or beta is out of range, or alpha - beta is not 1.

    Source: Bach et al. 2015, eq. 60.
    """

    alpha: float = 2.0
    beta: float = 1.0
    _: KW_ONLY
    bias: bool = True
    stabilizer: float | None = None

    def __post_init__(self) -> None:
        check_alpha_beta(self.alpha, self.beta)
        check_nonnegative("stabilizer", self.stabilizer)

    @property
    def split(self) -> bool:  # type: ignore[override]
        return self.beta != 0

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        eps = default_stabilizer(self.stabilizer)
        b_pos, b_neg = (step.b_pos, step.b_neg) if self.bias else (0.0, 0.0)
        s1 = share(self.alpha * R, step.P + b_pos, eps, sign=+1)
        if self.beta == 0:
            return step.P_T(s1), self._of_bias(step, s1, None)
        s2 = share(-self.beta * R, step.N + b_neg, eps, sign=-1)
        return step.split_T(s1, s2), self._of_bias(step, s1, s2)

    def _of_bias(self, step: LinearStep, s1: Tensor, s2: Tensor | None) -> Tensor | None:
        if step.b is None or not self.bias:
            return None
        return ops.where(step.b > 0, s1, ops.zeros_like(s1) if s2 is None else s2)


def check_alpha_beta(alpha: float, beta: float) -> None:
    """Raises ValueError unless alpha >= 1, beta >= 0 and alpha - beta = 1 (to rounding)."""
    if not alpha >= 1 or not beta >= 0:
        raise ValueError(f"alpha must be at least 1 and beta at least 0, got alpha={alpha!r}, beta={beta!r}")
    if not np.isclose(alpha - beta, 1.0, rtol=0, atol=1e-6):
        raise ValueError(
            f"alpha - beta must be 1, so that relevance is conserved; got {alpha!r} - {beta!r} = {alpha - beta!r}"
        )


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class Gamma(LinearRule):
    """Contributions of the sign of z are favoured by a factor 1 + gamma, whatever the signs of x and W:

    with `P = x+ W+ + x- W-`, `N = x+ W- + x- W+`: where z > 0, `R_i` is proportional to `x W + gamma P` with
    `s = R / st(z + gamma (P + b+))`; where z < 0, to `x W + gamma N` with `s = R / st(z + gamma (N + b-))`.

    Args:
        gamma: At least 0; 0 is `Epsilon(stabilizer)`, infinity is `AlphaBeta(1, 0)` where z > 0.
        bias: Whether the bias is in the denominators.
        stabilizer: `keras.config.epsilon()` by default.

    Raises:
        ValueError: gamma is negative.

    Source: Montavon et al. 2019, "Layer-Wise Relevance Propagation: An Overview"; in the generalised form for inputs
    of both signs, Andeol et al. 2021.
    """

    gamma: float = 0.25
    _: KW_ONLY
    bias: bool = True
    stabilizer: float | None = None

    split = True

    def __post_init__(self) -> None:
        check_nonnegative("gamma", self.gamma)
        check_nonnegative("stabilizer", self.stabilizer)

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        eps, gamma = default_stabilizer(self.stabilizer), self.gamma
        b_pos, b_neg = (step.b_pos, step.b_neg) if self.bias else (0.0, 0.0)
        z = step.z if self.bias else step.P + step.N
        none = ops.zeros_like(R)
        s1 = ops.where(z > 0, share(R, z + gamma * (step.P + b_pos), eps, sign=+1), none)
        s2 = ops.where(z < 0, share(R, z + gamma * (step.N + b_neg), eps, sign=-1), none)
        both = s1 + s2
        of_positive, of_negative = both + gamma * s1, both + gamma * s2
        if step.b is None or not self.bias:
            return step.split_T(of_positive, of_negative), None
        return step.split_T(of_positive, of_negative), ops.where(step.b > 0, of_positive, of_negative)


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class ZB(LinearRule):
    """`s = R / st(x W - low W+ - high W-)`, `R_i = x W^T s - low (W+)^T s - high (W-)^T s`, for bounded inputs.

    Args:
        low, high: The box that x lies in: scalars, one number per channel, or arrays shaped like one sample.
        stabilizer: `keras.config.epsilon()` by default.

    Raises:
        ValueError: low is not below high.

    Source: Montavon et al. 2017, the z^B rule.
    """

    low: Any
    high: Any
    _: KW_ONLY
    stabilizer: float | None = None

    absolute = True

    def __post_init__(self) -> None:
        if not np.all(np.asarray(self.low) < np.asarray(self.high)):
            raise ValueError(f"low must be below high, got low={self.low!r}, high={self.high!r}")
        check_nonnegative("stabilizer", self.stabilizer)

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        low, high = like_one_sample(self.low, step.x), like_one_sample(self.high, step.x)
        corner = step.forward(low, step.W_pos) + step.forward(high, step.W_neg)
        s = share(R, step.xW - corner, default_stabilizer(self.stabilizer))
        return step.x * step.T(s) - low * step.T(s, step.W_pos) - high * step.T(s, step.W_neg), None


def like_one_sample(value: Any, x: Tensor) -> Tensor:
    """`value` broadcast to `(1, *x.shape[1:])`: what is the same for every sample is computed once."""
    return ops.broadcast_to(ops.convert_to_tensor(value, dtype=x.dtype), (1, *ops.shape(x)[1:]))


@dataclass(frozen=True, eq=False, repr=False)
class _Weighted(_Stabilized):
    """`R_i = (V^T (R / st(1 V)))_i` with weights V that are never negative and do not depend on x."""

    absolute = True

    def weights(self, W: Tensor) -> Tensor:
        raise NotImplementedError

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        V = self.weights(step.W)
        s = share(R, step.forward(like_one_sample(1.0, step.x), V), self.eps, sign=+1)
        return step.T(s, V), None


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class WSquare(_Weighted):
    """`R_i = ((W^2)^T (R / st(1 W^2)))_i`, independent of x; the ones stand at real inputs only, not at padding.

    Source: Montavon et al. 2017, the w^2 rule.
    """

    def weights(self, W: Tensor) -> Tensor:
        return ops.square(W)


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class Flat(_Weighted):
    """`R_i = (1^T (R / n))_i`, n the inputs really in the window: everyone gets the same.

    Source: Lapuschkin et al. 2016, the flat rule of the LRP toolbox.
    """

    def weights(self, W: Tensor) -> Tensor:
        return ops.ones_like(W)


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class PassThrough(LinearRule):
    """`R_i = R`, unchanged; for operations that keep the shape."""

    absolute = True

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        return R, None


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class Pattern(LinearRule):
    """`S_x = A^T S_z`: what comes back goes through another kernel A than the one the operation multiplies by.

    For methods whose signal is a gradient.

    Args:
        kernel: A, shaped like the operation's own.
        times_kernel: Whether A is multiplied by W, entry by entry.

    Source: Kindermans et al. 2018, "Learning How to Explain Neural Networks: PatternNet and PatternAttribution".
    """

    of_gradients = True

    kernel: Any
    _: KW_ONLY
    times_kernel: bool = False

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        A = ops.convert_to_tensor(self.kernel, dtype=step.W.dtype)
        return step.T(R, step.W * A if self.times_kernel else A), None

    def __repr__(self) -> str:
        return "Pattern(times kernel)" if self.times_kernel else "Pattern()"


def with_stabilizer(rule: Rule, stabilizer: float | None) -> Rule:
    """The rule with that stabilizer, where it takes one and has none of its own."""
    if stabilizer is None or getattr(rule, "stabilizer", 0.0) is not None:
        return rule
    return dataclasses.replace(rule, stabilizer=stabilizer)  # type: ignore[type-var]
