"""The values that a TensorFlow graph computes with while it is translated.

Symbolic tensors depend on the model's inputs. Everything else is computed at once where it is the same for every run:
numpy arrays. What is made of variables is a `Weight`, computed anew in every run. Sizes that a trace leaves open, that
of the batch before all, are `Size`s in arrays of objects; a constant that is repeated for every sample of such a batch
is `Spread`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from kerasexplain.foundation.errors import UnsupportedModelError
from kerasexplain.graph.primitives import LiveConstant
from kerasexplain.trace.weights import computed

Tensor = Any


class UntranslatableError(UnsupportedModelError):
    """A TensorFlow graph that cannot be said in operations of Keras."""


@dataclasses.dataclass(frozen=True)
class Size:
    """A size that is not known when a model is traced: a multiple of that of one of its axes.

    Attributes:
        of: Which axis: the batch is "batch", any other has a number.
        times: The multiple.
    """

    of: Any
    times: int = 1

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, (int, np.integer)):
            return dataclasses.replace(self, times=self.times * int(other)) if other else 0
        raise UntranslatableError("a size is computed from sizes that are not known when the model is traced")

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Any:
        if isinstance(other, Size) and other.of == self.of and self.times % other.times == 0:
            return self.times // other.times
        if isinstance(other, (int, np.integer)) and self.times % other == 0:
            return dataclasses.replace(self, times=self.times // int(other))
        raise UntranslatableError("a size is computed from sizes that are not known when the model is traced")

    def __add__(self, other: Any) -> Any:
        if other == 0:
            return self
        raise UntranslatableError("a size is computed from sizes that are not known when the model is traced")

    __radd__ = __sub__ = __add__


@dataclasses.dataclass(frozen=True, eq=False)
class Handle:
    """A resource of the graph, such as a variable or a table."""

    tensor: Any
    variable: Any = None

    def read(self, dtype: Any) -> Tensor:
        """The present value of the variable."""
        if self.variable is not None:
            return self.variable.read_value()
        return tf.raw_ops.ReadVariableOp(resource=self.tensor, dtype=dtype)


@dataclasses.dataclass(frozen=True, eq=False)
class Weight(LiveConstant):
    """A tensor that is computed from variables and constants alone.

    Attributes:
        function: Gives it, from what the operands are now.
        operands: Weights and arrays.
    """

    function: Callable[..., Tensor]
    operands: tuple[Any, ...]
    shape: tuple[int, ...]
    dtype: str

    def value(self) -> Tensor:
        return computed(self, lambda: self.function(*map(present, self.operands)))

    def then(self, function: Callable[[Tensor], Tensor]) -> Weight:
        """The result of a function of it."""
        return weight(function, self)


def present(value: Any) -> Any:
    """The tensor that a constant or a weight is now."""
    return value.value() if isinstance(value, Weight) else value


def weight(function: Callable[..., Tensor], *operands: Any) -> Weight:
    """The result of a function of weights and constants: shape and dtype are those of its present value."""
    with tf.init_scope():
        now = function(*map(present, operands))
    return Weight(function, operands, tuple(now.shape), now.dtype.name)


@dataclasses.dataclass(frozen=True, eq=False)
class Spread:
    """A constant or weight, with a first axis of one, that stands for as many copies as there are samples."""

    constant: Any

    @property
    def shape(self) -> tuple[Any, ...]:
        return (None, *self.constant.shape[1:])

    @property
    def dtype(self) -> Any:
        return self.constant.dtype


class StepsFirst:
    """A tensor with its steps in front of the batch, as loops read and write it.

    What is written by a loop, and what is transposed for it, is most often taken apart step by step, or transposed
    back. So it is one tensor only where that is asked for.

    Args:
        entry: Gives one of the steps, batch first.
        shape: The whole shape, the steps in front.
        dtype: The dtype.
        source: The same tensor with the batch in front and the steps behind it, if there is one.
    """

    def __init__(self, entry: Callable[[int], Any], shape: tuple[Any, ...], dtype: str, source: Any = None) -> None:
        self._entry, self.shape, self.dtype, self._source = entry, shape, dtype, source

    @classmethod
    def stacked(cls, entries: list[Any]) -> StepsFirst:
        """Steps that were computed one by one."""
        like = next(entry for entry in entries if is_symbolic(entry))
        return cls(entries.__getitem__, (len(entries), *like.shape), like.dtype)

    @classmethod
    def of(cls, x: Any) -> StepsFirst:
        """The steps of a tensor that has them behind the batch."""
        return cls(lambda i: x[:, i], (x.shape[1], x.shape[0], *x.shape[2:]), x.dtype, x)

    def step(self, index: int) -> Any:
        return self._entry(index % self.shape[0])

    def entries(self) -> list[Any]:
        return [self._entry(i) for i in range(self.shape[0])]

    def reversed(self) -> StepsFirst:
        last = self.shape[0] - 1
        source = None if self._source is None else ops.flip(self._source, axis=1)
        return StepsFirst(lambda i: self._entry(last - i), self.shape, self.dtype, source)

    def batch_first(self) -> Any:
        """The tensor with the batch in front, the steps behind it."""
        return ops.stack(self.entries(), axis=1) if self._source is None else self._source

    def whole(self) -> Any:
        """One tensor, with the steps in front of the batch."""
        return self.transposed(list(range(len(self.shape))))

    def transposed(self, order: list[int]) -> Any:
        """The tensor with its axes in that order."""
        with_batch_first = [{0: 1, 1: 0}.get(axis, axis) for axis in order]
        x = self.batch_first()
        return x if with_batch_first == sorted(order) else ops.transpose(x, with_batch_first)


def is_symbolic(value: Any) -> bool:
    return isinstance(value, keras.KerasTensor)


def is_constant(value: Any) -> bool:
    """Whether it is known, as an array without open sizes."""
    return isinstance(value, (np.ndarray, np.generic)) and value.dtype != object


def is_zero(value: Any) -> bool:
    """Whether it is nothing but zeros, whatever the weights are."""
    return is_constant(value) and value.size > 0 and value.dtype != bool and not np.any(value)


def is_sizes(value: Any) -> bool:
    """Whether it holds sizes some of which are open."""
    return isinstance(value, np.ndarray) and value.dtype == object


def plain(array: Any) -> Any:
    """An array of sizes, as integers if none of them is open."""
    array = np.asarray(array, dtype=object)
    return array if any(isinstance(entry, Size) for entry in array.ravel()) else array.astype("int64")


def sizes_of(value: Any) -> Any:
    """The shape of a value, with `Size`s for what is open: the batch is in front, or the only one."""
    shape = tuple(value.shape)
    alone = shape.count(None) == 1
    opened = [Size("batch" if axis == 0 or alone else (id(value), axis)) for axis in range(len(shape))]
    return plain([opened[axis] if size is None else int(size) for axis, size in enumerate(shape)])


def integers(value: Any, what: str) -> list[int]:
    """The integers that an operation takes as constants, such as axes.

    Raises:
        UntranslatableError: They are not known when the model is traced.
    """
    if not is_constant(value):
        raise UntranslatableError(f"its {what} are computed from the input or from open sizes")
    return [int(entry) for entry in np.ravel(value)]


def target_shape(value: Any) -> tuple[int, ...]:
    """A shape to reshape to: one open size is -1."""
    if not is_constant(value) and not is_sizes(value):
        raise UntranslatableError("the shape is computed from the values of the input")
    entries = np.ravel(value).tolist()
    opened = sum(isinstance(entry, Size) for entry in entries)
    if opened > 1 or (opened and -1 in entries):
        raise UntranslatableError("the shape has several sizes that are not known when the model is traced")
    return tuple(-1 if isinstance(entry, Size) else int(entry) for entry in entries)
