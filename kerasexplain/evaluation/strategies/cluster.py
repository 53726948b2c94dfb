"""A cluster: samples that a model decides in one way."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kerasexplain.evaluation.strategies.maps import Maps, rows_of
from kerasexplain.foundation.showing import Shown

#: A cluster stands apart up to this conductance. On small networks for handwritten digits, maps of one class without
#: a shortcut split at 0.13 or more, if at all, and those of marked images at 0.05 or less, where the mark counts.
APART = 0.05


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Cluster(Shown):
    """Samples whose relevance maps are alike.

    Attributes:
        members: Where they are in the data, ascending.
        share: Of all samples that are in a cluster.
        prototypes: Where the members are whose maps are nearest to the mean map, the nearest first.
        mean_map: The mean of the members' maps, each of which was pooled and has length 1.
        maps: The prototypes' maps, `(prototypes, *shape)`.
        inputs: The prototypes themselves, `(prototypes, ...)`; None of a stream.
        conductance: How many of its ties to near maps lead out of it, from 0, none, to 1.
        accuracy: Which share of the members has its largest output at its class; None without labels, or where the
            model does not give one number for each class.
        predicted: How many members have their largest output at which index, the most frequent first; empty where the
            model does not give one number for each class.
    """

    members: np.ndarray
    share: float
    prototypes: np.ndarray
    mean_map: np.ndarray
    maps: np.ndarray
    inputs: np.ndarray | None
    conductance: float
    accuracy: float | None
    predicted: dict[int, int]

    @property
    def size(self) -> int:
        """How many samples these are."""
        return len(self.members)

    @property
    def apart(self) -> bool:
        """Whether it stands apart: at most one in twenty of its ties to near maps leads out of it."""
        return self.conductance <= APART


def clusters_of(
    maps: Maps, kept: np.ndarray, labels: np.ndarray, conductance: np.ndarray, prototypes: int, inputs: Any
) -> tuple[Cluster, ...]:
    """The clusters that maps were put into.

    Args:
        maps: The maps.
        kept: Which of them are in clusters, `(k,)`.
        labels: The number of each one's cluster, `(k,)`.
        conductance: Of each cluster.
        prototypes: How many members are kept as examples.
        inputs: The samples, indexed by where they are in the data; None of a stream.
    """
    clusters = []
    for number in range(labels.max() + 1):
        rows = kept[labels == number]
        mean = maps.values[rows].mean(axis=0)
        distance = np.linalg.norm((maps.values[rows] - mean).reshape(len(rows), -1), axis=1)
        nearest = rows[np.argsort(distance, kind="stable")[:prototypes]]
        positions = maps.positions[nearest]
        predicted = None if maps.predicted is None else maps.predicted[rows]
        accuracy = None
        if predicted is not None and maps.classes is not None:
            accuracy = float(np.mean(predicted == maps.classes[rows]))
        indices, counts = np.unique([] if predicted is None else predicted, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        clusters.append(
            Cluster(
                members=maps.positions[rows],
                share=len(rows) / len(kept),
                prototypes=positions,
                mean_map=mean,
                maps=maps.values[nearest],
                inputs=None if inputs is None else np.concatenate([rows_of(inputs, at[None]) for at in positions]),
                conductance=float(conductance[number]),
                accuracy=accuracy,
                predicted={int(indices[i]): int(counts[i]) for i in order},
            )
        )
    return tuple(clusters)
