"""Deep Taylor decomposition."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from keras import ops

from kerasexplain import rules
from kerasexplain.analyzers.lrp import LRPMethod
from kerasexplain.matches import first_kernel, kernel

Tensor = Any


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class DeepTaylor(LRPMethod):
    """`ZPlus` for every operation with a kernel, starting with `max(y, 0)`: only positive outputs are explained.

    Use it: for ReLU networks, to see what a positive output is owed to, as a heatmap without negative values.

    Not for: outputs that are negative, whose map is zero; evidence against; networks with other nonlinearities or large
    biases, for which its derivation (ReLU, no bias positive) does not hold; telling classes apart (Sixt et al. 2020,
    "When Explanations Lie").

    Source: Montavon et al. 2017, "Explaining nonlinear classification decisions with deep Taylor decomposition".
    """

    name: ClassVar[str] = "deep_taylor"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.ZPlus())]

    def started(self, start: Tensor) -> Tensor:
        return ops.relu(start)


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class BoundedDeepTaylor(DeepTaylor):
    """`deep_taylor` with `ZB(low, high)` for the first operations, for inputs that lie in a box.

    Use it: for images: pixels have bounds, and a black one can be as relevant as a bright one.

    Not for: inputs without bounds, or a box that is not the input's own; else as `deep_taylor`.

    Args:
        low, high: The box of the (preprocessed) input: numbers, one per channel, or arrays.

    Source: Montavon et al. 2017, "Explaining nonlinear classification decisions with deep Taylor decomposition", the
    z^B rule.
    """

    name: ClassVar[str] = "deep_taylor.bounded"

    low: Any
    high: Any

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(first_kernel, rules.ZB(self.low, self.high)), *super().kernel_rules()]
