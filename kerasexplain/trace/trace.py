"""Pass 1, trace: from a Keras model to one flat graph of operations, by running its code on symbolic tensors."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras

from kerasexplain.foundation.errors import UnsupportedModelError, plain
from kerasexplain.graph.graph import Graph, Node, OpenedCall, Shape, Value
from kerasexplain.graph.primitives import Call, Opaque
from kerasexplain.operations import describe, is_closed, is_described
from kerasexplain.operations.batches import moved_batch_axis

# The expansions of cells are always there: what a process did before must not change a trace.
from kerasexplain.trace import cells  # noqa: F401
from kerasexplain.trace.expansions import expansion, reads_masks
from kerasexplain.trace.recorder import Opened, RecordedCall, Recorder, is_constant_tensor
from kerasexplain.trace.recording import recording
from kerasexplain.trace.specification import Specification, output_names
from kerasexplain.trace.weights import Recomputed, Region


def trace(model: keras.Model, specification: Specification | None = None) -> Graph:
    """The operations of a model, in an order in which they can run.

    Args:
        model: Any Keras model that can be built.
        specification: Structure, shapes and dtypes of its inputs; by default what the model itself knows of them.

    Raises:
        UnsupportedModelError: Nothing is known of the inputs' shapes, or the model's own code does not run on
            symbolic tensors.
    """
    specification = specification or Specification.of(model)
    symbolic = specification.symbolic()
    recorder = Recorder(_keep, expansion, _refusal, _translated)
    try:
        with recording(recorder), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Keras has to say, it said when the model was built
            outputs = model(symbolic, **at_inference(model))
        # Keras draws the weights of a model that has only been called on symbolic tensors when a scope ends. Until then
        # every look at a weight draws another, and `fit` fails.
        with keras.StatelessScope():
            pass
    except UnsupportedModelError:
        raise
    except Exception as error:
        raise UnsupportedModelError(
            f"the code of the model {model.name!r} ({type(model).__name__}) does not run on symbolic tensors of the "
            f"shapes {specification}: {plain(error)}"
        ) from error
    return _Builder(model, recorder).graph(specification, symbolic, outputs)


def trace_function(owner: Any, function: Callable[[Any], Any], specification: Specification) -> Graph:
    """The operations of a function of tensors, such as one step of a recurrent layer; `owner` is named in errors."""
    symbolic = specification.symbolic()
    recorder = Recorder(_keep, expansion, _refusal, _translated)
    with recording(recorder):
        outputs = recorder.run(function, symbolic)
    return _Builder(owner, recorder).graph(specification, symbolic, outputs)


def _translated(recorder: Recorder, layer: Any, code: Callable[..., Any]) -> Callable[..., Any] | None:
    """The function that runs instead of code that does not run on symbolic tensors, where the backend has one."""
    if keras.backend.backend() != "tensorflow" or is_closed(layer):
        return None
    from kerasexplain.trace.tensorflow.function import by_tensorflow

    return by_tensorflow(recorder, layer, code)


def at_inference(model: keras.Model) -> dict[str, bool]:
    """The arguments of a call by `model.predict`; else a layer whose default is training=True tells all after it."""
    return {"training": False} if getattr(model, "_call_has_training_arg", False) else {}


def _keep(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    """Whether a layer is one operation of the graph: understood as it is, or not to be opened for a reason."""
    if not is_described(layer) or reads_masks(layer, (args, kwargs)):
        return None
    if kwargs.get("training"):
        return "it is called with training=True, and not as it predicts"
    return None if _refusal(layer, args, kwargs) else ""


def _refusal(layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The catalogue's reason to refuse a call of a layer that it knows; empty where there is none."""
    if not is_described(layer):
        return ""
    tensors = _unique(keras.tree.flatten((args, kwargs)))
    primitives = [step.primitive for step in describe(Call(layer, args, kwargs, tuple(tensors)))]
    return next((primitive.reason for primitive in primitives if isinstance(primitive, Opaque)), "")


