"""Relevance through attention: AttnLRP and CP-LRP."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from kerasexplain import rules
from kerasexplain.analyzers.lrp import LRPMethod
from kerasexplain.composite import Composite
from kerasexplain.matches import kernel
from kerasexplain.rules import ProductRule


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Attention(LRPMethod):
    """AttnLRP: `Z` for kernels, `Slope` for nonlinearities, each operand of a product gets an equal share (`Halve`),
    softmax by its gradient (`R_i = x_i (R_i - s_i sum_j R_j)`, where s is its output and R the relevance of it),
    `DetachStatistics` for normalisation.

    Made for transformers, and legal for any model. Relevance of one head: ask for `layers=[...]`, the product of
    attention weights and values, whose axes include the heads.

    Source: Achtibat et al. 2024, "AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for Transformers".
    """

    name: ClassVar[str] = "lrp.attention"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.Z())]

    def product_rule(self) -> ProductRule:
        """The rule for products of activations."""
        return rules.Halve()

    def composite(self) -> Composite:
        return dataclasses.replace(super().composite(), elementwise=rules.Slope(), product=self.product_rule())


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AttentionCP(Attention):
    """CP-LRP: `lrp.attention` with attention weights as constants (`CPLRP`): queries and keys get no relevance.

    Source: Ali et al. 2022, "XAI for Transformers: Better Explanations through Conservative Propagation".
    """

    name: ClassVar[str] = "lrp.attention_cp"

    def product_rule(self) -> ProductRule:
        return rules.CPLRP()
