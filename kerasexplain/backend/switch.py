"""Switches of this thread: a relevance pass is active, and somebody outside will differentiate it."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

_differentiated = contextvars.ContextVar("kerasexplain_differentiated", default=False)
_relevance_pass = contextvars.ContextVar("kerasexplain_relevance_pass", default=False)


@contextlib.contextmanager
def relevance_pass() -> Iterator[None]:
    """While active, overridden operations hand back relevance instead of their gradient (in this thread only).

    The switch is what lets relevance be trained through: an outer derivative, of the relevance itself, is taken outside
    the pass and sees ordinary gradients. On JAX, which traces the backward rule together with the forward pass, it must
    be active around both.
    """
    with _on(_relevance_pass):
        yield


def is_relevance_pass() -> bool:
    """Whether a relevance pass is active in this thread."""
    return _relevance_pass.get()


@contextlib.contextmanager
def differentiated() -> Iterator[None]:
    """While active, relevance will be differentiated by somebody outside (in this thread only).

    Of what a rule computes only its arguments are held until then, and it runs again: what it makes is a few arrays of
    the size of the output, together more than the network itself holds for its gradient.
    """
    with _on(_differentiated):
        yield


def is_differentiated() -> bool:
    """Whether relevance will be differentiated by somebody outside this thread's pass."""
    return _differentiated.get()


@contextlib.contextmanager
def _on(switch: contextvars.ContextVar[bool]) -> Iterator[None]:
    token = switch.set(True)
    try:
        yield
    finally:
        switch.reset(token)
