"""Running the operations of a TensorFlow graph on symbolic tensors of Keras, as calls of `keras.ops`.

Only what the outputs depend on is run. An operation whose operands are all known is computed at once; one of variables
and constants becomes a `Weight`; every other is translated by the table (`table/`), and one that is not in the table is
kept as it is, which nothing but its gradient can explain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasexplain.foundation.errors import plain as in_one_line
from kerasexplain.trace.recorder import Recorder
from kerasexplain.trace.tensorflow import blocks, control, sizes
from kerasexplain.trace.tensorflow.calls import CallsOfLayers
from kerasexplain.trace.tensorflow.names import Names
from kerasexplain.trace.tensorflow.raw import raw, said
from kerasexplain.trace.tensorflow.table import TABLE
from kerasexplain.trace.tensorflow.unknown import kept
from kerasexplain.trace.tensorflow.values import (
    Handle,
    Spread,
    StepsFirst,
    UntranslatableError,
    Weight,
    integers,
    is_constant,
    is_symbolic,
    is_zero,
    present,
    weight,
)

#: Of a constant that stands for a copy per sample these make another, sample by sample.
_SAMPLE_BY_SAMPLE = (
    *("AddV2", "BiasAdd", "Cast", "Identity", "MatMul", "Mul", "Neg", "Relu", "Sigmoid", "Sub", "Tanh", "ZerosLike"),
    *("Equal", "Greater", "GreaterEqual", "Less", "LessEqual", "LogicalAnd", "LogicalNot", "LogicalOr", "NotEqual"),
    *("Maximum", "Minimum", "OnesLike", "RealDiv", "Exp", "Softplus", "Rsqrt", "Sqrt", "Square", "StopGradient"),
)
#: In these a constant per sample need not be repeated.
_BROADCASTING = ("Add", "AddV2", "Maximum", "Minimum", "Select", "SelectV2", "Sub")
#: These take the outputs of a loop as they are.
_OF_STEPS = ("Identity", "ReverseV2", "StridedSlice", "Transpose", "Unpack")


class Interpreter:
    """Runs TensorFlow graphs on symbolic tensors.

    Args:
        recorder: Writes down what is called.
        inputs: The symbolic tensors among the arguments, one of which has the batch in front.
        calls: The calls of Keras layers that the graph was traced with: they are called as layers.
        names: The names of its operations.
    """

    def __init__(self, recorder: Recorder, inputs: Sequence[Any], calls: CallsOfLayers, names: Names) -> None:
        self._recorder, self._calls, self.names = recorder, calls, names
        self._batched = [tensor for tensor in inputs if len(tensor.shape)]

    def run(self, graph: Any, given: Sequence[Any], outputs: Sequence[Any], prefix: tuple[str, ...] = ()) -> list[Any]:
        """The values of some tensors of a graph.

        Args:
            graph: A `FuncGraph`.
            given: What its inputs are, in order.
            outputs: Which of its tensors are wanted.
            prefix: Scopes that the names of its operations are in.
        """
        values: dict[int, Any] = {id(x): value for x, value in zip(graph.inputs, given, strict=True)}
        # A layer that is called on what its function closes over was given the tensor of the graph around.
        values.update({id(x): values[id(inside)] for x, inside in _captures(graph) if id(inside) in values})
        for node in _order(outputs, values, self._calls):
            if node in self._calls:
                with self._recorder.named(()):  # layers have names of their own
                    values.update(self._calls.run(node, values))
            else:
                results = self.operation(node, [values[id(x)] for x in node.inputs], prefix)
                values.update(zip(map(id, node.outputs), results, strict=True))
        return [values[id(x)] for x in outputs]

    def named(self, op: Any, prefix: tuple[str, ...]) -> AbstractContextManager[None]:
        """While active, what is called has the name of an operation."""
        return self._recorder.named(self.names.path(op, prefix))

    def operation(self, op: Any, operands: list[Any], prefix: tuple[str, ...]) -> list[Any]:
        """The results of one operation."""
        if op.type in control.TABLE:
            with self.named(op, prefix):
                return control.TABLE[op.type](self, op, operands, prefix)
        in_blocks = any(isinstance(value, blocks.Blocks) for value in operands)
        found = None if in_blocks else self._without_symbols(op, operands)
        if found is not None:
            return found
        translate = TABLE.get(op.type)
        with self.named(op, prefix):
            try:
                operands = self._ready(op, operands)
                if isinstance(operands, Spread):
                    return [operands]
                if op.type in blocks.TABLE:
                    results = blocks.TABLE[op.type](op, *operands)
                elif in_blocks:
                    results = blocks.within(op, operands)
                elif translate is None:
                    results = kept(op, operands)
                else:
                    results = translate(op, *operands)
            except UntranslatableError as error:
                raise UntranslatableError(f"the TensorFlow operation {said(op)}: {in_one_line(error)}") from error
            except Exception as error:
                raise UntranslatableError(
                    f"the TensorFlow operation {said(op)} could not be translated "
                    f"({type(error).__name__}: {in_one_line(error)})"
                ) from error
        results = list(results) if isinstance(results, (list, tuple)) else [results]
        # Results that nothing has been translated for, such as a variance in training, are read by nothing.
        return [*results, *[None] * (len(op.outputs) - len(results))]

    def _without_symbols(self, op: Any, operands: list[Any]) -> list[Any] | None:
        """The results of an operation whose operands do not depend on the input's values; None for others."""
        if op.type in sizes.TABLE:
            found = sizes.TABLE[op.type](op, *operands)
            if found is not None:
                return [found] if not isinstance(found, list) else found
        if not operands and op.type == "Const":
            return [tf.make_ndarray(op.get_attr("value"))]
        if op.type == "ReadVariableOp" and isinstance(operands[0], Handle):
            dtype = op.get_attr("dtype")
            return [weight(lambda handle=operands[0]: handle.read(dtype))]
        if any(map(is_symbolic, operands)) or not all(map(_is_known, operands)):
            return None
        if any(isinstance(value, Spread) for value in operands):
            if op.type not in _SAMPLE_BY_SAMPLE and not _cuts_samples(op, operands):
                return None
            inner = [value.constant if isinstance(value, Spread) else value for value in operands]
            return [Spread(found) for found in _computed(op, inner)]
        return _computed(op, operands)

    def _ready(self, op: Any, operands: list[Any]) -> Any:
        """The operands as the table takes them; or what it comes to where a constant decides: the product with 0."""
        if op.type in _OF_STEPS:
            return [value if isinstance(value, StepsFirst) else self.materialized(value) for value in operands]
        if op.type == "Mul":
            zeros = (x for x in operands if isinstance(x, Spread) and is_zero(x.constant))
            return next(zeros, None) or list(map(self.materialized, operands))
        if op.type in _BROADCASTING:
            operands = [value.constant if isinstance(value, Spread) else value for value in operands]
        return [self.materialized(value) for value in operands]

    def materialized(self, value: Any) -> Any:
        """A constant per sample as a symbolic tensor: zeros of a batch's size, to which it is added."""
        if isinstance(value, StepsFirst):
            return value.whole()
        if not isinstance(value, Spread):
            return value
        if not self._batched:
            raise UntranslatableError("a constant is repeated for samples of which nothing is known")
        like, rank = self._batched[0], len(value.shape)
        while len(like.shape) > 1:
            like = like[:, 0]
        like = keras.ops.reshape(like, (-1, *[1] * (rank - 1)))
        return keras.ops.add(keras.ops.zeros_like(keras.ops.cast(like, value.dtype)), value.constant)


