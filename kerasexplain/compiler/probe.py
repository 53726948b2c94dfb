"""The probe: a traced graph compared with the model on random inputs, and which layer differs first."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasexplain.compiler.split import split_into_primitives
from kerasexplain.foundation.errors import UnsupportedModelError, plain
from kerasexplain.graph.graph import Graph, Value, interpret
from kerasexplain.graph.indices import boundaries
from kerasexplain.trace.specification import Specification
from kerasexplain.trace.trace import at_inference, trace
from kerasexplain.trace.weights import computed_once

Tensor = Any
#: Sizes that are tried for axes of unknown size, where a model's code needs to know them.
_SIZES = (16, 64, 4)
_BATCH = 2


def traced(model: keras.Model, specification: Specification, output: int | str = 0) -> tuple[Graph, bool]:
    """A graph that gives the model's own output, and whether it holds for its input shapes alone.

    Code that asks for the batch size, to reshape by it or to repeat a class token, can only be run on symbolic
    tensors of known shapes; every other model is traced once, for all batch sizes.

    Args:
        model: The model.
        specification: What its inputs look like.
        output: Which output is explained, or the name of an operation: others may be random.

    Raises:
        UnsupportedModelError: The model's code cannot be traced, or the graph gives another output.
    """
    candidates: list[tuple[Graph, bool]] = []
    refused: UnsupportedModelError | None = None
    for candidate in [specification, *_static(specification)]:
        is_static = candidate is not specification or specification.is_static
        try:
            graph = trace(model, candidate)
            check(model, graph, candidate, output)
        except UnsupportedModelError as error:
            refused = refused or error
            continue
        if not graph.unopened:
            return graph, is_static
        candidates.append((graph, is_static))
    if not candidates:
        assert refused is not None
        raise refused
    return min(candidates, key=lambda found: len(found[0].unopened))


def _static(specification: Specification) -> list[Specification]:
    if specification.is_static:
        return []
    sizes = _SIZES if any(None in given.shape[1:] for given in specification.inputs) else (0,)
    return [
        specification.with_shapes(
            [(given.shape[0] or _BATCH, *(axis or size for axis in given.shape[1:])) for given in specification.inputs]
        )
        for size in sizes
    ]


def check(model: keras.Model, graph: Graph, specification: Specification, output: int | str = 0) -> None:
    """Compares the graph with the model on random inputs, the last samples with zeros at the end, as for padding.

    Raises:
        UnsupportedModelError: They differ; the operation where they begin to is named.
    """
    if not graph.opened:
        return  # a plain graph of Keras layers, run as Keras runs it
    xs, expected = _tried(model, graph, specification)
    try:
        values = run(graph, xs)
    except Exception as error:
        raise UnsupportedModelError(
            f"the operations traced from the model {model.name!r} do not run: {type(error).__name__}: {plain(error)}"
        ) from error
    # A layer of another dtype policy may be less precise than the graph, which is computed in one precision.
    tolerance = max(tolerance_of(graph), *(rounding(layer.compute_dtype) for layer in model._flatten_layers()))
    chosen = _position(graph, output)
    differ = [
        position
        for position, value in enumerate(graph.outputs)
        if chosen in (None, position) and not _close(values[value], expected[position], tolerance)
    ]
    if differ and chosen is None:  # an inner operation is explained: what is random behind it does not matter
        again = drawn_outputs(model, specification, xs)[-1]
        differ = [position for position in differ if _close(again[position], expected[position], tolerance)]
    if not differ:
        return
    where = first_difference(graph, values, tolerance)
    way_out = (
        f"they begin to differ at {where}. Tell kerasexplain to keep it in one piece: kerasexplain.register_leaf"
        if where
        else "at none of its layers. Its own code depends on values, or changes a variable: a call that counts, say"
    )
    raise UnsupportedModelError(
        f"the operations traced from the model {model.name!r} give another output than the model itself; {way_out}"
    )


def outputs_of_model(model: keras.Model, specification: Specification, xs: Sequence[Tensor]) -> list[Tensor]:
    """The outputs of the model itself for inputs, flattened."""
    return drawn_outputs(model, specification, xs, draws=1)[0]


def _tried(model: keras.Model, graph: Graph, specification: Specification) -> tuple[list[Tensor], list[Tensor]]:
    """Random inputs, and the model's outputs for them: of sizes that it takes, where axes are open."""
    is_open = any(None in value.shape[1:] for value in graph.inputs)
    limits = _index_limits(graph)
    refused: Exception | None = None
    # Indices may be made of integers by adding to them, or taking from them: then few of these are in the table.
    for filled, few in itertools.product(_SIZES if is_open else _SIZES[:1], (False, True) if limits else (False,)):
        shapes = [(value.shape[0] or _BATCH, *(size or filled for size in value.shape[1:])) for value in graph.inputs]
        xs = [
            _random_input(value, shape, limits.get(value), few)
            for value, shape in zip(graph.inputs, shapes, strict=True)
        ]
        try:
            return xs, outputs_of_model(model, specification, xs)
        except Exception as error:  # a table of positions, say, may be shorter
            refused = refused or error
    assert refused is not None
    raise UnsupportedModelError(
        f"the model {model.name!r} does not run on random inputs: {type(refused).__name__}: {plain(refused)}"
    ) from refused


