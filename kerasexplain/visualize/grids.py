"""Grids of images that compare analyzers."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from PIL import Image

from kerasexplain.foundation.text import in_figure
from kerasexplain.visualize.images import as_images, heatmap, overlay
from kerasexplain.visualize.palette import RELEVANCE, colour_bar, usual_percentile

#: How many rows there are at most: laying them out takes time by the square of their number.
_MOST = 100
#: How many times as wide as `cell` a column is at most.
_WIDEST = 6


def grid(
    images: Any,
    relevances: Mapping[str, Any],
    *,
    labels: Sequence[str] | None = None,
    over: bool = False,
    cell: float = 1.3,
    dpi: int = 120,
    cmap: str | Colormap = RELEVANCE,
    scale: float | None = None,
    percentile: float | None = None,
) -> Image.Image:
    """A table of images: a row per sample, and beside the input a column per analyzer.

    Args:
        images: As for `overlay`.
        relevances: Relevance as for `heatmap`, by the heading of its column.
        labels: What is written to the left of each row.
        over: Whether relevance is drawn over the grey image instead of on white.
        cell: Height of an image in inches; of one more than six times as wide as high, a sixth of its width.
        dpi: Pixels per inch.
        cmap, scale, percentile: As for `heatmap`.

    Raises:
        ValueError: As for `heatmap`, or the numbers of images, relevances and labels differ, or there are more than 100
            images.
        TypeError: The relevances have no headings.

    Example:
        >>> relevances = {name: create_analyzer(name, model).analyze(images) for name in ("gradient", "lrp.z_plus")}
        >>> grid(images, relevances, labels=["cat", "dog"]).save("comparison.png")
    """
    if not isinstance(relevances, Mapping):
        raise TypeError(
            "grid takes relevances by the headings of their columns, such as {'lrp.epsilon': relevance}; got "
            f"{type(relevances).__name__}"
        )
    drawn = as_images(images)
    labels = [""] * len(drawn) if labels is None else labels
    if len(drawn) > _MOST:
        raise ValueError(f"a grid has at most {_MOST} rows, and there are {len(drawn)} images: pass some of them")
    if len(labels) != len(drawn):
        raise ValueError(f"there are {len(drawn)} images, but {len(labels)} labels")
    columns: list[tuple[str, list[Image.Image]]] = [("input", drawn)]  # which relevance may have for a name, too
    for name, relevance in relevances.items():
        options: dict[str, Any] = {"cmap": cmap, "scale": scale, "percentile": percentile}
        maps = overlay(images, relevance, **options) if over else heatmap(relevance, **options)
        if len(maps) != len(drawn):
            raise ValueError(f"there are {len(drawn)} images, but {len(maps)} maps under {name!r}")
        columns.append((name, maps))

    aspect = drawn[0].width / drawn[0].height
    width = cell * min(aspect, _WIDEST)
    cell = width / aspect
    # Room for the writing, so that cells keep their size; what of it stays empty is cut off in the end.
    size = (width * len(columns) + 2, cell * len(drawn) + 1.2)
    figure = Figure(figsize=size, dpi=dpi, layout="compressed")
    axes = figure.subplots(len(drawn), len(columns), squeeze=False)
    for column, (name, shown) in enumerate(columns):
        axes[0, column].set_title(in_figure(_heading(name, width)), fontsize=9)
        for row, image in enumerate(shown):
            show(axes[row, column], image)
    for row, label in enumerate(labels):
        axes[row, 0].set_ylabel(in_figure(label), rotation=0, ha="right", va="center", fontsize=9, labelpad=6)
    if relevances:
        sizes = [image.width * image.height for _, (image, *_) in columns[1:]]
        used = {usual_percentile(size) if percentile is None else percentile for size in sizes}
        colour_bar(figure, axes, cmap, scale, used.pop() if len(used) == 1 else None)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return Image.open(buffer).convert("RGB")


def _heading(name: str, width: float) -> str:
    # An analyzer's name has no spaces: lines may end after its points and underscores. 14 characters fill an inch.
    lines = [""]
    for part in re.findall(r"[^._ ]*[._ ]?", name):
        if lines[-1] and len(lines[-1] + part) > 14 * width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def show(axes: Any, image: Image.Image) -> None:
    """An image in axes without ticks, and with a frame."""
    axes.imshow(image)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():  # a map is white at its edges: without a frame it would have none
        spine.set_color("0.75")
