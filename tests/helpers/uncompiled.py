"""Analyzers whose functions run as they are written: for one run of a small model that is much quicker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

import kerasexplain.compiler.program


class Uncompiled:
    """Stands in for a compiled function: runs it as it is, which for one run of a small model is much quicker."""

    def __init__(self, function: Any, jit_compile: bool, signature: Any, variables: Any, precision: str, further: Any):
        self._function, self._dtypes, self._further = function, [dtype for _, dtype in signature], further
        self.traces = 1

    def __call__(self, inputs: list[Any]) -> Any:
        tensors = [ops.convert_to_tensor(x, dtype) for x, dtype in zip(inputs, self._dtypes, strict=True)]
        return keras.tree.map_structure(_as_numpy, self._function([*tensors, *self._further()]))


def _as_numpy(tensor: Any) -> Any:
    return None if tensor is None else np.array(ops.convert_to_numpy(tensor))


@contextmanager
def uncompiled() -> Iterator[None]:
    """While active, analyzers run their functions as they are."""
    compiled = kerasexplain.compiler.program.compiled

    def stand_in(
        function: Any, jit: bool, signature: Any, variables: Any, precision: str, *, further: Any, is_by_row: bool
    ) -> Any:
        return Uncompiled(function, jit, signature, variables, precision, further)

    kerasexplain.compiler.program.compiled = stand_in  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        kerasexplain.compiler.program.compiled = compiled  # type: ignore[misc]
