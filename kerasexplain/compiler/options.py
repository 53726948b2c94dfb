"""The options that every analyzer takes, whatever its method."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

import numpy as np

from kerasexplain.backend import by_xla, check_precision
from kerasexplain.foundation.checks import check_batch_size, check_choice, same

_LEGAL: dict[str, tuple[Any, ...]] = {
    "neuron_selection_mode": ("max_activation", "index", "all"),
    "explain": ("logits", "activation"),
    "jit_compile": ("auto", True, False),
    "remat": (False, True),
    "on_unsupported": ("error", "gradient"),
    "verify": ("first", "always", False),
}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Options:
    """The options that every analyzer takes, each as `Analyzer` describes it.

    Raises:
        ValueError: One of them has no legal value.
    """

    neuron_selection_mode: str = "max_activation"
    start: Any = None
    output: int | str = 0
    explain: str = "logits"
    jit_compile: bool | str = "auto"
    batch_size: int | str = 32
    input_range: tuple[float, float] | None = None
    remat: bool = False
    precision: str = "auto"
    on_unsupported: str = "error"
    verify: str | bool = "first"

    def __post_init__(self) -> None:
        for name, values in _LEGAL.items():
            check_choice(name, getattr(self, name), values)
        by_xla(self.jit_compile)
        check_precision(self.precision)
        check_batch_size(self.batch_size)
        if isinstance(self.output, bool) or not isinstance(self.output, (str, numbers.Integral)):
            raise ValueError(f"output must be the index or the name of an output, got {self.output!r}")
        object.__setattr__(self, "input_range", _bounds(self.input_range))

    def changed(self) -> dict[str, Any]:
        """Those that are not at their default."""
        given = {field.name: (getattr(self, field.name), field.default) for field in dataclasses.fields(self)}
        return {name: value for name, (value, default) in given.items() if not same(value, default)}


#: The names of all options; the example is none that is kept.
NAMES = (*(field.name for field in dataclasses.fields(Options)), "example")


def _bounds(promised: Any) -> tuple[Any, Any] | None:
    if promised is None:
        return None
    pair = tuple(promised) if np.iterable(promised) else ()
    if len(pair) != 2 or not all(isinstance(bound, numbers.Real) for bound in pair) or not pair[0] < pair[1]:
        raise ValueError(f"input_range must be (low, high) with low < high, got {promised!r}")
    return pair
