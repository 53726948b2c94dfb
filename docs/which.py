"""Writes docs/which-analyzer.md: which analyzers are faithful to which kinds of networks, measured.

    python docs/which.py                    # everything, and the page: some 10 minutes
    python docs/which.py cnn lstm           # some networks, on the screen

The networks are small and trained here, on data that scikit-learn brings along or that are random, so that anybody can
run it. Yours is another network: measure it by `kerasexplain.compare` or `kerasexplain.choose`.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers
from sklearn import datasets

import kerasexplain
from kerasexplain import Analyzer, create_analyzer, metrics
from kerasexplain.evaluation.comparison import Comparison

PAGE = pathlib.Path(__file__).parent / "which-analyzer.md"
HEAD = """# Which analyzer for which network

Made by `python docs/which.py`.

No analyzer is the first choice everywhere. What is faithful depends on the network, so it is measured here on small
networks of nine kinds, and can be measured on yours in one call: `kerasexplain.compare(model, images)` makes such a
column, and `kerasexplain.choose(model, images)` looks for the best composite of rules.

**How to read it.** A number is the area over the curve of region perturbation (see [metrics](metrics.md)) above that
of random orders, mean over two fills, in percent of the best of its column. Two signs tell of each fill alone: ▲ better
and ▼ worse than a random order, where the 95% interval of the paired difference leaves 0 out; · neither. An analyzer
with ▼ removes what matters later than chance would: its maps mislead on that network, under that fill. {samples}
samples of each; accuracy in the second row.

"""
SAMPLES = 48
#: What share of the best of a column, in percent, is near it, and what is nearly nothing.
STEADY, FAILING = 75, 15


@dataclasses.dataclass(frozen=True)
class Subject:
    """A network that is trained here.

    Attributes:
        title: Heading of its column.
        model: Makes it, without weights.
        data: `(x, y)`; every third sample is for measuring, and not for training.
        epochs: How long it is trained.
        fills: What stands in place of what is removed.
    """

    title: str
    model: Callable[[], keras.Model]
    data: Callable[[], tuple[np.ndarray, np.ndarray]]
    epochs: int
    fills: tuple[Any, Any] = ("uniform", "blur")


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits, each pixel twice along both axes: 16 x 16."""
    found = datasets.load_digits()
    images = found.images.repeat(2, axis=1).repeat(2, axis=2) / 8 - 1
    return images[..., None].astype("float32"), found.target


def table() -> tuple[np.ndarray, np.ndarray]:
    """30 measurements of a tumour, standardised."""
    found = datasets.load_breast_cancer()
    return ((found.data - found.data.mean(0)) / found.data.std(0)).astype("float32"), found.target


def signals() -> tuple[np.ndarray, np.ndarray]:
    """Noise with a short burst of one of three frequencies at a random place."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 1500)
    x = rng.normal(0, 0.5, (1500, 128, 1))
    time = np.arange(24)
    for i, label in enumerate(y):
        start = rng.integers(0, 104)
        x[i, start : start + 24, 0] += 1.5 * np.sin(2 * np.pi * time * (0.05, 0.12, 0.25)[label])
    return x.astype("float32"), y


def sentences() -> tuple[np.ndarray, np.ndarray]:
    """Random sentences: words 1 to 9 praise, 10 to 19 blame, 20 turns the next one round, the rest says nothing."""
    rng = np.random.default_rng(0)
    ids = rng.integers(21, 100, (3000, 20))
    score = np.zeros(3000)
    for i in range(3000):
        for place in rng.choice(np.arange(1, 20, 2), 4, replace=False):
            praises, turned = rng.integers(2), rng.random() < 0.3
            ids[i, place] = rng.integers(1, 10) if praises else rng.integers(10, 20)
            ids[i, place - 1] = 20 if turned else ids[i, place - 1]
            score[i] += 1 if bool(praises) != bool(turned) else -1
    kept = score != 0
    return ids[kept], (score[kept] > 0).astype(int)


def _images(block: Callable[[Any, int], Any]) -> Callable[[], keras.Model]:
    def model() -> keras.Model:
        x = inputs = keras.Input((16, 16, 1))
        for channels in (16, 32):
            x = layers.MaxPooling2D()(block(x, channels))
        x = block(x, 32)
        return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))

    return model


def plain(x: Any, channels: int) -> Any:
    return layers.Conv2D(channels, 3, padding="same", activation="relu")(x)


def normalised(x: Any, channels: int) -> Any:
    x = layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def depthwise(x: Any, channels: int) -> Any:
    x = layers.Conv2D(channels, 1, use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    return layers.BatchNormalization()(layers.Conv2D(channels, 1, use_bias=False)(x))


def residual(x: Any, channels: int) -> Any:
    short = layers.Conv2D(channels, 1, use_bias=False)(x)
    x = layers.BatchNormalization()(layers.Conv2D(channels, 3, padding="same", use_bias=False)(normalised(x, channels)))
    return layers.ReLU()(layers.Add()([x, short]))


def transformer_block(x: Any, width: int) -> Any:
    h = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, width // 2)(h, h)])
    h = layers.Dense(2 * width, activation="gelu")(layers.LayerNormalization()(x))
    return layers.Add()([x, layers.Dense(width)(h)])


class Positions(layers.Layer):
    """Adds a vector for every position."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.vectors = self.add_weight(shape=(1, *shape[1:]), initializer="random_normal", name="vectors")

    def call(self, x: Any) -> Any:
        return x + self.vectors


