"""What makes one analyzer differ from another: a named, configurable method on top of the engine."""

from __future__ import annotations

from typing import Any, ClassVar

from kerasexplain.composite import GRADIENT, Composite
from kerasexplain.config import Configurable

Tensor = Any


class Method(Configurable):
    """A way of explaining, as a frozen dataclass whose fields are its options.

    To add one: subclass, decorate with `@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)`,
    give it a `name`, say in `composite` which rule every operation follows, and register the class in your package's
    metadata under the entry-point group `kerasexplain.analyzers`, with its name.
    """

    #: What `create_analyzer` knows it by.
    name: ClassVar[str]
    #: What the backward pass starts with: "output", the explained value, or "one".
    default_start: ClassVar[str] = "output"

    def composite(self) -> Composite:
        """Which rule every operation follows; by default none, and the result is a gradient."""
        return GRADIENT

    def started(self, start: Tensor) -> Tensor:
        """The relevance that the pass starts with, given what it would start with."""
        return start

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        """The result at an input x, from the relevance q per unit of it (or the gradient)."""
        return x * q
