"""The throughput of several devices and processes, as a ratio to one process of the same run.

    python -m benchmarks.distributed [--samples 512] [--rounds 3]            # also with KERAS_BACKEND=jax or torch

All explain the same images by `lrp.epsilon_plus`, in turns. Shards have processes that run on, whose start does not
count. With joblib the processes are there, and each copy of the analyzer traces the model anew; with Ray and a
DataLoader processes start and end with each run: that counts.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

DEVICES = 2
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={DEVICES}"

import keras
import numpy as np

from benchmarks.overhead import images
from benchmarks.timing import in_turns, ratio, seconds
from kerasexplain import create_analyzer
from kerasexplain.store import analyze_dataset, join_stores

BACKEND = keras.backend.backend()
if BACKEND == "torch":
    import torch


def data(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 64, 64, 3)).astype("float32")


def analyzer() -> Any:
    keras.utils.set_random_seed(0)
    return create_analyzer("lrp.epsilon_plus", images(), batch_size=64)


class Batches:
    """A dataset for a DataLoader, whose workers explain."""

    def __init__(self, analyzer: Any, x: np.ndarray) -> None:
        self.analyzer, self.x = analyzer, x

    def __len__(self) -> int:
        return len(self.x) // 64

    def __getitem__(self, number: int) -> np.ndarray:
        return np.asarray(self.analyzer.analyze(self.x[64 * number : 64 * number + 64]))


def shared(x: np.ndarray) -> Callable[[], Any] | None:
    """Devices of this process share each batch."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        names = [device.name for device in tf.config.list_logical_devices("CPU")]
        with tf.distribute.MirroredStrategy(names).scope():
            made = analyzer()
    elif BACKEND == "jax":
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
        made = analyzer()
    else:
        return None
    return lambda: made.analyze(x)


class Worker:
    """A process that explains a shard whenever it is told to."""

    def __init__(self, index: int, count: int, folder: str) -> None:
        command = [
            sys.executable,
            "-m",
            "benchmarks.distributed",
            "--samples",
            str(count),
            "--shard",
            str(index),
            folder,
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def begin(self) -> None:
        assert self._process.stdin is not None
        print("go", file=self._process.stdin, flush=True)

    def end(self) -> None:
        assert self._process.stdout is not None
        while (line := self._process.stdout.readline()).strip() != "done":
            if not line:
                raise RuntimeError("a worker has ended")

    def close(self) -> None:
        self._process.communicate()


def work(index: int, count: int, folder: str) -> None:
    """Explains a shard for each line that comes in."""
    x, made = data(count), analyzer()
    for _ in sys.stdin:
        path = pathlib.Path(folder, f"{index}.h5")
        path.unlink(missing_ok=True)
        analyze_dataset(made, x, path, shard=(index, DEVICES), unit=64, compression=None)
        print("done", flush=True)


def by_ray(x: np.ndarray, folder: str) -> Callable[[], Any] | None:
    try:
        import ray.data
    except ImportError:
        return None
    from kerasexplain.adapters.ray import Explain

    analyzer().model.save(pathlib.Path(folder, "model.keras"))
    ray.init(num_cpus=4, object_store_memory=2**30, include_dashboard=False, log_to_driver=False)
    options = {"model": str(pathlib.Path(folder, "model.keras")), "analyzer": "lrp.epsilon_plus", "inputs": "data"}
    dataset = ray.data.from_numpy(np.array_split(x, 4))
    actors = ray.data.ActorPoolStrategy(size=DEVICES)
    return lambda: dataset.map_batches(
        Explain, fn_constructor_kwargs=options, compute=actors, batch_size=64
    ).materialize()


def by_joblib(x: np.ndarray) -> Callable[[], Any] | None:
    try:
        import joblib
    except ImportError:
        return None
    made, parts = analyzer(), np.array_split(x, DEVICES)
    return lambda: joblib.Parallel(n_jobs=DEVICES)(joblib.delayed(made.analyze)(part) for part in parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shard", nargs=2, metavar=("INDEX", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.shard:
        work(int(given.shard[0]), given.samples, given.shard[1])
        return
    if BACKEND == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * DEVICES)
    x, one = data(given.samples), analyzer()
    with tempfile.TemporaryDirectory() as folder:
        workers = [Worker(i, given.samples, folder) for i in range(DEVICES)]

        def alone() -> None:
            pathlib.Path(folder, "all.h5").unlink(missing_ok=True)
            analyze_dataset(one, x, pathlib.Path(folder, "all.h5"), unit=64, compression=None)

        def in_shards() -> None:
            for worker in workers:
                worker.begin()
            for worker in workers:
                worker.end()

        def joined() -> None:
            pathlib.Path(folder, "joined.h5").unlink(missing_ok=True)
            join_stores([pathlib.Path(folder, f"{i}.h5") for i in range(DEVICES)], pathlib.Path(folder, "joined.h5"))

        def loaded() -> None:
            batches = Batches(one, x)
            loader = torch.utils.data.DataLoader(
                batches, batch_size=None, num_workers=DEVICES, multiprocessing_context="spawn"
            )
            for _ in loader:
                pass

        runs: dict[str, Callable[[], Any] | None] = {
            "one process": lambda: one.analyze(x),
            f"{DEVICES} devices of one process": shared(x),
            "one process, into a file": alone,
            f"{DEVICES} shards, into files": in_shards,
            "joining these files": joined,
            f"joblib, {DEVICES} processes": by_joblib(x),
            f"DataLoader, {DEVICES} workers that explain": loaded if BACKEND == "torch" else None,
            f"Ray Data, {DEVICES} actors": by_ray(x, folder),
        }
        measures = {name: run for name, run in runs.items() if run is not None}
        for run in measures.values():
            run()  # compiles
        times = in_turns({name: (lambda run=run: seconds(run)) for name, run in measures.items()}, given.rounds)
        for worker in workers:
            worker.close()
    print(f"{given.samples} images on {os.cpu_count()} cores, {BACKEND}")
    for name, found in times.items():
        speed = ratio(times["one process"], found)
        print(f"{name:42} {given.samples / sorted(found)[len(found) // 2]:8.0f} images/s {speed:6.2f}", flush=True)


if __name__ == "__main__":
    main()
