"""Occlusion: what the output loses when a part of the input is covered."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kerasexplain.foundation.checks import check_count
from kerasexplain.foundation.errors import InputError
from kerasexplain.runtime.inputs import check_integers
from kerasexplain.runtime.method import Method

if TYPE_CHECKING:
    from kerasexplain.compiler.question import Answer
    from kerasexplain.runtime.passes import Passes

#: Standard deviation of the blur, as a share of the longest side.
BLUR = 0.1


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Occlusion(Method):
    """`y(x) - y(x with a window covered)`, for windows all over the input; a position gets the mean of its windows.

    The windows run over all axes but the last (the channels), or over the only one. All copies of a sample run in full
    batches. Of several inputs one at a time is covered. Integers, such as token ids, can be covered by another.

    Use it: as an explanation that needs no gradients and is what it says: has the model seen the cat, or the litter box
    beside it? Cover one of them.

    Not for: details smaller than the window; effects of two parts together.

    Args:
        window: Size of the window: one number, or one for each axis. None: an eighth of each side, at least 1.
        stride: How far the window moves: one number, or one for each axis. None: the window's size.
        regions: Instead of windows, an integer for each position, shaped like a sample without its channels: what
            has the same number is covered at once.
        fill: What covers: a number; an array that fits one sample; "mean", of the sample per channel; or "blur", the
            sample itself, blurred.

    Source: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 4.2.
    """

    name: ClassVar[str] = "occlusion"
    default_start: ClassVar[str] = "one"
    explains_layers: ClassVar[bool] = False
    legal_starts: ClassVar[tuple[str | None, ...]] = (None,)
    takes_start_array: ClassVar[bool] = False

    window: Any = None
    stride: Any = None
    regions: Any = None
    fill: Any = 0.0

    def __post_init__(self) -> None:
        for option in ("window", "stride"):
            value = getattr(self, option)
            for size in value if isinstance(value, (list, tuple)) else [] if value is None else [value]:
                check_count(option, size)
        if self.regions is not None and (self.window is not None or self.stride is not None):
            raise ValueError("regions take the place of window and stride: give one or the other")
        named = isinstance(self.fill, str) and self.fill in ("mean", "blur")
        if not named and (np.asarray(self.fill).dtype.kind not in "biuf" or not np.isfinite(self.fill).all()):
            raise ValueError(f"fill must be a finite number, an array of them, 'mean' or 'blur', got {self.fill!r}")

    def answer(self, passes: Passes) -> Answer:
        passes, told = passes.fixed()
        windows = [self._windows(x.shape[1:]) for x in passes.inputs]
        covers = [self._cover(x) for x in passes.inputs]
        # Copies are counted through the windows of all inputs, one input after the other.
        places = [(i, window) for i, found in enumerate(windows) for window in found]

        def make(rows: np.ndarray, copies: np.ndarray) -> list[np.ndarray]:
            inputs = [x[rows] for x in passes.inputs]  # indexing copies
            for at, (row, copy) in enumerate(zip(rows.tolist(), copies.tolist(), strict=True)):
                i, window = places[copy]
                inputs[i][at][window] = covers[i][row][window]
            return inputs

        total = [np.zeros(x.shape) for x in passes.inputs]
        covered = [np.zeros(x.shape[1:]) for x in passes.inputs]
        for i, window in places:
            covered[i][window] += 1
        for rows, copies, answer in passes.copies(len(places), make, relevance=False):
            for row, copy, value in zip(rows.tolist(), copies.tolist(), answer.explained, strict=True):
                i, window = places[copy]
                total[i][row][window] += told.explained[row] - value
        dtype = told.explained.dtype
        parts = zip(total, covered, strict=True)
        # Per window, not per value in it: the sum over a window's values would otherwise count it many times.
        return dataclasses.replace(told, relevance=[(t / np.maximum(c, 1)).astype(dtype) for t, c in parts])

    def _windows(self, shape: tuple[int, ...]) -> list[Any]:
        """The indices of all windows of a sample of that shape; the last window of an axis ends where the axis ends."""
        if not shape:
            raise InputError("a sample of the input is a single number: there is nothing to cover a part of")
        sides = shape[:-1] if len(shape) > 1 else shape
        if self.regions is not None:
            regions = np.asarray(self.regions)
            if regions.shape != sides or regions.dtype.kind not in "iu":
                raise InputError(
                    f"regions must be integers of shape {sides}, got {regions.dtype} of shape {regions.shape}"
                )
            return [regions == number for number in np.unique(regions)]
        sizes = self._each("window", self.window, [max(1, side // 8) for side in sides])
        strides = self._each("stride", self.stride, sizes)
        for size, side in zip(sizes, sides, strict=True):
            if size > side:
                raise InputError(f"the window {sizes} is larger than the input, {shape}")
        starts = [
            sorted({*range(0, side - size + 1, stride), side - size})
            for side, size, stride in zip(sides, sizes, strides, strict=True)
        ]
        return [
            tuple(slice(start, start + size) for start, size in zip(corner, sizes, strict=True))
            for corner in itertools.product(*starts)
        ]

    @staticmethod
    def _each(option: str, value: Any, default: list[int]) -> list[int]:
        if value is None:
            return default
        sizes = list(value) if isinstance(value, (list, tuple)) else [value] * len(default)
        if len(sizes) != len(default):
            raise InputError(f"{option} must be a number, or one for each of the {len(default)} axes; got {value!r}")
        return sizes

    def _cover(self, x: np.ndarray) -> np.ndarray:
        """The values that cover each sample, shaped like x."""
        if x.dtype.kind in "iu":
            if isinstance(self.fill, str):
                raise InputError(f"fill must be an integer, as the input is, got {self.fill!r}")
            check_integers(np.asarray(self.fill), str(x.dtype), "fill")
        axes = tuple(range(1, max(x.ndim - 1, 2)))
        by_name: dict[str, Callable[[], np.ndarray]] = {
            "mean": lambda: np.broadcast_to(x.mean(axis=axes, keepdims=True), x.shape),
            "blur": lambda: _blurred(x, axes),
        }
        if isinstance(self.fill, str):
            return by_name[self.fill]()
        try:
            return np.broadcast_to(np.asarray(self.fill).astype(x.dtype), x.shape)
        except ValueError:
            raise InputError(f"fill has shape {np.shape(self.fill)}, which does not fit {x.shape[1:]}") from None


def _blurred(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """x under a Gaussian, with edges repeated."""
    sigma = max(1.0, BLUR * max(x.shape[axis] for axis in axes))
    reach = int(3 * sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in axes:
        padded = np.pad(x, [(reach, reach) if i == axis else (0, 0) for i in range(x.ndim)], mode="edge")
        shifted = (np.take(padded, range(k, k + x.shape[axis]), axis=axis) * w for k, w in enumerate(weights))
        x = sum(shifted)
    return x
