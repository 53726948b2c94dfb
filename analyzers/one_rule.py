"""Layer-wise relevance propagation with one rule for all linear operations, and perhaps another for the first."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from kerasexplain import rules
from kerasexplain.analyzers.lrp import LRPMethod
from kerasexplain.compiler.composite import Composite
from kerasexplain.matches import kernel
from kerasexplain.rules import AlphaBeta
from kerasexplain.rules.stabilizer import Stabilizer


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ZMethod(LRPMethod):
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
class EpsilonMethod(LRPMethod):
    """`R_i = x_i sum_j W_ij R_j / (z_j + epsilon sign(z_j))`: `lrp.z` with a floor under every denominator.

    Use it: for dense networks and the upper layers of others, with an epsilon that is a fair part of what z usually is:
    contributions that cancel are absorbed, and what is left is sparser and less noisy.

    Not for: exact sums, since epsilon takes its part (the audit's "lost"); the lower layers of deep image classifiers,
    where it is noisy still. With the default epsilon it is hardly more than `lrp.z`.

    Args:
        epsilon: A number, or a share of the size of z, `Relative(0.25)`; `keras.config.epsilon()` by default.
        bias: Whether the bias is in the denominator.

    Source: Bach et al. 2015, "On Pixel-Wise Explanations...", eq. 58.
    """

    name: ClassVar[str] = "lrp.epsilon"

    epsilon: Stabilizer | None = None
    bias: bool = True

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.Epsilon(self.epsilon, bias=self.bias))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EpsilonIgnoreBias(EpsilonMethod):
    """`lrp.epsilon` without biases in the denominators, `z = x W`: the inputs share what the biases would take.

    Use it: as `lrp.z_IB`, with an epsilon large enough to stop denominators near zero.

    Not for: networks with large biases and the default epsilon: what is said of `lrp.z_IB` holds.

    Args:
        epsilon: A number, or a share of the size of z, `Relative(0.25)`; `keras.config.epsilon()` by default.
        bias: False; True makes it `lrp.epsilon`.

    Source: Bach et al. 2015, "On Pixel-Wise Explanations...", eq. 58, with the bias left out; iNNvestigate's name for
    it.
    """

    name: ClassVar[str] = "lrp.epsilon_IB"

    bias: bool = False


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class WSquareMethod(LRPMethod):
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
class FlatMethod(LRPMethod):
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
class GammaMethod(LRPMethod):
    """Positive contributions count `1 + gamma` times: `R_i = x_i sum_j (W_ij + gamma W_ij+) R_j / z'_j`.

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
class ZPlusMethod(LRPMethod):
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
class ZPlusFastMethod(LRPMethod):
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
class BiasAsInputMethod(LRPMethod):
    """Biases are inputs that are always 1, and take their share: what inputs and biases hold adds up to the output.

    `BiasAsInput` for kernels, `Slope` for nonlinearities (f(0) is a bias), `Halve` for products, `DetachStatistics` for
    normalisation; what a linearisation leaves over is a bias entry of its operation.

    Use it: when the audit must close: to see what inputs have to do with an output, and what every bias has.

    Not for: quiet maps of deep networks: for inputs it is `lrp.z`, noise included.

    Source: the first solution to the problem of biases in the algebra that `lrp.algebra` is named for.
    """

    name: ClassVar[str] = "lrp.bias_as_input"

    nonlinearity: str = "slope"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.BiasAsInput())]

    def composite(self) -> Composite:
        return dataclasses.replace(super().composite(), product=rules.Halve(), passes_preprocessing=False)
