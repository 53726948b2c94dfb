"""Weights of layers that are gone: those of CuDNN's recurrent layers, as LSTM and GRU order them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def copy_values(old: Any, new: Any) -> None:
    """Copies what an HDF5 group holds: a file that was damaged is read, and never written to."""
    for name, value in old.attrs.items():
        new.attrs[name] = value
    for name, item in old.items():
        if hasattr(item, "shape"):
            new.create_dataset(name, data=item[()]).attrs.update(item.attrs)
        else:
            copy_values(item, new.create_group(name, track_order=True))


def rename_layers(group: Any, names: Mapping[str, str]) -> None:
    """Renames layers in the group of an HDF5 file."""
    for old, new in sorted(names.items(), key=lambda pair: -len(pair[0])):  # what is inside of another first
        if old in group:
            group.move(old, new)
    # A long list of names is in several attributes.
    for attribute in [name for name in group.attrs if name.startswith("layer_names")]:
        held = [name.decode() if isinstance(name, bytes) else name for name in group.attrs[attribute]]
        group.attrs[attribute] = [names.get(name, name).encode() for name in held]


def convert_weights(group: Any, layers: Mapping[str, str]) -> None:
    """Rewrites the weights of layers, by name and the class that they had, in the group of an HDF5 file."""
    for name, kind in layers.items():
        found = _recurrent_weights(group[name]) if name in group else []
        for kernel, recurrent, bias in found:
            gates = 4 if kind == "CuDNNLSTM" else 3
            _replace(kernel, _per_gate(kernel[()], gates, lambda k: k.T.reshape(k.shape, order="F")))
            _replace(recurrent, _per_gate(recurrent[()], gates, np.transpose))
            # There is a bias of the input and one of the state; an LSTM adds them, a GRU keeps them apart.
            both = bias[()].reshape(2, -1)
            _replace(bias, both.sum(axis=0) if kind == "CuDNNLSTM" else both)


def _per_gate(kernel: np.ndarray, gates: int, change: Any) -> np.ndarray:
    return np.hstack([change(part) for part in np.hsplit(kernel, gates)])


def _recurrent_weights(group: Any) -> list[tuple[Any, Any, Any]]:
    """The kernels and biases in a group, of one recurrent layer or of the two of a bidirectional one."""
    found: dict[str, dict[str, Any]] = {}

    def note(path: str, item: Any) -> None:
        folder, _, leaf = path.rpartition("/")
        if hasattr(item, "shape"):
            found.setdefault(folder, {})[leaf.split(":")[0]] = item

    group.visititems(note)
    names = ("kernel", "recurrent_kernel", "bias")
    return [tuple(held[name] for name in names) for held in found.values() if set(names) <= set(held)]  # type: ignore[misc]


def _replace(dataset: Any, value: np.ndarray) -> None:
    """Other numbers in place of a dataset, of another shape if need be."""
    parent, name = dataset.parent, dataset.name.rpartition("/")[2]
    del parent[name]
    parent[name] = value
