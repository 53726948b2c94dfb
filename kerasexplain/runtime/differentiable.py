"""Relevance as tensors that can be differentiated, by the weights above all: what training on relevance needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from kerasexplain.compiler.options import Options
from kerasexplain.compiler.pipeline import Pipeline, Pipelines
from kerasexplain.compiler.question import Given, Question
from kerasexplain.foundation.errors import InputError
from kerasexplain.foundation.showing import Shown
from kerasexplain.graph.graph import Shape
from kerasexplain.runtime.inputs import tensors_by_input
from kerasexplain.runtime.method import Method
from kerasexplain.runtime.selection import Contrast

Tensor = Any


@dataclasses.dataclass(frozen=True, repr=False)
class Relevance(Shown):
    """Relevance as tensors of the framework, each of which can be differentiated.

    Attributes:
        inputs: The relevance of the inputs, in the structure in which they were given.
        biases: What each bias took, by the operation; empty unless it was asked for.
        explained: The explained value of each sample.
    """

    inputs: Any
    biases: dict[str, Tensor]
    explained: Tensor


def check_one_pass(method: Method, options: Options, treated: str) -> None:
    """Raises ValueError unless the method is one backward pass, and fitted.

    Args:
        method: The analyzer's.
        options: The analyzer's.
        treated: For messages: what it cannot be otherwise, such as "differentiated".
    """
    if type(method).answer is not Method.answer:
        raise ValueError(
            f"{method.name!r} is no single backward pass over the inputs, and cannot be {treated}: choose a method "
            "of one pass, such as 'lrp.epsilon', 'lrp.epsilon_plus' or 'input_t_gradient'"
        )
    if method.conditions is not None:
        raise ValueError(f"{method.name!r} with conditions cannot be {treated}: leave conditions= out")
    if not (options.start is None or isinstance(options.start, str)):
        raise ValueError(f"{method.name!r} that starts from an array cannot be {treated}: leave start= out")
    method.check_fitted()


def differentiable(
    method: Method, options: Options, pipelines: Pipelines, x: Any, target: Any = None, bias: bool = False
) -> Relevance:
    """Relevance that can be differentiated: one backward pass, run as it is written, over the model's live variables.

    Args:
        method: The analyzer's.
        options: The analyzer's.
        pipelines: The analyzer's.
        x: The input, batch first: tensors or arrays.
        target: As for `Analyzer.differentiable`.
        bias: Whether the relevance of biases is wanted.

    Raises:
        ValueError: The method takes more than one pass, or has not been fitted.
        InputError: x or the target does not fit the model.
    """
    check_one_pass(method, options, "differentiated")
    tensors, structure = tensors_by_input(x, pipelines)
    pipeline = pipelines.of_shapes(tuple(tuple(tensor.shape) for tensor in tensors))
    execution = pipeline.twin.execution
    kind, values = _selected(target, options, pipeline, tensors)
    taps = tuple(execution.bias_taps()) if bias else ()
    question = Question(kind, method.default_start if options.start is None else options.start, taps)
    given = Given(tensors).selecting(kind, values)
    found = pipeline.program.differentiable(question, given)
    biases = {tap.node: part for tap, part in zip(taps, found["taps"], strict=True)}
    return Relevance(structure(found["relevance"]), biases, found["explained"])


def _selected(target: Any, options: Options, pipeline: Pipeline, inputs: Sequence[Tensor]) -> tuple[str, Tensor | None]:
    """The kind of selection, and its indices or weights."""
    graph, dtype = pipeline.graph, pipeline.twin.execution.dtype_of_relevance
    shape, count = graph.explained.shape[1:], ops.shape(inputs[0])[0]
    if target is None:
        if options.neuron_selection_mode == "index":
            raise InputError('neuron_selection_mode="index" needs a target: an index, or one for each sample')
        if options.neuron_selection_mode == "max_activation":
            return "max", None
        return "weights", ops.ones((count, _size(shape)), dtype=dtype)
    if isinstance(target, Contrast):
        size = _size(shape)
        of_target = ops.one_hot(_each(target.target, count, size), size, dtype=dtype)
        if target.against is not None:
            return "weights", of_target - ops.one_hot(_each(target.against, count, size), size, dtype=dtype)
        if size < 2:
            raise InputError(f"a Contrast is between several neurons, and this output has one: its shape is {shape}")
        return "weights", (of_target * size - 1) / (size - 1)
    given = ops.convert_to_tensor(target)
    if _is_real(given):
        if tuple(given.shape[1:]) != tuple(shape):
            raise InputError(
                f"a floating target holds one weight per output, for each sample, with the shape {(None, *shape)}; got "
                f"{tuple(given.shape)}. Labels are integers"
            )
        return "weights", ops.cast(ops.reshape(given, (count, -1)), dtype)
    if len(shape) > 1:
        raise InputError(
            f"the output has the shape {(None, *shape)}, in which one index says nothing: pass weights like it"
        )
    return "index", _each(target, count, shape[0] if shape else 1)


def _each(index: Any, count: Any, size: int | None) -> Tensor:
    """One index for each sample; negative ones count from the end, as `analyze` has it.

    Raises:
        IndexError: One is out of range, where the numbers are known: tensors may be traced.
    """
    if size is not None and not ops.is_tensor(index):
        wrong = [i for i in np.ravel(index) if not -size <= i < size]
        if wrong:
            raise IndexError(f"target {wrong[0]} is out of range: the output has {size} neurons per sample")
    given = ops.convert_to_tensor(index)
    if _is_real(given) or len(given.shape) > 2 or (len(given.shape) == 2 and given.shape[1] != 1):
        raise InputError(
            f"a target holds one integer for each sample, with the shape (None,); got {given.dtype} of the shape "
            f"{tuple(given.shape)}"
        )
    each = ops.cast(ops.broadcast_to(ops.reshape(given, (-1,)), (count,)), "int64")
    return each if size is None else ops.where(each < 0, each + size, each)


def _is_real(tensor: Tensor) -> bool:
    return "float" in str(tensor.dtype)


def _size(shape: Shape) -> int:
    size = 1
    for each in shape:
        if each is None:
            raise InputError(f"the output's shape {(None, *shape)} is not fully known: pass an index, or weights")
        size *= each
    return size
