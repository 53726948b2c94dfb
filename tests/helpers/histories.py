"""Explains every example of a layer or function, and one network by every analyzer, twice: in a process that has done
nothing yet, and in one that has explained all the others. Prints where the answers differ, and how many are alike.

    PYTHONPATH=tests python -m helpers.histories [every nth]
"""

from __future__ import annotations

import os
import pickle
import random
import sys
from typing import Any

import keras
import numpy as np

from helpers.operations.examples import EXAMPLES, Example
from helpers.uncompiled import uncompiled
from kerasexplain import analyzer_names, create_analyzer

#: What analyzers need that need something.
OPTIONS = {"deep_taylor.bounded": {"low": -1.0, "high": 1.0}}


def network(x: Any) -> Any:
    """Some of everything: a convolution, a recurrent layer, attention, and normalisation."""
    x = keras.layers.Conv1D(4, 3, activation="relu")(x)
    x = keras.layers.Add()([x, keras.layers.GRU(4, return_sequences=True)(x)])
    x = keras.layers.LayerNormalization()(keras.layers.MultiHeadAttention(2, 2)(x, x))
    return keras.layers.Dense(3)(keras.layers.Flatten()(keras.layers.MaxPooling1D(2)(x)))


NETWORK = Example("the network", network, ((6, 3),))


def cases() -> list[tuple[str, Example]]:
    """Names of analyzers, and what they explain."""
    by_name = [(name, NETWORK) for name in analyzer_names()]
    return by_name + [("lrp.epsilon", example) for example in EXAMPLES if example.exists]


def answer(name: str, example: Example) -> Any:
    """The explanation of an example: its rules and its relevance; or why it is refused."""
    keras.config.set_floatx(example.dtype)
    keras.config.set_dtype_policy(example.dtype)
    keras.backend.clear_session()  # so that names count from one
    keras.utils.set_random_seed(0)  # LoRA begins at random
    try:
        with uncompiled():
            options = {"explain": "activation", "verify": False, **OPTIONS.get(name, {})}
            analyzer = create_analyzer(name, example.model(), **options).fit(example.inputs())
            relevance = analyzer.analyze(example.inputs())
    except Exception as error:
        return f"{type(error).__name__}: {str(error).split(' at 0x')[0]}"
    return str(analyzer), [np.asarray(part) for part in keras.tree.flatten(relevance)]


def fresh(name: str, example: Example) -> Any:
    """The answer of a process of its own, which has imported the library and done nothing else."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(answer(name, example), pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(text) if text else "the process ended"


def alike(one: Any, other: Any) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return bool(one == other)
    same = all(np.allclose(a, b, rtol=1e-5, atol=1e-7) for a, b in zip(one[1], other[1], strict=True))
    return one[0] == other[0] and same


def main() -> int:
    every = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    chosen = cases()[::every]
    of_fresh = [fresh(*case) for case in chosen]
    order = list(range(len(chosen)))
    random.Random(0).shuffle(order)
    differing = [i for i in order if not alike(answer(*chosen[i]), of_fresh[i])]
    for i in differing:
        name, example = chosen[i]
        print(f"{name} of {example.name}: alone {of_fresh[i]}, after others {answer(name, example)}")
    refused = sum(isinstance(one, str) for one in of_fresh)
    print(f"{len(chosen) - len(differing)} of {len(chosen)} alike, {refused} of them refused")
    return len(differing)


if __name__ == "__main__":
    sys.exit(main())
