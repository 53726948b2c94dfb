"""A log whose failures never stop the training that it records."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kerasexplain.foundation.text import visible

if TYPE_CHECKING:
    from kerasexplain.tensorboard.writer import Writer


class Log:
    """Events in a folder, opened when first written to. What cannot be written is a warning.

    Args:
        log_dir: The folder.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        from kerasexplain.tensorboard.writer import Writer

        self._open = Writer
        self._log_dir = os.fspath(log_dir)
        self._writer: Writer | None = None

    def write(self, entries: Callable[[Writer], None]) -> None:
        """Writes entries. After a failure the next call tries again with a new file.

        Args:
            entries: Writes them.
        """
        try:
            if self._writer is not None and not self._writer.exists():
                self._warn(FileNotFoundError("the file that was written to is gone; here is a new one"))
                self._writer = None
            if self._writer is None:
                self._writer = self._open(self._log_dir)
            entries(self._writer)
        except Exception as error:  # where TensorFlow is installed, it writes, and its errors are its own
            self._warn(error)
            self._writer = None

    def close(self) -> None:
        """Ends the file, if there is one."""
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                writer.close()
            except Exception as error:
                self._warn(error)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_writer": None}

    def _warn(self, error: Exception) -> None:
        text = f"relevance could not be logged to {self._log_dir!r}: {error}"
        warnings.warn(visible(text), RuntimeWarning, stacklevel=3)
