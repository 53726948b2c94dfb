"""The explanation function that Quantus' metrics call, and a model in the form that Quantus can read."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from kerasexplain.adapters.layout import Layout
from kerasexplain.analyzer import Analyzer
from kerasexplain.create import create_analyzer, create_method
from kerasexplain.foundation.errors import InputError, nearest
from kerasexplain.trace.specification import Specification, output_names

#: How many models have their analyzers kept: the model itself, and the copy whose weights a metric changes.
MODELS = 2


class ExplainFunc:
    """A function `(model, inputs, targets) -> attributions`, as Quantus calls it; made by `explain_func`.

    The analyzer of a model is made when the model is first seen, and kept for the last two models, which it keeps
    alive: so a copy never gets the analyzer of another model, as it might if models were told apart by their place in
    memory. Weights are read anew in every call.

    Args:
        name: Name of the analyzer.
        channel_first: As for `explain_func`.
        options: Options of the analyzer.
    """

    def __init__(self, name: str, channel_first: bool | None, options: dict[str, object]) -> None:
        self.name, self.channel_first, self.options = name, channel_first, options
        self._known: list[tuple[Analyzer, Layout]] = []  # the one used last is the last

    def __call__(
        self,
        model: keras.Model,
        inputs: np.ndarray,
        targets: np.ndarray | None = None,
        *,
        method: str | None = None,
        device: str | None = None,
    ) -> np.ndarray:
        """The relevance of inputs, in the layout of Quantus.

        Args:
            model: The model, or a copy of it.
            inputs: Samples as the model takes them, or with their channels first, as some metrics pass them.
            targets: Per sample an index, or a row of one-hot labels; None for the largest output.
            method: Left aside: the name that `quantus.evaluate` has for this function.
            device: Left aside: Keras chooses the device.

        Returns:
            A new array: `(samples, features)`, or relevance summed over channels with an axis of one channel in front,
            `(samples, 1, time)` or `(samples, 1, height, width)`.

        Raises:
            InputError: Inputs or targets do not fit the model, or it cannot be told which axis is which.
            UnsupportedModelError: The model cannot be explained.
        """
        analyzer, layout = self._of(model)
        relevance = analyzer(layout.as_model_takes(np.asarray(inputs)), targets)
        return layout.as_quantus_takes(relevance)

    def _of(self, model: keras.Model) -> tuple[Analyzer, Layout]:
        for i, (analyzer, _) in enumerate(self._known):
            if analyzer.model is model:
                self._known.append(self._known.pop(i))
                return self._known[-1]
        options: dict[str, Any] = dict(self.options)
        analyzer = create_analyzer(self.name, model, **options)
        specification = Specification.of(model)
        if len(specification.inputs) > 1:
            raise InputError(
                f"Quantus passes one array, and the model {model.name!r} has {len(specification.inputs)} inputs, "
                f"{list(specification.names)}"
            )
        layout = Layout.of(analyzer.graph, specification.inputs[0].shape[1:], self.channel_first)
        self._known = [*self._known, (analyzer, layout)][-MODELS:]
        return analyzer, layout

    def __repr__(self) -> str:
        options = dict(self.options)
        if self.channel_first is not None:
            options["channel_first"] = self.channel_first
        return f"explain_func({', '.join([repr(self.name), *(f'{key}={value!r}' for key, value in options.items())])})"


def explain_func(name: str, *, channel_first: bool | None = None, **options: object) -> ExplainFunc:
    """An explanation function for Quantus, `metric(model=..., x_batch=..., y_batch=..., explain_func=...)`.

    Use one function for all metrics: it makes one analyzer for a model, and hundreds of calls trace nothing again.

    Args:
        name: Name of an analyzer, as for `create_analyzer`.
        channel_first: Whether the first axis of the model's samples is that of channels, or the last. None reads it
            from the layers and the sizes, and refuses where they disagree.
        **options: Options of the analyzer, as for `create_analyzer`.

    Raises:
        ValueError: The name, an option or its value is not legal; or the analyzer would have to be fitted to data.

    Example:
        >>> explain = explain_func("lrp.epsilon_plus", epsilon=0.25)
        >>> quantus.Sparseness()(model=model, x_batch=x, y_batch=y, explain_func=explain)
    """
    method = create_method(name, **options)
    try:
        method.check_fitted()
    except ValueError as error:
        raise ValueError(
            f"{name!r} has to be fitted to data, which cannot be done for every model that Quantus makes: pass the "
            "maps of an analyzer that has been fitted as a_batch="
        ) from error
    return ExplainFunc(name, channel_first, options)


def functional(model: keras.Model, output: int | str = 0) -> keras.Model:
    """A Functional model of one output over the same layers and weights, as Quantus can read it.

    Quantus reads `model.input` and `model.layers[-1].activation`, which Sequential and subclassed models and models
    that end in a layer without an activation do not have.

    Args:
        model: A Keras model of any kind that has been built.
        output: Index or name of the output, for a model with several.

    Raises:
        UnsupportedModelError: The model has not been called, so its input shape is not known.
        ValueError: There is no such output.

    Example:
        >>> model = functional(sequential)
        >>> quantus.Completeness()(model=model, x_batch=x, y_batch=y, explain_func=explain_func("integrated_gradients"))
    """
    specification = Specification.of(model)
    inputs = getattr(model, "inputs", None)
    if inputs:
        structure = model.outputs if isinstance(model, keras.Sequential) else model.output
    else:
        inputs = [keras.Input(given.shape[1:], name=given.name, dtype=given.dtype) for given in specification.inputs]
        structure = model(keras.tree.map_structure(lambda position: inputs[position], specification.structure))
    outputs, names = keras.tree.flatten(structure), output_names(model, structure)
    if output in names:
        output = names.index(output)
    if isinstance(output, str) or not 0 <= output < len(outputs):
        raise ValueError(f"the model {model.name!r} has no output {output!r}.{nearest(str(output), names)}")
    made = keras.Model(inputs, outputs[output], name=model.name)
    last, dtype = made.layers[-1], made.outputs[0].dtype
    if isinstance(last, keras.layers.Activation) and last.activation is keras.activations.softmax:
        ending = keras.layers.Softmax(dtype=dtype)(last.input)  # which Quantus can leave out
    elif isinstance(last, keras.layers.Softmax) or hasattr(last, "activation"):
        return made
    else:
        ending = keras.layers.Activation("linear", dtype=dtype)(made.outputs[0])
    return keras.Model(made.inputs, ending, name=model.name)
