"""The signal of a tensor: the meaning of its gradient during a relevance pass."""

from __future__ import annotations

import enum


class Signal(enum.Enum):
    """The meaning of a tensor's gradient during a relevance pass."""

    Q = "relevance per unit of activation"
    R = "relevance"
