"""A project for ViRelAy, which shows the samples of a clustering in a browser, with their relevance.

The files are what ViRelAy 0.6 reads: `project.yaml`, `label-map.json`, and three HDF5 files, of the samples, of their
relevance and of the clusters. ViRelAy is a program of its own, under a licence of its own; nothing of it is used here.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import h5py
import keras
import numpy as np

from kerasexplain.foundation.errors import InputError

#: The names that the browser shows of what was done.
METHOD, CLUSTERING, SPECTRAL, PLANE = "spectral", "eigengap", "spectral", "tsne"
#: How many eigenvalues and coordinates are written: an attribute of HDF5 holds 64 KiB.
MOST = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Category:
    """The clusters of some samples.

    Attributes:
        of: The class of the samples; None for all.
        positions: Where they are in the data, `(n,)`.
        labels: The number of each one's cluster; -1 for none, and then it is left out.
        eigenvalues: Ascending.
        coordinates: `(n, eigenvalues)`.
        embedding: `(n, 2)`.
        relevance: `(n, height, width)`.
        classes: Their true classes, or what was predicted, `(n,)`.
        outputs: What the model gave, `(n, outputs)`.
    """

    of: int | None
    positions: np.ndarray
    labels: np.ndarray
    eigenvalues: np.ndarray
    coordinates: np.ndarray
    embedding: np.ndarray
    relevance: np.ndarray
    classes: np.ndarray
    outputs: np.ndarray

    @property
    def name(self) -> str:
        """The name of the analysis: the identity of the class in the map of labels."""
        return "all" if self.of is None else identity(self.of)


def export(
    folder: pathlib.Path,
    categories: Sequence[Category],
    images: Any,
    names: Sequence[str],
    *,
    title: str,
    model: str,
    method: str,
    by_label: bool,
) -> pathlib.Path:
    """Writes a project.

    Args:
        folder: Where; it is made if there is none.
        categories: What was found, of different classes.
        images: All samples, indexed by where they are in the data.
        names: What the classes are called.
        title: The project's name.
        model: The model's name.
        method: The analyzer's name.
        by_label: Whether relevance is that of the true class, rather than of the predicted one.

    Returns:
        `project.yaml`, which `virelay` is started with.

    Raises:
        InputError: The samples are no images, or too few; or one is in two of the categories.
        OSError: Nothing can be written there.
    """
    kept = [_without_zeros(category) for category in categories]
    positions, times = np.unique(np.concatenate([category.positions for category in kept]), return_counts=True)
    if times.max() > 1:
        raise InputError(
            f"sample {positions[times > 1][0]} is in two of the strategies: pass those of different classes"
        )
    if len(images) <= positions.max():
        raise InputError(f"images= has {len(images)} entries, but sample {positions.max()} was analysed")
    folder.mkdir(parents=True, exist_ok=True)
    _write_label_map(folder / "label-map.json", names)
    _write_samples(folder / "dataset.h5", kept, positions, images)
    _write_relevance(folder / "attribution.h5", kept, positions)
    _write_clusters(folder / "analysis.h5", kept)
    path = folder / "project.yaml"
    project = {
        "name": title,
        "model": model,
        "label_map": "label-map.json",
        "dataset": {"name": f"{len(positions)} samples", "type": "hdf5", "path": "dataset.h5"},
        "attributions": {
            "attribution_method": method,
            "attribution_strategy": "true_label" if by_label else "predicted_label",
            "sources": ["attribution.h5"],
        },
        "analyses": [{"analysis_method": METHOD, "sources": ["analysis.h5"]}],
    }
    # YAML takes JSON as it is.
    path.write_text(json.dumps({"project": project}, indent=2) + "\n", encoding="utf-8")
    return path


def identity(label: int) -> str:
    """The identity of a class, where ViRelAy has a WordNet ID; sorted, they are in the order of the classes."""
    return f"class-{label:05d}"


def _without_zeros(category: Category) -> Category:
    kept = category.labels >= 0
    per_sample = ("positions", "labels", "coordinates", "embedding", "relevance", "classes", "outputs")
    return dataclasses.replace(category, **{name: getattr(category, name)[kept] for name in per_sample})


def _write_label_map(path: pathlib.Path, names: Sequence[str]) -> None:
    rows = [{"index": i, "word_net_id": identity(i), "name": str(name)} for i, name in enumerate(names)]
    path.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_samples(path: pathlib.Path, categories: Sequence[Category], positions: np.ndarray, images: Any) -> None:
    # At the positions that they have in the data, so that numbers in the browser are those of the clusters. What was
    # not analysed takes no room: HDF5 holds no pieces that nothing was written to.
    first = _pixels(images[int(positions[0])])
    with h5py.File(path, "w") as file:
        shape = (int(positions.max()) + 1, *first.shape)
        data = file.create_dataset("data", shape, "uint8", chunks=(1, *first.shape), compression="gzip")
        labels = np.zeros(len(data), np.int64)
        for category in categories:
            labels[category.positions] = category.classes
        for position in positions:
            pixels = _pixels(images[int(position)])
            if pixels.shape != first.shape:
                raise InputError(f"samples differ in size, {first.shape} and {pixels.shape}: pass images= of one size")
            data[position] = pixels
        file["label"] = labels


def _pixels(image: Any) -> np.ndarray:
    """An image as three channels of bytes, channels first.

    ViRelAy guesses what it is given by the smallest axis and by the range of values, and cannot draw a single channel.
    """
    values = np.asarray(image)
    if values.ndim == 3 and keras.config.image_data_format() == "channels_first":
        values = np.moveaxis(values, 0, -1)
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[-1] not in (1, 3, 4) or min(values.shape[:2]) < 3:
        raise InputError(
            f"ViRelAy shows images of 1, 3 or 4 channels and at least 3 x 3 pixels; got shape {values.shape}"
        )
    if values.dtype != np.uint8:
        low, high = float(values.min()), float(values.max())
        if low < 0.0 or high > 1.0:
            raise InputError(
                f"images= holds values from {low:.3g} to {high:.3g}: pass images in bytes, or in 0..1, as they should "
                "be seen"
            )
        values = np.round(255.0 * values).astype(np.uint8)
    values = np.repeat(values, 3, axis=-1) if values.shape[-1] == 1 else values[..., :3]
    return np.moveaxis(values, -1, 0)


def _write_relevance(path: pathlib.Path, categories: Sequence[Category], positions: np.ndarray) -> None:
    by_position: dict[int, tuple[Category, int]] = {}
    for category in categories:
        by_position |= {int(position): (category, i) for i, position in enumerate(category.positions)}
    found = [by_position[int(position)] for position in positions]
    maps = [category.relevance[i] for category, i in found]
    if maps[0].ndim != 2 or min(maps[0].shape) < 3:
        raise InputError(f"ViRelAy shows maps of height and width, at least 3 x 3; got {maps[0].shape}")
    with h5py.File(path, "w") as file:
        file["index"] = positions
        # Three channels, which ViRelAy adds up: of one it draws no map.
        thirds = np.stack(maps).astype(np.float32)[:, None] / 3.0
        file.create_dataset("attribution", data=np.repeat(thirds, 3, axis=1), compression="gzip")
        file["label"] = np.array([category.classes[i] for category, i in found], np.int64)
        file["prediction"] = np.stack([category.outputs[i] for category, i in found]).astype(np.float32)


def _write_clusters(path: pathlib.Path, categories: Sequence[Category]) -> None:
    with h5py.File(path, "w") as file:
        for category in categories:
            group = file.create_group(category.name)
            group["index"] = category.positions
            group[f"cluster/{CLUSTERING}"] = category.labels
            spectral = group.create_dataset(f"embedding/{SPECTRAL}", data=category.coordinates[:, :MOST])
            spectral.attrs["eigenvalue"] = category.eigenvalues[:MOST]
            group[f"embedding/{PLANE}"] = category.embedding
