"""Which words a transformer takes for praise or blame, and whether those words do decide.

    python examples/sentiment.py
    python examples/sentiment.py "a quiet , clever film ." "neither clever nor quiet ."
    python examples/sentiment.py --model my_model.keras --data my_sentences.npz

Writes sentences on coloured ground to the terminal, to sentiment.html and to sentiment.png, and beside them an
experiment: words are replaced by "unknown", the most relevant first. The better the order, the faster the network
loses what it said. "Unknown" it has met in training anywhere in a sentence; padding only ever behind the end.

Without options the network and its sentences, which are too large for the project, are looked for in the folder that
KERASEXPLAIN_REFERENCE_DATA names, and in ../shared. A model of one's own takes ids `(samples, length)`, 0 for padding
and 1 for unknown words, and ends in a logit for each of two classes; its npz file holds `tokens`, the ids;
`vocab`, the word of each id; and `classes`, their two names. Needs the `viz` extra: pip install "kerasexplain[viz]".
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import sys
from collections.abc import Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import rich
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, HPacker, TextArea, VPacker
from matplotlib.ticker import PercentFormatter

import kerasexplain
from kerasexplain import visualize
from kerasexplain.tokens import TokenRelevance, TokenRelevances

ANALYZERS = ("lrp.attention", "lrp.attention_cp", "input_t_gradient", "gradient")
SENTENCES = (
    "a warm , funny and moving film .",
    "the plot is dull , but the actors are wonderful .",
    "it 's not a bad movie at all .",
    "too long , too loud , and never funny .",
    "i expected a masterpiece and got a mess .",
)
PADDING, UNKNOWN = 0, 1
FRACTIONS = np.linspace(0.0, 1.0, 11)
RANDOM_ORDERS = 5
LINE = 50  # characters of a sentence that fit beside the curves
SHARED = pathlib.Path(__file__).parent.parent.parent / "shared"


def reference() -> tuple[keras.Model, pathlib.Path]:
    """The network that was trained for this example, and the file of its sentences.

    Raises:
        FileNotFoundError: They do not exist.
    """
    nets = pathlib.Path(os.environ.get("KERASEXPLAIN_REFERENCE_DATA", SHARED)) / "nets"
    if not (nets / "nets.py").exists():
        raise FileNotFoundError(
            f"the network is not in {nets}: set KERASEXPLAIN_REFERENCE_DATA to the folder that holds nets/nets.py, or "
            "give a model and sentences of your own with --model and --data (see --help)"
        )
    spec = importlib.util.spec_from_file_location("reference_networks", nets / "nets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True  # the folder may be read-only
    spec.loader.exec_module(module)
    return module.build("sst2_tiny_transformer")[0], nets / "sst2_dev872.npz"


def encoded(sentences: Sequence[str], vocabulary: Sequence[str], length: int) -> np.ndarray:
    """Sentences as ids: words that are not in the vocabulary are unknown, those beyond the length are cut off."""
    ids = {word: i for i, word in enumerate(vocabulary)}
    rows = np.full((len(sentences), length), PADDING, "int32")
    for row, sentence in zip(rows, sentences, strict=True):
        words = sentence.lower().split()[:length]
        row[: len(words)] = [ids.get(word, UNKNOWN) for word in words]
    return rows


def contrast(logits: np.ndarray) -> np.ndarray:
    """Weights that make the margin of two logits: 1 for the predicted class, -1 for the other."""
    return np.where(np.arange(2) == logits.argmax(axis=-1)[:, None], 1.0, -1.0)


def shown(model: keras.Model, ids: np.ndarray, vocabulary: Sequence[str], classes: Sequence[str]) -> TokenRelevances:
    """The relevance of every word for the margin of its sentence's predicted class."""
    weights = contrast(model.predict(ids, verbose=0))
    explanation = kerasexplain.create_analyzer(ANALYZERS[0], model).explain(ids, weights)
    names = [classes[int(row.argmax())] for row in weights]
    titles = [f"{name}, margin {value:.1f}" for name, value in zip(names, explanation.explained, strict=True)]
    return explanation.tokens(vocabulary, ids, padding=PADDING, titles=titles)


