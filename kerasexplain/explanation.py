"""An explanation: the result of an analyzer, as a value that can be looked at, saved and loaded."""

from __future__ import annotations

import dataclasses
import io
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np

from kerasexplain.audit import Audit
from kerasexplain.features import features_of
from kerasexplain.foundation.arrays import channels_last, check_sample
from kerasexplain.foundation.checks import check_count
from kerasexplain.foundation.errors import InputError
from kerasexplain.foundation.showing import brief
from kerasexplain.foundation.storage import read_values, write_values
from kerasexplain.foundation.text import counted
from kerasexplain.remarks import error_of, per_sample, remark_of
from kerasexplain.tables import Table, Tabled, image_html
from kerasexplain.tokens import TokenRelevances, token_relevances

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure
    from PIL.Image import Image


#: How many samples a table tells of, and how many are drawn in a notebook.
ROWS, DRAWN = 20, 6
#: What writes the kinds of files that `save` does not, by their suffix.
_OTHER_WAYS = {
    **dict.fromkeys((".png", ".jpg", ".jpeg"), "to_image().save(path) writes an image"),
    **dict.fromkeys((".pdf", ".svg"), "to_figure(x).savefig(path) writes a figure"),
    **dict.fromkeys((".npy", ".npz"), "np.save(path, explanation.relevance) writes the relevance alone"),
    ".csv": "to_dataframe().to_csv(path) writes a table",
    ".html": "tokens(...).to_html() is a page of text",
}


class TopNeurons(NamedTuple):
    """The most relevant neurons of each sample, the first one first.

    Attributes:
        neurons: Their indices, `(samples, k)`.
        relevance: Their relevance, summed over positions, `(samples, k)`.
    """

    neurons: np.ndarray
    relevance: np.ndarray

    def __repr__(self) -> str:
        return f"TopNeurons(neurons={brief(self.neurons)}, relevance={brief(self.relevance)})"


