"""The cost of analyzers besides computing: start-up, each call, and streams.

    python -m benchmarks.overhead

* start-up: the seconds of processor time that `import kerasexplain`, loading `create_analyzer`, and creating the first
  analyzer add after `import keras`; the least of several fresh processes.
* a call: the median time of `analyze` on one sample of a small model less that of the bare compiled function, in turns.
* a stream: batches that take time to be made, and relevance that takes time to be put away, each half as long as the
  model computes. Once in a loop, one after the other, and once overlapped by `analyze(stream, callback=...)`, in turns.
* memory: the peak of a fresh process that explains a stream with a callback, for some samples and ten times as many.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

STARTUP = """
    import time
    import keras
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8)])
    begin = time.process_time()
    import kerasexplain
    imported = time.process_time()
    create_analyzer = kerasexplain.create_analyzer
    loaded = time.process_time()
    create_analyzer("lrp.epsilon", model)
    print(imported - begin, loaded - imported, time.process_time() - loaded)
"""
MEMORY = """
    import sys
    import numpy as np
    from benchmarks.overhead import images
    from kerasexplain import create_analyzer
    batches = (np.random.default_rng(i).normal(size=(32, 64, 64, 3)) for i in range(int(sys.argv[1])))
    create_analyzer("lrp.epsilon", images()).analyze(batches, 1, callback=lambda rows, relevance: None)
    print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def images() -> Any:
    """A small convolutional network."""
    import keras
    from keras import layers

    x = inputs = keras.Input((64, 64, 3))
    for filters in (16, 32):
        x = layers.Conv2D(filters, 3, activation="relu", padding="same")(x)
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def fresh(script: str, *arguments: str) -> list[float]:
    """The numbers that a script prints in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(number) for number in ran.stdout.split()[-3:]]


def in_turns(functions: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """The median seconds of each function, all of them run in turns."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            begin = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(found) for name, found in times.items()}


def a_call() -> dict[str, float]:
    import keras
    import numpy as np

    from kerasexplain import create_analyzer

    analyzer = create_analyzer("lrp.epsilon", keras.Sequential([keras.Input((8,)), keras.layers.Dense(8)]))
    x, index = np.ones((1, 8), "float32"), np.array([1])
    analyzer.analyze(x, 1)
    (bare,) = analyzer._first.program._functions.values()
    return in_turns({"bare": lambda: bare([x, index]), "analyze": lambda: analyzer.analyze(x, 1)}, 2000)


def a_stream(batches: int = 12) -> dict[str, float]:
    import numpy as np

    from kerasexplain import create_analyzer

    analyzer, x = create_analyzer("lrp.epsilon", images()), np.ones((32, 64, 64, 3), "float32")
    analyzer.analyze(x, 1)
    pause = in_turns({"compute": lambda: analyzer.analyze(x, 1)}, 9)["compute"] / 2

    def stream() -> Iterator[Any]:
        for _ in range(batches):
            time.sleep(pause)
            yield x

    def put_away(rows: Any, relevance: Any) -> None:
        time.sleep(pause)

    def one_after_the_other() -> None:
        for batch in stream():
            put_away(None, analyzer.analyze(batch, 1))

    overlapped: Callable[[], Any] = lambda: analyzer.analyze(stream(), 1, callback=put_away)  # noqa: E731
    return in_turns({"one after the other": one_after_the_other, "overlapped": overlapped}, 7)


def main() -> None:
    started = [min(found) for found in zip(*(fresh(STARTUP) for _ in range(5)), strict=True)]
    print("start-up: import {:.4f} s, load {:.3f} s, create {:.3f} s".format(*started))
    call = a_call()
    print(
        f"a call: {1e3 * (call['analyze'] - call['bare']):.2f} ms over the {1e3 * call['bare']:.2f} ms of the function"
    )
    stream = a_stream()
    print(f"a stream: {stream['one after the other'] / stream['overlapped']:.2f} times as quick overlapped")
    for batches in (20, 200):
        print(f"memory: {fresh(MEMORY, str(batches))[0] / 1024:.0f} MiB for {32 * batches} samples")


if __name__ == "__main__":
    main()
