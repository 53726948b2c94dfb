"""Pass 1, trace: from a Keras model to one flat graph of operations.

The graph is walked by operations, not by `model.layers`, which hides `x * 2` and `ops.relu`; nested models are
opened, and a layer that is called twice is two nodes over the same weights.
"""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from kerasexplain.errors import UnsupportedModelError
from kerasexplain.graph import Graph, Node, Value
from kerasexplain.operations import Call


def trace(model: keras.Model) -> Graph:
    """The operations of a Sequential or Functional model, in an order in which they can run.

    Raises:
        UnsupportedModelError: The model has not been built, is subclassed, or works with masks.
    """
    _check_traceable(model)
    tracer = _Tracer(model)
    inputs = tuple(_value(tensor) for tensor in model.inputs)
    known = {id(tensor): value for tensor, value in zip(model.inputs, inputs, strict=True)}
    tracer.open(model, known, prefix="")
    structure = keras.tree.map_structure(lambda tensor: known[id(tensor)], _output_structure(model))
    outputs = tuple(keras.tree.flatten(structure))
    return Graph(
        inputs=inputs,
        input_names=tuple(tensor.name for tensor in model.inputs),
        nodes=tuple(tracer.nodes),
        outputs=outputs,
        output_names=tuple(model.output_names),
        explained=outputs[0],
        structure=structure,
    )


def _check_traceable(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise TypeError(f"expected a keras.Model, got {type(model).__name__}")
    kind = type(model).__name__
    if isinstance(model, keras.Sequential) and not model.built:
        raise UnsupportedModelError(
            f"the model {model.name!r} ({kind}) has not been built, so its input shape is not known: begin it with "
            "keras.Input(shape), or call model.build((None, ...)) first"
        )
    if getattr(model, "inputs", None) is None or getattr(model, "outputs", None) is None:
        raise UnsupportedModelError(
            f"the model {model.name!r} ({kind}) is subclassed: its operations can only be seen by running its code, "
            "which is not supported yet. If it can be called on symbolic inputs, wrap it: "
            "keras.Model(inputs, outputs), built from its layers, can be explained"
        )


def _output_structure(model: keras.Model) -> Any:
    functional = getattr(model, "_functional", None) or model
    return getattr(functional, "_outputs_struct", model.outputs)


def _value(tensor: Any) -> Value:
    return Value(tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype))


class _Tracer:
    def __init__(self, model: keras.Model) -> None:
        self.nodes: list[Node] = []
        self._names: collections.Counter[str] = collections.Counter()
        self._layer_index = {id(layer): i for i, layer in enumerate(model.layers)}
        self._outermost: int | None = None

    def open(self, model: keras.Model, known: dict[int, Value], prefix: str) -> None:
        """Adds the nodes of a model; `known` maps its symbolic tensors to values, and is extended."""
        for keras_node in _in_order(model.outputs, set(known)):
            operation = keras_node.operation
            if not prefix:
                self._outermost = self._layer_index.get(id(operation))
            name = f"{prefix}{operation.name}"
            if _is_model(operation):
                inner = {id(tensor): value for tensor, value in _bound_inputs(operation, keras_node, known)}
                self.open(operation, inner, prefix=f"{self._unique(name)}/")
                for inside, outside in zip(operation.outputs, keras_node.outputs, strict=True):
                    known[id(outside)] = inner[id(inside)]
            else:
                self._add(name, keras_node, known)

    def _add(self, name: str, keras_node: Any, known: dict[int, Value]) -> None:
        operation = keras_node.operation
        _refuse_masks(operation)
        arguments = keras_node.arguments
        args, kwargs = keras.tree.map_structure(
            lambda leaf: known.get(id(leaf), leaf), (arguments.args, arguments.kwargs)
        )
        inputs = tuple(dict.fromkeys(known[id(tensor)] for tensor in arguments.keras_tensors))
        outputs = tuple(_value(tensor) for tensor in keras_node.outputs)
        known.update({id(tensor): value for tensor, value in zip(keras_node.outputs, outputs, strict=True)})
        self.nodes.append(
            Node(
                name=self._unique(name),
                type=type(operation).__name__,
                operation=operation,
                primitive=Call(operation, args, kwargs, inputs),
                inputs=inputs,
                outputs=outputs,
                layer_index=self._outermost,
            )
        )

    def _unique(self, name: str) -> str:
        self._names[name] += 1
        return name if self._names[name] == 1 else f"{name}@{self._names[name]}"


def _is_model(operation: Any) -> bool:
    return isinstance(operation, keras.Model) and getattr(operation, "inputs", None) is not None


def _bound_inputs(model: keras.Model, keras_node: Any, known: dict[int, Value]) -> Iterator[tuple[Any, Value]]:
    """Each input of a nested model with the value it is called on."""
    given = keras_node.arguments.args[0] if keras_node.arguments.args else keras_node.arguments.kwargs["inputs"]
    names = [tensor.name for tensor in model.inputs]
    flat = [given[name] for name in names] if _keyed_by(given, names) else keras.tree.flatten(given)
    for tensor, argument in zip(model.inputs, flat, strict=True):
        yield tensor, known[id(argument)]


def _keyed_by(given: Any, names: Sequence[str]) -> bool:
    return isinstance(given, dict) and set(names) <= set(given)


def _in_order(outputs: Sequence[Any], given: set[int]) -> list[Any]:
    """The Keras nodes that compute `outputs` from the tensors `given` (by id), each after those it needs."""
    order: list[Any] = []
    finished: set[int] = set()
    stack = [(tensor, False) for tensor in reversed(outputs)]
    while stack:
        tensor, expanded = stack.pop()
        if id(tensor) in given:
            continue
        operation, index, _ = tensor._keras_history
        node = operation._inbound_nodes[index]
        if id(node) in finished:
            continue
        if expanded:
            finished.add(id(node))
            order.append(node)
        else:
            stack.append((tensor, True))
            stack.extend((needed, False) for needed in reversed(node.input_tensors))
    return order


def _refuse_masks(operation: Any) -> None:
    if isinstance(operation, keras.layers.Masking) or getattr(operation, "mask_zero", False):
        raise UnsupportedModelError(
            f"the layer {operation.name!r} ({type(operation).__name__}) makes a mask, and masks are not supported "
            "yet: the relevance would not be that of the model's own output"
        )