def of_channels(relevance: np.ndarray, axis: int = -1) -> np.ndarray:
    """Relevance per sample and channel, summed over all other axes, `(samples, channels)`."""
    moved = np.moveaxis(relevance, axis, -1)
    return moved.reshape(len(moved), -1, moved.shape[-1]).sum(axis=1)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Explanation(Tabled):
    """Relevance, and what it is the relevance of.

    Attributes:
        relevance: Of the inputs, in their structure and shape.
        bias: Per operation with a constant term, what the term took, `(batch, *bias.shape)`; empty unless asked for.
        layers: Relevance of the output of the operations that were asked for, by name.
        output: The model's output.
        neuron: What was explained: per sample an index, a row of indices, or the weights.
        explained: Its value per sample.
        analyzer: The analyzer's configuration.
        reference: What is explained has this value at the baseline, per sample (the mean over several); None for
            methods without a baseline.
        audit: Where the relevance went, operation by operation; None unless asked for.
    """

    relevance: Any
    bias: dict[str, np.ndarray]
    layers: dict[str, np.ndarray]
    output: Any
    neuron: Any
    explained: np.ndarray
    analyzer: dict[str, Any]
    reference: np.ndarray | None = None
    audit: Audit | None = None

    @classmethod
    def joined(cls, parts: Sequence[Explanation]) -> Explanation:
        """The explanations of several batches, as one.

        Raises:
            InputError: Their samples differ in size.
        """
        if len(parts) == 1:
            return parts[0]

        def join(name: str) -> Any:
            return joined([getattr(part, name) for part in parts])

        names = ("relevance", "bias", "layers", "output", "neuron", "explained", "reference")
        audits = [part.audit for part in parts if part.audit is not None]
        audit = Audit.joined(audits) if audits else None
        return cls(**{name: join(name) for name in names}, analyzer=parts[0].analyzer, audit=audit)

    @property
    def completeness_error(self) -> np.ndarray:
        """Per sample, what the relevance of the inputs adds up to, less the change from the baseline.

        For methods that compare with a baseline: `sum R - (explained - reference)`, which is rounding where the method
        is exact.

        Raises:
            ValueError: The method has no baseline.
        """
        if self.reference is None:
            raise ValueError(f"{self.analyzer['analyzer']!r} compares with no baseline")
        return error_of(self._inputs(), self.explained, self.reference)

    @property
    def remark(self) -> str:
        """A sentence on a map that says little; "" for any other.

        It speaks of relevance that is zero wherever one looks, though the output is not, and why; of relevance that is
        the same everywhere; and of a sum that misses the change from the baseline by more than a tenth of it. The
        latter two are said of the middle sample. Where relevance of both signs cancels, a tenth of its size is the
        measure. `str` speaks of single samples without relevance, too.
        """
        return remark_of(self._inputs(), self.explained, self.reference)

    def _inputs(self) -> list[np.ndarray]:
        """The relevance of each input."""
        inputs = self.relevance.values() if isinstance(self.relevance, dict) else self.relevance
        return list(inputs) if isinstance(self.relevance, (dict, list, tuple)) else [self.relevance]

    def to_image(self, **options: Any) -> Image:
        """The relevance as an image: one heatmap per sample, side by side. Needs the `viz` extra.

        `to_figure` draws tables, signals and volumes, too, and models of several inputs.

        Args:
            **options: As for `kerasexplain.visualize.heatmap`.

        Raises:
            ValueError: The relevance is not that of images.
        """
        from kerasexplain import visualize

        relevance = channels_last(self.relevance) if hasattr(self.relevance, "ndim") else self.relevance
        return visualize.strip(visualize.heatmap(relevance, **options))

    def to_figure(
        self,
        x: Any = None,
        names: Any = None,
        *,
        kinds: str | Mapping[str, str] | None = None,
        tokens: Any = None,
        sample: int = 0,
        title: str | None = None,
    ) -> Figure:
        """A figure of one sample with a panel for each input: bars, curves, maps or words. Needs the `viz` extra.

        Args:
            x: The inputs that were explained; a table may be a DataFrame. None draws relevance alone.
            names: Of features or channels, a list; of several inputs a dict of lists. None takes those of a DataFrame.
            kinds, tokens, sample: As for `kerasexplain.visualize.figure`.
            title: What is written above; by default what was explained, and its value.

        Raises:
            ValueError: An input is of no kind that can be drawn, or what was passed does not fit.

        Example:
            >>> inputs = {"scan": scans, "age": ages}
            >>> analyzer.explain(inputs).to_figure(inputs).savefig("patient.png")
        """
        from kerasexplain import visualize

        check_sample(sample, len(self.explained))
        title = self._titles()[sample] if title is None else title
        look: dict[str, Any] = {"kinds": kinds, "tokens": tokens, "sample": sample, "title": title}
        return visualize.figure(self.relevance, x, names=names, **look)

    def to_dataframe(self, names: Any = None, x: Any = None) -> pandas.DataFrame:
        """The relevance of a table, a row per sample and a column per feature. Needs pandas.

        The columns of several inputs are named "input[feature]", or "input" where it has one.

        Args:
            names: Of the features, a list; of several inputs a dict of lists.
            x: The input as a DataFrame, or several in their structure: it names columns and rows.

        Raises:
            ImportError: pandas is not installed.
            ValueError: The relevance is not that of tables, or what was passed does not fit.

        Example:
            >>> analyzer.explain(frame.to_numpy()).to_dataframe(x=frame).abs().mean().sort_values()
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError(
                "a DataFrame needs pandas: pip install pandas; relevance is the same as arrays"
            ) from error
        found = features_of(self.relevance, x, names, summed=False)
        return pandas.DataFrame(
            found.relevance, columns=list(found.names), index=x.index if hasattr(x, "columns") else None
        )

    def tokens(
        self,
        words: Any,
        ids: Any = None,
        *,
        padding: int | None = None,
        which: int | str | None = None,
        titles: Sequence[str] | None = None,
    ) -> TokenRelevances:
        """The relevance of text, token by token: numbers, and words on coloured ground.

        Args:
            words: The tokens, one list of strings per sample, which begin at the first position; a list may be
                shorter than the input, and what follows it is taken for padding. Or, with `ids`, what names them: a
                vocabulary as a list of strings, a function from an id to its string, a Keras layer or tokenizer with
                `get_vocabulary`, or one with `id_to_token`.
            ids: The ids that were explained, `(samples, length)`, or x where the model has several inputs.
            padding: The id that fills rows up, left out at both their ends; None leaves nothing out.
            which: Index or name of the input, for a model with several.
            titles: What is written above each sample; by default what was explained, and its value.

        Returns:
            A sequence with one `TokenRelevance` per sample, each with its `tokens` and their `relevance`: of axes
            beyond `(samples, length)`, as embeddings have, the sum.

        Raises:
            ValueError: Words, ids or titles do not fit the relevance, or an id has no name.

        Example:
            >>> found = analyzer.explain(ids).tokens(vocabulary, ids, padding=0)
            >>> rich.print(found)
            >>> pathlib.Path("relevance.html").write_text(found.to_html(), encoding="utf-8")
            >>> strongest = max(found[0], key=lambda pair: pair[1])
        """
        relevance = entry(self.relevance, which)
        if type(ids) is type(self.relevance) and not isinstance(ids, np.ndarray):
            ids = entry(ids, which)
        titles = self._titles() if titles is None else titles
        return token_relevances(relevance, words, ids, padding=padding, titles=titles)

    def top_neurons(self, layer: str, k: int = 5, *, axis: int = -1) -> TopNeurons:
        """The neurons of a layer, or its channels, that are most relevant to each sample.

        Args:
            layer: One of the layers that were asked for, `explain(x, layers=[layer])`.
            k: How many.
            axis: The axis of the channels; over all other axes relevance is summed.

        Raises:
            ValueError: The layer was not asked for, or has fewer channels.
        """
        if layer not in self.layers:
            raise ValueError(
                f"the relevance of {layer!r} was not asked for: pass it in layers= (has {list(self.layers)})"
            )
        per_channel = of_channels(self.layers[layer], axis)
        check_count("k", k)
        if k > per_channel.shape[1]:
            raise ValueError(f"k must be from 1 to the {per_channel.shape[1]} channels of {layer!r}, got {k}")
        order = np.argsort(-per_channel, axis=1, kind="stable")[:, :k]
        return TopNeurons(order, np.take_along_axis(per_channel, order, axis=1))

    def resolutions(self) -> dict[str, np.ndarray]:
        """Relevance by position, summed over channels, `(samples, *positions)`: by layer from coarse to fine.

        Of the layers that were asked for those that have positions, and of the inputs, under their names or "input".
        With `layers=analyzer.resolutions` there is one map of every size, and each has all relevance that there is at
        its depth.

        Raises:
            ValueError: Neither layers nor inputs have positions and channels.

        Example:
            >>> found = analyzer.explain(images, layers=analyzer.resolutions)
            >>> visualize.grid(images, found.resolutions()).save("resolutions.png")
        """
        inputs = self.relevance if isinstance(self.relevance, dict) else {"input": self.relevance}
        if isinstance(self.relevance, (list, tuple)):
            inputs = {f"input {i}": array for i, array in enumerate(self.relevance)}
        maps = {name: array.sum(axis=-1) for name, array in {**self.layers, **inputs}.items() if array.ndim > 2}
        if not maps:
            raise ValueError("nothing that relevance was read at has positions and channels: ask for layers that have")
        return dict(sorted(maps.items(), key=lambda item: item[1][0].size))

    def _titles(self) -> list[str]:
        """Per sample what was explained, and its value."""
        return [f"{neuron}: {value:.4g}" for neuron, value in zip(self._neurons(), self.explained, strict=True)]

    def _neurons(self) -> list[str]:
        """Per sample what was explained."""
        if isinstance(self.neuron, str):
            return [f"{self.neuron} outputs"] * len(self.explained)
        if np.asarray(self.neuron).dtype.kind == "f":
            return ["weighted outputs"] * len(self.explained)
        is_only = np.shape(self.output)[1:] == (1,)  # as in regression: nothing to choose from
        return ["output" if is_only else f"output {np.asarray(neuron).tolist()}" for neuron in self.neuron]

    def __repr__(self) -> str:
        more = [f"{name} of {counted(len(held), 'operation')}" for name, held in self._further() if held]
        held = "; ".join([brief(self.relevance), *more, *(["audit"] if self.audit is not None else [])])
        of = counted(len(self.explained), "sample")
        return f"<Explanation of {of} by {self.analyzer['analyzer']}: {held}>"

    def _further(self) -> list[tuple[str, dict[str, np.ndarray]]]:
        return [("layers", self.layers), ("bias", self.bias)]

    def _table(self) -> Table:
        samples = len(self.explained)
        rows = per_sample([array[:ROWS] for array in self._inputs()])
        total = sum((row.sum(axis=1) for row in rows), np.zeros(min(samples, ROWS)))
        largest = [np.abs(row).max(axis=1, initial=0.0) for row in rows] or [total]
        numbers = [self.explained[:ROWS], total, np.max(largest, axis=0)]
        headings = ["value", "sum of relevance", "largest |relevance|"]
        if self.reference is not None:
            numbers.insert(1, self.reference[:ROWS])
            headings.insert(1, "at the baseline")
        cells = [
            (str(i), neuron, *(f"{float(value):.4g}" for value in values))
            for i, (neuron, *values) in enumerate(zip(self._neurons()[:ROWS], *numbers, strict=True))
        ]
        columns = [("sample", "right"), ("explained", "left"), *((heading, "right") for heading in headings)]
        notes = [f"and {samples - ROWS} samples more"] if samples > ROWS else []
        notes.append(f"relevance: {brief(self.relevance)}")
        notes += [f"{name}: {brief(held)}" for name, held in self._further() if held]
        notes += [f"audit: {self.audit.balance}"] if self.audit is not None else []
        remarks = [
            remark_of(self._inputs(), self.explained, self.reference, each=True),
            self.audit.remark if self.audit is not None else "",
        ]
        notes += [remark for remark in remarks if remark]
        return Table(f"explanation by {self.analyzer['analyzer']}", columns, cells, notes)

    def _repr_html_(self) -> str:
        return f"{self._drawn()}{super()._repr_html_()}"

    def _drawn(self) -> str:
        """The first samples as images for notebooks, if they can be drawn; else ""."""
        titles = [f"sample {i}: {title}" for i, title in enumerate(self._titles()[:DRAWN])]
        try:
            from kerasexplain import visualize

            if np.ndim(self.relevance) == 4:
                maps = visualize.heatmap(channels_last(self.relevance[:DRAWN]))
                return "".join(
                    image_html(_png(visualize.strip([one]).save), title)
                    for one, title in zip(maps, titles, strict=True)
                )
            return image_html(_png(self.to_figure(title="").savefig), titles[0])
        except Exception:  # no matplotlib, or nothing that can be drawn: the table says what there is
            return ""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything to an HDF5 file, with a checksum.

        Raises:
            OSError: The file cannot be written.
            ValueError: The name is that of another kind of file, such as an image.
        """
        other = pathlib.PurePath(path).suffix.lower()
        if other in _OTHER_WAYS:
            raise ValueError(
                f"save writes an HDF5 file, which load reads, and {os.fspath(path)!r} is named otherwise: "
                f"{_OTHER_WAYS[other]}"
            )
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values |= {"analyzer": None, "audit": None if self.audit is None else self.audit.to_dict()}
        write_values(path, self.analyzer, {name: value for name, value in values.items() if value is not None})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Reads what `save` wrote.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file holds no explanation, or is damaged.
        """
        config, values = read_values(path, "explanation")
        names = {field.name for field in dataclasses.fields(cls)}
        try:
            if "audit" in values:
                values["audit"] = Audit.from_dict(values["audit"])
            found = cls(**{name: value for name, value in values.items() if name in names}, analyzer=config)
            _check_loaded(found)
        except (TypeError, AttributeError, KeyError, ValueError) as error:
            raise ValueError(f"{os.fspath(path)!r} holds no explanation: {error}") from error
        return found


def _png(save: Callable[..., None]) -> bytes:
    written = io.BytesIO()
    save(written, format="png")
    return written.getvalue()


def _check_loaded(found: Explanation) -> None:
    """Raises ValueError unless what was read from a file are arrays of one number of samples, where they must be."""
    if not isinstance(found.explained, np.ndarray) or found.explained.ndim != 1:
        raise ValueError("what was explained is no value per sample")
    samples = len(found.explained)
    for name in ("relevance", "bias", "layers"):
        held = getattr(found, name)
        if name != "relevance" and not isinstance(held, dict):
            raise ValueError(f"its {name} has no names")
        for array in keras.tree.flatten(held):
            if not isinstance(array, np.ndarray) or array.shape[:1] != (samples,):
                raise ValueError(f"its {name} is not that of {samples} samples")


def joined(parts: Sequence[Any]) -> Any:
    """Arrays of several batches as one, in the structure that they all have; what is no array is the same in all.

    Raises:
        InputError: Their samples differ in size.
    """

    def join(*arrays: Any) -> Any:
        if not isinstance(arrays[0], np.ndarray):
            return arrays[0]
        sizes = sorted({array.shape[1:] for array in arrays})
        if len(sizes) > 1:
            raise InputError(f"samples of different sizes make no one array: {sizes}; take them batch by batch")
        return np.concatenate(arrays)

    return parts[0] if len(parts) == 1 else keras.tree.map_structure(join, *parts)


def entry(values: Any, which: int | str | None) -> Any:
    """The entry of one input, of the entries of all of them."""
    if not isinstance(values, (dict, list, tuple)):
        if which is not None:
            raise ValueError(f"which={which!r} chooses among inputs, but the model was given one")
        return values
    entries: dict[Any, Any] = values if isinstance(values, dict) else dict(enumerate(values))
    if which is None and len(entries) > 1:
        raise ValueError(f"the model has several inputs: choose one with which=, of {list(entries)}")
    which = next(iter(entries)) if which is None else which
    if which not in entries:
        raise ValueError(f"there is no input {which!r}; which= is one of {list(entries)}")
    return entries[which]
