"""A model that is to be explained, and inputs for it."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np

SAMPLES = 2
Arrays = Any  # an array, or a dict of arrays


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model, inputs for it, what these are, and whether the analyzer is shown them."""

    model: keras.Model
    x: Arrays
    described: str
    needs_example: bool = False


def randomize(model: keras.Model, kernels: bool = False, gain: float = 1.0) -> None:
    """Puts random numbers where a new model has zeros and ones, so that nothing cancels or vanishes by chance.

    Args:
        model: The model.
        kernels: Whether kernels and tables get new values too, where their initializers make them very small.
        gain: A factor on the gains of normalisation.
    """
    rng = np.random.default_rng(0)
    for variable in model.variables:
        name, shape = variable.path.rsplit("/", 1)[-1], tuple(variable.shape)
        if not keras.backend.is_float_dtype(variable.dtype) or "seed" in name:
            continue
        if len(shape) >= 2 and kernels:
            fan_in, power = (np.prod(shape[:-1]), 2) if len(shape) > 3 else (shape[0], 1)
            variable.assign(rng.normal(0, np.sqrt(power / min(fan_in, 64)), shape))
        elif "variance" in name:
            variable.assign(rng.uniform(0.5, 1.5, shape))
        elif any(part in name for part in ("gamma", "scale")):
            variable.assign(gain * rng.uniform(0.5, 1.5, shape))
        elif len(shape) < 2 or any(part in name for part in ("bias", "beta", "mean")):
            variable.assign(rng.normal(0, 0.1, shape))
