"""Time and peak memory of relevance propagation, in units of the same model's input gradient.

    python -m benchmarks.speed                       # VGG16, ResNet50 and MobileNetV2, graph mode and XLA
    python -m benchmarks.speed --networks ResNet50 --modes graph --repeats 9

Machines are noisy: absolute times mean little. So every method is run alternately with the gradient in one process,
and the ratio of the medians is printed, with the gradient's own time for scale. Peak memory is what a fresh process
grows by over its size before the first run.
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

NETWORKS = {"VGG16": 4, "ResNet50": 4, "MobileNetV2": 4}
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


def runner(model: Any, method: str, mode: str, x: Any) -> Callable[[], Any]:
    """A function that runs a method once and waits for the result."""
    import tensorflow as tf

    from kerasexplain import create_analyzer

    if method == "gradient":
        gradient, tensor = gradient_function(model, mode == "xla"), tf.constant(x)
        return lambda: gradient(tensor).numpy()
    analyzer = create_analyzer(method, model, jit_compile=mode == "xla")
    return lambda: analyzer.analyze(x)


def sample(batch: int) -> Any:
    import numpy as np

    return np.random.default_rng(0).normal(size=(batch, 224, 224, 3)).astype("float32")


def time_ratios(name: str, mode: str, batch: int, repeats: int) -> dict[str, Any]:
    """Median times of the methods over that of the gradient, measured in turns."""
    model, x = network(name), sample(batch)
    runs = {method: runner(model, method, mode, x) for method in ("gradient", *METHODS)}
    first = {}
    for method, run in runs.items():
        begin = time.perf_counter()
        run()
        first[method] = time.perf_counter() - begin
        run()
    times: dict[str, list[float]] = {method: [] for method in runs}
    for _ in range(repeats):
        for method, run in runs.items():
            begin = time.perf_counter()
            run()
            times[method].append(time.perf_counter() - begin)
    median = {method: statistics.median(values) for method, values in times.items()}
    return {
        "gradient": median["gradient"],
        "ratios": {method: median[method] / median["gradient"] for method in METHODS},
        "first call": first,
    }


def peak_memory(name: str, method: str, mode: str, batch: int) -> float:
    """By how many MiB this process grows at most when it runs a method twice."""
    model, x = network(name), sample(batch)
    run = runner(model, method, mode, x)
    # Building a network leaves freed memory behind, which would hide what the run needs: give it back first.
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = _status("VmRSS")
    run()
    run()
    return _status("VmHWM") - before


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
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch", type=int, default=None)
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--only", nargs="+", help=argparse.SUPPRESS)  # one measurement, for a fresh process
    options = parser.parse_args()
    if options.only:
        kind, *rest = options.only
        if kind == "time":
            print(json.dumps(time_ratios(rest[0], rest[1], int(rest[2]), int(rest[3]))))
        else:
            print(json.dumps(peak_memory(rest[0], rest[1], rest[2], int(rest[3]))))
        return
    for name in options.networks:
        for mode in options.modes:
            report(name, mode, options.batch or NETWORKS[name], options.repeats, not options.no_memory)


def report(name: str, mode: str, batch: int, repeats: int, with_memory: bool) -> None:
    result = in_fresh_process("--only", "time", name, mode, str(batch), str(repeats))
    memory = {}
    if with_memory:
        methods = ("gradient", *METHODS)
        memory = {method: in_fresh_process("--only", "memory", name, method, mode, str(batch)) for method in methods}
    print(f"\n{name}, batch {batch}, {mode}: gradient {1000 * result['gradient']:.0f} ms", end="")
    print(f", {memory['gradient']:.0f} MiB" if memory else "")
    for method in METHODS:
        line = f"  {method:28} time {result['ratios'][method]:5.2f}"
        if memory:
            line += f"   memory {memory[method] / memory['gradient']:5.2f}"
        print(f"{line}   first call {result['first call'][method]:5.1f} s", flush=True)


if __name__ == "__main__":
    main()
