"""What an analyzer found, as a value that can be looked at, saved and loaded."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

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
