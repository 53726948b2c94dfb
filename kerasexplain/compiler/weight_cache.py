"""The weight cache: what passes make of weights alone, their positive parts say, until the weights change."""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np

from kerasexplain.backend import states

Tensor = Any

#: More bytes than this are not cached: what takes so much is made in every pass, of one operation after the other.
MOST_BYTES = 2**30


class OfWeights(Protocol):
    """An operation that makes something of its weights alone."""

    def of_weights(self, dtype: str) -> dict[str, Any]:
        """The tensors made of the weights, the same in every pass until the weights change."""


_in_use: contextvars.ContextVar[Mapping[OfWeights, dict[str, Any]] | None] = contextvars.ContextVar(
    "kerasexplain_weight_cache", default=None
)


def cached(operation: OfWeights) -> dict[str, Any]:
    """The cached tensors of an operation's weights; empty where they have to be made."""
    return (_in_use.get() or {}).get(operation, {})


class WeightCache:
    """The weight cache of a program.

    Whether weights have changed is told by where the backend holds them, so no change is missed, whoever made it. Where
    that cannot be told, nothing is cached.

    Args:
        operations: The operations of the program.
        variables: The model's.
        dtype: The floating dtype that relevance is computed in.
    """

    def __init__(self, operations: Sequence[OfWeights], variables: Sequence[Any], dtype: str) -> None:
        self._operations, self._variables, self._dtype = operations, variables, dtype
        self._seen: list[tuple[int, Any]] | None = None
        self._tensors: list[Tensor] = []
        self._structure = [] if states(variables) is None else self._made()

    def _made(self) -> list[dict[str, Any]]:
        """The tensors that each of the operations makes of its weights; nothing if that is too much."""
        made, size = [], 0
        for operation in self._operations:
            made.append(operation.of_weights(self._dtype))
            size += sum(math.prod(tensor.shape) for tensor in keras.tree.flatten(made[-1]))
            if size * np.dtype(self._dtype).itemsize > MOST_BYTES:
                return []
        return made

    def tensors(self) -> list[Tensor]:
        """The cached tensors, flattened, of the weights as they are now."""
        if not keras.tree.flatten(self._structure):
            return []
        now = states(self._variables)
        if now is None or self._seen is None or [key for key, _ in now] != [key for key, _ in self._seen]:
            self._tensors, self._seen = keras.tree.flatten(self._made()), now
        return self._tensors

    @contextlib.contextmanager
    def used(self, tensors: Sequence[Tensor]) -> Iterator[None]:
        """While active, the operations take these tensors, given as by `tensors`, for what they would make."""
        packed = keras.tree.pack_sequence_as(self._structure, list(tensors)) if self._structure else []
        token = _in_use.set(dict(zip(self._operations, packed, strict=False)))
        try:
            yield
        finally:
            _in_use.reset(token)
