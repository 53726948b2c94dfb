"""Relevance through attention: AttnLRP and CP-LRP."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from kerasexplain import rules
from kerasexplain.analyzers.lrp import LRPMethod
from kerasexplain.compiler.composite import Composite
from kerasexplain.matches import kernel
from kerasexplain.rules import ProductRule


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Attention(LRPMethod):
    """AttnLRP: relevance through attention, to values and, by way of the softmax, to queries and keys.

    `Z` for kernels, `Slope` for nonlinearities, each operand of a product gets an equal share (`Halve`), softmax by its
    gradient (`R_i = x_i (R_i - s_i sum_j R_j)`, where s is its output and R the relevance of it), `DetachStatistics`
    for normalisation. Legal for any model. Relevance of one head: ask for `layers=[...]`, the product of attention
    weights and values, whose axes include the heads.

    Use it: for transformers, of text above all: it tells what came through values, and what through queries and keys.

    Not for: convolutional networks, where it is `lrp.z`. For vision transformers, which it leaves noisy, the paper
    gives kernels the gamma rule: `override=[(kerasexplain.matches.kernel, "Gamma")]`.

    Source: Achtibat et al. 2024, "AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for Transformers".
    """

    name: ClassVar[str] = "lrp.attention"

    nonlinearity: str = "slope"

    def kernel_rules(self) -> Sequence[tuple[Any, Any]]:
        return [(kernel, rules.Z())]

    def product_rule(self) -> ProductRule:
        """The rule for products of activations."""
        return rules.Halve()

    def composite(self) -> Composite:
        return dataclasses.replace(super().composite(), product=self.product_rule())


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AttentionCP(Attention):
    """CP-LRP: `lrp.attention` with attention weights as constants (`CPLRP`): queries and keys get no relevance.

    Use it: for transformers, where relevance should be conserved through attention and what it looks at may be taken as
    given.

    Not for: asking why the model attends to what it attends to: nothing passes through the softmax. Achtibat et al.
    2024 find it less faithful than `lrp.attention`.

    Source: Ali et al. 2022, "XAI for Transformers: Better Explanations through Conservative Propagation".
    """

    name: ClassVar[str] = "lrp.attention_cp"

    def product_rule(self) -> ProductRule:
        return rules.CPLRP()
