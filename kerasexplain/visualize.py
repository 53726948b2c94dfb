"""Relevance as images: heatmaps, overlays on the input, and grids that compare analyzers.

Red speaks for the explained output, blue against it, white is zero; the range is symmetric, so that equal strength
looks equally strong on both sides. Images have shape `(samples, height, width[, channels])`, and every function
returns Pillow images. Needs the `viz` extra.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerasexplain.foundation.errors import not_importable
from kerasexplain.tokens import COLOURS

try:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import CenteredNorm, Colormap, LinearSegmentedColormap
    from matplotlib.figure import Figure
    from PIL import Image, ImageColor, ImageDraw, ImageOps
except ImportError as error:
    raise not_importable("images need matplotlib and Pillow", "viz", error) from error

#: ColorBrewer's red to blue with an exactly white middle. The lightness falls evenly and equally on both sides, and
#: neighbouring steps differ at most 2:1 (CIEDE2000), where "seismic" has 5:1 and its blue ends much darker than its
#: red. Matplotlib's perceptually uniform diverging maps (berlin, managua, vanimo) are dark in the middle: unfit here.
# An odd number of colours, so that one of them is the middle.
RELEVANCE = LinearSegmentedColormap.from_list("relevance", COLOURS, N=257)


def heatmap(
    relevance: Any, *, cmap: str | Colormap = RELEVANCE, scale: float | None = None, percentile: float = 100.0
) -> list[Image.Image]:
    """One heatmap per sample, a pixel per value; channels are summed.

    Args:
        relevance: `(samples, height, width)` or `(samples, height, width, channels)`. It is not changed.
        cmap: A matplotlib colour map, or its name. Zero is at its middle: exactly white in the default map.
        scale: The |relevance| that gets the full colour; None finds one for every sample.
        percentile: Which percentile of a sample's |relevance| gets the full colour, where `scale` is None. 100 is
            the largest; 99.5 keeps a few strong pixels of a large photograph from bleaching the others.

    Raises:
        ValueError: The relevance is not that of images, or is not finite; or an option has no legal value.

    Example:
        >>> heatmap(analyzer.analyze(images))[0].save("relevance.png")
    """
    maps = _maps(relevance)
    return [_coloured(m, limit, cmap) for m, limit in zip(maps, _limits(maps, scale, percentile), strict=True)]


def overlay(
    images: Any,
    relevance: Any,
    *,
    grey: bool = True,
    cmap: str | Colormap = RELEVANCE,
    scale: float | None = None,
    percentile: float = 100.0,
) -> list[Image.Image]:
    """Relevance over the images it belongs to: the stronger it is, the less of the image shows through.

    Args:
        images: `(samples, height, width[, channels])` with 1, 3 or 4 channels: bytes are pixels, other numbers are
            taken as they are where all are in 0..1 and stretched to that otherwise.
        relevance: As for `heatmap`, of the same height and width.
        grey: Whether the image loses its own colours, which could be taken for relevance.
        cmap, scale, percentile: As for `heatmap`.

    Raises:
        ValueError: As for `heatmap`, or images and relevance do not fit together.
    """
    drawn = as_images(images)
    maps = _maps(relevance)
    if len(drawn) != len(maps) or drawn[0].size != maps.shape[:0:-1]:
        raise ValueError(
            f"{len(drawn)} images of (width, height) {drawn[0].size} do not fit {len(maps)} maps of {maps.shape[:0:-1]}"
        )
    result = []
    for image, m, limit in zip(drawn, maps, _limits(maps, scale, percentile), strict=True):
        below = ImageOps.grayscale(image).convert("RGB") if grey else image
        opacity = np.minimum(np.abs(m) / limit, 1.0)
        mask = Image.fromarray(np.round(255 * opacity).astype(np.uint8))
        result.append(Image.composite(_coloured(m, limit, cmap), below, mask))
    return result


def strip(images: Sequence[Image.Image], *, smallest: int = 96, gap: int = 4) -> Image.Image:
    """Images side by side on white.

    Args:
        images: At least one image.
        smallest: Height in pixels below which images are enlarged, by an integer factor and without smoothing.
        gap: Pixels between them.

    Raises:
        ValueError: There is no image.
    """
    if not images:
        raise ValueError("there is no image to put into the strip")
    factor = max(1, -(-smallest // max(image.height for image in images)))
    enlarged = [ImageOps.scale(image, factor, Image.Resampling.NEAREST) for image in images]
    width = sum(image.width for image in enlarged) + gap * (len(enlarged) - 1)
    result = Image.new("RGB", (width, max(image.height for image in enlarged)), "white")
    left = 0
    for image in enlarged:
        result.paste(image, (left, 0))
        left += image.width + gap
    return result


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
    percentile: float = 100.0,
) -> Image.Image:
    """A table of images: a row per sample, and beside the input a column per analyzer.

    Args:
        images: As for `overlay`.
        relevances: Relevance as for `heatmap`, by the heading of its column.
        labels: What is written to the left of each row.
        over: Whether relevance is drawn over the grey image instead of on white.
        cell: Height of an image in inches.
        dpi: Pixels per inch.
        cmap, scale, percentile: As for `heatmap`.

    Raises:
        ValueError: As for `heatmap`, or the numbers of images, relevances and labels differ.

    Example:
        >>> relevances = {name: create_analyzer(name, model).analyze(images) for name in ("gradient", "lrp.z_plus")}
        >>> grid(images, relevances, labels=["cat", "dog"]).save("comparison.png")
    """
    drawn = as_images(images)
    labels = [""] * len(drawn) if labels is None else labels
    if len(labels) != len(drawn):
        raise ValueError(f"there are {len(drawn)} images, but {len(labels)} labels")
    columns: list[tuple[str, list[Image.Image]]] = [("input", drawn)]  # which relevance may have for a name, too
    for name, relevance in relevances.items():
        options: dict[str, Any] = {"cmap": cmap, "scale": scale, "percentile": percentile}
        maps = overlay(images, relevance, **options) if over else heatmap(relevance, **options)
        if len(maps) != len(drawn):
            raise ValueError(f"there are {len(drawn)} images, but {len(maps)} maps under {name!r}")
        columns.append((name, maps))

    width = cell * drawn[0].width / drawn[0].height
    # Room for the writing, so that cells keep their size; what of it stays empty is cut off in the end.
    size = (width * len(columns) + 2, cell * len(drawn) + 1.2)
    figure = Figure(figsize=size, dpi=dpi, layout="compressed")
    axes = figure.subplots(len(drawn), len(columns), squeeze=False)
    for column, (name, shown) in enumerate(columns):
        axes[0, column].set_title(_heading(name, width), fontsize=9)
        for row, image in enumerate(shown):
            _show(axes[row, column], image)
    for row, label in enumerate(labels):
        axes[row, 0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9, labelpad=6)
    if relevances:
        _colour_bar(figure, axes, cmap, scale, percentile)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return Image.open(buffer).convert("RGB")


def links(
    images: Any, others: Any, left: np.ndarray, right: np.ndarray, relevance: np.ndarray, *, smallest: int = 192
) -> Image.Image:
    """Pairs of images side by side, with lines between points that belong together: the stronger, the more opaque.

    Args:
        images: The left ones, as for `overlay`.
        others: The right ones, as many.
        left: Row and column of the left end of each line, in pixels of the image, `(samples, k, 2)`.
        right: Those of the right end.
        relevance: Of each line, `(samples, k)`: red speaks for, blue against.
        smallest: Height in pixels below which images are enlarged, by an integer factor.

    Raises:
        ValueError: As for `overlay`, or the numbers of images and lines differ.
    """
    ones, twos = as_images(images), as_images(others)
    if not len(ones) == len(twos) == len(left) == len(right) == len(relevance):
        raise ValueError(f"there are {len(ones)} and {len(twos)} images, but lines for {len(relevance)} pairs of them")
    rows = []
    for one, two, begins, ends, strengths in zip(ones, twos, left, right, relevance, strict=True):
        beside = strip([ImageOps.grayscale(image).convert("RGB") for image in (one, two)], smallest=smallest)
        factor = beside.height // max(one.height, two.height)
        shift = beside.width - two.width * factor
        drawing = Image.new("RGBA", beside.size)
        draw = ImageDraw.Draw(drawing)
        limit = np.abs(strengths).max() or 1.0
        for i in np.argsort(np.abs(strengths), kind="stable"):  # the strongest on top
            (y, x), (v, u) = begins[i] * factor, ends[i] * factor
            red, green, blue, *_ = ImageColor.getrgb(COLOURS[-2] if strengths[i] > 0 else COLOURS[1])
            opacity = int(255 * abs(strengths[i]) / limit)
            draw.line([(x, y), (u + shift, v)], fill=(red, green, blue, opacity), width=2)
        rows.append(Image.alpha_composite(beside.convert("RGBA"), drawing).convert("RGB"))
    below = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), "white")
    for i, row in enumerate(rows):
        below.paste(row, (0, sum(above.height for above in rows[:i])))
    return below


def _heading(name: str, width: float) -> str:
    # An analyzer's name has no spaces: lines may end after its points and underscores. 14 characters fill an inch.
    lines = [""]
    for part in re.findall(r"[^._ ]*[._ ]?", name):
        if lines[-1] and len(lines[-1] + part) > 14 * width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _show(axes: Any, image: Image.Image) -> None:
    axes.imshow(image)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():  # a map is white at its edges: without a frame it would have none
        spine.set_color("0.75")


def _colour_bar(figure: Figure, axes: Any, cmap: str | Colormap, scale: float | None, percentile: float) -> None:
    limit = 1.0 if scale is None else scale
    mappable = ScalarMappable(CenteredNorm(halfrange=limit), cmap)
    ticks = [-limit, 0, limit]
    pad = 0.15 / figure.get_size_inches()[1]  # a share of the height: the same gap however many rows there are
    bar = figure.colorbar(mappable, ax=axes, location="bottom", shrink=0.5, aspect=30, pad=pad, ticks=ticks)
    if scale is None:
        strongest = "largest |relevance|" if percentile == 100 else f"{percentile:g}th percentile of |relevance|"
        bar.set_ticklabels(["against", "0", "for"])
        bar.set_label(f"each map up to its own {strongest}", fontsize=8)
    bar.ax.tick_params(labelsize=8, length=0)
    bar.outline.set_visible(False)


def _maps(relevance: Any) -> np.ndarray:
    """Relevance as `(samples, height, width)` in float64, summed over channels."""
    maps = _numbers(relevance, "relevance").astype(np.float64)
    return maps.sum(axis=-1) if maps.ndim == 4 else maps


def _numbers(values: Any, what: str) -> np.ndarray:
    expected = f"{what} must be that of images, (samples, height, width) or (samples, height, width, channels)"
    if isinstance(values, Mapping):
        raise ValueError(f"{expected}; got a dict with {list(values)}: pass one of its entries")
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{expected}; got arrays of different shapes: pass one of them") from None
    if array.dtype.kind not in "biuf" and array.dtype != "bfloat16":
        raise ValueError(f"{expected}, in real numbers; got {array.dtype} ({type(values).__name__})")
    if array.ndim not in (3, 4):
        raise ValueError(f"{expected}; got shape {array.shape}")
    if array.ndim == 3 and array.shape[2] <= 4 and array.shape[1] > 8 * array.shape[2]:
        hint = "it looks like one image without its first axis, the samples, or like signals of one dimension"
        raise ValueError(f"{expected}; got shape {array.shape}: {hint}")
    if array.size == 0:
        raise ValueError(f"{expected}; got the empty shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{what} holds values that are NaN or infinite")
    return array


def _limits(maps: np.ndarray, scale: float | None, percentile: float) -> list[float]:
    """Per sample, the |relevance| that gets the full colour; never zero."""
    if scale is not None and not 0 < scale < np.inf:
        raise ValueError(f"scale must be a positive number or None, got {scale!r}")
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile must be above 0 and at most 100, got {percentile!r}")
    if scale is not None:
        return [float(scale)] * len(maps)
    # Where most values are exactly zero, so may be the percentile: the largest value serves then, if there is one.
    strength = [np.abs(m) for m in maps]
    return [float(np.percentile(s, percentile) or s.max() or 1.0) for s in strength]


def _coloured(m: np.ndarray, limit: float, cmap: str | Colormap) -> Image.Image:
    colours = ScalarMappable(CenteredNorm(halfrange=limit), cmap).to_rgba(m, bytes=True)
    return Image.fromarray(np.ascontiguousarray(colours[..., :3]))


def as_images(images: Any) -> list[Image.Image]:
    """Arrays as images that can be looked at."""
    if isinstance(images, Sequence) and all(isinstance(image, Image.Image) for image in images):
        images = [np.asarray(image.convert("RGB")) for image in images]
    pixels = _numbers(images, "images")
    if pixels.ndim == 4:
        if pixels.shape[-1] not in (1, 3, 4):
            raise ValueError(f"images have 1, 3 or 4 channels, got shape {pixels.shape}")
        pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float64)
        low, high = min(pixels.min(), 0.0), max(pixels.max(), 1.0)
        if (low, high) != (0.0, 1.0):
            low, high = pixels.min(), pixels.max()
        pixels = np.round(255 * (pixels - low) / ((high - low) or 1.0)).astype(np.uint8)
    return [Image.fromarray(image).convert("RGB") for image in pixels]
