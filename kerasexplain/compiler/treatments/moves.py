"""Linear operations without a kernel: moves, sums, constants and factors; and those where relevance ends."""

from __future__ import annotations

import dataclasses

from kerasexplain.compiler.rows import Row
from kerasexplain.compiler.treatments.treatment import Context, Overridden, Treatment, pass_relevance, treats
from kerasexplain.graph.primitives import Affine, Lookup, Opaque, Routing, Scale, StopGradient
from kerasexplain.graph.signal import Signal
from kerasexplain.rules import Ignore


@treats(Opaque)
class OfOpaque(Treatment):
    """The treatment of opaque operations: signals go through by the plain gradient, if that is asked for."""

    words = "gradient"


@treats(Lookup)
class OfLookup(Treatment):
    """Relevance ends at what is looked up, and belongs to the index."""

    words = "ends here"

    def of_relevance(self, row: Row, plain: Overridden, arriving: Signal, context: Context) -> Overridden:
        return dataclasses.replace(plain, takes=arriving, gives=arriving)


@treats(Routing)
class OfRouting(Treatment):
    """The treatment of moves: moved values take their relevance along, Q as well as R."""

    words = "routing"

    def of_relevance(self, row: Row, plain: Overridden, arriving: Signal, context: Context) -> Overridden:
        # Constants among what is moved take their share as a bias entry, for which Q is needed.
        return plain if row.bias_edges else dataclasses.replace(plain, takes=arriving, gives=arriving)


@treats(StopGradient)
class OfStopGradient(OfRouting):
    """The treatment of stopped gradients: they concern training, and the output is explained or compared as it is."""

    def of_relevance(self, row: Row, plain: Overridden, arriving: Signal, context: Context) -> Overridden:
        return Overridden(lambda xs, tap: xs[0], arriving, arriving)

    def of_gradient(self, row: Row, plain: Overridden, context: Context) -> Overridden:
        if context.composite.against_baseline:
            return Overridden(lambda xs, tap: xs[0], Signal.Q, Signal.Q)
        return super().of_gradient(row, plain, context)


@treats(Scale)
class OfScale(Treatment):
    """One input, one output: dividing R by the output would lose what passes through a zero, so it passes as it is.

    Preprocessing is no part of what is explained: the map is that of the model behind it.
    """

    words = "routing"

    def of_relevance(self, row: Row, plain: Overridden, arriving: Signal, context: Context) -> Overridden:
        as_preprocessing = row.preprocesses and context.composite.passes_preprocessing
        if as_preprocessing or (arriving is Signal.R and self.passes(context)):
            return Overridden(pass_relevance(plain.apply, arriving), arriving, Signal.R)
        return plain

    def passes(self, context: Context) -> bool:
        """Whether R passes as it is."""
        return True


@treats(Affine)
class OfAffine(OfScale):
    """A factor and an offset: under `Ignore` R passes as it is; elsewhere the offset is a bias."""

    words = "proportional"

    def in_words(self, row: Row) -> str:
        return "preprocessing" if row.preprocesses and row.rule is None else super().in_words(row)

    def passes(self, context: Context) -> bool:
        return isinstance(context.composite.elementwise, Ignore)
