"""Fills: what stands in place of the parts of a sample that are removed.

What a map is worth depends on the fill: one that the model has never seen is an argument of its own. More than one
should agree before a map is believed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from kerasexplain.foundation.checks import check_nonnegative
from kerasexplain.foundation.config import Configurable, saved
from kerasexplain.foundation.errors import InputError, nearest, not_importable
from kerasexplain.metrics.imputation import imputed
from kerasexplain.metrics.units import pooled_axes, position_axes
from kerasexplain.runtime.inputs import check_integers


class Fill(Configurable):
    """The base of fills.

    Attributes:
        needs_background: Whether it is made of other samples.
        takes_integers: Whether it can stand in for ids.
    """

    needs_background: ClassVar[bool] = False
    takes_integers: ClassVar[bool] = False

    def cover(self, x: np.ndarray, background: np.ndarray | None, generators: Callable[[int], Any]) -> np.ndarray:
        """The values to fill in, for all parts of each sample, shaped like x.

        Args:
            x: Samples.
            background: Other samples; None where the fill needs none.
            generators: Gives, by the position of a sample in x, its own random generator.
        """
        raise NotImplementedError

    def changed(self, x: np.ndarray, cover: np.ndarray, removed: np.ndarray) -> np.ndarray:
        """The samples without what is removed.

        Args:
            x: Samples.
            cover: From `cover`, for these samples.
            removed: Truth values for each sample, that broadcast to it.
        """
        without = np.array(x)
        for one, covered, of_one in zip(without, cover, removed, strict=True):  # a sample fits into a cache
            np.copyto(one, covered, where=of_one)
        return without


@saved
class Constant(Fill):
    """A value, or an array that fits one sample: 0, the lowest colour, the id of a mask token.

    Args:
        value: The number or the array.
    """

    takes_integers: ClassVar[bool] = True

    value: Any = 0.0

    def __post_init__(self) -> None:
        if np.asarray(self.value).dtype.kind not in "biuf" or not np.isfinite(self.value).all():
            raise ValueError(f"a fill is a finite number or an array of them, got {self.value!r}")

    def cover(self, x: np.ndarray, background: np.ndarray | None, generators: Callable[[int], Any]) -> np.ndarray:
        if x.dtype.kind in "iu":
            check_integers(np.asarray(self.value), str(x.dtype), "the fill")
        try:
            one = np.broadcast_to(np.asarray(self.value).astype(x.dtype), x.shape[1:])
            return np.broadcast_to(one, x.shape)
        except ValueError:
            raise InputError(f"fill has shape {np.shape(self.value)}, which does not fit {x.shape[1:]}") from None


@saved
class Uniform(Fill):
    """Uniform noise between the least and the greatest value that the channel, or the feature, has in the data.

    Args:
        low, high: Instead of these: numbers, or one for each channel.

    Source: Samek et al. 2016, "Evaluating the Visualization of What a Deep Neural Network Has Learned", section III.
    """

    low: Any = None
    high: Any = None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high of Uniform go together")
        if self.low is not None and not np.all(np.asarray(self.low) <= np.asarray(self.high)):
            raise ValueError(f"low of Uniform must not be above high, got {self.low!r} and {self.high!r}")

    @property
    def needs_background(self) -> bool:  # type: ignore[override]
        return self.low is None

    def cover(self, x: np.ndarray, background: np.ndarray | None, generators: Callable[[int], Any]) -> np.ndarray:
        low, high = self.low, self.high
        if low is None:
            assert background is not None
            _check_varied(background, "uniform")
            axes = pooled_axes(background.ndim)
            low, high = background.min(axis=axes, keepdims=True)[0], background.max(axis=axes, keepdims=True)[0]
        noise = np.stack([generators(i).random(x.shape[1:]) for i in range(len(x))])
        return (low + (np.asarray(high, "float64") - low) * noise).astype(x.dtype)


@saved
class Low(Fill):
    """The least value that the channel, or the feature, has in the data: black, in most images."""

    needs_background: ClassVar[bool] = True

    def cover(self, x: np.ndarray, background: np.ndarray | None, generators: Callable[[int], Any]) -> np.ndarray:
        assert background is not None
        _check_varied(background, "low")
        return np.broadcast_to(background.min(axis=pooled_axes(background.ndim), keepdims=True), x.shape).astype(
            x.dtype
        )


@saved
class Mean(Fill):
    """The mean of the channel, or of the feature, over the data."""

    needs_background: ClassVar[bool] = True

    def cover(self, x: np.ndarray, background: np.ndarray | None, generators: Callable[[int], Any]) -> np.ndarray:
        assert background is not None
        _check_varied(background, "mean")
        mean = background.mean(axis=pooled_axes(background.ndim), keepdims=True, dtype="float64")
        return np.broadcast_to(mean.astype(x.dtype), x.shape)


@saved
class OwnMean(Fill):
    """The mean of the channel over the sample itself. Tables have none: their features are no values of one kind."""

    def cover(self, x: np.ndarray, background: np.ndarray | None, generators: Callable[[int], Any]) -> np.ndarray:
        mean = x.mean(axis=_positions(x, "own_mean"), keepdims=True, dtype="float64")
        return np.broadcast_to(mean.astype(x.dtype), x.shape)


@saved
class Blur(Fill):
    """The sample itself under a Gaussian, with its edges repeated.

    Args:
        sigma: Standard deviation in positions; None: a tenth of the longest side.

    Source: Fong and Vedaldi 2017, "Interpretable Explanations of Black Boxes by Meaningful Perturbation", section 4.2.
    """

    sigma: float | None = None

    def __post_init__(self) -> None:
        check_nonnegative("sigma", self.sigma)

    def cover(self, x: np.ndarray, background: np.ndarray | None, generators: Callable[[int], Any]) -> np.ndarray:
        axes = _positions(x, "blur")
        try:
            from scipy import ndimage
        except ImportError as error:
            raise not_importable("the fill 'blur' needs SciPy", "metrics", error) from error
        sigma = max(1.0, 0.1 * max(x.shape[axis] for axis in axes)) if self.sigma is None else self.sigma
        return ndimage.gaussian_filter(x.astype("float64"), sigma, mode="nearest", axes=axes).astype(x.dtype)


@saved
class Other(Fill):
    """The values that another sample of the data has at the same positions; drawn for each sample.

    For ids as for real numbers: what comes in is of the data, and nothing else.
    """

    needs_background: ClassVar[bool] = True
    takes_integers: ClassVar[bool] = True

    def cover(self, x: np.ndarray, background: np.ndarray | None, generators: Callable[[int], Any]) -> np.ndarray:
        assert background is not None
        if background.shape[1:] != x.shape[1:]:
            raise InputError(
                f"the fill 'other' needs other samples of the same size, {x.shape[1:]}; got {background.shape[1:]}"
            )
        return np.stack([self._another(sample, background, generators(i)) for i, sample in enumerate(x)])

    @staticmethod
    def _another(sample: np.ndarray, background: np.ndarray, generator: Any) -> np.ndarray:
        for i in generator.permutation(len(background)):
            another = np.asarray(background[i], sample.dtype)  # as the model gets it: rounded, it may be the same
            if not np.array_equal(another, sample):
                return another
        raise InputError("the fill 'other' needs a sample that differs from the one it stands in for: pass background=")


@saved
class Neighbours(Fill):
    """Noisy linear imputation: every removed value is the weighted mean of its neighbours, removed or not, plus noise.

    `x_i = sum_j w_ij x_j`, solved for all removed positions at once; w is 1/6 for direct and 1/12 for diagonal
    neighbours of an image, and at its edges those that there are share the weight.

    Args:
        noise: Standard deviation of the noise, as a share of the sample's range.

    Source: Rong et al. 2022, "A Consistent and Efficient Evaluation Strategy for Attribution Methods" (ROAD), section
    4.
    """

    noise: float = 0.01

    def __post_init__(self) -> None:
        check_nonnegative("noise", self.noise)

    def cover(self, x: np.ndarray, background: np.ndarray | None, generators: Callable[[int], Any]) -> np.ndarray:
        _positions(x, "neighbours")
        noise = [
            self.noise * np.ptp(sample) * generators(i).standard_normal(sample.shape) for i, sample in enumerate(x)
        ]
        return np.stack(noise).astype(x.dtype)

    def changed(self, x: np.ndarray, cover: np.ndarray, removed: np.ndarray) -> np.ndarray:
        return np.stack([imputed(*each) for each in zip(x, cover, np.broadcast_to(removed, x.shape), strict=True)])


@saved
class Delete(Fill):
    """Deletion of tokens: the rest moves up, and the end is filled with padding.

    Args:
        padding: The id of padding.
    """

    takes_integers: ClassVar[bool] = True

    padding: int = 0

    def cover(self, x: np.ndarray, background: np.ndarray | None, generators: Callable[[int], Any]) -> np.ndarray:
        if x.ndim != 2:
            raise InputError(f"Delete takes sequences of ids, (samples, length), got shape {x.shape}")
        check_integers(x, "int64", "what Delete takes")
        check_integers(np.asarray(self.padding), str(x.dtype) if x.dtype.kind in "iu" else "int64", "the padding")
        return np.full_like(x, self.padding)

    def changed(self, x: np.ndarray, cover: np.ndarray, removed: np.ndarray) -> np.ndarray:
        # A stable sort by "removed" brings what is kept to the front, in its order.
        order = np.argsort(np.broadcast_to(removed, x.shape), axis=1, kind="stable")
        moved = np.take_along_axis(x, order, axis=1)
        kept = x.shape[1] - np.broadcast_to(removed, x.shape).sum(axis=1, keepdims=True)
        return np.where(np.arange(x.shape[1]) < kept, moved, cover)


#: Fills by name.
BY_NAME: dict[str, type[Fill]] = {
    "uniform": Uniform,
    "low": Low,
    "mean": Mean,
    "own_mean": OwnMean,
    "blur": Blur,
    "neighbours": Neighbours,
    "other": Other,
}


def get(given: Any) -> Fill:
    """A fill from itself, its name, a number, or an array that fits one sample.

    Raises:
        ValueError: It is none of these.
    """
    if isinstance(given, Fill):
        return given
    if isinstance(given, str):
        if given not in BY_NAME:
            raise ValueError(f"there is no fill {given!r}.{nearest(given, BY_NAME)} A number or an array is one, too.")
        return BY_NAME[given]()
    return Constant(given)


def check_fill(fill: Fill, x: np.ndarray, name: str, ids: bool) -> None:
    """Raises InputError if a fill cannot stand in for values of an input.

    Args:
        fill: The fill.
        x: The input.
        name: Of the input.
        ids: Whether it holds ids.
    """
    if not ids:
        return
    if not fill.takes_integers:
        what = f"ids ({x.dtype}), which are looked up" if x.dtype.kind == "f" else f"integers ({x.dtype})"
        raise InputError(
            f"the model's input {name!r} holds {what}, and {fill!r} cannot stand in for them: pass the id "
            "of a mask or padding token as fill=, such as fill=0, or fills.Delete(padding=0), or fill='other'"
        )
    if isinstance(fill, Constant):
        check_integers(np.asarray(fill.value), "int64" if x.dtype.kind == "f" else str(x.dtype), "the fill")


def _positions(x: np.ndarray, name: str) -> tuple[int, ...]:
    if x.ndim < 3:
        raise InputError(
            f"the fill {name!r} is for images and signals, whose positions have neighbours; the input's shape is "
            f"{x.shape}: take 'mean', 'uniform' or 'other'"
        )
    return position_axes(x.ndim)


def _check_varied(background: np.ndarray, name: str) -> None:
    """Raises InputError where every row of a table is the same: removing anything would change nothing."""
    if background.ndim < 3 and (background == background[:1]).all():
        rows = "is a single row" if len(background) == 1 else f"are {len(background)} rows, all alike"
        raise InputError(
            f"the fill {name!r} is made of the values that the features have in other samples, and there {rows}: "
            "pass background=, or a number as fill="
        )
