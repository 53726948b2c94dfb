"""Grad-CAM."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import keras
import numpy as np
from keras import ops

from kerasexplain.compiler.rows import named
from kerasexplain.foundation.errors import UnsupportedModelError
from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.linear import Linear
from kerasexplain.graph.maximum import Maximum
from kerasexplain.graph.primitives import Affine, Mixing, Pooling, Product, Routing, Scale, Statistics
from kerasexplain.graph.taps import Tap
from kerasexplain.runtime.method import Method

if TYPE_CHECKING:
    from kerasexplain.compiler.pipeline import Pipeline
    from kerasexplain.compiler.question import Answer
    from kerasexplain.graph.graph import Node, Value
    from kerasexplain.runtime.passes import Passes

Tensor = Any


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GradCAM(Method):
    """Where a late layer has evidence: `max(sum_c w_c A_c, 0)` with `w_c` the mean over positions of `dy / dA_c`.

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
    default_start: ClassVar[str] = "one"
    takes_conditions: ClassVar[bool] = False  # the gradient that it takes has not passed the layer's channels yet

    layer: str | None = None

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        if len(x.shape) < 3:
            return x * q
        axes = tuple(range(1, len(x.shape) - 1))
        # Not ops.mean: on JAX that of Keras is in single precision.
        positions = ops.cast(math.prod(ops.shape(x)[axis] for axis in axes), q.dtype)
        weights = ops.sum(q, axis=axes, keepdims=True) / positions
        return ops.relu(ops.sum(weights * x, axis=-1, keepdims=True))

    def notes(self, pipeline: Pipeline) -> tuple[str, ...]:
        return (f"the map is that of {self._node(pipeline).name}",)

    def answer(self, passes: Passes) -> Answer:
        tap = Tap("output", self._node(passes.pipelines.first).name)
        taps = tuple(dict.fromkeys([*passes.question.taps, tap]))
        question = dataclasses.replace(passes.question, taps=taps, inputs=False)
        answer = super().answer(dataclasses.replace(passes, question=question))
        small = answer.taps[taps.index(tap)]
        relevance = [_enlarged(small, x.shape) for x in passes.inputs]
        return dataclasses.replace(answer, relevance=relevance, taps=answer.taps[: len(passes.question.taps)])

    def _node(self, pipeline: Pipeline) -> Node:
        nodes = [row.node for row in pipeline.rows]
        ranks = {len(value.shape) for value in pipeline.graph.inputs}
        if len(ranks) > 1 or min(ranks) < 3:
            raise UnsupportedModelError("Grad-CAM needs an input with positions and channels, or several alike")
        spatial = _spatial(nodes, pipeline.graph.inputs)
        if self.layer is not None:
            found = [named(pipeline.rows, self.layer).node]
        else:
            # What pools or moves values only repeats what the operation before it has found, more coarsely.
            found = [node for node in nodes if node.outputs[0] in spatial and not _passes_on(node)]
        if not found or found[-1].outputs[0] not in spatial:
            what = f"{found[-1].name!r} ({found[-1].type}) has none" if found else "this model has none"
            raise UnsupportedModelError(
                "Grad-CAM needs a layer whose axes are known to be positions in the input: a convolution, a pooling or "
                f"what acts on every position alike, with nothing in front that moves positions; {what}. Heads, "
                "channels and tokens are no positions: name another layer, layer=, cut off in front of the model what "
                "crops, flips, pads or transposes, or take another analyzer"
            )
        if any(getattr(node.operation, "data_format", None) == "channels_first" for node in nodes):
            raise UnsupportedModelError("Grad-CAM needs channels in the last axis; this model has them first")
        return found[-1]


def _spatial(nodes: Sequence[Node], inputs: Sequence[Value]) -> set[Value]:
    """The values whose axes between the batch and the channels are positions in the input, and those of the input."""
    found, rank = set(inputs), len(inputs[0].shape)
    padded: dict[Value, Node] = {}
    for node in nodes:
        (output, *_), kind = node.outputs, type(node.operation).__name__
        given = [value for value in node.inputs if len(value.shape) == rank]
        if len(output.shape) != rank or not given or not found.issuperset(given):
            continue
        windows = ("Conv" in kind or "Pool" in kind) and "LSTM" not in kind
        if windows and all(value not in padded or _covers(node, padded[value]) for value in given):
            found.update(node.outputs)
        elif kind.startswith(("ZeroPadding", "Cropping")):
            found.update(node.outputs)
            if max(keras.tree.flatten(getattr(node.operation, "padding", None) or node.operation.cropping)) > 1:
                padded[output] = node
        elif padded.keys().isdisjoint(given) and _keeps_positions(node, kind):
            found.update(node.outputs)
    return found - padded.keys()


def _covers(window: Node, padding: Node) -> bool:
    """Whether padding is that of a window: no wider than what the window sees around a position."""
    size = getattr(window.operation, "kernel_size", None) or getattr(window.operation, "pool_size", None)
    sides = getattr(padding.operation, "padding", None)
    return None not in (size, sides) and max(keras.tree.flatten(sides)) < max(keras.tree.flatten(size))


def _keeps_positions(node: Node, kind: str) -> bool:
    """Whether an operation acts on every position alike, and in their order."""
    primitive, before, after = node.primitive, node.inputs[0].shape[1:-1], node.outputs[0].shape[1:-1]
    if kind.startswith(("UpSampling", "Resizing", "Resize")):
        cut = ("crop_to_aspect_ratio", "pad_to_aspect_ratio")
        return not any(getattr(node.operation, name, False) for name in cut)
    if isinstance(primitive, Routing):
        moves = ("Concatenate", "Identity", "Copy", "Activation", "Minimum")
        return primitive.is_inactive or (kind.startswith(moves) and before == after)
    if isinstance(primitive, Product):
        return primitive.elementwise
    on_each = (Affine, Elementwise, Linear, Maximum, Mixing, Scale, Statistics)
    return (isinstance(primitive, on_each) or node.type == "Cast") and before == after


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
