"""The base of all callbacks: analyzers, samples, and when to look."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import keras
import numpy as np

from kerasexplain.analyzer import Analyzer
from kerasexplain.callbacks.log import Log
from kerasexplain.callbacks.samples import WatchedSamples
from kerasexplain.create import create_analyzer, create_method
from kerasexplain.foundation.checks import check_count
from kerasexplain.foundation.config import deserialize, serialize
from kerasexplain.foundation.errors import NotFiniteError
from kerasexplain.foundation.text import visible
from kerasexplain.runtime.selection import Contrast
from kerasexplain.tensorboard.records import SAMPLES
from kerasexplain.trace.specification import needs_example
from kerasexplain.training.model import RelevanceModel

Self = TypeVar("Self", bound="Watcher")


@dataclasses.dataclass(eq=False, repr=False)
class Watcher(keras.callbacks.Callback):
    """Looks at the relevance of some samples now and then.

    A subclass says what it does at an event in `look`.

    Args:
        analyzer: An analyzer or its name; several in a list, or in a dict under labels of their own.
        data: What is looked at: `(x, y)`, x, or a stream of batches of them, of which as many are taken as are needed.
        targets: What is explained: "label", each sample's own; "prediction", the largest output; or whatever else
            `analyze` takes for `neuron_selection`, such as an index, or one for every sample. By default the label
            where data have labels of classes, else the prediction.
        every_n_epochs: How often; None for never. As in Keras, epochs 0, n, 2 n ... count.
        every_n_batches: The same for batches, counted from 1; before the first there is an event, too, at step 0.

    Attributes:
        limited_by: The argument of the subclass that says how many samples are looked at, at most; None for all.

    Raises:
        ValueError: An argument has no legal value, or there is no analyzer of that name.
        InputError: There are no samples.
    """

    limited_by: ClassVar[str] = "max_samples"

    analyzer: Any
    data: dataclasses.InitVar[Any]
    _: dataclasses.KW_ONLY
    targets: Any = None
    every_n_epochs: int | None = 1
    every_n_batches: int | None = None

    def __post_init__(self, data: Any) -> None:
        super().__init__()
        for name in ("every_n_epochs", "every_n_batches"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        most = getattr(self, self.limited_by)
        if most is not None:
            check_count("the number of samples", most)
        self._given = _labelled(self.analyzer)
        self._samples = WatchedSamples.of(data, most)
        self._explained = _checked(self.targets, self._samples)
        self._analyzers: dict[str, Analyzer] = {}
        self._built_for: keras.Model | None = None
        self._batches, self._is_training = 0, False
        # Keras runs batches ahead of callbacks that promise not to mind; those that wait for epochs do not.
        self.async_safe = self.every_n_batches is None

    def get_config(self) -> dict[str, Any]:
        """The configuration, as plain data that JSON can hold: all arguments but the data.

        Raises:
            TypeError: An analyzer cannot be saved.
        """
        fields = [field.name for field in dataclasses.fields(self) if field.name != "analyzer"]
        analyzers = {
            label: given if isinstance(given, (str, dict)) else given.get_config()
            for label, given in self._given.items()
        }
        return {"analyzer": analyzers, **{name: serialize(getattr(self, name)) for name in fields}}

    @classmethod
    def from_config(cls: type[Self], config: dict[str, Any], data: Any, **given: Any) -> Self:
        """A callback of that configuration.

        Args:
            config: What `get_config` gave.
            data: As when it was made.
            **given: Arguments that take the place of those of the configuration.
        """
        rest = {name: deserialize(value) for name, value in config.items() if name != "analyzer"}
        return cls(**{**rest, "analyzer": config["analyzer"], "data": data, **given})

    @property
    def analyzers(self) -> dict[str, Analyzer]:
        """The analyzers by label; empty before training begins."""
        return dict(self._analyzers)

    def look(self, label: str, analyzer: Analyzer, targets: Any, step: int, prefix: str) -> None:
        """The work at an event, for one analyzer.

        Args:
            label: The analyzer's label.
            analyzer: The analyzer.
            targets: As `neuron_selection` for the samples.
            step: The epoch, or the batch.
            prefix: What tags begin with: "batch/" where steps are batches.
        """
        raise NotImplementedError

    def close(self) -> None:
        """The work when training ends."""

    def __getstate__(self) -> dict[str, Any]:
        # Copies build their analyzers anew: what is compiled belongs to this process.
        return {**vars(self), "_analyzers": {}, "_built_for": None, "_model": None}

    def prepare(self, label: str, analyzer: Analyzer, targets: Any) -> None:
        """The first analysis, before training: what is wrong is told here."""
        analyzer.analyze(self._samples.x, targets)

    def begin(self) -> None:
        """The work whenever training begins, with the analyzers there."""

    def set_model(self, model: keras.Model) -> None:
        """Is told the model, first thing in `fit`, `evaluate` or `predict`; not when `fit` evaluates."""
        super().set_model(model)
        self._is_training = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Builds the analyzers, and tries them."""
        self._is_training, self._batches = True, 0
        self._build()
        self.begin()
        if self.every_n_batches is not None:
            self._event(0, "batch/")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """An event, if it is time."""
        self._batches += 1
        if self.every_n_batches is not None and self._batches % self.every_n_batches == 0:
            self._event(self._batches, "batch/")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """An event, if it is time."""
        if self.every_n_epochs is not None and epoch % self.every_n_epochs == 0:
            self._event(epoch, "")

    def on_train_end(self, logs: Any = None) -> None:
        """Ends the log."""
        self._is_training = False
        self.close()

    def on_test_end(self, logs: Any = None) -> None:
        """An event after `evaluate`, at the number of steps that the model has been trained for."""
        self._alone()

    def on_predict_end(self, logs: Any = None) -> None:
        """An event after `predict`, at the number of steps that the model has been trained for."""
        self._alone()

    def _alone(self) -> None:
        if self._is_training:  # `fit` evaluates, too
            return
        self._build()
        self.begin()
        optimizer = getattr(self.model, "optimizer", None)
        self._event(0 if optimizer is None else int(np.asarray(optimizer.iterations)), "")
        self.close()

    def _build(self) -> None:
        model = self.model.network if isinstance(self.model, RelevanceModel) else self.model
        if self._built_for is model:
            return
        self._analyzers = {label: self._analyzer_of(given, model) for label, given in self._given.items()}
        for label in self._analyzers:
            self._try(label)
        self._built_for = model

    def _event(self, step: int, prefix: str) -> None:
        _ = self.model  # on JAX, asking for it brings its weights up to date
        for label in self._analyzers:
            self._look(label, step, prefix)

    def _analyzer_of(self, given: Any, model: keras.Model) -> Analyzer:
        if isinstance(given, Analyzer):
            return _checked_analyzer(given, model)
        if isinstance(given, dict):
            return Analyzer.from_config(given, model)
        return create_analyzer(given, model, example=self._samples.x if needs_example(model) else None)

    def _try(self, label: str) -> None:
        analyzer = self._analyzers[label]
        try:
            self.prepare(label, analyzer, self._selection(analyzer))
        except NotFiniteError as error:  # training may mend that
            _warn(self, label, "before training", error)

    def _look(self, label: str, step: int, prefix: str) -> None:
        analyzer = self._analyzers[label]
        try:
            self.look(label, analyzer, self._selection(analyzer), step, prefix)
        except Exception as error:  # whatever it is, it must not end a training of days
            _warn(self, label, f"at {'batch' if prefix else 'epoch'} {step}", error)

    def _selection(self, analyzer: Analyzer) -> Any:
        """The targets, as `neuron_selection` for an analyzer."""
        if not isinstance(self._explained, str):
            return self._explained
        shape = analyzer.graph.explained.shape[1:]
        if self._explained == "prediction" or (self._explained == "auto" and len(shape) != 1):
            return None
        labels = self._samples.labels
        return np.zeros_like(labels) if shape == (1,) else labels  # one output serves two classes


