"""Explanations as events: the numbers for the tab "Relevance", images for the tab "Images"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kerasexplain.audit import Audit
from kerasexplain.explanation import Explanation
from kerasexplain.features import column_name, named_columns
from kerasexplain.foundation.arrays import channels_last, is_signal
from kerasexplain.frames import is_frame
from kerasexplain.store import Store
from kerasexplain.tensorboard.records import SAMPLES, blobs_of
from kerasexplain.tokens import tokens_by_position

if TYPE_CHECKING:
    from PIL.Image import Image

    from kerasexplain.tensorboard.writer import Writer

#: The section of the audit; in words that no layer is named by.
AUDIT = "conservation of relevance"


class ExplanationLog:
    """Writes explanations of the same samples, by several analyzers and at several steps.

    Args:
        x: The samples, as `analyze` takes them.
        labels: The index of each one's true class, if that is known.
        class_names: What the outputs mean.
        titles: A name for each sample.
        tokens: For inputs that are ids, of shape `(samples, length)`: what names them, as for `Explanation.tokens`.
        padding: The id that fills rows up.
        feature_names: Of the columns of a table, or the channels of a signal; of several inputs a dict of lists;
            or a `keras.utils.FeatureSpace`. None takes those of a DataFrame.

    Raises:
        ValueError: The tokens or names do not fit the samples.

    Example:
        >>> log = ExplanationLog(x, class_names=["cat", "dog"])
        >>> with Writer("logs/relevance") as writer:
        ...     log.write(writer, "lrp.z_plus", analyzer.explain(x, audit=True), step=0)
    """

    def __init__(
        self,
        x: Any,
        *,
        labels: np.ndarray | None = None,
        class_names: Sequence[str] = (),
        titles: Sequence[str] = (),
        tokens: Any = None,
        padding: int | None = None,
        feature_names: Any = None,
    ) -> None:
        self._features = _named(x, feature_names)
        self._inputs = {name: channels_last(values) for name, values in by_name(x).items()}
        self._labels = None if labels is None else [int(label) for label in labels]
        self._class_names, self._titles = [str(name) for name in class_names], [str(title) for title in titles]
        self._tokens = {
            name: tokens_by_position(tokens, ids, padding)
            for name, ids in self._inputs.items()
            if tokens is not None and ids.ndim == 2 and ids.dtype.kind in "iu"
        }
        for name, names in self._features.items():
            shape = self._inputs[name].shape
            count = shape[-1] if len(shape) > 1 else 1
            if len(names) != count:
                raise ValueError(f"there are {len(names)} feature_names for the {count} features of {name!r}")
        if tokens is not None and not self._tokens:
            raise ValueError("tokens= names ids, but no input holds integers of shape (samples, length)")
        self._has_samples: Any = None
        self._events: dict[str, int] = {}
        self._drawn: dict[str, list[Image]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_has_samples": None}  # a copy has a writer of its own

    def check(self, found: Explanation | Store) -> None:
        """Makes what would be written of an explanation, so that errors in it are reported.

        Raises:
            ValueError: The explanation does not fit the samples.
            ImportError: The samples are images, and what draws them is not installed.
        """
        self._relevance("", in_memory(found))
        self.images(found)

    def write(self, writer: Writer, tag: str, found: Explanation | Store, step: int) -> None:
        """Writes an explanation; the samples, before the first.

        Args:
            writer: Takes the events.
            tag: The analyzer's label.
            found: What it found, with or without an audit; or a store of it.
            step: The step of the training.

        Raises:
            ValueError: The explanation is that of other samples.
        """
        if self._has_samples is not writer:
            writer.relevance(SAMPLES, self._samples(), step)
            self._has_samples = writer
        writer.relevance(tag, self._relevance(tag, in_memory(found)), step)
        self._events[tag] = self._events.get(tag, 0) + 1

    def write_images(self, writer: Writer, tag: str, found: Explanation | Store, step: int) -> None:
        """Writes what can be drawn of every input and its relevance; of a volume the plane that the tag names."""
        for name, strips in self.images(found).items():
            x = self._inputs[name]
            input_ = [name] if len(self._inputs) > 1 else []
            plane = [f"plane {_middle(x) + 1} of {x.shape[1]}"] if x.ndim == 5 else []
            writer.images("/".join(["relevance", tag, *input_, *plane]), strips, step)

    def images(self, found: Explanation | Store) -> dict[str, list[Image]]:
        """By input, a strip for every sample: of an image the image, its relevance, and both in one; of the plane in
        the middle of a volume the same; of signals and tables their relevance, from left to right. Nothing of tokens
        and of what has more axes."""
        from kerasexplain import visualize

        strips = {}
        for name, relevance in self._by_input(in_memory(found)).items():
            x = self._inputs[name]
            if is_signal(x.shape) or (self._kind(name, x) == "numbers" and relevance.ndim == 2):
                heatmaps = visualize.heatmap(_as_strips(relevance.reshape(*x.shape[:2], -1)), percentile=99.5)
                strips[name] = [visualize.strip([heatmap]) for heatmap in heatmaps]
                continue
            if x.ndim == 5:
                x, relevance = x[:, _middle(x)], relevance[:, _middle(x)]
            if self._kind(name, x) != "image" or relevance.ndim not in (3, 4):
                continue
            heatmaps = visualize.heatmap(relevance, percentile=99.5)
            if x.ndim == 4 and x.shape[-1] not in (1, 3, 4):
                strips[name] = [visualize.strip([heatmap]) for heatmap in heatmaps]
                continue
            if name not in self._drawn:  # the samples stay the same from event to event
                self._drawn[name] = visualize.as_images(x)
            images = self._drawn[name]
            columns = (images, heatmaps, visualize.overlay(images, relevance, percentile=99.5))
            strips[name] = [visualize.strip(row) for row in zip(*columns, strict=True)]
        return strips

    def _samples(self) -> list[bytes]:
        kinds = {name: self._kind(name, x) for name, x in self._inputs.items()}
        roles = dict.fromkeys(self._inputs, "input")
        told: dict[str, Any] = {"class_names": self._class_names, "titles": self._titles, "tokens": self._tokens}
        told["features"] = self._features
        return blobs_of({name: list(x) for name, x in self._inputs.items()}, kinds, roles, **told)

    def _relevance(self, tag: str, found: Explanation) -> list[bytes]:
        arrays = {name: list(relevance) for name, relevance in self._by_input(found).items()}
        kinds, roles = {name: self._kind(name, self._inputs[name]) for name in arrays}, dict.fromkeys(arrays, "input")
        for name, relevance in found.layers.items():
            if relevance.ndim > 3 and keras.config.image_data_format() == "channels_first":
                relevance = np.moveaxis(relevance, 1, -1)
            section = f"{name} (layer)" if name in arrays else name
            arrays[section] = list(relevance)
            kinds[section], roles[section] = ("image" if relevance.ndim > 2 else "numbers"), "layer"
        operations: list[str] = []
        if found.audit is not None:
            arrays[AUDIT], operations = _audit_table(found.audit), [row.name for row in found.audit.rows]
            kinds[AUDIT] = roles[AUDIT] = "audit"
        return blobs_of(
            arrays,
            kinds,
            roles,
            analyzer=found.analyzer["analyzer"],
            samples=SAMPLES,
            event=self._events.get(tag, 0),
            neuron=["output"] * len(found.explained)
            if _has_one_output(found.output)
            else _neurons(found.neuron, len(found.explained)),
            explained=[float(value) for value in found.explained],
            prediction=_predictions(found.output),
            target=None if self._labels is not None and _is_regression(found.output, self._labels) else self._labels,
            operations=operations,
        )

    def _by_input(self, found: Explanation) -> dict[str, np.ndarray]:
        relevance = {name: channels_last(values) for name, values in by_name(found.relevance).items()}
        for name, x in self._inputs.items():
            shape = None if name not in relevance else relevance[name].shape[: x.ndim]
            if shape != x.shape:
                raise ValueError(f"the samples' {name!r} has shape {x.shape}, but what was explained has {shape}")
        return relevance

    def _kind(self, name: str, x: np.ndarray) -> str:
        if name in self._tokens:
            return "tokens"
        if is_signal(x.shape):
            return "signal"
        return "image" if x.ndim > 2 else "numbers"


def in_memory(found: Explanation | Store) -> Explanation:
    """An explanation; all of it, of those that a store has."""
    return found[:] if isinstance(found, Store) else found


def by_name(x: Any) -> dict[str, np.ndarray]:
    """The arrays of a model's inputs by name: "input", or "input 0" and so on, where they have none of their own."""
    if isinstance(x, Mapping):
        return {str(name): np.asarray(value) for name, value in x.items()}
    if isinstance(x, (list, tuple)) and len(x) and np.ndim(x[0]) > 0:
        return {f"input {i}": np.asarray(value) for i, value in enumerate(x)}
    return {"input": np.asarray(x)}


