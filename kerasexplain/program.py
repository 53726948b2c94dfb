"""Pass 5, compile: the twin, a selection of neurons and a backward pass as one compiled function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from kerasexplain.backend import compiled, pull_back, relevance_pass
from kerasexplain.graph import Value
from kerasexplain.method import Method
from kerasexplain.override import Signal
from kerasexplain.reverse_graph import ReverseGraph, Tap
from kerasexplain.rules import ZB
from kerasexplain.selection import mask, unravelled

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
        twin: The model to run.
        method: What is done with the signal at the inputs.
        jit_compile: Whether XLA compiles.
    """

    def __init__(self, twin: ReverseGraph, method: Method, jit_compile: bool) -> None:
        self._twin, self._method, self._jit_compile = twin, method, jit_compile
        self._functions: dict[Question, compiled] = {}
        self._nodes = {node.name: node for node in twin.graph.nodes}
        self.bounded = [(node, row.rule) for node, row in twin.rows.items() if isinstance(row.rule, ZB)]

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
        dtype = self._twin.dtype_of_relevance
        graph = self._twin.graph
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
        twin, graph = self._twin, self._twin.graph
        taps = self._tap_tensors(question.taps, inputs)

        def forward(inputs: Sequence[Tensor], taps: Sequence[Tensor]) -> tuple[Tensor, dict[Value, Tensor]]:
            values = twin.run(inputs, dict(zip(question.taps, taps, strict=True)))
            return values[graph.explained], values

        with relevance_pass():
            y, values, pullback = pull_back(forward, list(inputs), taps)
            chosen = extras.pop(0) if question.selection != "max" else None
            weights, index = mask(question.selection, chosen, y)
            flat = ops.reshape(y, ops.shape(weights))
            start = weights
            if question.start != "one":
                start = weights * (flat if question.start == "output" else extras.pop(0))
            start = self._method.started(start)
            of_inputs, of_taps = pullback(ops.reshape(start, ops.shape(y)))

        relevance = [
            self._read(value, x, signal) for value, x, signal in zip(graph.inputs, inputs, of_inputs, strict=True)
        ]
        at_taps = [self._at_tap(tap, values, signal) for tap, signal in zip(question.taps, of_taps, strict=True)]
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

    def _read(self, value: Value, x: Tensor, signal: Tensor) -> Tensor:
        if self._twin.signals.get(value) is Signal.R:
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
        batch, dtype = ops.shape(inputs[0])[0], self._twin.dtype_of_relevance
        shapes = self._twin.bias_taps()
        unknown = any(tap.kind != "bias" and None in self._tapped(tap).shape[1:] for tap in taps)
        values = self._twin.run(inputs, dict.fromkeys(taps)) if unknown else {}
        tensors = []
        for tap in taps:
            if tap.kind == "bias":
                tensors.append(ops.ones((batch, *shapes[tap]), dtype=dtype))
            elif unknown:
                tensors.append(ops.zeros_like(values[self._tapped(tap)]))
            else:
                tensors.append(ops.zeros((batch, *self._tapped(tap).shape[1:]), dtype=dtype))
        return tensors

    @staticmethod
    def _outside(rule: ZB, x: Tensor) -> Tensor:
        """By how much each sample leaves the box of the rule."""
        below = ops.convert_to_tensor(np.asarray(rule.low), dtype=x.dtype) - x
        above = x - ops.convert_to_tensor(np.asarray(rule.high), dtype=x.dtype)
        return ops.max(ops.maximum(below, above), axis=list(range(1, len(x.shape))))


def _summed(x: Tensor) -> Tensor:
    return ops.sum(x, axis=list(range(1, len(x.shape)))) if len(x.shape) > 1 else x
