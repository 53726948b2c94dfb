"""Written events, as TensorBoard reads them."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from kerasexplain.tensorboard.records import Header, array_from_blob


@dataclasses.dataclass(frozen=True)
class Run:
    """The events of a folder."""

    events: EventAccumulator

    @classmethod
    def of(cls, folder: pathlib.Path) -> Run:
        events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
        events.Reload()
        return cls(events)

    def tags(self, plugin: str) -> set[str]:
        return {tag for tag in self.events.Tags()["tensors"] if self.plugin(tag) == plugin}

    def plugin(self, tag: str) -> str:
        return self.events.SummaryMetadata(tag).plugin_data.plugin_name

    def steps(self, tag: str) -> list[int]:
        return [event.step for event in self._written(tag)]

    def values(self, tag: str) -> list[np.ndarray]:
        return [tensor_util.make_ndarray(event.tensor_proto) for event in self._written(tag)]

    def _written(self, tag: str) -> list[Any]:
        """In the order of writing. TensorBoard goes by files' names: within a second, 10 is before 9."""
        return sorted(self.events.Tensors(tag), key=lambda event: event.wall_time)

    def header(self, tag: str, which: int = -1) -> Header:
        return Header.from_blob(self.values(tag)[which][0])

    def section(self, tag: str, name: str, which: int = -1) -> np.ndarray:
        """The arrays of a section, one row per sample."""
        blobs = self.values(tag)[which]
        section = Header.from_blob(blobs[0]).section(name)
        return np.concatenate([array_from_blob(blob) for blob in blobs[section.first : section.end]])
