"""Operations that hold other graphs, and the lists that loops write to: functions, conditions, loops run out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from kerasexplain.trace.tensorflow.raw import said
from kerasexplain.trace.tensorflow.table.registry import registers
from kerasexplain.trace.tensorflow.values import (
    StepsFirst,
    UntranslatableError,
    Weight,
    integers,
    is_constant,
    is_sizes,
    is_symbolic,
    target_shape,
    weight,
)

#: By the type of the operation: a function of the interpreter, the operation, its operands and the scopes around it.
TABLE: dict[str, Callable[..., list[Any]]] = {}
#: Loops of more steps are not run out: every step is operations of the graph.
MOST_STEPS = 2000


_controls = registers(TABLE)


def _graph_of(op: Any, attribute: str) -> Any:
    """The graph of a function that an operation runs."""
    return _function(op, op.get_attr(attribute).name)


def _function(op: Any, name: str) -> Any:
    function = op.graph._get_function(name)
    if function is None:
        raise UntranslatableError(f"the function {name!r} that {said(op)} runs is not in the graph")
    return function.graph


def _outputs(graph: Any, op: Any) -> list[Any]:
    """The outputs of a graph that an operation gives: what a gradient has needed since is behind them."""
    return graph.outputs[: len(op.outputs)]


@_controls("PartitionedCall", "StatefulPartitionedCall")
def _call(interpreter: Any, op: Any, operands: list[Any], prefix: tuple[str, ...]) -> list[Any]:
    graph = _graph_of(op, "f")
    return interpreter.run(graph, operands, _outputs(graph, op), interpreter.names.path(op, prefix)[:-1])


@_controls("If", "StatelessIf")
def _choice(interpreter: Any, op: Any, operands: list[Any], prefix: tuple[str, ...]) -> list[Any]:
    condition, *given = operands
    graph = _graph_of(op, "then_branch" if truth(condition, op) else "else_branch")
    return interpreter.run(graph, given, _outputs(graph, op), interpreter.names.path(op, prefix)[:-1])


@_controls("Case", "StatelessCase")
def _case(interpreter: Any, op: Any, operands: list[Any], prefix: tuple[str, ...]) -> list[Any]:
    number, *given = operands
    if not is_constant(number):
        truth(number, op)
    names = [branch.name for branch in op.get_attr("branches")]
    chosen = int(number)
    graph = _function(op, names[chosen if 0 <= chosen < len(names) else -1])
    return interpreter.run(graph, given, _outputs(graph, op), interpreter.names.path(op, prefix)[:-1])


@_controls("While", "StatelessWhile")
def _loop(interpreter: Any, op: Any, operands: list[Any], prefix: tuple[str, ...]) -> list[Any]:
    condition, body = _graph_of(op, "cond"), _graph_of(op, "body")
    scopes, values = interpreter.names.path(op, prefix)[:-1], list(operands)
    for _ in range(MOST_STEPS):
        (goes_on,) = interpreter.run(condition, values, condition.outputs[:1], scopes)
        if not truth(goes_on, op):
            return values
        values = interpreter.run(body, values, _outputs(body, op), scopes)
    raise UntranslatableError(f"the loop {said(op)} takes more than {MOST_STEPS} steps, which would all be operations")


def truth(value: Any, op: Any) -> bool:
    """A truth value that decides what an operation runs."""
    if is_constant(value):
        return bool(np.all(value))
    if isinstance(value, Weight):
        raise UntranslatableError(f"{said(op)} goes by the value of a variable")
    raise UntranslatableError(
        f"{said(op)} goes by values of the input, or by a length that is not known when the model is "
        "traced: choose by ops.where, and give sequences a length"
    )


class Items:
    """A list of tensors, as loops read and write it."""

    dtype = "variant"
    shape = ()

    def __init__(self, entries: list[Any]) -> None:
        self.entries = entries

    def replaced(self, index: int, entry: Any) -> Items:
        grown = [*self.entries, *[None] * (index + 1 - len(self.entries))]
        grown[index] = entry
        return Items(grown)


def _index(value: Any) -> int:
    return integers(value, "index into a list")[0]


@_controls("TensorListReserve", "EmptyTensorList")
def _new_list(interpreter: Any, op: Any, operands: list[Any], prefix: tuple[str, ...]) -> list[Any]:
    if op.type == "EmptyTensorList" or is_sizes(operands[1]):
        return [Items([])]
    return [Items([None] * max(_index(operands[1]), 0))]


@_controls("TensorListFromTensor")
def _from_tensor(interpreter: Any, op: Any, operands: list[Any], prefix: tuple[str, ...]) -> list[Any]:
    x = operands[0]
    if isinstance(x, StepsFirst):
        return [Items(x.entries())]
    if x.shape[0] is None:
        raise UntranslatableError(
            f"{said(op)} goes through steps whose number is not known when the model is traced: give sequences a length"
        )
    return [Items([_entry(x, i) for i in range(x.shape[0])])]


def _entry(x: Any, i: int) -> Any:
    return x.then(lambda w: w[i]) if isinstance(x, Weight) else x[i]


@_controls("TensorListGetItem")
def _item(interpreter: Any, op: Any, operands: list[Any], prefix: tuple[str, ...]) -> list[Any]:
    entry = operands[0].entries[_index(operands[1])]
    if entry is None:  # what has not been written is zeros
        shape = target_shape(operands[2])
        if -1 in shape:
            raise UntranslatableError(f"{said(op)} reads an entry that has not been written")
        entry = np.zeros(shape, op.get_attr("element_dtype").as_numpy_dtype)
    return [entry]


@_controls("TensorListSetItem")
def _set_item(interpreter: Any, op: Any, operands: list[Any], prefix: tuple[str, ...]) -> list[Any]:
    items, index, entry = operands[:3]
    return [items.replaced(_index(index), entry)]


@_controls("TensorListPushBack")
def _push(interpreter: Any, op: Any, operands: list[Any], prefix: tuple[str, ...]) -> list[Any]:
    return [Items([*operands[0].entries, operands[1]])]


@_controls("TensorListPopBack")
def _pop(interpreter: Any, op: Any, operands: list[Any], prefix: tuple[str, ...]) -> list[Any]:
    return [Items(operands[0].entries[:-1]), operands[0].entries[-1]]


@_controls("TensorListLength")
def _length(interpreter: Any, op: Any, operands: list[Any], prefix: tuple[str, ...]) -> list[Any]:
    return [np.asarray(len(operands[0].entries), dtype="int32")]


@_controls("TensorListStack")
def _stacked(interpreter: Any, op: Any, operands: list[Any], prefix: tuple[str, ...]) -> list[Any]:
    entries = operands[0].entries
    if any(entry is None for entry in entries):
        like = next((entry for entry in entries if entry is not None), None)
        if like is None or None in like.shape:
            raise UntranslatableError(f"{said(op)} reads an entry that has not been written")
        zeros = np.zeros(like.shape, op.get_attr("element_dtype").as_numpy_dtype)
        entries = [zeros if entry is None else entry for entry in entries]
    entries = [interpreter.materialized(entry) for entry in entries]
    if not any(map(is_symbolic, entries)):
        if all(map(is_constant, entries)):
            return [np.stack(entries)]
        return [weight(lambda *xs: tf.stack(xs), *entries)]
    return [StepsFirst.stacked(entries)]
