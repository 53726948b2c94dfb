"""The analyzer: a model, a method, and what is asked of them."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import keras

from kerasexplain import registry
from kerasexplain.audit import Audit
from kerasexplain.backend import check_eager
from kerasexplain.compiler.options import Options
from kerasexplain.compiler.pipeline import Pipeline
from kerasexplain.compiler.resolutions import resolutions
from kerasexplain.compiler.reverse_graph import ReverseGraph
from kerasexplain.compiler.rows import Row, with_steps
from kerasexplain.explanation import Explanation, joined
from kerasexplain.foundation.config import deserialize, serialize
from kerasexplain.foundation.digests import of_architecture
from kerasexplain.foundation.errors import InputError
from kerasexplain.foundation.showing import brief
from kerasexplain.foundation.storage import write_analyzer
from kerasexplain.foundation.text import visible
from kerasexplain.graph.graph import Graph
from kerasexplain.request import Request
from kerasexplain.runtime.differentiable import Relevance, differentiable
from kerasexplain.runtime.engine import Engine
from kerasexplain.runtime.fitting import Fitting
from kerasexplain.runtime.inputs import model_inputs
from kerasexplain.runtime.method import Method
from kerasexplain.runtime.results import deliver
from kerasexplain.runtime.selection import one_of
from kerasexplain.runtime.streams import Batch, Data, ahead
from kerasexplain.serving.export import export
from kerasexplain.tables import Table, Tabled, rules_table

Kept = TypeVar("Kept")


class Analyzer(Tabled):
    """Explains what a model's output owes to its inputs.

    Made by `create_analyzer`. It is a value: two analyzers are equal when their method and options are, and nothing
    is left on the model. It shares the model's variables, so that after training it explains the new weights. A layer
    whose code, variables or public attributes (numbers, text, tuples, functions) have been replaced since is looked at
    anew; what has changed inside of an attribute, such as an entry of a list, takes a new analyzer.

    Args:
        model: A Keras model: Sequential, Functional or subclassed.
        method: The method and its options.
        neuron_selection_mode: "max_activation" explains the largest output of each sample, "index" the neuron given
            at each call, "all" the whole output at once.
        start: The relevance the backward pass starts with: None for the method's default, "output" for the explained
            value, "one", or an array shaped like the output.
        output: Index or name of the explained output of a model with several; or the name of an inner layer or
            operation, whose output is explained then (of a layer, behind its activation).
        explain: "logits" leaves a final softmax or sigmoid out; "activation" keeps it.
        jit_compile: Whether XLA compiles; "auto" is yes on a GPU or TPU and no on a CPU, where XLA is slower. PyTorch
            does not support XLA, and True is refused there.
        batch_size: How many samples run at once; "auto" is the most, up to 256, that fit into half of the free memory.
            Where memory runs out all the same, half as many run, with a warning.
        input_range: `(low, high)`, a promise about the inputs that makes some rules cheaper; `analyze` checks it.
        remat: Rematerialization (checkpointing): whether the first two thirds of the forward pass run again in the
            backward pass instead of being held: half the memory for a quarter more time.
        precision: What products of single precision are computed in, "float32", "tensorfloat32" or "bfloat16"; sums are
            in single precision always. "auto" leaves it to the backend; not every device has each.
        on_unsupported: "error" refuses a model with operations that have no rule, or that the method's rules are not
            for; "gradient" sends what comes back through them by their plain gradient.
        verify: Which batches are compared with the model's own output, row by row, at the cost of a forward pass each:
            "first" is the first of every size of sample, and of every way in which samples of a model with masks are
            padded; "always" is every batch; False is none.
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
        batch_size: int | str = 32,
        input_range: tuple[float, float] | None = None,
        remat: bool = False,
        precision: str = "auto",
        on_unsupported: str = "error",
        verify: str | bool = "first",
        example: Any = None,
    ) -> None:
        check_eager()
        self.model = model
        self.method = method
        self.options = Options(
            neuron_selection_mode=neuron_selection_mode,
            start=start,
            output=output,
            explain=explain,
            jit_compile=jit_compile,
            batch_size=batch_size,
            input_range=input_range,
            remat=remat,
            precision=precision,
            on_unsupported=on_unsupported,
            verify=verify,
        )
        method.check_start(start)
        method.composite()  # so that a bad rule is refused here
        self._description: dict[str, Any] | None = None
        self._has_remarked = False
        self._kept: dict[str, Any] = {}
        self._engine = Engine(model, method, self.options)
        if example is not None or self._engine.is_ready:
            self._engine.pipelines(example)

    def kept(self, name: str, make: Callable[[], Kept]) -> Kept:
        """A thing made once for this analyzer and used again, such as a function that a metric has compiled."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    @property
    def _first(self) -> Pipeline:
        return self._engine.pipelines().first

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
    def resolutions(self) -> list[str]:
        """One operation for every size of map, from coarse to fine: all relevance goes through each of them.

        `explain(x, layers=analyzer.resolutions).resolutions()` gives their maps, and the input's, in one pass.

        Raises:
            ValueError: The model leaves the size of its maps open, or has channels in the first axis.
        """
        return resolutions(self.graph, self._first.rows)

    @property
    def twin(self) -> ReverseGraph:
        """The model whose gradient, during a relevance pass, is relevance."""
        return self._first.twin

    @property
    def traces(self) -> int:
        """How many times a compiled function has been traced; it does not grow from one analysis to the next."""
        return self._engine.pipelines().traces

    def analyze(
        self,
        x: Any,
        neuron_selection: Any = None,
        batch_size: int | str | None = None,
        verbose: int = 0,
        *,
        target: Any = None,
        out: Any = None,
        callback: Callable[[slice, Any], None] | None = None,
    ) -> Any:
        """The relevance of every input value.

        With `out` or `callback`, memory does not grow with the number of samples. Input is prepared, and output is
        taken, each in a thread of its own, while the model computes.

        Args:
            x: The input, batch first: an array, or a list or dict of arrays for a model with several inputs. Or a
                stream of such batches: a `tf.data.Dataset`, a `PyDataset`, a generator; as in `fit` of a model, the
                first entry of batches that are tuples counts.
            neuron_selection: What is explained, whatever the mode: an index, for all samples or one per sample (a
                tuple, or one column per axis, for outputs of higher rank; negative ones count from the end); a
                floating array shaped like the output, as weights, or a mask of a region of it (truth values; zeros and
                ones, in outputs of several axes or as one-hot rows); or a `Contrast` of one neuron with others. For a
                stream, what holds for all samples, or a function from a batch as the stream gives it to what holds
                for its samples.
            batch_size: How many samples run at once, instead of the analyzer's own. A stream's batches run as they are
                if they are not larger.
            verbose: 1 shows a progress bar. Whatever it is, a first call that compiles for more than two seconds says
                so in one line, once for an analyzer, by the logger "kerasexplain" (on stderr, unless it is set up).
            target: Another name of `neuron_selection`.
            out: What the relevance is written to, instead of a new array: an array, `np.memmap`, HDF5 dataset or the
                like of x's shape, in x's structure for several inputs.
            callback: Called with `(rows, relevance)` for each batch, in order; rows is a slice. Nothing is kept.

        Returns:
            A numpy array of x's shape, in the model's float dtype; in x's structure for several inputs. With a
            callback, `out`.

        Raises:
            InputError: x, the selection or out do not fit the model, or x breaks a promise made about the input.
            IndexError: A neuron is out of range.
            NotFiniteError: Relevance overflows, or the model's output is no number.
            MemoryError: A single sample does not fit into memory.

        Example:
            >>> relevance = analyzer.analyze(images, neuron_selection=3)
            >>> analyzer.analyze(dataset, lambda batch: batch[1], out=np.memmap("r.f32", "float32", "w+", shape=shape))
        """
        found = self._explanations(x, one_of(neuron_selection, target), batch_size, verbose)
        if out is None and callback is None:
            return joined([explanation.relevance for _, explanation in found])
        return deliver(((batch, explanation.relevance) for batch, explanation in found), out, callback)

    def __call__(self, inputs: Any, targets: Any = None) -> Any:
        """`analyze(inputs, targets)`, in the form that other libraries call explainers by.

        Args:
            inputs: As for `analyze`.
            targets: As `neuron_selection` of `analyze`; other libraries pass one-hot labels, `(samples, outputs)`.

        Raises: As `analyze`.
        """
        return self.analyze(inputs, targets)

    def explain(
        self,
        x: Any,
        neuron_selection: Any = None,
        layers: Sequence[str] = (),
        bias: bool = False,
        *,
        target: Any = None,
        conditions: Any = None,
        audit: bool = False,
        batch_size: int | str | None = None,
        verbose: int = 0,
    ) -> Explanation:
        """The relevance of inputs, inner layers and biases, with what was explained.

        Args:
            x: As for `analyze`.
            neuron_selection: As for `analyze`.
            layers: Layers, or names of layers and operations as `print(analyzer)` shows them, whose output's relevance
                is wanted; a layer's output is that of its activation.
            bias: Whether the relevance that every bias took is wanted.
            target: Another name of `neuron_selection`.
            conditions: Which channels relevance may go through, `{"conv3": 34, "conv1": [2, 5]}`: what other channels
                of these operations would get is cut off. A list of dicts has one for every sample.
            audit: Whether the audit is wanted, as `audit` makes it: in the same pass.
            batch_size: As for `analyze`.
            verbose: As for `analyze`.

        Raises:
            ValueError: A layer is not known, or the method does not support layers, or has nothing to be audited.
            InputError, NotFiniteError, MemoryError: As for `analyze`.
        """
        selection = one_of(neuron_selection, target)
        batches = self._explanations(x, selection, batch_size, verbose, layers, bias, conditions, audit)
        found = Explanation.joined([found for _, found in batches])
        if found.audit is not None:
            self._remark(found.audit.remark)
        return found

    def explain_batches(
        self,
        x: Any,
        neuron_selection: Any = None,
        layers: Sequence[str] = (),
        bias: bool = False,
        *,
        target: Any = None,
        conditions: Any = None,
        audit: bool = False,
        batch_size: int | str | None = None,
        filled_to: int = 1,
        verbose: int = 0,
    ) -> Iterator[tuple[slice, Explanation]]:
        """As `explain`, batch by batch: memory does not grow with the number of samples.

        Args:
            x, neuron_selection, layers, bias, target, conditions, audit, batch_size, verbose: As for `explain`.
            filled_to: How many samples most batches have: the last one is filled up to it, so that its samples are
                rounded as they would be in any other.

        Yields:
            `(rows, explanation)`: which samples, counted through all batches, and their explanation.

        Raises: As `explain`, when it comes to that batch.

        Example:
            >>> for rows, explanation in analyzer.explain_batches(dataset, layers=["conv3"]):
            ...     file[rows] = explanation.layers["conv3"]
        """
        selection = one_of(neuron_selection, target)
        batches = self._explanations(x, selection, batch_size, verbose, layers, bias, conditions, audit, filled_to)
        return ((batch.rows, found) for batch, found in batches)

    def audit(self, x: Any, neuron_selection: Any = None, *, target: Any = None) -> Audit:
        """Where relevance went: per operation what it received, delivered, gave to its bias, and lost.

        The audit is made edge by edge: what an operation delivers is read where it hands it over, not computed from
        what it received.

        Args:
            x, neuron_selection, target: As for `analyze`.

        Raises:
            ValueError: The method is of the gradient family.
            InputError, NotFiniteError, MemoryError: As for `analyze`.
        """
        batches = self._explanations(x, one_of(neuron_selection, target), None, 0, audit=True)
        audits = [found.audit for _, found in batches if found.audit]
        audit = Audit.joined(audits)
        self._remark(audit.remark)
        return audit

    def differentiable(self, x: Any, target: Any = None, *, bias: bool = False) -> Relevance:
        """The relevance of inputs as tensors that can be differentiated: by the model's weights, or by the inputs.

        For training loops of one's own; `kerasexplain.training.RelevanceModel` is one that is ready. It is part of
        whatever the caller records or compiles: `tf.GradientTape` and `tf.function`, `jax.grad` and `jax.jit`,
        PyTorch's autograd. The network is explained as it predicts: BatchNormalization takes its moving averages and
        Dropout drops nothing, while the weights are those that are being trained. Nothing is checked that takes the
        numbers themselves: analyze a batch first.

        Args:
            x: The input, batch first: tensors or arrays, in the model's structure.
            target: None for the analyzer's own mode; an integer, or a tensor of one for each sample; a floating tensor
                shaped like the output, batch first, as weights; a `Contrast` of such integers.
            bias: Whether the relevance that every bias took is wanted.

        Returns:
            `inputs`, the relevance in the structure of x; `biases`, by the operation; `explained`, one number for each
            sample. In the model's floating dtype, in single precision at least.

        Raises:
            ValueError: The method takes more than one pass over the inputs, or has not been fitted.
            InputError: x or the target does not fit the model.
            IndexError: A target is out of range. Of tensors that is not checked.

        Example:
            >>> with tf.GradientTape() as tape:
            ...     relevance = analyzer.differentiable(images, labels).inputs
            ...     loss = tf.reduce_mean(tf.abs(relevance) * background)
            >>> gradients = tape.gradient(loss, model.trainable_variables)
        """
        return differentiable(self.method, self.options, self._engine.pipelines(), x, target, bias)

    def export(self, folder: str | os.PathLike[str], *, batch_size: int | None = None) -> None:
        """Writes functions that predict and explain, for programs that have neither this library nor Keras.

        On TensorFlow it is a SavedModel with the signatures `predict`, `explain` (`target` is an index for each sample,
        -1 for its largest output) and `explain_largest`; on JAX there is a file of `jax.export` for each, which takes
        the weights first. `explain` gives the output, the relevance of every input, `explained` and `neuron`, and
        `bias`, the relevance that all biases of a sample took, where the method gives them any. Numbers are those of
        `explain`; where that would raise an error, for a target out of range or a broken promise about the input, they
        are NaN. `explainer.json` says what made it. The weights are those of now.

        Args:
            folder: Where to; it is made. A former export is replaced, anything else is not.
            batch_size: How many samples there are in every call; by default any number, which models whose code asks
                for it do not leave open.

        Raises:
            ValueError: The method is no single backward pass or has not been fitted; the model's sizes have to be
                known; or the backend is PyTorch, which has no such files.
            FileExistsError: The folder holds something else.

        Example:
            >>> analyzer.export("served/1")
            >>> explain = tf.saved_model.load("served/1").signatures["explain"]
            >>> explain(image=images, target=labels)["relevance"]
        """
        pipelines = self._engine.pipelines()
        export(self.model, self.method, self.options, pipelines, self.description, folder, batch_size)

    def _remark(self, remark: str) -> None:
        """Warns, once, of what an audit or a sum says against a map; it may say nothing."""
        if remark and not self._has_remarked:
            self._has_remarked = True
            warnings.warn(visible(f"{self.name} of {self.model.name}: {remark}"), stacklevel=3)

    def _remarked(self, found: tuple[Batch, Explanation]) -> tuple[Batch, Explanation]:
        self._remark(found[1].remark)
        return found

    def fit(self, data: Any, *, batch_size: int | str | None = None, verbose: int = 0) -> Analyzer:
        """Fits the method to data: a mean, say, or patterns. It streams: one batch is held at a time.

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
        stream = Data(data)
        pipelines = self._engine.pipelines_for(stream.first)
        inputs = len(pipelines.first.graph.inputs)
        if isinstance(data, (list, tuple)) and len(data) != inputs and hasattr(data[0], "__array__"):
            raise InputError(
                f"the data are {len(data)} arrays, but the model has {inputs} inputs: pass x, or an iterator over "
                "batches"
            )
        names = pipelines.first.graph.input_names
        size = self._engine.batch_size(batch_size, pipelines, stream.first)
        batches = ahead(stream.batches(names, functools.partial(model_inputs, pipelines), size))
        method = self.method.fitted(Fitting(pipelines, batches, size.now, verbose))
        if method is not self.method:
            self.method, self._engine, self._description = method, self._engine.fitted(method), None
        return self

    def _explanations(
        self,
        x: Any,
        neuron_selection: Any,
        batch_size: int | str | None,
        verbose: int,
        layers: Sequence[str] = (),
        bias: bool = False,
        conditions: Any = None,
        audit: bool = False,
        filled_to: int = 1,
    ) -> Iterator[tuple[Batch, Explanation]]:
        request = Request(
            self.method, self.options, self.description, neuron_selection, layers, bias, conditions, audit
        )
        data = Data(x)
        pipelines = self._engine.pipelines_for(data.first)
        size = self._engine.batch_size(batch_size, pipelines, data.first)
        return map(self._remarked, request.explanations(data, pipelines, size, verbose, filled_to))

    def get_config(self) -> dict[str, Any]:
        """The configuration, without the model, as plain data that JSON can hold."""
        return {"analyzer": self.name, "method": self.method.get_config(), "options": self._changed_options()}

    def _changed_options(self) -> dict[str, Any]:
        return {name: serialize(value) for name, value in self.options.changed().items()}

    @property
    def description(self) -> dict[str, Any]:
        """The configuration as explanations tell it, as text where it cannot be saved; and of which model it is.

        The digest is that of the model's configuration: weights change, and are too many to be read for every map.
        """
        if self._description is None:  # arrays in it make it slow: once is enough
            try:
                config = self.get_config()
            except TypeError:  # a rule for a predicate can be used, but not saved
                options = self._changed_options()
                config = {"analyzer": self.name, "method": repr(self.method), "options": options}
            self._description = {**config, "model": {"name": self.model.name, "digest": of_architecture(self.model)}}
        return self._description

    @classmethod
    def from_config(cls, config: dict[str, Any], model: keras.Model, fitted: dict[str, Any] | None = None) -> Analyzer:
        """The analyzer of that configuration, for a model, with the values fitted to data."""
        kind = registry.find(config["analyzer"])
        foreign = set(fitted or {}) - set(kind.fitted_fields)
        if foreign:
            raise ValueError(f"{config['analyzer']!r} is fitted to data by other values than {sorted(foreign)}")
        method = kind.from_config(config["method"], **(fitted or {}))
        return cls(model, method, **{name: deserialize(value) for name, value in config["options"].items()})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the configuration, to be kept beside the model; `load_analyzer(path, model)` reads it.

        It is JSON; or HDF5, with the configuration as an attribute, if arrays were fitted to data. Either has
        a checksum.

        Raises:
            TypeError: The configuration holds a function or class that cannot be found again by name.
            OSError: The file cannot be written.
        """
        fitted = {name: getattr(self.method, name) for name in self.method.fitted_fields}
        write_analyzer(path, self.get_config(), {name: value for name, value in fitted.items() if value is not None})

    def __getstate__(self) -> dict[str, Any]:
        # A description may name what only this process knows, and what others have compiled is this process' own.
        return {**vars(self), "_description": None, "_kept": {}}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Analyzer):
            return NotImplemented
        return self.method == other.method and self._changed_options() == other._changed_options()

    def __hash__(self) -> int:
        return hash((Analyzer, self.name))  # which fitting does not change

    def __repr__(self) -> str:
        return f"<Analyzer {self.name} of {self.model.name}: {brief(self.method)}>"

    def _table(self) -> Table:
        title = f"{self.name} of {self.model.name}"
        if not self._engine.is_ready:
            unknown = "the model has not been called, so its operations are not known before the first analysis"
            return Table(f"{title}: {unknown}", [], [])
        notes = (*self._first.graph.notes, *self.method.notes(self._first))
        return rules_table(title, self.rows, notes)
