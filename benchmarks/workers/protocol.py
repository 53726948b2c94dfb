"""The protocol of driver and workers: one JSON object a line, on the worker's standard input and output.

A worker is started with its settings, loads a network and says which versions it runs and which methods it has. Then it
answers requests until its input ends:

    {"prepare": "epsilon", "save": "r.npy"}   builds the method, runs it twice, saves what it found   {"note": "..."}
    {"run": "epsilon"}                        runs it once                                            {"seconds": 0.2}

What fails is answered with `{"error": "..."}`. This module is imported by every interpreter there is: numpy alone.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.timing import seconds

#: The neuron whose output is explained, in every sample and by every library.
TARGET = 3
#: What the denominators of all rules are kept from zero by.
EPSILON = 1e-6


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a worker's measurement.

    Attributes:
        library: Where one worker serves several libraries, which.
        network: "VGG16" or "ResNet50", as in `keras.applications`.
        weights: A file of arrays `<layer>/<position>`, in the layout of Keras.
        batch, size: Samples, and their height and width.
        dtype: "float32" or "float64".
        threads: How many work on one operation.
    """

    library: str
    network: str
    weights: str
    batch: int
    size: int
    dtype: str
    threads: int

    def sample(self) -> np.ndarray:
        """The images: the same for every library."""
        x = np.random.default_rng(0).normal(size=(self.batch, self.size, self.size, 3))
        return x.astype(self.dtype)

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights."""
        with np.load(self.weights) as file:
            return {name: file[name].astype(self.dtype) for name in file.files}


Run = Callable[[], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A network in a library.

    Attributes:
        versions: What runs here.
        methods: `() -> (run, note)` for each method; `run()` gives relevance, channels last, or the output.
    """

    versions: Mapping[str, str]
    methods: Mapping[str, Callable[[], tuple[Run, str]]]


def with_arrays(model: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """The Keras model, of whatever version, with these weights."""
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([arrays[f"{layer.name}/{position}"] for position in range(len(layer.weights))])
    return model


def serve(load: Callable[[Settings], Loaded]) -> None:
    """The main program of a worker.

    Args:
        load: Builds the network.
    """
    # Libraries print what they like: answers have the standard output to themselves.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**message: Any) -> None:
        print(json.dumps(message), file=answers, flush=True)

    loaded = load(Settings(**json.loads(sys.argv[1])))
    runs: dict[str, Run] = {}
    answer(versions=loaded.versions, methods=[*loaded.methods])
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "run" in request:
                answer(seconds=seconds(runs[request["run"]]))
            else:
                run, note = loaded.methods[request["prepare"]]()
                run()
                found = run()
                if request["save"]:
                    np.save(request["save"], found)
                runs[request["prepare"]] = run
                answer(note=note)
        except Exception as error:  # whatever another library raises is told, not guessed at
            answer(error=f"{type(error).__name__}: {error}")
