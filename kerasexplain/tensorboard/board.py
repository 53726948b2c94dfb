"""TensorBoard, started so that it keeps every step of what the tab "Relevance" shows.

By itself TensorBoard keeps about ten steps of images and of relevance.
"""

from __future__ import annotations

import os
import pathlib

from kerasexplain.foundation.errors import not_importable

try:
    from tensorboard import default, main_lib, program
    from tensorboard.plugins.base_plugin import FlagsError
except ImportError as error:
    raise not_importable("this needs TensorBoard", "tensorboard", error) from error

#: How many steps are kept of each tag, by plugin.
SAMPLES = {"relevance": 5000, "images": 1000}


def load() -> None:
    """Has TensorBoard load what it uses: TensorFlow as well, where that is installed, which takes seconds."""
    main_lib.global_init()


def configured(
    log_dir: str | os.PathLike[str], *, port: int | None = None, host: str | None = None
) -> program.TensorBoard:
    """A TensorBoard that has not been started.

    Args:
        log_dir: The folder with the events.
        port: By default 6006, or the next that is free.
        host: By default this machine, for itself alone.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: TensorBoard refuses an argument.
    """
    if not pathlib.Path(log_dir).is_dir():
        raise FileNotFoundError(f"there is no folder {os.fspath(log_dir)!r}")
    samples = ",".join(f"{name}={count}" for name, count in SAMPLES.items())
    arguments = ["kerasexplain board", "--logdir", os.fspath(log_dir), "--samples_per_plugin", samples]
    arguments += [] if port is None else ["--port", str(port)]
    arguments += [] if host is None else ["--host", host]
    tensorboard = program.TensorBoard(plugins=default.get_plugins())
    try:
        tensorboard.configure(argv=arguments)
    except FlagsError as error:
        raise ValueError(str(error)) from None
    return tensorboard


def run(log_dir: str | os.PathLike[str], *, port: int | None = None, host: str | None = None) -> None:
    """Starts TensorBoard, and returns when it was interrupted.

    Args:
        log_dir, port, host: As for `configured`.

    Raises:
        FileNotFoundError, ValueError: As `configured`.
        OSError: It cannot start.
    """
    tensorboard = configured(log_dir, port=port, host=host)
    try:
        failed = tensorboard.main()
    except KeyboardInterrupt:  # as it says on the screen that one ends it
        return
    if failed:
        raise OSError("TensorBoard could not start; it says above why")
