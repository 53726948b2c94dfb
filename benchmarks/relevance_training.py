"""The cost of training on relevance: a step with a loss over relevance, beside a plain step of the same network.

    python -m benchmarks.relevance_training
    python -m benchmarks.relevance_training --jit-compile --size 128 --batch 8

ResNet50 with random weights. Times are medians over steps that are taken in turns in one process; memory is the peak of
a process of its own for each way, less what it held before its first step. "by hand" is what is written without a
library for right-for-the-right-reasons: the gradient of the label's logit in an inner tape, its squares outside of a
mask as the loss, on TensorFlow.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import ops

from benchmarks.machine import described, peak
from benchmarks.timing import in_turns, ratio, seconds
from kerasexplain.training import RelevanceModel, RelevanceOutside

WAYS = ("plain", "by hand", "gradient", "lrp.epsilon", "lrp.epsilon_plus", "lrp.alpha_2_beta_1", "lrp.gamma")


class ByHand(keras.Model):
    """A network whose gradient outside of a mask is penalised, written without a library."""

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self.network = network

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.network(inputs[0], training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        import tensorflow as tf

        task = super().compute_loss(x, y, y_pred, sample_weight, training)
        images, mask = x
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = self.network(images, training=False)
            chosen = ops.sum(logits * ops.one_hot(ops.reshape(y, (-1,)), logits.shape[-1]))
        gradient = tape.gradient(chosen, images)
        return task + ops.mean(ops.sum(ops.square(gradient) * (1 - mask), axis=(1, 2, 3)))


def step(way: str, options: argparse.Namespace) -> Callable[[], Any]:
    """A step of training, ready to be called."""
    keras.utils.set_random_seed(0)
    shape = (options.size, options.size, 3)
    network = keras.applications.ResNet50(weights=None, classifier_activation=None, classes=10, input_shape=shape)
    rng = np.random.default_rng(0)
    x = rng.random((options.batch, *shape)).astype("float32")
    y = rng.integers(0, 10, options.batch)
    mask = np.zeros((options.batch, options.size, options.size, 1), "float32")
    mask[:, : options.size // 2] = 1
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if way == "plain":
        network.compile("sgd", loss, jit_compile=options.jit_compile)
        return lambda: network.train_on_batch(x, y)
    if way == "by hand":
        by_hand = ByHand(network)
        by_hand.compile("sgd", loss, jit_compile=options.jit_compile)
        return lambda: by_hand.train_on_batch([x, mask], y)
    judged = RelevanceModel(network, way, RelevanceOutside())
    judged.compile("sgd", loss, jit_compile=options.jit_compile)
    return lambda: judged.train_on_batch(x, y, mask)


def memory_of(way: str, options: argparse.Namespace) -> float:
    """What a step takes at its peak, in MiB, in a process of its own."""
    arguments = [sys.executable, "-m", "benchmarks.relevance_training", "--memory-of", way, "--size", str(options.size)]
    arguments += ["--batch", str(options.batch), *(["--jit-compile"] if options.jit_compile else [])]
    told = subprocess.run(arguments, check=True, capture_output=True, text=True)
    return float(told.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128, help="pixels of a side")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--jit-compile", action="store_true")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--memory-of", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        once = step(options.memory_of, options)
        before = peak()
        once()
        once()
        print(peak() - before)
        return
    print(described())
    ways = [way for way in options.ways if way != "by hand" or keras.backend.backend() == "tensorflow"]
    steps = {way: step(way, options) for way in ways}
    for once in steps.values():
        once()
        once()
    times = in_turns({way: functools.partial(seconds, once) for way, once in steps.items()}, options.repeats)
    memory = {way: memory_of(way, options) for way in ways}
    print(f"ResNet50, {options.batch} images of {options.size} pixels, {'XLA' if options.jit_compile else 'graph'}")
    for way in ways:
        in_time, in_memory = ratio(times[way], times[ways[0]]), memory[way] / memory[ways[0]]
        print(f"{way:20} {statistics.median(times[way]):6.2f} s {in_time:5.2f} {memory[way]:7.0f} MiB {in_memory:5.2f}")


if __name__ == "__main__":
    main()
