"""SavedModels of the architectures of keras.applications, against the Keras models that were exported.

    python -m benchmarks.saved_models                        # relevance of every architecture, in double precision
    python -m benchmarks.saved_models ResNet50 MobileNetV2   # of some
    python -m benchmarks.saved_models --seconds ResNet50 transformer recurrent     # the cost, in single precision

For each architecture, with random weights, biases and statistics: the largest difference of the relevance under three
analyzers, relative to the largest relevance; how many operations the graphs of both have; and with `--seconds` the
median of the ratios of the same round, the two taking turns in one process.
"""

from __future__ import annotations

import argparse
import functools
import os
import tempfile
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from benchmarks.machine import described
from benchmarks.timing import in_turns, ratio, seconds

ANALYZERS = ("lrp.epsilon", "lrp.epsilon_plus", "lrp.bias_as_input")
#: The smallest legal inputs that are not 32 pixels.
SIZES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}


def architectures() -> list[str]:
    """The names of all architectures."""
    import keras

    return sorted(name for name in vars(keras.applications) if name[0].isupper())


def transformer() -> Any:
    """Four blocks on 32 tokens of 64 numbers."""
    import keras
    from keras import layers

    x = inputs = keras.Input((32, 64))
    for _ in range(4):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(4, 16)(y, y)])
        y = layers.Dense(64)(layers.Dense(256, activation="gelu")(layers.LayerNormalization()(x)))
        x = layers.Add()([x, y])
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling1D()(x)))


def recurrent() -> Any:
    """Two LSTM layers on 20 steps: a loop in one graph, its steps one after the other in the other."""
    import keras
    from keras import layers

    inputs = keras.Input((20, 16))
    x = layers.LSTM(64)(layers.LSTM(64, return_sequences=True)(inputs))
    return keras.Model(inputs, layers.Dense(10)(x))


OTHERS = {"transformer": transformer, "recurrent": recurrent}


def pair(name: str, size: int) -> tuple[Any, Any]:
    """A model, and the same from a SavedModel."""
    import keras
    import numpy as np

    from kerasexplain import compat

    if name in OTHERS:
        model = OTHERS[name]()
    else:
        model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=10)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if any(part in weight.path for part in ("moving", "gamma", "beta", "bias")):
            # With gains of one and more, hundreds of layers blow rounding up to the size of the output.
            gain = 0.6 if "gamma" in weight.path else 1.0
            weight.assign(gain * np.asarray(weight) + rng.uniform(0.02, 0.2, weight.shape))
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, verbose=False)
        return model, compat.load_model(folder)


def differences(name: str) -> tuple[list[float], tuple[int, int]]:
    """The differences under each analyzer, and the numbers of operations."""
    import keras
    import numpy as np

    from kerasexplain import create_analyzer

    size = SIZES.get(name, 32)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    model, saved = pair(name, size)
    x = np.random.default_rng(0).uniform(0, 255, (2, *model.inputs[0].shape[1:]))
    found, rows = [], (0, 0)
    for analyzer in ANALYZERS:
        one, other = (create_analyzer(analyzer, each) for each in (model, saved))
        expected, relevance = one.analyze(x), other.analyze(x)
        found.append(float(np.abs(relevance - expected).max() / np.abs(expected).max()))
        rows = (len(one.rows), len(other.rows))
    return found, rows


def times(name: str, analyzer: str, size: int, repeats: int) -> dict[str, list[float]]:
    """Seconds of every round, of both."""
    import keras
    import numpy as np

    from kerasexplain import create_analyzer

    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    both = pair(name, size)
    x = np.random.default_rng(0).uniform(0, 1, (8, *both[0].inputs[0].shape[1:])).astype("float32")
    runs = {}
    for kind, model in zip(("keras", "saved"), both, strict=True):
        runs[kind] = functools.partial(create_analyzer(analyzer, model, verify=False).analyze, x, 0)
        runs[kind]()
    return in_turns({kind: functools.partial(seconds, run) for kind, run in runs.items()}, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="ARCHITECTURE")
    parser.add_argument("--seconds", action="store_true", help="measure what an analysis costs instead")
    parser.add_argument("--size", type=int, default=128, help="height and width of an image that is timed")
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    import keras

    print(described())
    for name in options.names or architectures():
        if options.seconds:
            for analyzer in ANALYZERS:
                measured = times(name, analyzer, options.size, options.repeats)
                print(f"{name:18} {analyzer:18} {ratio(measured['saved'], measured['keras']):6.3f} times", flush=True)
        else:
            found, (rows, rows_saved) = differences(name)
            shown = "  ".join(f"{analyzer} {value:.0e}" for analyzer, value in zip(ANALYZERS, found, strict=True))
            print(f"{name:18} {shown}  operations {rows} and {rows_saved}", flush=True)
        keras.backend.clear_session()


if __name__ == "__main__":
    main()
