"""The order of a sample's axes: that of a model, and that of a library that has channels first."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np

from kerasexplain.foundation.errors import InputError
from kerasexplain.graph.graph import Graph, Shape


@dataclasses.dataclass(frozen=True)
class Layout:
    """The axes of a model's samples.

    Attributes:
        shape: Of a sample, as the model takes it; open sizes are None.
        channel_first: Whether its first axis is that of channels, and not the last.
    """

    shape: Shape
    channel_first: bool = False

    @classmethod
    def of(cls, graph: Graph, shape: Shape, channel_first: bool | None) -> Layout:
        """The layout of a model.

        Args:
            graph: The traced model.
            shape: Of a sample.
            channel_first: What the user says; None where it is to be found out.

        Raises:
            InputError: There are more axes than Quantus knows, or layers and sizes disagree on the axis of channels.
        """
        if not 1 <= len(shape) <= 3:
            raise InputError(
                "Quantus takes samples of (features,), (channels, time) and (channels, height, width), and those of "
                f"the model have shape {shape}"
            )
        if len(shape) == 1 or channel_first is not None:
            return cls(shape, bool(channel_first))
        by_layers, by_sizes = _by_layers(graph), _by_sizes(shape)
        if by_sizes not in (None, by_layers):
            told = ("last", "first")
            raise InputError(
                f"it is not clear which axis of the model's input {shape} is that of channels: the {told[by_layers]} "
                f"by its layers, the {told[not by_layers]} by its sizes. Pass channel_first=True or "
                "channel_first=False to explain_func"
            )
        return cls(shape, by_layers)

    def as_model_takes(self, x: np.ndarray) -> np.ndarray:
        """Samples with their axes in the model's order.

        Quantus moves channels first, and passes them so in some metrics; in others it moves the first axis behind the
        last a second time. Either is one of the cyclic orders of the axes.

        Raises:
            InputError: No order fits the model, or more than one.
        """
        if x.ndim != len(self.shape) + 1:
            raise InputError(f"the model takes samples of shape {self.shape}, got an array of shape {x.shape}")
        orders = [x]
        for _ in self.shape[1:]:
            orders.append(np.moveaxis(orders[-1], 1, -1))
        fitting = [moved for moved in orders if self._fits(moved.shape[1:])]
        if not fitting:
            raise InputError(f"samples of shape {x.shape[1:]} fit the model's input {self.shape} in no order of axes")
        if len(fitting) > 1:
            raise InputError(
                f"samples of shape {x.shape[1:]} fit the model's input {self.shape} in more than one order of axes, "
                "and Quantus does not tell which it is: pass maps as a_batch=, made by an analyzer"
            )
        return fitting[0]

    def as_quantus_takes(self, relevance: np.ndarray) -> np.ndarray:
        """Relevance summed over channels, with one channel in front; features as they are. It may be written to."""
        if len(self.shape) == 1:
            return np.array(relevance)
        return np.asarray(relevance.sum(axis=1 if self.channel_first else -1))[:, None]

    def _fits(self, shape: tuple[int, ...]) -> bool:
        return all(known in (None, size) for known, size in zip(self.shape, shape, strict=True))


def _by_layers(graph: Graph) -> bool:
    """Whether the first layer that knows of channels has them first; without such a layer, Keras' own default."""
    for node in graph.nodes:
        data_format = getattr(node.operation, "data_format", None)
        if data_format is not None and not isinstance(node.operation, keras.layers.Flatten):
            return str(data_format) == "channels_first"
    return str(keras.config.image_data_format()) == "channels_first"


def _by_sizes(shape: Shape) -> bool | None:
    """Whether the first axis is smaller than the last; None where they do not differ, or are not known."""
    first, last = shape[0], shape[-1]
    return None if first is None or last is None or first == last else first < last
