"""Layer-wise relevance propagation: one rule for every operation with a kernel."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from kerasexplain import registry, rules
from kerasexplain.checks import check_nonnegative
from kerasexplain.composite import Composite
from kerasexplain.matches import UntilLayer, first_kernel, kernel
from kerasexplain.method import Method
from kerasexplain.rules import AlphaBeta, MaximumRule, Rule, WinnerTakesAll


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LRPMethod(Method):
    """What all `lrp.*` methods share. A subclass says in `kernel_rules` what operations with a kernel follow.

    Args:
        input_layer_rule: A rule, its name, or `(low, high)` for `ZB`, for the kernel operations that are reached from
            an input without passing another one.
        until_layer_idx: `until_layer_rule` is for the layers up to this position in `model.layers`.
        until_layer_rule: A rule or its name.
        override: `(match, rule)` pairs that come before all others: `override=[("conv1", "Flat")]` changes one layer.
        maximum: The rule for maxima, or its name; `WinnerTakesAll()` by default.
        stabilizer: For all rules that divide and have no stabilizer of their own; `keras.config.epsilon()` by default.
    """

    input_layer_rule: Any = None
    until_layer_idx: int | None = None
    until_layer_rule: Any = None
    override: Any = None
    maximum: Any = None
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
        if not isinstance(self.override, (list, type(None))) and not _holds_pairs(self.override):
            raise ValueError(f"override must be a list of (match, rule) pairs, got {self.override!r}")
        pairs = [pair for item in self.override or () for pair in pairs_of(item)]
        if self.input_layer_rule is not None:
            pairs.append((first_kernel, input_rule(self.input_layer_rule)))
        if self.until_layer_idx is not None:
            pairs.append((UntilLayer(self.until_layer_idx), rules.get(self.until_layer_rule)))
        pairs.extend((match, rules.get(rule)) for match, rule in self.kernel_rules())
        return Composite(rules=pairs, maximum=maximum_rule(self.maximum, WinnerTakesAll()), stabilizer=self.stabilizer)


def maximum_rule(given: Any, default: MaximumRule) -> MaximumRule:
    """A rule for maxima from itself or its name; None for the default.

    Raises:
        ValueError: It is another kind of rule.
    """
    rule = default if given is None else rules.get(given)
    if not isinstance(rule, MaximumRule):
        raise ValueError(f"maximum must be a rule for maxima, got {rule!r}")
    return rule


def input_rule(given: Any) -> Rule:
    """A rule from itself, its name, or the pair `(low, high)`."""
    if isinstance(given, (tuple, list)) and len(given) == 2:
        return rules.ZB(*given)
    return rules.get(given)


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LRP(LRPMethod):
    """LRP with rules of one's own.

    Use it: to give each part of a network the rule that suits it; a preset with exceptions, `override=`, is a good
    start.

    Not for: one rule for the whole of a deep network: that gives noise, or maps that hardly know the class (Montavon et
    al. 2019, section 10.3).

    Args:
        rule: One rule (or its name) for every operation with a kernel, or a list of `(match, rule)` in which the
            first match wins. A match is a layer class or a tuple of them, a glob over the names that
            `print(analyzer)` shows, or a predicate on a `Row`, such as those in `kerasexplain.matches`. The name of
            another analyzer in the list stands for its pairs: `[("conv1", "Flat"), "lrp.epsilon_plus"]`.

    Source: Bach et al. 2015, "On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance
    Propagation".
    """

    name: ClassVar[str] = "lrp"

    rule: Any

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        if isinstance(self.rule, (list, tuple)):
            return [pair for item in self.rule for pair in pairs_of(item)]
        return [(kernel, self.rule)]


def _holds_pairs(given: Any) -> bool:
    return isinstance(given, tuple) and all(isinstance(item, tuple) and len(item) == 2 for item in given)


def pairs_of(item: Any) -> Sequence[tuple[Any, Any]]:
    """The `(match, rule)` pairs of an entry of a list: a pair itself, or an analyzer's name, which stands for its own.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(item, str):
        method = registry.find(item)
        if not issubclass(method, LRPMethod):
            raise ValueError(
                f"{item!r} in a list of rules must be the name of an lrp method, which has rules of its own"
            )
        return method().composite().rules
    if not isinstance(item, (list, tuple)) or len(item) != 2:
        raise ValueError(
            f"rule must be a rule, or a list of (match, rule) pairs and analyzer names; got {item!r} in it"
        )
    return [tuple(item)]  # type: ignore[list-item]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Z(LRPMethod):
    """`R_i = x_i sum_j W_ij R_j / z_j`: exactly proportional to the contributions, in every operation with a kernel.

    For networks of ReLU, pooling and additions this is input times gradient.

    Use it: as the yardstick of the other rules, and for shallow networks.

    Not for: deep networks: where contributions cancel, z is small and their shares are huge, so that maps are noisy.
    Biases take their share unseen: `explain(x, bias=True)` shows it.

    Source: Bach et al. 2015, "On Pixel-Wise Explanations...", eq. 56; that it is input times gradient: Shrikumar et al.
    2016, "Not Just a Black Box".
    """

    name: ClassVar[str] = "lrp.z"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.Z())]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ZIgnoreBias(LRPMethod):
    """`lrp.z` without biases in the denominators, `z = x W`: the inputs share what the biases would take.

    Use it: where inputs alone must add up to the output, and biases are small against what they are added to.

    Not for: networks with large biases, such as those that BatchNormalization is folded to: x W may be near zero where
    x W + b is not, and then inputs get many times what there was to share; over many layers it overflows.

    Source: Bach et al. 2015, "On Pixel-Wise Explanations...", eq. 56, with the bias left out; iNNvestigate's name for
    it.
    """

    name: ClassVar[str] = "lrp.z_IB"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.Z(bias=False))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Epsilon(LRPMethod):
    """`R_i = x_i sum_j W_ij R_j / (z_j + epsilon sign(z_j))`: `lrp.z` with a floor under every denominator.

    Use it: for dense networks and the upper layers of others, with an epsilon that is a fair part of what z usually is:
    contributions that cancel are absorbed, and what is left is sparser and less noisy.

    Not for: exact sums, since epsilon takes its part (the audit's "lost"); the lower layers of deep image classifiers,
    where it is noisy still. With the default epsilon it is hardly more than `lrp.z`.

    Args:
        epsilon: `keras.config.epsilon()` by default.
        bias: Whether the bias is in the denominator.

    Source: Bach et al. 2015, "On Pixel-Wise Explanations...", eq. 58.
    """

    name: ClassVar[str] = "lrp.epsilon"

    epsilon: float | None = None
    bias: bool = True

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.Epsilon(self.epsilon, bias=self.bias))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EpsilonIgnoreBias(Epsilon):
    """`lrp.epsilon` without biases in the denominators, `z = x W`: the inputs share what the biases would take.

    Use it: as `lrp.z_IB`, with an epsilon large enough to stop denominators near zero.

    Not for: networks with large biases and the default epsilon: what is said of `lrp.z_IB` holds.

    Args:
        epsilon: `keras.config.epsilon()` by default.
        bias: False; True makes it `lrp.epsilon`.

    Source: Bach et al. 2015, "On Pixel-Wise Explanations...", eq. 58, with the bias left out; iNNvestigate's name for
    it.
    """

    name: ClassVar[str] = "lrp.epsilon_IB"

    bias: bool = False


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class WSquare(LRPMethod):
    """`R_i = sum_j W_ij^2 R_j / sum_k W_kj^2`: shares by the weights alone, whatever the input is.

    Use it: for the first layer, `input_layer_rule="WSquare"`, where inputs have no bounds and zero means nothing
    special.

    Not for: all layers, which is this analyzer: it ignores the activations, so relevance reaches units that are off. In
    residual networks additions in which the two sides cancel then dominate the map.

    Source: Montavon et al. 2017, "Explaining nonlinear classification decisions with deep Taylor decomposition", the
    w^2 rule.
    """

    name: ClassVar[str] = "lrp.w_square"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.WSquare())]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Flat(LRPMethod):
    """`R_i = sum_j R_j / n_j`, n the number of inputs: everyone gets the same, whatever input and weights are.

    Use it: for the first layer, `input_layer_rule="Flat"`, to smooth the map over its windows and not to depend on how
    the input was normalised; everywhere, to see what the architecture alone does.

    Not for: explaining a decision: it ignores input and weights, so relevance reaches units that are off. In residual
    networks additions in which the two sides cancel then dominate the map.

    Source: Lapuschkin et al. 2016, "The LRP Toolbox for Artificial Neural Networks".
    """

    name: ClassVar[str] = "lrp.flat"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.Flat())]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Gamma(LRPMethod):
    """What speaks for a unit counts `1 + gamma` times: `R_i = x_i sum_j (W_ij + gamma W_ij+) R_j / z'_j`.

    Here `z' = x (W + gamma W+) + b + gamma b+`, for x >= 0 and z > 0; the rule `Gamma` has the form for all signs.

    Use it: for convolutions: between `lrp.epsilon` (gamma 0) and `lrp.alpha_1_beta_0` (gamma without bound) it trades
    evidence against the output for quiet maps.

    Not for: comparing amounts for and against, which gamma shifts; dense layers on top, where `Epsilon` tells classes
    apart better: `lrp.epsilon_gamma_box` has both.

    Args:
        gamma: How much contributions of the sign of the output are favoured.
        bias: Whether the bias is in the denominators.

    Source: Montavon et al. 2019, "Layer-Wise Relevance Propagation: An Overview", section 10.2.1; for inputs of both
    signs Andeol et al. 2021, "Learning domain invariant representations by joint Wasserstein distance minimization".
    """

    name: ClassVar[str] = "lrp.gamma"

    gamma: float = 0.25
    bias: bool = True

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.Gamma(self.gamma, bias=self.bias))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AlphaBetaMethod(LRPMethod):
    """Positive contributions count alpha times, negative ones -beta times, each in proportion: the rule `AlphaBeta`.

    Use it: for convolutional image classifiers, to set how much of what speaks against is shown: beta 0 is nothing.

    Not for: exact sums with beta > 0: a unit without negative contributions gives back alpha times what it got. In deep
    networks both signs grow from layer to layer, the faster the larger beta is, and cancel in noise.

    Args:
        alpha: At least 1; one more than beta, if only that is given.
        beta: At least 0; one less than alpha, if only that is given.
        bias: Whether b+ and b- are in the denominators.

    Source: Bach et al. 2015, "On Pixel-Wise Explanations...", eq. 60.
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
    """`AlphaBeta(2, 1)` in every operation with a kernel: twice what speaks for, minus what speaks against.

    Use it: for convolutional image classifiers of moderate depth (AlexNet, VGG), to see what speaks for and against.

    Not for: networks of fifty layers, in which it is noise; dense layers on top, where `lrp.epsilon_alpha2_beta1` has
    `Epsilon`.

    Source: Bach et al. 2015, "On Pixel-Wise Explanations...", eq. 60.
    """

    name: ClassVar[str] = "lrp.alpha_2_beta_1"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, AlphaBeta(2.0, 1.0))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Alpha2Beta1IgnoreBias(LRPMethod):
    """`AlphaBeta(2, 1, bias=False)` in every operation with a kernel: the inputs share what the biases would take.

    Use it: where `lrp.alpha_2_beta_1` leaves most relevance to biases.

    Not for: judging how much the inputs have to do with the output: they get what is due to biases too.

    Source: Bach et al. 2015, "On Pixel-Wise Explanations...", eq. 60, with the bias left out; iNNvestigate's name for
    it.
    """

    name: ClassVar[str] = "lrp.alpha_2_beta_1_IB"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, AlphaBeta(2.0, 1.0, bias=False))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Alpha1Beta0(LRPMethod):
    """`AlphaBeta(1, 0)` in every operation with a kernel: only what speaks for a unit counts, positive biases among it.

    Use it: for quiet maps of convolutional image classifiers, without what speaks against.

    Not for: telling classes apart: over many layers maps of all classes become alike (Sixt et al. 2020, "When
    Explanations Lie"). With large positive biases next to nothing is left for the inputs, though the map's shape stays
    readable.

    Source: Bach et al. 2015, "On Pixel-Wise Explanations...", eq. 60.
    """

    name: ClassVar[str] = "lrp.alpha_1_beta_0"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, AlphaBeta(1.0, 0.0))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Alpha1Beta0IgnoreBias(LRPMethod):
    """`AlphaBeta(1, 0, bias=False)` in every operation with a kernel: `lrp.z_plus` under another of its names.

    Use it: as `lrp.alpha_1_beta_0`, where the inputs' relevance must add up to the output.

    Not for: telling classes apart, as there; or showing a bias's part: the inputs get it.

    Source: Bach et al. 2015, "On Pixel-Wise Explanations...", eq. 60, with the bias left out; iNNvestigate's name for
    it.
    """

    name: ClassVar[str] = "lrp.alpha_1_beta_0_IB"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, AlphaBeta(1.0, 0.0, bias=False))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ZPlus(LRPMethod):
    """`R_i = sum_j (x_i W_ij)+ R_j / sum_k (x_k W_kj)+`: only what speaks for a unit counts, and biases take nothing.

    Use it: for quiet maps of ReLU networks, which add up to the output but for units that are on by their bias alone:
    these have nobody to give their relevance to.

    Not for: evidence against, which it cannot show; telling classes apart in deep networks, whose maps become alike
    (Sixt et al. 2020, "When Explanations Lie").

    Source: Montavon et al. 2017, "Explaining nonlinear classification decisions with deep Taylor decomposition", the z+
    rule.
    """

    name: ClassVar[str] = "lrp.z_plus"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.ZPlus())]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ZPlusFast(LRPMethod):
    """`R_i = x_i sum_j W_ij+ R_j / sum_k x_k W_kj+`: `lrp.z_plus` without splitting x, right only for x >= 0.

    Use it: for ReLU networks on inputs that are not negative, to get the numbers of programs that split the kernel
    only. `lrp.z_plus` is right for all inputs, and as fast where it knows that they are not negative: `input_range=(0,
    1)`.

    Not for: inputs of both signs (standardised pixels, convolutions without ReLU, GELU): denominators near zero, and
    wrong maps of any size.

    Source: iNNvestigate's rule of that name, for the z+ rule of Montavon et al. 2017.
    """

    name: ClassVar[str] = "lrp.z_plus_fast"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.ZPlusFast())]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class BiasAsInput(LRPMethod):
    """Biases are inputs that are always 1, and take their share: what inputs and biases hold adds up to the output.

    `BiasAsInput` for kernels, `Slope` for nonlinearities (f(0) is a bias), `Halve` for products, `DetachStatistics` for
    normalisation; what a linearisation leaves over is a bias entry of its operation.

    Use it: when the books must close: to see what inputs have to do with an output, and what every bias has.

    Not for: quiet maps of deep networks: for inputs it is `lrp.z`, noise included.

    Source: the first solution to the problem of biases in the algebra that `lrp.algebra` is named for.
    """

    name: ClassVar[str] = "lrp.bias_as_input"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.BiasAsInput())]

    def composite(self) -> Composite:
        return dataclasses.replace(super().composite(), elementwise=rules.Slope(), product=rules.Halve())
