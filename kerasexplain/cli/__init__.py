"""The command `kerasexplain`."""

from kerasexplain.cli.command import main

__all__ = ["main"]
