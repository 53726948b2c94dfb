"""Layer-wise relevance propagation: one rule for every operation with a kernel."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from kerasexplain import rules
from kerasexplain.composite import Composite
from kerasexplain.matches import UntilLayer, first_kernel, kernel
from kerasexplain.method import Method
from kerasexplain.rules import AlphaBeta, MaximumRule, Rule, WinnerTakesAll
from kerasexplain.rules.base import check_nonnegative


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LRPMethod(Method):
    """What all `lrp.*` methods share. A subclass says in `kernel_rules` what operations with a kernel follow.

    Args:
        input_layer_rule: A rule, its name, or `(low, high)` for `ZB`, for the kernel operations that are reached from
            an input without passing another one.
        until_layer_idx: `until_layer_rule` is for the layers up to this position in `model.layers`.
        until_layer_rule: A rule or its name.
        maximum: The rule for maxima; `WinnerTakesAll()` by default.
        stabilizer: For all rules that divide and have no stabilizer of their own; `keras.config.epsilon()` by default.
    """

    input_layer_rule: Any = None
    until_layer_idx: int | None = None
    until_layer_rule: Any = None
    maximum: MaximumRule | None = None
    stabilizer: float | None = None

    def __post_init__(self) -> None:
        if (self.until_layer_idx is None) != (self.until_layer_rule is None):
            raise ValueError("until_layer_idx and until_layer_rule go together")
        check_nonnegative("stabilizer", self.stabilizer)
        self.composite()  # so that a bad rule is refused here, not at the first analysis

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        """`(match, rule)` pairs; the first match wins."""
        raise NotImplementedError

    def composite(self) -> Composite:
        pairs: list[tuple[Any, Any]] = []
        if self.input_layer_rule is not None:
            pairs.append((first_kernel, input_rule(self.input_layer_rule)))
        if self.until_layer_idx is not None:
            pairs.append((UntilLayer(self.until_layer_idx), rules.get(self.until_layer_rule)))
        pairs.extend((match, rules.get(rule)) for match, rule in self.kernel_rules())
        return Composite(rules=pairs, maximum=self.maximum or WinnerTakesAll(), stabilizer=self.stabilizer)


def input_rule(given: Any) -> Rule:
    """A rule from itself, its name, or the pair `(low, high)`."""
    if isinstance(given, (tuple, list)) and len(given) == 2:
        return rules.ZB(*given)
    return rules.get(given)


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LRP(LRPMethod):
    """LRP with rules of one's own.

    Args:
        rule: One rule (or its name) for every operation with a kernel, or a list of `(match, rule)` in which the
            first match wins. A match is a layer class or a tuple of them, a glob over the names that
            `print(analyzer)` shows, or a predicate on a `Row`.

    Source: Bach et al. 2015, "On Pixel-Wise Explanations for Non-Linear Classifier Decisions by LRP".
    """

    name: ClassVar[str] = "lrp"

    rule: Any

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        if isinstance(self.rule, (list, tuple)):
            for pair in self.rule:
                if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                    raise ValueError(f"rule must be a rule or a list of (match, rule) pairs, got {pair!r} in it")
            return [tuple(pair) for pair in self.rule]  # type: ignore[misc]
        return [(kernel, self.rule)]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Z(LRPMethod):
    """`Z` everywhere: for ReLU networks this is input times gradient. Source: Bach et al. 2015."""

    name: ClassVar[str] = "lrp.z"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.Z())]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ZIgnoreBias(LRPMethod):
    """`Z(bias=False)` everywhere: the inputs share what the biases would take."""

    name: ClassVar[str] = "lrp.z_IB"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.Z(bias=False))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Epsilon(LRPMethod):
    """`Epsilon` everywhere. Source: Bach et al. 2015.

    Args:
        epsilon: `keras.config.epsilon()` by default.
        bias: Whether the bias is in the denominator.
    """

    name: ClassVar[str] = "lrp.epsilon"

    epsilon: float | None = None
    bias: bool = True

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.Epsilon(self.epsilon, bias=self.bias))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EpsilonIgnoreBias(Epsilon):
    """`Epsilon(bias=False)` everywhere."""

    name: ClassVar[str] = "lrp.epsilon_IB"

    bias: bool = False


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class WSquare(LRPMethod):
    """`WSquare` everywhere. Source: Montavon et al. 2017."""

    name: ClassVar[str] = "lrp.w_square"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.WSquare())]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Flat(LRPMethod):
    """`Flat` everywhere: shows what the architecture alone does. Source: Lapuschkin et al. 2016."""

    name: ClassVar[str] = "lrp.flat"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.Flat())]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Gamma(LRPMethod):
    """`Gamma` everywhere. Source: Montavon et al. 2019.

    Args:
        gamma: How much contributions of the sign of the output are favoured.
        bias: Whether the bias is in the denominators.
    """

    name: ClassVar[str] = "lrp.gamma"

    gamma: float = 0.25
    bias: bool = True

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.Gamma(self.gamma, bias=self.bias))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AlphaBetaMethod(LRPMethod):
    """`AlphaBeta` everywhere. Source: Bach et al. 2015.

    Args:
        alpha: At least 1; one more than beta, if only that is given.
        beta: At least 0; one less than alpha, if only that is given.
        bias: Whether b+ and b- are in the denominators.
    """

    name: ClassVar[str] = "lrp.alpha_beta"

    alpha: float | None = None
    beta: float | None = None
    bias: bool = True

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        if self.alpha is None and self.beta is None:
            raise ValueError("lrp.alpha_beta needs alpha or beta (alpha - beta must be 1)")
        alpha = 1.0 + self.beta if self.alpha is None else self.alpha  # type: ignore[operator]
        beta = alpha - 1.0 if self.beta is None else self.beta
        return [(kernel, AlphaBeta(alpha, beta, bias=self.bias))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Alpha2Beta1(LRPMethod):
    """`AlphaBeta(2, 1)` everywhere."""

    name: ClassVar[str] = "lrp.alpha_2_beta_1"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, AlphaBeta(2.0, 1.0))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Alpha2Beta1IgnoreBias(LRPMethod):
    """`AlphaBeta(2, 1, bias=False)` everywhere."""

    name: ClassVar[str] = "lrp.alpha_2_beta_1_IB"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, AlphaBeta(2.0, 1.0, bias=False))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Alpha1Beta0(LRPMethod):
    """`AlphaBeta(1, 0)` everywhere."""

    name: ClassVar[str] = "lrp.alpha_1_beta_0"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, AlphaBeta(1.0, 0.0))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Alpha1Beta0IgnoreBias(LRPMethod):
    """`AlphaBeta(1, 0, bias=False)` everywhere: the same as `lrp.z_plus`."""

    name: ClassVar[str] = "lrp.alpha_1_beta_0_IB"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, AlphaBeta(1.0, 0.0, bias=False))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ZPlus(LRPMethod):
    """`ZPlus` everywhere: only what speaks for a neuron counts. Source: Montavon et al. 2017."""

    name: ClassVar[str] = "lrp.z_plus"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.ZPlus())]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ZPlusFast(LRPMethod):
    """`ZPlusFast` everywhere: `lrp.z_plus` for networks whose every layer has non-negative inputs."""

    name: ClassVar[str] = "lrp.z_plus_fast"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.ZPlusFast())]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class BiasAsInput(LRPMethod):
    """Biases are inputs that are always 1, and take their share: what inputs and biases hold adds up to the output.

    `BiasAsInput` for kernels, `Slope` for nonlinearities (f(0) is a bias), `Halve` for products, `DetachStatistics` for
    normalisation; what a linearisation leaves over is a bias entry of its operation.
    """

    name: ClassVar[str] = "lrp.bias_as_input"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.BiasAsInput())]

    def composite(self) -> Composite:
        return dataclasses.replace(super().composite(), elementwise=rules.Slope(), product=rules.Halve())
