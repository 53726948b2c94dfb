"""Metrics of robustness: a map should stay much the same while the input hardly changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from kerasexplain.foundation.checks import check_count, check_nonnegative, check_seed
from kerasexplain.foundation.config import saved_by_keyword
from kerasexplain.foundation.errors import InputError
from kerasexplain.metrics.judged import Judged, Result
from kerasexplain.metrics.metric import Metric
from kerasexplain.metrics.units import pooled_axes


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class _Robustness(Metric):
    """The base: the greatest of a ratio over random neighbours of each sample."""

    better: ClassVar[str] = "lower"
    explains_anew: ClassVar[bool] = True

    radius: float = 0.05
    runs: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        check_nonnegative("radius", self.radius)
        if not self.radius:
            raise ValueError("radius must be greater than 0: how far neighbours are drawn")
        check_count("runs", self.runs)
        check_seed(self.seed)

    def scores(self, judged: Judged) -> Result:
        judged.check_channels(f"{self.name!r}")
        for x, name, is_id in zip(judged.inputs, judged.names, judged.ids, strict=True):
            if is_id:
                what = "ids" if x.dtype.kind == "f" else "integers"
                raise InputError(f"the input {name!r} holds {what} ({x.dtype}), which have no near neighbours")
        greatest = np.zeros(judged.samples)
        for run in range(self.runs):
            noise = [self._noise(judged, x, i, run) for i, x in enumerate(judged.inputs)]
            near = [self._near(judged, x, n) for x, n in zip(judged.inputs, noise, strict=True)]
            changes = [a - b for a, b in zip(judged.explained_anew(near), judged.relevance, strict=True)]
            ratio = self._ratio(changes, [a - b for a, b in zip(near, judged.inputs, strict=True)], judged.relevance)
            greatest = np.maximum(greatest, ratio)  # which keeps NaN
        return Result(greatest)

    def _noise(self, judged: Judged, x: np.ndarray, number: int, run: int) -> np.ndarray:
        each = []
        for i, sample in enumerate(x):
            noise = judged.generator(self.seed, i, number, run).uniform(-self.radius, self.radius, sample.shape)
            each.append(noise * self._range(judged, sample, number))
        return np.stack(each)

    @staticmethod
    def _near(judged: Judged, x: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """A neighbour, within what has been promised of inputs."""
        assert judged.analyzer is not None  # `judge` has asked for one
        promised = judged.analyzer.options.input_range
        near = x + noise
        return (near if promised is None else np.clip(near, *promised)).astype(x.dtype)

    @staticmethod
    def _range(judged: Judged, sample: np.ndarray, number: int) -> Any:
        """The range of each channel or feature in the data; of the sample itself where the data are a stream."""
        if judged.background is None:
            return float(np.ptp(sample))
        background = judged.background[number]
        return np.ptp(background.astype("float64"), axis=pooled_axes(background.ndim), keepdims=True)[0]

    def _ratio(
        self, changes: Sequence[np.ndarray], moves: Sequence[np.ndarray], relevance: Sequence[np.ndarray]
    ) -> np.ndarray:
        raise NotImplementedError


@saved_by_keyword
class MaxSensitivity(_Robustness):
    """The greatest relative change of a map among random neighbours of the sample.

        score = max_e || R(x + e) - R(x) || / || R(x) ||,   e uniform within the radius

    Lower is better. The neuron stays the one that is explained for x. NaN for a map that is zero everywhere, and where
    the data have no range, such as a single row of a table: no neighbour differs then.

    Args:
        radius: The greatest change of a value, as a share of the range that its channel, or feature, has in the data;
            for a stream, in the sample.
        runs: Number of neighbours.
        seed: Of the neighbours.

    Source: Yeh et al. 2019, "On the (In)fidelity and Sensitivity of Explanations", definition 4.1, here relative to the
    size of the map so that methods can be compared.
    """

    name: ClassVar[str] = "max_sensitivity"

    def _ratio(
        self, changes: Sequence[np.ndarray], moves: Sequence[np.ndarray], relevance: Sequence[np.ndarray]
    ) -> np.ndarray:
        return np.where(_norm(moves) > 0, _divided(_norm(changes), _norm(relevance)), np.nan)


@saved_by_keyword
class LocalLipschitz(_Robustness):
    """The greatest change of a map per change of the input, among random neighbours of the sample.

        score = max_e || R(x + e) - R(x) || / || e ||,   e uniform within the radius

    An estimate of the local Lipschitz constant, from below. Lower is better; its unit is that of relevance per input.
    NaN where the data have no range at all.

    Args:
        radius: The greatest change of a value, as a share of the range that its channel, or feature, has in the data;
            for a stream, in the sample.
        runs: Number of neighbours.
        seed: Of the neighbours.

    Source: Alvarez-Melis and Jaakkola 2018, "On the Robustness of Interpretability Methods", section 3.
    """

    name: ClassVar[str] = "local_lipschitz"

    def _ratio(
        self, changes: Sequence[np.ndarray], moves: Sequence[np.ndarray], relevance: Sequence[np.ndarray]
    ) -> np.ndarray:
        return _divided(_norm(changes), _norm(moves))


def _norm(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The Euclidean norm over all inputs, per sample."""
    squares = sum((a.astype("float64") ** 2).reshape(len(a), -1).sum(axis=1) for a in arrays)
    return np.sqrt(np.asarray(squares))


def _divided(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=b > 0)