@dataclasses.dataclass(eq=False, repr=False)
class LoggingWatcher(Watcher):
    """A watcher that writes events.

    Args:
        log_dir: What Keras' own TensorBoard callback is given.
        run: The folder inside that events go to. Callbacks that look at different samples need different ones.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    _: dataclasses.KW_ONLY
    log_dir: str | os.PathLike[str]
    run: str = "relevance"

    def __post_init__(self, data: Any) -> None:
        self.log_dir = os.fsdecode(self.log_dir)
        super().__post_init__(data)
        self.log = Log(f"{self.log_dir}/{self.run}")

    def close(self) -> None:
        self.log.close()


def _cut(targets: Any, count: int) -> Any:
    """Targets of the first samples, where there is one for each."""
    if isinstance(targets, Contrast):
        against = targets.against if isinstance(targets.against, str) else _cut(targets.against, count)
        return Contrast(_cut(targets.target, count), against=against)
    if isinstance(targets, np.ndarray) and not targets.ndim:
        return targets[()]
    if isinstance(targets, (list, np.ndarray)) and (np.ndim(targets) > 1 or np.asarray(targets).dtype.kind != "f"):
        return targets[:count]
    return targets


def _labelled(analyzer: Any) -> dict[str, Any]:
    """Analyzers, their names or their configurations, by label."""
    if isinstance(analyzer, Mapping):
        given = {str(label): one for label, one in analyzer.items()}
        if len(given) < len(analyzer):
            raise ValueError(f"two analyzers have one label: {list(map(str, analyzer))}")
    else:
        given = {}
        for one in analyzer if isinstance(analyzer, Sequence) and not isinstance(analyzer, str) else [analyzer]:
            name = one.name if isinstance(one, Analyzer) else one
            alike = sum(label == name or label.startswith(f"{name} (") for label in given)
            given[f"{name} ({alike + 1})" if alike else str(name)] = one
    for one in given.values():
        if not isinstance(one, (str, Analyzer, dict)):
            raise ValueError(f"analyzer must be a name, an analyzer, or several of them; got {type(one).__name__}")
        if isinstance(one, str):
            create_method(one)  # a wrong name is told here, and not when training begins
    if not given:
        raise ValueError("analyzer names no analyzer")
    for label in given:
        if label == SAMPLES or label.startswith("batch/"):
            raise ValueError(f"{label!r} cannot be an analyzer's label: it has a meaning of its own among the tags")
    return given


def _checked(targets: Any, samples: WatchedSamples) -> Any:
    """The targets, with "auto" or a string of the user's."""
    if targets is None:
        return "prediction" if samples.labels is None else "auto"
    if not isinstance(targets, str):
        return _cut(targets, samples.count)
    if targets not in ("label", "prediction"):
        raise ValueError(f'targets must be "label", "prediction", an index, or one per sample; got {targets!r}')
    if targets == "label" and samples.labels is None:
        raise ValueError('targets="label" needs data=(x, y), with classes as y, as numbers or one-hot')
    return targets


def _checked_analyzer(given: Analyzer, model: keras.Model) -> Analyzer:
    """An analyzer of the user's, if it explains the model."""
    theirs, ours = ({id(variable) for variable in of.variables} for of in (given.model, model))
    if given.model is not model and not theirs & ours:
        raise ValueError(
            f"the analyzer {given.name!r} explains {given.model.name!r}, which shares no weights with the model that "
            f"runs, {model.name!r}: pass the analyzer's name, or create it for this model"
        )
    return given


def _warn(callback: Watcher, label: str, when: str, error: Exception) -> None:
    text = " ".join(str(error).split())
    warnings.warn(
        f"{type(callback).__name__}: no relevance of {label!r} {when}: {type(error).__name__}: {visible(text)}",
        RuntimeWarning,
        stacklevel=2,
    )
