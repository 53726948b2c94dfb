"""Rules for linear operations `z = x W + b`. `p+ = max(p, 0)`, `p- = min(p, 0)`, `st(d) = d + stabilizer sign(d)`.

A proportional rule gives each input `R_i = x_i c_i` and returns c, the relevance per unit of activation; an absolute
rule gives relevance that is not proportional to x and returns R itself.
"""

from __future__ import annotations

import dataclasses
import operator
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from keras import ops

from kerasexplain.foundation.checks import check_nonnegative
from kerasexplain.foundation.config import saved
from kerasexplain.rules.division import divided, quotient, share
from kerasexplain.rules.rule import Rule
from kerasexplain.rules.stabilizer import Relative, Stabilizer, check_stabilizer, default_stabilizer
from kerasexplain.rules.step import LinearStep

Tensor = Any


class LinearRule(Rule):
    """A rule for linear operations.

    Attributes:
        absolute: Whether `relevance` returns R itself instead of R / x.
        is_gradient: Whether, above a proportional operation, the rule is the plain gradient and needs no override.
    """

    absolute = False
    is_gradient = False

    @property
    def is_relative(self) -> bool:
        """Whether its stabilizer is a share of all denominators: then no unit of z may be left out of them."""
        return False

    def kernels(self, step: LinearStep) -> dict[str, Any]:
        """The tensors that the rule makes of the kernel alone, by the step's name for them."""
        return {}

    def parts(self, step: LinearStep) -> tuple[Tensor, Tensor] | None:
        """The denominators of the rule, if the forward pass makes them and z follows from them; else None."""
        return None

    def output(self, step: LinearStep) -> Tensor:
        """z, as the forward pass computes it."""
        return step.z

    def per_unit(self, step: LinearStep, Q: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """`relevance`, of the relevance `Q z`; or of `Q y`, for a y that is 0 where z is."""
        return self.relevance(step, Q * (step.z if y is None else y))

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        """Shares the relevance R of z, by tensors of the step and numbers alone: it may run again to be differentiated.

        Args:
            step: The operation at its input.
            R: Relevance, shaped like z.

        Returns:
            `(c, s)`: what x gets, shaped like x (per unit of x, or R itself for an absolute rule), and what the bias
            gets per unit of bias, shaped like z; None where the rule gives it nothing.
        """
        raise NotImplementedError


class SingleShare(LinearRule):
    """A rule with one share for all contributions to an output, `R_i = x_i (W^T s)_i` with `s = R / st(z)`.

    Attributes:
        bias: Whether the bias is one of the contributions.
    """

    bias: bool = True

    def shares(self, step: LinearStep, R: Tensor) -> Tensor:
        """`s = R / st(z)`."""
        raise NotImplementedError

    def shares_per_unit(self, step: LinearStep) -> Tensor:
        """`z / st(z)`, the shares where every output has one unit of relevance per unit of z."""
        return self.shares(step, step.z)

    def distribute(self, step: LinearStep, s: Tensor) -> tuple[Tensor, Tensor | None]:
        """The relevance of x and of the bias by the shares s, as `relevance` returns it."""
        return step.T(s), s if self.bias else None

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.distribute(step, self.shares(step, R))

    def per_unit(self, step: LinearStep, Q: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        return self.distribute(step, Q * self.shares_per_unit(step)) if y is None else self.relevance(step, Q * y)


@saved
class Z(SingleShare):
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

    def shares(self, step: LinearStep, R: Tensor) -> Tensor:
        return quotient(R, step.z if self.bias else step.xW)


@saved
class BiasAsInput(SingleShare):
    """`Z`, read with the bias as one more input that is always 1: `R_b = b R / z` is delivered to it, not lost.

    Source: the "blame the bias" reading of LRP as a modified gradient.
    """

    is_gradient = True

    def shares(self, step: LinearStep, R: Tensor) -> Tensor:
        return quotient(R, step.z)


@saved
class Epsilon(SingleShare):
    """`R_i = x_i (W^T (R / (z + epsilon sign(z))))_i`.

    Args:
        epsilon: Absorbs relevance where the contributions cancel: a number, or a share of the size of z such as
            `Relative(0.25)`; `keras.config.epsilon()` by default.
        bias: Whether the bias is in the denominator; without it `z = x W`.

    Raises:
        ValueError: epsilon is negative.

    Source: Bach et al. 2015, eq. 58.
    """

    epsilon: Stabilizer | None = None
    _: KW_ONLY
    bias: bool = True

    def __post_init__(self) -> None:
        check_stabilizer("epsilon", self.epsilon)

    @property
    def is_relative(self) -> bool:
        return isinstance(self.epsilon, Relative)

    def shares(self, step: LinearStep, R: Tensor) -> Tensor:
        known = step.rectified and self.bias
        return share(R, step.z if self.bias else step.xW, default_stabilizer(self.epsilon), sign=1 if known else 0)

    def shares_per_unit(self, step: LinearStep) -> Tensor:
        if not self.bias or step.rectified:
            return super().shares_per_unit(step)
        size = ops.abs(step.z)  # z / st(z) without taking a sign, which costs more than all the rest
        return share(size, size, default_stabilizer(self.epsilon), sign=1)


class Stabilizing(LinearRule):
    """A rule with a stabilizer: a number, or a share of its denominators; `keras.config.epsilon()` if it is None."""

    stabilizer: Stabilizer | None

    def __post_init__(self) -> None:
        check_stabilizer("stabilizer", self.stabilizer)

    @property
    def eps(self) -> Stabilizer:
        return default_stabilizer(self.stabilizer)

    @property
    def is_relative(self) -> bool:
        return isinstance(self.stabilizer, Relative)

    @property
    def added(self) -> float:
        """The stabilizer that is added to a denominator together with its bias, in one operation with the product.

        A share of the denominators cannot be, before the rest of them is known.
        """
        return 0.0 if isinstance(self.eps, Relative) else self.eps


@dataclass(frozen=True, eq=False, repr=False)
class Stabilized(Stabilizing):
    """A rule with a stabilizer that has no other options before it."""

    _: KW_ONLY
    stabilizer: Stabilizer | None = None


@saved
class ZPlus(Stabilized):
    """`s = R / st(x+ W+ + x- W-)`, `R_i = x+ (W+)^T s + x- (W-)^T s`: only what speaks for z counts, no bias.

    Source: Montavon et al. 2017, "Explaining nonlinear classification decisions with deep Taylor decomposition".
    """

    def kernels(self, step: LinearStep) -> dict[str, Any]:
        return {"W_P": step.W_P}

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        s = share(R, step.P, self.eps, sign=+1)
        return step.P_T(s), None


@saved
class ZPlusFast(Stabilized):
    """`R_i = x_i ((W+)^T (R / st(x W+)))_i`, without splitting x: equal to `ZPlus` only for x >= 0.

    Source: iNNvestigate's rule of that name.
    """

    def kernels(self, step: LinearStep) -> dict[str, Any]:
        return {"W_pos": step.W_pos}

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        s = share(R, step.forward(step.x, step.W_pos), self.eps)
        return step.T(s, step.W_pos), None


@saved
class AlphaBeta(Stabilizing):
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
    stabilizer: Stabilizer | None = None

    def __post_init__(self) -> None:
        check_alpha_beta(self.alpha, self.beta)
        super().__post_init__()

    def kernels(self, step: LinearStep) -> dict[str, Any]:
        return {"W_P": step.W_P, "W_N": step.W_N} if self.beta else {"W_P": step.W_P}

    def parts(self, step: LinearStep) -> tuple[Tensor, Tensor] | None:
        return (self._positive(step), self._negative(step)) if self.beta else None

    def output(self, step: LinearStep) -> Tensor:
        if step.parts is None:
            return step.z
        z = step.parts[0] + step.parts[1]
        return z if self.bias or step.b is None else z + step.b

    # Both are stabilized through the bias, which is added in one operation with the product; in their sum it cancels.

    def _positive(self, step: LinearStep) -> Tensor:
        return step.P + ((step.b_pos if self.bias else 0.0) + self.added)

    def _negative(self, step: LinearStep) -> Tensor:
        return step.N + ((step.b_neg if self.bias else 0.0) - self.added)

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        if step.parts is None:
            s1 = self._shared(self.alpha, R, self._positive(step), +1)
            return step.P_T(s1), self._of_bias(step, s1, None)
        P, N = step.parts
        s1, s2 = self._shared(self.alpha, R, P, +1), self._shared(self.beta, R, N, -1)
        return step.split_T(s1, s2, operator.sub), self._of_bias(step, s1, -s2)

    def _shared(self, factor: float, R: Tensor, d: Tensor, sign: int) -> Tensor:
        n, eps = R if factor == 1 else factor * R, self.eps
        return share(n, d, eps, sign) if isinstance(eps, Relative) else divided(n, d, eps)

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


@saved
class Gamma(Stabilizing):
    """Contributions of the sign of z are favoured by a factor 1 + gamma, whatever the signs of x and W:

    with `P = x+ W+ + x- W-`, `N = x+ W- + x- W+`: where z > 0, `R_i` is proportional to `x W + gamma P` with
    `s = R / st(z + gamma (P + b+))`; where z < 0, to `x W + gamma N` with `s = R / st(z + gamma (N + b-))`.

    Since `P = (x W + |x| |W|) / 2` and `N = (x W - |x| |W|) / 2`, both are, with `k = gamma / (2 + gamma)`,

    `D = R / (|z| + k (|x| |W| + |b|) + (1 - k) stabilizer)`, `R_i = x W^T (D sign(z)) + |x| (k |W|)^T D`,

    which takes two products and two transposed ones; and one transposed one where x and z are not negative.

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
    stabilizer: Stabilizer | None = None

    def __post_init__(self) -> None:
        check_nonnegative("gamma", self.gamma)
        super().__post_init__()

    @property
    def _k(self) -> float:
        return 1.0 - 2.0 / (2.0 + self.gamma)

    def kernels(self, step: LinearStep) -> dict[str, Any]:
        k_abs_W = self._k * ops.abs(step.W)
        return {"k_abs_W": k_abs_W, "W_k_abs_W": step.W + k_abs_W} if self._is_positive(step) else {"k_abs_W": k_abs_W}

    def _is_positive(self, step: LinearStep) -> bool:
        return step.nonnegative and step.rectified and self.bias

    def per_unit(self, step: LinearStep, Q: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        return self._shared(step, Q * (step.z if y is None else y)) if self.bias else super().per_unit(step, Q, y)

    def relevance(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        z = step.z if self.bias else step.xW
        return self._shared(step, ops.where(ops.equal(z, 0), ops.zeros_like(R), R))

    def _shared(self, step: LinearStep, R: Tensor) -> tuple[Tensor, Tensor | None]:
        """Shares R, which is 0 where z is."""
        z, b = (step.z, step.b) if self.bias else (step.xW, None)
        abs_x = step.x if step.nonnegative else ops.abs(step.x)
        abs_z = z if step.rectified and self.bias else ops.abs(z)
        k, k_abs_W, eps = self._k, step.kernels["k_abs_W"], (1.0 - self._k) * self.added
        # Added in this order a number costs nothing: it is one operation with the product and the bias.
        sizes = step.forward(abs_x, k_abs_W) + ((0.0 if b is None else k * ops.abs(b)) + eps)
        if isinstance(self.eps, Relative):  # the denominators for z > 0, of all units, and those for z < 0
            relative = ops.where(z > 0, self.eps.of(z + sizes), self.eps.of(z - sizes))
            D = quotient(R, abs_z + sizes + relative)
        else:
            D = divided(R, abs_z + sizes, eps)
        if self._is_positive(step):
            s, of_x = D, step.T(D, step.kernels["W_k_abs_W"])
        else:
            s, of_abs_x = D * ops.sign(z), step.T(D, k_abs_W)
            of_x = step.T(s) + (of_abs_x if step.nonnegative else ops.sign(step.x) * of_abs_x)
        return of_x, None if b is None else s + k * ops.sign(b) * D


@saved
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


def with_stabilizer(rule: Rule, stabilizer: Stabilizer | None) -> Rule:
    """The rule with that stabilizer, where it takes one and has none of its own."""
    if stabilizer is None or getattr(rule, "stabilizer", 0.0) is not None:
        return rule
    return dataclasses.replace(rule, stabilizer=stabilizer)  # type: ignore[type-var]
