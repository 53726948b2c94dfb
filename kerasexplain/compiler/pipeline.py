"""The pipeline of a model: five passes to a compiled function, once for all batch sizes or for each input shape."""

from __future__ import annotations

import functools
from typing import Any, Protocol

import keras
import numpy as np

from kerasexplain.backend import at_once, by_xla
from kerasexplain.compiler.assign import assign
from kerasexplain.compiler.canonize import canonize
from kerasexplain.compiler.composite import Composite
from kerasexplain.compiler.options import Options
from kerasexplain.compiler.probe import traced
from kerasexplain.compiler.program import Program, Readout
from kerasexplain.compiler.reverse_graph import ReverseGraph
from kerasexplain.compiler.rows import Row
from kerasexplain.compiler.slow_calls import SlowCalls
from kerasexplain.compiler.verification import Verification
from kerasexplain.graph.graph import Graph, Shape
from kerasexplain.graph.primitives import Call
from kerasexplain.graph.recurrent import Recurrent
from kerasexplain.operations import describe
from kerasexplain.trace.fingerprint import Fingerprint
from kerasexplain.trace.specification import Specification
from kerasexplain.trace.trace import trace


class Compilable(Readout, Protocol):
    """The part of a method that the compiler needs."""

    def composite(self) -> Composite:
        """Which rule every operation follows."""


class Pipeline:
    """One traced graph of a model, its rules, its twin and its compiled functions.

    Args:
        model: The model.
        graph: Its traced graph.
        method: What is asked of it.
        options: The analyzer's common options.
        slow: Says where compiling takes long.
    """

    def __init__(
        self,
        model: keras.Model,
        graph: Graph,
        method: Compilable,
        options: Options,
        slow: SlowCalls | None = None,
    ) -> None:
        self._model, self._method, self._options, self._slow = model, method, options, slow
        self.composite: Composite = method.composite()
        self.graph = canonize(
            graph,
            output=options.output,
            explain=options.explain,
            folds=self.composite.folds,
            decides=not self.composite.against_baseline,
        )
        self.rows: list[Row] = assign(
            self.graph,
            self.composite,
            input_range=options.input_range,
            on_unsupported=options.on_unsupported,
        )

    @functools.cached_property
    def twin(self) -> ReverseGraph:
        unroll = by_xla(self._options.jit_compile)
        return ReverseGraph(self._model, self.graph, self.rows, self.composite, unroll=unroll)

    @functools.cached_property
    def program(self) -> Program:
        options = self._options
        return Program(
            self.twin.execution,
            self._method,
            by_xla(options.jit_compile),
            self._model.variables,
            remat=options.remat,
            precision=options.precision,
            slow=self._slow,
        )


class Pipelines:
    """The pipelines of one analyzer: a single one for most models, one per input shape where the model needs it.

    Args:
        model: The model.
        method: What is asked of it.
        options: The analyzer's common options.
        specification: What the model's inputs look like.
        slow: Says where compiling takes long.
    """

    def __init__(
        self,
        model: keras.Model,
        method: Compilable,
        options: Options,
        specification: Specification,
        slow: SlowCalls | None = None,
    ) -> None:
        self._model, self._method, self._options, self._slow = model, method, options, slow
        self.specification = specification
        self._fingerprint = Fingerprint(model)
        self._explained_shapes: dict[tuple[Shape, ...], Shape] = {}
        graph, is_static = traced(model, specification, options.output)
        # XLA cannot differentiate a loop of unknown length.
        self.is_static = is_static or (by_xla(options.jit_compile) and _loops_openly(graph))
        self.first = Pipeline(model, graph, method, options, slow)
        #: Compares what a batch gave with the model's own output.
        self.verify = Verification(model, specification, self.first.graph, options.verify)
        shapes = tuple(value.shape for value in graph.inputs)
        self._by_shape: dict[tuple[Shape, ...], Pipeline] = {shapes: self.first}
        #: The model's inputs as it declares them: sizes that were only filled in to trace it are open.
        self.inputs = tuple(given.shape for given in specification.inputs)

    @property
    def input_range(self) -> tuple[Any, Any] | None:
        """The promised bounds of the inputs."""
        return self._options.input_range

    @property
    def fixed(self) -> int | None:
        """The only batch size that the model takes, if it is made for one."""
        return self.inputs[0][0]

    def of(self, arrays: list[np.ndarray], count: int | None = None) -> Pipeline:
        """The pipeline for inputs of those shapes, or for so many samples like them."""
        return self.of_shapes(tuple((count or len(array), *array.shape[1:]) for array in arrays))

    def of_shapes(self, shapes: tuple[Shape, ...]) -> Pipeline:
        """The pipeline for inputs of those shapes, batch first."""
        if not self.is_static:
            return self.first
        if shapes not in self._by_shape:
            with at_once():  # it may be asked for while a framework traces a training step
                graph = trace(self._model, self.specification.with_shapes(shapes))
                self._by_shape[shapes] = Pipeline(self._model, graph, self._method, self._options, self._slow)
        return self._by_shape[shapes]

    @property
    def dtype(self) -> str:
        """The floating dtype that relevance is computed in."""
        return self.first.twin.execution.dtype_of_relevance

    def graph_at(self, sizes: tuple[Shape, ...]) -> Graph:
        """The graph for samples of some sizes, none of which it leaves open."""
        if not any(None in value.sample_shape for value in self.first.graph.values()):
            return self.first.graph
        graph = trace(self._model, self.specification.with_shapes([(1, *size) for size in sizes]))
        return Pipeline(self._model, graph, self._method, self._options).graph

    def explained_shape(self, sizes: tuple[Shape, ...]) -> Shape:
        """The shape of the explained output for samples of some sizes, none of which it leaves open."""
        if sizes not in self._explained_shapes:
            self._explained_shapes[sizes] = self.graph_at(sizes).explained.shape
        return self._explained_shapes[sizes]

    @property
    def is_outdated(self) -> bool:
        """Whether layers of the model have been made to compute something else since it was traced."""
        return self._fingerprint.is_outdated

    @property
    def traces(self) -> int:
        """How many times a compiled function has been traced so far."""
        return sum(pipeline.program.traces for pipeline in self._by_shape.values())


def _loops_openly(graph: Graph) -> bool:
    """Whether a recurrent layer runs over sequences of unknown length."""
    layers = (node.primitive for node in graph.nodes if isinstance(node.primitive, Call) and node.inputs)
    open_ones = (call for call in layers if hasattr(call.operation, "cell") and call.inputs[0].shape[1] is None)
    return any(isinstance(describe(call)[0].primitive, Recurrent) for call in open_ones)
