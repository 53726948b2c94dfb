"""The analyzer: a model, a method, and what is asked of them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerasexplain import registry
from kerasexplain.audit import Audit, books, by_node
from kerasexplain.backend import check_eager
from kerasexplain.checks import check_choice, check_count, same
from kerasexplain.conditions import conditions_of
from kerasexplain.config import deserialize, serialize
from kerasexplain.errors import InputError
from kerasexplain.explanation import Explanation
from kerasexplain.finite import check_finite
from kerasexplain.fitting import Fitting, peeked
from kerasexplain.graph import Graph
from kerasexplain.inputs import Structure, as_arrays, batches, check_range, prepare
from kerasexplain.method import Method
from kerasexplain.passes import Passes
from kerasexplain.pipeline import Pipeline, Pipelines
from kerasexplain.program import Given, Question
from kerasexplain.reverse_graph import ReverseGraph
from kerasexplain.rows import Row, named, with_steps
from kerasexplain.selection import MODES, Selection, select
from kerasexplain.specification import Specification, holds_whole_numbers, needs_example
from kerasexplain.storage import write_analyzer
from kerasexplain.tables import rules_table
from kerasexplain.taps import Tap

#: The options that every analyzer takes, with their defaults.
COMMON_OPTIONS: dict[str, Any] = {
    "neuron_selection_mode": "max_activation",
    "start": None,
    "output": 0,
    "explain": "logits",
    "jit_compile": "auto",
    "batch_size": 32,
    "input_range": None,
    "on_unsupported": "error",
    "example": None,
}


@dataclasses.dataclass(frozen=True)
class _Samples:
    """What is explained, ready to run: arrays, how relevance gets their structure, and what runs them."""

    arrays: list[np.ndarray]
    structure: Structure
    pipelines: Pipelines
    pipeline: Pipeline
    size: int

    @property
    def count(self) -> int:
        return len(self.arrays[0])


class Analyzer:
    """Explains what a model's output owes to its inputs.

    Made by `create_analyzer`. It is a value: two analyzers are equal when their method and options are, and nothing
    is left on the model. It shares the model's variables, so that after training it explains the new weights.

    Args:
        model: A Keras model: Sequential, Functional or subclassed.
        method: The method and its options.
        neuron_selection_mode: "max_activation" explains the largest output of each sample, "index" the neuron given
            at each call, "all" the whole output at once.
        start: The relevance the backward pass starts with: None for the method's default, "output" for the explained
            value, "one", or an array shaped like the output.
        output: Index or name of the explained output of a model with several; or the name of an inner operation,
            whose output is explained then.
        explain: "logits" leaves a final softmax or sigmoid out; "activation" keeps it.
        jit_compile: Whether XLA compiles; "auto" is yes on a GPU or TPU and no on a CPU, where XLA is slower.
        batch_size: How many samples run at once.
        input_range: `(low, high)`, a promise about the inputs that makes some rules cheaper; `analyze` checks it.
        on_unsupported: "error" refuses a model with operations that have no rule, or that the method's rules are not
            for; "gradient" sends what comes back through them by their plain gradient.
        example: An input, of which only structure, shapes and dtypes count, for a subclassed model that has not been
            called. Without it such a model is looked at when first analysed.

    Raises:
        UnsupportedModelError: The model cannot be traced, or holds operations without a rule.
        ValueError: An option has no legal value.
    """

    def __init__(
        self,
        model: keras.Model,
        method: Method,
        *,
        neuron_selection_mode: str = "max_activation",
        start: Any = None,
        output: int | str = 0,
        explain: str = "logits",
        jit_compile: bool | str = "auto",
        batch_size: int = 32,
        input_range: tuple[float, float] | None = None,
        on_unsupported: str = "error",
        example: Any = None,
    ) -> None:
        check_eager()
        check_choice("neuron_selection_mode", neuron_selection_mode, MODES)
        check_choice("explain", explain, ("logits", "activation"))
        check_choice("jit_compile", jit_compile, ("auto", True, False))
        check_choice("on_unsupported", on_unsupported, ("error", "gradient"))
        if isinstance(start, str) or start is None or not method.takes_start_array:
            check_choice(f"start of {method.name!r}", start, method.legal_starts)
        check_count("batch_size", batch_size)
        if input_range is not None and not input_range[0] < input_range[1]:
            raise ValueError(f"input_range must be (low, high) with low < high, got {input_range!r}")
        self.model = model
        self.method = method
        self.options: dict[str, Any] = {
            "neuron_selection_mode": neuron_selection_mode,
            "start": start,
            "output": output,
            "explain": explain,
            "jit_compile": jit_compile,
            "batch_size": batch_size,
            "input_range": None if input_range is None else tuple(input_range),
            "on_unsupported": on_unsupported,
        }
        method.composite()  # so that a bad rule is refused here
        self._description: dict[str, Any] | None = None
        self._found: Pipelines | None = None
        if example is not None or not needs_example(model):
            self._look_at(example)

    def _look_at(self, example: Any) -> Pipelines:
        """Traces the model, if that has not been done, for inputs like the example, or as the model knows them."""
        if self._found is None:
            specification = Specification.of(self.model) if example is None else Specification.of_example(example)
            self._found = Pipelines(self.model, self.method, self.options, specification)
        elif self._found.is_outdated:  # its layers compute something else now: quantised, say, or with LoRA
            self._found = Pipelines(self.model, self.method, self.options, self._found.specification)
        return self._found

    @property
    def _first(self) -> Pipeline:
        return self._look_at(None).first

    @property
    def name(self) -> str:
        """The method's name."""
        return self.method.name

    @property
    def rows(self) -> list[Row]:
        """One row per operation: its rule, and what is known of its input."""
        return with_steps(self._first.rows)

    @property
    def graph(self) -> Graph:
        """The canonized graph that relevance runs through."""
        return self._first.graph

    @property
    def twin(self) -> ReverseGraph:
        """The model whose gradient, during a relevance pass, is relevance."""
        return self._first.twin

    @property
    def traces(self) -> int:
        """How many times a compiled function has been traced; it does not grow from one analysis to the next."""
        return self._look_at(None).traces

    def analyze(self, x: Any, neuron_selection: Any = None, batch_size: int | None = None, verbose: int = 0) -> Any:
        """The relevance of every input value.

        Args:
            x: The input, batch first: an array, or a list or dict of arrays for a model with several inputs.
            neuron_selection: What is explained, whatever the mode: an index, for all samples or one per sample (a
                tuple, or one column per axis, for outputs of higher rank; negative ones count from the end); a
                floating array shaped like the output, as weights; or a `Contrast` of one neuron with others.
            batch_size: How many samples run at once, instead of the analyzer's own.
            verbose: 1 shows a progress bar.

        Returns:
            A numpy array of x's shape, in the model's float dtype; in x's structure for several inputs.

        Raises:
            InputError: x or the selection does not fit the model, or breaks a promise made about the input.
            IndexError: A neuron is out of range.
            NotFiniteError: Relevance overflows, or the model's output is no number.

        Example:
            >>> relevance = analyzer.analyze(images, neuron_selection=3)
        """
        return self.explain(x, neuron_selection, batch_size=batch_size, verbose=verbose).relevance

    def __call__(self, inputs: Any, targets: Any = None) -> Any:
        """`analyze(inputs, targets)`, in the form that other libraries call explainers by."""
        return self.analyze(inputs, targets)

    def explain(
        self,
        x: Any,
        neuron_selection: Any = None,
        layers: Sequence[str] = (),
        bias: bool = False,
        *,
        conditions: Any = None,
        batch_size: int | None = None,
        verbose: int = 0,
    ) -> Explanation:
        """The relevance of inputs, inner layers and biases, with what was explained.

        Args:
            x: As for `analyze`.
            neuron_selection: As for `analyze`.
            layers: Names of operations, as `print(analyzer)` shows them, whose output's relevance is wanted.
            bias: Whether the relevance that every bias took is wanted.
            conditions: Which channels relevance may go through, `{"conv3": 34, "conv1": [2, 5]}`: what other channels
                of these operations would get is cut off. A list of dicts has one for every sample.
            batch_size: As for `analyze`.
            verbose: As for `analyze`.

        Raises:
            ValueError: A layer is not known, or the method says nothing of layers.
            InputError: As for `analyze`.
            NotFiniteError: As for `analyze`.
        """
        if layers and not self.method.explains_layers:
            raise ValueError(f"{self.name!r} says nothing of inner layers: leave layers= out")
        if conditions is not None and not (self.method.explains_layers and self.method.takes_conditions):
            raise ValueError(f"{self.name!r} cannot be conditioned on channels: leave conditions= out")
        samples = self._prepared(x, batch_size)
        pipeline, execution = samples.pipeline, samples.pipeline.twin.execution
        output_taps = {name: self._output_tap(pipeline, name) for name in layers}
        bias_taps = list(execution.bias_taps()) if bias else []
        # Once each: of two taps at one place only one would be read, and folded layers share theirs.
        taps = tuple(dict.fromkeys([*output_taps.values(), *bias_taps]))
        selection = self._select(samples, neuron_selection)
        passes = self._passes(samples, selection, taps, conditions, verbose)
        answer = self.method.answer(passes)
        check_finite(answer, passes, pipeline, in_one_pass=type(self.method).answer is Method.answer)
        through = dict(zip(taps, answer.taps, strict=True))
        return Explanation(
            relevance=samples.structure(answer.relevance),
            bias=self.method.of_biases(by_node(bias_taps, through)),
            layers={name: through[tap] for name, tap in output_taps.items()},
            output=self._as_model_output(pipeline.graph, answer.outputs),
            neuron=selection.neuron if answer.index is None else answer.index,
            explained=answer.explained,
            analyzer=self.description,
            reference=answer.reference,
        )

    def audit(self, x: Any, neuron_selection: Any = None) -> Audit:
        """Where relevance went: per operation what it received, delivered, gave to its bias, and lost.

        The books are kept edge by edge: what an operation delivers is read where it hands it over, not computed from
        what it received.

        Args:
            x: As for `analyze`.
            neuron_selection: As for `analyze`.

        Raises:
            ValueError: The method is of the gradient family.
        """
        if self.method.composite().plain:
            raise ValueError(f"{self.name!r} propagates no relevance that could be audited: use an lrp method")
        samples = self._prepared(x, None)
        execution = samples.pipeline.twin.execution
        edges, biases = execution.edge_taps(), list(execution.bias_taps())
        taps = tuple(dict.fromkeys([*edges, *biases]))
        passes = self._passes(samples, self._select(samples, neuron_selection), taps, summed=True)
        answer = self.method.answer(passes)
        return books(execution, answer, dict(zip(taps, answer.taps, strict=True)))

    def fit(self, data: Any, *, batch_size: int | None = None, verbose: int = 0) -> Analyzer:
        """Learns from data what the method needs: a mean, say, or patterns. It streams: one batch is held at a time.

        Methods that need nothing leave the data alone.

        Args:
            data: As for `analyze`; or an iterable of batches, such as a `tf.data.Dataset`, a `PyDataset` or a
                generator, of which the first entry counts if they are tuples.
            batch_size: As for `analyze`.
            verbose: 1 shows a progress bar.

        Returns:
            The analyzer itself, fitted.

        Raises:
            InputError: The data do not fit the model.
            ValueError: There are none.

        Example:
            >>> analyzer = create_analyzer("pattern.attribution", model).fit(x_train)
        """
        size = self._batch_size(batch_size)
        first, rest = peeked(data)
        pipelines = self._pipelines_for(first)
        inputs = len(pipelines.first.graph.inputs)
        if isinstance(data, (list, tuple)) and len(data) != inputs and hasattr(data[0], "__array__"):
            raise InputError(
                f"the data are {len(data)} arrays, but the model has {inputs} inputs: pass x, or an iterator over "
                "batches"
            )
        dtype = pipelines.first.twin.execution.dtype_of_relevance

        def prepared(x: Any) -> list[np.ndarray]:
            return prepare(x, pipelines.first.graph, dtype, pipelines.inputs)[0]

        method = self.method.fitted(Fitting(pipelines, rest, prepared, size, verbose))
        if method is not self.method:
            self._found = Pipelines(self.model, method, self.options, pipelines.specification)
            self.method, self._description = method, None
        return self

    def _batch_size(self, given: int | None) -> int:
        if given is None:
            return int(self.options["batch_size"])
        check_count("batch_size", given)
        return given

    def _pipelines_for(self, x: Any) -> Pipelines:
        """The pipelines for inputs like x, of which some models need one to be traced."""
        if self._found is None and needs_example(self.model):
            self._look_at(as_arrays(x))
        pipelines = self._look_at(None)
        if pipelines.specification.assumed and holds_whole_numbers(as_arrays(x)):
            self._found = None
            pipelines = self._look_at(as_arrays(x))
        return pipelines

    def _prepared(self, x: Any, batch_size: int | None) -> _Samples:
        self.method.check_fitted()
        size, pipelines = self._batch_size(batch_size), self._pipelines_for(x)
        first = pipelines.first
        arrays, structure = prepare(x, first.graph, first.twin.execution.dtype_of_relevance, pipelines.inputs)
        batch, _ = next(batches(arrays, size, pipelines.inputs[0][0]))
        if self.options["input_range"] is not None:
            check_range(arrays, first.graph.input_names, self.options["input_range"])
        return _Samples(arrays, structure, pipelines, pipelines.of(batch), size)

    def _passes(
        self,
        samples: _Samples,
        selection: Selection,
        taps: tuple[Tap, ...],
        conditions: Any = None,
        verbose: int = 0,
        summed: bool = False,
    ) -> Passes:
        masks = conditions_of(
            self.method.conditions if conditions is None else conditions, samples.pipeline, samples.count
        )
        start = self._start(samples.pipeline, samples.count)
        array = start if isinstance(start, np.ndarray) else None
        kind = start if array is None else "array"
        question = Question(selection.kind, kind, taps, summed, tuple(masks))
        given = Given(samples.arrays, selection=selection.values, start=array, conditions=list(masks.values()))
        return Passes(samples.pipelines, question, given, samples.size, verbose)

    def _start(self, pipeline: Pipeline, samples: int) -> Any:
        start = self.options["start"]
        if start is None:
            return self.method.default_start
        if isinstance(start, str):
            return start
        shape = tuple(size or 1 for size in pipeline.graph.explained.shape[1:])
        try:
            full = np.broadcast_to(np.asarray(start, pipeline.twin.execution.dtype_of_relevance), (samples, *shape))
        except ValueError:
            raise InputError(
                f"start has shape {np.shape(start)}; it must be shaped like the output, {shape} or {(samples, *shape)}"
            ) from None
        return np.reshape(full, (samples, -1))

    def _select(self, samples: _Samples, neuron_selection: Any) -> Selection:
        mode = self.options["neuron_selection_mode"]
        return select(neuron_selection, mode, samples.count, samples.pipeline.graph.explained.shape)

    @staticmethod
    def _output_tap(pipeline: Pipeline, name: str) -> Tap:
        return Tap("output", named(pipeline.rows, name).name)

    @staticmethod
    def _as_model_output(graph: Graph, outputs: list[np.ndarray]) -> Any:
        by_value = dict(zip(graph.outputs, outputs, strict=True))
        structure = keras.tree.map_structure(by_value.get, graph.structure)
        single = isinstance(structure, (list, tuple)) and len(structure) == 1
        return structure[0] if single else structure

    def get_config(self) -> dict[str, Any]:
        """The configuration, without the model, as plain data that JSON can hold."""
        return {"analyzer": self.name, "method": self.method.get_config(), "options": self._changed_options()}

    def _changed_options(self) -> dict[str, Any]:
        defaults = COMMON_OPTIONS
        return {name: serialize(value) for name, value in self.options.items() if not same(value, defaults[name])}

    @property
    def description(self) -> dict[str, Any]:
        """The configuration as explanations tell it: as text where it cannot be saved."""
        if self._description is None:  # arrays in it make it slow: once is enough
            try:
                self._description = self.get_config()
            except TypeError:  # a rule for a predicate can be used, but not saved
                options = self._changed_options()
                self._description = {"analyzer": self.name, "method": repr(self.method), "options": options}
        return self._description

    @classmethod
    def from_config(cls, config: dict[str, Any], model: keras.Model, learnt: dict[str, Any] | None = None) -> Analyzer:
        """The analyzer of that configuration, for a model, with what it learnt from data."""
        method = registry.find(config["analyzer"]).from_config(config["method"], **(learnt or {}))
        return cls(model, method, **{name: deserialize(value) for name, value in config["options"].items()})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the configuration, to be kept beside the model; `load_analyzer(path, model)` reads it.

        It is JSON; or HDF5, with the configuration as an attribute, if the method learnt arrays from data.
        """
        learnt = {name: getattr(self.method, name) for name in self.method.learnt}
        write_analyzer(path, self.get_config(), {name: value for name, value in learnt.items() if value is not None})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Analyzer):
            return NotImplemented
        return self.method == other.method and self._changed_options() == other._changed_options()

    def __hash__(self) -> int:
        return hash((Analyzer, self.name))  # which fitting does not change

    def __repr__(self) -> str:
        return f"<Analyzer {self.name} of {self.model.name}: {self.method!r}>"

    def __str__(self) -> str:
        title = f"{self.name} of {self.model.name}"
        if self._found is None and needs_example(self.model):
            return f"{title}: the model has not been called, so its operations are not known before the first analysis"
        return rules_table(title, self.rows, self._first.graph.notes)