def _unique(leaves: Iterable[Any]) -> list[Any]:
    """The symbolic tensors among some leaves, each once."""
    return list({id(leaf): leaf for leaf in leaves if isinstance(leaf, keras.KerasTensor)}.values())


class _Builder:
    """Makes a graph of what was recorded."""

    def __init__(self, model: keras.Model, recorder: Recorder) -> None:
        self._records = recorder.records
        self._opened = recorder.opened
        self._model = model
        self._layer_index = {id(layer): i for i, layer in enumerate(getattr(model, "layers", ()))}
        self._known: dict[int, Value] = {}
        self._names: set[str] = set()
        self._regions: dict[Opened, Region] = {}
        self._constants: dict[int, list[Any]] = {}
        self._doubles: set[int] = set()
        self._casts: set[str] = set()

    def graph(self, specification: Specification, symbolic: Any, outputs: Any) -> Graph:
        flat = keras.tree.flatten(symbolic)
        inputs = tuple(Value(tuple(tensor.shape), _dtype(tensor)) for tensor in flat)
        self._known = {id(tensor): value for tensor, value in zip(flat, inputs, strict=True)}
        self._find_regions()
        self._doubles = {id(leaf) for leaf in _unique(keras.tree.flatten(outputs)) if _dtype(leaf) == "float64"}
        needed = self._needed(outputs)
        nodes = [node for i, record in enumerate(self._records) if i in needed for node in self._nodes(i, record)]
        structure = keras.tree.map_structure(self._output, outputs)
        values = tuple(leaf for leaf in keras.tree.flatten(structure) if isinstance(leaf, Value))
        return Graph(
            inputs=inputs,
            input_names=specification.names,
            nodes=tuple(nodes),
            outputs=values,
            output_names=output_names(self._model, structure),
            explained=values[0],
            structure=structure,
            opened=tuple(self._opened_calls()),
            casts=frozenset(self._casts),
        )

    def _opened_calls(self) -> Iterator[OpenedCall]:
        for opened in self._opened:
            if _runs_its_graph(opened.layer) or not isinstance(opened.layer, keras.layers.Layer):
                continue
            args, kwargs, outputs = keras.tree.map_structure(
                lambda leaf: self._known.get(id(leaf), leaf), (opened.args, opened.kwargs, opened.outputs)
            )
            yield OpenedCall(opened.layer, opened.name, args, kwargs, outputs)

    def _output(self, tensor: Any) -> Any:
        if not isinstance(tensor, keras.KerasTensor) and not is_constant_tensor(tensor):
            return tensor  # None, say, in the place of a cache
        if id(tensor) not in self._known:
            raise UnsupportedModelError(
                f"an output of the model {self._model.name!r} does not depend on its inputs: {tensor!r}"
            )
        return self._known[id(tensor)]

    def _needed(self, outputs: Any) -> set[int]:
        """The records that the outputs depend on: masks, say, are computed whether or not they are used."""
        wanted = {id(leaf) for leaf in keras.tree.flatten(outputs)}
        needed = set()
        for i in reversed(range(len(self._records))):
            record = self._records[i]
            if any(id(output) in wanted for output in record.outputs):
                needed.add(i)
                wanted.update(id(leaf) for leaf in keras.tree.flatten((record.args, record.kwargs)))
        return needed

    def _find_regions(self) -> None:
        """For every layer whose code computes with its weights: the constants among its operations' arguments."""
        recorded: dict[Opened, list[int]] = {}
        for i, record in enumerate(self._records):
            if record.region is not None:
                recorded.setdefault(record.region, []).append(i)
        for opened, indices in recorded.items():
            counts = [len(self._records[i].constants()) for i in indices]
            region = Region(opened, tuple(counts), expansion, _translated)
            position = itertools.count()
            for i in indices:
                self._constants[i] = [
                    Recomputed(region, next(position), tuple(constant.shape), _dtype(constant))
                    for constant in self._records[i].constants()
                ]

    def _nodes(self, index: int, record: RecordedCall) -> list[Node]:
        live = iter(self._constants.get(index, ()))

        def filled(leaf: Any) -> Any:
            if id(leaf) in self._known:
                return self._known[id(leaf)]
            return next(live) if index in self._constants and is_constant_tensor(leaf) else leaf

        args, kwargs = keras.tree.map_structure(filled, (record.args, record.kwargs))
        inputs = tuple(self._known[id(tensor)] for tensor in _unique(keras.tree.flatten((record.args, record.kwargs))))
        inputs = tuple(dict.fromkeys(inputs))
        if _changes_nothing(record, inputs) and not self._makes_double(record, inputs):
            self._casts.update({_dtype(record.outputs[0])} if inputs[0].is_float else ())
            # Relevance is computed in one precision, the output's: between floating types nothing happens.
            self._known[id(record.outputs[0])] = inputs[0]
            return []
        fold = folded_rows(record.operation, inputs, tuple(record.outputs[0].shape)) or 1
        axis = moved_batch_axis(Call(record.operation, args, kwargs, inputs)) or 0
        outputs = tuple(Value(tuple(tensor.shape), _dtype(tensor), fold, axis) for tensor in record.outputs)
        self._known.update({id(tensor): value for tensor, value in zip(record.outputs, outputs, strict=True)})
        call = Call(record.operation, args, kwargs, inputs)
        return [
            Node(
                name=self._unique_name(record.full_name),
                type=getattr(record.operation, "shown_type", type(record.operation).__name__),
                operation=record.operation,
                primitive=Opaque(call, record.reason) if record.reason else call,
                inputs=inputs,
                outputs=outputs,
                layer_index=self._layer_index.get(id(record.outermost)),
            )
        ]

    def _makes_double(self, record: RecordedCall, inputs: Sequence[Value]) -> bool:
        """Whether it gives an output double precision, after a model in double precision was less precise for once."""
        return id(record.outputs[0]) in self._doubles and inputs[0].dtype != "float64"

    def _unique_name(self, name: str) -> str:
        names = (f"{name}@{number}" if number > 1 else name for number in itertools.count(1))
        unique = next(candidate for candidate in names if candidate not in self._names)
        self._names.add(unique)
        return unique


