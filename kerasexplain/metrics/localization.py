"""Metrics of localisation: whether relevance lies on the object, by masks of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from kerasexplain.foundation.checks import check_count
from kerasexplain.foundation.config import saved_by_keyword
from kerasexplain.foundation.errors import InputError, not_importable
from kerasexplain.metrics.judged import Judged, Result
from kerasexplain.metrics.metric import Metric
from kerasexplain.metrics.units import Units


def masks_of_boxes(boxes: Any, shape: Sequence[int]) -> np.ndarray:
    """Masks of bounding boxes, truth values `(samples, *shape)`.

    Args:
        boxes: For each sample the first position along every axis, and then the one behind the last: for images
            `(top, left, bottom, right)`, in pixels; `(samples, 2 axes)`.
        shape: The sizes of the axes: for images `(height, width)`.

    Raises:
        InputError: The boxes are none, or lie outside.

    Example:
        >>> masks = masks_of_boxes([[10, 20, 110, 170]], (224, 224))
    """
    corners, sides = np.asarray(boxes), np.array(shape)
    if corners.ndim != 2 or corners.shape[1] != 2 * len(sides) or corners.dtype.kind not in "iu":
        raise InputError(
            f"boxes are integers (samples, {2 * len(sides)}), the first corner and the one behind the last, for images "
            f"(top, left, bottom, right); got {corners.dtype} of shape {corners.shape}"
        )
    first, behind = corners[:, : len(sides)], corners[:, len(sides) :]
    if np.any(first < 0) or np.any(behind > sides) or np.any(first > behind):
        raise InputError(
            f"boxes must lie within {tuple(shape)}, their first corner before their last: got {boxes!r:.80}"
        )
    masks = np.ones((len(corners), *shape), bool)
    for axis, side in enumerate(shape):
        places = np.arange(side).reshape(-1, *[1] * (len(sides) - axis - 1))
        low, high = (c[:, axis].reshape(-1, *[1] * len(sides)) for c in (first, behind))
        masks &= (places >= low) & (places < high)
    return masks


class _Localization(Metric):
    """The base: each sample's relevance, with channels summed, and its mask, both flat."""

    needs_masks: ClassVar[bool] = True

    def scores(self, judged: Judged) -> Result:
        assert judged.masks is not None  # `judge` has asked for them
        units = Units.of(judged.inputs, judged.names, size=1)
        maps = units.positions(judged.relevance)[0].reshape(judged.samples, -1)
        masks = judged.masks.reshape(judged.samples, -1)
        return Result(np.array([self._of(r, m) for r, m in zip(maps, masks, strict=True)], "float64"))

    def _of(self, relevance: np.ndarray, mask: np.ndarray) -> float:
        raise NotImplementedError


@saved_by_keyword
class RelevanceInside(_Localization):
    """The share of the positive relevance that lies inside of the mask.

        score = sum_{i inside} R_i+  /  sum_i R_i+

    Not defined, NaN, for an empty mask and for a map without positive relevance.

    Source: Kohlbrenner et al. 2020, "Towards Best Practice in Explaining Neural Network Decisions with LRP", section
    3.2 (mu).
    """

    name: ClassVar[str] = "relevance_inside"

    def _of(self, relevance: np.ndarray, mask: np.ndarray) -> float:
        positive = np.maximum(relevance, 0)
        return _ratio(positive[mask].sum(), positive.sum()) if mask.any() else float("nan")


@saved_by_keyword
class InsideOutsideRatio(_Localization):
    """The mean positive relevance inside of the mask over that outside of it.

        score = mean_{i inside} R_i+  /  mean_{i outside} R_i+

    1 is what a map that does not know the object has; below 1, the context counts for more. Not defined, NaN, for
    empty and full masks, and where no relevance at all is positive; infinite where there is none outside.

    Source: Lapuschkin et al. 2016, "Analyzing Classifiers: Fisher Vectors and Deep Neural Networks", section 3 (its
    inverse is the importance of context, and takes sums of R: here means, so that the object's size does not matter).
    """

    name: ClassVar[str] = "inside_outside_ratio"

    def _of(self, relevance: np.ndarray, mask: np.ndarray) -> float:
        positive = np.maximum(relevance, 0)
        if not mask.any() or mask.all() or not positive.any():
            return float("nan")
        inside, outside = positive[mask].mean(), positive[~mask].mean()
        return float(inside / outside) if outside > 0 else float("inf")


@saved_by_keyword
class PointingGame(_Localization):
    """1 where the most relevant position lies inside of the mask, 0 where it does not.

    Of several positions that are equally most relevant, the score is the share that lies inside. Not defined, NaN, for
    an empty mask.

    Source: Zhang et al. 2016, "Top-down Neural Attention by Excitation Backprop", section 4.1 (without its tolerance of
    15 pixels).
    """

    name: ClassVar[str] = "pointing_game"

    def _of(self, relevance: np.ndarray, mask: np.ndarray) -> float:
        return float(mask[relevance == relevance.max()].mean()) if mask.any() else float("nan")


@saved_by_keyword
class TopKIntersection(_Localization):
    """The share of the k most relevant positions that lies inside of the mask.

        score = |top k and mask| / k

    Positions that are as relevant as the k-th share its place. Not defined, NaN, for an empty mask.

    Args:
        k: Number of positions; None: as many as the mask has.

    Source: Theiner et al. 2021, "Interpretable Semantic Photo Geolocation", section 4.
    """

    name: ClassVar[str] = "top_k_intersection"

    k: int | None = None

    def __post_init__(self) -> None:
        if self.k is not None:
            check_count("k", self.k)

    def _of(self, relevance: np.ndarray, mask: np.ndarray) -> float:
        if not mask.any():
            return float("nan")
        k = int(mask.sum()) if self.k is None else self.k
        if k > len(relevance):
            raise InputError(f"k={k} is more than the {len(relevance)} positions of a sample")
        last = np.sort(relevance)[-k]
        above, tied = relevance > last, relevance == last
        return float((mask[above].sum() + (k - above.sum()) * mask[tied].mean()) / k)


@saved_by_keyword
class LocalizationAUC(_Localization):
    """The area under the ROC curve of relevance as a classifier of the mask's positions.

    The probability that a position inside is more relevant than one outside, ties counting a half: 0.5 for a constant
    map. Not defined, NaN, for empty and full masks. Computed by scikit-learn.

    Source: Fawcett 2006, "An Introduction to ROC Analysis", section 7.
    """

    name: ClassVar[str] = "localization_auc"

    def _of(self, relevance: np.ndarray, mask: np.ndarray) -> float:
        if not mask.any() or mask.all():
            return float("nan")
        try:
            from sklearn.metrics import roc_auc_score
        except ImportError as error:
            raise not_importable("the metric localization_auc needs scikit-learn", "metrics", error) from error
        return float(roc_auc_score(mask, relevance))


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")
