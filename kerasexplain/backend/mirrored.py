"""TensorFlow's `MirroredStrategy`: devices share a batch, each with its own copy of the weights."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

Tensor = Any


def sharing(variables: Sequence[Any]) -> int:
    """How many devices share a batch: those of the `MirroredStrategy` that the variables were made under."""
    strategy = mirroring(variables)
    return 1 if strategy is None else len(strategy.extended.worker_devices)


def mirroring(variables: Sequence[Any]) -> tf.distribute.MirroredStrategy | None:
    """The strategy by which each of several devices has a copy of the variables, if there is one."""
    strategy = getattr(variables[0].value, "distribute_strategy", None) if variables else None
    return strategy if isinstance(strategy, tf.distribute.MirroredStrategy) else None


def shared(
    function: Callable[[list[Tensor]], Any],
    strategy: tf.distribute.MirroredStrategy,
    count: int,
    jit_compile: bool,
    variables: Sequence[Any],
) -> Callable[[list[Tensor]], Any]:
    """The same function, of which every device computes some rows, from its own copy of what is trained.

    Copies of what is not trained come apart, such as the statistics of normalisation, which each device gathers of its
    own samples: the model is the one with the first copy, which it computes with and is saved with.

    `Strategy.run` traces in a thread for each device, where context variables have their defaults.

    Args:
        function: A function whose results have one row for each of the inputs.
        strategy: Has the devices.
        count: How many of the inputs have rows; the others are the same for all.
        jit_compile: Whether XLA compiles: one program for each device.
        variables: What the function reads.
    """
    # Those of a layer that was frozen were made to be trained, and are the same on every device.
    apart = [variable for variable in variables if mirroring([variable]) and not variable.value.trainable]
    devices = strategy.extended.worker_devices

    def on(replica: int, inputs: list[Tensor]) -> Any:
        with tf.distribute.ReplicaContext(strategy, replica):  # by which the copy of a variable is chosen
            first = [(variable, variable.value.values[0]) for variable in apart]
            with keras.StatelessScope(state_mapping=first, initialize_variables=False):
                return function(inputs)

    def run(inputs: list[Tensor]) -> Any:
        split = [tf.split(x, len(devices), x.shape.as_list().index(None)) for x in inputs[:count]]
        parts = []
        for replica, device in enumerate(devices):
            own = functools.partial(on, replica)
            own = tf.function(own, jit_compile=True, autograph=False) if jit_compile else own
            with tf.device(device):
                parts.append(own([*(pieces[replica] for pieces in split), *inputs[count:]]))
        return tf.nest.map_structure(lambda *rows: tf.concat(rows, 0), *parts)

    return run
