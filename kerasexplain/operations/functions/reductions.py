"""Sums, means, maxima, order statistics and norms along axes."""

from __future__ import annotations

from kerasexplain.graph.domains import NONNEGATIVE, Interval
from kerasexplain.graph.maximum import Maximum, Minimum, reduction_candidates
from kerasexplain.graph.primitives import Call, Mixing, Nonlinear, Pooling, Primitive, Routing
from kerasexplain.operations.batches import MIXES, axes_of, has_batch_axis
from kerasexplain.operations.catalogue import describes, opaque


def _unchanged(domain: Interval) -> Interval:
    return domain


def _of_a_sum(domain: Interval) -> Interval:
    return NONNEGATIVE if domain.nonnegative else Interval()


@describes("ops.Mean", "ops.Nanmean", "ops.Sum", "ops.Nansum")
def _sum(call: Call) -> Primitive:
    if has_batch_axis(call):
        return opaque(call, MIXES)
    return Pooling(call.function(), _unchanged if "ean" in type(call.operation).__name__ else _of_a_sum)


@describes("ops.Cumsum", "ops.Nancumsum")
def _running_sum(call: Call) -> Primitive:
    return opaque(call, MIXES) if has_batch_axis(call) else Mixing(call.function(), _of_a_sum)


@describes("ops.Diff", "ops.Trapezoid")
def _along_one_axis(call: Call) -> Primitive:
    if has_batch_axis(call) or len(call.inputs) > 1:
        return opaque(call, MIXES if has_batch_axis(call) else "the distances between its points are activations")
    return Mixing(call.function())


@describes("ops.Trace")
def _trace(call: Call) -> Primitive:
    rank = len(call.inputs[0].shape)
    if 0 in axes_of((call.operation.axis1, call.operation.axis2), rank):
        return opaque(call, MIXES)
    return Mixing(call.function(), _of_a_sum)


@describes("ops.Max", "ops.Amax")
def _max(call: Call) -> Primitive:
    if has_batch_axis(call):
        return opaque(call, MIXES)
    if getattr(call.operation, "initial", None) is not None:
        return opaque(call, "a maximum with an initial value has no rule yet: use ops.maximum for it")
    axes = sorted(axes_of(call.operation.axis, len(call.inputs[0].shape)))
    return Maximum(call.function(), reduction_candidates(axes, call.operation.keepdims), first=False)


@describes("ops.Min", "ops.Amin")
def _min(call: Call) -> Primitive:
    if has_batch_axis(call):
        return opaque(call, MIXES)
    if getattr(call.operation, "initial", None) is not None:
        return opaque(call, "a minimum with an initial value has no rule yet: use ops.minimum for it")
    axes = sorted(axes_of(call.operation.axis, len(call.inputs[0].shape)))
    return Minimum(call.function(), candidates=reduction_candidates(axes, call.operation.keepdims))


@describes("ops.Nanmin", "ops.Nanmax")
def _selected(call: Call) -> Primitive:
    return opaque(call, MIXES) if has_batch_axis(call) else Routing(call.function(), chooses=True)


@describes("ops.Sort")
def _sort(call: Call) -> Primitive:
    return opaque(call, MIXES) if has_batch_axis(call) else Routing(call.function(), chooses=True)


@describes("ops.TopK")
def _top_k(call: Call) -> Primitive:
    return Routing(call.function(), chooses=True)


@describes("ops.Median", "ops.Percentile", "ops.Quantile")
def _order_statistics(call: Call) -> Primitive:
    if has_batch_axis(call):
        return opaque(call, MIXES)
    if "q" in call.kwargs or len(call.args) > 1:
        quantiles = call.kwargs.get("q", call.args[-1])
        if getattr(quantiles, "shape", ()) != () or isinstance(quantiles, (list, tuple)):
            return opaque(call, "several quantiles at once come before the batch")
    return Mixing(call.function(), _unchanged, chooses=True)  # one value, or between two values


@describes("ops.Norm", "ops.Std")
def _norm(call: Call) -> Primitive:
    if has_batch_axis(call):
        return opaque(call, MIXES)
    return Nonlinear(call.function(), NONNEGATIVE)


@describes("ops.Logsumexp")
def _logsumexp(call: Call) -> Primitive:
    return opaque(call, MIXES) if has_batch_axis(call) else Nonlinear(call.function(), smooth=True)
