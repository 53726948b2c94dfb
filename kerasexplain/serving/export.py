"""The export of an analyzer: checked, traced and written to a folder."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras

from kerasexplain.backend import export as write
from kerasexplain.compiler.options import Options
from kerasexplain.compiler.pipeline import Pipeline, Pipelines
from kerasexplain.foundation.checks import check_count
from kerasexplain.foundation.digests import of_arrays, of_model, versions
from kerasexplain.foundation.errors import InputError, UnsupportedModelError
from kerasexplain.runtime.differentiable import check_one_pass
from kerasexplain.runtime.method import Method
from kerasexplain.serving.folder import check_folder, written
from kerasexplain.serving.functions import Functions


def export(
    model: keras.Model,
    method: Method,
    options: Options,
    pipelines: Pipelines,
    description: Mapping[str, Any],
    folder: str | os.PathLike[str],
    batch_size: int | None = None,
) -> None:
    """Writes an analyzer's functions to a folder.

    Args:
        model, method, options, pipelines: The analyzer's.
        description: Its configuration, as plain data.
        folder, batch_size: As for `Analyzer.export`.

    Raises: As `Analyzer.export`.
    """
    check_one_pass(method, options, "exported")
    if batch_size is not None:
        check_count("batch_size", batch_size)
        batch_size = int(batch_size)
    path = pathlib.Path(folder)
    check_folder(path)
    pipeline, count = _pipeline(model, pipelines, batch_size)
    _check_sizes(options, pipeline)
    functions = Functions(method, options, pipeline, count)
    record = {**_record(model, method, description, functions), "batch_size": count}
    with written(path, record) as new:
        write(new, functions.all(), model.variables, _tables(model), options.jit_compile is True, options.precision)


def _pipeline(model: keras.Model, pipelines: Pipelines, batch_size: int | None) -> tuple[Pipeline, int | None]:
    """The pipeline to export, and how many samples it takes; None for any number."""
    for name, value in zip(pipelines.first.graph.input_names, pipelines.first.graph.inputs, strict=True):
        if value.dtype == "string":
            raise InputError(f"the model's input {name!r} is text, which has no relevance: export what is behind it")
    fixed = pipelines.fixed
    if batch_size is not None and fixed is not None and batch_size != fixed:
        raise ValueError(f"batch_size must be {fixed}, which the model {model.name!r} is made for; got {batch_size}")
    count = fixed if batch_size is None else batch_size
    if not pipelines.is_static:
        return pipelines.first, count
    shapes = [(count, *shape[1:]) for shape in pipelines.inputs]
    if any(None in shape for shape in shapes):
        raise UnsupportedModelError(
            f"the code of the model {model.name!r} has to know the sizes of its inputs {shapes}: pass batch_size= to "
            "export, and let keras.Input say all other sizes"
        )
    return pipelines.of_shapes(tuple(shapes)), count


def _check_sizes(options: Options, pipeline: Pipeline) -> None:
    """Raises UnsupportedModelError where all of an output is explained, and its size is open."""
    if options.neuron_selection_mode == "all" and None in pipeline.graph.explained.shape[1:]:
        raise UnsupportedModelError(
            f'neuron_selection_mode="all" explains the whole output, whose shape {pipeline.graph.explained.shape} is '
            "open: let keras.Input say the sizes, or export without that mode"
        )


def _tables(model: keras.Model) -> list[Any]:
    """The tables of layers that look up integers, which are no variables."""
    layers = model._flatten_layers()
    return [layer.lookup_table for layer in layers if getattr(layer, "lookup_table", None) is not None]


def _record(model: keras.Model, method: Method, description: Mapping[str, Any], functions: Functions) -> dict[str, Any]:
    """The record of an export: what made it, and what its functions take and give."""
    fitted = {name: getattr(method, name) for name in method.fitted_fields}
    return {
        "backend": keras.backend.backend(),
        "versions": versions(),
        "analyzer": dict(description),
        "fitted": of_arrays(fitted) if fitted else "",
        "model": {"name": model.name, "digest": of_model(model)},
        **functions.described(),
    }
