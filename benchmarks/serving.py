"""The server of `examples/serving.py` under load, on this machine.

    python -m benchmarks.serving                    # a minute
    python -m benchmarks.serving --seconds 10 --clients 8

A small network is exported and served by another process. Each client asks for one explanation after the other, of an
input that nobody else asks about meanwhile, and compares the answer with the analyzer's for that input: `lost` has no
answer, `mixed up` has the wrong one. Requests per second are told beside those of one thread that calls the same
function in this process, without HTTP and JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import http.client
import itertools
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks.machine import described

ROOT = pathlib.Path(__file__).parents[1]
#: How many different inputs there are: more than clients, so that no two of them are asked about at once.
INPUTS = 256
SIZE = 16


@dataclasses.dataclass
class Load:
    """What became of all requests.

    Attributes:
        seconds: How long they took, those with the right answer.
        lost: How many had no answer.
        mixed_up: How many had a wrong one.
        took: How long it took in all.
    """

    seconds: list[float] = dataclasses.field(default_factory=list)
    lost: int = 0
    mixed_up: int = 0
    took: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.seconds) / self.took

    def percentile(self, percent: float) -> float:
        """Milliseconds within which so many percent of the requests were answered."""
        return 1000 * float(np.percentile(self.seconds, percent)) if self.seconds else float("nan")


def exported(folder: pathlib.Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs, targets and the relevance that is expected, of an analyzer that is exported to a folder."""
    import keras
    from keras import layers

    import kerasexplain

    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((SIZE, SIZE, 1), name="image")
    for channels in (8, 16):
        x = layers.MaxPooling2D()(layers.Conv2D(channels, 3, activation="relu", padding="same")(x))
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(layers.Flatten()(x)))
    analyzer = kerasexplain.create_analyzer("lrp.epsilon_plus", model)
    analyzer.export(folder)
    rng = np.random.default_rng(0)
    samples = rng.uniform(size=(INPUTS, SIZE, SIZE, 1)).astype("float32")
    targets = rng.integers(0, 10, INPUTS)
    return samples, targets, analyzer.analyze(samples, target=targets)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(port: int, server: subprocess.Popen[bytes], seconds: float = 60.0) -> None:
    """Returns when the server answers.

    Raises:
        RuntimeError: It has ended, or does not answer in time.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise RuntimeError("the server does not answer")


def under_load(
    port: int, samples: np.ndarray, targets: np.ndarray, expected: np.ndarray, clients: int, seconds: float
) -> Load:
    """What becomes of the requests of some clients within some seconds, and of one from each at least."""
    bodies = [
        json.dumps({"inputs": {"image": [x.tolist()]}, "target": [int(target)]}).encode()
        for x, target in zip(samples, targets, strict=True)
    ]
    load, lock, numbers = Load(), threading.Lock(), itertools.count()
    begin = time.monotonic()

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        is_over = False
        while not is_over:
            with lock:
                number = next(numbers) % len(bodies)
            start = time.monotonic()
            try:
                connection.request("POST", "/explain", bodies[number], {"Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
                found = json.loads(text) if answer.status == 200 else None
            except (OSError, http.client.HTTPException, ValueError):
                found = None
                connection.close()
            took = time.monotonic() - start
            is_over = time.monotonic() - begin >= seconds
            with lock:
                if found is None:
                    load.lost += 1
                elif is_own(found, targets[number], expected[number]):
                    load.seconds.append(took)
                else:
                    load.mixed_up += 1
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    load.took = time.monotonic() - begin
    return load


def is_own(found: dict[str, Any], target: int, expected: np.ndarray) -> bool:
    """Whether an answer is that to the request."""
    relevance = np.asarray(found["relevance"])[0]
    return found["neuron"] == [target] and bool(np.abs(relevance - expected).max() <= 1e-5 * np.abs(expected).max())


def direct(folder: pathlib.Path, samples: np.ndarray, targets: np.ndarray, seconds: float) -> float:
    """Explanations per second of one thread that calls the function itself."""
    import tensorflow as tf

    loaded = tf.saved_model.load(os.fspath(folder))
    explain, count = loaded.signatures["explain"], 0
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        i = count % len(samples)
        explain(image=tf.constant(samples[i : i + 1]), target=tf.constant(targets[i : i + 1], tf.int64))
        count += 1
    return count / (time.monotonic() - begin)


def main(arguments: Sequence[str] | None = None) -> Load:
    """Runs the server and the clients, and prints what became of the requests."""
    parser = argparse.ArgumentParser(description="load on the server of examples/serving.py")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the clients ask (60)")
    parser.add_argument("--clients", type=int, default=8, help="how many ask at once (8)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        export, port = pathlib.Path(folder, "export"), free_port()
        samples, targets, expected = exported(export)
        alone = direct(export, samples, targets, min(2.0, options.seconds))
        server = subprocess.Popen([sys.executable, "examples/serving.py", str(export), "--port", str(port)], cwd=ROOT)
        try:
            wait_for(port, server)
            under_load(port, samples, targets, expected, options.clients, 0.5)
            load = under_load(port, samples, targets, expected, options.clients, options.seconds)
        finally:
            server.terminate()
            server.wait(30)
    print(described())
    print(f"{options.clients} clients, {load.took:.0f} seconds: {load.per_second:.0f} explanations/s")
    print(f"{load.per_second / alone:.2f} of what one thread gets of the function itself ({alone:.0f}/s)")
    print(f"p50 {load.percentile(50):.1f} ms, p95 {load.percentile(95):.1f} ms")
    print(f"lost {load.lost}, mixed up {load.mixed_up}")
    return load


if __name__ == "__main__":
    main()
