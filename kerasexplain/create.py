"""The making of analyzers: by name, or from a file."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import keras

from kerasexplain import compat, registry
from kerasexplain.analyzer import Analyzer
from kerasexplain.compiler import options as common_options
from kerasexplain.foundation.errors import UnsupportedModelError, nearest, plain
from kerasexplain.foundation.storage import read_analyzer
from kerasexplain.runtime.method import Method


def create_analyzer(name: str, model: Any, *, signature: str | None = None, **options: Any) -> Analyzer:
    """An analyzer by name.

    Args:
        name: Such as "lrp.z_plus", "lrp.epsilon_plus" or "gradient"; `kerasexplain.analyzer_names()` lists all.
        model: A Keras model: Sequential, Functional or subclassed; or a SavedModel that `tf.saved_model.load` gave, or
            a model of `tf_keras`. Its variables are shared, not copied.
        signature: Of a SavedModel: which signature is explained; by default "serving_default", or the only one.
        **options: The method's own, which `print(kerasexplain.analyzer_options(name))` and, in the shell,
            `kerasexplain list NAME` tell; and those of all analyzers, which `Analyzer` describes:
            `neuron_selection_mode="max_activation"`: what is explained where a call says nothing.
            `start=None`: the relevance that the backward pass starts with.
            `output=0`: which output, or inner operation, is explained.
            `explain="logits"`: whether a final softmax or sigmoid is left out.
            `jit_compile="auto"`: whether XLA compiles.
            `batch_size=32`: how many samples run at once.
            `input_range=None`: a promise about the inputs that makes some rules cheaper.
            `remat=False`: rematerialization (checkpointing), half the memory for a quarter more time.
            `precision="auto"`: in what precision products are computed.
            `on_unsupported="error"`: what is done about operations without a rule.
            `verify="first"`: which batches are compared with the model's own output.
            `example=None`: an input, for a subclassed model that has not been called.

    Returns:
        The analyzer. Nothing is compiled before the first analysis.

    Raises:
        ValueError: The name, an option or an option's value is not legal; the message gives the legal ones.
        TypeError: The model is none.
        UnsupportedModelError: The model cannot be explained; the message names the operations.

    Example:
        >>> analyzer = create_analyzer("lrp.epsilon", model, epsilon=0.1)
        >>> relevance = analyzer.analyze(images)
    """
    if not isinstance(name, str):
        swapped = isinstance(name, keras.Model) and isinstance(model, str)
        hint = ": model and name are exchanged" if swapped else ""
        raise TypeError(
            f"create_analyzer takes a name and then a model, create_analyzer('lrp.epsilon', model); the name is "
            f"{_kind(name)}, and the model {_kind(model)}{hint}"
        )
    model = _as_model(model, signature, f"create_analyzer({name!r}, model)")
    common = {option: value for option, value in options.items() if option in common_options.NAMES}
    return Analyzer(model, create_method(name, **options), **common)


def create_method(name: str, **options: Any) -> Method:
    """The method of an analyzer, which knows no model yet; common options are left aside.

    Raises:
        ValueError: As for `create_analyzer`.
    """
    kind = registry.find(name)
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    own = {field.name for field in fields} - set(kind.fitted_fields)
    for option in options:
        if option not in own and option not in common_options.NAMES:
            raise ValueError(f"{name!r} has no option {option!r}.{nearest(option, own | set(common_options.NAMES))}")
    missing = [field.name for field in fields if field.default is dataclasses.MISSING and field.name not in options]
    if missing:
        needed = " and ".join(f"{option}=" for option in missing)
        raise ValueError(
            f"{name!r} needs {needed} (on the command line: -O {missing[0]}=...); "
            f"print(kerasexplain.analyzer_options({name!r})) and the command `kerasexplain list {name}` tell more"
        )
    try:
        return kind(**{option: value for option, value in options.items() if option in own})
    except TypeError as error:  # an option of a type that it cannot have
        raise ValueError(f"{name!r}: {error}") from error


def _as_model(model: Any, signature: str | None, call: str) -> keras.Model:
    try:
        found = compat.as_model(model, signature)
    except TypeError:
        raise TypeError(
            f"{call} takes a Keras model, got {_kind(model)}: pass the model itself, or a file of one by "
            "kerasexplain.compat.load_model"
        ) from None
    if signature is not None and found is model:
        raise ValueError(f"signature={signature!r} is for SavedModels, and the model is a Keras model")
    return found


def _kind(given: Any) -> str:
    return f"a model ({type(given).__name__})" if isinstance(given, keras.Model) else f"of type {type(given).__name__}"


def model_wo_softmax(model: keras.Model) -> keras.Model:
    """A copy of a Sequential or Functional model without the softmax at its end, with weights of its own.

    Analyzers do not need it: they explain the logits (`explain="logits"`). It is there for code that does.

    Raises:
        ValueError: The model does not end in a softmax.
    """
    last = model.layers[-1]
    activation = getattr(last, "activation", None)
    if not isinstance(last, keras.layers.Softmax) and activation is not keras.activations.softmax:
        raise ValueError(f"{model.name!r} does not end in a softmax, but in {last.name!r} ({type(last).__name__})")
    if isinstance(last, keras.layers.Softmax):
        linear: keras.layers.Layer = keras.layers.Activation("linear", name=last.name)
    else:
        linear = type(last).from_config({**last.get_config(), "activation": "linear"})

    def cloned(layer: keras.layers.Layer) -> keras.layers.Layer:
        return linear if layer is last else type(layer).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=cloned)
    copy.set_weights(model.get_weights())
    return copy


def load_analyzer(path: str | os.PathLike[str], model: Any) -> Analyzer:
    """The analyzer whose configuration `Analyzer.save` wrote, for a model.

    Raises:
        FileNotFoundError: There is no such file.
        TypeError: The model is no Keras model.
        ValueError: The file holds no analyzer, or is damaged.
        UnsupportedModelError: The model cannot be explained; the message names the operations.
    """
    model = _as_model(model, None, "load_analyzer(path, model)")
    config, fitted = read_analyzer(path)
    try:
        return Analyzer.from_config(config, model, fitted)
    except UnsupportedModelError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, ImportError, ArithmeticError) as error:
        raise ValueError(f"{os.fspath(path)!r} holds no analyzer that can be made: {plain(error)}") from error
