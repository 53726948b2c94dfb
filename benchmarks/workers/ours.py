"""kerasexplain, on whatever backend Keras has here. It also makes the weights that all libraries share."""

from __future__ import annotations

import functools
import os
import pathlib
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import kerasexplain
from benchmarks.workers.protocol import EPSILON, TARGET, Loaded, Run, Settings, serve, with_arrays

#: Options of the methods: denominators are kept from zero as they are elsewhere; iNNvestigate replaces only zeros.
METHODS = {
    "epsilon": {"epsilon": EPSILON},
    "epsilon_plus_flat": {"epsilon": EPSILON, "stabilizer": EPSILON},
    "epsilon_alpha2_beta1": {"epsilon": EPSILON, "stabilizer": EPSILON},
    "epsilon_alpha2_beta1_flat": {"epsilon": EPSILON, "stabilizer": EPSILON},
    "z_plus": {"stabilizer": 1e-14},
}


def network(settings: Settings) -> Any:
    """The network, with the weights of the file; made at random, and written there, where there is none."""
    kind = getattr(keras.applications, settings.network)
    model = kind(weights=None, classifier_activation=None, input_shape=(settings.size, settings.size, 3))
    if not pathlib.Path(settings.weights).exists():
        np.savez(settings.weights, **_random_weights(model))
    return with_arrays(model, settings.arrays())


def _random_weights(model: Any) -> dict[str, Any]:
    """Kernels that keep the size of activations, small biases, statistics as after some training."""
    rng = np.random.default_rng(0)
    arrays = {}
    for layer in model.layers:
        for position, weight in enumerate(layer.weights):
            shape = tuple(weight.shape)
            if weight.name == "kernel":
                array = rng.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
            elif weight.name in ("gamma", "moving_variance"):
                array = rng.uniform(0.5, 1.5, shape)
            else:
                array = rng.normal(0, 0.1, shape)
            arrays[f"{layer.name}/{position}"] = array.astype("float32")
    return arrays


def _by_tensorflow(model: Any, x: np.ndarray, threads: int) -> dict[str, Callable[[], Any]]:
    """Output and gradient, as anyone would write them."""
    import tensorflow as tf

    @tf.function
    def forward(x: Any) -> Any:
        return model(x, training=False)

    @tf.function
    def gradient(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = model(x, training=False)[:, TARGET]
        return tape.gradient(y, x)

    return {"forward": lambda: forward(tf.constant(x)).numpy(), "gradient": lambda: gradient(tf.constant(x)).numpy()}


def _by_jax(model: Any, x: np.ndarray, threads: int) -> dict[str, Callable[[], Any]]:
    import jax

    trainable = [variable.value for variable in model.trainable_variables]
    others = [variable.value for variable in model.non_trainable_variables]

    @jax.jit
    def forward(trainable: Any, others: Any, x: Any) -> Any:
        return model.stateless_call(trainable, others, x, training=False)[0]

    gradient = jax.jit(jax.grad(lambda x, trainable, others: forward(trainable, others, x)[:, TARGET].sum()))
    return {
        "forward": lambda: np.asarray(forward(trainable, others, x)),
        "gradient": lambda: np.asarray(gradient(x, trainable, others)),
    }


def load(settings: Settings) -> Loaded:
    backend = keras.backend.backend()
    versions = {"kerasexplain": kerasexplain.__version__, "keras": keras.__version__}
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(settings.threads)
        versions["tensorflow"] = tf.__version__
    else:
        import jax

        versions["jax"] = jax.__version__
    keras.config.set_floatx(settings.dtype)
    model, x = network(settings), settings.sample()
    plain = (_by_tensorflow if backend == "tensorflow" else _by_jax)(model, x, settings.threads)

    def analysis(name: str) -> tuple[Run, str]:
        analyzer = kerasexplain.create_analyzer(f"lrp.{name}", model, **METHODS[name])
        return lambda: analyzer.analyze(x, TARGET, batch_size=len(x)), ""

    methods: dict[str, Callable[[], tuple[Run, str]]]
    methods = {name: functools.partial(lambda run: (run, ""), run) for name, run in plain.items()}
    methods.update({name: functools.partial(analysis, name) for name in METHODS})
    return Loaded(versions, methods)


if __name__ == "__main__":
    serve(load)
