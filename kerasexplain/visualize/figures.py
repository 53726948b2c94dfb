"""Figures and axes that pictures are drawn in."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from kerasexplain.foundation.text import in_figure

#: Pixels per inch of new figures.
DPI = 120
#: The writing of a picture, in points: its title, the names of its parts, and numbers beside them.
TITLE, LABEL, SMALL = 10, 9, 8


class ShownFigure(Figure):
    """A figure that notebooks show, also where pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """A figure of a size in inches that pyplot knows nothing of: nothing is left open."""
    return ShownFigure(figsize=(width, height), dpi=DPI, layout="constrained")


def axes_of(ax: Any, width: float, height: float) -> Any:
    """The axes to draw in: those that were given, or those of a new figure of a size in inches."""
    return new_figure(width, height).subplots() if ax is None else ax


def grey(ax: Any, shade: float) -> str:
    """A grey for lines and points, from 0 that stands out from the ground to 1 that is none, also on a dark ground."""
    is_dark = float(np.mean(to_rgb(ax.get_facecolor()))) < 0.5
    return f"{1 - shade if is_dark else shade:.2f}"


def width_of(ax: Any, labels: Iterable[str]) -> float:
    """About how wide axes will be in inches, once labels of rows have their room in a new figure."""
    figure = ax.figure
    width = float(ax.get_window_extent().width / figure.dpi)
    if figure.get_layout_engine() is None:  # then axes stay where they are
        return width
    # Before the layout they have four fifths of their place, and in the end all that labels leave.
    return max(1.0, width / 0.8 - 0.3 - 0.075 * max(map(len, labels), default=0))


def dress(ax: Any, title: str | None, xlabel: str = "") -> None:
    """Title, label, and no lines but the one below."""
    if title is not None:
        ax.set_title(in_figure(title), fontsize=TITLE)
    ax.set_xlabel(in_figure(xlabel), fontsize=LABEL)
    ax.tick_params(labelsize=LABEL)
    ax.spines[["top", "right", "left"]].set_visible(False)


def rows(ax: Any, labels: list[str]) -> None:
    """A label for every row, the first one on top."""
    ax.set_yticks(range(len(labels)), [in_figure(label) for label in labels], fontsize=LABEL)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(labels) - 0.4, -0.6)
