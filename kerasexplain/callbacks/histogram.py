"""Distributions layer by layer: relevance, weights, gradients."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from kerasexplain.analyzer import Analyzer
from kerasexplain.backend import compiled, pull_back
from kerasexplain.callbacks.samples import WatchedSamples
from kerasexplain.callbacks.watcher import LoggingWatcher
from kerasexplain.compiler.rows import Row

if TYPE_CHECKING:
    from kerasexplain.tensorboard.writer import Writer


@dataclasses.dataclass(eq=False, repr=False)
class RelevanceHistogram(LoggingWatcher):
    """Logs how relevance, weights and gradients are distributed, layer by layer, for the tabs "Histograms" and
    "Distributions".

    `<analyzer>/<layer>` is the relevance of the layer's output; `weights/<path>` a weight, and `gradients/<path>` the
    gradient of the loss by it, as the model was compiled, in inference mode, over all samples.

    Args:
        analyzer, data, targets, every_n_epochs, every_n_batches, log_dir: As for `RelevanceLogger`.
        layers: Names of operations, as `print(analyzer)` shows them; by default all that multiply by a kernel.
        weights: Whether weights are logged.
        gradients: Whether gradients are; by default where data have labels.
        max_samples: How many samples are looked at, at most.

    Raises:
        ValueError: As for `RelevanceLogger`; or gradients are wanted of data without labels, or of a model that has not
            been compiled (when training begins).

    Example:
        >>> histogram = RelevanceHistogram("lrp.epsilon", data=(x_val, y_val), log_dir="logs/first")
    """

    _: dataclasses.KW_ONLY
    layers: Sequence[str] | None = None
    weights: bool = True
    gradients: bool | None = None
    max_samples: int | None = 64

    def __post_init__(self, data: Any) -> None:
        super().__post_init__(data)
        if self.gradients and self._samples.y is None:
            raise ValueError("gradients are those of the loss, which needs labels: data=(x, y), or gradients=False")
        self._wants_gradients = self._samples.y is not None if self.gradients is None else self.gradients
        self._gradients: Gradients | None = None

    def prepare(self, label: str, analyzer: Analyzer, targets: Any) -> None:
        self._relevance(analyzer, targets)

    def begin(self) -> None:
        """Makes the function for gradients anew, for the loss and what is trained may have changed, and tries it."""
        self._gradients = Gradients(self.model, self._samples) if self._wants_gradients else None
        if self._gradients is not None:
            self._gradients()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_gradients": None}

    def look(self, label: str, analyzer: Analyzer, targets: Any, step: int, prefix: str) -> None:
        found = {f"{label}/{name}": values for name, values in self._relevance(analyzer, targets).items()}
        if label == next(iter(self._given)):  # once, however many analyzers there are
            variables = self.model.trainable_variables
            if self.weights:
                values = map(np.asarray, variables)
                found |= {f"weights/{path}": value for path, value in zip(paths(variables), values, strict=True)}
            if self._gradients is not None:
                found |= {f"gradients/{path}": values for path, values in self._gradients().items()}

        def entries(writer: Writer) -> None:
            for name, values in found.items():
                writer.histogram(f"{prefix}{name}", values, step)

        self.log.write(entries)

    def _relevance(self, analyzer: Analyzer, targets: Any) -> dict[str, np.ndarray]:
        layers = _with_weights(analyzer.rows) if self.layers is None else self.layers
        return analyzer.explain(self._samples.x, targets, layers=layers).layers


class Gradients:
    """The gradient of a model's loss by its trainable weights, over some samples, as one compiled function.

    Args:
        model: A compiled model.
        samples: With labels.

    Attributes:
        model: The model.

    Raises:
        ValueError: The model has not been compiled.
    """

    def __init__(self, model: keras.Model, samples: WatchedSamples) -> None:
        if not model.compiled:
            raise ValueError("gradients are those of the loss: compile the model, or pass gradients=False")
        self.model = model
        self._trainable = list(model.trainable_variables)
        self._arrays = [_as_given(array) for array in keras.tree.flatten((samples.x, samples.y))]
        self._structure = (samples.x, samples.y)
        signature = [(array.shape, str(array.dtype)) for array in self._arrays]
        self._function = compiled(self._compute, False, signature, model.variables)

    def __call__(self) -> dict[str, np.ndarray]:
        """The gradients by the path of the weight."""
        return dict(zip(paths(self._trainable), self._function(self._arrays), strict=True))

    def _compute(self, tensors: list[Any]) -> list[Any]:
        x, y = keras.tree.pack_sequence_as(self._structure, tensors)
        trainable = self._trainable
        # Through a scope of our own, weights are tensors that can be differentiated by, on every backend; it must hold
        # those that are not trained as well, for it hides the scope around it.
        others = [(variable, variable.value) for variable in self.model.non_trainable_variables]

        def loss(values: list[Any]) -> tuple[Any, None]:
            state = [*zip(trainable, values, strict=True), *others]
            with keras.StatelessScope(state_mapping=state):
                predicted = self.model(x, training=False)
                return ops.mean(self.model.compute_loss(x, y, predicted)), None

        value, _, pullback = pull_back(loss, [ops.convert_to_tensor(variable.value) for variable in trainable])
        return list(pullback(ops.ones_like(value))[0])


def paths(variables: Sequence[keras.Variable]) -> list[str]:
    """The paths of variables, each with a number where they are not unique."""
    seen: Counter[str] = Counter()
    found = []
    for variable in variables:
        seen[variable.path] += 1
        found.append(variable.path if seen[variable.path] == 1 else f"{variable.path} ({seen[variable.path]})")
    return found


def _with_weights(rows: Sequence[Row]) -> list[str]:
    """The operations with a kernel, and the recurrent ones."""
    steps = {step.name for row in rows for step in row.steps}
    return [row.name for row in rows if (row.kernel or row.steps) and row.name not in steps]


def _as_given(array: Any) -> np.ndarray:
    array = np.asarray(array)
    return array.astype(keras.config.floatx()) if array.dtype.kind == "f" else array
