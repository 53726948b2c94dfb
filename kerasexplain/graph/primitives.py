"""The primitives that Keras operations are described by: a few, whatever the layer is called.

A primitive knows its ordinary forward computation, the bias entries it has and what is known of its output's
range. It knows nothing of graphs or rules.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import keras
from keras import ops

from kerasexplain.graph.constants import as_constant
from kerasexplain.graph.domains import ANY, Interval, union

Tensor = Any


class Primitive:
    """An operation `y = f(x, ...)`, evaluated at inference.

    Calling it with `tap`, a tensor of ones of shape `(batch, *bias_shape)`, multiplies the operation's bias by it:
    the gradient with respect to the tap is then the relevance that the bias took.
    """

    #: Shape of the operation's constant term; None where it has none.
    bias_shape: tuple[int, ...] | None = None
    #: Whether relevance ends here, because what goes in are indices.
    is_boundary: bool = False
    #: Whether it selects numbers by their size, so that for another input it may select others.
    chooses: bool = False

    def __call__(self, *xs: Tensor, tap: Tensor | None = None) -> Tensor:
        raise NotImplementedError

    def domain(self, *domains: Interval) -> Interval:
        """The range of the output, as far as it is known from the ranges of the inputs."""
        return ANY


@dataclasses.dataclass(frozen=True, eq=False)
class Opaque(Primitive):
    """A computation that can be run but not explained; `reason` says why."""

    function: Callable[..., Any]
    reason: str

    def __call__(self, *xs: Tensor, tap: Tensor | None = None) -> Tensor:
        return self.function(*xs)


@dataclasses.dataclass(frozen=True, eq=False)
class Call(Primitive):
    """One call of a Keras operation, as traced: what the catalogue turns into the other primitives.

    Attributes:
        operation: The layer or operation called.
        args, kwargs: Its arguments, with the graph's values in place of tensors.
        inputs: The graph's values among them, each once.
    """

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[Any, ...]

    def __call__(self, *xs: Tensor, tap: Tensor | None = None) -> Tensor:
        args, kwargs = self.fill(*xs)
        return self.operation(*args, **kwargs)

    def fill(self, *xs: Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The call's arguments, with the tensors `xs` in place of the graph's values."""
        known = {id(value): x for value, x in zip(self.inputs, xs, strict=True)}
        dtype = next((x.dtype for x in xs if keras.backend.is_float_dtype(x.dtype)), None)
        return keras.tree.map_structure(
            lambda leaf: known[id(leaf)] if id(leaf) in known else now(leaf, dtype), (self.args, self.kwargs)
        )

    def function(self) -> Callable[..., Tensor]:
        """The bare computation: without Keras' call preamble, so nothing is cast to a lower precision."""

        def run(*xs: Tensor) -> Tensor:
            args, kwargs = self.fill(*xs)
            return self.operation.call(*args, **kwargs)

        return run


@dataclasses.dataclass(frozen=True, eq=False)
class Routing(Primitive):
    """Moves, repeats, drops or pads values: its plain gradient carries relevance as well as anything else."""

    function: Callable[..., Tensor]
    pads: bool = False
    chooses: bool = False
    #: Whether it does something in training alone.
    is_inactive: ClassVar[bool] = False

    def __call__(self, *xs: Tensor, tap: Tensor | None = None) -> Tensor:
        return self.function(*xs)

    def domain(self, *domains: Interval) -> Interval:
        joined = union(domains)
        return joined | Interval(0.0, 0.0) if self.pads else joined


@dataclasses.dataclass(frozen=True, eq=False)
class StopGradient(Routing):
    """A stop to gradients, and none to relevance: it says what is trained, not what the output is made of."""


@dataclasses.dataclass(frozen=True, eq=False)
class Source(Primitive):
    """A constant operand as a value of the graph: what relevance it gets is a bias entry of its reader.

    Attributes:
        leaf: The constant.
        rank: Its rank, ones in front, so that the batch can come first.
    """

    leaf: Any
    rank: int

    def __call__(self, *xs: Tensor, tap: Tensor | None = None) -> Tensor:
        value = ops.convert_to_tensor(now(self.leaf))
        return ops.reshape(value, (1,) * (self.rank - len(value.shape)) + tuple(value.shape))


