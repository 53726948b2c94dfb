"""The environment of a run of a graph: all that it is given besides its inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from kerasexplain.graph.graph import Value
from kerasexplain.graph.taps import Tap

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Environment:
    """The environment of a run of a graph: all that it is given besides its inputs.

    Attributes:
        taps: Tensors to be differentiated by: ones for "bias" taps, zeros for the others.
        references: What a run at the baseline gave, where the composite compares with one.
        conditions: By operation, factors for the relevance of its output, shaped to be multiplied by it.
        held: Values of another run that take the place of what carries no relevance, masks above all.
        remat: Whether the first parts of the graph are rematerialized in the backward pass, except where something
            inside is read off. The values inside are not told.
    """

    taps: Mapping[Tap, Tensor] = dataclasses.field(default_factory=dict)
    references: Mapping[Value, Tensor] | None = None
    conditions: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    held: Mapping[Value, Tensor] | None = None
    remat: bool = False

    def reads_between(self, first: str, last: str) -> bool:
        """Whether relevance is read off, or changed, between an operation and its only reader."""
        taps = (Tap("output", first), Tap("edge", last))
        return any(tap in self.taps for tap in taps) or first in self.conditions

    @property
    def read(self) -> set[str]:
        """The operations at which relevance is read off or changed."""
        return {tap.node for tap in self.taps} | set(self.conditions)


#: Nothing is given: an ordinary run.
ORDINARY = Environment()
