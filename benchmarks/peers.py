"""Other libraries side by side: the same networks, weights, images and rules, on the same machine, in turns.

    python -m benchmarks.peers                                   # VGG16 and ResNet50; environments are made first
    python -m benchmarks.peers --networks ResNet50 --rounds 3 --jax-python jax/bin/python

zennit and captum run in one virtual environment, iNNvestigate in another, both pinned (`environments.py`); without a
GPU, PyTorch's own index of builds for the CPU saves gigabytes. Each library is a process that stays
alive (`workers/`). First all explain one small image in float64: how far each is from ours is in the table, for times
of different things say nothing. Then each runs every method once, and again, round after round, all with as many
threads as there are cores. Ratios are medians over the rounds of times of the same round.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from subprocess import PIPE
from typing import Any

import numpy as np

from benchmarks.environments import INNVESTIGATE, TORCH, default_folder, known_pythons
from benchmarks.machine import cores, described
from benchmarks.timing import in_turns, ratio
from benchmarks.workers.protocol import Settings

#: A library and its method.
Key = tuple[str, str]

NETWORKS = ("VGG16", "ResNet50")
OURS = "kerasexplain"
ROOT = pathlib.Path(__file__).parents[1]
#: Methods at their best are variants of the method in front of the comma.
VARIANT = ", "
#: Height and width of the image whose relevance is compared.
SMALL = 64
#: Between two runs, so that the threads of the one before have stopped spinning.
PAUSE = 0.1


@dataclasses.dataclass(frozen=True)
class Peer:
    """A library and where it runs.

    Attributes:
        name: In the table.
        module: The worker.
        interpreter: Its Python.
        environment: Variables that it needs.
    """

    name: str
    module: str
    interpreter: str
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Measured:
    """The measurements of one network.

    Attributes:
        times: Seconds, round by round.
        versions: What each library says that it runs.
        notes: What it says of its methods.
    """

    times: dict[Key, list[float]]
    versions: dict[str, dict[str, str]]
    notes: dict[Key, str]


class WorkerError(RuntimeError):
    """A worker could not do what it was asked."""


class Worker:
    """A peer at work on one network.

    Attributes:
        versions: What it says that it runs.
        methods: What it can be asked.
    """

    def __init__(self, peer: Peer, settings: Settings) -> None:
        command = [peer.interpreter, "-m", f"benchmarks.workers.{peer.module}", json.dumps(vars(settings))]
        environment = {**os.environ, "OMP_NUM_THREADS": str(settings.threads), **peer.environment}
        self.peer = peer
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - what libraries say, shown where one fails
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment, text=True, stdin=PIPE, stdout=PIPE, stderr=self._log
        )
        loaded = self._answer()
        self.versions: dict[str, str] = loaded["versions"]
        self.methods: list[str] = loaded["methods"]

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.communicate()
        self._log.close()

    def prepare(self, method: str, save: pathlib.Path | None = None) -> str:
        """Makes the worker ready to run a method; it says what is to be known of it."""
        return str(self._ask(prepare=method, save=None if save is None else str(save))["note"])

    def seconds(self, method: str) -> float:
        """Runs a method once."""
        time.sleep(PAUSE)
        return float(self._ask(run=method)["seconds"])

    def _ask(self, **request: Any) -> dict[str, Any]:
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            self._process.wait()
            self._log.seek(0)
            raise WorkerError(f"{self.peer.name} ended: {self._log.read()[-2000:]}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(f"{self.peer.name}: {answer['error']}")
        return answer


def differences(peers: Sequence[Peer], settings: Settings, folder: pathlib.Path) -> dict[Key, float]:
    """How far each library's relevance for one small image in float64 is from ours, relative to our largest |R|."""
    size, weights = min(settings.size, SMALL), str(folder / "small.npz")  # double precision is slow in PyTorch
    settings = dataclasses.replace(settings, weights=weights, batch=1, size=size, dtype="float64")
    ours: dict[str, np.ndarray] = {}
    found = {}
    for peer in peers:  # one after the other: in double precision they would not all fit into memory
        with Worker(peer, dataclasses.replace(settings, library=peer.name)) as worker:
            for method in worker.methods:
                path = folder / "relevance.npy"
                worker.prepare(method, path)
                relevance = np.load(path)
                expected = ours.setdefault(method.partition(VARIANT)[0], relevance)
                found[peer.name, method] = float(np.abs(relevance - expected).max() / np.abs(expected).max())
    return found


def too_far(agreement: Mapping[Key, float], tolerance: float) -> list[str]:
    """The methods of which no variant gives our numbers."""
    least: dict[Key, float] = {}
    for (library, variant), far in agreement.items():
        key = library, variant.partition(VARIANT)[0]
        least[key] = min(far, least.get(key, np.inf))
    return [
        f"{method} of {library} differs by {far:.0e}" for (library, method), far in least.items() if far > tolerance
    ]


