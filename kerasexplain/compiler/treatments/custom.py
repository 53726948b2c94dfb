"""Layers with a rule of their author's."""

from __future__ import annotations

from typing import Any

from kerasexplain.backend import override
from kerasexplain.compiler.against_baseline import Apply
from kerasexplain.compiler.composite import Composite
from kerasexplain.compiler.rows import Row
from kerasexplain.compiler.treatments.treatment import Context, Overridden, Treatment, treats
from kerasexplain.graph.signal import Signal
from kerasexplain.operations import Custom

Tensor = Any


@treats(Custom)
class OfCustom(Treatment):
    """The function that was registered for the layer, which takes and gives R."""

    def in_words(self, row: Row) -> str:
        assert isinstance(row.node.primitive, Custom)
        own = f"its own: {getattr(row.node.primitive.relevance, '__name__', 'a function')}"
        return own if row.rule is None else super().in_words(row)

    def refusal(self, row: Row, composite: Composite) -> str:
        if composite.against_baseline:
            return "the relevance that was registered for it does not support a baseline"
        return super().refusal(row, composite)

    def of_relevance(self, row: Row, plain: Overridden, arriving: Signal, context: Context) -> Overridden:
        assert isinstance(row.node.primitive, Custom)
        return Overridden(_as_registered(row.node.primitive, arriving), arriving, Signal.R)


def _as_registered(custom: Custom, arriving: Signal) -> Apply:
    def forward(*xs: Tensor) -> tuple[Tensor, tuple[Any, Tensor]]:
        y = custom(*xs)
        return y, (xs, y)

    def backward(residuals: tuple[Any, Tensor], signal: Tensor) -> Any:
        xs, y = residuals
        relevance = signal if arriving is Signal.R else signal * y
        of_xs = custom.relevance(custom.layer, xs[0] if len(xs) == 1 else xs, y, relevance)
        given = (of_xs,) if len(xs) == 1 else tuple(of_xs)
        shapes = [None if r is None else tuple(r.shape) for r in given]
        if shapes != [tuple(x.shape) for x in xs]:
            raise ValueError(
                f"the rule registered for the layer {custom.layer.name!r} ({type(custom.layer).__name__}) gave "
                f"relevance of the shapes {shapes} for inputs of the shapes {[tuple(x.shape) for x in xs]}"
            )
        return given

    return lambda xs, tap: override(forward, backward, *xs)
