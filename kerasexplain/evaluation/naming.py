"""Analyzers and metrics by name, with options: what a command, or a file, asks for in words."""

from __future__ import annotations

import dataclasses
from typing import Any

from kerasexplain import metrics
from kerasexplain.create import create_method
from kerasexplain.foundation.errors import nearest
from kerasexplain.metrics.metric import Metric


def _named_metrics() -> dict[str, type[Metric]]:
    public = [getattr(metrics, name) for name in metrics.__all__]
    kinds = [kind for kind in public if isinstance(kind, type) and issubclass(kind, Metric) and kind is not Metric]
    return {kind.name: kind for kind in sorted(kinds, key=lambda kind: kind.name)}


#: The metrics, by name.
METRICS = _named_metrics()

#: Options that decide what is explained, and so hold for all analyzers of a comparison.
SHARED = ("output", "explain", "neuron_selection_mode")


def create_metric(name: str, **options: Any) -> Metric:
    """A metric by name.

    Args:
        name: Such as "region_perturbation"; `METRICS` has all.
        **options: The metric's own.

    Raises:
        ValueError: The name, an option or an option's value is not legal; the message gives the legal ones.

    Example:
        >>> create_metric("region_perturbation", fill="blur", steps=60)
    """
    if name not in METRICS:
        raise ValueError(f"there is no metric {name!r}.{nearest(name, METRICS)}")
    known = [field.name for field in dataclasses.fields(METRICS[name])]  # type: ignore[arg-type]
    for option in options:
        if option not in known:
            hint = nearest(option, known) if known else " It has none."
            raise ValueError(f"the metric {name!r} has no option {option!r}.{hint}")
    try:
        return METRICS[name](**options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name!r}: {error}") from error


@dataclasses.dataclass(frozen=True)
class Chosen:
    """An analyzer that is asked for by name.

    Attributes:
        name: In the catalogue.
        options: The method's own, and common ones but those that decide what is explained.
    """

    name: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def check(self) -> None:
        """Raises ValueError where the name or an option is not legal; the model is not needed for it."""
        for option in SHARED:
            if option in self.options:
                raise ValueError(
                    f"{self.name!r} cannot have an option {option!r} of its own: it decides what is explained, and "
                    "analyzers are compared on the same value"
                )
        create_method(self.name, **self.options)
