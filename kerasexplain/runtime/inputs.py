"""The inputs of a call: from what a user passes to arrays that fit the model, and back to the user's structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasexplain.compiler.pipeline import Pipelines
from kerasexplain.foundation.errors import InputError, plain
from kerasexplain.graph.graph import Graph, Shape, Value

Structure = Callable[[list[np.ndarray]], Any]
#: Tensors that Keras would fill up with zeros.
_NOT_DENSE = {"RaggedTensor": "ragged", "RaggedTensorValue": "ragged", "SparseTensor": "sparse"}


def by_input(x: Any, names: Sequence[str]) -> tuple[list[Any], Structure]:
    """The entries of x for each input of the model, flattened, and a function that gives a list the structure of x.

    Arrays of any kind stay what they are: one on disk is read when it is cut into batches.

    Args:
        x: An array for a model with one input; otherwise a list in the order of the model's inputs, or a dict by
            their names.
        names: Of the model's inputs.

    Raises:
        InputError: x is not made for that many inputs.
    """
    given, structure = _by_input(x, names)
    arrays = [
        value if hasattr(value, "shape") and type(value).__name__ not in _NOT_DENSE else _as_array(value, name)
        for name, value in zip(names, given, strict=True)
    ]
    return arrays, structure


def tensors_by_input(x: Any, pipelines: Pipelines) -> tuple[list[Any], Structure]:
    """The entries of x for each input of the model, as tensors of the framework, and what gives a list x's structure.

    Raises:
        InputError: x is not made for that many inputs, or their shapes do not fit.
    """
    graph = pipelines.first.graph
    given, structure = _by_input(x, graph.input_names)
    tensors = []
    for entry, name, value, shape in zip(given, graph.input_names, graph.inputs, pipelines.inputs, strict=True):
        if value.dtype == "string":
            raise InputError(f"the model's input {name!r} is text, which has no relevance")
        tensor = ops.convert_to_tensor(entry)
        _check_shape(tuple(tensor.shape), f"the model's input {name!r}", shape)
        tensors.append(ops.cast(tensor, pipelines.dtype if value.is_float else value.dtype))
    return tensors, structure


def count_of(given: Sequence[Any], names: Sequence[str]) -> int:
    """How many samples the arrays hold.

    Raises:
        InputError: They do not agree.
    """
    counts = [array.shape[0] if len(array.shape) else 1 for array in given]
    if len(set(counts)) > 1:
        sizes = ", ".join(f"{name}: {count}" for name, count in zip(names, counts, strict=True))
        raise InputError(f"the inputs hold different numbers of samples ({sizes})")
    return int(counts[0] or 1)  # what has no sample, or is symbolic, is refused where it is read


def model_inputs(pipelines: Pipelines, given: Sequence[Any], begin: int = 0) -> list[np.ndarray]:
    """The model's inputs as numpy arrays of the dtypes that it runs with, every promise about them checked.

    Args:
        pipelines: What is to run.
        given: From `by_input`.
        begin: The number of the first sample, for messages.

    Raises:
        InputError: They do not fit the model: the input is named, with what was expected.
    """
    graph, dtype = pipelines.first.graph, pipelines.dtype
    arrays = [
        _array(value, name, known, shape, dtype, begin, _after_lookup(graph, known))
        for value, name, known, shape in zip(given, graph.input_names, graph.inputs, pipelines.inputs, strict=True)
    ]
    if pipelines.input_range is not None:
        check_range(arrays, graph.input_names, pipelines.input_range)
    return arrays


def _after_lookup(graph: Graph, value: Value) -> str:
    """For an input that is text: the code that explains the model behind its lookup."""
    if value.dtype != "string":
        return ""
    lookup = next((node for node in graph.nodes if value in node.inputs), None)
    if lookup is None:
        return "Leave it out of the model"
    if len(graph.inputs) > 1:
        return (
            f"Explain the model behind the lookup {lookup.name!r} ({lookup.type}): a keras.Model whose inputs have "
            f"model.get_layer({lookup.name!r}).output in place of the text. Of a keras.utils.FeatureSpace it begins at "
            "space.get_encoded_features(), and takes what space(x) gives"
        )
    return (
        f"Explain the model behind the lookup {lookup.name!r} ({lookup.type}): lookup = "
        f"model.get_layer({lookup.name!r}); behind = keras.Model(lookup.output, model.outputs); and then analyze "
        "lookup(x) with an analyzer of behind"
    )


def _by_input(x: Any, names: Sequence[str]) -> tuple[list[Any], Structure]:
    if isinstance(x, dict):
        missing = [name for name in names if name not in x]
        if missing:
            raise InputError(f"the model's inputs are {list(names)}; the input has no {missing}, only {list(x)}")
        return [x[name] for name in names], lambda arrays: dict(zip(names, arrays, strict=True))
    if isinstance(x, (list, tuple)) and len(x) == len(names) and _holds_arrays(x):
        if hasattr(x, "_make"):  # a namedtuple
            return list(x), x._make
        return list(x), lambda arrays: type(x)(arrays)  # type: ignore[call-arg]
    if len(names) == 1:
        if isinstance(x, (list, tuple)) and len(x) > 1 and _holds_arrays(x) and len({item.shape for item in x}) > 1:
            raise InputError(
                f"the model has one input, {names[0]!r}, and got {len(x)} arrays of different shapes: pass the input "
                "alone, without labels or weights"
            )
        return [x], lambda arrays: arrays[0]
    got = f"{len(x)} arrays" if isinstance(x, (list, tuple)) else "one array"
    raise InputError(f"the model has {len(names)} inputs, {list(names)}: pass a list or a dict of them, not {got}")


def _holds_arrays(x: Sequence[Any]) -> bool:
    # A list of arrays with a batch axis each, as against a nested list of numbers that is one array itself.
    return all(hasattr(item, "shape") and len(item.shape) > 0 for item in x)


def _array(x: Any, name: str, value: Value, shape: Shape, dtype: str, begin: int, way_out: str = "") -> np.ndarray:
    where = f"the model's input {name!r}"
    array = _as_array(x, name)
    if value.dtype == "string":
        raise InputError(f"{where} is text, which has no relevance. {way_out}")
    if array.dtype.kind in "US" and not array.ndim:
        raise InputError(
            f"{where} must hold real numbers, got the text {str(x)!r}: files are read first, by np.load say"
        )
    if array.dtype.kind not in "biuf" and str(array.dtype) not in ("bfloat16",):
        raise InputError(f"{where} must hold real numbers, got {array.dtype} ({type(x).__name__})")
    _check_shape(array.shape, where, shape)
    if not value.is_float:
        check_integers(array, value.dtype, where)
    with np.errstate(over="ignore"):  # overflow of the dtype is reported below
        array = array.astype(dtype if value.is_float else value.dtype)
    if value.is_float and not np.isfinite(array).all():
        bad = np.argwhere(~np.isfinite(array))
        raise InputError(
            f"{where} holds {len(bad)} values that are NaN or infinite in {dtype}, the first at "
            f"{(begin + int(bad[0][0]), *(int(i) for i in bad[0][1:]))}"
        )
    return array


def _as_array(x: Any, name: str) -> np.ndarray:
    try:
        return as_array(x)
    except InputError:
        raise
    except ValueError as error:
        ragged = isinstance(x, (list, tuple)) and "inhomogeneous" in str(error)
        why = "its rows differ in length: pad them to one length" if ragged else plain(error)
        raise InputError(f"the model's input {name!r} must be an array of numbers: {why}") from None


def check_integers(array: np.ndarray, dtype: str, where: str) -> None:
    """Raises InputError if numbers are no integers, or do not fit an integer dtype: they would wrap around."""
    if array.dtype.kind == "f" and (not np.isfinite(array).all() or np.any(array != np.round(array))):
        raise InputError(f"{where} must hold integers ({dtype})")
    if dtype == "bool" or not array.size:
        return
    limits = np.iinfo(dtype)
    if array.min() < limits.min or array.max() > limits.max:
        raise InputError(
            f"{where} must be from {limits.min} to {limits.max} ({dtype}), got {array.min()} to {array.max()}"
        )


def check_shapes(given: Sequence[Any], names: Sequence[str], shapes: Sequence[Shape]) -> None:
    """Raises InputError if arrays are not shaped as the model's inputs are."""
    for array, name, shape in zip(given, names, shapes, strict=True):
        _check_shape(tuple(array.shape), f"the model's input {name!r}", shape)


