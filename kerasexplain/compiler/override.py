"""Pass 4, override: for each operation and its rule, the same computation with relevance for a gradient.

What travels backwards along an edge is Q, relevance per unit of activation, or R, relevance itself. Most operations
need no override at all: their plain gradient carries Q, and routing carries R as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras import ops

from kerasexplain.backend import override, pull_back, transposed
from kerasexplain.compiler.comparison import Apply, against_baseline, handed_back
from kerasexplain.compiler.composite import Composite
from kerasexplain.compiler.linear_override import LinearOverride
from kerasexplain.compiler.rows import Row
from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.linear import Linear
from kerasexplain.graph.maximum import Maximum
from kerasexplain.graph.primitives import (
    Affine,
    Lookup,
    Nonlinear,
    Opaque,
    Pooling,
    Product,
    Routing,
    Scale,
    Statistics,
    StopGradient,
)
from kerasexplain.graph.signal import Signal
from kerasexplain.operations import Custom
from kerasexplain.rules import (
    ElementwiseRule,
    GradientRule,
    Ignore,
    LinearRule,
    MaximumRule,
    OnRelevance,
    PassThrough,
    Repeat,
    RevealCancel,
    Slope,
    WinnerTakesAll,
)
from kerasexplain.rules.arithmetic import share

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Overridden:
    """An operation ready to run.

    Attributes:
        apply: `(inputs, tap) -> outputs`.
        takes: The signal it wants at its output.
        gives: The signal it gives to its inputs.
        bias_shape: Shape of the operation's bias entry under its rule; None where it has none.
        is_plain: Whether nothing is overridden.
        compares: Whether `apply` takes the inputs' values at the baseline behind the inputs.
    """

    apply: Apply
    takes: Signal
    gives: Signal
    bias_shape: tuple[int, ...] | None = None
    is_plain: bool = False
    compares: bool = False


def overridden(row: Row, arriving: Signal, composite: Composite) -> Overridden:
    """The operation of a row under its rule.

    Args:
        row: The operation and its rule.
        arriving: The signal that its consumers give to its output.
        composite: For what is not decided by the row's own rule.
    """
    primitive, rule = row.node.primitive, row.rule
    constant = primitive.bias_shape
    plain = Overridden(lambda xs, tap: primitive(*xs, tap=tap), Signal.Q, Signal.Q, constant, is_plain=True)
    if composite.plain:
        return _of_signal(row, plain, composite)
    if isinstance(rule, PassThrough):
        return Overridden(_pass_relevance(plain.apply, arriving), arriving, Signal.R)
    if isinstance(primitive, (Opaque, Lookup)):
        return plain if isinstance(primitive, Opaque) else dataclasses.replace(plain, takes=arriving, gives=arriving)
    if isinstance(primitive, Custom):
        return Overridden(_custom(primitive, arriving), arriving, Signal.R)
    if isinstance(rule, LinearRule):
        linear = primitive if isinstance(primitive, Linear) else _as_linear(primitive)
        if rule.is_gradient and arriving is Signal.Q:
            return plain
        apply = LinearOverride(linear, rule, arriving, row.domain.nonnegative)
        return Overridden(apply, arriving, Signal.R if rule.absolute else Signal.Q, linear.bias_shape)
    if isinstance(primitive, StopGradient):
        return Overridden(lambda xs, tap: xs[0], arriving, arriving)
    if isinstance(primitive, Routing):
        # Constants among what is moved take their share as a bias entry, for which Q is needed.
        return plain if row.bias_edges else dataclasses.replace(plain, takes=arriving, gives=arriving)
    if isinstance(primitive, Maximum):
        if _by_gradient(primitive, rule):
            return Overridden(plain.apply, arriving, arriving, is_plain=True)
        return Overridden(_maximum(primitive, rule, of_relevance=arriving is Signal.R), arriving, arriving)
    if isinstance(primitive, Elementwise):
        return _elementwise(primitive, rule, arriving, plain)
    passes = isinstance(primitive, Scale) or (
        isinstance(primitive, Affine) and isinstance(composite.elementwise, Ignore)
    )
    if (passes and arriving is Signal.R) or (row.preprocesses and composite.passes_preprocessing):
        # One input, one output: dividing by the output would lose what passes through a zero. And preprocessing is no
        # part of what is explained: its map is that of the model behind it.
        return Overridden(_pass_relevance(plain.apply, arriving), arriving, Signal.R)
    if isinstance(primitive, Product):
        return plain if rule is None else Overridden(_product(primitive, rule, row), Signal.Q, Signal.Q)
    if isinstance(primitive, Statistics):
        return Overridden(_detached(primitive), Signal.Q, Signal.Q, constant)
    if isinstance(primitive, Nonlinear):
        return Overridden(_linearized(plain.apply, row.carrying), Signal.Q, Signal.Q, (), is_plain=True)
    return plain


def _of_signal(row: Row, plain: Overridden, composite: Composite) -> Overridden:
    """An operation where a gradient travels, or a number like it: overridden only by a rule of its own."""
    primitive, rule = row.node.primitive, row.rule
    if composite.against_baseline and isinstance(primitive, StopGradient):
        return Overridden(lambda xs, tap: xs[0], Signal.Q, Signal.Q)  # what is compared is the output, however trained
    if rule is None or isinstance(rule, GradientRule):
        # What a gradient leaves over is no share of a constant.
        curved = isinstance(primitive, (Elementwise, Nonlinear))
        return dataclasses.replace(plain, bias_shape=None) if curved else plain
    if isinstance(primitive, Maximum) and _by_gradient(primitive, rule):
        return plain
    if isinstance(rule, RevealCancel):
        return plain  # which runs as one with the operation before it
    if composite.against_baseline:
        return Overridden(against_baseline(primitive, rule), Signal.Q, Signal.Q, compares=True)
    if isinstance(rule, Slope):
        return Overridden(_slope(primitive, rule), Signal.Q, Signal.Q, primitive.bias_shape)
    if isinstance(rule, ElementwiseRule):
        return Overridden(_literally(primitive, rule), Signal.Q, Signal.Q)
    if isinstance(rule, MaximumRule):
        return Overridden(_maximum(primitive, rule, of_relevance=True), Signal.Q, Signal.Q)
    assert isinstance(rule, LinearRule)
    assert isinstance(primitive, Linear)
    return Overridden(LinearOverride(primitive, rule, Signal.R, False), Signal.Q, Signal.Q, plain.bias_shape)


def _by_gradient(primitive: Any, rule: Any) -> bool:
    """Whether the backend's own gradient of a maximum is the rule: where it goes to the first winner."""
    return primitive.first and isinstance(rule, WinnerTakesAll) and rule.ties == "first"


