"""The engine of an analyzer: pipelines, made when they are first needed, and anew when the model has changed."""

from __future__ import annotations

from typing import Any

import keras

from kerasexplain.backend import check_eager
from kerasexplain.compiler.options import Options
from kerasexplain.compiler.pipeline import Pipelines
from kerasexplain.compiler.slow_calls import SlowCalls
from kerasexplain.foundation.errors import InputError, UnsupportedModelError
from kerasexplain.runtime.batch_size import BatchSize, BatchSizes
from kerasexplain.runtime.inputs import as_arrays, by_input, check_example
from kerasexplain.runtime.method import Method
from kerasexplain.trace.specification import Specification, holds_integers, needs_example


class Engine:
    """The pipelines of a model under a method.

    Args:
        model: The model.
        method: What is asked of it.
        options: The analyzer's common options.
    """

    def __init__(self, model: keras.Model, method: Method, options: Options) -> None:
        self._model, self._method, self._options = model, method, options
        self._found: Pipelines | None = None
        self._known: Specification | None = None
        self._batch_sizes = BatchSizes()
        self._slow = SlowCalls(f"{method.name} of {model.name}")

    @property
    def is_ready(self) -> bool:
        """Whether the model has been traced, or can be without an input."""
        return self._found is not None or not needs_example(self._model)

    def pipelines(self, example: Any = None) -> Pipelines:
        """The pipelines of the model as it is now.

        Args:
            example: An input for a model that is to be traced for inputs like it, if that has not been done.
        """
        if self._found is None:
            self._found = self._traced(self._specification(example))
        elif self._found.is_outdated:  # its layers compute something else now: quantised, say, or with LoRA
            self._found = self._traced(self._found.specification)
        return self._found

    def _traced(self, specification: Specification) -> Pipelines:
        found = Pipelines(self._model, self._method, self._options, specification, self._slow)
        self._batch_sizes = BatchSizes()  # what fitted into memory was the model as it was
        return found

    def _specification(self, example: Any) -> Specification:
        model = self._model
        if isinstance(model, keras.Sequential) and not model.layers:
            raise UnsupportedModelError(f"the model {model.name!r} has no layers")
        if example is None:
            return self._known or Specification.of(model)
        check_example(example)
        if isinstance(model, keras.Sequential) and not model.built:
            model.build((None, *as_arrays(example).shape[1:]))
        return Specification.of_example(example)

    def pipelines_for(self, x: Any) -> Pipelines:
        """The pipelines for inputs like x, of which some models need one to be traced."""
        check_eager()
        if getattr(self._model, "takes_names", False) and isinstance(x, (list, tuple)):
            names = [tensor.name for tensor in self._model.inputs]
            raise InputError(f"the inputs of the signature have names and no order: pass a dict of {names}, not a list")
        if self._found is None and self._known is None and needs_example(self._model):
            return self.pipelines(as_arrays(x))
        pipelines = self.pipelines()
        if pipelines.specification.assumed and holds_integers(as_arrays(x)):
            self._found = None
            pipelines = self.pipelines(as_arrays(x))
        return pipelines

    def batch_size(self, asked: int | str | None, pipelines: Pipelines, x: Any) -> BatchSize:
        """How many samples like x run at once, where the analyzer's own number is not what is asked for."""
        given, _ = by_input(x, pipelines.first.graph.input_names)
        return self._batch_sizes.of(self._options.batch_size if asked is None else asked, pipelines, given)

    def fitted(self, method: Method) -> Engine:
        """The engine for the same model and inputs under a method that has been fitted to data."""
        engine = Engine(self._model, method, self._options)
        engine._known = self.pipelines().specification
        engine.pipelines()  # so that a model which the method cannot explain is refused here
        return engine

    def __getstate__(self) -> dict[str, Any]:
        # What is compiled belongs to this process: copies trace the model anew, for the inputs that are known.
        known = self._known if self._found is None else self._found.specification
        # How many samples fit was measured on this machine.
        return {**vars(self), "_found": None, "_known": known, "_batch_sizes": BatchSizes()}