def _named(x: Any, given: Any) -> dict[str, list[str]]:
    """The names of features by input."""
    inputs = dict(x) if isinstance(x, Mapping) else {"input": x}
    if isinstance(x, (list, tuple)) and len(x) and np.ndim(x[0]) > 0:
        inputs = {f"input {i}": value for i, value in enumerate(x)}
    given = named_columns(given)
    if given is not None:
        names = dict(given) if isinstance(given, Mapping) else dict.fromkeys(inputs, given)
        unknown = [name for name in names if name not in inputs]
        if unknown or (len(inputs) > 1 and not isinstance(given, Mapping)):
            raise ValueError(f"feature_names are a list, or of several inputs a dict of lists by {list(inputs)}")
    else:
        names = {name: value.columns for name, value in inputs.items() if is_frame(value)}
    return {str(name): [column_name(feature) for feature in features] for name, features in names.items()}


def _has_one_output(output: Any) -> bool:
    """Whether the model gives one number for each sample: it has no classes to be told by number."""
    return isinstance(output, np.ndarray) and (output.ndim == 1 or (output.ndim == 2 and output.shape[1] == 1))


def _is_regression(output: Any, labels: Sequence[int]) -> bool:
    """Whether labels are values, and no classes, although they are integers."""
    return _has_one_output(output) and not set(labels) <= {0, 1}


