"""A number that says whether a model looks where it should."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

from kerasexplain.analyzer import Analyzer
from kerasexplain.callbacks.watcher import Watcher
from kerasexplain.foundation.checks import check_choice


@dataclasses.dataclass(eq=False, repr=False)
class EarlyWarning(Watcher):
    """Measures the share of relevance inside a mask, the object against the background, as one of Keras' `logs`.

    `logs[name]` is the mean over the samples of `sum(|R| inside) / sum(|R|)`, from 0 to 1; samples without relevance do
    not count, and it is NaN where there is no relevance at all. `EarlyStopping`, `ModelCheckpoint` and Keras' own
    `TensorBoard` can use it like a metric, if they come later in the list of callbacks; the history has it, too.
    Between two events it keeps its value.

    Args:
        analyzer, data, targets, every_n_epochs: As for `RelevanceLogger`, but one analyzer.
        mask: True (or 1) inside, shaped like the samples, without the channels or with one: one for each sample, or one
            for all.
        name: Under which the share is found in `logs`.
        of: "absolute" for |R|; "positive" for what speaks for the explained output, max(R, 0).
        max_samples: How many samples are looked at, at most.

    Raises:
        ValueError: As for `RelevanceLogger`; or the mask does not fit the samples, or is empty.

    Example:
        >>> warning = EarlyWarning("lrp.epsilon_plus", data=(x_val, y_val), mask=masks)
        >>> stop = keras.callbacks.EarlyStopping("relevance_inside", mode="max", patience=3)
        >>> model.fit(x, y, callbacks=[warning, stop])
    """

    _: dataclasses.KW_ONLY
    mask: dataclasses.InitVar[Any]
    name: str = "relevance_inside"
    of: str = "absolute"
    max_samples: int | None = 64

    def __post_init__(self, data: Any, mask: Any) -> None:  # type: ignore[override]
        super().__post_init__(data)
        check_choice("of", self.of, ("absolute", "positive"))
        if len(self._given) != 1:
            raise ValueError(f"one analyzer gives the warning, got {list(self._given)}")
        if isinstance(self._samples.x, (dict, list, tuple)):
            raise ValueError("the mask belongs to one input, but the data have several")
        self._mask = _fitting(mask, np.shape(self._samples.x))
        self._share: float | None = None

    def begin(self) -> None:
        """Forgets what was measured in another training."""
        self._share = None

    def on_test_end(self, logs: Any = None) -> None:
        """Nothing: the share is one of the logs of an epoch."""

    on_predict_end = on_test_end

    def look(self, label: str, analyzer: Analyzer, targets: Any, step: int, prefix: str) -> None:
        self._share = float("nan")  # unless a number is found
        relevance = np.asarray(analyzer.analyze(self._samples.x, targets), dtype=np.float64)
        strength = np.abs(relevance) if self.of == "absolute" else np.maximum(relevance, 0)
        self._share = share_inside(strength, self._mask)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """An event, if it is time, or the first epoch, and the number for Keras."""
        super().on_epoch_end(epoch, logs)
        if self._share is None:  # training begins between two events
            self._event(epoch, "")
        if logs is not None and self._share is not None:
            logs[self.name] = self._share


def share_inside(strength: np.ndarray, mask: np.ndarray) -> float:
    """The mean share of what is inside; NaN where there is nothing anywhere."""
    axes = tuple(range(1, strength.ndim))
    inside, total = (strength * mask).sum(axis=axes), strength.sum(axis=axes)
    return float(np.mean(inside[total > 0] / total[total > 0])) if (total > 0).any() else float("nan")


def _fitting(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The mask with all axes of the samples, of which some may be 1."""
    values = np.asarray(mask)
    if not ((values == 0) | (values == 1)).all():
        raise ValueError("the mask must be True (or 1) inside and False (or 0) outside")
    rank, channels = len(shape), {0, len(shape) - 1, 1 if keras.config.image_data_format() == "channels_first" else 0}
    for axes in ((), (0,), (-1,), (0, rank - 1), (1,), (0, 1)):  # which of batch and channels the mask may lack
        if values.ndim + len(axes) != rank:
            continue
        tried = np.expand_dims(values, axes)[: shape[0]]
        if all(a == b or (a == 1 and i in channels) for i, (a, b) in enumerate(zip(tried.shape, shape, strict=True))):
            if not tried.any():
                raise ValueError("the mask is empty: nothing is inside")
            return np.asarray(tried, dtype=np.float64)
    raise ValueError(f"the mask has shape {values.shape}, which does not fit the samples, {shape}")
