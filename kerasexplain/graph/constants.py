"""Constants to relevance, which are none to ordinary derivatives."""

from __future__ import annotations

from typing import Any

import keras

from kerasexplain.backend import override

Tensor = Any


def as_constant(x: Tensor) -> Tensor:
    """x, to which no relevance goes. Ordinary derivatives do go through it: those of relevance by the weights, say."""
    if not keras.backend.is_float_dtype(x.dtype):
        return x
    return override(lambda x: (x, ()), lambda _, signal: (None,), x)
