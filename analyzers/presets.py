"""Presets: combinations of rules by the kind of operation, as the literature recommends them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from kerasexplain import rules
from kerasexplain.analyzers.lrp import LRPMethod
from kerasexplain.matches import convolution, first_convolution, kernel
from kerasexplain.rules import AlphaBeta, Epsilon
from kerasexplain.rules.stabilizer import Stabilizer

Pairs = Sequence[tuple[Any, Any]]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SequentialPresetA(LRPMethod):
    """`AlphaBeta(1, 0)` for convolutions, `Epsilon` for dense operations.

    Use it: for convolutional image classifiers with dense layers on top, such as VGG, in the form that iNNvestigate
    gave it; it is `lrp.epsilon_plus` with a larger epsilon.

    Not for: outputs and dense layers whose values are not large against epsilon, which then absorbs most of the
    relevance; evidence against in the convolutional part.

    Args:
        epsilon: Of the dense operations: a number, or a share of the size of z, `Relative(0.25)`.

    Source: the preset of that name in Alber et al. 2019, "iNNvestigate Neural Networks!".
    """

    name: ClassVar[str] = "lrp.sequential_preset_a"

    epsilon: Stabilizer = 0.1

    def kernel_rules(self) -> Pairs:
        return [(convolution, AlphaBeta(1.0, 0.0)), (kernel, Epsilon(self.epsilon))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SequentialPresetAFlat(SequentialPresetA):
    """`lrp.sequential_preset_a` with `Flat` for the first operations.

    Use it: for smoother maps, which do not depend on how pixels were normalised: black pixels get relevance too.

    Not for: first layers with large windows, such as the patches of a vision transformer: all pixels in one look alike.

    Args:
        epsilon: Of the dense operations: a number, or a share of the size of z, `Relative(0.25)`.

    Source: the preset of that name in Alber et al. 2019, "iNNvestigate Neural Networks!".
    """

    name: ClassVar[str] = "lrp.sequential_preset_a_flat"

    input_layer_rule: Any = "Flat"


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SequentialPresetB(LRPMethod):
    """`AlphaBeta(2, 1)` for convolutions, `Epsilon` for dense operations.

    Use it: where `lrp.sequential_preset_a` hides too much: the convolutional part shows what speaks against as well.

    Not for: very deep networks, in which both signs grow from layer to layer and cancel in noise.

    Args:
        epsilon: Of the dense operations: a number, or a share of the size of z, `Relative(0.25)`.

    Source: the preset of that name in Alber et al. 2019, "iNNvestigate Neural Networks!".
    """

    name: ClassVar[str] = "lrp.sequential_preset_b"

    epsilon: Stabilizer = 0.1

    def kernel_rules(self) -> Pairs:
        return [(convolution, AlphaBeta(2.0, 1.0)), (kernel, Epsilon(self.epsilon))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SequentialPresetBFlat(SequentialPresetB):
    """`lrp.sequential_preset_b` with `Flat` for the first operations.

    Use it: as `lrp.sequential_preset_b`, with the finest noise averaged over the windows of the first layer.

    Not for: single pixels: the map is as coarse as these windows; very deep networks, as there.

    Args:
        epsilon: Of the dense operations: a number, or a share of the size of z, `Relative(0.25)`.

    Source: the preset of that name in Alber et al. 2019, "iNNvestigate Neural Networks!".
    """

    name: ClassVar[str] = "lrp.sequential_preset_b_flat"

    input_layer_rule: Any = "Flat"


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SequentialPresetBFlatUntilIdx(SequentialPresetB):
    """`lrp.sequential_preset_b` with `Flat` for `model.layers[0]` to `model.layers[until_layer_idx]`.

    Use it: to choose the resolution of a map: the later the layer, the larger and calmer the patches.

    Not for: residual networks with additions among the flat layers, in which those whose two sides cancel dominate the
    map.

    Args:
        epsilon: Of the dense operations: a number, or a share of the size of z, `Relative(0.25)`.
        until_layer_idx: Position of the last flat layer in `model.layers`.

    Source: Bach et al. 2016, "Controlling Explanatory Heatmap Resolution and Semantics via Decomposition Depth"; the
    preset of that name in iNNvestigate.
    """

    name: ClassVar[str] = "lrp.sequential_preset_b_flat_until_idx"

    until_layer_idx: int = dataclasses.field()  # without a default, though the class above has one
    until_layer_rule: Any = "Flat"


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EpsilonPlus(LRPMethod):
    """`AlphaBeta(1, 0)` (z+, with b+ in the denominator) for convolutions, `Epsilon` for dense operations.

    Use it: for convolutional image classifiers with a ReLU behind every convolution, such as VGG: the dense layers tell
    classes apart, and the convolutions show where, without noise.

    Not for: depthwise networks with BatchNormalization: on a MobileNetV2, removing regions in its order costs the
    output no more than a random order where noise stands in for them, and where a blur does, half of what the order
    of `deep_lift` costs beyond a random one (docs/which-analyzer.md). `kerasexplain.compare` measures it. Evidence
    against in the convolutional part, which is not shown; transformers, whose kernels are all dense: see
    `lrp.attention`.

    Args:
        epsilon: Of the dense operations: a number, or a share of the size of z, `Relative(0.25)`.

    Source: Kohlbrenner et al. 2020, "Towards Best Practice in Explaining Neural Network Decisions with LRP"; zennit's
    composite of that name.
    """

    name: ClassVar[str] = "lrp.epsilon_plus"

    epsilon: Stabilizer = 1e-6

    def kernel_rules(self) -> Pairs:
        return [(convolution, AlphaBeta(1.0, 0.0)), (kernel, Epsilon(self.epsilon))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EpsilonPlusFlat(EpsilonPlus):
    """`lrp.epsilon_plus` with `Flat` for the first operations.

    Use it: as `lrp.epsilon_plus`, where the map should not depend on how pixels were normalised: a pixel of value 0
    gets relevance too.

    Not for: first layers with large windows, in which all pixels look alike; inputs whose zeros mean "nothing there".

    Args:
        epsilon: Of the dense operations: a number, or a share of the size of z, `Relative(0.25)`.

    Source: Kohlbrenner et al. 2020, "Towards Best Practice in Explaining Neural Network Decisions with LRP"; zennit's
    composite of that name.
    """

    name: ClassVar[str] = "lrp.epsilon_plus_flat"

    input_layer_rule: Any = "Flat"


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EpsilonAlpha2Beta1(LRPMethod):
    """`AlphaBeta(2, 1)` for convolutions, `Epsilon` for dense operations.

    Use it: for convolutional image classifiers of the depth of VGG, where what speaks against is to be seen.

    Not for: very deep networks, in which both signs grow from layer to layer and cancel in noise: `lrp.epsilon_plus`.

    Args:
        epsilon: Of the dense operations: a number, or a share of the size of z, `Relative(0.25)`.

    Source: Kohlbrenner et al. 2020, "Towards Best Practice in Explaining Neural Network Decisions with LRP"; zennit's
    composite of that name.
    """

    name: ClassVar[str] = "lrp.epsilon_alpha2_beta1"

    epsilon: Stabilizer = 1e-6

    def kernel_rules(self) -> Pairs:
        return [(convolution, AlphaBeta(2.0, 1.0)), (kernel, Epsilon(self.epsilon))]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EpsilonAlpha2Beta1Flat(EpsilonAlpha2Beta1):
    """`lrp.epsilon_alpha2_beta1` with `Flat` for the first operations.

    Use it: as `lrp.epsilon_alpha2_beta1`, where the map should not depend on how pixels were normalised.

    Not for: single pixels: the map is as coarse as the windows of the first layer; very deep networks, as there.

    Args:
        epsilon: Of the dense operations: a number, or a share of the size of z, `Relative(0.25)`.

    Source: Kohlbrenner et al. 2020, "Towards Best Practice in Explaining Neural Network Decisions with LRP"; zennit's
    composite of that name.
    """

    name: ClassVar[str] = "lrp.epsilon_alpha2_beta1_flat"

    input_layer_rule: Any = "Flat"


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class EpsilonGammaBox(LRPMethod):
    """`Gamma` for convolutions, `Epsilon` for dense operations, `ZB(low, high)` for first convolutions.

    Use it: for convolutional image classifiers whose pixels have known bounds: quiet, yet with some of what speaks
    against.

    Not for: inputs without bounds; a first layer that is dense, which gets `Epsilon` and not the box.

    Args:
        low, high: The box of the (preprocessed) input: numbers, one per channel, or arrays.
        epsilon: Of the dense operations: a number, or a share of the size of z, `Relative(0.25)`.
        gamma: Of the convolutions.

    Source: Montavon et al. 2019, "Layer-Wise Relevance Propagation: An Overview", section 10.3; zennit's composite of
    that name.
    """

    name: ClassVar[str] = "lrp.epsilon_gamma_box"

    low: Any
    high: Any
    epsilon: Stabilizer = 1e-6
    gamma: float = 0.25

    def kernel_rules(self) -> Pairs:
        return [
            (first_convolution, rules.ZB(self.low, self.high)),
            (convolution, rules.Gamma(self.gamma)),
            (kernel, Epsilon(self.epsilon)),
        ]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ExcitationBackprop(LRPMethod):
    """`AlphaBeta(1, 0)` for every operation with a kernel: relevance as the probability that a unit wins.

    With b+ in the denominators, as in zennit. The paper's rule has no biases: `lrp.z_plus`.

    Use it: to locate what excites a unit in a ReLU network.

    Not for: telling classes apart: the paper subtracts the map of a dual unit for that. Weights as
    `neuron_selection`, +1 for one class and -1 for another, explain such a difference.

    Source: Zhang et al. 2016, "Top-down Neural Attention by Excitation Backprop".
    """

    name: ClassVar[str] = "excitation_backprop"

    def kernel_rules(self) -> Pairs:
        return [(kernel, AlphaBeta(1.0, 0.0))]
