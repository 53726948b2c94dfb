"""The colours of relevance, and how strong relevance must be to get the full one."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import CenteredNorm, Colormap, LinearSegmentedColormap
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import Bbox

from kerasexplain.tokens import COLOURS

#: ColorBrewer's red to blue with an exactly white middle. The lightness falls evenly and equally on both sides, and
#: neighbouring steps differ at most 2:1 (CIEDE2000), where "seismic" has 5:1 and its blue ends much darker than its
#: red. Matplotlib's perceptually uniform diverging maps (berlin, managua, vanimo) are dark in the middle: unfit here.
# An odd number of colours, so that one of them is the middle.
RELEVANCE = LinearSegmentedColormap.from_list("relevance", COLOURS, N=257)
#: Where a bar or a line has one colour: it speaks for the output, or against it.
FOR, AGAINST = COLOURS[-2], COLOURS[1]
#: A map of so many points is a large one, such as 100 x 100.
_LARGE = 10_000


def sign_colour(relevance: float) -> str:
    """The colour of a bar: red speaks for the output, blue against it."""
    return FOR if relevance > 0 else AGAINST


def usual_percentile(size: int) -> float:
    """The percentile of a map's |relevance| that gets the full colour, where nobody says which.

    In a large map, as of a photograph, a few points hold so much that all others would be white: 99.5. In a small one
    these would be no few, and 100 is the largest.
    """
    return 100.0 if size < _LARGE else 99.5


def limits(maps: np.ndarray, scale: float | None, percentile: float | None) -> list[float]:
    """Per sample, the |relevance| that gets the full colour; never zero.

    Raises:
        ValueError: An option has no legal value.
    """
    if scale is not None and not 0 < scale < np.inf:
        raise ValueError(f"scale must be a positive number or None, got {scale!r}")
    if percentile is None:
        percentile = usual_percentile(maps[0].size)
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile must be above 0 and at most 100, got {percentile!r}")
    if scale is not None:
        return [float(scale)] * len(maps)
    # Where most values are exactly zero, so may be the percentile: the largest value serves then, if there is one.
    strength = [np.abs(m) for m in maps]
    return [float(np.percentile(s, percentile) or s.max() or 1.0) for s in strength]


def mappable(limit: float, cmap: str | Colormap) -> ScalarMappable:
    """Gives relevance its colour: zero the middle one, `limit` and more the full one."""
    return ScalarMappable(CenteredNorm(halfrange=limit), cmap)


def colour_bar(
    figure: Any,
    axes: Any,
    cmap: str | Colormap,
    scale: float | None,
    percentile: float | None,
    *,
    each: str = "each map",
) -> None:
    """A bar below the axes: against, 0, for; or numbers, where one scale holds for all.

    Args:
        figure: The figure that it is drawn in, or a part of one.
        axes: Those that it is for.
        cmap, scale: As for `heatmap`.
        percentile: The one that was used; None where maps differ in that.
        each: What has a limit of its own, where `scale` is None.
    """
    limit = 1.0 if scale is None else scale
    ticks = [-limit, 0, limit]
    # A share of the height, also of a part of a figure: the same gap however many rows there are.
    pad = 0.15 * figure.dpi / figure.bbox.height
    if not isinstance(
        figure.get_layout_engine(), ConstrainedLayoutEngine
    ):  # then no one keeps the bar off the ticks and the label of the axes
        held = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
        inside = Bbox.union([ax.get_position(original=True).transformed(figure.transSubfigure) for ax in held])
        whole = Bbox.union([ax.get_tightbbox() for ax in held])
        axes = held[0] if len(held) == 1 else axes  # a bar of one is moved along by a tight layout
        pad = (max(inside.y0 - whole.y0, 0.0) + 0.1 * figure.dpi) / inside.height
    colours = mappable(limit, cmap)
    bar = figure.colorbar(colours, ax=axes, location="bottom", shrink=0.5, aspect=30, pad=pad, ticks=ticks)
    if scale is None:
        strongest = {None: "limit", 100.0: "largest |relevance|"}.get(percentile)
        strongest = strongest or f"{percentile:g}th percentile of |relevance|"
        bar.set_ticklabels(["against", "0", "for"])
        bar.set_label(f"{each} up to its own {strongest}", fontsize=8)
    bar.ax.tick_params(labelsize=8, length=0)
    bar.outline.set_visible(False)
