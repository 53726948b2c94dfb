"""Metrics of explanations: `RegionPerturbation()(analyzer, images)`.

A metric is a value with options, called with an analyzer and data; what it returns has a score for every sample. One
number means little alone: compare it with that of another analyzer, of `random` above all, by `Scores.against`.
"""

from kerasexplain.metrics import fills
from kerasexplain.metrics.concentration import Completeness, Complexity, Sparseness
from kerasexplain.metrics.correlation import FaithfulnessCorrelation, Infidelity, SensitivityN
from kerasexplain.metrics.judged import Judged, Result
from kerasexplain.metrics.judging import judge
from kerasexplain.metrics.localization import (
    InsideOutsideRatio,
    LocalizationAUC,
    PointingGame,
    RelevanceInside,
    TopKIntersection,
    masks_of_boxes,
)
from kerasexplain.metrics.metric import Metric
from kerasexplain.metrics.perturbation import Deletion, Insertion, RegionPerturbation
from kerasexplain.metrics.randomization import ModelRandomization, RandomLogit
from kerasexplain.metrics.robustness import LocalLipschitz, MaxSensitivity
from kerasexplain.metrics.scores import Paired, Scores, paired

__all__ = [
    "Completeness",
    "Complexity",
    "Deletion",
    "FaithfulnessCorrelation",
    "Infidelity",
    "Insertion",
    "InsideOutsideRatio",
    "Judged",
    "LocalLipschitz",
    "LocalizationAUC",
    "MaxSensitivity",
    "Metric",
    "ModelRandomization",
    "Paired",
    "PointingGame",
    "RandomLogit",
    "RegionPerturbation",
    "RelevanceInside",
    "Result",
    "Scores",
    "SensitivityN",
    "Sparseness",
    "TopKIntersection",
    "fills",
    "judge",
    "masks_of_boxes",
    "paired",
]


def __dir__() -> list[str]:
    return [*__all__]
