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

    Args:
        low, high: The box of the (preprocessed) input: numbers, one per channel, or arrays.
    """

    name: ClassVar[str] = "deep_taylor.bounded"

    low: Any
    high: Any

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(first_kernel, rules.ZB(self.low, self.high)), *super().kernel_rules()]
