"""Time and peak memory of relevance propagation, in units of the same model's input gradient.

    python -m benchmarks.speed                       # VGG16, ResNet50 and MobileNetV2, graph mode and XLA
    python -m benchmarks.speed --networks ResNet50 --modes graph --repeats 9

Machines are noisy: absolute times mean little. So every method is run alternately with the gradient in one process,
and the ratio of the medians is printed, with the gradient's own time for scale. Memory is by how much the peak of a
fresh process grows with every further sample: what is there for any batch, such as weights, is left out.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

NETWORKS = ("VGG16", "ResNet50", "MobileNetV2")
#: Batch sizes between which memory is compared; the smaller one needs more than building the network left free.
MEMORY_BATCHES = {"VGG16": (24, 48), "ResNet50": (8, 24), "MobileNetV2": (8, 24)}
METHODS = ("lrp.epsilon", "lrp.epsilon_plus", "lrp.epsilon_alpha2_beta1")
MODES = ("graph", "xla")


def network(name: str) -> Any:
    """A network of keras.applications with random weights and random BatchNormalization statistics."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, classifier_activation=None)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            size = layer.moving_mean.shape
            layer.moving_mean.assign(rng.normal(0, 0.1, size))
            layer.moving_variance.assign(rng.uniform(0.5, 1.5, size))
    return model


def gradient_function(model: Any, xla: bool) -> Callable[[Any], Any]:
    """The derivative of the largest logit with respect to the input, as anyone would write it."""
    import tensorflow as tf

    @tf.function(jit_compile=xla)
    def gradient(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            logits = model(x, training=False)
            largest = tf.reduce_max(logits, axis=-1)
        return tape.gradient(largest, x)

    return gradient


def runner(model: Any, method: str, mode: str) -> Callable[[Any], Any]:
    """A function that runs a method on a batch and waits for the result."""
    import tensorflow as tf

    from kerasexplain import create_analyzer

    if method == "gradient":
        gradient = gradient_function(model, mode == "xla")
        return lambda x: gradient(tf.constant(x)).numpy()
    analyzer = create_analyzer(method, model, jit_compile=mode == "xla")
    return lambda x: analyzer.analyze(x, batch_size=len(x))


def sample(batch: int) -> Any:
    import numpy as np

    return np.random.default_rng(0).normal(size=(batch, 224, 224, 3)).astype("float32")


def time_ratios(name: str, mode: str, batch: int, repeats: int) -> dict[str, Any]:
    """Median times of the methods over that of the gradient, measured in turns."""
    model, x = network(name), sample(batch)
    runs = {method: runner(model, method, mode) for method in ("gradient", *METHODS)}
    first = {}
    for method, run in runs.items():
        begin = time.perf_counter()
        run(x)
        first[method] = time.perf_counter() - begin
        run(x)
    times: dict[str, list[float]] = {method: [] for method in runs}
    for _ in range(repeats):
        for method, run in runs.items():
            begin = time.perf_counter()
            run(x)
            times[method].append(time.perf_counter() - begin)
    median = {method: statistics.median(values) for method, values in times.items()}
    return {
        "gradient": median["gradient"],
        "ratios": {method: median[method] / median["gradient"] for method in METHODS},
        "first call": first,
    }


def memory_per_sample(name: str, method: str, mode: str) -> float:
    """By how many MiB the peak of this process grows with every further sample."""
    run = runner(network(name), method, mode)
    peaks = []
    for batch in MEMORY_BATCHES[name]:
        x = sample(batch)
        run(x)
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # what was freed is given back, so that the next peak is all its own
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        run(x)
        peaks.append(_status("VmHWM"))
    small, large = MEMORY_BATCHES[name]
    return (peaks[1] - peaks[0]) / (large - small)


def _status(field: str) -> float:
    """A field of Linux' account of this process, in MiB."""
    lines = pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


def in_fresh_process(*arguments: str) -> Any:
    command = [sys.executable, "-m", "benchmarks.speed", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--modes", nargs="+", default=MODES, choices=MODES)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch", type=int, default=4, help="samples at once, for the times")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--only", nargs="+", help=argparse.SUPPRESS)  # one measurement, for a fresh process
    options = parser.parse_args()
    if options.only:
        kind, *rest = options.only
        if kind == "time":
            print(json.dumps(time_ratios(rest[0], rest[1], int(rest[2]), int(rest[3]))))
        else:
            print(json.dumps(memory_per_sample(*rest)))
        return
    for name in options.networks:
        for mode in options.modes:
            report(name, mode, options.batch, options.repeats, not options.no_memory)


def report(name: str, mode: str, batch: int, repeats: int, with_memory: bool) -> None:
    result = in_fresh_process("--only", "time", name, mode, str(batch), str(repeats))
    memory = {}
    if with_memory:
        methods = ("gradient", *METHODS)
        memory = {method: in_fresh_process("--only", "memory", name, method, mode) for method in methods}
    print(f"\n{name}, batch {batch}, {mode}: gradient {1000 * result['gradient']:.0f} ms", end="")
    print(f", {memory['gradient']:.0f} MiB a sample" if memory else "")
    for method in METHODS:
        line = f"  {method:28} time {result['ratios'][method]:5.2f}"
        if memory:
            line += f"   memory {memory[method] / memory['gradient']:5.2f}"
        print(f"{line}   first call {result['first call'][method]:5.1f} s", flush=True)


if __name__ == "__main__":
    main()
