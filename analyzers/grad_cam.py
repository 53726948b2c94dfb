"""Class activation maps: where a late layer has evidence."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from keras import ops

from kerasexplain.compiler.rows import row_named
from kerasexplain.foundation.errors import InputError, UnsupportedModelError
from kerasexplain.graph.maximum import Maximum
from kerasexplain.graph.positions import at_positions
from kerasexplain.graph.primitives import Pooling, Routing
from kerasexplain.graph.taps import Tap
from kerasexplain.runtime.method import Method

if TYPE_CHECKING:
    from kerasexplain.compiler.pipeline import Pipeline
    from kerasexplain.compiler.question import Answer
    from kerasexplain.graph.graph import Node
    from kerasexplain.runtime.passes import Passes

Tensor = Any


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ActivationMap(Method):
    """The base of methods that weigh the activations A of one layer: `max(sum_c w_c A_c, 0)`.

    Args:
        layer: Name of the operation; None for the last one whose axes are known to be positions in the input, before
            pooling: a convolution, or what acts on every position alike behind one. `print(analyzer)` says which.
    """

    default_start: ClassVar[str] = "one"
    takes_conditions: ClassVar[bool] = False  # the gradient that it takes has not passed the layer's channels yet

    layer: str | None = None

    def weights(self, A: Tensor, g: Tensor) -> Tensor:
        """w, broadcastable to the activations A, given the gradient g there."""
        raise NotImplementedError

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        if len(x.shape) < 3:
            return x * q
        return ops.relu(ops.sum(self.weights(x, q) * x, axis=-1, keepdims=True))

    def check(self, maps: np.ndarray, layer: str) -> None:
        """Raises InputError where the maps of a layer have no meaning; they always have one by default."""

    def notes(self, pipeline: Pipeline) -> tuple[str, ...]:
        return (f"the map is that of {self._node(pipeline).name}",)

    def answer(self, passes: Passes) -> Answer:
        tap = Tap("output", self._node(passes.pipelines.first).name)
        taps = tuple(dict.fromkeys([*passes.question.taps, tap]))
        question = dataclasses.replace(passes.question, taps=taps, inputs=False)
        answer = super().answer(dataclasses.replace(passes, question=question))
        for read, found in zip(taps, answer.taps, strict=True):
            self.check(found, read.node)
        small = answer.taps[taps.index(tap)]
        relevance = [_enlarged(small, x.shape) for x in passes.inputs]
        return dataclasses.replace(answer, relevance=relevance, taps=answer.taps[: len(passes.question.taps)])

    def _node(self, pipeline: Pipeline) -> Node:
        nodes = [row.node for row in pipeline.rows]
        ranks = {len(value.shape) for value in pipeline.graph.inputs}
        if len(ranks) > 1 or min(ranks) < 3:
            raise UnsupportedModelError(f"{self.name!r} needs an input with positions and channels, or several alike")
        spatial = at_positions(nodes, pipeline.graph.inputs)
        if self.layer is not None:
            found = [row_named(pipeline.rows, self.layer).node]
        else:
            # What pools or moves values only repeats what the operation before it has found, more coarsely.
            found = [node for node in nodes if node.outputs[0] in spatial and not _passes_on(node)]
        if not found or found[-1].outputs[0] not in spatial:
            what = f"{found[-1].name!r} ({found[-1].type}) has none" if found else "this model has none"
            raise UnsupportedModelError(
                f"{self.name!r} needs a layer whose axes are known to be positions in the input: a convolution, a "
                "pooling or what acts on every position alike, with nothing in front that moves positions; "
                f"{what}. Heads, channels and tokens are no positions: name another layer, layer=, cut off in front of "
                "the model what crops, flips, pads or transposes, or take another analyzer"
            )
        if any(getattr(node.operation, "data_format", None) == "channels_first" for node in nodes):
            raise UnsupportedModelError(f"{self.name!r} needs channels in the last axis; this model has them first")
        return found[-1]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GradCAM(ActivationMap):
    """The evidence that a late layer has: `max(sum_c w_c A_c, 0)` with `w_c` the mean over positions of `dy / dA_c`.

    A is the output of one layer, channel by channel. The map, as small as that layer's, is enlarged to the size of the
    input by bilinear interpolation and shared equally by its channels, so that their sum is the map.
    `explain(x, layers=[name])` gives the map of any layer in its own size.

    Use it: for a coarse answer to "where in the image", from any convolutional network.

    Not for: single pixels; evidence against, which is cut off.

    Args:
        layer: Name of the operation; None for the last one whose axes are known to be positions in the input, before
            pooling: a convolution, or what acts on every position alike behind one. `print(analyzer)` says which.

    Source: Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-Based Localization".
    """

    name: ClassVar[str] = "grad_cam"

    def weights(self, A: Tensor, g: Tensor) -> Tensor:
        # Not ops.mean: on JAX that of Keras is in single precision.
        positions = ops.cast(math.prod(ops.shape(A)[axis] for axis in _axes(A)), g.dtype)
        return ops.sum(g, axis=_axes(A), keepdims=True) / positions


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GradCAMPlusPlus(ActivationMap):
    """Grad-CAM in which every instance counts: `max(sum_c w_c A_c, 0)` with `w_c = sum_ij a_ij max(g_ij, 0)`.

    g is `dy / dA_c` at a position, and `a_ij = 1 / (2 + g_ij sum_kl A_kl)`: the paper's
    `g^2 / (2 g^2 + g^3 sum A)` without the common factor. Its factor `exp(y)`, the same everywhere in a map, is left
    out. The map is enlarged as that of `grad_cam` is.

    Use it: as `grad_cam`, where the object is there several times, or is to be covered as a whole.

    Not for: comparing amounts between samples or outputs: w is not proportional to the gradient. Layers whose output is
    negative in sum, where `2 + g sum A` may not be positive and a has no meaning: that is refused when it occurs.

    Args:
        layer: As for `grad_cam`.

    Source: Chattopadhay et al. 2018, "Grad-CAM++: Generalized Gradient-Based Visual Explanations for Deep
    Convolutional Networks", section 3.2, eq. 19.
    """

    name: ClassVar[str] = "grad_cam_plus_plus"

    def weights(self, A: Tensor, g: Tensor) -> Tensor:
        denominators = 2.0 + g * ops.sum(A, axis=_axes(A), keepdims=True)
        parts = g / ops.where(denominators > 0, denominators, denominators * math.nan)
        return ops.sum(ops.where(g > 0, parts, ops.zeros_like(g)), axis=_axes(A), keepdims=True)

    def check(self, maps: np.ndarray, layer: str) -> None:
        if np.isnan(maps).any():
            raise InputError(
                f"Grad-CAM++ is for layers whose output is not negative, such as that of a ReLU: at {layer!r} "
                "`2 + g sum A` is not positive. Name another layer, or take grad_cam or layer_cam"
            )


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LayerCAM(ActivationMap):
    """The evidence of a layer, position by position: `max(sum_c max(g_c, 0) A_c, 0)`, g the gradient `dy / dA_c`.

    Every position has a weight of its own, and not one for the whole channel as in `grad_cam`. The map is enlarged as
    that is.

    Use it: for maps of early layers, `layer=`, which are as fine as these and where the weights of `grad_cam` mean
    little; `explain(x, layers=[...])` gives those of many layers at once.

    Not for: evidence against, which is cut off; sums, which mean nothing.

    Args:
        layer: As for `grad_cam`.

    Source: Jiang et al. 2021, "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", section III-B.
    """

    name: ClassVar[str] = "layer_cam"

    def weights(self, A: Tensor, g: Tensor) -> Tensor:
        return ops.relu(g)


def _axes(A: Tensor) -> tuple[int, ...]:
    """The axes of positions."""
    return tuple(range(1, len(A.shape) - 1))


def _passes_on(node: Node) -> bool:
    return isinstance(node.primitive, (Maximum, Pooling, Routing))


def _enlarged(small: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Maps in the size of the input, shared equally by its channels."""
    large = small.astype("float64")
    for axis in range(1, len(shape) - 1):
        large = np.moveaxis(np.tensordot(_interpolation(shape[axis], small.shape[axis]), large, (1, axis)), 0, axis)
    return np.broadcast_to(large / shape[-1], shape).astype(small.dtype)


def _interpolation(size: int, known: int) -> np.ndarray:
    """Linear interpolation of `known` values to `size`, as a matrix. Keras' own resizing is in single precision."""
    at = np.clip((np.arange(size) + 0.5) * known / size - 0.5, 0, known - 1)  # centres of pixels
    below = np.minimum(np.floor(at).astype(int), max(known - 2, 0))
    matrix = np.zeros((size, known))
    matrix[np.arange(size), below] = 1.0 - (at - below)
    matrix[np.arange(size), np.minimum(below + 1, known - 1)] += at - below
    return matrix
