"""The analyzer: a model, a method, and what is asked of them."""

from __future__ import annotations

import functools
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerasexplain import registry
from kerasexplain.audit import Audit, AuditRow
from kerasexplain.backend import on_accelerator
from kerasexplain.canonize import canonize
from kerasexplain.composite import Row, assign
from kerasexplain.config import deserialize, serialize
from kerasexplain.errors import InputError, nearest
from kerasexplain.explanation import Explanation
from kerasexplain.graph import Graph
from kerasexplain.inputs import batches, check_range, prepare
from kerasexplain.method import Method
from kerasexplain.program import Answer, Program, Question
from kerasexplain.reverse_graph import ReverseGraph, Tap
from kerasexplain.selection import MODES, Selection, select
from kerasexplain.tables import rules_table
from kerasexplain.trace import trace

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
}


class Analyzer:
    """Explains what a model's output owes to its inputs.

    Made by `create_analyzer`. It is a value: two analyzers are equal when their method and options are, and nothing
    is left on the model. It shares the model's variables, so that after training it explains the new weights.

    Args:
        model: A Sequential or Functional Keras model.
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
        self._graph = canonize(trace(model), output=output, explain=explain)
        self._composite = method.composite()
        self._rows = assign(self._graph, self._composite, input_range=input_range, on_unsupported=on_unsupported)

    @property
    def name(self) -> str:
        """The method's name."""
        return self.method.name

    @property
    def rows(self) -> list[Row]:
        """One row per operation: its rule, and what is known of its input."""
        return list(self._rows)

    @property
    def graph(self) -> Graph:
        """The canonized graph that relevance runs through."""
        return self._graph

    @functools.cached_property
    def twin(self) -> ReverseGraph:
        """The model whose gradient, during a relevance pass, is relevance."""
        return ReverseGraph(self.model, self._graph, self._rows, self._composite)

    @functools.cached_property
    def _program(self) -> Program:
        jit_compile = self.options["jit_compile"]
        return Program(self.twin, self.method, on_accelerator() if jit_compile == "auto" else jit_compile)

    @property
    def traces(self) -> int:
        """How many times a compiled function has been traced; it does not grow from one analysis to the next."""
        return self._program.traces

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
        output_taps = {name: self._output_tap(name) for name in layers}
        bias_taps = list(self.twin.bias_taps()) if bias else []
        # Once each: of two taps at one place only one would be read, and folded layers share theirs.
        taps = tuple(dict.fromkeys([*output_taps.values(), *bias_taps]))
        arrays, structure = prepare(x, self._graph, self.twin.dtype_of_relevance)
        selection = self._select(neuron_selection, len(arrays[0]))
        answer = self._ask(arrays, selection, taps, False, batch_size, verbose)
        through = dict(zip(taps, answer.taps, strict=True))
        return Explanation(
            relevance=structure(answer.relevance),
            bias={tap.node: through[tap] for tap in bias_taps},
            layers={name: through[tap] for name, tap in output_taps.items()},
            output=self._as_model_output(answer.outputs),
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
        arrays, _ = prepare(x, self._graph, self.twin.dtype_of_relevance)
        selection = self._select(neuron_selection, len(arrays[0]))
        edges = [Tap("edge", row.name, i) for row in self._rows for i in range(len(row.node.inputs))]
        bias_taps = list(self.twin.bias_taps())
        answer = self._ask(arrays, selection, (*edges, *bias_taps), True, None, 0)
        through = dict(zip((*edges, *bias_taps), answer.taps, strict=True))
        nothing = np.zeros_like(answer.started)
        received = dict.fromkeys(self._graph.values(), nothing)
        received[self._graph.explained] = answer.started
        rows = []
        for row in reversed(self._rows):
            delivered = nothing
            for i, value in enumerate(row.node.inputs):
                given = through[Tap("edge", row.name, i)]
                received[value] = received[value] + given
                delivered = delivered + given
            arrived = sum((received[value] for value in row.node.outputs), nothing)
            of_bias = through.get(Tap("bias", row.name), nothing)
            rows.append(AuditRow(row.name, row.type, row.treatment, arrived, delivered, of_bias))
        return Audit(
            rows=rows[::-1],
            explained=answer.started,
            inputs=sum(answer.relevance, nothing),
            biases=sum((through[tap] for tap in bias_taps), nothing),
        )

    def _ask(
        self,
        arrays: list[np.ndarray],
        selection: Selection,
        taps: tuple[Tap, ...],
        summed: bool,
        batch_size: int | None,
        verbose: int,
    ) -> Answer:
        if self.options["input_range"] is not None:
            check_range(arrays, self._graph.input_names, self.options["input_range"])
        start = self._start(len(arrays[0]))
        kind = "array" if isinstance(start, np.ndarray) else start
        extras = [array for array in (selection.values, start) if isinstance(array, np.ndarray)]
        question = Question(selection.kind, kind, taps, summed)
        if batch_size is not None:
            _check_batch_size(batch_size)
        size = batch_size or self.options["batch_size"]
        count = len(arrays)
        progress = keras.utils.Progbar(len(arrays[0]), verbose=1, unit_name="sample") if verbose else None
        answers = []
        for batch, samples in batches([*arrays, *extras], size, self._graph.inputs[0].shape[0]):
            answer = self._program(question, batch[:count], batch[count:])
            self._check_boxes(answer)
            answers.append(answer.first(samples))
            if progress is not None:
                progress.add(samples)
        return Answer.joined(answers)

    def _start(self, samples: int) -> Any:
        start = self.options["start"]
        if start is None:
            return self.method.default_start
        if isinstance(start, str):
            return start
        shape = tuple(size or 1 for size in self._graph.explained.shape[1:])
        try:
            full = np.broadcast_to(np.asarray(start, self.twin.dtype_of_relevance), (samples, *shape))
        except ValueError:
            raise InputError(
                f"start has shape {np.shape(start)}; it must be shaped like the output, {shape} or {(samples, *shape)}"
            ) from None
        return np.reshape(full, (samples, -1))

    def _select(self, neuron_selection: Any, samples: int) -> Selection:
        return select(neuron_selection, self.options["neuron_selection_mode"], samples, self._graph.explained.shape)

    def _check_boxes(self, answer: Answer) -> None:
        tolerance = 1e-6
        for (node, rule), outside in zip(self._program.bounded, answer.outside, strict=True):
            width = float(np.max(np.asarray(rule.high) - np.asarray(rule.low)))
            if np.any(outside > tolerance * width):
                raise InputError(
                    f"the rule {rule!r} of {node.name!r} ({node.type}) needs an input within its bounds, but it "
                    f"leaves them by up to {float(outside.max()):g}: give the bounds of the (preprocessed) input"
                )

    def _output_tap(self, name: str) -> Tap:
        for row in self._rows:
            if name == row.name or name in row.node.absorbed:
                return Tap("output", row.name)
        raise ValueError(f"no operation is named {name!r}.{nearest(name, [row.name for row in self._rows])}")

    def _as_model_output(self, outputs: list[np.ndarray]) -> Any:
        by_value = dict(zip(self._graph.outputs, outputs, strict=True))
        structure = keras.tree.map_structure(lambda value: by_value[value], self._graph.structure)
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
        return rules_table(f"{self.name} of {self.model.name}", self._rows, self._graph.notes)


def _check_choice(option: str, value: Any, legal: Sequence[Any]) -> None:
    # "auto" and True are both legal values of one option: compare type and value, so that 1 is not True.
    if not any(_same(value, choice) for choice in legal):
        raise ValueError(f"{option}={value!r} is not one of {', '.join(repr(choice) for choice in legal)}")


def _same(value: Any, other: Any) -> bool:
    return type(value) is type(other) and bool(value == other)


def _check_batch_size(batch_size: Any) -> None:
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number of at least 1, got {batch_size!r}")
