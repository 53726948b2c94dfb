"""Pass 5, compile: the twin, a selection of neurons and a backward pass as one compiled function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from kerasexplain.backend import compiled, pull_back, relevance_pass
from kerasexplain.execution import Execution
from kerasexplain.graph import Value
from kerasexplain.method import Method
from kerasexplain.override import Signal
from kerasexplain.rules import ZB
from kerasexplain.selection import mask, unravelled
from kerasexplain.taps import Tap

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Question:
    """What a compiled function computes besides the relevance of the inputs.

    Attributes:
        selection: How neurons are chosen: "max", "index" or "weights".
        start: "output", "one" or "array".
        taps: Where else relevance is read off.
        summed: Whether the relevance at taps and inputs is summed per sample.
    """

    selection: str
    start: str
    taps: tuple[Tap, ...] = ()
    summed: bool = False


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a compiled function returns, as numpy arrays with one row per sample.

    Attributes:
        relevance: Per model input; sums if they were asked for.
        taps: Per tap of the question, in its order; None where a tap lies on no path of relevance.
        outputs: The model's outputs, flattened.
        index: Index of the explained neuron, one column per axis of the output if it has several; None for weights.
        explained: Its value (the weighted sum, for weights).
        started: The relevance that the pass started with.
        outside: Per operation with a bounded rule: the least and greatest value at its input, minus its bounds.
    """

    relevance: list[np.ndarray]
    taps: list[np.ndarray]
    outputs: list[np.ndarray]
    index: np.ndarray | None
    explained: np.ndarray
    started: np.ndarray
    outside: list[np.ndarray]

    def first(self, samples: int) -> Answer:
        """The answer for the first samples alone."""
        return self._map(lambda arrays: arrays[0][:samples], [self])

    @classmethod
    def joined(cls, answers: Sequence[Answer]) -> Answer:
        """The answers for several batches, as one."""
        return answers[0] if len(answers) == 1 else cls._map(np.concatenate, answers)

    @classmethod
    def _map(cls, function: Callable[[list[np.ndarray]], np.ndarray], answers: Sequence[Answer]) -> Answer:
        def apply(name: str) -> Any:
            parts = [getattr(answer, name) for answer in answers]
            if isinstance(parts[0], list):
                return [function(list(arrays)) for arrays in zip(*parts, strict=True)]
            return None if parts[0] is None else function(parts)

        return cls(**{field.name: apply(field.name) for field in dataclasses.fields(cls)})


