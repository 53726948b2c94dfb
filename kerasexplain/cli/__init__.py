"""The command `kerasexplain`."""

from kerasexplain.cli.command import main

__all__ = ["main"]


def __dir__() -> list[str]:
    return [*__all__]
