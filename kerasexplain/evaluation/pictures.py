"""Pictures of comparisons: curves and galleries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasexplain import visualize
from kerasexplain.evaluation.trials import CONTROLS
from kerasexplain.foundation.errors import not_importable

try:
    import matplotlib
    from matplotlib.figure import Figure
except ImportError as error:
    raise not_importable("pictures of comparisons need matplotlib", "metrics", error) from error

if TYPE_CHECKING:
    from PIL.Image import Image

    from kerasexplain.evaluation.comparison import Comparison


def curves(comparison: Comparison, label: str, names: Sequence[str], ax: Any = None) -> Figure:
    """The mean curve of each analyzer, with its standard error as a band; see `Comparison.curves`."""
    if ax is None:
        ax = Figure(figsize=(7, 4.2), dpi=120, layout="constrained").subplots()
    colours = matplotlib.colormaps["tab10"]
    styles = {"most": "-", "least": "--"}
    drawn = 0
    for number, name in enumerate(names):
        scores = comparison.scores(name, label)
        colour = "0.35" if name in CONTROLS else colours(number % 10)
        for which, curve in scores.curves.items():
            x, mean = 100 * scores.steps[which], np.nanmean(curve, axis=0)
            style = ":" if name == CONTROLS[0] else "-." if name in CONTROLS else styles.get(which, "-")
            legend = name if len(scores.curves) == 1 else f"{name}, {which} relevant first"
            ax.plot(x, mean, style, color=colour, label=legend, linewidth=1.6)
            if len(curve) > 1:
                error = np.nanstd(curve, axis=0, ddof=1) / np.sqrt(len(curve))
                ax.fill_between(x, mean - error, mean + error, color=colour, alpha=0.12, linewidth=0)
            drawn += 1
    if not drawn:
        raise ValueError(f"{label!r} has no curves")
    ax.set_xlabel("share of the input that is changed, %")
    correlates = label.startswith("sensitivity_n")
    ax.set_ylabel("correlation" if correlates else "similarity" if "randomization" in label else "explained value")
    ax.set_title(f"{label}, {len(comparison.samples)} samples", fontsize=10)
    ax.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    ax.spines[["top", "right"]].set_visible(False)
    return ax.figure


def gallery(comparison: Comparison, names: Sequence[str], images: Any = None, **options: Any) -> Image:
    """The maps beside the inputs; see `Comparison.to_image`."""
    given = comparison.samples.inputs
    if len(given) > 1 or given[0].ndim not in (3, 4) or given[0].dtype.kind != "f":
        raise ValueError("a picture of maps is for images: the samples are none")
    maps = {name: comparison.trials[name].relevance for name in names}
    labels = [_target(target) for target in comparison.samples.target]
    look: dict[str, Any] = {"percentile": 99.5, "labels": labels, **options}
    return visualize.grid(given[0] if images is None else images, maps, **look)


def _target(target: Any) -> str:
    return f"output {int(target)}" if np.ndim(target) == 0 else "weights" if np.size(target) > 4 else f"{target}"