def drops(model: keras.Model, ids: np.ndarray, relevance: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """How much the margin loses when words are replaced, the most relevant first: `(fractions, samples)`."""
    is_word = ids != PADDING
    order = np.argsort(np.where(is_word, -relevance, np.inf), axis=1)
    rank = np.argsort(order, axis=1)
    count = np.round(FRACTIONS[:, None, None] * is_word.sum(axis=1, keepdims=True))
    replaced = np.where(is_word & (rank < count), UNKNOWN, ids)  # (fractions, samples, length)
    logits = model.predict(replaced.reshape(-1, ids.shape[1]), batch_size=256, verbose=0)
    margins = (logits.reshape(*replaced.shape[:2], 2) * weights).sum(axis=-1)
    return margins[0] - margins


def experiment(model: keras.Model, ids: np.ndarray) -> dict[str, np.ndarray]:
    """The curves of `drops` for the orders of the analyzers and for random ones."""
    weights = contrast(model.predict(ids, batch_size=256, verbose=0))
    rng = np.random.default_rng(0)
    found = {}
    for name in ANALYZERS:
        relevance = kerasexplain.create_analyzer(name, model, batch_size=128).analyze(ids, weights)
        found[name] = drops(model, ids, relevance, weights)
    orders = [drops(model, ids, rng.random(ids.shape), weights) for _ in range(RANDOM_ORDERS)]
    found["random order"] = np.mean(orders, axis=0)
    return found


def area(drop: np.ndarray) -> tuple[float, float]:
    """The mean drop over all fractions, by the trapezoidal rule, and its standard error over the samples."""
    per_sample = (drop[1:] + drop[:-1]).mean(axis=0) / 2
    return float(per_sample.mean()), float(per_sample.std(ddof=1) / np.sqrt(len(per_sample)))


def drawn(found: TokenRelevances, curves: dict[str, np.ndarray]) -> Figure:
    """The sentences, and beside them how the margin falls."""
    texts = [_wrapped(sample) for sample in found]
    height = 0.9 + 0.23 * sum(len(lines) for lines in texts) + 0.36 * len(texts)
    figure = Figure(figsize=(11, max(3.6, height)), dpi=120, layout="constrained")
    # Each half is laid out by itself: the colour bar of the left one takes nothing from the curves.
    left, right = (half.subplots() for half in figure.subfigures(1, 2, width_ratios=(1.1, 1)))
    titles = [TextArea(sample.title, textprops={"fontsize": 9, "color": "0.35"}) for sample in found]
    blocks = [VPacker(children=[title, *lines], pad=0, sep=5) for title, lines in zip(titles, texts, strict=True)]
    column = VPacker(children=blocks, pad=0, sep=14)
    left.add_artist(AnnotationBbox(column, (0, 1), xycoords="axes fraction", box_alignment=(0, 1), frameon=False))
    left.set_axis_off()
    _draw_colours(left)
    _draw_curves(right, curves)
    return figure


def _wrapped(sample: TokenRelevance) -> list[HPacker]:
    """The words on their colours, in lines that fit."""
    lines: list[list[TextArea]] = []
    room = 0
    for word, (ink, background) in zip(sample.tokens, sample.colours, strict=True):
        if len(word) > room:
            lines.append([])
            room = LINE
        room -= len(word) + 1
        box = {"facecolor": background, "edgecolor": "none", "pad": 1.5}
        lines[-1].append(TextArea(word, textprops={"color": ink, "fontsize": 11, "bbox": box}))
    return [HPacker(children=line, pad=0, sep=7) for line in lines]


def _draw_colours(axes: Axes) -> None:
    mappable = ScalarMappable(CenteredNorm(halfrange=1), visualize.RELEVANCE)
    bar = axes.figure.colorbar(mappable, ax=axes, location="bottom", shrink=0.5, aspect=30, ticks=[-1, 0, 1], pad=0.02)
    bar.set_ticklabels(["against", "0", "for"])
    bar.set_label(f"{ANALYZERS[0]}, each sentence up to its own largest |relevance|", fontsize=8)
    bar.ax.tick_params(labelsize=8, length=0)
    bar.outline.set_visible(False)


def _draw_curves(axes: Axes, curves: dict[str, np.ndarray]) -> None:
    for name, drop in curves.items():
        style = {"color": "0.5", "linestyle": "--"} if name.startswith("random") else {"marker": "o", "markersize": 3}
        axes.plot(FRACTIONS, drop.mean(axis=1), label=f"{name}: {area(drop)[0]:.2f}", **style)
    samples = next(iter(curves.values())).shape[1]
    axes.set_title(f"{samples} sentences", fontsize=10)
    axes.set_xlabel('words replaced by "unknown", the most relevant first')
    axes.set_ylabel("mean drop of the predicted class's margin")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(title="order: its mean drop", fontsize=8, title_fontsize=8, loc="lower right")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Shows the sentences, and measures whether the words matter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    text = "what to show, words and punctuation separated by spaces"
    parser.add_argument("sentences", nargs="*", default=SENTENCES, metavar="SENTENCE", help=text)
    parser.add_argument("--model", type=pathlib.Path, help="a .keras file (see above)")
    parser.add_argument("--data", type=pathlib.Path, help="an npz file of its sentences (see above)")
    parser.add_argument("--count", type=int, help="in how many of the sentences words are replaced (all)")
    parser.add_argument("-o", "--out", type=pathlib.Path, default=pathlib.Path("sentiment.png"))
    options = parser.parse_args(arguments)
    if (options.model is None) != (options.data is None):
        parser.error("--model and --data go together")
    if options.count is not None and options.count < 2:
        parser.error("--count must be at least 2: fewer sentences have no standard error")

    if options.model:
        model, path = keras.saving.load_model(options.model, compile=False), options.data
    else:
        try:
            model, path = reference()
        except FileNotFoundError as error:
            parser.error(str(error))
    with np.load(path) as data:
        vocabulary, classes, ids = data["vocab"].tolist(), data["classes"].tolist(), data["tokens"].astype("int32")
    found = shown(model, encoded(options.sentences, vocabulary, ids.shape[1]), vocabulary, classes)
    rich.print(found)
    page = options.out.with_suffix(".html")
    page.write_text(found.to_html(), encoding="utf-8")

    ids = ids[: options.count]
    curves = experiment(model, ids)
    print(f"\nmean drop of the margin, with its standard error, over {len(ids)} sentences:")
    for name, drop in curves.items():
        print("  {:<18}{:.3f} ± {:.3f}".format(name, *area(drop)))
    drawn(found, curves).savefig(options.out)
    print(f"written: {options.out}, {page}")


if __name__ == "__main__":
    main()
