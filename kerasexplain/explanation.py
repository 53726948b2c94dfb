"""What an analyzer found, as a value that can be looked at, saved and loaded."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from kerasexplain.tokens import TokenRelevances, token_relevances

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """Relevance, and what it is the relevance of.

    Attributes:
        relevance: Of the inputs, in their structure and shape.
        bias: Per operation with a constant term, what the term took, `(batch, *bias.shape)`; empty unless asked for.
        layers: Relevance of the output of the operations that were asked for, by name.
        output: The model's output.
        neuron: What was explained: per sample an index, a row of indices, or the weights.
        explained: Its value per sample.
        analyzer: The analyzer's configuration.
    """

    relevance: Any
    bias: dict[str, np.ndarray]
    layers: dict[str, np.ndarray]
    output: Any
    neuron: Any
    explained: np.ndarray
    analyzer: dict[str, Any]

    def to_image(self, **options: Any) -> Image:
        """The relevance as a picture: one heatmap per sample, side by side. Needs the `viz` extra.

        Args:
            **options: As for `kerasexplain.visualize.heatmap`.

        Raises:
            ValueError: The relevance is not that of pictures.
        """
        from kerasexplain import visualize

        return visualize.strip(visualize.heatmap(self.relevance, **options))

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
        relevance = _entry(self.relevance, which)
        if type(ids) is type(self.relevance) and not isinstance(ids, np.ndarray):
            ids = _entry(ids, which)
        titles = self._titles() if titles is None else titles
        return token_relevances(relevance, words, ids, padding=padding, titles=titles)

    def _titles(self) -> list[str]:
        """Per sample what was explained, and its value."""
        if isinstance(self.neuron, str):
            neurons = [f"{self.neuron} outputs"] * len(self.explained)
        elif np.asarray(self.neuron).dtype.kind == "f":
            neurons = ["weighted outputs"] * len(self.explained)
        else:
            neurons = [f"output {np.asarray(neuron).tolist()}" for neuron in self.neuron]
        return [f"{neuron}: {value:.4g}" for neuron, value in zip(neurons, self.explained, strict=True)]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes everything to an HDF5 file."""
        with h5py.File(path, "w") as file:
            file.attrs["analyzer"] = json.dumps(self.analyzer)
            for field in dataclasses.fields(self):
                if field.name != "analyzer":
                    _write(file, field.name, getattr(self, field.name))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanation:
        """Reads what `save` wrote.

        Raises:
            ValueError: The file holds no explanation.
        """
        with h5py.File(path, "r") as file:
            if "analyzer" not in file.attrs or "relevance" not in file:
                raise ValueError(f"{os.fspath(path)!r} holds no explanation")
            names = [field.name for field in dataclasses.fields(cls) if field.name != "analyzer"]
            return cls(**{name: _read(file[name]) for name in names}, analyzer=json.loads(file.attrs["analyzer"]))


def _entry(values: Any, which: int | str | None) -> Any:
    """What belongs to one input, of what belongs to all of them."""
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


def _write(group: h5py.Group, name: str, value: Any) -> None:
    if isinstance(value, (dict, list, tuple)):
        child = group.create_group(name, track_order=True)
        child.attrs["kind"] = type(value).__name__
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            _write(child, str(key).replace("/", "\\"), item)  # a slash would nest the group
    else:
        group.create_dataset(name, data=value)


def _read(item: h5py.Group | h5py.Dataset) -> Any:
    if isinstance(item, h5py.Dataset):
        value = item[()]
        return value.decode() if isinstance(value, bytes) else value
    values = {key.replace("\\", "/"): _read(child) for key, child in item.items()}
    if item.attrs["kind"] == "dict":
        return values
    return list(values.values()) if item.attrs["kind"] == "list" else tuple(values.values())
