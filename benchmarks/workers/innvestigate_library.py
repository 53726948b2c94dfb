"""iNNvestigate, in the graph mode of TensorFlow's first version that it needs.

Its way with BatchNormalization computes something else (`sqrt(variance^2 + eps)`), so the convolutions it is given have
theirs folded in beforehand: the same function, and less for it to do.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import innvestigate
import numpy as np
import tensorflow as tf

from benchmarks.workers.protocol import EPSILON, TARGET, Loaded, Run, Settings, serve, with_arrays

tf.compat.v1.disable_eager_execution()

METHODS: dict[str, dict[str, Any]] = {"epsilon": {"epsilon": EPSILON}, "z_plus": {}}


def folded(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The weights of convolutions with the BatchNormalization behind them folded in."""
    arrays = dict(arrays)
    for name in [name for name in arrays if name.endswith("_bn/0")]:
        normalization, convolution = name[: -len("/0")], name[: -len("_bn/0")] + "_conv"
        gamma, beta, mean, variance = (arrays.pop(f"{normalization}/{position}") for position in range(4))
        scale = gamma / np.sqrt(variance + 1.001e-5)
        arrays[f"{convolution}/0"] = arrays[f"{convolution}/0"] * scale
        arrays[f"{convolution}/1"] = (arrays[f"{convolution}/1"] - mean) * scale + beta
    return arrays


def network(settings: Settings) -> Any:
    keras = tf.keras
    kind = getattr(keras.applications, settings.network)
    model = kind(weights=None, classifier_activation=None, input_shape=(settings.size, settings.size, 3))

    def without_normalization(layer: Any) -> Any:
        if isinstance(layer, keras.layers.BatchNormalization):
            return keras.layers.Activation("linear", name=layer.name)
        return type(layer).from_config(layer.get_config())

    model = keras.models.clone_model(model, clone_function=without_normalization)
    return with_arrays(model, folded(settings.arrays()))


def load(settings: Settings) -> Loaded:
    tf.keras.backend.set_floatx(settings.dtype)
    # Keras reads the number of threads of its session from OMP_NUM_THREADS.
    model, x = network(settings), settings.sample()

    def forward() -> tuple[Run, str]:
        return lambda: model.predict_on_batch(x), ""

    def analysis(name: str, options: dict[str, Any]) -> tuple[Run, str]:
        analyzer = innvestigate.create_analyzer(name, model, neuron_selection_mode="index", **options)
        return lambda: analyzer.analyze(x, TARGET), ""

    methods: dict[str, Callable[[], tuple[Run, str]]] = {
        "forward": forward,
        "gradient": functools.partial(analysis, "gradient", {}),
    }
    methods.update({name: functools.partial(analysis, f"lrp.{name}", options) for name, options in METHODS.items()})
    return Loaded({"innvestigate": version("innvestigate"), "tensorflow": tf.__version__}, methods)


if __name__ == "__main__":
    serve(load)