def _check_shape(shape: Shape, where: str, expected: Shape) -> None:
    if not _fits(shape, expected):
        raise InputError(f"{where} has shape {shown(expected)}, got {shape}{_way_to(expected, shape)}")
    if shape[0] == 0:
        raise InputError(f"{where} is empty: there is no sample to explain")


def _fits(shape: Shape, expected: Shape) -> bool:
    """Whether an array of a shape is a batch of what is expected."""
    return len(shape) == len(expected) and all(
        known is None or known == size for known, size in zip(expected[1:], shape[1:], strict=True)
    )


def _way_to(expected: Shape, shape: Shape) -> str:
    """The step that makes an array the expected input, where an axis is missing, or channels come first; or nothing."""
    if _fits((1, *shape), expected):
        return ". The first axis is the batch: pass x[None] for one sample"
    if _fits((*shape, 1), expected):
        return ". The last axis, of one channel, is missing: pass x[..., None]"
    if len(shape) == len(expected) > 2 and _fits((shape[0], *shape[2:], shape[1]), expected):
        return ". The channels come last: pass np.moveaxis(x, 1, -1)"
    return ""


def shown(shape: tuple[int | None, ...]) -> str:
    """A shape in words, with "batch" for a first axis of open size."""
    return "(" + ", ".join("batch" if i == 0 and size is None else str(size) for i, size in enumerate(shape)) + ")"


