"""The options that every analyzer takes, whatever its method."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from kerasexplain.backend import by_xla, check_precision
from kerasexplain.foundation.checks import check_choice
from kerasexplain.runtime.batch_size import check_batch_size
from kerasexplain.runtime.method import Method
from kerasexplain.runtime.selection import MODES

#: The options with their defaults.
COMMON_OPTIONS: dict[str, Any] = {
    "neuron_selection_mode": "max_activation",
    "start": None,
    "output": 0,
    "explain": "logits",
    "jit_compile": "auto",
    "batch_size": 32,
    "input_range": None,
    "remat": False,
    "precision": "auto",
    "on_unsupported": "error",
    "verify": "first",
    "example": None,
}


def checked(given: dict[str, Any], method: Method) -> dict[str, Any]:
    """The options of an analyzer.

    Args:
        given: All but the example, which is none that is kept.
        method: The analyzer's.

    Raises:
        ValueError: One of them has no legal value.
    """
    legal = {
        "neuron_selection_mode": MODES,
        "explain": ("logits", "activation"),
        "jit_compile": ("auto", True, False),
        "remat": (False, True),
        "on_unsupported": ("error", "gradient"),
        "verify": ("first", "always", False),
    }
    for name, values in legal.items():
        check_choice(name, given[name], values)
    start, output = given["start"], given["output"]
    if isinstance(start, str) or start is None or not method.takes_start_array:
        check_choice(f"start of {method.name!r}", start, method.legal_starts)
    by_xla(given["jit_compile"])
    check_precision(given["precision"])
    check_batch_size(given["batch_size"])
    if isinstance(output, bool) or not isinstance(output, (str, numbers.Integral)):
        raise ValueError(f"output must be the index or the name of an output, got {output!r}")
    return {**given, "input_range": _bounds(given["input_range"])}


def _bounds(promised: Any) -> tuple[Any, Any] | None:
    if promised is None:
        return None
    pair = tuple(promised) if np.iterable(promised) else ()
    if len(pair) != 2 or not all(isinstance(bound, numbers.Real) for bound in pair) or not pair[0] < pair[1]:
        raise ValueError(f"input_range must be (low, high) with low < high, got {promised!r}")
    return pair
