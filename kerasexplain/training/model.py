"""A Keras model that trains a network on its task and on its relevance at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from kerasexplain.analyzer import Analyzer
from kerasexplain.backend import training_step
from kerasexplain.compiler.treatments.treatment import sum_per_sample
from kerasexplain.create import create_analyzer
from kerasexplain.foundation.checks import check_choice
from kerasexplain.foundation.errors import InputError
from kerasexplain.runtime.differentiable import Relevance, check_one_pass
from kerasexplain.runtime.inputs import by_input
from kerasexplain.runtime.selection import Contrast
from kerasexplain.trace.specification import needs_example
from kerasexplain.training.checks import (
    check_has_no_own_training,
    check_layout,
    check_losses,
    check_target,
    no_masks,
    one_each,
)
from kerasexplain.training.data import (
    fields,
    filled,
    flat,
    given,
    is_stream,
    mask_array,
    of_samples,
    opened,
    separated,
    stream,
)
from kerasexplain.training.losses import RelevanceLoss, RelevanceMatch, RelevanceOutside, fitted_mask
from kerasexplain.training.network import TrainsNetwork
from kerasexplain.training.targets import as_indices, check_labels, of_output

Tensor = Any

TARGETS = ("label", "prediction", "all", "contrast")
#: How many samples of the first batch are analysed before training, so that what is wrong is told then.
_TRIED = 4


class RelevanceModel(TrainsNetwork):
    """A network in training: its loss is that of the task, and losses over its relevance.

    `loss = loss of compile() + sum_k weights_k mean over samples and analyzers of losses_k(R)`

    It is a `keras.Model`, to be compiled and fitted as the network itself would be. Only the network has weights:
    `relevance_model.network`, which is the model that was given, is what is evaluated, saved and served, without this
    library; `save`, `export` and the like write the network, so that callbacks such as `ModelCheckpoint` do. The
    network trains as always (BatchNormalization by batches, Dropout dropping) while the relevance that is judged is
    that of the network as it predicts, from the same weights: one more forward pass, a backward pass for relevance, and
    the derivative of both.

    Logs have each loss under its name, of the last epoch's samples, and where there are masks `relevance_inside`: the
    share of |R| inside, the mean over analyzers and samples that have a mask and relevance.

    Args:
        model: The network.
        analyzer: What relevance is: the name of an analyzer of one backward pass, an `Analyzer` of this network, or
            several of them in a list.
        losses: A `RelevanceLoss`, or a list of them.
        weights: How much each counts: a number, or one for each loss.
        target: What is explained: "label", each sample's own; "prediction", the largest output; "all", for each sample
            a class drawn anew at every step (in `evaluate` they take turns), so that over the steps all classes count;
            "contrast", the label against the mean of all others; or a function `(x, y) -> target` as
            `Analyzer.differentiable` takes one.
        input: The name of the input that is judged, of a network with several.
        example: As for `Analyzer`: an input for a subclassed network that has not been called.
        seed: Of the classes that "all" draws.
        name: Of the model.

    Raises:
        ValueError: An argument has no legal value, or relevance of an analyzer cannot be differentiated.
        UnsupportedModelError: The network cannot be explained.

    Source: Ross, Hughes and Doshi-Velez 2017, "Right for the Right Reasons"; for relevance, Rieger et al. 2020,
    "Interpretations are useful", and Anders et al. 2022, "Finding and removing Clever Hans", have relatives of it.

    Example:
        >>> trained = RelevanceModel(network, "lrp.epsilon_plus", RelevanceOutside(), weights=1.0)
        >>> trained.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        >>> trained.fit(images, labels, masks, epochs=10)
        >>> network.save("network.keras")
    """

    def __init__(
        self,
        model: keras.Model,
        analyzer: str | Analyzer | Sequence[str | Analyzer],
        losses: RelevanceLoss | Sequence[RelevanceLoss],
        *,
        weights: float | Sequence[float] = 1.0,
        target: str | Callable[[Any, Any], Any] = "label",
        input: str | None = None,
        example: Any = None,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        super().__init__(model, name or f"{model.name}_on_relevance")
        check_has_no_own_training(model)
        if not callable(target):
            check_choice("target", target, TARGETS)
        self._target, self._input = target, input
        self.relevance_losses: list[RelevanceLoss] = _listed(losses)
        check_losses(self.relevance_losses)
        self.loss_weights = one_each(weights, self.relevance_losses)
        self.analyzers = [self._analyzer(one, example) for one in _listed(analyzer)]
        if not self.analyzers:
            raise ValueError("there is no analyzer")
        if len(self.analyzers) < 2 and any(loss.judged_by == "analyzers" for loss in self.relevance_losses):
            raise ValueError("RelevanceAgreement compares analyzers: pass two or more in a list")
        self._names = self.analyzers[0].graph.input_names
        self._judged_at = 0 if self._input is None else self._names.index(self._input)
        self._random = keras.random.SeedGenerator(seed)
        self._trackers = [keras.metrics.Mean(name=loss.name) for loss in self.relevance_losses]
        judges_outside = any(isinstance(loss, RelevanceOutside) for loss in self.relevance_losses)
        self._inside = keras.metrics.Mean(name="relevance_inside") if judges_outside else None
        self.built = True

    def _analyzer(self, given: str | Analyzer, example: Any) -> Analyzer:
        if isinstance(given, Analyzer):
            if given.model is not self.network:
                raise ValueError(
                    f"the analyzer {given.name!r} is of another model: make it for the network in training"
                )
            analyzer = given
        else:
            analyzer = create_analyzer(given, self.network, example=example if needs_example(self.network) else None)
        check_one_pass(analyzer.method, analyzer.options, "differentiated")
        names = analyzer.graph.input_names
        if self._input is None and len(names) > 1:
            raise ValueError(f"the network has {len(names)} inputs, {names}: say by input= whose relevance is judged")
        if self._input is not None and self._input not in names:
            raise ValueError(f"the network has no input {self._input!r}, only {names}")
        check_target(analyzer, self._target)
        check_layout(analyzer, self.relevance_losses)
        _ = analyzer.twin  # built now: a training step may be traced by a framework
        return analyzer

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """The loss of the task and those over relevance, as one number."""
        inputs, mask = separated(x)
        found = self._over_relevance(flat(inputs), mask, y, sample_weight, training)
        if self._compile_loss is None and not self.losses:
            return found
        task = super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
        return task + ops.cast(found, task.dtype)

    def train_step(self, *args: Any) -> Any:
        """A step of training, as Keras has it."""
        with training_step():
            return super().train_step(*args)

    def test_step(self, *args: Any) -> Any:
        """A step of evaluation, as Keras has it."""
        with training_step():
            return super().test_step(*args)

    def _over_relevance(self, x: Any, mask: Any, y: Any, sample_weight: Any, training: bool) -> Tensor:
        """The weighted sum of all losses over relevance."""
        bias = any(loss.judged_by == "biases" for loss in self.relevance_losses)
        targets = [self._targets(analyzer, x, y, training) for analyzer in self.analyzers]
        found = [
            analyzer.differentiable(x, target, bias=bias)
            for analyzer, target in zip(self.analyzers, targets, strict=True)
        ]
        total = None
        for loss, weight, tracker in zip(self.relevance_losses, self.loss_weights, self._trackers, strict=True):
            values, known = self._judged(loss, x, mask, found, targets)
            weighed = known if sample_weight is None else known * of_samples(sample_weight, known)
            # Keras' own way to reduce, which knows of distribution over devices.
            mean = _Mean(values.dtype)(values, values, sample_weight=weighed) * weight
            total = mean if total is None else total + mean
            tracker.update_state(values, sample_weight=known)
        self._watch_inside(mask, found)
        return total

    def _watch_inside(self, mask: Any, found: Sequence[Relevance]) -> None:
        """Keeps the share inside of the masks, which is one thing whatever the options of the losses."""
        loss = next((one for one in self.relevance_losses if isinstance(one, RelevanceOutside)), None)
        if self._inside is None or loss is None:
            return
        share = RelevanceOutside(resize=loss.resize)
        for each in found:
            relevance = self._of_input(each.inputs)
            whole, known = filled(mask, relevance.dtype, signed=False)
            is_there = ops.any(ops.not_equal(relevance, 0), axis=tuple(range(1, len(relevance.shape))))
            self._inside.update_state(
                1 - share.call(whole, relevance), sample_weight=known * ops.cast(is_there, known.dtype)
            )

    def _judged(
        self, loss: RelevanceLoss, x: Any, mask: Any, found: Sequence[Relevance], targets: Sequence[Any]
    ) -> tuple[Tensor, Tensor]:
        """The value of a loss for each sample, the mean over analyzers, and 1 for each sample that it is known of."""
        relevance = [self._of_input(each.inputs) for each in found]
        first = relevance[0]
        known = ops.ones((ops.shape(first)[0],), dtype=first.dtype)
        if loss.judged_by == "mask":
            if mask is None:
                raise InputError(no_masks(loss))
            mask, known = filled(mask, first.dtype, signed=isinstance(loss, RelevanceMatch))
            values = [loss.call(mask, each) for each in relevance]
        elif loss.judged_by == "inputs":
            values = [loss.call(self._of_input(x), each) for each in relevance]
        elif loss.judged_by == "biases":
            nothing = ops.zeros_like(known)
            taken = [sum((sum_per_sample(ops.abs(bias)) for bias in each.biases.values()), nothing) for each in found]
            values = [loss.call(size, each) for size, each in zip(taken, relevance, strict=True)]
        elif loss.judged_by == "analyzers":
            values = [loss.call(a, b) for a, b in itertools.pairwise(relevance)]
        elif loss.judged_by == "view":
            values = [
                loss.call(self._of_view(loss, analyzer, x, target), own)
                for analyzer, target, own in zip(self.analyzers, targets, relevance, strict=True)
            ]
        else:
            values = [loss.call(None, each) for each in relevance]
        if any(len(value.shape) != 1 for value in values):
            raise InputError(
                f"{loss.name} gives one number for each sample, of the shape (batch,), got {tuple(values[0].shape)}"
            )
        return sum(values[1:], values[0]) / len(values), known

    def _of_view(self, loss: Any, analyzer: Analyzer, x: Any, target: Any) -> Tensor:
        """The relevance of another view of the inputs, brought back."""
        view = self._with_input(x, loss.view(self._of_input(x)))
        relevance = self._of_input(analyzer.differentiable(view, target).inputs)
        back, wanted = loss.back(relevance), self._of_input(x).shape
        if tuple(back.shape[1:]) != tuple(wanted[1:]):
            raise InputError(
                f"{loss.name}: the relevance of the view, brought back, has the shape {tuple(back.shape)}, and the "
                f"input {tuple(wanted)}"
            )
        return back

    def _of_input(self, structure: Any) -> Any:
        """The entry for the input that is judged."""
        return by_input(structure, self._names)[0][self._judged_at]

    def _with_input(self, structure: Any, entry: Any) -> Any:
        """The inputs with another entry for the input that is judged."""
        entries, restored = by_input(structure, self._names)
        entries[self._judged_at] = entry
        return restored(entries)

    def _targets(self, analyzer: Analyzer, x: Any, y: Any, training: bool) -> Any:
        """The target of every sample, as `Analyzer.differentiable` takes it."""
        if callable(self._target):
            return self._target(x, y)
        shape = tuple(analyzer.graph.explained.shape[1:])
        if self._target == "prediction":
            return None
        if len(shape) != 1 or shape[0] is None:
            raise InputError(
                f"target={self._target!r} is for one output for each class; that of {analyzer.name!r} has the shape "
                f"{(None, *shape)}: pass target='prediction', or a function (x, y) -> weights of the outputs"
            )
        count, classes = ops.shape(keras.tree.flatten(x)[0])[0], shape[0]
        if self._target == "all":
            if training:
                return keras.random.randint((count,), 0, classes, seed=self._random)
            return ops.arange(count) % classes
        own = of_output(y, analyzer.options.output, analyzer.graph.output_names)
        label = as_indices(own, classes, count)
        return label if self._target == "label" else Contrast(label)

    def fit(  # type: ignore[override]
        self,
        x: Any = None,
        y: Any = None,
        mask: Any = None,
        *,
        sample_weight: Any = None,
        validation_data: Any = None,
        **options: Any,
    ) -> Any:
        """Trains the network. Before, some samples are analysed, so that what is wrong is told while nothing is lost.

        Args:
            x: The inputs, as arrays; or a stream of batches `(x, y, mask)`, `(x, y, mask, sample_weight)` or dicts of
                these: a `tf.data.Dataset`, a `PyDataset`, a PyTorch `DataLoader`, a generator.
            y: The labels.
            mask: A mask for each sample, as the losses take it. Entries that are None or NaN are missing: such samples
                are trained on the task alone.
            sample_weight: How much each sample counts, in all losses.
            validation_data: `(x, y, mask)`, `(x, y, mask, sample_weight)`, or a stream.
            **options: As for `fit` of a Keras model; `class_weight` counts in all losses.

        Returns:
            Keras' history.

        Raises:
            InputError: The data do not fit.
        """
        prepared, steps = self._given(x, y, mask, sample_weight, options.get("steps_per_epoch"), analyse=True)
        if validation_data is not None:
            arrays = [validation_data, None, None, None]
            if not is_stream(validation_data):
                arrays = fields(validation_data, "validation data")
            vx, vy, vmask, vweight = arrays
            validated, steps_then = self._given(vx, vy, vmask, vweight, options.get("validation_steps"))
            options["validation_steps"] = steps_then
            validation_data = validated["x"]
            if not is_stream(validation_data):
                weights = [] if validated["sample_weight"] is None else [validated["sample_weight"]]
                validation_data = (validated["x"], validated["y"], *weights)
        options["steps_per_epoch"] = steps
        return super().fit(**prepared, validation_data=validation_data, **options)

    def evaluate(  # type: ignore[override]
        self, x: Any = None, y: Any = None, mask: Any = None, *, sample_weight: Any = None, **options: Any
    ) -> Any:
        """The losses and metrics on data, which are given as for `fit`."""
        if "_use_cached_eval_dataset" in options:  # from inside of `fit`, which has prepared them
            return super().evaluate(x, y, sample_weight=sample_weight, **options)
        prepared, options["steps"] = self._given(x, y, mask, sample_weight, options.get("steps"))
        return super().evaluate(**prepared, **options)

    def train_on_batch(  # type: ignore[override]
        self, x: Any, y: Any = None, mask: Any = None, *, sample_weight: Any = None, **options: Any
    ) -> Any:
        """One step of training, on arrays as for `fit`."""
        return super().train_on_batch(given(x, mask), y, sample_weight=sample_weight, **options)

    def test_on_batch(  # type: ignore[override]
        self, x: Any, y: Any = None, mask: Any = None, *, sample_weight: Any = None, **options: Any
    ) -> Any:
        """The losses and metrics on a batch, of arrays as for `fit`."""
        return super().test_on_batch(given(x, mask), y, sample_weight=sample_weight, **options)

    def _given(
        self, x: Any, y: Any, mask: Any, sample_weight: Any, steps: int | None, analyse: bool = False
    ) -> tuple[dict[str, Any], int | None]:
        """Data as Keras takes them, and how many steps an epoch has; they are looked at before."""
        if is_stream(x):
            for name, value in {"y": y, "mask": mask, "sample_weight": sample_weight}.items():
                if value is not None:
                    raise InputError(f"x is a stream, whose batches hold everything: leave {name}= out")
            (first, labels, masks, _), x = opened(x)
            self._try(first, labels, mask_array(masks), analyse)
            x, steps = stream(x, steps)
            return {"x": x}, steps
        inputs = given(x, mask)
        self._try(x, y, separated(inputs)[1], analyse)
        return {"x": inputs, "y": y, "sample_weight": sample_weight}, steps

    def _try(self, x: Any, y: Any, mask: Any, analyse: bool) -> None:
        """Looks at data before they are used: labels, masks, and some samples by the checks that analyzers have."""
        if x is None:
            return
        x = flat(x)
        for analyzer in self.analyzers:
            if analyse:
                some = keras.tree.map_structure(lambda array: array[:_TRIED], x)
                analyzer.analyze(some, 0 if analyzer.options.neuron_selection_mode == "index" else None)
            shape = tuple(analyzer.graph.explained.shape[1:])
            if self._target in ("label", "contrast") and len(shape) == 1 and shape[0] is not None:
                check_labels(of_output(y, analyzer.options.output, analyzer.graph.output_names), shape[0])
        for loss in self.relevance_losses:
            if loss.judged_by == "mask" and mask is None:
                raise InputError(no_masks(loss))
            if isinstance(loss, (RelevanceOutside, RelevanceMatch)):
                sample = ops.zeros((1, *self._of_input(x).shape[1:]))
                fitted_mask(ops.convert_to_tensor(mask[:1]), sample, loss.resize)


class _Mean(keras.losses.Loss):
    """The mean of numbers that are there, one for each sample."""

    def __init__(self, dtype: Any) -> None:
        super().__init__(name="mean", dtype=dtype)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """The numbers."""
        return y_pred


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, (list, tuple)) else [given]