def drawn_outputs(
    model: keras.Model, specification: Specification, xs: Sequence[Tensor], draws: int = 2
) -> list[list[Tensor]]:
    """The outputs of the model itself, flattened; as often as asked for, if it draws random numbers."""
    given = keras.tree.map_structure(lambda position: xs[position], specification.structure)
    found: list[list[Tensor]] = []
    with keras.StatelessScope(initialize_variables=False) as scope:
        while len(found) < draws:
            outputs = model(given, **at_inference(model))
            found.append([leaf for leaf in keras.tree.flatten(outputs) if ops.is_tensor(leaf)])
            if {id(weight) for weight in model.weights}.issuperset(scope.state_mapping):
                break  # no generator of random numbers, whose state is no weight, has gone on to its next seed
    return found


def _position(graph: Graph, output: int | str) -> int | None:
    """Which of the outputs is meant; None for an inner operation."""
    if isinstance(output, str):
        return graph.output_names.index(output) if output in graph.output_names else None
    return output % len(graph.outputs) if -len(graph.outputs) <= output < len(graph.outputs) else None


def run(graph: Graph, xs: Sequence[Tensor]) -> dict[Value, Tensor]:
    """All values of a graph, by ordinary computation."""
    values = dict(zip(graph.inputs, xs, strict=True))
    with computed_once():
        interpret(graph.nodes, values)
    return values


def _random_input(value: Value, shape: tuple[int, ...], limit: int | None, few: bool) -> Tensor:
    rng = np.random.default_rng(0)
    if value.is_float and limit is None:
        return ops.convert_to_tensor(rng.normal(size=shape), dtype=value.dtype)
    if value.dtype == "string":
        return ops.convert_to_tensor(rng.integers(0, 10, size=shape).astype(str), dtype=value.dtype)
    if few:
        return ops.convert_to_tensor(rng.integers(1, 3, size=shape), dtype=value.dtype)
    x = rng.integers(0, limit or 2, size=shape)
    if len(shape) > 1:
        x[-1, shape[1] // 2 :] = 0
    return ops.convert_to_tensor(x, dtype=value.dtype)


def _index_limits(graph: Graph) -> dict[Value, int]:
    """How many things the integers of those inputs can stand for that are used as indices."""
    graph = split_into_primitives(graph)
    limits: dict[Value, int] = {}
    for boundary in boundaries(graph, list(graph.nodes)):
        size = getattr(boundary.node.operation, "input_dim", None)
        if size is None and boundary.node.type == "Cast":
            continue  # it stands for nothing but itself
        for value in boundary.sources:
            limits[value] = min(limits.get(value, 2**31), int(size or 2))
    return limits


def tolerance_of(graph: Graph) -> float:
    """Relative to the largest output: a graph of the same operations differs by rounding alone."""
    dtypes = {value.dtype for value in graph.values() if value.is_float} | graph.casts
    return max(map(rounding, dtypes), default=0.0)


def rounding(dtype: str) -> float:
    if dtype == "string":  # of layers that look words up
        return 0.0
    if "16" in dtype:
        return 0.05
    # Off TensorFlow, Keras has means and normalisation of float64 in single precision.
    return 1e-9 if keras.backend.result_type(dtype, "float32") == "float64" else 1e-4


def differing(y: Any, z: Any, tolerance: float) -> list[int]:
    """The rows in which two outputs differ: one of them is not finite, or they are not close."""
    y, z = (np.asarray(ops.convert_to_numpy(t)).astype("float64") for t in (y, z))
    if y.shape != z.shape:
        return [0]
    y, z = (t.reshape(len(t), -1) if t.ndim else t.reshape(1, 1) for t in (y, z))
    finite = np.isfinite(z)
    sizes = np.max(np.abs(z), axis=1, initial=0.0, where=finite, keepdims=True)
    # Rounding is that of the numbers inside, of which the outputs of the other samples tell.
    scale = np.maximum(sizes, max(0.1 * np.max(sizes, initial=0.0), 1e-6))
    with np.errstate(invalid="ignore"):
        same = np.where(finite, np.abs(y - z) <= tolerance * scale, ~np.isfinite(y))
    return [int(row) for row in np.flatnonzero(~same.all(axis=1))]


def _close(y: Any, z: Any, tolerance: float) -> bool:
    return not differing(y, z, tolerance)


def first_difference(graph: Graph, values: dict[Value, Tensor], tolerance: float) -> str:
    """The first opened layer, innermost first, that gives something else than its operations; empty for none.

    A model whose own code was run is the last of them, and has no name there.
    """
    for call in graph.opened:
        if not call.name:
            continue
        leaves = keras.tree.flatten((call.args, call.kwargs, call.outputs))
        if any(isinstance(leaf, Value) and leaf not in values for leaf in leaves):
            continue  # a value that no output depends on was not computed
        args, kwargs, given = keras.tree.map_structure(
            lambda leaf: values[leaf] if isinstance(leaf, Value) else leaf, (call.args, call.kwargs, call.outputs)
        )
        expected = call.layer(*args, **kwargs)
        pairs = zip(keras.tree.flatten(given), keras.tree.flatten(expected), strict=True)
        if any(ops.is_tensor(y) and not _close(y, z, tolerance) for y, z in pairs):
            return f"the layer {call.name!r} ({type(call.layer).__name__})"
    return ""
