"""Rules for everything that is not linear: elementwise functions, maxima, products and normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import keras
from keras import ops

from kerasexplain.domains import Interval
from kerasexplain.rules.base import Rule

Tensor = Any
serializable = keras.saving.register_keras_serializable(package="kerasexplain")


class ElementwiseRule(Rule):
    """A rule for elementwise nonlinearities `y = f(z)`."""


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class Ignore(ElementwiseRule):
    """`R_z = R_y`: the nonlinearity passes relevance as it is.

    Source: Bach et al. 2015. The default of every `lrp.*` name.
    """


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class Slope(ElementwiseRule):
    """`R_z = (f(z) - f(0)) R_y / f(z)`: the slope of the chord through zero; f(0) is a bias that takes the rest.

    Equal to `Ignore` where f(0) = 0, and to the gradient for ReLU.
    """


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class GradientRule(ElementwiseRule):
    """`R_z = z f'(z) R_y / f(z)`; what the linearisation leaves over is a bias that takes the rest.

    Source: Achtibat et al. 2024 (AttnLRP), for softmax.
    """


class MaximumRule(Rule):
    """A rule for maxima over candidates."""

    def shares(self, candidates: Tensor) -> Tensor:
        """How the output's relevance is shared among the candidates (last axis); the shares add up to one."""
        raise NotImplementedError


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class WinnerTakesAll(MaximumRule):
    """All relevance goes to the largest candidate.

    Args:
        ties: "first": the first of equal winners takes all; "share": they share equally.

    Raises:
        ValueError: ties is neither.
    """

    _: KW_ONLY
    ties: str = "first"

    def __post_init__(self) -> None:
        if self.ties not in ("first", "share"):
            raise ValueError(f"ties must be 'first' or 'share', got {self.ties!r}")

    def shares(self, candidates: Tensor) -> Tensor:
        if self.ties == "first":
            return ops.one_hot(ops.argmax(candidates, axis=-1), ops.shape(candidates)[-1], dtype=candidates.dtype)
        largest = ops.max(candidates, axis=-1, keepdims=True)
        winners = ops.cast(ops.equal(candidates, largest), candidates.dtype)
        return winners / ops.sum(winners, axis=-1, keepdims=True)


class ProductRule(Rule):
    """A rule for products of activations: the operands that take relevance share it equally."""

    def taking(self, domains: Sequence[Interval], carrying: Sequence[bool]) -> list[bool]:
        """Which operands take relevance, given what is known of their ranges, and which can carry it at all."""
        raise NotImplementedError


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class Halve(ProductRule):
    """Each of the n operands of a product gets 1/n of the relevance.

    Source: Achtibat et al. 2024 (AttnLRP), the uniform rule for matrix products.
    """

    def taking(self, domains: Sequence[Interval], carrying: Sequence[bool]) -> list[bool]:
        return list(carrying)


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class SignalTakesAll(ProductRule):
    """Operands known to lie in [0, 1] are gates and get nothing; the others share the relevance equally.

    Source: Arras et al. 2017, "Explaining Recurrent Neural Network Predictions in Sentiment Analysis".
    """

    def taking(self, domains: Sequence[Interval], carrying: Sequence[bool]) -> list[bool]:
        signals = [carries and not domain.is_gate for carries, domain in zip(carrying, domains, strict=True)]
        return signals if any(signals) else list(carrying)


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class CPLRP(SignalTakesAll):
    """Attention weights are constants: relevance goes through what they weigh, and none to queries and keys.

    An operand known to lie in [0, 1], as what a softmax gives, is taken for weights.

    Source: Ali et al. 2022, "XAI for Transformers: Better Explanations through Conservative Propagation".
    """


@serializable
@dataclass(frozen=True, eq=False, repr=False)
class DetachStatistics(Rule):
    """Normalisation with its scale (sigma or rms) as a constant; the mean is differentiated, beta is a bias.

    Source: Ali et al. 2022, "XAI for Transformers"; Achtibat et al. 2024.
    """