class Program:
    """The compiled functions of one analyzer, one for each kind of question.

    Args:
        execution: The graph to run.
        method: What is done with the signal at the inputs.
        jit_compile: Whether XLA compiles.
    """

    def __init__(self, execution: Execution, method: Method, jit_compile: bool) -> None:
        self._execution, self._method, self._jit_compile = execution, method, jit_compile
        self._functions: dict[Question, compiled] = {}
        self._nodes = {node.name: node for node in execution.graph.nodes}
        self.bounded = [(node, row.rule) for node, row in execution.rows.items() if isinstance(row.rule, ZB)]

    @property
    def traces(self) -> int:
        """How many times a function has been traced so far."""
        return sum(function.traces for function in self._functions.values())

    def __call__(self, question: Question, inputs: Sequence[np.ndarray], extras: Sequence[np.ndarray]) -> Answer:
        """Runs a batch: `extras` are the selection's values and the start array, where the question has them."""
        if question not in self._functions:
            self._functions[question] = self._compile(question)
        result = self._functions[question]([*inputs, *extras])
        return Answer(**{"index": None, **result})

    def _compile(self, question: Question) -> compiled:
        dtype = self._execution.dtype_of_relevance
        graph = self._execution.graph
        signature = [(value.shape, dtype if value.is_float else value.dtype) for value in graph.inputs]
        if question.selection != "max":
            signature.append(((None,), "int64") if question.selection == "index" else ((None, None), dtype))
        if question.start == "array":
            signature.append(((None, None), dtype))
        count = len(graph.inputs)

        def function(tensors: list[Tensor]) -> dict[str, Any]:
            return self._compute(question, tensors[:count], list(tensors[count:]))

        return compiled(function, self._jit_compile, signature)

    def _compute(self, question: Question, inputs: Sequence[Tensor], extras: list[Tensor]) -> dict[str, Any]:
        execution, graph = self._execution, self._execution.graph
        wanted = tuple(dict.fromkeys([*question.taps, *(Tap("output", b.node.name) for b in execution.boundaries)]))
        taps = self._tap_tensors(wanted, inputs)

        def forward(real: Sequence[Tensor], taps: Sequence[Tensor]) -> tuple[Tensor, dict[Value, Tensor]]:
            given = iter(real)
            xs = [next(given) if value.is_float else x for value, x in zip(graph.inputs, inputs, strict=True)]
            values = execution.run(xs, dict(zip(wanted, taps, strict=True)))
            return values[graph.explained], values

        with relevance_pass():
            real = [x for value, x in zip(graph.inputs, inputs, strict=True) if value.is_float]
            y, values, pullback = pull_back(forward, real, taps)
            chosen = extras.pop(0) if question.selection != "max" else None
            weights, index = mask(question.selection, chosen, y)
            flat = ops.reshape(y, ops.shape(weights))
            start = weights
            if question.start != "one":
                start = weights * (flat if question.start == "output" else extras.pop(0))
            start = self._method.started(start)
            of_inputs, of_taps = pullback(ops.reshape(start, ops.shape(y)))

        read = {tap: self._at_tap(tap, values, signal) for tap, signal in zip(wanted, of_taps, strict=True)}
        of_indices = self._of_indices(read, dict(zip(graph.inputs, inputs, strict=True)))
        relevance = []
        signals = iter(of_inputs)
        for value, x in zip(graph.inputs, inputs, strict=True):
            nothing = ops.zeros(ops.shape(x), dtype=execution.dtype_of_relevance)
            own = self._read(value, x, next(signals)) if value.is_float else nothing
            relevance.append(own + of_indices[value] if value in of_indices else own)
        at_taps = [self._per_sample(tap, read[tap]) for tap in question.taps]
        if question.summed:
            relevance, at_taps = [_summed(r) for r in relevance], [_summed(r) for r in at_taps]
        result = {
            "relevance": relevance,
            "taps": at_taps,
            "outputs": [values[value] for value in graph.outputs],
            "explained": ops.sum(weights * flat, axis=-1),
            "started": ops.sum(start, axis=-1),
            "outside": [self._outside(rule, values[node.inputs[0]]) for node, rule in self.bounded],
        }
        return result if index is None else {**result, "index": unravelled(index, ops.shape(y)[1:])}

    def _per_sample(self, tap: Tap, relevance: Tensor) -> Tensor:
        """What was read at a tap, with one row per sample: rows that code made of one sample become an axis."""
        if tap.kind == "bias":
            return relevance
        value = self._tapped(tap)
        if value.batch_axis:
            relevance = ops.moveaxis(relevance, value.batch_axis, 0)
        return relevance if value.fold == 1 else ops.reshape(relevance, (-1, value.fold, *ops.shape(relevance)[1:]))

    def _of_indices(self, read: Mapping[Tap, Tensor], inputs: Mapping[Value, Tensor]) -> dict[Value, Tensor]:
        """What the inputs get through what is looked up by them."""
        relevance: dict[Value, Tensor] = {}
        for boundary in self._execution.boundaries:
            if boundary.given is not None:
                of_index = boundary.at_index(read[Tap("output", boundary.node.name)])
                part = boundary.at_input(of_index, inputs[boundary.given])
                relevance[boundary.given] = relevance.get(boundary.given, 0) + part
        return relevance

    def _read(self, value: Value, x: Tensor, signal: Tensor) -> Tensor:
        if self._execution.signals.get(value) is Signal.R:
            return signal
        return self._method.attribution(x, signal)

    def _at_tap(self, tap: Tap, values: Mapping[Value, Tensor], signal: Tensor) -> Tensor:
        if tap.kind == "bias":
            return signal  # the tap is 1, and its relevance is what the bias takes
        value = self._tapped(tap)
        return self._read(value, values[value], signal)

    def _tapped(self, tap: Tap) -> Value:
        node = self._nodes[tap.node]
        return node.inputs[tap.index] if tap.kind == "edge" else node.outputs[tap.index]

    def _tap_tensors(self, taps: Sequence[Tap], inputs: Sequence[Tensor]) -> list[Tensor]:
        if not taps:
            return []
        batch, dtype = ops.shape(inputs[0])[0], self._execution.dtype_of_relevance
        shapes = self._execution.bias_taps()
        unknown = any(tap.kind != "bias" and _open_sizes(self._tapped(tap)) for tap in taps)
        values = self._execution.run(inputs, dict.fromkeys(taps)) if unknown else {}
        tensors = []
        for tap in taps:
            if tap.kind == "bias":
                tensors.append(ops.ones((batch, *shapes[tap]), dtype=dtype))
            elif unknown:
                value = self._tapped(tap)
                tensors.append(ops.zeros(_with_batch(ops.shape(values[value]), value, batch), dtype=dtype))
            else:
                value = self._tapped(tap)
                tensors.append(ops.zeros(_with_batch(value.shape, value, batch), dtype=dtype))
        return tensors

    @staticmethod
    def _outside(rule: ZB, x: Tensor) -> Tensor:
        """By how much each sample leaves the box of the rule."""
        below = ops.convert_to_tensor(np.asarray(rule.low), dtype=x.dtype) - x
        above = x - ops.convert_to_tensor(np.asarray(rule.high), dtype=x.dtype)
        return ops.max(ops.maximum(below, above), axis=list(range(1, len(x.shape))))


def _with_batch(shape: Sequence[Any], value: Value, batch: Any) -> tuple[Any, ...]:
    """A shape like that value's, for a batch of that size."""
    return (*shape[: value.batch_axis], batch * value.fold, *shape[value.batch_axis + 1 :])


def _open_sizes(value: Value) -> bool:
    return any(size is None for axis, size in enumerate(value.shape) if axis != value.batch_axis)


def _summed(x: Tensor) -> Tensor:
    return ops.sum(x, axis=list(range(1, len(x.shape)))) if len(x.shape) > 1 else x