def quotient_at(y: Tensor, stabilizer: float | None) -> Tensor:
    """y, where the signal that comes back is R and the signal that goes on is Q = R / y.

    Exactly so, and 0 where y is 0, unless a stabilizer is asked for: then Q = R / st(y).
    """

    def backward(y: Tensor, signal: Tensor) -> tuple[Tensor]:
        return (share(signal, y, stabilizer or 0.0),)

    return override(lambda y: (y, y), backward, y)


def relevance_at(x: Tensor) -> Tensor:
    """x, where the signal that comes back is Q and the signal that goes on is R = x Q."""
    return override(lambda x: (x, x), lambda x, signal: (x * signal,), x)


def _pass_relevance(run: Apply, arriving: Signal) -> Apply:
    def apply(xs: Sequence[Tensor], tap: Tensor | None) -> Tensor:
        def forward(x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor | None]]:
            y = run([x], None)
            return y, (y, None if tuple(x.shape) == tuple(y.shape) else x)

        def backward(residuals: tuple[Tensor, Tensor | None], signal: Tensor) -> tuple[Tensor]:
            y, repeated = residuals
            relevance = signal if arriving is Signal.R else signal * y
            if repeated is None:
                return (relevance,)
            # A constant operand has more axes or longer ones: x was repeated, and gets what all copies get.
            return (transposed(lambda x: ops.broadcast_to(x, ops.shape(y)), repeated, relevance),)

        return override(forward, backward, *xs)

    return apply


def _custom(primitive: Custom, arriving: Signal) -> Apply:
    def forward(*xs: Tensor) -> tuple[Tensor, tuple[Any, Tensor]]:
        y = primitive(*xs)
        return y, (xs, y)

    def backward(residuals: tuple[Any, Tensor], signal: Tensor) -> Any:
        xs, y = residuals
        relevance = signal if arriving is Signal.R else signal * y
        of_xs = primitive.relevance(primitive.layer, xs[0] if len(xs) == 1 else xs, y, relevance)
        given = (of_xs,) if len(xs) == 1 else tuple(of_xs)
        shapes = [None if r is None else tuple(r.shape) for r in given]
        if shapes != [tuple(x.shape) for x in xs]:
            raise ValueError(
                f"the rule registered for the layer {primitive.layer.name!r} ({type(primitive.layer).__name__}) gave "
                f"relevance of the shapes {shapes} for inputs of the shapes {[tuple(x.shape) for x in xs]}"
            )
        return given

    return lambda xs, tap: override(forward, backward, *xs)


def _as_linear(pooling: Any) -> Linear:
    """Pooling as a linear operation with a kernel of one number, 1: no weight of it is negative."""
    assert isinstance(pooling, Pooling)
    return Linear(
        product=lambda x, kernel: pooling(x) * kernel,
        kernel=lambda: ops.ones((), dtype="float32"),
        bias=None,
        bias_shape=None,
        bias_axis=None,
        scaled=None,
    )


