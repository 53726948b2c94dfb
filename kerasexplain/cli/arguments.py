"""Arguments that several commands share: models, labels, targets, options as text."""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import pathlib
import sys
import zipfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from kerasexplain.foundation.errors import nearest

if TYPE_CHECKING:
    import keras


class Parser(argparse.ArgumentParser):
    """One that tells an error in one line, as all others are told."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"kerasexplain: error: {message} ({self.prog} --help says more)\n")


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


def key_and_value(option: str, taker: str = "--option") -> tuple[str, Any]:
    """An option and its value, from `KEY=VALUE`; a value that is no literal of Python is text."""
    key, equals, text = option.partition("=")
    if not key or not equals:
        raise ValueError(f"{taker} takes KEY=VALUE, got {option!r}")
    try:
        return key, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return key, text  # a name, such as a rule's


def model_of(path: pathlib.Path) -> keras.Model:
    """The model in a file."""
    import keras

    if not path.exists():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder: pass a .keras or .h5 file")
    if path.suffix not in (".keras", ".h5", ".hdf5"):
        raise ValueError(
            f"{str(path)!r} holds no Keras model that can be loaded: the model comes first, a .keras or .h5 file, and "
            "what is to be explained second"
        )
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):  # which Keras calls missing
        raise ValueError(f"{str(path)!r} holds no Keras model that can be loaded: it is damaged, or was cut off")
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # whatever Keras, h5py or zipfile find wrong with the file
        raise ValueError(f"{str(path)!r} holds no Keras model that can be loaded: {error}") from None
    return model


def target_of(text: str, labels: Sequence[str]) -> int:
    """The index of an output, from an index or a label."""
    if text.lstrip("-").isdecimal():
        return int(text)
    if not labels:
        raise ValueError(f"--target {text!r} is no index, and there are no --labels that it could be one of")
    for index, label in enumerate(labels):
        if text == label or text in (name.strip() for name in label.split(",")):
            return index

    hint = nearest(text, labels) if len(labels) <= 20 else ""
    raise ValueError(f"--target {text!r} is none of the {len(labels)} labels.{hint}")


def neuron_label(neuron: np.ndarray, labels: Sequence[str]) -> str:
    """The label of a neuron, or its index."""
    if np.ndim(neuron) == 0 and neuron < len(labels):
        return labels[int(neuron)].split(",")[0]
    return f"output {neuron}"


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
