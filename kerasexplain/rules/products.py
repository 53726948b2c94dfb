"""Rules for products of activations, and for normalisation."""

from __future__ import annotations

from collections.abc import Sequence

from kerasexplain.foundation.config import saved
from kerasexplain.graph.domains import Interval
from kerasexplain.rules.rule import Rule


class ProductRule(Rule):
    """A rule for products of activations: the operands that take relevance share it equally."""

    def taking(self, domains: Sequence[Interval], carrying: Sequence[bool]) -> list[bool]:
        """Which operands take relevance, given what is known of their ranges, and which can carry it at all."""
        raise NotImplementedError


@saved
class Halve(ProductRule):
    """Each of the n operands of a product gets 1/n of the relevance.

    Source: Achtibat et al. 2024 (AttnLRP), the uniform rule for matrix products.
    """

    def taking(self, domains: Sequence[Interval], carrying: Sequence[bool]) -> list[bool]:
        return list(carrying)


@saved
class SignalTakesAll(ProductRule):
    """Operands known to lie in [0, 1] are gates and get nothing; the others share the relevance equally.

    Source: Arras et al. 2017, "Explaining Recurrent Neural Network Predictions in Sentiment Analysis".
    """

    def taking(self, domains: Sequence[Interval], carrying: Sequence[bool]) -> list[bool]:
        signals = [carries and not domain.is_gate for carries, domain in zip(carrying, domains, strict=True)]
        return signals if any(signals) else list(carrying)


@saved
class CPLRP(SignalTakesAll):
    """Attention weights are constants: relevance goes through what they weigh, and none to queries and keys.

    An operand known to lie in [0, 1], as what a softmax gives, is taken for weights.

    Source: Ali et al. 2022, "XAI for Transformers: Better Explanations through Conservative Propagation".
    """


@saved
class DetachStatistics(Rule):
    """Normalisation with its scale (sigma or rms) as a constant; the mean is differentiated, beta is a bias.

    Source: Ali et al. 2022, "XAI for Transformers"; Achtibat et al. 2024.
    """
