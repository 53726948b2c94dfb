"""The functions of an export: a prediction, and an explanation, as tensors by name."""

from __future__ import annotations

import dataclasses
import keyword
import math
import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasexplain.backend import Exportable
from kerasexplain.compiler.neurons import NONE
from kerasexplain.compiler.options import Options
from kerasexplain.compiler.pipeline import Pipeline
from kerasexplain.compiler.question import Given, Question
from kerasexplain.graph.graph import Shape
from kerasexplain.runtime.method import Method

Tensor = Any

#: The argument that says what is explained.
TARGET = "target"
#: Names of arguments that TensorFlow gives a meaning.
_TAKEN = ("self",)
#: By which share of a box an input may leave it: rounding.
_TOLERANCE = 1e-6


@dataclasses.dataclass(frozen=True)
class TensorNames:
    """The names of an export's tensors, each of them once.

    Attributes:
        arguments: Of the model's inputs, as arguments of the functions: Python identifiers.
        relevance: Of the relevance of the inputs, among the results.
        outputs: Of the model's outputs, among the results.
    """

    arguments: tuple[str, ...]
    relevance: tuple[str, ...]
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, pipeline: Pipeline) -> TensorNames:
        """The names that a model's own give."""
        graph = pipeline.graph
        arguments = _identifiers(graph.input_names, taken=(TARGET, *_TAKEN))
        outputs = _identifiers(graph.output_names)
        return cls(arguments, _results("relevance", arguments), _results("output", outputs))


def _identifiers(names: Sequence[str], taken: Sequence[str] = ()) -> tuple[str, ...]:
    """TensorNames as Python identifiers, no two of them the same and none of them taken."""
    found: list[str] = []
    for name in names:
        plain = re.sub(r"[^0-9a-zA-Z_]", "_", name)
        plain = plain if re.match("[a-zA-Z]", plain) and not keyword.iskeyword(plain) else f"input_{plain}"
        tried, number = plain, 0
        while tried in (*taken, *found):
            number += 1
            tried = f"{plain}_{number}"
        found.append(tried)
    return tuple(found)


def _results(kind: str, names: Sequence[str]) -> tuple[str, ...]:
    return (kind,) if len(names) == 1 else tuple(f"{kind}_{name}" for name in names)


