"""Presets: combinations of rules by the kind of operation, as the literature recommends them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from kerasexplain import rules
from kerasexplain.analyzers.lrp import LRPMethod
from kerasexplain.matches import convolution, first_convolution, kernel
from kerasexplain.rules import AlphaBeta, Epsilon

Pairs = Sequence[tuple[Any, Any]]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SequentialPresetA(LRPMethod):
    """`AlphaBeta(1, 0)` for convolutions, `Epsilon` for dense operations. Source: iNNvestigate's preset A.

    Args:
        epsilon: Of the dense operations.
    """

    name: ClassVar[str] = "lrp.sequential_preset_a"

    epsilon: float = 0.1

    def kernel_rules(self) -> Pairs:
        return [(convolution, AlphaBeta(1.0, 0.0)), (kernel, Epsilon(self.epsilon))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SequentialPresetAFlat(SequentialPresetA):
    """`lrp.sequential_preset_a` with `Flat` for the first operations."""

    name: ClassVar[str] = "lrp.sequential_preset_a_flat"

    input_layer_rule: Any = "Flat"


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SequentialPresetB(LRPMethod):
    """`AlphaBeta(2, 1)` for convolutions, `Epsilon` for dense operations. Source: iNNvestigate's preset B.

    Args:
        epsilon: Of the dense operations.
    """

    name: ClassVar[str] = "lrp.sequential_preset_b"

    epsilon: float = 0.1

    def kernel_rules(self) -> Pairs:
        return [(convolution, AlphaBeta(2.0, 1.0)), (kernel, Epsilon(self.epsilon))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SequentialPresetBFlat(SequentialPresetB):
    """`lrp.sequential_preset_b` with `Flat` for the first operations."""

    name: ClassVar[str] = "lrp.sequential_preset_b_flat"

    input_layer_rule: Any = "Flat"


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SequentialPresetBFlatUntilIdx(SequentialPresetB):
    """`lrp.sequential_preset_b` with `Flat` for `model.layers[0]` to `model.layers[until_layer_idx]`."""

    name: ClassVar[str] = "lrp.sequential_preset_b_flat_until_idx"

    until_layer_idx: int
    until_layer_rule: Any = "Flat"


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EpsilonPlus(LRPMethod):
    """`AlphaBeta(1, 0)` (z+, with b+ in the denominator) for convolutions, `Epsilon` for dense operations.

    The recommendation for image classifiers. Source: Kohlbrenner et al. 2020; zennit's composite of that name.

    Args:
        epsilon: Of the dense operations.
    """

    name: ClassVar[str] = "lrp.epsilon_plus"

    epsilon: float = 1e-6

    def kernel_rules(self) -> Pairs:
        return [(convolution, AlphaBeta(1.0, 0.0)), (kernel, Epsilon(self.epsilon))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EpsilonPlusFlat(EpsilonPlus):
    """`lrp.epsilon_plus` with `Flat` for the first operations."""

    name: ClassVar[str] = "lrp.epsilon_plus_flat"

    input_layer_rule: Any = "Flat"


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EpsilonAlpha2Beta1(LRPMethod):
    """`AlphaBeta(2, 1)` for convolutions, `Epsilon` for dense operations. Source: Kohlbrenner et al. 2020.

    Args:
        epsilon: Of the dense operations.
    """

    name: ClassVar[str] = "lrp.epsilon_alpha2_beta1"

    epsilon: float = 1e-6

    def kernel_rules(self) -> Pairs:
        return [(convolution, AlphaBeta(2.0, 1.0)), (kernel, Epsilon(self.epsilon))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EpsilonAlpha2Beta1Flat(EpsilonAlpha2Beta1):
    """`lrp.epsilon_alpha2_beta1` with `Flat` for the first operations."""

    name: ClassVar[str] = "lrp.epsilon_alpha2_beta1_flat"

    input_layer_rule: Any = "Flat"


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EpsilonGammaBox(LRPMethod):
    """`Gamma` for convolutions, `Epsilon` for dense operations, `ZB(low, high)` for first convolutions.

    Source: Montavon et al. 2019; zennit's composite of that name.

    Args:
        low, high: The box of the (preprocessed) input: numbers, one per channel, or arrays.
        epsilon: Of the dense operations.
        gamma: Of the convolutions.
    """

    name: ClassVar[str] = "lrp.epsilon_gamma_box"

    low: Any
    high: Any
    epsilon: float = 1e-6
    gamma: float = 0.25

    def kernel_rules(self) -> Pairs:
        return [
            (first_convolution, rules.ZB(self.low, self.high)),
            (convolution, rules.Gamma(self.gamma)),
            (kernel, Epsilon(self.epsilon)),
        ]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ExcitationBackprop(LRPMethod):
    """`AlphaBeta(1, 0)` for every operation with a kernel. Source: Zhang et al. 2016, "Top-down Neural Attention"."""

    name: ClassVar[str] = "excitation_backprop"

    def kernel_rules(self) -> Pairs:
        return [(kernel, AlphaBeta(1.0, 0.0))]
