"""Opens files in a process of its own, for what reads them may crash it: one line of JSON in, one out.

Run as a script; it answers {"ended": "read"}, {"ended": "refused", ...}, or {"ended": "failed", ...} where an error is
none of those that are documented.
"""

from __future__ import annotations

import json
import os
import pathlib
import resource
import sys
import traceback
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from kerasexplain import Explanation, create_analyzer, load_analyzer
from kerasexplain.cli.reading import samples
from kerasexplain.compat import load_model

#: How much more memory than after the imports.
BYTES = 2**30


def network() -> keras.Model:
    """A small network for images."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 1), name="image")
    x = keras.layers.Conv2D(2, 3, activation="relu", name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="dense")(keras.layers.Flatten(name="flat")(x)), name="net")


def _board(path: pathlib.Path) -> None:
    from helpers.boards import Board

    board = Board(path.parent)
    for run, tags in board.json("/runs").items():
        for tag in tags:
            frame = {"step": 0, "section": "input", "samples": "0,1"}
            for route, query in (
                ("/steps", {}),
                ("/about", {"step": 0}),
                ("/history", {"sample": 0}),
                ("/frame", frame),
            ):
                answer = board.get(route, run=run, tag=tag, **query)
                if answer.status_code not in (200, 404, 422):
                    raise RuntimeError(answer.text)


def _limit() -> None:
    """Leaves so much more memory than there is in use, whatever was opened before."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def main() -> None:
    """Answers until there is no more to read."""
    model = network()
    opens: dict[str, Callable[[pathlib.Path], Any]] = {
        **dict.fromkeys((".keras", ".h5", ".hdf5"), load_model),
        ".explanation": Explanation.load,
        **dict.fromkeys((".json", ".fitted"), lambda path: load_analyzer(path, model)),
        **dict.fromkeys((".npy", ".npz", ".png", ".jpg"), lambda path: samples([path], model)),
        ".v2": _board,
    }
    create_analyzer("lrp.epsilon", model).analyze(np.zeros((1, 6, 6, 1), "float32"))
    print(json.dumps({"ended": "ready"}), flush=True)
    for line in sys.stdin:
        path = pathlib.Path(json.loads(line))
        if path.suffix in (".keras", ".h5", ".hdf5"):
            keras.backend.clear_session()  # models stay otherwise
        _limit()
        try:
            opens[path.suffix](path)
            told = {"ended": "read"}
        except ValueError as error:
            told = {"ended": "refused", "said": str(error)}
            if repr(str(path)) not in str(error):
                told["ended"] = "refused without its name"
        except BaseException:
            told = {"ended": "failed", "said": traceback.format_exc()[-2000:]}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
