"""An interpreter of graphs with overridden operations: forwards an ordinary computation, backwards relevance."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from kerasexplain.backend import added, delayed, pull_back
from kerasexplain.backend import override as overriding
from kerasexplain.compiler.against_baseline import Apply, computed_in_doubles, reveal_cancel
from kerasexplain.compiler.composite import Composite
from kerasexplain.compiler.environment import ORDINARY, Environment
from kerasexplain.compiler.linear_override import LinearOverride
from kerasexplain.compiler.remat import Cut, Segment, cut
from kerasexplain.compiler.rows import Row
from kerasexplain.compiler.treatments import Context, Overridden, overridden
from kerasexplain.compiler.treatments.treatment import quotient_at, relevance_at
from kerasexplain.compiler.weight_cache import OfWeights
from kerasexplain.graph.constants import as_constant
from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.graph import Evaluate, Graph, Node, Shape, Value, interpret, outputs_of, tensors_of
from kerasexplain.graph.indices import boundaries
from kerasexplain.graph.linear import Linear
from kerasexplain.graph.recurrent import Recurrent
from kerasexplain.graph.signal import Signal
from kerasexplain.graph.taps import Tap
from kerasexplain.rules import ZB, Ignore, LinearRule, RevealCancel
from kerasexplain.trace.weights import computed_once

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Pair:
    """A linear operation that runs as one with the nonlinearity that is its only reader.

    Attributes:
        last: The nonlinearity.
        apply: Both, as an override has it.
        compares: Whether `apply` takes the inputs' values at the baseline too.
    """

    last: Node
    apply: Apply
    compares: bool = False


class Execution:
    """A graph and its rules, ready to run.

    Args:
        graph: A canonized graph.
        rows: The rules of its operations, from `assign`.
        composite: Where the rules come from.
        starts: The values that relevance starts from, and what it starts as.
        dtype: The floating dtype to compute in.
        unroll: Whether recurrent layers are laid out step by step, where their length is known; else they are loops.

    Attributes:
        signals: What every value's gradient means in a relevance pass.
        boundaries: Where relevance ends before an input, because an index looks something up.
        bounded: The operations whose rule holds for inputs within bounds, with the rule.
    """

    def __init__(
        self,
        graph: Graph,
        rows: Sequence[Row],
        composite: Composite,
        starts: Mapping[Value, Signal],
        dtype: str,
        unroll: bool,
    ) -> None:
        self.graph = graph
        self.rows = {row.node: row for row in rows}
        self.dtype_of_relevance = dtype
        self._composite, self._unroll = composite, unroll
        self.overrides, self.signals = self._plan(starts)
        self._pairs = self._joined()
        self.bounded = [(node, row.rule) for node, row in self.rows.items() if isinstance(row.rule, ZB)]
        self.boundaries = boundaries(graph, list(self.rows))

    @property
    def signature(self) -> list[tuple[Shape, str]]:
        """Shape and dtype of each input, as it runs."""
        dtype = self.dtype_of_relevance
        return [(value.shape, dtype if value.is_float else value.dtype) for value in self.graph.inputs]

    def of_weights(self) -> list[OfWeights]:
        """The makers of tensors of weights alone: linear operations, and their overrides as they run if nothing is read
        inside of a pair.

        Kernels and biases with a BatchNormalization in them serve every question, also one that reads inside of a pair.
        """
        applied = [(self._pairs.get(node) or override).apply for node, override in self.overrides.items()]
        under_rules = [apply for apply in applied if isinstance(apply, LinearOverride)]
        return [*dict.fromkeys(apply.linear for apply in under_rules), *under_rules]

    def _plan(self, starts: Mapping[Value, Signal]) -> tuple[dict[Node, Overridden], dict[Value, Signal]]:
        """The overrides of operations and the signals of values, decided from the output down.

        A value carries R if it is where the relevance starts, or if one of its readers gives R; else Q.
        """
        signals, overrides = dict(starts), {}
        context = Context(self._composite, self._unroll, self._cell)
        for node in reversed(self.graph.nodes):
            row = self.rows.get(node)
            if row is None:
                continue
            arriving = [signals.setdefault(value, Signal.Q) for value in node.outputs]
            signal = Signal.R if Signal.R in arriving else Signal.Q
            signals.update(dict.fromkeys(node.outputs, signal))
            overrides[node] = overridden(row, signal, context)
            for value, carries in zip(node.inputs, row.carrying, strict=True):
                if carries and (overrides[node].gives is Signal.R or value not in signals):
                    signals[value] = overrides[node].gives
        return overrides, signals

    def _cell(self, row: Row) -> Execution:
        """The cell of a recurrent layer, from whose outputs Q goes back."""
        recurrent = row.node.primitive
        assert isinstance(recurrent, Recurrent)
        starts = dict.fromkeys(recurrent.cell.outputs, Signal.Q)
        return Execution(recurrent.cell, row.steps, self._composite, starts, self.dtype_of_relevance, self._unroll)

    def _joined(self) -> dict[Node, Pair]:
        """Linear operations that run as one with what alone reads them: for a rule of both, or to save keeping z."""
        sole_readers = self.graph.sole_readers()
        pairs: dict[Node, Pair] = {}
        for node, row in self.rows.items():
            last = sole_readers.get(node.outputs[0])
            if last is None or not isinstance(node.primitive, Linear):
                continue
            if not isinstance(last.primitive, Elementwise) or last not in self.rows:
                continue
            rule = self.rows[last].rule
            if isinstance(rule, RevealCancel):
                pairs[node] = Pair(last, reveal_cancel(node.primitive, last.primitive, rule), compares=True)
            elif isinstance(row.rule, LinearRule) and not row.rule.is_relative and self._runs_rectified(node, last):
                nonnegative = row.domain.nonnegative
                apply = LinearOverride(node.primitive, row.rule, Signal.Q, nonnegative, relu=last.primitive)
                pairs[node] = Pair(last, apply)
        return pairs

    def _runs_rectified(self, node: Node, last: Node) -> bool:
        """Whether a ReLU can be part of the linear operation before it: where neither is a plain gradient."""
        relu = last.primitive
        assert isinstance(relu, Elementwise)
        if self._composite.plain or not relu.is_relu or self.signals[last.outputs[0]] is not Signal.Q:
            return False
        passes = self.overrides[last].is_plain if relu.rectifies else isinstance(self.rows[last].rule, Ignore)
        return passes and not self.overrides[node].is_plain

    def run(self, inputs: Sequence[Tensor], environment: Environment = ORDINARY) -> dict[Value, Tensor]:
        """All values of the graph, where the model's inputs, flattened, are these."""
        dtype = self.dtype_of_relevance
        values = {
            value: ops.cast(x, dtype) if value.is_float else ops.convert_to_tensor(x)
            for value, x in zip(self.graph.inputs, inputs, strict=True)
        }
        merged = self._merged(environment)
        closed = {pair.last for pair in merged.values()}

        def evaluate(node: Node, values: Mapping[Value, Tensor]) -> dict[Value, Tensor]:
            return {} if node in closed else self._evaluated(node, merged.get(node), values, environment)

        parts = self._parts if environment.remat else Cut((), (), self.graph.nodes)
        with computed_once():
            interpret(parts.before, values, evaluate)
            for segment in parts.segments:
                if segment.holds(environment.read, [node.inputs[0] for node, _ in self.bounded]):
                    interpret(segment.nodes, values, evaluate)
                else:
                    values[segment.output] = self._run_again(segment, values, evaluate)
            interpret(parts.after, values, evaluate)
        return values

    def _merged(self, environment: Environment) -> dict[Node, Pair]:
        """The pairs that run as one: those between which nothing is read off."""
        if self._composite.against_baseline and environment.references is None:
            return {}
        apart = {node for node, pair in self._pairs.items() if environment.reads_between(node.name, pair.last.name)}
        for node in apart:
            if self._pairs[node].compares:
                raise ValueError(
                    f"under RevealCancel the relevance of {node.name!r} cannot be read off or conditioned, for it is "
                    f"one operation with {self._pairs[node].last.name!r}: name that one"
                )
        return {node: pair for node, pair in self._pairs.items() if node not in apart}

    def at_baseline(self, inputs: Sequence[Tensor], baseline: Sequence[Tensor]) -> dict[Value, Tensor]:
        """All values at a baseline to compare the inputs with.

        Masks, comparisons, and whatever else is computed from indices, are part of the question: they stay as they are
        at the inputs.
        """
        graph = self.graph
        decides = any(value not in graph.carriers for value in graph.values())
        return self.run(baseline, Environment(held=self.run(inputs) if decides else None))

    @functools.cached_property
    def _exact(self) -> frozenset[Node]:
        return computed_in_doubles(list(self.rows)) if self._composite.against_baseline else frozenset()

    @functools.cached_property
    def _feeding(self) -> frozenset[Node]:
        """The operations that hand their doubles on as they are: all that reads them computes in doubles, too."""
        readers = self.graph.consumers()
        read = {node: [reader for value in node.outputs for reader in readers[value]] for node in self._exact}
        kept = {*self.graph.outputs, self.graph.explained}
        return frozenset(
            node
            for node, by in read.items()
            if by and all(reader in self._exact for reader in by) and kept.isdisjoint(node.outputs)
        )

    @functools.cached_property
    def _looking_up(self) -> frozenset[Node]:
        return frozenset(boundary.node for boundary in self.boundaries if boundary.sources)

    @functools.cached_property
    def _parts(self) -> Cut:
        return cut(self.graph, joined={node.outputs[0] for node in self._pairs})

    def _run_again(self, segment: Segment, values: Mapping[Value, Tensor], evaluate: Evaluate) -> Tensor:
        """The output of a segment by rematerialization: nothing is held but what it reads."""
        read, carrying = (*segment.carriers, *segment.others), len(segment.carriers)

        def forward(*given: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
            known = dict(zip(read, given, strict=True))
            interpret(segment.nodes, known, self._plainly)
            return known[segment.output], given

        def backward(given: Sequence[Tensor], signal: Tensor) -> list[Tensor | None]:
            given = delayed(given, signal)

            def output(*carriers: Tensor) -> tuple[Tensor, None]:
                known = dict(zip(read, (*carriers, *given[carrying:]), strict=True))
                with computed_once():
                    interpret(segment.nodes, known, evaluate)
                return known[segment.output], None

            _, _, pullback = pull_back(output, *given[:carrying])
            return [*pullback(signal), *(None for _ in segment.others)]

        return overriding(forward, backward, *(values[value] for value in read))

    def _plainly(self, node: Node, values: Mapping[Value, Tensor]) -> dict[Value, Tensor]:
        return dict(zip(node.outputs, self._in_one_precision(outputs_of(node, values)), strict=True))

    def _evaluated(
        self, node: Node, pair: Pair | None, values: Mapping[Value, Tensor], environment: Environment
    ) -> dict[Value, Tensor]:
        """The outputs of a node, or of the pair that it is the first of."""
        override = self.overrides.get(node)
        if override is None:
            return self._plainly(node, values)
        last = node if pair is None else pair.last
        apply, compares = (override.apply, override.compares) if pair is None else (pair.apply, pair.compares)
        xs, references = self._operands(node, override, values, environment), environment.references
        if compares and references is None:
            apply = lambda xs, tap: node.primitive(*xs)  # noqa: E731 - the baseline's own run
        elif compares:
            assert references is not None
            # What carries nothing was held as it is, or is a constant.
            at_baseline = zip(node.inputs, xs, self.rows[node].carrying, strict=True)
            xs += [references[value] if carries else x for value, x, carries in at_baseline]
        bias = environment.taps.get(Tap("bias", node.name))
        if bias is not None and node.outputs[0].fold > 1:
            bias = ops.repeat(bias, node.outputs[0].fold, axis=0)
        ys = tensors_of(apply(xs, bias))
        if node not in self._feeding:
            ys = self._in_one_precision(ys)
        for i, value in enumerate(last.outputs):
            if override.takes is Signal.Q and self.signals.get(value) is Signal.R:
                ys[i] = quotient_at(ys[i], self._composite.outside_rules)
            if i == 0 and last.name in environment.conditions:
                ys[i] = _conditioned(ys[i], environment.conditions[last.name])
            tap = environment.taps.get(Tap("output", last.name, i))
            if tap is not None:
                ys[i] = added(ys[i], ops.cast(tap, ys[i].dtype))
        return dict(zip(last.outputs, ys, strict=True))

    def _operands(
        self, node: Node, override: Overridden, values: Mapping[Value, Tensor], environment: Environment
    ) -> list[Tensor]:
        """The inputs of a node, as its override takes them."""
        carrying, held = self.rows[node].carrying, environment.held
        if held is not None and node not in self._looking_up:  # what is looked up by indices is this run's own
            values = {value: (values if value in self.graph.carriers else held)[value] for value in node.inputs}
        xs = [values[value] for value in node.inputs]
        for i, value in enumerate(node.inputs):
            if not carrying[i] and not self._composite.plain:
                xs[i] = as_constant(xs[i])
            edge = environment.taps.get(Tap("edge", node.name, i))
            if edge is not None:
                xs[i] = added(xs[i], edge)
            if carrying[i] and override.gives is Signal.Q and self.signals[value] is Signal.R:
                xs[i] = relevance_at(xs[i])
        if node in self._exact:
            xs = [ops.cast(x, "float64") if keras.backend.is_float_dtype(x.dtype) else x for x in xs]
        return xs

    def _in_one_precision(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        # A layer that is run as it is may give half precision, by its own policy.
        dtype = self.dtype_of_relevance
        return [ops.cast(x, dtype) if keras.backend.is_float_dtype(x.dtype) else x for x in tensors]

    def edge_taps(self) -> list[Tap]:
        """One tap for every input of every operation that relevance goes to."""
        rows = self.rows.items()
        return [Tap("edge", node.name, i) for node, row in rows for i, carries in enumerate(row.carrying) if carries]

    def bias_taps(self) -> dict[Tap, tuple[int | None, ...]]:
        """All places where relevance goes to constants, with their shapes."""
        taps: dict[Tap, tuple[int | None, ...]] = {}
        for node, row in self.rows.items():
            shape = self.overrides[node].bias_shape
            if shape is not None:
                taps[Tap("bias", node.name)] = shape
            taps.update({Tap("edge", node.name, i): node.inputs[i].shape[1:] for i in row.bias_edges})
        for boundary in self.boundaries:
            if not boundary.sources:
                taps[Tap("output", boundary.node.name)] = boundary.node.outputs[0].shape[1:]
        return taps if self._composite.biases else {}


def _conditioned(y: Tensor, factors: Tensor) -> Tensor:
    """y, whose relevance is multiplied by the factors on its way back."""
    return overriding(lambda y, factors: (y, factors), lambda factors, s: (s * factors, None), y, factors)
