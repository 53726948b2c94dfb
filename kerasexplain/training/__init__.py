"""Training on relevance: a network that is right for the right reasons."""

from kerasexplain.training.losses import (
    RelevanceAgreement,
    RelevanceConsistency,
    RelevanceLoss,
    RelevanceMatch,
    RelevanceOfBiases,
    RelevanceOn,
    RelevanceOutside,
    RelevanceSmoothness,
    RelevanceSparsity,
)
from kerasexplain.training.model import RelevanceModel

__all__ = [
    "RelevanceAgreement",
    "RelevanceConsistency",
    "RelevanceLoss",
    "RelevanceMatch",
    "RelevanceModel",
    "RelevanceOfBiases",
    "RelevanceOn",
    "RelevanceOutside",
    "RelevanceSmoothness",
    "RelevanceSparsity",
]


def __dir__() -> list[str]:
    return [*__all__]
