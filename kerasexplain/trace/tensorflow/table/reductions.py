"""Sums, means, extrema and the like along axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from kerasexplain.trace.tensorflow.table.registry import TABLE, translates
from kerasexplain.trace.tensorflow.values import integers

Tensor = Any

_ALONG_AXES: dict[str, Callable[..., Tensor]] = {
    "All": ops.all,
    "Any": ops.any,
    "EuclideanNorm": lambda x, axis, keepdims: ops.sqrt(ops.sum(ops.square(x), axis=axis, keepdims=keepdims)),
    "Max": ops.max,
    "Mean": ops.mean,
    "Min": ops.min,
    "Prod": ops.prod,
    "Sum": ops.sum,
}


def _along_axes(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def translate(op: Any, x: Tensor, axis: Any) -> Tensor:
        axes = sorted(a % len(x.shape) for a in integers(axis, "axes"))
        if not axes:
            return x
        return function(x, axis=axes[0] if len(axes) == 1 else tuple(axes), keepdims=op.get_attr("keep_dims"))

    return translate


TABLE.update({kind: _along_axes(function) for kind, function in _ALONG_AXES.items()})


@translates("ArgMax", "ArgMin")
def _place(op: Any, x: Tensor, axis: Any) -> Tensor:
    function = ops.argmax if op.type == "ArgMax" else ops.argmin
    return ops.cast(function(x, axis=integers(axis, "axis")[0]), op.get_attr("output_type").name)


@translates("Cumsum")
def _running_sum(op: Any, x: Tensor, axis: Any) -> Tensor:
    (along,) = integers(axis, "axis")
    if op.get_attr("reverse"):
        x = ops.flip(x, axis=along)
    y = ops.cumsum(x, axis=along)
    if op.get_attr("exclusive"):
        y = ops.subtract(y, x)
    return ops.flip(y, axis=along) if op.get_attr("reverse") else y


@translates("TopKV2")
def _top(op: Any, x: Tensor, k: Any) -> list[Tensor]:
    return list(ops.top_k(x, integers(k, "count")[0], sorted=op.get_attr("sorted")))
