"""Fingerprints: what a number of an evaluation depends on, as text that can be compared with what it was."""

from __future__ import annotations

from typing import Any

from kerasexplain.evaluation.comparing import Comparing
from kerasexplain.evaluation.naming import SHARED, Chosen
from kerasexplain.evaluation.trials import Samples
from kerasexplain.foundation.config import serialize
from kerasexplain.foundation.digests import as_text, of_arrays, of_model, versions
from kerasexplain.metrics.metric import Metric


def of_circumstances(run: Comparing) -> dict[str, Any]:
    """The fingerprints of everything that all scores depend on, by readable names."""
    samples = run.samples
    options = {name: serialize(getattr(run.value.options, name), strict=False) for name in SHARED}
    return {
        "the model": of_model(run.value.model),
        "the data": of_arrays(samples.x),
        "what is explained": f"{of_arrays(samples.target)} {as_text(options)}",
        "the background": "" if samples.background is None else of_arrays(samples.background),
        "versions": versions(),
    }


def of_analyzer(chosen: Chosen) -> str:
    """The name and options of an analyzer."""
    return as_text({"name": chosen.name, "options": {key: repr(value) for key, value in chosen.options.items()}})


def of_metric(metric: Metric, samples: Samples) -> str:
    """The name and options of a metric, and the masks if it needs them."""
    config = {field: serialize(value, strict=False) for field, value in vars(metric).items()}
    masks = of_arrays(samples.masks) if metric.needs_masks else ""
    return as_text({"name": metric.name, "options": config, "masks": masks})
