"""The entries of the table of treatments, and the overrides that are the same whatever the primitive is.

What travels backwards along an edge is Q, relevance per unit of activation, or R, relevance itself. Most operations
need no override at all: their plain gradient carries Q, and routing carries R as well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from keras import ops

from kerasexplain.backend import override, transposed
from kerasexplain.compiler.against_baseline import Apply, comparing, mean_gradient
from kerasexplain.compiler.composite import Composite
from kerasexplain.compiler.environment import Environment
from kerasexplain.compiler.rows import Row
from kerasexplain.graph.graph import Graph, Value
from kerasexplain.graph.primitives import Primitive
from kerasexplain.graph.signal import Signal
from kerasexplain.graph.taps import Tap
from kerasexplain.rules import GradientRule, PassThrough, Rule
from kerasexplain.rules.division import share

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


class Cell(Protocol):
    """The graph of one step of a recurrent layer, ready to run."""

    graph: Graph
    signals: dict[Value, Signal]

    def run(self, inputs: Sequence[Tensor], environment: Environment = ...) -> dict[Value, Tensor]: ...

    def bias_taps(self) -> dict[Tap, tuple[int | None, ...]]: ...


@dataclasses.dataclass(frozen=True)
class Context:
    """The context of an override: all that it depends on besides its own row.

    Attributes:
        composite: Where the rules come from.
        unroll: Whether recurrent layers are laid out step by step; else they are loops.
        cell: Makes the cell of a recurrent layer ready to run.
    """

    composite: Composite
    unroll: bool
    cell: Callable[[Row], Cell]


class Treatment:
    """The meaning of a kind of primitive to relevance; by default, that its plain gradient carries Q.

    Attributes:
        takes: The kinds of rules that are for it.
        words: What happens to relevance where it has no rule.
    """

    takes: tuple[type[Rule], ...] = ()
    words: str = "proportional"

    def default(self, row: Row, composite: Composite) -> Rule | None:
        """The rule of an operation that nothing in the composite matches."""
        return None

    def in_words(self, row: Row) -> str:
        """The rule, or what happens to relevance where there is none."""
        return self.words if row.rule is None else repr(row.rule)

    def refusal(self, row: Row, composite: Composite) -> str:
        """Why an operation cannot follow its rule; "" where it can."""
        if composite.against_baseline and row.node.primitive.chooses:
            return "what it chooses at the baseline may be something else"
        return ""

    def of_relevance(self, row: Row, plain: Overridden, arriving: Signal, context: Context) -> Overridden:
        """The operation under its rule, where relevance travels.

        Args:
            row: The operation and its rule.
            plain: The operation as it is.
            arriving: The signal that its readers give to its output.
            context: What is not decided by the row's own rule.
        """
        return plain

    def of_gradient(self, row: Row, plain: Overridden, context: Context) -> Overridden:
        """The operation where a gradient travels, or a number like it: overridden only by a rule of its own."""
        primitive, rule = row.node.primitive, row.rule
        if rule is None or isinstance(rule, GradientRule):
            return plain
        if context.composite.against_baseline:
            return self.compared(primitive, rule)
        assert isinstance(rule, PassThrough), f"{rule!r} at {type(primitive).__name__}"
        return Overridden(pass_relevance(plain.apply, Signal.R), Signal.Q, Signal.Q)

    def compared(self, primitive: Any, rule: Rule) -> Overridden:
        """The operation compared with its value at a baseline."""

        def multipliers(xs: Sequence[Tensor], refs: Sequence[Tensor], s: Tensor) -> Sequence[Tensor | None]:
            return self.multipliers(primitive, rule, xs, refs, s)

        return Overridden(comparing(primitive, multipliers), Signal.Q, Signal.Q, compares=True)

    def multipliers(
        self, primitive: Any, rule: Any, xs: Sequence[Tensor], refs: Sequence[Tensor], s: Tensor
    ) -> Sequence[Tensor | None]:
        """The multiplier of each input, where the output has s: `sum_i m_i (x_i - x'_i) = s (y - y')`."""
        return mean_gradient(primitive, xs, refs, s)


_TABLE: dict[type[Primitive], Treatment] = {}
Kind = TypeVar("Kind", bound=type[Treatment])


def treats(*primitives: type[Primitive]) -> Callable[[Kind], Kind]:
    """Makes a class the entry of the table for some kinds of primitives, and for their subclasses without their own."""

    def register(kind: Kind) -> Kind:
        for primitive in primitives:
            assert primitive not in _TABLE, primitive
            _TABLE[primitive] = kind()
        return kind

    return register


def treatment_of(primitive: Primitive) -> Treatment:
    """The entry of the table for a primitive."""
    return next((_TABLE[kind] for kind in type(primitive).__mro__ if kind in _TABLE), _DEFAULT)


_DEFAULT = Treatment()


def overridden(row: Row, arriving: Signal, context: Context) -> Overridden:
    """The operation of a row under its rule.

    Args:
        row: The operation and its rule.
        arriving: The signal that its readers give to its output.
        context: What is not decided by the row's own rule.
    """
    primitive = row.node.primitive
    treatment = treatment_of(primitive)
    plain = Overridden(lambda xs, tap: primitive(*xs, tap=tap), Signal.Q, Signal.Q, primitive.bias_shape, is_plain=True)
    if context.composite.plain:
        return treatment.of_gradient(row, plain, context)
    if isinstance(row.rule, PassThrough):
        return Overridden(pass_relevance(plain.apply, arriving), arriving, Signal.R)
    return treatment.of_relevance(row, plain, arriving, context)


def quotient_at(y: Tensor, stabilizer: float) -> Tensor:
    """y, where the signal that comes back is R and the signal that goes on is Q = R / y.

    Exactly so, and 0 where y is 0, unless there is a stabilizer: then Q = R / st(y).
    """

    def backward(y: Tensor, signal: Tensor) -> tuple[Tensor]:
        return (share(signal, y, stabilizer),)

    return override(lambda y: (y, y), backward, y)


def relevance_at(x: Tensor) -> Tensor:
    """x, where the signal that comes back is Q and the signal that goes on is R = x Q."""
    return override(lambda x: (x, x), lambda x, signal: (x * signal,), x)


def pass_relevance(run: Apply, arriving: Signal) -> Apply:
    """An operation of one input, which gets the relevance of its output as it is."""

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


def sum_per_sample(x: Tensor) -> Tensor:
    """The sum of each sample, `(batch,)`."""
    return ops.sum(x, axis=list(range(1, len(x.shape)))) if len(x.shape) > 1 else x
