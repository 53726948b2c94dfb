"""What region perturbation costs beyond the model: 100 steps against as many bare forward passes.

    python -m benchmarks.metrics                     # 16 images of 224 x 224, MobileNetV2
    python -m benchmarks.metrics --images 4 --repeats 3

A step is one forward pass of a changed copy of each image. The passes that it is compared with run copies of the same
images, as many at once, through the same model's own compiled function. Both take turns in one process, after each has
run once, so that tracing does not count; the median of the ratios of the same round is printed.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.machine import described
from benchmarks.speed import sample
from benchmarks.timing import in_turns, ratio, seconds

BATCH = 32


def measured(images: int, steps: int, size: int, repeats: int, fills: list[str]) -> dict[str, list[float]]:
    """Seconds of every round: of `forward`, and of region perturbation under each fill."""
    import keras
    import numpy as np
    import tensorflow as tf

    from kerasexplain import create_analyzer
    from kerasexplain.metrics import RegionPerturbation

    model = keras.applications.MobileNetV2(weights=None, input_shape=(size, size, 3), classifier_activation=None)
    x = sample(images, size)
    # Maps are not what is measured: noise takes one forward pass.
    analyzer = create_analyzer("random", model)
    forward = tf.function(functools.partial(model, training=False))
    copies = np.resize(x, (BATCH, *x.shape[1:]))

    def passes() -> None:
        left = images * (steps + 1)
        while left > 0:
            forward(tf.constant(copies[:left])).numpy()
            left -= BATCH

    runs = {"forward": passes}
    for fill in fills:
        runs[fill] = functools.partial(RegionPerturbation(steps=steps, fill=fill), analyzer, x, batch_size=BATCH)
    for run in runs.values():
        run()
    return in_turns({name: functools.partial(seconds, run) for name, run in runs.items()}, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--size", type=int, default=224, help="height and width of an image")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--fills", nargs="+", default=["uniform", "blur"])
    options = parser.parse_args()
    print(described())
    times = measured(options.images, options.steps, options.size, options.repeats, options.fills)
    count = options.images * (options.steps + 1)
    print(f"{count} forward passes of MobileNetV2: {statistics.median(times['forward']):.1f} s")
    for fill in options.fills:
        print(f"region perturbation, {options.steps} steps of {options.images} images, {fill:11}", end="")
        print(f"{ratio(times[fill], times['forward']):6.2f} times that")


if __name__ == "__main__":
    main()
