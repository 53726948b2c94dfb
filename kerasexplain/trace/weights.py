"""Expressions over weights, such as `self.w * 2` in a layer's code, kept live.

On symbolic inputs such an expression is computed at once, and would be a constant of the graph: right today and wrong
after the next training step. So the code of the layer around it is run again, in every run of the graph, and gives the
expression's value over the weights as they are.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from kerasexplain.graph.primitives import LiveConstant
from kerasexplain.trace.recorder import Expand, Opened, Recorder, Translate
from kerasexplain.trace.recording import recording

Tensor = Any

_computed: contextvars.ContextVar[dict[Any, Any] | None] = contextvars.ContextVar(
    "kerasexplain_computed_weights", default=None
)


def computed(key: Any, compute: Callable[[], Any]) -> Any:
    """The result of a computation on weights, under a key: once at most, where `computed_once` is active."""
    known = _computed.get()
    if known is None:
        return compute()
    if key not in known:
        known[key] = compute()
    return known[key]


@dataclasses.dataclass(frozen=True, eq=False)
class Region:
    """A call of a layer whose code computes with its weights.

    Attributes:
        opened: The call.
        counts: How many constants each operation that it calls has.
        expand, translate: As for the recorder.
    """

    opened: Opened
    counts: tuple[int, ...]
    expand: Expand
    translate: Translate | None

    def constants(self) -> list[Tensor]:
        """The constants of all its operations, over the weights as they are now."""
        return computed(self, self._constants)

    def _constants(self) -> list[Tensor]:
        decisions = iter(self.opened.decisions)
        recorder = Recorder(lambda *_: next(decisions, None), self.expand, translate=self.translate)
        with recording(recorder):
            recorder.open(self.opened.layer, self.opened.args, self.opened.kwargs)
        found = [record.constants() for record in recorder.records]
        if tuple(map(len, found)) != self.counts:
            raise RuntimeError(
                f"the code of the layer {self.opened.layer.name!r} ({type(self.opened.layer).__name__}) does not call "
                "the same operations each time it runs, so its weights cannot be followed: make a new analyzer"
            )
        return [tensor for constants in found for tensor in constants]


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
    """While active, what is made of weights is made once at most."""
    token = _computed.set({})
    try:
        yield
    finally:
        _computed.reset(token)