def _literally(primitive: Any, rule: ElementwiseRule, arriving: Signal = Signal.R) -> Apply:
    """A rule that is applied to the number that travels itself: to relevance, where Q arrives."""

    def backward(z: Tensor, signal: Tensor) -> list[Tensor]:
        return [rule.at(primitive, z, signal if arriving is Signal.R else signal * primitive(z))]

    return lambda xs, tap: override(lambda z: (primitive(z), z), backward, *xs)


def _elementwise(primitive: Elementwise, rule: Any, arriving: Signal, plain: Overridden) -> Overridden:
    if isinstance(rule, (OnRelevance, Repeat)):
        return Overridden(_literally(primitive, rule, arriving), arriving, Signal.R)
    if isinstance(rule, Ignore):
        if primitive.homogeneous and arriving is Signal.Q:
            return plain
        return Overridden(_pass_relevance(plain.apply, arriving), arriving, Signal.R)
    if primitive.homogeneous:
        return plain
    if isinstance(rule, Slope):
        return Overridden(_slope(primitive, rule), Signal.Q, Signal.Q, primitive.bias_shape)
    assert isinstance(rule, GradientRule), f"{rule!r} at {type(primitive).__name__}"
    return Overridden(_linearized(plain.apply), Signal.Q, Signal.Q, (), is_plain=True)


def _slope(primitive: Any, rule: Slope) -> Apply:
    def apply(xs: Sequence[Tensor], tap: Tensor | None) -> Tensor:
        taps = () if tap is None else (tap,)

        def backward(z: Tensor, signal: Tensor) -> list[Tensor]:
            of_z = rule.at(primitive, z, signal)
            return [of_z] if tap is None else [of_z, _sum_per_sample(signal) * primitive.at_zero]

        return override(lambda z, *taps: (primitive(z), z), backward, *xs, *taps)

    return apply


def _linearized(run: Apply, carrying: Sequence[bool] = (True,)) -> Apply:
    """The plain gradient; with a tap, what the linearisation leaves over, y - J x, is its relevance."""

    def apply(xs: Sequence[Tensor], tap: Tensor | None) -> Tensor:
        if tap is None:
            return run(xs, None)

        def backward(xs: Sequence[Tensor], signal: Tensor) -> list[Tensor | None]:
            def of_carriers(*carriers: Tensor) -> tuple[Tensor, None]:
                given = iter(carriers)
                return run([next(given) if c else x for x, c in zip(xs, carrying, strict=True)], None), None

            carriers = [x for x, carries in zip(xs, carrying, strict=True) if carries]
            y, _, pullback = pull_back(of_carriers, *carriers)
            of_carrier = pullback(signal)
            constant = _sum_per_sample(signal * y)
            for x, of_x in zip(carriers, of_carrier, strict=True):
                constant = constant - _sum_per_sample(x * of_x)
            given = iter(of_carrier)
            return [*(next(given) if carries else None for carries in carrying), constant]

        return override(lambda *operands: (run(operands[:-1], None), operands[:-1]), backward, *xs, tap)

    return apply


def _sum_per_sample(x: Tensor) -> Tensor:
    return ops.sum(x, axis=list(range(1, len(x.shape))))


def _maximum(primitive: Any, rule: Any, of_relevance: bool) -> Apply:
    def backward(xs: Sequence[Tensor], signal: Tensor) -> Any:
        candidates = primitive.candidates(*xs)
        shares = rule.shares(candidates) if of_relevance else rule.per_unit(candidates)
        return handed_back(primitive, xs, shares, signal)

    return lambda xs, tap: override(lambda *xs: (primitive(*xs), xs), backward, *xs)


def _product(primitive: Product, rule: Any, row: Row) -> Apply:
    takes = rule.taking(row.input_domains, row.carrying)
    share = 1.0 / sum(takes)

    def backward(xs: Sequence[Tensor], signal: Tensor) -> list[Tensor | None]:
        def of_takers(*takers: Tensor) -> tuple[Tensor, None]:
            given = iter(takers)
            return primitive(*(next(given) if taker else x for x, taker in zip(xs, takes, strict=True))), None

        _, _, pullback = pull_back(of_takers, *(x for x, taker in zip(xs, takes, strict=True) if taker))
        of_takers_ = iter(pullback(signal * share))
        return [next(of_takers_) if taker else None for taker in takes]

    return lambda xs, tap: override(lambda *xs: (primitive(*xs), xs), backward, *xs)


def _detached(primitive: Statistics) -> Apply:
    def apply(xs: Sequence[Tensor], tap: Tensor | None) -> Tensor:
        operands = (*xs,) if tap is None else (*xs, tap)

        def backward(operands: Sequence[Tensor], signal: Tensor) -> Sequence[Tensor]:
            _, _, pullback = pull_back(lambda x, tap=None: (primitive.detached(x, tap), None), *operands)
            return pullback(signal)

        def forward(x: Tensor, tap: Tensor | None = None) -> tuple[Tensor, Any]:
            return primitive(x, tap=tap), (x,) if tap is None else (x, tap)

        return override(forward, backward, *operands)

    return apply