def vision_transformer() -> keras.Model:
    inputs = keras.Input((16, 16, 1))
    x = Positions()(layers.Reshape((64, 32))(layers.Conv2D(32, 2, 2)(inputs)))
    for _ in range(2):
        x = transformer_block(x, 32)
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(10)(x))


def text_transformer() -> keras.Model:
    inputs = keras.Input((20,), dtype="int32")
    x = transformer_block(Positions()(layers.Embedding(100, 32)(inputs)), 32)
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(2)(x))


def lstm() -> keras.Model:
    inputs = keras.Input((20,), dtype="int32")
    return keras.Model(inputs, layers.Dense(2)(layers.LSTM(32)(layers.Embedding(100, 16)(inputs))))


def mlp() -> keras.Model:
    inputs = keras.Input((30,))
    x = layers.Dense(32, activation="relu")(layers.Dense(64, activation="relu")(inputs))
    return keras.Model(inputs, layers.Dense(2)(x))


def signal_cnn() -> keras.Model:
    x = inputs = keras.Input((128, 1))
    for channels in (16, 32):
        x = layers.MaxPooling1D()(layers.Conv1D(channels, 9, padding="same", activation="relu")(x))
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalMaxPooling1D()(x)))


SUBJECTS = {
    "cnn": Subject("CNN", _images(plain), digits, 15),
    "batchnorm": Subject("CNN, BatchNorm", _images(normalised), digits, 15),
    "depthwise": Subject("depthwise, ReLU6", _images(depthwise), digits, 20),
    "residual": Subject("residual", _images(residual), digits, 15),
    "vit": Subject("ViT", vision_transformer, digits, 30),
    "text": Subject("text transformer", text_transformer, sentences, 20, ("other", 99)),
    "lstm": Subject("LSTM", lstm, sentences, 30, ("other", 99)),
    "table": Subject("table, MLP", mlp, table, 30, ("mean", "other")),
    "signal": Subject("signal, CNN", signal_cnn, signals, 15),
}
#: Analyzers by the name of their row: a name, and options.
ANALYZERS: dict[str, tuple[str, dict[str, Any]]] = {
    **{
        name: (name, {})
        for name in ("gradient", "smoothgrad", "input_t_gradient", "integrated_gradients", "deep_lift", "occlusion")
    },
    **{name: (name, {}) for name in ("guided_backprop", "deconvnet", "grad_cam", "deep_taylor")},
    **{name: (name, {}) for name in ("lrp.z_plus", "lrp.w_square", "lrp.epsilon_plus", "lrp.epsilon_alpha2_beta1")},
    "lrp.epsilon": ("lrp.epsilon", {}),
    "lrp.epsilon(0.25)": ("lrp.epsilon", {"epsilon": 0.25}),
    "lrp.gamma(0.05)": ("lrp.gamma", {"gamma": 0.05}),
    "lrp.gamma(0.25)": ("lrp.gamma", {}),
    "lrp.attention": ("lrp.attention", {}),
    "edges": ("edges", {}),
    "random": ("random", {}),
}


def measured(subject: Subject) -> tuple[Comparison, float]:
    """The comparison of all analyzers on a network, and its accuracy on the samples that it was not trained on."""
    keras.utils.set_random_seed(0)
    x, y = subject.data()
    test = np.arange(len(x)) % 3 == 0
    model = subject.model()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.fit(x[~test], y[~test], batch_size=32, epochs=subject.epochs, verbose=0)
    _, accuracy = model.evaluate(x[test], y[test], verbose=0)
    chosen = {}
    for label, (name, options) in ANALYZERS.items():
        analyzer = _fitting(name, model, options, x[:1])
        if analyzer is not None:
            chosen[label] = analyzer
    judges = [metrics.RegionPerturbation(fill=fill) for fill in subject.fills]
    return kerasexplain.compare(model, x[test][:SAMPLES], chosen, judges, background=x[~test][:500]), float(accuracy)


def _fitting(name: str, model: keras.Model, options: dict[str, Any], x: np.ndarray) -> Analyzer | None:
    """The analyzer, if it is for such a model and such data: tables have no convolution for grad_cam, ids no edges."""
    try:
        analyzer = create_analyzer(name, model, **options)
        analyzer.analyze(x)
    except ValueError:
        return None
    return analyzer


