"""Linear imputation: removed values as the weighted mean of their neighbours."""

from __future__ import annotations

import itertools

import numpy as np

from kerasexplain.foundation.errors import not_importable
from kerasexplain.metrics.units import channel_axis


def imputed(x: np.ndarray, noise: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """One sample with its removed values imputed.

    Args:
        x: The sample.
        noise: What is added to each imputed value, shaped like x.
        removed: Truth values, shaped like x; channels are removed together.
    """
    axis = channel_axis(x.ndim + 1)
    assert axis is not None
    values, gone = np.moveaxis(x, axis - 1, -1), np.moveaxis(removed, axis - 1, -1)[..., 0]
    if not gone.any():
        return x
    solved = values.astype("float64")
    solved[gone] = values.mean(axis=tuple(range(gone.ndim))) if gone.all() else _solved(solved, gone)
    return np.where(removed, np.moveaxis(solved, -1, axis - 1) + noise, x).astype(x.dtype)


def _solved(values: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """The imputed values, `(removed positions, channels)`: the solution of `(1 - W_gone) x = W_kept values`."""
    try:
        from scipy import sparse
        from scipy.sparse.linalg import spsolve
    except ImportError as error:
        raise not_importable("the fill 'neighbours' needs SciPy", "metrics", error) from error
    number = np.full(gone.shape, -1)
    number[gone] = np.arange(gone.sum())
    places = np.argwhere(gone)
    count, sides = len(places), np.array(gone.shape)
    total, known = np.zeros(count), np.zeros((count, values.shape[-1]))
    rows, columns, weights = [], [], []
    for offset in itertools.product((-1, 0, 1), repeat=gone.ndim):
        distance = sum(map(abs, offset))
        if not distance:
            continue
        weight = 2.0 ** (1 - distance)  # in an image 1/6 and 1/12, once they are made to sum to 1
        neighbours = places + np.array(offset)
        inside = np.flatnonzero(((neighbours >= 0) & (neighbours < sides)).all(axis=1))
        at = tuple(neighbours[inside].T)
        total[inside] += weight
        unknown = number[at] >= 0
        rows.append(inside[unknown])
        columns.append(number[at][unknown])
        weights.append(np.full(unknown.sum(), -weight))
        known[inside[~unknown]] += weight * values[at][~unknown]
    diagonal = np.arange(count)
    entries = np.concatenate([total, *weights])
    where = (np.concatenate([diagonal, *rows]), np.concatenate([diagonal, *columns]))
    matrix = sparse.csc_matrix((entries, where), shape=(count, count))
    return np.asarray(spsolve(matrix, known)).reshape(count, -1)