def folded_rows(operation: Any, inputs: Sequence[Value], shape: Shape) -> int | None:
    """How many rows a sample has in the output of an operation; None where rows are not of one sample each."""
    rows = max((value.fold for value in inputs), default=1)
    if type(operation).__name__ != "Reshape" or None in (*inputs[0].shape[1:], *shape[1:]):
        return rows
    # In row-major order a sample's values stay together, whatever the shape.
    values, per_row = rows * math.prod(inputs[0].shape[1:]), math.prod(shape[1:])  # type: ignore[arg-type]
    return values // per_row if per_row and values % per_row == 0 else None


def _runs_its_graph(layer: Any) -> bool:
    """Whether a Sequential or Functional model computes nothing but the graph it was built with."""
    own = itertools.takewhile(lambda kind: not kind.__module__.startswith("keras."), type(layer).__mro__)
    is_graph = isinstance(layer, keras.Sequential) or hasattr(layer, "_inputs_struct")
    return (
        is_graph
        and "call" not in vars(layer)
        and not any("call" in vars(kind) or "__call__" in vars(kind) for kind in own)
    )


def _changes_nothing(record: RecordedCall, inputs: Sequence[Value]) -> bool:
    if type(record.operation).__name__ not in ("Cast", "ConvertToTensor") or len(inputs) != 1:
        return False
    dtype = _dtype(record.outputs[0])
    return dtype == inputs[0].dtype or (inputs[0].is_float and "float" in dtype)


def _dtype(tensor: Any) -> str:
    return str(keras.backend.standardize_dtype(tensor.dtype))
