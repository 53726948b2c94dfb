"""Arguments that several commands share: models, labels, targets, options as text."""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import math
import os
import pathlib
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from kerasexplain.foundation.errors import nearest, similar
from kerasexplain.foundation.text import visible, visible_lines

if TYPE_CHECKING:
    import keras


class Parser(argparse.ArgumentParser):
    """One that tells an error in one line, as all others are told, and knows what is near to a misspelt word."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Indices with commas between them, the first of which counts from the end, are a value and no option.
        self._negative_number_matcher = re.compile(r"^-(?:\d+|\d*\.\d+)(?:\s*,\s*-?\d+)*$")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, rest = super().parse_known_args(args, namespace)
        wrong = [word.partition("=")[0] for word in rest if word.startswith("-")]
        if wrong:
            options = dict.fromkeys(re.findall(r"--[a-z][a-z-]*", self.format_help()))  # the usage names them, too
            hint = similar(wrong[0], options)
            self.error(f"there is no option {wrong[0]}{hint and '.'}{hint}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if wrong:
            hint = similar(wrong[1], re.findall(r"[a-z]+", wrong[2]))
            message += f"{hint and '.'}{hint}"
        self.exit(2, f"kerasexplain: error: {visible(message)} ({self.prog} --help says more)\n")


class _Range(argparse.Action):
    """Two numbers, the lower one first."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        low, high = values
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise argparse.ArgumentError(self, f"LOW must be a number below HIGH, got {low:g} {high:g}")
        setattr(namespace, self.dest, (low, high))


def tell(text: object, *, as_error: bool = False) -> None:
    """Prints text of one or several lines, at once, on stdout or stderr: all that the command says comes by here.

    What the stream cannot encode is written as an escape: nothing that was computed is lost over a letter.
    """
    stream = sys.stderr if as_error else sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    shown = visible_lines(str(text)).encode(encoding, "backslashreplace").decode(encoding)
    print(shown, file=stream, flush=as_error)


def batch_size(text: str) -> int | str:
    """A number of samples, or "auto"."""
    if text != "auto" and not text.lstrip("-").isdecimal():
        raise argparse.ArgumentTypeError(f"an integer, or 'auto'; got {text!r}")
    return text if text == "auto" else int(text)


def labels_of(path: pathlib.Path) -> list[str]:
    """The names of classes, one per line."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"--labels {str(path)!r} is no text in UTF-8: {error}") from None


def pair(text: str) -> str:
    """`KEY=VALUE`, as it is."""
    if not text.partition("=")[0] or "=" not in text:
        raise argparse.ArgumentTypeError(f"takes KEY=VALUE, got {text!r}")
    return text


def key_and_value(option: str, taker: str = "--option") -> tuple[str, Any]:
    """An option and its value, from `KEY=VALUE`; a value that is no literal of Python is text."""
    key, equals, text = option.partition("=")
    if not key or not equals:
        raise ValueError(f"{taker} takes KEY=VALUE, got {option!r}")
    try:
        return key, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return key, text  # a name, such as a rule's


def check_files(*groups: pathlib.Path | Sequence[pathlib.Path] | None) -> None:
    """Raises FileNotFoundError if one of the files is not there: told before Keras is imported, which takes seconds."""
    for group in groups:
        for path in [group] if isinstance(group, pathlib.Path) else group or ():
            if not path.exists():
                raise FileNotFoundError(f"there is no file {str(path)!r}")


def check_writable(path: pathlib.Path) -> None:
    """Raises OSError if a file or folder of that name cannot be written: told before anything is computed."""
    place = path
    while not place.exists():
        place = place.parent
    try:
        if place.is_dir():
            tempfile.TemporaryFile(dir=place).close()
        else:
            place.open("ab").close()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def check_place(path: pathlib.Path) -> None:
    """Raises OSError if a file of that name cannot be written into a folder that is there."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(path.parent)!r} to write {path.name!r} to")
    check_writable(path)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds the model, and what reading it may need."""
    file = "a .keras or .h5 file, or the folder of a SavedModel"
    parser.add_argument("model", metavar="MODEL", type=pathlib.Path, help=file)
    custom = "a class or function of yours that the model needs; may be repeated"
    parser.add_argument("--custom-objects", metavar="MODULE:NAME", action="append", default=[], help=custom)
    parser.add_argument("--allow-lambda", action="store_true", help="run Python functions that the model's file holds")
    parser.add_argument("--signature", metavar="NAME", help="which signature of a SavedModel is explained")


def model_of(options: argparse.Namespace) -> keras.Model:
    """The model in the file or folder that was named."""
    from kerasexplain import compat

    path: pathlib.Path = options.model
    objects = dict(map(_custom_object, options.custom_objects))
    try:
        return compat.load_model(path, objects, signature=options.signature, allow_lambda=options.allow_lambda)
    except ValueError as error:
        if path.suffix in compat.SUFFIXES or path.is_dir():
            raise
        raise ValueError(f"{error}. The model comes first, and what is to be explained second") from None


def _custom_object(text: str) -> tuple[str, Any]:
    """A class or function of the user's, by its name, from `module:name`."""
    module, colon, name = text.partition(":")
    if not (module and colon and name):
        raise ValueError(f"--custom-objects takes module:name, got {text!r}")
    folder = str(pathlib.Path.cwd())
    if folder not in sys.path:  # a module beside the model, as Python finds it
        sys.path.insert(0, folder)
    try:
        found = getattr(importlib.import_module(module), name)  # noqa: TID251
    except (ImportError, AttributeError) as error:
        raise ValueError(f"--custom-objects {text!r} cannot be imported: {error}") from None
    return name, found


