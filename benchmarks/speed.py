"""Time and peak memory of relevance propagation, in units of the same model's input gradient.

    python -m benchmarks.speed                       # VGG16, ResNet50, MobileNetV2 and a ViT-S, graph mode and XLA
    python -m benchmarks.speed --networks ResNet50 --modes graph --repeats 9
    python -m benchmarks.speed --modes jax           # or torch, where that is installed

Machines are noisy: absolute times mean little. So every method is run alternately with the gradient in one process,
and the median of the ratios is printed, with the gradient's own time for scale and the floor of the method: how many
times the products of the gradient it needs, where inputs are never negative. Memory is by how much the peak of a fresh
process grows with every further sample: what is there for any batch, such as weights, is left out.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import gc
import json
import os
import pathlib
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.machine import described
from benchmarks.timing import in_turns, ratio, seconds

NETWORKS = ("VGG16", "ResNet50", "MobileNetV2", "ViT-S")
#: Batch sizes between which memory is compared; the smaller one needs more than building the network left free.
MEMORY_BATCHES = {"VGG16": (24, 48), "ResNet50": (8, 24), "MobileNetV2": (8, 24), "ViT-S": (8, 24)}
#: The methods and how many times the products of the gradient they need.
FLOORS = {
    "lrp.epsilon": 1.0,
    "lrp.epsilon_plus": 1.5,
    "lrp.epsilon_alpha2_beta1": 2.0,
    "lrp.z_plus": 1.5,
    "lrp.gamma": 2.0,
}
#: Composites that do not suit a network, and why.
UNSUITABLE = {
    ("ViT-S", method): "it is lrp.epsilon but for the patches: the kernels of a transformer are dense"
    for method in ("lrp.epsilon_plus", "lrp.epsilon_alpha2_beta1")
}
#: The ways to run, and the backend of Keras for each.
MODES = {"graph": "tensorflow", "xla": "tensorflow", "jax": "jax", "torch": "torch"}


def suitable(name: str) -> list[str]:
    """The methods that are measured on a network."""
    return [method for method in FLOORS if (name, method) not in UNSUITABLE]


def gradient_function(model: Any, mode: str) -> Callable[[Any], Any]:
    """The derivative of the largest logit with respect to the input, as anyone would write it."""
    if mode == "jax":
        import jax

        weights = [[v.value for v in of] for of in (model.trainable_variables, model.non_trainable_variables)]

        def largest(x: Any, weights: Any) -> Any:
            return model.stateless_call(*weights, x, training=False)[0].max(axis=-1).sum()

        compiled = jax.jit(jax.grad(largest))
        return lambda x: jax.device_get(compiled(x, weights))
    if mode == "torch":
        import torch

        def by_torch(x: Any) -> Any:
            x = torch.tensor(x, requires_grad=True)
            return torch.autograd.grad(model(x, training=False).amax(dim=-1).sum(), x)[0].numpy()

        return by_torch
    import tensorflow as tf

    @tf.function(jit_compile=mode == "xla")
    def gradient(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            logits = model(x, training=False)
            largest = tf.reduce_max(logits, axis=-1)
        return tape.gradient(largest, x)

    return lambda x: gradient(tf.constant(x)).numpy()


def runner(model: Any, method: str, mode: str) -> Callable[[Any], Any]:
    """A function that runs a method on a batch and waits for the result."""
    from kerasexplain import create_analyzer

    if method == "gradient":
        return gradient_function(model, mode)
    analyzer = create_analyzer(method, model, jit_compile={"graph": False, "xla": True}.get(mode, "auto"))
    return lambda x: analyzer.analyze(x, batch_size=len(x))


def sample(batch: int, size: int = 224) -> Any:
    """Images of noise."""
    import numpy as np

    return np.random.default_rng(0).normal(size=(batch, size, size, 3)).astype("float32")


def time_ratios(name: str, mode: str, batch: int, repeats: int) -> dict[str, Any]:
    """Times of the methods in units of the gradient's, measured in turns."""
    from benchmarks.networks import network

    model, x = network(name), sample(batch)
    runs = {method: functools.partial(runner(model, method, mode), x) for method in ("gradient", *suitable(name))}
    first = {method: seconds(run) for method, run in runs.items()}
    in_turns({method: functools.partial(seconds, run) for method, run in runs.items()}, 1)
    times = in_turns({method: functools.partial(seconds, run) for method, run in runs.items()}, repeats)
    return {
        "gradient": statistics.median(times["gradient"]),
        "ratios": {method: ratio(times[method], times["gradient"]) for method in suitable(name)},
        "first call": first,
    }


def memory_per_sample(name: str, method: str, mode: str) -> float:
    """By how many MiB the peak of this process grows with every further sample."""
    from benchmarks.networks import network

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
    """One measurement of this program, in a process of its own: `time` or `memory` and what their functions take.

    Raises:
        RuntimeError: It failed; with what it said last.
    """
    command = [sys.executable, "-m", "benchmarks.speed", "--only", *arguments]
    (mode,) = set(arguments) & set(MODES)
    environment = {**os.environ, "KERAS_BACKEND": MODES[mode]}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)  # libraries talk a lot
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr[-2000:]}")
    return json.loads(result.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--modes", nargs="+", default=["graph", "xla"], choices=MODES)
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
    print(described())
    for name in options.networks:
        for mode in options.modes:
            report(name, mode, options.batch, options.repeats, not options.no_memory)


def report(name: str, mode: str, batch: int, repeats: int, with_memory: bool) -> None:
    """Measures a network in a mode and prints a line for each method."""
    result = in_fresh_process("time", name, mode, str(batch), str(repeats))
    memory = {}
    if with_memory:
        methods = ("gradient", *suitable(name))
        memory = {method: in_fresh_process("memory", name, method, mode) for method in methods}
    print(f"\n{name}, batch {batch}, {mode}: gradient {1000 * result['gradient']:.0f} ms", end="")
    print(f", {memory['gradient']:.0f} MiB a sample" if memory else "")
    for method, floor in FLOORS.items():
        if (name, method) in UNSUITABLE:
            print(f"  {method:28} not measured: {UNSUITABLE[name, method]}")
            continue
        line = f"  {method:28} time {result['ratios'][method]:5.2f} (floor {floor:.1f})"
        if memory:
            line += f"   memory {memory[method] / memory['gradient']:5.2f}"
        print(f"{line}   first call {result['first call'][method]:5.1f} s", flush=True)


if __name__ == "__main__":
    main()