def _captures(graph: Any) -> Iterator[tuple[Any, Any]]:
    """The tensors of other graphs that a graph reads, and what they are within it."""
    return iter(getattr(graph, "captures", ()))


def _is_known(value: Any) -> bool:
    return is_constant(value) or isinstance(value, (Weight, Spread))


def _cuts_samples(op: Any, operands: list[Any]) -> bool:
    """Whether an operation takes a part of every sample, or computes along another axis."""
    if op.type in ("Cumsum", "ExpandDims") and isinstance(operands[0], Spread):
        return integers(operands[1], "axis")[0] % (len(operands[0].shape) + (op.type == "ExpandDims")) != 0
    if op.type in ("Split", "SplitV"):
        x, axis = (operands[1], operands[0]) if op.type == "Split" else (operands[0], operands[2])
        return isinstance(x, Spread) and integers(axis, "axis")[0] % len(x.shape) != 0
    whole = op.type == "StridedSlice" and op.get_attr("begin_mask") & op.get_attr("end_mask") & 1
    return bool(whole and not (op.get_attr("shrink_axis_mask") | op.get_attr("new_axis_mask")) & 1)


def _computed(op: Any, operands: list[Any]) -> list[Any]:
    """The results of an operation of constants and weights."""
    if op.op_def.is_stateful:
        raise UntranslatableError(f"the TensorFlow operation {said(op)} gives something else in each run")
    function = raw(op)
    if op.type in ("MatMul", "Mul") and any(map(is_zero, operands)):
        with tf.init_scope():
            like = function(*map(present, operands))
        return [np.zeros(like.shape, like.dtype.as_numpy_dtype)]
    if not any(isinstance(value, Weight) for value in operands):
        with tf.init_scope():
            results = tf.nest.flatten(function(*operands))
        if any(result.dtype in (tf.resource, tf.variant) for result in results):
            raise UntranslatableError(f"the TensorFlow operation {said(op)} holds something other than numbers")
        # As arrays of one axis: a single bfloat16 becomes none.
        return [np.asarray(tf.reshape(result, (-1,))).reshape(result.shape) for result in results]
    if len(op.outputs) == 1:
        return [weight(function, *operands)]
    return [weight(lambda *xs, i=i: tf.nest.flatten(function(*xs))[i], *operands) for i in range(len(op.outputs))]


def _order(outputs: Sequence[Any], known: dict[int, Any], calls: CallsOfLayers) -> Iterator[Any]:
    """The operations, and the calls of layers, that tensors are made by, each after what it reads."""
    done: set[int] = set()
    stack = [calls.maker(x) for x in reversed(outputs) if id(x) not in known]
    while stack:
        node = stack[-1]
        waiting = (
            []
            if id(node) in done
            else [
                maker
                for maker in (calls.maker(x) for x in reversed(calls.reads(node)) if id(x) not in known)
                if id(maker) not in done
            ]
        )
        if waiting:
            stack.extend(waiting)
            continue
        stack.pop()
        if id(node) not in done:
            done.add(id(node))
            yield node
