"""The errors that are ours to explain. All are also the built-in kind that a caller would expect."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from kerasexplain.foundation.text import visible, visible_lines


class _ToldError(Exception):
    """An error whose message may hold names from a file: they are shown, and do nothing to a terminal."""

    def __init__(self, *told: object) -> None:
        super().__init__(*(visible_lines(part) if isinstance(part, str) else part for part in told))


class UnsupportedModelError(_ToldError, ValueError):
    """The model, or an operation in it, cannot be explained by the analyzer that was asked for."""


class InputError(_ToldError, ValueError):
    """The input does not fit the model, or breaks a promise made about it."""


class NotFiniteError(_ToldError, ArithmeticError):
    """Relevance overflows, or what is explained is NaN or infinite."""


def without_backend(error: BaseException) -> str:
    """Advice on an import that failed for want of Keras' backend; empty for any other error."""
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    if name not in ("tensorflow", "jax", "torch", "openvino"):
        return ""
    return (
        f"Keras is set to a backend that is not installed: {name}. kerasexplain runs on TensorFlow, JAX and "
        "PyTorch: pip install 'kerasexplain[tensorflow]'; or pip install 'kerasexplain[jax]' or "
        "'kerasexplain[torch]' and set the environment variable KERAS_BACKEND to 'jax' or 'torch'"
    )


#: Packages that only some of what the library does needs.
OPTIONAL = ("tensorboard", "matplotlib", "PIL", "sklearn", "scipy", "skimage")


def not_importable(needed: str, extra: str, error: ImportError) -> ImportError:
    """The error for an optional package whose import failed: it is not installed, or it is and its own import fails.

    Args:
        needed: What needs which package, such as "images need Pillow".
        extra: The extra of this package that installs it.
        error: What the import raised.
    """
    module = (error.name or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and module in OPTIONAL:
        return ImportError(f'{needed}: pip install "kerasexplain[{extra}]"')
    reason = f"{needed}, and what is installed cannot be imported: {error}"
    if module == "pkg_resources":
        reason += (
            '. TensorBoard 2.20 and older need setuptools below 82: pip install "setuptools<82" or a newer TensorBoard'
        )
    return ImportError(reason)


def plain(error: BaseException) -> str:
    """The first line of an error's message, without what Keras and TensorFlow put around it: frames, names of nodes."""
    # Keras frames errors of ours, too, which show what would not be printed.
    text = str(error).replace("\\x1b[1m", "\x1b[1m").replace("\\x1b[0m", "\x1b[0m")
    framed = re.search(r"\x1b\[1m(.*?)\x1b\[0m", text, re.S)
    text = re.sub(r"\x1b\[[0-9;]*m", "", framed[1] if framed else text).strip()
    first = text.splitlines()[0] if text else ""
    return re.sub(r"\{\{.*?\}\}|\[Op:\w*\]( name:.*)?$", "", visible(first)).strip()[:300]


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is not known: the nearest ones, and all of them where there are few."""
    names = sorted(map(visible, known))
    return f"{similar(name, names)} Known: {', '.join(names)}."


def similar(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is not known: those that begin with it, or the nearest; empty where none is near."""
    names = list(known)
    begin = [each for each in names if name and each.lower().startswith(name.lower())]
    close = begin[:3] or difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(match) for match in close)}?" if close else ""
