"""The likeness of two maps of one sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerasexplain.foundation.errors import InputError, not_importable
from kerasexplain.metrics.judged import Judged
from kerasexplain.metrics.units import Units

SIMILARITIES = ("spearman", "ssim")


def similarities(judged: Judged, others: Sequence[np.ndarray], kind: str, absolute: bool) -> np.ndarray:
    """The similarity of every sample's map to another one, `(samples,)`.

    Args:
        judged: The samples and their maps.
        others: The other maps, shaped alike.
        kind: "spearman", the rank correlation; or "ssim", the structural similarity of maps that are divided by their
            largest |R|. Either is NaN where a map is constant: all of its positions have one rank.
        absolute: Whether |R| is compared.
    """
    units = Units.of(judged.inputs, judged.names, size=1)
    mine, theirs = units.positions(judged.relevance), units.positions(others)
    if kind == "ssim" and (len(mine) > 1 or judged.inputs[0].ndim < 3 or min(mine[0].shape[1:]) < 3):
        raise InputError(
            "the structural similarity is that of images or signals of at least 3 positions along every axis, of a "
            f"model with one input; got shapes {[array.shape for array in judged.inputs]}: take similarity='spearman'"
        )
    found = np.full(judged.samples, np.nan)
    for i in range(judged.samples):
        a, b = ([array[i] for array in maps] for maps in (mine, theirs))
        if absolute:
            a, b = [np.abs(array) for array in a], [np.abs(array) for array in b]
        found[i] = ssim(a[0], b[0]) if kind == "ssim" else spearman(_flat(a), _flat(b))
    return found


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation; NaN where either side is constant or holds NaN."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()) or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    try:
        from scipy import stats
    except ImportError as error:
        raise not_importable("rank correlations need SciPy", "metrics", error) from error
    return float(stats.spearmanr(a, b).statistic)


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """The structural similarity of two maps, each divided by its largest |R|; NaN where either is constant.

    Source: Wang et al. 2004, "Image Quality Assessment: From Error Visibility to Structural Similarity"; computed by
    scikit-image, over windows of 7 positions or fewer.
    """
    if not (np.isfinite(a).all() and np.isfinite(b).all()) or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise not_importable("the structural similarity needs scikit-image", "metrics", error) from error
    window = min(7, *(side - 1 + side % 2 for side in a.shape))  # odd, as it must be
    scaled = (x / np.abs(x).max() for x in (a, b))
    return float(structural_similarity(*scaled, win_size=window, data_range=2.0))


def _flat(maps: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([array.ravel() for array in maps])
