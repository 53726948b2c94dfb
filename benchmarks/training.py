"""The cost of watching a training: the share of an epoch that a callback takes, beside one analysis of its samples.

    python -m benchmarks.training
    python -m benchmarks.training --epochs 30

The CNN of `examples/watch_training.py` learns the digits. At the end of every epoch a callback does its work, and then,
in the same breath, the same samples are analysed by themselves; both are timed, and so is the epoch without them.
Printed are medians over the epochs, without the first.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
import statistics
import sys
import tempfile
import time
from typing import Any

import keras

from benchmarks.machine import described
from benchmarks.timing import ratio, seconds

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))

#: The analyzer, and how many samples it is asked about.
NAME, SAMPLES = "lrp.epsilon_plus", 16


class Stopwatch(keras.callbacks.Callback):
    """Times another callback at the end of every epoch, an analysis right after it, and the epoch.

    Args:
        watched: The other callback, which is called by this one.
        analysis: One analysis of the samples that it looks at.

    Attributes:
        callback, analysis, epoch: Seconds, once an epoch.
    """

    def __init__(self, watched: Any, analysis: Any) -> None:
        super().__init__()
        self._watched, self._analysis = watched, analysis
        self.callback: list[float] = []
        self.analysis: list[float] = []
        self.epoch: list[float] = []
        self._begin = 0.0

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._watched.set_model(model)

    def on_train_begin(self, logs: Any = None) -> None:
        self._watched.on_train_begin(logs)
        self._analysis()

    def on_train_end(self, logs: Any = None) -> None:
        self._watched.on_train_end(logs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._begin = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epoch.append(time.perf_counter() - self._begin)
        self.callback.append(seconds(lambda: self._watched.on_epoch_end(epoch, logs)))
        self.analysis.append(seconds(self._analysis))


def measure(kind: str, epochs: int, folder: str) -> str:
    """A line on one kind of callback."""
    from watch_training import network, samples

    from kerasexplain import callbacks, create_analyzer

    x, _, y = samples()
    keras.utils.set_random_seed(0)
    model = network()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    analyzer = create_analyzer(NAME, model)
    seen = (x[:SAMPLES], y[:SAMPLES])
    options: dict[str, Any] = {"log_dir": folder}
    if kind == "RelevanceLogger":
        options["max_images"] = SAMPLES
    watched = getattr(callbacks, kind)(analyzer, seen, **options)
    # As the callbacks ask: the relevance of the inputs with an audit, in one pass.
    watch = Stopwatch(watched, functools.partial(analyzer.explain, *seen, audit=True))
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0, callbacks=[watch])
    callback, analysis, epoch = (times[1:] for times in (watch.callback, watch.analysis, watch.epoch))
    took, once, whole = (1e3 * statistics.median(times) for times in (callback, analysis, epoch))
    return (
        f"  {kind:20} {took:6.1f} ms, {100 * ratio(callback, epoch):4.1f} % of an epoch of {whole:.0f} ms, "
        f"{ratio(callback, analysis):4.1f} times one analysis ({once:.1f} ms); traced {analyzer.traces} times"
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    print(f"{described()}\n\n{SAMPLES} samples, {NAME}, at the end of every epoch")
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("RelevanceLogger", "ConservationMonitor", "RelevanceHistogram"):
            print(measure(kind, options.epochs, f"{folder}/{kind}"))


if __name__ == "__main__":
    main()
