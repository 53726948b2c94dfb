"""From a name to an analyzer."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any

import keras

from kerasexplain import registry
from kerasexplain.analyzer import COMMON_OPTIONS, Analyzer
from kerasexplain.errors import nearest


def create_analyzer(name: str, model: keras.Model, **options: Any) -> Analyzer:
    """An analyzer by name.

    Args:
        name: Such as "lrp.z_plus", "lrp.epsilon_plus" or "gradient"; `kerasexplain.analyzer_names()` lists all.
        model: A Sequential or Functional Keras model. Its variables are shared, not copied.
        **options: The common options (see `Analyzer`) and the method's own.

    Returns:
        The analyzer. Nothing is compiled before the first analysis.

    Raises:
        ValueError: The name, an option or an option's value is not legal; the message gives the legal ones.
        UnsupportedModelError: The model cannot be explained; the message names the operations.

    Example:
        >>> analyzer = create_analyzer("lrp.epsilon", model, epsilon=0.1)
        >>> relevance = analyzer.analyze(images)
    """
    kind = registry.find(name)
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    own = {field.name for field in fields}
    for option in options:
        if option not in own and option not in COMMON_OPTIONS:
            raise ValueError(f"{name!r} has no option {option!r}.{nearest(option, own | set(COMMON_OPTIONS))}")
    missing = [field.name for field in fields if field.default is dataclasses.MISSING and field.name not in options]
    if missing:
        raise ValueError(f"{name!r} needs {' and '.join(f'{option}=' for option in missing)}")
    try:
        method = kind(**{option: value for option, value in options.items() if option in own})
    except TypeError as error:  # an option of a type that it cannot have
        raise ValueError(f"{name!r}: {error}") from error
    common = {option: value for option, value in options.items() if option in COMMON_OPTIONS}
    return Analyzer(model, method, **common)


def load_analyzer(path: str | os.PathLike[str], model: keras.Model) -> Analyzer:
    """The analyzer whose configuration `Analyzer.save` wrote, for a model.

    Raises:
        ValueError: The file holds no analyzer.
    """
    try:
        config = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)!r} holds no analyzer: {error}") from None
    if not isinstance(config, dict) or "analyzer" not in config:
        raise ValueError(f"{os.fspath(path)!r} holds no analyzer")
    return Analyzer.from_config(config, model)