def add_inputs(parser: argparse.ArgumentParser, metavar: str) -> None:
    """Adds the inputs, what is explained of them, and what they are read as."""
    inputs = (
        "images (png, jpg, bmp, gif, tif, webp, ppm), which are cropped around their middle to the shape of the "
        "model's input and resized to it (kept as they are where it leaves its size open), and lie on white where they "
        "are transparent; folders of them; or arrays (npy, npz) of one sample or a batch, which must have its size"
    )
    parser.add_argument("inputs", metavar=metavar, type=pathlib.Path, nargs="+", help=inputs)
    target = (
        "what is explained: an index, one for every axis of the output, such as 300,2 (negative ones count from the "
        "end), or a label; by default each sample's largest output"
    )
    parser.add_argument("--target", metavar="INDEX|LABEL", help=target)
    labels = "a text file with the name of one class per line"
    parser.add_argument("--labels", metavar="FILE", type=pathlib.Path, help=labels)
    add_range(parser)


def add_range(parser: argparse.ArgumentParser) -> None:
    """Adds what the model takes pixels as."""
    pixels = (
        "what the model takes pixels as, such as -1 1: of images, and of integers in arrays, which are from 0 to 255 "
        "(real numbers are used as they are); by default 0 to 255, or 0 to 1 where the preprocessing at the model's "
        "input is made for that"
    )
    parser.add_argument(
        "--range", metavar=("LOW", "HIGH"), type=float, nargs=2, dest="pixels", action=_Range, help=pixels
    )


def target_of(text: str, labels: Sequence[str]) -> int | tuple[int, ...]:
    """The index of an output, from an index, indices with commas between them, or a label."""
    parts = text.split(",")
    if all(re.fullmatch(r"\s*-?\d+\s*", part) for part in parts):
        return int(text) if len(parts) == 1 else tuple(map(int, parts))
    if not labels:
        raise ValueError(f"--target {text!r} is no index, and there are no --labels that it could be one of")
    for index, label in enumerate(labels):
        if text == label or text in (name.strip() for name in label.split(",")):
            return index

    hint = nearest(text, labels) if len(labels) <= 20 else ""
    raise ValueError(f"--target {text!r} is none of the {len(labels)} labels.{hint}")


def check_target(option: str, target: int | tuple[int, ...] | None, shape: Sequence[int | None]) -> None:
    """Raises unless a target is one of the outputs, of such a shape without the batch; None is each sample's largest.

    Raises:
        ValueError: It has more or fewer indices than the output has axes.
        IndexError: One of them is out of range.
    """
    if target is None:
        return
    indices, sizes = target if isinstance(target, tuple) else (target,), tuple(shape) or (1,)
    told = ",".join(map(str, indices))
    if len(indices) != len(sizes):
        example = ",".join("0" * len(sizes))
        raise ValueError(
            f"{option} takes an index for every axis of the output, whose shape is {sizes}, as {option} {example} "
            f"does; got {told}"
        )
    if any(size is not None and not -size <= index < size for index, size in zip(indices, sizes, strict=True)):
        raise IndexError(f"{option} {told} is out of range: the output has the shape {sizes}")


def neuron_label(neuron: Any, labels: Sequence[str], shape: tuple[int, ...]) -> str:
    """The label of a neuron, or its index, one for every axis of an output of that shape, which has no batch."""
    index = tuple(int(i) for i in np.atleast_1d(neuron))
    if len(index) > 1:
        return f"output {index}"
    if index[0] < len(labels):
        return labels[index[0]].split(",")[0]
    return "output" if np.prod(shape) == 1 else f"output {index[0]}"  # as in regression: nothing to choose from


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps what TensorFlow has to say while it is imported off the screen.

    Its first messages go straight to file descriptor 2, before any of its settings is read (TensorFlow 2.21).
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "keras" in sys.modules:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with pathlib.Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