def cells(comparison: Comparison) -> dict[str, str]:
    """The column of a network, by analyzer."""
    gains, signs = {}, {}
    for name in comparison.names:
        found = [comparison.against(name, "random", label) for label in comparison.metrics]
        gains[name] = float(np.mean([each.mean for each in found]))
        signs[name] = "".join({"better": "▲", "worse": "▼", "unclear": "·"}[each.verdict] for each in found)
    best = max(gains.values())
    return {name: "0" if name == "random" else f"{100 * gains[name] / best:.0f} {signs[name]}" for name in gains}


def page(found: dict[str, tuple[Comparison, float]]) -> str:
    """The page."""
    columns = {key: cells(comparison) for key, (comparison, _) in found.items()}
    titles = [SUBJECTS[key].title for key in found]
    lines = [
        "| analyzer | " + " | ".join(titles) + " |",
        "|---|" + "--:|" * len(titles),
        "| *accuracy* | " + " | ".join(f"*{accuracy:.2f}*" for _, accuracy in found.values()) + " |",
    ]
    lines += [
        f"| `{name}` | " + " | ".join(column.get(name, "–") for column in columns.values()) + " |" for name in ANALYZERS
    ]
    return HEAD.format(samples=SAMPLES) + "\n".join(lines) + "\n" + remark(columns) + TAIL


def remark(columns: dict[str, dict[str, str]]) -> str:
    """A sentence on the analyzers that come near the best of every column, and on those that mislead somewhere."""
    shares = {
        name: [int(column[name].split()[0]) for column in columns.values() if name in column]
        for name in ANALYZERS
        if name not in ("random", "edges")
    }
    steady = [f"`{name}`" for name, found in shares.items() if len(found) == len(columns) and min(found) >= STEADY]
    failing = [f"`{name}`" for name, found in shares.items() if min(found) < FAILING]
    return (
        f"\nAt least {STEADY} % of the best on every one of these networks: {', '.join(steady) or 'none'}.\n"
        f"Less than {FAILING} % on one or more: {', '.join(failing)}.\n"
    )


#: Measured on a network and photographs that are not in the repository: `benchmarks.choosing` is how.
TAIL = """
## A larger network

A MobileNetV2 (depthwise, ReLU6, residual, BatchNormalization folded) and fifteen photographs, 60 regions of 9
x 9 pixels of 576: the area above random orders and its standard error, where noise and where a blur stand in.

| analyzer | noise | blur |
|---|--:|--:|
| `deep_lift` | +1.4 (0.4) | +1.8 (0.5) |
| `integrated_gradients` | +1.3 (0.6) | +1.1 (0.6) |
| `lrp.epsilon(0.25)` | +1.3 (0.4) | +1.7 (0.5) |
| `lrp.gamma(0.25)` without biases | +1.3 (0.5) | +0.9 (0.5) |
| `lrp.gamma(0.05)` up to operation 17, `lrp.epsilon(0.25)` above | +1.1 (0.4) | +1.7 (0.4) |
| `lrp.gamma(0.05)` | +0.9 (0.4) | +1.6 (0.4) |
| `occlusion` (27 pixels, 18 apart) | +0.6 (0.4) | +1.9 (0.4) |
| `lrp.epsilon(0.25)` without biases | +0.2 (0.3) | +0.2 (0.3) |
| `lrp.epsilon_plus` | -0.2 (0.5) | +0.9 (0.5) |
| `edges` | -0.4 (0.4) | +0.3 (0.3) |
| `lrp.gamma(0.05)` without biases | -0.6 (0.3) | -0.4 (0.2) |

So an epsilon that is large (0.25), or a small gamma, with biases, is what such networks ask for, and
`deep_lift` is as good. No composite of two rules was better than these single ones, so that none has become a
preset.

`python -m benchmarks.choosing` has `kerasexplain.choose` look for an analyzer on either half of the photographs,
seven minutes each, among 96 candidates, and explains each half by what was chosen on the other: under noise +1.21
(0.39) above random orders, on 13 of 15 photographs, and +1.39 (0.40) above `lrp.epsilon_plus`, on 10 of 15; under
a blur +1.51 (0.55) and +0.63 (0.45). On busy cores, where time allowed for 16 candidates, it chose `Gamma(0.05)`
on both halves: +1.08 (0.44) and +1.26 (0.40) under noise.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=[], choices=[[], *SUBJECTS], metavar="NETWORK")
    chosen = parser.parse_args(arguments).networks
    found = {}
    for key in chosen or SUBJECTS:
        found[key] = measured(SUBJECTS[key])
        print(SUBJECTS[key].title, f"accuracy {found[key][1]:.3f}", found[key][0], sep="\n", flush=True)
    if not chosen:
        PAGE.write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
