"""Places where relevance is read off."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Tap:
    """A place where relevance is read off: its gradient, at a tensor added for the purpose, is what passes there.

    Attributes:
        kind: "bias": what the constant term of the node takes. "edge": what the node gives to one of its inputs.
            "output": what arrives at one of the node's outputs.
        node: Name of the node.
        index: Which input or output.
    """

    kind: str
    node: str
    index: int = 0
