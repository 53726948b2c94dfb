"""What a tensor's gradient means during a relevance pass."""

from __future__ import annotations

import enum


class Signal(enum.Enum):
    """What a tensor's gradient means during a relevance pass."""

    Q = "relevance per unit of activation"
    R = "relevance"
