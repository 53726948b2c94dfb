"""Pass 1, trace: from a Keras model to one flat graph of operations.

The graph is walked by operations, not by `model.layers`, which hides `x * 2` and `ops.relu`; nested models are
opened, and a layer that is called twice is two nodes over the same weights.
"""

from __future__ import annotations

import itertools
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
        input_names=tuple(_input_names(model)),
        nodes=tuple(tracer.nodes),
        outputs=outputs,
        output_names=tuple(_output_names(model)),
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
    if _redefines_call(model):
        raise UnsupportedModelError(
            f"the model {model.name!r} ({kind}) has a `call` of its own, so the graph it was built with is not what it "
            "computes: explain keras.Model(model.inputs, model.outputs), if that graph is meant"
        )


def _redefines_call(model: Any) -> bool:
    """Whether a subclass of a Sequential or Functional model computes something else than its graph."""
    own = itertools.takewhile(lambda kind: not kind.__module__.startswith("keras."), type(model).__mro__)
    return any("call" in vars(kind) or "__call__" in vars(kind) for kind in own)


def _functional(model: keras.Model) -> Any:
    # A Sequential model keeps its graph in a Functional one inside.
    return getattr(model, "_functional", None) or model


def _input_names(model: keras.Model) -> list[str]:
    """What a dict of inputs is keyed by, in the order of `model.inputs`."""
    structure = getattr(_functional(model), "_inputs_struct", None)
    if isinstance(structure, dict):
        keys = {id(tensor): key for key, tensor in structure.items()}
        if all(id(tensor) in keys for tensor in model.inputs):
            return [keys[id(tensor)] for tensor in model.inputs]
    return [tensor.name for tensor in model.inputs]


def _output_names(model: keras.Model) -> list[str]:
    structure = _output_structure(model)
    flat = len(structure) == len(model.outputs) if isinstance(structure, dict) else False
    return sorted(structure) if flat else list(_functional(model).output_names)


def _output_structure(model: keras.Model) -> Any:
    return getattr(_functional(model), "_outputs_struct", model.outputs)


def _value(tensor: Any) -> Value:
    return Value(tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype))


class _Tracer:
    def __init__(self, model: keras.Model) -> None:
        self.nodes: list[Node] = []
        self._names: set[str] = set()
        self._layer_index = {id(layer): i for i, layer in enumerate(model.layers)}
        self._outermost: int | None = None

    def open(self, model: keras.Model, known: dict[int, Value], prefix: str) -> None:
        """Adds the nodes of a model; `known` maps its symbolic tensors to values, and is extended."""
        for keras_node in _in_order(model.outputs, set(known)):
            operation = keras_node.operation
            if not prefix:
                self._outermost = self._layer_index.get(id(operation))
            name = f"{prefix}{operation.name}"
            if _can_be_opened(operation, keras_node):
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
        # A layer may itself be called "dense@2": so it is asked whether the name is taken, not how often it was.
        names = (f"{name}@{number}" if number > 1 else name for number in itertools.count(1))
        unique = next(candidate for candidate in names if candidate not in self._names)
        self._names.add(unique)
        return unique


def _can_be_opened(operation: Any, keras_node: Any) -> bool:
    """Whether a call is that of a nested model which computes its own graph, at inference and without masks."""
    if not isinstance(operation, keras.Model) or getattr(operation, "inputs", None) is None:
        return False
    arguments = keras_node.arguments
    given = [leaf for name, value in arguments.kwargs.items() if name != "inputs" for leaf in keras.tree.flatten(value)]
    return not _redefines_call(operation) and all(leaf is None or leaf is False for leaf in given)


def _bound_inputs(model: keras.Model, keras_node: Any, known: dict[int, Value]) -> Iterator[tuple[Any, Value]]:
    """Each input of a nested model with the value it is called on."""
    given = keras_node.arguments.args[0] if keras_node.arguments.args else keras_node.arguments.kwargs["inputs"]
    names = _input_names(model)
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
