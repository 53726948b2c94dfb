"""Loading a model, whatever wrote it, without running code from its file unless that is asked for."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import tempfile
import zipfile
from collections.abc import Mapping
from typing import Any

import h5py
import keras

from kerasexplain.compat.declared import MOST_CONFIGURATION, check_file, weights_within
from kerasexplain.compat.functions import OF_KERAS_2, TensorFlowFunction
from kerasexplain.compat.lambdas import functions_with
from kerasexplain.compat.upgrading import classes_in, upgraded
from kerasexplain.compat.weights import convert_weights, copy_values, rename_layers
from kerasexplain.foundation.errors import UnsupportedModelError, plain
from kerasexplain.foundation.text import visible
from kerasexplain.foundation.untrusted import from_json

#: What the files of Keras end in.
SUFFIXES = (".keras", ".h5", ".hdf5")


def load_model(
    path: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    *,
    signature: str | None = None,
    allow_lambda: bool = False,
) -> keras.Model:
    """A model from a file of Keras 2 or 3, or from the folder of a SavedModel.

    No code from the file is run: a model that holds a Python function is refused, unless `allow_lambda` says that its
    source is trusted. Files of Keras 2 are read as Keras 3 does, and besides: recurrent layers with `time_major=False`,
    `CuDNNLSTM` and `CuDNNGRU`, functions of TensorFlow that were called on symbolic inputs, and arguments that have
    gone since.

    Args:
        path: A `.keras`, `.h5` or `.hdf5` file, or the folder of a SavedModel.
        custom_objects: Classes and functions by the names that the file knows them by.
        signature: Of a SavedModel: which of its signatures; by default "serving_default", or the only one.
        allow_lambda: Whether Python functions in the file may run.

    Returns:
        The model, without the optimizer. Its inputs have the shapes of the file's, batch first.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no model that can be loaded; the message says why.
        UnsupportedModelError: It holds one that Keras 3 cannot run.

    Example:
        >>> model = kerasexplain.compat.load_model("old.h5", {"Attention": Attention})
        >>> analyzer = kerasexplain.create_analyzer("lrp.epsilon", model)
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    if path.is_dir():
        return _saved_model(path, signature)
    if signature is not None:
        raise ValueError(f"signature={signature!r} is for SavedModels, and {str(path)!r} is a file of Keras")
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"{str(path)!r} holds no Keras model that can be loaded: that is a {', '.join(SUFFIXES)} file, or the "
            "folder of a SavedModel"
        )
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):  # which Keras calls missing
        raise ValueError(f"{str(path)!r} holds no Keras model that can be loaded: it is damaged, or was cut off")
    objects = dict(custom_objects or {})
    try:
        with weights_within(check_file(path)):
            if path.suffix == ".keras":
                return _loaded(path, objects, allow_lambda)
            return _of_h5(path, objects, allow_lambda)
    except UnsupportedModelError:
        raise
    except Exception as error:  # whatever Keras, h5py or zipfile find wrong with the file
        raise ValueError(f"{str(path)!r} holds no Keras model that can be loaded: {_said(error)}") from error


def as_model(loaded: Any, signature: str | None = None) -> keras.Model:
    """A SavedModel that was loaded, or a concrete function of TensorFlow, as a Keras model over the same variables.

    Args:
        loaded: What `tf.saved_model.load` gave, one of its signatures, or a model of `tf_keras`.
        signature: Which signature; by default "serving_default", or the only one.

    Raises:
        TypeError: It is none of these.
        ValueError: There is no such signature.
        UnsupportedModelError: Its inputs cannot be those of a Keras model, or Keras does not run on TensorFlow.

    Example:
        >>> model = kerasexplain.compat.as_model(tf.saved_model.load("exported"))
    """
    if isinstance(loaded, keras.Model):
        return loaded
    kind = type(loaded)
    of_tensorflow = any(base.__module__.split(".")[0] in ("tensorflow", "tf_keras") for base in kind.__mro__)
    if not of_tensorflow:
        raise TypeError(f"expected a Keras model or a SavedModel that was loaded, got {kind.__name__}")
    _check_backend("a SavedModel")
    from kerasexplain.trace.tensorflow import saved_model

    return saved_model.as_model(loaded, signature)


def _check_backend(what: str) -> None:
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise UnsupportedModelError(
            f"{what} runs on TensorFlow alone, and Keras runs on {backend}: set the environment variable KERAS_BACKEND "
            "to tensorflow"
        )


def _saved_model(path: pathlib.Path, signature: str | None) -> keras.Model:
    if not (path / "saved_model.pb").exists():
        raise ValueError(f"the folder {str(path)!r} holds no SavedModel: there is no saved_model.pb in it")
    _check_backend("a SavedModel")
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # whatever TensorFlow finds wrong with the files
        raise ValueError(f"{str(path)!r} holds no SavedModel that can be loaded: {plain(error)}") from error
    return as_model(loaded, signature)


def _loaded(path: pathlib.Path, objects: dict[str, Any], allow_lambda: bool) -> keras.Model:
    with functions_with(objects) if allow_lambda else contextlib.nullcontext():
        return keras.saving.load_model(path, custom_objects=objects, compile=False, safe_mode=not allow_lambda)


def _of_h5(path: pathlib.Path, objects: dict[str, Any], allow_lambda: bool) -> keras.Model:
    """The model of an HDF5 file; what is old in it is written anew to a copy."""
    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise ValueError("it holds weights alone: build the model and call model.load_weights")
        text = file.attrs["model_config"]
        version = file.attrs.get("keras_version", "") or file.get("model_weights", file).attrs.get("keras_version", "")
    version = version.decode() if isinstance(version, bytes) else str(version)
    if version.startswith("1."):
        raise UnsupportedModelError(
            f"{str(path)!r} was written by Keras {version}, whose layers have other arguments: load it with Keras 2 "
            "and save it again (docs/old-models.md)"
        )
    config = from_json(text, MOST_CONFIGURATION)
    before = json.dumps(config)
    if not classes_in(config).isdisjoint((*OF_KERAS_2, TensorFlowFunction.__name__)):
        _check_backend("a model that calls functions of TensorFlow")
    changes = upgraded(config)
    if json.dumps(config) == before:
        return _loaded(path, objects, allow_lambda)
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / "model.h5"
        with h5py.File(path, "r") as old, h5py.File(copy, "w") as file:
            copy_values(old, file)
            file.attrs["model_config"] = json.dumps(config)
            rename_layers(file["model_weights"], changes.names)
            convert_weights(file["model_weights"], changes.cudnn)
        return _loaded(copy, {TensorFlowFunction.__name__: TensorFlowFunction, **objects}, allow_lambda)


def _said(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "its configuration is nested too deeply"
    text = plain(error)
    named = re.search(r"Could not locate (?:class|function) '[^']+'|Unknown (?:layer|object): '[^']+'", str(error))
    if named:
        return f"{visible(named[0])}: pass it in custom_objects= (--custom-objects on the command line)"
    if "Lambda" in text and "arbitrary code" in text:
        return (
            "it holds a Lambda layer, whose Python function would run: if you trust where it comes from, pass "
            "allow_lambda=True (--allow-lambda on the command line)"
        )
    return text