class Functions:
    """The functions of an analyzer, over the tensors of a pipeline.

    Args:
        method: The analyzer's.
        options: The analyzer's.
        pipeline: What runs.
        batch_size: How many samples there are in every call; None leaves it open.
    """

    def __init__(self, method: Method, options: Options, pipeline: Pipeline, batch_size: int | None) -> None:
        self._options, self._pipeline = options, pipeline
        self._start = method.default_start if options.start is None else options.start
        self._batch_size = batch_size
        self.names = TensorNames.of(pipeline)

    def all(self) -> dict[str, Exportable]:
        """All of them, by name."""
        target = {**self._inputs(), TARGET: ((self._batch_size,), "int64")}
        found = {
            "predict": Exportable(self._predict, self._inputs()),
            "explain": Exportable(self._explain, target),
        }
        if self._options.neuron_selection_mode == "all":
            return {**found, "explain_all": Exportable(self._explain_all, self._inputs())}
        return {**found, "explain_largest": Exportable(self._explain_largest, self._inputs())}

    def described(self) -> dict[str, Any]:
        """The inputs and outputs of the model, and what they are called in the functions, as plain data."""
        graph, names = self._pipeline.graph, self.names
        inputs = zip(graph.input_names, self._inputs().items(), names.relevance, strict=True)
        outputs = zip(graph.output_names, names.outputs, graph.outputs, strict=True)
        return {
            "functions": {name: list(function.arguments) for name, function in self.all().items()},
            "inputs": [
                {"name": name, "argument": argument, "relevance": relevance, "shape": list(shape), "dtype": dtype}
                for name, (argument, (shape, dtype)), relevance in inputs
            ],
            "outputs": [
                {"name": name, "result": result, "shape": [self._batch_size, *value.shape[1:]]}
                for name, result, value in outputs
            ],
            "explained": {"shape": [self._batch_size, *graph.explained.shape[1:]]},
        }

    def _inputs(self) -> dict[str, tuple[Shape, str]]:
        signature = self._pipeline.twin.execution.signature
        return {
            name: ((self._batch_size, *shape[1:]), dtype)
            for name, (shape, dtype) in zip(self.names.arguments, signature, strict=True)
        }

    def _predict(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        found = self._pipeline.program.tensors(Question("max", "one", relevance=False), Given(self._given(tensors)))
        return dict(zip(self.names.outputs, found["outputs"], strict=True))

    def _explain(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return self._answer("target", Given(self._given(tensors), selection=tensors[TARGET]))

    def _explain_largest(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return self._answer("max", Given(self._given(tensors)))

    def _explain_all(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        inputs = self._given(tensors)
        size = math.prod(size or 1 for size in self._pipeline.graph.explained.shape[1:])  # none is open
        ones = ops.ones((ops.shape(inputs[0])[0], size), dtype=self._pipeline.twin.execution.dtype_of_relevance)
        return self._answer("weights", Given(inputs, weights=ones))

    def _given(self, tensors: dict[str, Tensor]) -> list[Tensor]:
        return [tensors[name] for name in self.names.arguments]

    def _answer(self, selection: str, given: Given) -> dict[str, Tensor]:
        """The results of an explanation: no numbers for samples that it is not for."""
        execution = self._pipeline.twin.execution
        taps = tuple(execution.bias_taps())
        found = self._pipeline.program.tensors(Question(selection, self._start, taps, taps), given)
        holds = self._holds(found["outside"], given.inputs)
        if selection == "target":
            holds.append(found["flat_index"] != NONE)

        def numbers(tensor: Tensor) -> Tensor:
            for each in holds:
                shaped = ops.reshape(each, (-1, *(1 for _ in tensor.shape[1:])))
                tensor = ops.where(shaped, tensor, ops.cast(np.nan, tensor.dtype))
            return tensor

        relevance = zip(self.names.relevance, found["relevance"], strict=True)
        result = dict(zip(self.names.outputs, found["outputs"], strict=True))
        result |= {name: numbers(tensor) for name, tensor in relevance}
        result["explained"] = numbers(found["explained"])
        if "flat_index" in found:
            result["neuron"] = ops.cast(found["flat_index"], "int32")
        if self._pipeline.composite.biases:
            shares = [ops.reshape(share, (-1,)) for share in found["taps"]]
            result["bias"] = numbers(sum(shares, ops.zeros_like(found["explained"])))
        return result

    def _holds(self, outside: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[Tensor]:
        """Of each promise about the inputs, by the method's rules or the analyzer's options, which samples keep it."""
        holds = [ops.all(ops.isfinite(rows), axis=1) for rows in map(_rows, inputs) if _is_float(rows)]
        for (_, rule), by in zip(self._pipeline.program.bounded, outside, strict=True):
            width = float(np.max(np.asarray(rule.high) - np.asarray(rule.low)))
            holds.append(by <= _TOLERANCE * width)
        if self._options.input_range is not None:
            low, high = self._options.input_range
            holds += [ops.all(ops.logical_and(rows >= low, rows <= high), axis=1) for rows in map(_rows, inputs)]
        return [*holds, *self._indices(inputs)]

    def _indices(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Of each lookup, which samples hold indices that it knows; of some frameworks it would be any other row."""
        graph, holds = self._pipeline.graph, []
        given = dict(zip(graph.inputs, inputs, strict=True))
        for boundary in self._pipeline.twin.execution.boundaries:
            size = getattr(boundary.node.operation, "input_dim", None)
            if size is None or not boundary.sources or boundary.index.batch_axis:
                continue
            index = given.get(boundary.index)
            index = boundary.computed(given)[boundary.index] if index is None else index
            numbers = ops.reshape(index, (ops.shape(inputs[0])[0], -1))
            holds.append(ops.all(ops.logical_and(numbers >= 0, numbers < size), axis=1))
        return holds


def _rows(x: Tensor) -> Tensor:
    """The numbers of each sample."""
    return ops.reshape(x, (ops.shape(x)[0], -1))


def _is_float(x: Tensor) -> bool:
    return "float" in keras.backend.standardize_dtype(x.dtype)
