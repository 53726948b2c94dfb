"""Time against batch, width, depth and image size, of a plain CNN and a vision transformer.

    python -m benchmarks.scaling           # measures (8 minutes), writes scaling.csv and docs/images/scaling.png
    python -m benchmarks.scaling --draw    # draws what scaling.csv has

Along each axis one size grows by factors of two while the others stay. A power law is a straight line on logarithmic
axes; its slope is fitted to the upper half of the points, where fixed costs no longer count, and printed.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import functools
import os
import pathlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from benchmarks.machine import described
from benchmarks.timing import in_turns, seconds

TABLE = pathlib.Path(__file__).with_suffix(".csv")
FIGURE = pathlib.Path(__file__).parents[1] / "docs" / "images" / "scaling.png"
COLUMNS = ("network", "axis", "value", "method", "milliseconds")
METHODS = ("gradient", "lrp.epsilon", "lrp.epsilon_plus", "lrp.epsilon_alpha2_beta1")
#: Where the time of a size has no more than noise to gain from another round.
SECONDS_PER_SIZE = 4.0


@dataclasses.dataclass(frozen=True)
class Subject:
    """A kind of network, the sizes that it has, and how far each is varied.

    Attributes:
        name: In table and image.
        make: Builds it from width, depth and size.
        base: What stays where another size varies.
        axes: The values of each size.
    """

    name: str
    make: Callable[..., Any]
    base: Mapping[str, int]
    axes: Mapping[str, Sequence[int]]


def subjects() -> list[Subject]:
    """The models that are measured. Sizes are chosen so that the largest take about a second."""
    from benchmarks.networks import plain_cnn, vision_transformer

    batches = [2**n for n in range(9)]
    return [
        Subject(
            "CNN",
            plain_cnn,
            {"batch": 8, "width": 32, "depth": 8, "size": 32},
            {
                "batch": batches,
                "width": [16, 32, 64, 128, 256],
                "depth": [2, 4, 8, 16, 32],
                "size": [16, 32, 64, 128, 256],
            },
        ),
        Subject(
            "ViT",
            functools.partial(vision_transformer, patch=8, head=32, classes=10),
            {"batch": 8, "width": 64, "depth": 4, "size": 64},
            {"batch": batches, "width": [32, 64, 128, 256, 512], "depth": [1, 2, 4, 8, 16], "size": [32, 64, 128, 256]},
        ),
    ]


def measure(subject: Subject) -> list[dict[str, Any]]:
    """A row for every method at every size."""
    rows = []
    for axis, values in subject.axes.items():
        runs = None
        for value in values:
            sizes = {**subject.base, axis: value}
            if runs is None or axis != "batch":  # a new batch size is no new network
                runs = _runners(subject, sizes)
            times = _times(runs, sizes)
            rows += [
                dict(zip(COLUMNS, (subject.name, axis, value, method, f"{1000 * time:.3f}"), strict=True))
                for method, time in times.items()
            ]
            print(subject.name, axis, value, *(f"{method} {1000 * time:.1f} ms" for method, time in times.items()))
    return rows


def _runners(subject: Subject, sizes: Mapping[str, int]) -> dict[str, Callable[[Any], Any]]:
    import keras

    from benchmarks.speed import runner

    keras.backend.clear_session()
    model = subject.make(width=sizes["width"], depth=sizes["depth"], size=sizes["size"])
    return {method: runner(model, method, "graph") for method in METHODS}


def _times(runs: Mapping[str, Callable[[Any], Any]], sizes: Mapping[str, int]) -> dict[str, float]:
    """Medians of runs in turns: three rounds, and more where they are short."""
    from benchmarks.speed import sample

    x = sample(sizes["batch"], sizes["size"])
    measures = {method: functools.partial(seconds, functools.partial(run, x)) for method, run in runs.items()}
    in_turns(measures, 1)
    one = sum(times[0] for times in in_turns(measures, 1).values())
    rounds = int(np.clip(SECONDS_PER_SIZE / one, 3, 15))
    return {method: statistics.median(times) for method, times in in_turns(measures, rounds).items()}


def slope(values: Sequence[float], times: Sequence[float]) -> float:
    """The exponent of the power law that the upper half of the points follows."""
    half = len(values) // 2
    return float(np.polyfit(np.log(values[half:]), np.log(times[half:]), 1)[0])


def curves(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, tuple[list[float], list[float]]]]:
    """By network and axis, then by method: values and milliseconds."""
    found: dict[tuple[str, str], dict[str, tuple[list[float], list[float]]]] = {}
    for row in rows:
        values, times = found.setdefault((row["network"], row["axis"]), {}).setdefault(row["method"], ([], []))
        values.append(float(row["value"]))
        times.append(float(row["milliseconds"]))
    return found


def draw(rows: Sequence[Mapping[str, Any]]) -> None:
    """The image for the documentation: a row for each network, a column for each axis."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = curves(rows)
    networks, axes = (list(dict.fromkeys(key[i] for key in found)) for i in (0, 1))
    figure, grid = plt.subplots(
        len(networks), len(axes), figsize=(13, 3.2 * len(networks)), sharey="row", squeeze=False
    )
    labels = {"batch": "samples in the batch", "width": "channels", "depth": "layers", "size": "height and width"}
    for (network, axis), methods in found.items():
        panel = grid[networks.index(network)][axes.index(axis)]
        for method, (values, times) in methods.items():
            panel.loglog(values, times, marker="o", markersize=3, label=method, base=10)
        values = next(iter(methods.values()))[0]
        panel.set_xscale("log", base=2)
        panel.set_xticks(values, [f"{value:.0f}" for value in values], fontsize=8)
        panel.minorticks_off()
        panel.set_xlabel(labels[axis])
        panel.grid(alpha=0.3)
        slopes = sorted({f"{slope(*curve):.1f}" for curve in methods.values()}, key=float)
        panel.set_title(f"{network}: slope {' to '.join(dict.fromkeys((slopes[0], slopes[-1])))}", fontsize=10)
    for row in grid:
        row[0].set_ylabel("milliseconds")
    handles, names = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=len(names), frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(FIGURE, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draw", action="store_true", help="measure nothing")
    options = parser.parse_args()
    if not options.draw:
        print(described())
        rows = [row for subject in subjects() for row in measure(subject)]
        with TABLE.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for (network, axis), methods in curves(rows).items():
        print(f"{network} against {axis}:", ", ".join(f"{name} {slope(*curve):.2f}" for name, curve in methods.items()))
    draw(rows)


if __name__ == "__main__":
    main()
