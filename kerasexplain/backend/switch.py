"""The relevance pass: whether overridden operations hand back relevance or their gradient."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

_relevance_pass = contextvars.ContextVar("kerasexplain_relevance_pass", default=False)


@contextlib.contextmanager
def relevance_pass() -> Iterator[None]:
    """While active, overridden operations hand back relevance instead of their gradient (in this thread only).

    The switch is what lets relevance be trained through: an outer derivative, of the relevance itself, is taken outside
    the pass and sees ordinary gradients. On JAX, which traces the backward rule together with the forward pass, it must
    be active around both.
    """
    token = _relevance_pass.set(True)
    try:
        yield
    finally:
        _relevance_pass.reset(token)


def is_relevance_pass() -> bool:
    """Whether a relevance pass is active in this thread."""
    return _relevance_pass.get()
