"""The analyzer: a model, a method, and what is asked of them."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerasexplain import registry
from kerasexplain.audit import Audit, books, by_node
from kerasexplain.composite import Row, with_steps
from kerasexplain.config import deserialize, serialize
from kerasexplain.errors import InputError, nearest
from kerasexplain.explanation import Explanation
from kerasexplain.graph import Graph
from kerasexplain.inputs import Structure, batches, check_range, prepare
from kerasexplain.method import Method
from kerasexplain.pipeline import Pipeline, Pipelines
from kerasexplain.program import Answer, Program, Question
from kerasexplain.reverse_graph import ReverseGraph
from kerasexplain.selection import MODES, Selection, select
from kerasexplain.specification import Specification, holds_whole_numbers, needs_example
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
        output: Index or name of the explained output of a model with several.
        explain: "logits" leaves a final softmax or sigmoid out; "activation" keeps it.
        jit_compile: Whether XLA compiles; "auto" is yes on a GPU or TPU and no on a CPU, where XLA is slower.
        batch_size: How many samples run at once.
        input_range: `(low, high)`, a promise about the inputs that makes some rules cheaper; `analyze` checks it.
        on_unsupported: "error" refuses a model with operations that have no rule; "gradient" sends relevance through
            them by their plain gradient.
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
        _check_choice("neuron_selection_mode", neuron_selection_mode, MODES)
        _check_choice("explain", explain, ("logits", "activation"))
        _check_choice("jit_compile", jit_compile, ("auto", True, False))
        _check_choice("on_unsupported", on_unsupported, ("error", "gradient"))
        if isinstance(start, str) or start is None:
            _check_choice("start", start, (None, "output", "one"))
        _check_batch_size(batch_size)
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
        self._composite = method.composite()
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
                tuple, or one column per axis, for outputs of higher rank; negative ones count from the end); or a
                floating array shaped like the output, as weights.
            batch_size: How many samples run at once, instead of the analyzer's own.
            verbose: 1 shows a progress bar.

        Returns:
            A numpy array of x's shape, in the model's float dtype; in x's structure for several inputs.

        Raises:
            InputError: x or the selection does not fit the model, or breaks a promise made about the input.
            IndexError: A neuron is out of range.

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
        batch_size: int | None = None,
        verbose: int = 0,
    ) -> Explanation:
        """The relevance of inputs, inner layers and biases, with what was explained.

        Args:
            x: As for `analyze`.
            neuron_selection: As for `analyze`.
            layers: Names of operations, as `print(analyzer)` shows them, whose output's relevance is wanted.
            bias: Whether the relevance that every bias took is wanted.
            batch_size: As for `analyze`.
            verbose: As for `analyze`.

        Raises:
            ValueError: A layer is not known.
            InputError: As for `analyze`.
        """
        arrays, structure, pipeline = self._prepared(x, batch_size)
        execution = pipeline.twin.execution
        output_taps = {name: self._output_tap(pipeline, name) for name in layers}
        bias_taps = list(execution.bias_taps()) if bias else []
        # Once each: of two taps at one place only one would be read, and folded layers share theirs.
        taps = tuple(dict.fromkeys([*output_taps.values(), *bias_taps]))
        selection = self._select(pipeline, neuron_selection, len(arrays[0]))
        answer = self._ask(pipeline, arrays, selection, taps, False, batch_size, verbose)
        through = dict(zip(taps, answer.taps, strict=True))
        return Explanation(
            relevance=structure(answer.relevance),
            bias=by_node(bias_taps, through),
            layers={name: through[tap] for name, tap in output_taps.items()},
            output=self._as_model_output(pipeline.graph, answer.outputs),
            neuron=selection.neuron if answer.index is None else answer.index,
            explained=answer.explained,
            analyzer=self._description(),
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
        if self._composite.plain:
            raise ValueError(f"{self.name!r} propagates no relevance that could be audited: use an lrp method")
        arrays, _, pipeline = self._prepared(x, None)
        selection = self._select(pipeline, neuron_selection, len(arrays[0]))
        execution = pipeline.twin.execution
        edges, biases = execution.edge_taps(), list(execution.bias_taps())
        taps = tuple(dict.fromkeys([*edges, *biases]))
        answer = self._ask(pipeline, arrays, selection, taps, True, None, 0)
        return books(execution, answer, dict(zip(taps, answer.taps, strict=True)))

    def _prepared(self, x: Any, batch_size: int | None) -> tuple[list[np.ndarray], Structure, Pipeline]:
        """The input as arrays, how to give relevance its structure, and the pipeline for its shapes."""
        if batch_size is not None:
            _check_batch_size(batch_size)
        if self._found is None and needs_example(self.model):
            self._look_at(_as_arrays(x))
        pipelines = self._look_at(None)
        if pipelines.specification.assumed and holds_whole_numbers(_as_arrays(x)):
            self._found = None
            pipelines = self._look_at(_as_arrays(x))
        first = pipelines.first
        arrays, structure = prepare(x, first.graph, first.twin.execution.dtype_of_relevance, pipelines.inputs)
        size = batch_size or self.options["batch_size"]
        batch, _ = next(batches(arrays, size, pipelines.inputs[0][0]))
        return arrays, structure, pipelines.of(batch)

    def _ask(
        self,
        pipeline: Pipeline,
        arrays: list[np.ndarray],
        selection: Selection,
        taps: tuple[Tap, ...],
        summed: bool,
        batch_size: int | None,
        verbose: int,
    ) -> Answer:
        if self.options["input_range"] is not None:
            check_range(arrays, pipeline.graph.input_names, self.options["input_range"])
        start = self._start(pipeline, len(arrays[0]))
        kind = "array" if isinstance(start, np.ndarray) else start
        extras = [array for array in (selection.values, start) if isinstance(array, np.ndarray)]
        question = Question(selection.kind, kind, taps, summed)
        size = batch_size or self.options["batch_size"]
        count = len(arrays)
        progress = keras.utils.Progbar(len(arrays[0]), verbose=1, unit_name="sample") if verbose else None
        answers = []
        pipelines = self._look_at(None)
        for batch, samples in batches([*arrays, *extras], size, pipelines.inputs[0][0]):
            answer = pipeline.program(question, batch[:count], batch[count:])
            pipelines.verify(batch[:count], answer.outputs)
            self._check_boxes(pipeline.program, answer)
            answers.append(answer.first(samples))
            if progress is not None:
                progress.add(samples)
        return Answer.joined(answers)

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

    def _select(self, pipeline: Pipeline, neuron_selection: Any, samples: int) -> Selection:
        mode = self.options["neuron_selection_mode"]
        return select(neuron_selection, mode, samples, pipeline.graph.explained.shape)

    @staticmethod
    def _check_boxes(program: Program, answer: Answer) -> None:
        tolerance = 1e-6
        for (node, rule), outside in zip(program.bounded, answer.outside, strict=True):
            width = float(np.max(np.asarray(rule.high) - np.asarray(rule.low)))
            if np.any(outside > tolerance * width):
                raise InputError(
                    f"the rule {rule!r} of {node.name!r} ({node.type}) needs an input within its bounds, but it "
                    f"leaves them by up to {float(outside.max()):g}: give the bounds of the (preprocessed) input"
                )

    @staticmethod
    def _output_tap(pipeline: Pipeline, name: str) -> Tap:
        rows = pipeline.rows
        for row in rows:
            if name == row.name or name in row.node.absorbed:
                return Tap("output", row.name)
        raise ValueError(f"no operation is named {name!r}.{nearest(name, [row.name for row in rows])}")

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
        return {name: serialize(value) for name, value in self.options.items() if not _same(value, defaults[name])}

    def _description(self) -> dict[str, Any]:
        try:
            return self.get_config()
        except TypeError:  # a rule for a predicate can be used, but not saved
            return {"analyzer": self.name, "method": repr(self.method), "options": self._changed_options()}

    @classmethod
    def from_config(cls, config: dict[str, Any], model: keras.Model) -> Analyzer:
        """The analyzer of that configuration, for a model."""
        method = registry.find(config["analyzer"]).from_config(config["method"])
        return cls(model, method, **{name: deserialize(value) for name, value in config["options"].items()})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the configuration as JSON, to be kept beside the model; `load_analyzer(path, model)` reads it."""
        pathlib.Path(path).write_text(json.dumps(self.get_config(), indent=2), encoding="utf-8")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Analyzer):
            return NotImplemented
        return self.method == other.method and self._changed_options() == other._changed_options()

    def __hash__(self) -> int:
        return hash(self.method)

    def __repr__(self) -> str:
        return f"<Analyzer {self.name} of {self.model.name}: {self.method!r}>"

    def __str__(self) -> str:
        title = f"{self.name} of {self.model.name}"
        if self._found is None and needs_example(self.model):
            return f"{title}: the model has not been called, so its operations are not known before the first analysis"
        return rules_table(title, self.rows, self._first.graph.notes)


def _as_arrays(x: Any) -> Any:
    if isinstance(x, dict):
        return keras.tree.map_structure(np.asarray, x)
    holds_arrays = isinstance(x, (list, tuple)) and all(hasattr(item, "shape") and item.ndim for item in x)
    return [np.asarray(item) for item in x] if holds_arrays else np.asarray(x)


def _check_choice(option: str, value: Any, legal: Sequence[Any]) -> None:
    # "auto" and True are both legal values of one option: compare type and value, so that 1 is not True.
    if not any(_same(value, choice) for choice in legal):
        raise ValueError(f"{option}={value!r} is not one of {', '.join(repr(choice) for choice in legal)}")


def _same(value: Any, other: Any) -> bool:
    return type(value) is type(other) and bool(value == other)


def _check_batch_size(batch_size: Any) -> None:
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number of at least 1, got {batch_size!r}")
