"""The base of all rules: a rule is a value that says how the relevance of an output is shared among the inputs."""

from __future__ import annotations

from typing import Any

from kerasexplain.foundation.config import Configurable

Tensor = Any


class Rule(Configurable):
    """The base of all rules. A rule knows tensors and formulas, nothing of layers, graphs or backends.

    Attributes:
        of_gradients: Whether it is for methods whose signal is a gradient, or a number like it, and not relevance.
    """

    of_gradients = False