@dataclasses.dataclass(frozen=True, eq=False)
class Lookup(Primitive):
    """Values that stand for an index: an embedding, a one-hot vector. Relevance ends here, and belongs to the index."""

    function: Callable[..., Tensor]
    range: Interval = ANY

    is_boundary = True

    def __call__(self, *xs: Tensor, tap: Tensor | None = None) -> Tensor:
        return self.function(*xs)

    def domain(self, *domains: Interval) -> Interval:
        return self.range


@dataclasses.dataclass(frozen=True, eq=False)
class Mixing(Primitive):
    """A fixed linear combination of its inputs: Add, average pooling, sums. The plain gradient is proportional."""

    function: Callable[..., Tensor]
    combine: Callable[..., Interval] = lambda *domains: ANY
    chooses: bool = False

    def __call__(self, *xs: Tensor, tap: Tensor | None = None) -> Tensor:
        return self.function(*xs)

    def domain(self, *domains: Interval) -> Interval:
        return self.combine(*domains)


@dataclasses.dataclass(frozen=True, eq=False)
class Pooling(Mixing):
    """A linear combination within windows, with weights that are never negative: it may take a linear rule."""


@dataclasses.dataclass(frozen=True, eq=False)
class Scale(Primitive):
    """Multiplication by a constant, element by element.

    Attributes:
        function: The multiplication.
        factor: What is known of the constant.
        weight: Gives the constant where it is made of weights; None where it is one of the code.
        weight_shape: The constant's shape.
    """

    function: Callable[..., Tensor]
    factor: Interval = ANY
    weight: Callable[[], Tensor] | None = None
    weight_shape: tuple[int, ...] = ()

    def __call__(self, *xs: Tensor, tap: Tensor | None = None) -> Tensor:
        return self.function(*xs)

    def domain(self, *domains: Interval) -> Interval:
        return domains[0] * self.factor


@dataclasses.dataclass(frozen=True, eq=False)
class Affine(Primitive):
    """`y = a * x + b`, element by element: Rescaling, Normalization, BatchNormalization, `x + 2.0`.

    Attributes:
        scale: Gives `a`, broadcastable to the input; None for 1.
        offset: Gives `b`, of shape `bias_shape`.
        bias_shape: Shape of `b`, aligned with the last axes of the input.
        axis: First axis of the input that `b` is aligned with, counted from the end; None for the last ones.
        factor, shift: What is known of `a` and `b`.
    """

    scale: Callable[[], Tensor] | None
    offset: Callable[[], Tensor]
    bias_shape: tuple[int, ...] = dataclasses.field()  # type: ignore[misc]
    axis: int | None = None
    factor: Interval = ANY
    shift: Interval = ANY

    def __call__(self, *xs: Tensor, tap: Tensor | None = None) -> Tensor:
        (x,) = xs
        y = x if self.scale is None else x * ops.cast(self.scale(), x.dtype)
        return y + placed(ops.cast(self.offset(), x.dtype), tap, len(x.shape), self.axis)

    def domain(self, *domains: Interval) -> Interval:
        return domains[0] * self.factor + self.shift


@dataclasses.dataclass(frozen=True, eq=False)
class Nonlinear(Primitive):
    """A differentiable operation on whole vectors, such as softmax, explained by its gradient.

    What the linearisation leaves over, `y - J x`, is its bias entry.

    Attributes:
        function: The operation.
        range: What is known of its values.
        bias_shape: Its bias entry is one number for each sample.
        smooth: Whether its gradient is smooth everywhere.
    """

    function: Callable[..., Tensor]
    range: Interval = ANY
    bias_shape: tuple[int, ...] = ()  # type: ignore[misc]
    smooth: bool = False

    def __call__(self, *xs: Tensor, tap: Tensor | None = None) -> Tensor:
        return self.function(*xs)

    def domain(self, *domains: Interval) -> Interval:
        return self.range


