"""The command `kerasexplain`."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command, as `kerasexplain.cli.command.main` does, which is imported here: that may be interrupted, too.

    Args:
        arguments: What follows `kerasexplain` in the shell; by default, what does.

    Returns:
        The exit status.
    """
    try:
        from kerasexplain.cli import command
    except KeyboardInterrupt:
        from kerasexplain.cli.arguments import tell

        tell("kerasexplain: interrupted", as_error=True)
        return 130
    return command.main(arguments)


def __dir__() -> list[str]:
    return [*__all__]
