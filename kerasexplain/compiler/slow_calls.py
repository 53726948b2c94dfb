"""A line about a call that takes long because it compiles: said while one waits, and once for an analyzer."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

import keras

from kerasexplain.foundation.text import visible

LOGGER = logging.getLogger("kerasexplain")
#: Up to so many seconds nothing is said.
SECONDS = 2.0


class SlowCalls:
    """Says that something is being compiled, where that takes long.

    It is a warning of the logger "kerasexplain", which Python writes to stderr where logging is not set up;
    `logging.getLogger("kerasexplain").setLevel("ERROR")` keeps it quiet.

    Args:
        what: The analyzer and the model.
    """

    def __init__(self, what: str) -> None:
        self._what, self._is_said = what, False

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Is active around the first call of a function; on PyTorch, where nothing is compiled, nothing is said."""
        if self._is_said or keras.backend.backend() == "torch":
            yield
            return
        timer = threading.Timer(SECONDS, self._say)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _say(self) -> None:
        self._is_said = True
        LOGGER.warning(
            "kerasexplain: %s: the first call of each kind traces and compiles the model, which takes longer than %g "
            "s; those after it do not",
            visible(self._what),
            SECONDS,
        )
