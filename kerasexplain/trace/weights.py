"""Expressions over weights, such as `self.w * 2` in a layer's code, kept live.

On symbolic inputs such an expression is computed at once, and would be a constant of the graph: right today and wrong
after the next training step. So the code of the layer around it is run again, in every run of the graph, and gives the
expression's value over the weights as they are.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator
from typing import Any

from kerasexplain.graph.primitives import LiveConstant
from kerasexplain.trace.recorder import Expand, Opened, Recorder, recording

Tensor = Any

_computed: contextvars.ContextVar[dict[Region, list[Tensor]] | None] = contextvars.ContextVar(
    "kerasexplain_computed_weights", default=None
)


@dataclasses.dataclass(frozen=True, eq=False)
class Region:
    """A call of a layer whose code computes with its weights.

    Attributes:
        opened: The call.
        counts: How many constants each operation that it calls has.
        expand: As for the recorder.
    """

    opened: Opened
    counts: tuple[int, ...]
    expand: Expand

    def constants(self) -> list[Tensor]:
        """The constants of all its operations, over the weights as they are now."""
        known = _computed.get()
        if known is not None and self in known:
            return known[self]
        decisions = iter(self.opened.decisions)
        recorder = Recorder(lambda *_: next(decisions, None), self.expand)
        with recording(recorder):
            recorder.open(self.opened.layer, self.opened.args, self.opened.kwargs)
        found = [record.constants() for record in recorder.records]
        if tuple(map(len, found)) != self.counts:
            raise RuntimeError(
                f"the code of the layer {self.opened.layer.name!r} ({type(self.opened.layer).__name__}) does not call "
                "the same operations each time it runs, so its weights cannot be followed: make a new analyzer"
            )
        tensors = [tensor for constants in found for tensor in constants]
        if known is not None:
            known[self] = tensors
        return tensors


@dataclasses.dataclass(frozen=True, eq=False)
class Recomputed(LiveConstant):
    """A constant of a region."""

    region: Region
    position: int
    shape: tuple[int, ...]
    dtype: str

    def value(self) -> Tensor:
        return self.region.constants()[self.position]


@contextlib.contextmanager
def computed_once() -> Iterator[None]:
    """While active, the code of each layer is run again once at most."""
    token = _computed.set({})
    try:
        yield
    finally:
        _computed.reset(token)