def _middle(volumes: np.ndarray) -> int:
    """The index of the plane in the middle of volumes, along their first axis of space."""
    return volumes.shape[1] // 2


def _as_strips(signals: np.ndarray) -> np.ndarray:
    """Signals as images: time from left to right, one row for each channel, high enough to be seen."""
    rows = np.moveaxis(signals, 1, 2)
    return np.repeat(rows, max(1, rows.shape[2] // (4 * rows.shape[1])), axis=1)


def _neurons(neuron: Any, samples: int) -> list[Any]:
    """The explained neuron of every sample: an index, the indices of one neuron, or words."""
    if isinstance(neuron, str) or np.asarray(neuron).dtype.kind == "f":
        return [f"{neuron} outputs" if isinstance(neuron, str) else "weighted outputs"] * samples
    return [np.asarray(one).tolist() for one in neuron]


def _predictions(output: Any) -> list[int] | None:
    """The index of every sample's largest output; None unless the model has one output of several numbers."""
    if not isinstance(output, np.ndarray) or output.ndim != 2 or output.shape[1] < 2:
        return None
    return [int(index) for index in output.argmax(axis=1)]


def _audit_table(audit: Audit) -> list[np.ndarray]:
    """Per sample what each operation received, what its bias took, and what it lost, `(3, operations)`."""
    numbers = [[row.received, row.bias, row.lost] for row in audit.rows]
    return list(np.asarray(numbers, dtype=np.float32).transpose(2, 1, 0))