def as_arrays(x: Any) -> Any:
    """The input as numpy arrays, in its own structure."""
    if isinstance(x, dict):
        return keras.tree.map_structure(as_array, x)
    holds_arrays = isinstance(x, (list, tuple)) and all(hasattr(item, "shape") and item.ndim for item in x)
    return [as_array(item) for item in x] if holds_arrays else as_array(x)


def check_example(example: Any) -> None:
    """Raises InputError unless an example is an input: arrays, batch first."""
    for array in keras.tree.flatten(example):
        if not getattr(array, "shape", ()):
            raise InputError(f"example= takes an input, an array with the batch first, got {type(array).__name__}")


def as_array(x: Any) -> np.ndarray:
    """A numpy array of the same numbers. PyTorch's tensors become one only by way of Keras, on a GPU or in bfloat16.

    Raises:
        InputError: It is None, or a ragged or sparse tensor, which Keras would fill up with zeros.
    """
    if x is None:
        raise InputError("there is no input: x is None")
    if isinstance(x, np.ma.MaskedArray):
        raise InputError("the input is a masked array, whose mask means nothing to a model: pass x.filled(...)")
    kind = _NOT_DENSE.get(type(x).__name__)
    if kind is not None:
        dense = "x.to_tensor(), for a model that masks the padding" if kind == "ragged" else "tf.sparse.to_dense(x)"
        raise InputError(f"the input is a {kind} tensor, and models are explained on dense ones: pass {dense}")
    try:
        return np.asarray(ops.convert_to_numpy(x) if ops.is_tensor(x) else x)
    except TypeError as error:
        if "Tracer" not in type(error).__name__:
            raise
        raise InputError(
            "the input is traced by JAX: an analyzer takes and gives numpy arrays, and is called outside of jit, grad "
            "and vmap"
        ) from None


def check_range(arrays: Sequence[np.ndarray], names: Sequence[str], input_range: tuple[float, float]) -> None:
    """Raises InputError if a value breaks the promise made with `input_range`."""
    low, high = input_range
    for array, name in zip(arrays, names, strict=True):
        least, greatest = float(array.min()), float(array.max())
        if least < low or greatest > high:
            raise InputError(
                f"input_range=({low:g}, {high:g}) was promised, but the input {name!r} holds values from "
                f"{least:g} to {greatest:g}"
            )