def measure(peers: Sequence[Peer], settings: Settings, rounds: int) -> Measured:
    """Runs every method of every library, in turns."""
    with contextlib.ExitStack() as open_workers:
        workers = [
            open_workers.enter_context(Worker(peer, dataclasses.replace(settings, library=peer.name))) for peer in peers
        ]
        measures: dict[Key, Callable[[], float]] = {}
        notes = {}
        for worker in workers:
            for method in worker.methods:
                key = worker.peer.name, method
                notes[key] = worker.prepare(method)
                measures[key] = functools.partial(worker.seconds, method)
        versions = {worker.peer.name: worker.versions for worker in workers}
        return Measured(in_turns(measures, rounds), versions, notes)


def table(
    times: Mapping[Key, Sequence[float]],
    agreement: Mapping[Key, float],
    notes: Mapping[Key, str],
) -> list[str]:
    """The rows of a table in Markdown: times in units of the library's own passes, and of our time for the same.

    Args:
        times: Seconds by `(library, method)`, round by round; of each library also "forward" and "gradient".
        agreement: How far the numbers are from ours.
        notes: What is to be known of a method.
    """
    rows = [
        "| method | library | time | forward passes | gradients | times ours | differs by |",
        "|---|---|---|---|---|---|---|",
    ]
    methods = dict.fromkeys(method.partition(VARIANT)[0] for _, method in times)
    for method in methods:
        for (library, variant), seconds in times.items():
            if variant.partition(VARIANT)[0] != method:
                continue
            suffix = variant[len(method) :]  # a method at its best is compared with the passes at theirs
            own = [f"{ratio(seconds, times[library, unit + suffix]):.2f}" for unit in ("forward", "gradient")]
            ours = times.get((OURS, method))
            factor = "" if ours is None or library == OURS else f"{ratio(seconds, ours):.2f}"
            far = None if library == OURS else agreement.get((library, variant))
            name = library + suffix + (f" ({notes[library, variant]})" if notes.get((library, variant)) else "")
            cells = [f"{1000 * statistics.median(seconds):.0f} ms", *own, factor, "" if far is None else f"{far:.0e}"]
            rows.append(f"| {method} | {name} | {' | '.join(cells)} |")
    return rows


def chosen_peers(options: argparse.Namespace) -> list[Peer]:
    """The libraries to compare, ours first; environments are made for those that need one."""
    peers = [Peer(OURS, "ours", sys.executable, {"KERAS_BACKEND": "tensorflow"})]
    if options.jax_python:
        variables = {"KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "1"}
        peers.append(Peer(f"{OURS} on JAX", "ours", options.jax_python, variables))
    pythons = known_pythons([options.python] if options.python else [])
    for name in options.libraries:
        environment = INNVESTIGATE if name == "innvestigate" else TORCH
        module = "innvestigate_library" if name == "innvestigate" else "torch_libraries"
        peers.append(Peer(name, module, environment.interpreter(options.environments, pythons)))
    return peers


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    libraries = ("zennit", "captum", "innvestigate")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--libraries", nargs="*", default=libraries, choices=libraries)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--threads", type=int, default=cores(), help="of every library")
    parser.add_argument("--environments", type=pathlib.Path, default=default_folder(), help="where they are kept")
    parser.add_argument("--python", help="an interpreter to make environments with; iNNvestigate needs at most 3.11")
    parser.add_argument("--jax-python", help="an interpreter with JAX and kerasexplain, to be measured as well")
    # captum stabilizes maxima, too: 1e-6 on VGG16. Everything else is rounding.
    parser.add_argument("--tolerance", type=float, default=1e-5, help="by how much numbers may differ")
    options = parser.parse_args(arguments)
    peers = chosen_peers(options)
    print(f"{described()}, {options.threads} threads")
    disagreeing = []
    for network in options.networks:
        with tempfile.TemporaryDirectory() as folder:
            weights = str(pathlib.Path(folder, "weights.npz"))
            settings = Settings("", network, weights, options.batch, options.size, "float32", options.threads)
            agreement = differences(peers, settings, pathlib.Path(folder))
            disagreeing += [f"{network}, {what}" for what in too_far(agreement, options.tolerance)]
            found = measure(peers, settings, options.rounds)
        print(f"\n{network}, batch {options.batch}, {options.size} x {options.size}, {options.rounds} rounds")
        print(
            *(f"{name}: {', '.join(map(' '.join, used.items()))}" for name, used in found.versions.items()),
            "",
            sep="\n",
        )
        print(*table(found.times, agreement, found.notes), sep="\n", flush=True)
    if disagreeing:
        raise SystemExit("\n".join(["what was timed is not the same:", *disagreeing]))


if __name__ == "__main__":
    main()
