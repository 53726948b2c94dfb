"""Plots of comparisons: curves of scores, and images of maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasexplain import visualize
from kerasexplain.evaluation.trials import CONTROLS, Samples
from kerasexplain.foundation.errors import not_importable
from kerasexplain.foundation.text import in_figure
from kerasexplain.metrics.scores import mean_of_defined

try:
    import matplotlib
    from matplotlib.figure import Figure
except ImportError as error:
    raise not_importable("plots of comparisons need matplotlib", "metrics", error) from error

if TYPE_CHECKING:
    from PIL.Image import Image

    from kerasexplain.metrics.scores import Scores


def curves(scores: Sequence[Scores], ax: Any = None) -> Figure:
    """The mean curve of each analyzer's scores under one metric, with its standard error as a band.

    Args:
        scores: Of each analyzer; those of controls are grey.
        ax: The axes to draw in; None for those of a new figure.

    Raises:
        ValueError: The metric has no curves.
    """
    if ax is None:
        ax = Figure(figsize=(7, 4.2), dpi=120, layout="constrained").subplots()
    colours = matplotlib.colormaps["tab10"]
    styles = {"most": "-", "least": "--"}
    label, drawn = scores[0].metric.label, 0
    for number, each in enumerate(scores):
        name = each.analyzer
        colour = "0.35" if name in CONTROLS else colours(number % 10)
        for which, curve in each.curves.items():
            x, mean = 100 * each.steps[which], mean_of_defined(curve, axis=0)
            style = ":" if name == CONTROLS[0] else "-." if name in CONTROLS else styles.get(which, "-")
            legend = name if len(each.curves) == 1 else f"{name}, {which} relevant first"
            ax.plot(x, mean, style, color=colour, label=in_figure(legend), linewidth=1.6)
            if len(curve) > 1:
                known = np.maximum(np.isfinite(curve).sum(axis=0), 2)  # of one there is no spread, and none is drawn
                squares = mean_of_defined((curve - mean) ** 2, axis=0)
                error = np.sqrt(squares / (known - 1))
                ax.fill_between(x, mean - error, mean + error, color=colour, alpha=0.12, linewidth=0)
            drawn += 1
    if not drawn:
        raise ValueError(f"{label!r} has no curves")
    ax.set_xlabel("share of the input that is changed, %")
    correlates = label.startswith("sensitivity_n")
    ax.set_ylabel("correlation" if correlates else "similarity" if "randomization" in label else "explained value")
    ax.set_title(in_figure(f"{label}, {len(scores[0])} samples"), fontsize=10)
    ax.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    ax.spines[["top", "right"]].set_visible(False)
    return ax.figure


def maps_image(samples: Samples, maps: Mapping[str, Any], images: Any = None, **options: Any) -> Image:
    """The maps beside the inputs: a row per sample, a column per analyzer.

    Args:
        samples: The samples.
        maps: By analyzer.
        images: What is shown as the input; None for the input itself.
        **options: As for `kerasexplain.visualize.grid`.

    Raises:
        ValueError: The samples are no images.
    """
    given = samples.inputs
    if len(given) > 1 or given[0].ndim not in (3, 4) or given[0].dtype.kind != "f":
        raise ValueError("maps are drawn beside images, and the samples are none")
    labels = [_target(target) for target in samples.target]
    look: dict[str, Any] = {"percentile": 99.5, "labels": labels, **options}
    return visualize.grid(given[0] if images is None else images, maps, **look)


def _target(target: Any) -> str:
    return f"output {int(target)}" if np.ndim(target) == 0 else "weights" if np.size(target) > 4 else f"{target}"
