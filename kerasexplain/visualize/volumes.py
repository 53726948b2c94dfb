"""Volumes: slices through them, and projections along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from kerasexplain.foundation.arrays import check_sample, real_array
from kerasexplain.foundation.checks import check_choice, check_count
from kerasexplain.foundation.text import in_figure
from kerasexplain.visualize.figures import LABEL, TITLE, new_figure
from kerasexplain.visualize.grids import show
from kerasexplain.visualize.images import heatmap, overlay
from kerasexplain.visualize.palette import RELEVANCE, colour_bar, limits, usual_percentile

_AXES = ("depth", "height", "width")


def slices(
    volume: Any,
    relevance: Any,
    *,
    axis: int = 0,
    count: int = 6,
    sample: int = 0,
    cmap: str | Colormap = RELEVANCE,
    scale: float | None = None,
    percentile: float | None = None,
    ax: Sequence[Any] | None = None,
    title: str | None = None,
) -> Figure:
    """Slices through a volume, with relevance over them; one scale holds for all, so that they can be compared.

    Args:
        volume: `(samples, depth, height, width)` or with channels, `(samples, depth, height, width, channels)`, of
            which the mean is drawn in grey; None draws relevance on white.
        relevance: Of the same depth, height and width; channels are summed.
        axis: The one that is cut: 0 for depth, 1 for height, 2 for width.
        count: How many slices, evenly spread from the first to the last.
        sample: Which one.
        cmap, scale, percentile: As for `heatmap`; a limit is that of the volume, not of each slice.
        ax: The axes to draw in, as many as slices; None for those of a new figure.
        title: What is written above.

    Raises:
        ValueError: These are no volumes, or do not fit together; or an option has no legal value.

    Example:
        >>> visualize.slices(scans, analyzer.analyze(scans), axis=2, count=8).savefig("slices.png")
    """
    below, over = _of_sample(volume, relevance, sample, axis)
    check_count("count", count)
    where = np.unique(np.linspace(0, len(over) - 1, min(count, len(over))).round().astype(int))
    percentile = usual_percentile(over.size) if percentile is None else percentile
    (limit,) = limits(over[None], scale, percentile)
    if ax is not None and len(ax) != len(where):
        raise ValueError(f"{len(where)} slices are drawn: ax must be as many axes, got {len(ax)}")
    if below is None:
        drawn = heatmap(over[where], cmap=cmap, scale=limit)
    else:
        drawn = overlay(_grey(below)[where], over[where], cmap=cmap, scale=limit)
    axes = _columns(len(where), drawn[0].height / drawn[0].width) if ax is None else list(ax)
    for axis_, image, at in zip(axes, drawn, where, strict=True):
        show(axis_, image)
        axis_.set_title(f"{_AXES[axis]} {at}", fontsize=LABEL)
    if title is not None and ax is not None:  # the figure's title is the caller's
        axes[0].set_title(f"{in_figure(title)}\n{axes[0].get_title()}", fontsize=LABEL)
    figure = axes[0].figure
    colour_bar(figure, axes, cmap, scale, percentile, each="the volume")
    if title is not None and ax is None:
        figure.suptitle(in_figure(title), fontsize=TITLE)
    return figure


def projection(
    volume: Any,
    relevance: Any,
    *,
    axis: int = 0,
    how: str = "mean",
    sample: int = 0,
    cmap: str | Colormap = RELEVANCE,
    scale: float | None = None,
    percentile: float | None = None,
    ax: Any = None,
    title: str | None = None,
) -> Figure:
    """A volume seen along an axis, with the relevance of all that lies behind each point over it.

    Args:
        volume, relevance, sample, cmap, scale, percentile, title: As for `slices`.
        axis: The one that is looked along: 0 for depth, 1 for height, 2 for width.
        how: "mean" of relevance along the axis, where both signs may cancel; or "max", the relevance that is strongest,
            with its sign.
        ax: The axes to draw in; None for those of a new figure.

    Raises:
        ValueError: As for `slices`.
    """
    check_choice("how", how, ("mean", "max"))
    below, over = _of_sample(volume, relevance, sample, axis)
    if how == "mean":
        seen = over.mean(axis=0)
    else:
        seen = np.take_along_axis(over, np.abs(over).argmax(axis=0)[None], axis=0)[0]
    percentile = usual_percentile(seen.size) if percentile is None else percentile
    (limit,) = limits(seen[None], scale, percentile)
    if below is None:
        (image,) = heatmap(seen[None], cmap=cmap, scale=limit)
    else:
        (image,) = overlay(_grey(below.mean(axis=0)[None]), seen[None], cmap=cmap, scale=limit)
    if ax is None:
        shape = image.height / image.width
        ax = new_figure(3.6, 0.9 + 3.2 * min(shape, 2.0)).subplots()
    show(ax, image)
    ax.set_title(f"{how} along {_AXES[axis]}" if title is None else in_figure(title), fontsize=TITLE)
    colour_bar(ax.figure, [ax], cmap, scale, percentile, each="the figure")
    return ax.figure


def _columns(count: int, shape: float) -> list[Any]:
    """Axes for slices, in rows of at most six."""
    columns = min(count, 6)
    lines = -(-count // columns)
    width = max(1.25 * columns, 3.4)
    figure = new_figure(width, 0.85 + lines * (0.25 + width / columns * min(shape, 2.0)))
    axes = figure.subplots(lines, columns, squeeze=False).ravel().tolist()
    for unused in axes[count:]:
        unused.set_axis_off()
    return axes[:count]


def _of_sample(volume: Any, relevance: Any, sample: int, axis: int) -> tuple[np.ndarray | None, np.ndarray]:
    """A sample's values and relevance in double precision, without channels, the axis that is cut first."""
    check_choice("axis", axis, (0, 1, 2))
    over = _as_volumes(relevance, "relevance").astype(np.float64)
    over = over.sum(axis=-1) if over.ndim == 5 else over
    check_sample(sample, len(over))
    if volume is None:
        return None, np.moveaxis(over[sample], axis, 0)
    below = _as_volumes(volume, "volumes")
    below = below.astype(np.float64).mean(axis=-1) if below.ndim == 5 else below.astype(np.float64)
    if below.shape != over.shape:
        raise ValueError(f"relevance of shape {np.shape(relevance)} does not fit volumes of shape {np.shape(volume)}")
    return np.moveaxis(below[sample], axis, 0), np.moveaxis(over[sample], axis, 0)


def _as_volumes(values: Any, what: str) -> np.ndarray:
    expected = (
        f"{what} must be that of volumes, (samples, depth, height, width) or (samples, depth, height, width, channels)"
    )
    return real_array(values, what, expected, (4, 5))


def _grey(values: np.ndarray) -> np.ndarray:
    """Values from 0 to 1, black the smallest of the volume, so that all slices have one range."""
    low, high = values.min(), values.max()
    return (values - low) / ((high - low) or 1.0)
