"""The one door to what Keras does not offer on every backend: overriding, pulling back and compiling.

Nothing outside this package imports tensorflow, jax or torch. What a backend has to offer, `contract.py` says.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

import keras

from kerasexplain.backend.contract import Backend, Compiled, Exportable

if TYPE_CHECKING:
    from kerasexplain.backend import jax, tensorflow, torch

    _TENSORFLOW: Backend = tensorflow
    _JAX: Backend = jax
    _TORCH: Backend = torch

_NAME = keras.backend.backend()
if _NAME not in ("tensorflow", "jax", "torch"):
    raise ImportError(
        "kerasexplain runs on the TensorFlow, JAX and PyTorch backends of Keras; this process uses "
        f"{_NAME!r}. Set the environment variable KERAS_BACKEND to 'tensorflow', 'jax' or 'torch' before Keras is "
        "imported; pip install 'kerasexplain[tensorflow]', 'kerasexplain[jax]' or 'kerasexplain[torch]' installs them."
    )
_BACKEND = cast(Backend, importlib.import_module(f"kerasexplain.backend.{_NAME}"))

added = _BACKEND.added
at_once = _BACKEND.at_once
by_xla = _BACKEND.by_xla
check_eager = _BACKEND.check_eager
check_precision = _BACKEND.check_precision
compiled = _BACKEND.compiled
delayed = _BACKEND.delayed
differentiated = _BACKEND.differentiated
export = _BACKEND.export
free_memory = _BACKEND.free_memory
in_doubles = _BACKEND.in_doubles
on_accelerator = _BACKEND.on_accelerator
override = _BACKEND.override
pull_back = _BACKEND.pull_back
relevance_pass = _BACKEND.relevance_pass
sharing = _BACKEND.sharing
states = _BACKEND.states
training_step = _BACKEND.training_step
transposed = _BACKEND.transposed

__all__ = [
    "Backend",
    "Compiled",
    "Exportable",
    "added",
    "at_once",
    "by_xla",
    "check_eager",
    "check_precision",
    "compiled",
    "delayed",
    "differentiated",
    "export",
    "free_memory",
    "in_doubles",
    "on_accelerator",
    "override",
    "pull_back",
    "relevance_pass",
    "sharing",
    "states",
    "training_step",
    "transposed",
]
