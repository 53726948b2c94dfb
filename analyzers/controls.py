"""Controls that an explanation is to be compared with: the input itself, its edges, and noise."""

from __future__ import annotations

import dataclasses
import zlib
from typing import TYPE_CHECKING, ClassVar

import keras
import numpy as np

from kerasexplain.foundation.checks import check_nonnegative, check_seed
from kerasexplain.foundation.errors import InputError
from kerasexplain.runtime.method import Method

if TYPE_CHECKING:
    from kerasexplain.compiler.question import Answer
    from kerasexplain.runtime.passes import Passes


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Input(Method):
    """The input itself: `R_i = x_i`.

    Use it: beside other maps, to see how much of them is the image and how little the model.

    Not for: explaining anything.

    Source: the control of Adebayo et al. 2018, "Sanity Checks for Saliency Maps".
    """

    name: ClassVar[str] = "input"
    explains_layers: ClassVar[bool] = False
    legal_starts: ClassVar[tuple[str | None, ...]] = (None,)
    takes_start_array: ClassVar[bool] = False

    def answer(self, passes: Passes) -> Answer:
        told = passes.values()
        return dataclasses.replace(told, relevance=[x.astype(told.explained.dtype) for x in passes.inputs])


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Edges(Method):
    """The edges of the input, whatever the model: `R = sqrt( sum_axis (dx / d axis)^2 )`.

    The derivative along each axis of positions is that of central differences; the last axis is the channels', and of
    images the first one where Keras is set to channels first.

    Use it: as the control of a metric: an explanation that is no better than this one shows the image, not the model.

    Not for: explaining anything; tables and ids, whose neighbours have no edges between them.

    Source: the control of Adebayo et al. 2018, "Sanity Checks for Saliency Maps".
    """

    name: ClassVar[str] = "edges"
    explains_layers: ClassVar[bool] = False
    legal_starts: ClassVar[tuple[str | None, ...]] = (None,)
    takes_start_array: ClassVar[bool] = False

    def answer(self, passes: Passes) -> Answer:
        told = passes.values()
        return dataclasses.replace(told, relevance=[self._of(x).astype(told.explained.dtype) for x in passes.inputs])

    @staticmethod
    def _of(x: np.ndarray) -> np.ndarray:
        first = int(x.ndim > 3 and keras.config.image_data_format() == "channels_first")
        # Of one position, there is no difference.
        axes = [axis for axis in range(1 + first, x.ndim - 1 + first) if x.shape[axis] > 1]
        if not axes or x.dtype.kind in "iu":
            raise InputError(f"edges are those of images and signals, got {x.dtype} of shape {x.shape}")
        slopes = [np.gradient(x.astype("float64"), axis=axis) for axis in axes]
        return np.asarray(np.sqrt(sum(slope**2 for slope in slopes)))


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Random(Method):
    """Normal noise: `R_i = stddev e_i`. The same sample gets the same noise, wherever it is in the batch.

    Use it: as the control of a metric: an explanation that is no better than this one explains nothing.

    Not for: explaining anything.

    Args:
        stddev: Of the noise.
        seed: Of the noise.

    Source: the random baseline of Samek et al. 2016, "Evaluating the Visualization of What a Deep Neural Network Has
    Learned".
    """

    name: ClassVar[str] = "random"
    explains_layers: ClassVar[bool] = False
    legal_starts: ClassVar[tuple[str | None, ...]] = (None,)
    takes_start_array: ClassVar[bool] = False

    stddev: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_nonnegative("stddev", self.stddev)
        check_seed(self.seed)

    def answer(self, passes: Passes) -> Answer:
        told = passes.values()
        noise = [np.stack([self._noise(sample, i) for sample in x]) for i, x in enumerate(passes.inputs)]
        return dataclasses.replace(told, relevance=[array.astype(told.explained.dtype) for array in noise])

    def _noise(self, sample: np.ndarray, number: int) -> np.ndarray:
        content = zlib.crc32(np.ascontiguousarray(sample).tobytes())
        return self.stddev * np.random.default_rng([self.seed, number, content]).standard_normal(sample.shape)
