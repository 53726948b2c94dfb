"""How near relevance propagation comes to what an accelerator can do, on JAX.

    KERAS_BACKEND=jax python -m benchmarks.accelerator --networks ResNet50 --batches 64 256 \
        --flops 67e12 --bytes 4.8e12

For each network, batch and precision: samples per second, in units of the same model's input gradient, and the fraction
of the bound that the device sets. The bound is the longer of two times: the floating-point operations that XLA counts
in the compiled pass over the device's rate (`--flops`, for the products' precision), and the bytes that a gradient has
to move, that is every weight and every value of the graph once each way, over its bandwidth (`--bytes`). The error is
that of the relevance against the same pass on the CPU in single precision, as a fraction of its largest size.

The device runs alone: batches are put on it first, and results stay there, so that the host's link is not measured.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import numpy as np

from benchmarks.machine import described
from benchmarks.networks import network, vision_transformer
from benchmarks.timing import in_turns, ratio
from kerasexplain import create_analyzer
from kerasexplain.compiler.question import Question

METHODS = ("lrp.epsilon", "lrp.epsilon_plus", "lrp.epsilon_alpha2_beta1")
PRECISIONS = ("float32", "tensorfloat32")


def model_named(name: str) -> keras.Model:
    """A network by name, with ViT-B besides those of the other benchmarks."""
    return vision_transformer(width=768) if name == "ViT-B" else network(name)


def gradient_of(model: keras.Model, precision: str) -> Callable[[list[Any], Any], Any]:
    """The derivative of the largest logits by the inputs, compiled."""

    def largest(x: Any, values: list[Any]) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
            return jnp.sum(jnp.max(model(x, training=False), axis=-1))

    def gradient(values: list[Any], x: Any) -> Any:
        with jax.default_matmul_precision(precision):
            return jax.grad(largest)(x, values)

    return jax.jit(gradient)


def runs(model: keras.Model, x: Any, precision: str) -> dict[str, tuple[Callable[[], Any], float]]:
    """The runs on the device, by method, and how many floating-point operations XLA counts in each."""
    values = [variable.value for variable in model.variables]
    compiled = gradient_of(model, precision).lower(values, x).compile()
    found = {"gradient": ((lambda: compiled(values, x)), _flops(compiled))}
    for name in METHODS:
        analyzer = create_analyzer(name, model, precision=precision)
        function = analyzer._first.program._compile(Question("max", analyzer.method.default_start))
        arguments = jax.device_put(function._arguments([x]))
        executable = function._function.lower(*arguments).compile()
        found[name] = ((lambda run=executable, given=arguments: run(*given)["relevance"][0]), _flops(executable))
    return found


def _flops(executable: Any) -> float:
    costs = executable.cost_analysis()
    return float((costs[0] if isinstance(costs, list) else costs)["flops"])


def seconds(run: Callable[[], Any]) -> float:
    """How long the device takes."""
    begin = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - begin


def least_bytes(model: keras.Model, batch: int) -> float:
    """The bytes that a gradient has to move: every weight and every value once forwards and once back."""
    graph = create_analyzer("lrp.epsilon", model).graph
    each = sum(int(np.prod([size or 1 for size in value.sample_shape])) for value in graph.values())
    return 4.0 * 2 * (batch * each + sum(int(np.prod(variable.shape)) for variable in model.variables))


def report(name: str, batch: int, precision: str, rounds: int, flops: float | None, bandwidth: float | None) -> None:
    model = model_named(name)
    x = jax.device_put(np.random.default_rng(0).normal(size=(batch, 224, 224, 3)).astype("float32"))
    try:
        running = runs(model, x, precision)
    except ValueError as error:
        print(f"\n{name}, batch {batch}, {precision}: {error}")
        return
    for run, _ in running.values():
        seconds(run)
    times = in_turns({method: (lambda run=run: seconds(run)) for method, (run, _) in running.items()}, rounds)
    print(f"\n{name}, batch {batch}, {precision}")
    for method, (run, count) in running.items():
        best = min(times[method])
        line = f"  {method:26} {batch / best:9.1f} samples/s   {ratio(times[method], times['gradient']):5.2f} gradients"
        if flops and bandwidth:
            bound = max(count / flops, least_bytes(model, batch) / bandwidth)
            line += f"   {bound / best:5.1%} of the bound"
        if method != "gradient":
            line += f"   error {error_of(model, method, x, run()):.1e}"
        print(line, flush=True)


def error_of(model: keras.Model, method: str, x: Any, relevance: Any, samples: int = 2) -> float:
    """The largest error of a few samples' relevance, as a fraction of the largest relevance."""
    with jax.default_device(jax.devices("cpu")[0]):
        expected = create_analyzer(method, model, precision="float32").analyze(np.asarray(x[:samples]))
    return float(np.abs(np.asarray(relevance[:samples]) - expected).max() / np.abs(expected).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=("ResNet50", "VGG16", "ViT-B"))
    parser.add_argument("--batches", nargs="+", type=int, default=(64, 256))
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--flops", type=float, help="floating-point operations per second of the device")
    parser.add_argument("--bytes", type=float, help="bytes per second that its memory gives")
    options = parser.parse_args()
    print(f"{described()}, {jax.devices()[0].device_kind}, jax {jax.__version__}")
    for name in options.networks:
        for batch in options.batches:
            for precision in options.precisions:
                report(name, batch, precision, options.rounds, options.flops, options.bytes)


if __name__ == "__main__":
    main()
