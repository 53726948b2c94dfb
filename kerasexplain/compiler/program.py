"""Pass 5, compile: the twin, a selection of neurons and a backward pass as one compiled function."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from keras import ops

from kerasexplain.backend import Compiled, compiled, differentiated, pull_back, relevance_pass, sharing
from kerasexplain.compiler.environment import Environment
from kerasexplain.compiler.execution import Execution
from kerasexplain.compiler.neurons import LARGEST, NONE, flattened, mask, unravelled
from kerasexplain.compiler.question import Answer, Given, Question
from kerasexplain.compiler.slow_calls import SlowCalls
from kerasexplain.compiler.treatments.treatment import sum_per_sample
from kerasexplain.compiler.weight_cache import WeightCache
from kerasexplain.graph.graph import Value
from kerasexplain.graph.signal import Signal
from kerasexplain.graph.taps import Tap
from kerasexplain.rules import ZB

Tensor = Any


class Readout(Protocol):
    """The functions of a method that are compiled into a program."""

    def started(self, start: Tensor) -> Tensor:
        """The relevance that the pass starts with, given what it would start with."""

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        """The result at x, from the relevance per unit of it, or the gradient."""

    def finished(self, x: Tensor, relevance: Tensor) -> Tensor:
        """The result at an input of the model, in the end."""


class Program:
    """The compiled functions of one analyzer, one for each kind of question.

    Args:
        execution: The graph to run.
        readout: What is done with the signal at the start and at the inputs.
        jit_compile: Whether XLA compiles.
        variables: The model's, which stay live.
        remat: Whether parts of the forward pass are rematerialized in the backward pass.
        precision: What products are computed in.
        slow: Says where compiling takes long.
    """

    def __init__(
        self,
        execution: Execution,
        readout: Readout,
        jit_compile: bool,
        variables: Sequence[Any] = (),
        remat: bool = False,
        precision: str = "auto",
        slow: SlowCalls | None = None,
    ) -> None:
        self._slow = SlowCalls("an analyzer") if slow is None else slow
        self._variables = variables
        self._execution, self._readout, self._jit_compile = execution, readout, jit_compile
        self._functions: dict[Question, Compiled] = {}
        self._nodes = {node.name: node for node in execution.graph.nodes}
        self.bounded = execution.bounded
        self._remat, self._precision = remat, precision

    @functools.cached_property
    def _cache(self) -> WeightCache:
        execution = self._execution
        return WeightCache(execution.of_weights(), self._variables, execution.dtype_of_relevance)

    @property
    def sharing(self) -> int:
        """How many devices share a batch."""
        return sharing(self._variables)

    @property
    def traces(self) -> int:
        """How many times a function has been traced so far."""
        return sum(function.traces for function in self._functions.values())

    def __call__(self, question: Question, given: Given) -> Answer:
        """Runs a batch."""
        kind = question.selection
        question, given = _of_any_selection(question, given)
        if question in self._functions:
            result = self._functions[question](given.flat())
        else:
            with self._slow.compiling():  # the first run, too, in which a backend compiles or optimizes
                function = self._functions[question] = self._compile(question)
                result = function(given.flat())
        if kind == "weights":
            result = {**result, "index": None, "flat_index": None}
        return Answer(**{"index": None, "relevance": [], "taps": [], **result})

    def differentiable(self, question: Question, given: Given) -> dict[str, Any]:
        """The answer as tensors, each of which can be differentiated by the model's variables and the inputs.

        Nothing is compiled: it is part of whatever the caller compiles. Nothing is taken from the weight cache, for
        that would be constants.
        """
        with differentiated():
            return self.tensors(question, given)

    def tensors(self, question: Question, given: Given) -> dict[str, Any]:
        """The answer as tensors, part of whatever the caller traces; nothing is taken from the weight cache."""
        compute = self._with_relevance if question.relevance else self._without_relevance
        return compute(question, given, given.flat())

    def _compile(self, question: Question) -> Compiled:
        dtype, inputs = self._execution.dtype_of_relevance, self._execution.signature
        vector, matrix = ((None,), "int64"), ((None, None), dtype)
        like = Given(
            inputs,
            inputs if question.baseline else [],
            vector,
            matrix,
            matrix if question.start == "array" else None,
            [matrix for _ in question.conditions],
            [(self._tapped(tap).shape, dtype) for tap in question.shifts],
        )

        compute = self._with_relevance if question.relevance else self._without_relevance
        function = functools.partial(compute, question, like)
        return compiled(
            function,
            self._jit_compile,
            like.flat(),
            self._variables,
            self._precision,
            further=self._cache.tensors,
            is_by_row=True,
        )

    def _without_relevance(self, question: Question, like: Given, tensors: list[Tensor]) -> dict[str, Any]:
        """The results of a model without relevance, compiled; arguments as of `_with_relevance`."""
        given, cached = self._operands(like, tensors)
        with cached:
            environment = self._environment(question, given)
            values = self._execution.run(given.inputs, environment)
            return self._told(question, given, values, environment.references)[0]

    def _operands(self, like: Given, tensors: list[Tensor]) -> tuple[Given, contextlib.AbstractContextManager[None]]:
        """The operands among the tensors, and the use of the others, which are what is cached of the weights."""
        count = len(like.flat())
        rest = tensors[count:]
        return like.like(tensors[:count]), self._cache.used(rest) if rest else contextlib.nullcontext()

    def _environment(self, question: Question, given: Given) -> Environment:
        baseline = self._execution.at_baseline(given.inputs, given.baseline) if question.baseline else None
        shifts = dict(zip(question.shifts, given.shifts, strict=True))
        remat = self._remat and question.relevance and baseline is None
        return Environment(shifts, baseline, self._conditions(question, given), remat=remat)

    def _with_relevance(self, question: Question, like: Given, tensors: list[Tensor]) -> dict[str, Any]:
        """All that is asked.

        Args:
            question: What is asked.
            like: How the operands lie in the tensors.
            tensors: The operands, and what is cached of the weights.
        """
        given, cached = self._operands(like, tensors)
        with cached:
            execution, graph, inputs = self._execution, self._execution.graph, given.inputs
            environment = self._environment(question, given)
            shifts, references = environment.taps, environment.references
            wanted = tuple(dict.fromkeys([*question.taps, *(Tap("output", b.node.name) for b in execution.boundaries)]))
            taps = [
                shifts.get(tap, tensor)
                for tap, tensor in zip(wanted, self._tap_tensors(wanted, inputs, references), strict=True)
            ]
            wanted_inputs = [value for value in graph.inputs if value.is_float and question.inputs]

            def forward(real: Sequence[Tensor], taps: Sequence[Tensor]) -> tuple[Tensor, dict[Value, Tensor]]:
                given_real = dict(zip(wanted_inputs, real, strict=True))
                xs = [given_real.get(value, x) for value, x in zip(graph.inputs, inputs, strict=True)]
                by_tap = dict(zip(wanted, taps, strict=True))
                values = execution.run(xs, dataclasses.replace(environment, taps=by_tap))
                return values[graph.explained], values

            with relevance_pass():
                real = [x for value, x in zip(graph.inputs, inputs, strict=True) if value in wanted_inputs]
                y, values, pullback = pull_back(forward, real, taps)
                result, weights, flat = self._told(question, given, values, references)
                start = weights
                if question.start != "one":
                    start = weights * (flat if question.start == "output" else given.start)
                start = self._readout.started(start)
                of_inputs, of_taps = pullback(start if flat is y else ops.reshape(start, ops.shape(y)))

            differences = _Differences(values, references)
            read = {tap: self._at_tap(tap, differences, signal) for tap, signal in zip(wanted, of_taps, strict=True)}
            relevance = self._of_inputs(given, differences, dict(zip(wanted_inputs, of_inputs, strict=True)), read)
            at_taps = {tap: self._per_sample(tap, read[tap]) for tap in question.taps}
            return {
                **result,
                "relevance": relevance,
                "taps": [sum_per_sample(at) if tap in question.summed else at for tap, at in at_taps.items()],
                "started": ops.sum(start, axis=-1),
                "outside": [self._outside(rule, values[node.inputs[0]]) for node, rule in self.bounded],
            }

    def _of_inputs(
        self,
        given: Given,
        values: _Differences,
        signals: Mapping[Value, Tensor],
        read: Mapping[Tap, Tensor],
    ) -> list[Tensor]:
        """The relevance of the inputs, through real numbers and through values looked up by integers."""
        graph = self._execution.graph
        of_indices = self._of_indices(read, dict(zip(graph.inputs, given.inputs, strict=True)))
        relevance = []
        for value, x in zip(graph.inputs, given.inputs, strict=True):
            if value in signals:
                own = self._read(value, values, signals[value])
            else:
                own = ops.zeros(ops.shape(x), dtype=self._execution.dtype_of_relevance)
            own = own + of_indices[value] if value in of_indices else own
            relevance.append(self._readout.finished(x, own) if value.is_float else own)
        return relevance

    def _told(
        self,
        question: Question,
        given: Given,
        values: Mapping[Value, Tensor],
        references: Mapping[Value, Tensor] | None,
    ) -> tuple[dict[str, Any], Tensor, Tensor]:
        """The results without relevance, the weights of what is explained, and the flat output."""
        graph = self._execution.graph
        y = values[graph.explained]
        flat = flattened(y)
        # Logits of different heads say less than their probabilities which output is the largest.
        ranking = flat if graph.ranking is None else flattened(values[graph.ranking])
        weights, index = mask(question.selection, given.selection, given.weights, flat, ranking)
        explained = ops.sum(weights * flat, axis=-1)
        result = {
            "outputs": [values[value] for value in graph.outputs],
            "explained": explained,
            "started": explained,
            "outside": [],
        }
        if references is not None:
            result["reference"] = ops.sum(weights * flattened(references[graph.explained]), axis=-1)
        if index is not None:
            result.update(index=index if flat is y else unravelled(index, ops.shape(y)[1:]), flat_index=index)
        return result, weights, flat

    def _conditions(self, question: Question, given: Given) -> dict[str, Tensor]:
        """Factors for what the conditioned operations give, with an axis of one for every axis but the channels'."""
        conditions = {}
        for name, factors in zip(question.conditions, given.conditions, strict=True):
            node = self._nodes[name]
            rank, axis = len(node.outputs[0].shape), self._execution.graph.channel_axes[node.outputs[0]]
            spread = [ops.shape(factors)[1] if i == axis % rank else 1 for i in range(1, rank)]
            conditions[name] = ops.reshape(factors, (-1, *spread))
        return conditions

    def _per_sample(self, tap: Tap, relevance: Tensor) -> Tensor:
        """The relevance read at a tap, one row per sample: rows that code made of one sample become an axis."""
        if tap.kind == "bias":
            return relevance
        value = self._tapped(tap)
        if value.batch_axis:
            relevance = ops.moveaxis(relevance, value.batch_axis, 0)
        return relevance if value.fold == 1 else ops.reshape(relevance, (-1, value.fold, *ops.shape(relevance)[1:]))

    def _of_indices(self, read: Mapping[Tap, Tensor], inputs: Mapping[Value, Tensor]) -> dict[Value, Tensor]:
        """The relevance of the inputs through values that are looked up by them."""
        relevance: dict[Value, Tensor] = {}
        for boundary in self._execution.boundaries:
            if boundary.sources:
                of_index = boundary.at_index(read[Tap("output", boundary.node.name)])
                for value, part in boundary.at_inputs(of_index, inputs).items():
                    relevance[value] = relevance.get(value, 0) + part
        return relevance

    def _read(self, value: Value, values: _Differences, signal: Tensor) -> Tensor:
        if self._execution.signals.get(value) is Signal.R:
            return signal
        return self._readout.attribution(values[value], signal)

    def _at_tap(self, tap: Tap, values: _Differences, signal: Tensor) -> Tensor:
        if tap.kind == "bias":
            return signal  # the tap is 1, and its relevance is what the bias takes
        return self._read(self._tapped(tap), values, signal)

    def _tapped(self, tap: Tap) -> Value:
        node = self._nodes[tap.node]
        return node.inputs[tap.index] if tap.kind == "edge" else node.outputs[tap.index]

    def _tap_tensors(
        self, taps: Sequence[Tap], inputs: Sequence[Tensor], references: Mapping[Value, Tensor] | None
    ) -> list[Tensor]:
        if not taps:
            return []
        batch, dtype = ops.shape(inputs[0])[0], self._execution.dtype_of_relevance
        shapes = self._execution.bias_taps()
        unknown = any(tap.kind != "bias" and None in self._tapped(tap).sample_shape for tap in taps)
        values = self._execution.run(inputs, Environment(dict.fromkeys(taps), references)) if unknown else {}
        # Taps of one shape share a tensor: a pullback tells them apart, and an audit has hundreds.
        made: dict[Any, Tensor] = {}
        tensors = []
        for tap in taps:
            if tap.kind == "bias":
                key: Any = shapes[tap]
                if key not in made:
                    made[key] = ops.ones((batch, *key), dtype=dtype)
            else:
                value = self._tapped(tap)
                key = (value if unknown else value.shape, value.batch_axis, value.fold)
                if key not in made:
                    shape = ops.shape(values[value]) if unknown else value.shape
                    made[key] = ops.zeros(_with_batch(shape, value, batch), dtype=dtype)
            tensors.append(made[key])
        return tensors

    @staticmethod
    def _outside(rule: ZB, x: Tensor) -> Tensor:
        """By how much each sample leaves the box of the rule."""
        below = ops.convert_to_tensor(np.asarray(rule.low), dtype=x.dtype) - x
        above = x - ops.convert_to_tensor(np.asarray(rule.high), dtype=x.dtype)
        return ops.max(ops.maximum(below, above), axis=list(range(1, len(x.shape))))


def _of_any_selection(question: Question, given: Given) -> tuple[Question, Given]:
    """The same question and operands for a function that serves every kind of selection: none is compiled anew."""
    count = len(given.inputs[0])
    index, weights = np.full(count, LARGEST), np.zeros((count, 1))
    if question.selection == "index":
        index = given.selection
    elif question.selection == "weights":
        index, weights = np.full(count, NONE), given.weights
    return dataclasses.replace(question, selection="any"), dataclasses.replace(given, selection=index, weights=weights)


class _Differences:
    """The values of a graph, or what they are more than at the baseline."""

    def __init__(self, values: Mapping[Value, Tensor], references: Mapping[Value, Tensor] | None) -> None:
        self._values, self._references = values, references

    def __getitem__(self, value: Value) -> Tensor:
        own = self._values[value]
        return own if self._references is None else own - self._references[value]


def _with_batch(shape: Sequence[Any], value: Value, batch: Any) -> tuple[Any, ...]:
    """A shape like that value's, for a batch of that size."""
    return (*shape[: value.batch_axis], batch * value.fold, *shape[value.batch_axis + 1 :])