@dataclasses.dataclass(frozen=True, eq=False)
class ConstantOutput(Nonlinear):
    """A constant with the shape of its input and none of its values: all its relevance is a bias entry."""

    smooth: bool = True


@dataclasses.dataclass(frozen=True, eq=False)
class Product(Primitive):
    """A product of activations: Multiply, matmul, Dot, or a quotient, whose denominator is detached."""

    function: Callable[..., Tensor]
    elementwise: bool = False
    denominator: int | None = None

    def __call__(self, *xs: Tensor, tap: Tensor | None = None) -> Tensor:
        return self.function(*xs)

    def domain(self, *domains: Interval) -> Interval:
        if not self.elementwise or self.denominator is not None:
            return ANY
        product = domains[0]
        for other in domains[1:]:
            product = product * other
        return product


@dataclasses.dataclass(frozen=True, eq=False)
class Statistics(Primitive):
    """Normalisation by statistics of the input itself: LayerNormalization, RMSNormalization.

    Attributes:
        function: `(x, detach, tap) -> y`, where `detach` is applied to the factor 1 / sigma (or 1 / rms).
        bias_shape: Shape of the offset beta; None without one.
        quadratic: Whether sigma^2 is quadratic in x.
    """

    function: Callable[[Tensor, Callable[[Tensor], Tensor], Tensor | None], Tensor]
    bias_shape: tuple[int, ...] | None = None
    quadratic: bool = True

    def __call__(self, *xs: Tensor, tap: Tensor | None = None) -> Tensor:
        return self.function(xs[0], lambda scale: scale, tap)

    def factor(self, x: Tensor) -> Tensor:
        """1 / sigma."""
        found = []

        def note(factor: Tensor) -> Tensor:
            found.append(factor)
            return factor

        self.function(x, note, None)
        return found[0]

    def scaled(self, x: Tensor, factor: Tensor) -> Tensor:
        """The value for another factor."""
        return self.function(x, lambda _: factor, None)

    def detached(self, x: Tensor, tap: Tensor | None) -> Tensor:
        """The same value, with the scale a constant to the gradient."""
        return self.function(x, as_constant, tap)


class LiveConstant:
    """A constant operand that is computed from weights: its shape and dtype, and what it is now."""

    shape: tuple[int, ...]
    dtype: str

    def value(self) -> Tensor:
        raise NotImplementedError


def now(leaf: Any, dtype: Any = None) -> Any:
    """The present value of a call's argument: tensors of real numbers in the precision asked for, the rest as it is."""
    if isinstance(leaf, LiveConstant):
        leaf = leaf.value()
    if dtype is not None and ops.is_tensor(leaf) and not isinstance(leaf, keras.Variable):
        return ops.cast(leaf, dtype) if keras.backend.is_float_dtype(leaf.dtype) else leaf
    return leaf


def live(variable: Any) -> Tensor:
    """The present value of a variable, in single precision at least: weights are not multiplied in half precision."""
    double = keras.backend.standardize_dtype(variable.dtype) == "float64"
    return ops.cast(variable, "float64" if double else "float32")


def placed(bias: Tensor, tap: Tensor | None, rank: int, axis: int | None = None) -> Tensor:
    """`bias` (times `tap`, one copy per sample), shaped to be added to a tensor of that rank.

    `axis` is the first axis, from the end, that the bias belongs to; None means that it covers the last ones.
    """
    shape = tuple(bias.shape)  # a weight's is known; ops.shape would be one more operation in a graph
    after = 0 if axis is None else -axis - len(shape)
    before = rank - 1 - len(shape) - after
    spread = (1,) * before + shape + (1,) * after
    if tap is None:
        return ops.reshape(bias, (1, *spread))
    return ops.reshape(bias * tap, (-1, *spread))
