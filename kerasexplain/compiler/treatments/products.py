"""Products of activations: attention, gates, quotients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kerasexplain.backend import override, pull_back
from kerasexplain.compiler.against_baseline import Apply, mean_gradient
from kerasexplain.compiler.composite import Composite
from kerasexplain.compiler.rows import Row
from kerasexplain.compiler.treatments.treatment import Context, Overridden, Treatment, treats
from kerasexplain.graph.primitives import Product
from kerasexplain.graph.signal import Signal
from kerasexplain.rules import Halve, MeanGradient, ProductRule, Rule, SignalTakesAll

Tensor = Any


@treats(Product)
class OfProduct(Treatment):
    """The operands that take relevance share it; where one alone carries any, it takes it all."""

    takes = (ProductRule,)
    words = "routing"

    def default(self, row: Row, composite: Composite) -> Rule | None:
        product = row.node.primitive
        assert isinstance(product, Product)
        if composite.plain:
            divides = product.denominator is not None and row.carrying[product.denominator]
            return MeanGradient() if composite.against_baseline and (sum(row.carrying) > 1 or divides) else None
        if sum(row.carrying) < 2:
            return None
        gates = [domain.is_gate for domain in row.input_domains]
        gated = product.elementwise and any(gates) and not all(gates)
        return composite.product or (SignalTakesAll() if gated else Halve())

    def of_relevance(self, row: Row, plain: Overridden, arriving: Signal, context: Context) -> Overridden:
        if row.rule is None:
            return plain
        return Overridden(_shared(row.node.primitive, row.rule, row), Signal.Q, Signal.Q)

    def multipliers(
        self, primitive: Any, rule: Any, xs: Sequence[Tensor], refs: Sequence[Tensor], s: Tensor
    ) -> Sequence[Tensor | None]:
        # The gradient of a product of n factors is a polynomial of degree n - 1 along the line.
        return mean_gradient(primitive, xs, refs, s, is_product=primitive.denominator is None)


def _shared(product: Any, rule: Any, row: Row) -> Apply:
    takes = rule.taking(row.input_domains, row.carrying)
    share = 1.0 / sum(takes)

    def backward(xs: Sequence[Tensor], signal: Tensor) -> list[Tensor | None]:
        def of_takers(*takers: Tensor) -> tuple[Tensor, None]:
            given = iter(takers)
            return product(*(next(given) if taker else x for x, taker in zip(xs, takes, strict=True))), None

        _, _, pullback = pull_back(of_takers, *(x for x, taker in zip(xs, takes, strict=True) if taker))
        given = iter(pullback(signal * share))
        return [next(given) if taker else None for taker in takes]

    return lambda xs, tap: override(lambda *xs: (product(*xs), xs), backward, *xs)
