"""Strategies as images and as a page: clusters as rows, their mean map and their prototypes.

Red speaks for the explained output, blue against it, white is zero, as in `kerasexplain.visualize`. Needs the
`viz` extra.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerasexplain.evaluation.strategies.cluster import Cluster
from kerasexplain.foundation.errors import not_importable
from kerasexplain.tables import escaped
from kerasexplain.visualize import RELEVANCE, as_images

try:
    from matplotlib import colormaps
    from matplotlib.axes import Axes
    from matplotlib.colors import CenteredNorm
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
    from PIL import Image
except ImportError as error:
    raise not_importable("images need matplotlib and Pillow", "viz", error) from error

#: Up to how many values a map of one axis has a bar for each.
BARS = 48
_GREY = "0.75"

_STYLE = """
<style>
.strategies { font-family: system-ui, sans-serif; color: #000; background: #fff; line-height: 1.45 }
.strategies h1 { font-size: 1.3em; margin: 0 0 .3em }
.strategies h2 { font-size: 1.05em; margin: 1.6em 0 .2em }
.strategies p { margin: .2em 0 .6em; max-width: 50em }
.strategies img { max-width: 100%; height: auto; display: block }
.strategies .quiet { color: #555 }
</style>
"""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title></head>
<body style="max-width: 62em; margin: 2em auto; padding: 0 1em; background: #fff">
{fragment}
</body>
</html>
"""


def clusters_image(
    clusters: Sequence[Cluster],
    *,
    images: Any = None,
    count: int | None = None,
    captions: bool = True,
    cell: float = 1.2,
    dpi: int = 120,
) -> Image.Image:
    """A row for every cluster: its mean map, and its prototypes, each beside its map.

    Args:
        clusters: The clusters.
        images: All samples, indexed by where they are in the data, to be drawn instead of what the model was given;
            None for that.
        count: How many prototypes are drawn; None for all.
        captions: Whether each row says which cluster it is.
        cell: Height of an image in inches.
        dpi: Pixels per inch.

    Raises:
        ValueError: The images cannot be drawn, or there are fewer of them.
    """
    shown = [len(cluster.prototypes[:count]) for cluster in clusters]
    drawn = _inputs(clusters, shown, images)
    step = 1 if drawn is None else 2
    columns = 1 + step * max(shown)
    height, width = clusters[0].mean_map.shape[-2:] if clusters[0].mean_map.ndim > 1 else (1, 1.6)
    size = (cell * width / height * columns + 2, cell * len(clusters) + 0.6)
    figure = Figure(figsize=size, dpi=dpi, layout="compressed")
    axes = figure.subplots(len(clusters), columns, squeeze=False)
    largest = (
        max(float(np.abs(cluster.mean_map).max()) for cluster in clusters) if clusters[0].mean_map.ndim == 1 else 0
    )
    for row, cluster in enumerate(clusters):
        _draw_map(axes[row, 0], cluster.mean_map, largest)
        caption = _caption(row, cluster) if captions else ""
        axes[row, 0].set_ylabel(caption, rotation=0, ha="right", va="center", fontsize=8, labelpad=6)
        for i in range(max(shown)):
            at, map_at = axes[row, 1 + step * i], axes[row, step * (i + 1)]
            if i >= shown[row]:
                at.set_axis_off()
                map_at.set_axis_off()
                continue
            if drawn is not None:
                _draw_input(at, drawn[row][i])
            _draw_map(map_at, cluster.maps[i], 0)
            at.set_title(f"sample {cluster.prototypes[i]}", fontsize=7, pad=3, loc="left")
    axes[0, 0].set_title("mean map", fontsize=7, pad=3, loc="left")
    return _image(figure)


def overview(eigenvalues: np.ndarray, clusters: int, embedding: np.ndarray, labels: np.ndarray) -> Image.Image:
    """The eigenvalues with their gap, and the samples in two dimensions, in the colours of their clusters.

    Args:
        eigenvalues: Ascending.
        clusters: How many clusters there are.
        embedding: `(n, 2)`.
        labels: Each sample's cluster; -1 for none.
    """
    figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
    number = np.arange(1, len(eigenvalues) + 1)
    left.plot(number, eigenvalues, "o", color="0.3", markersize=4)
    if clusters < len(eigenvalues):
        left.axvspan(clusters, clusters + 1, color="#fddbc7", zorder=0, lw=0)
        left.text(clusters + 0.5, 0.98, "gap", ha="center", va="top", transform=left.get_xaxis_transform(), fontsize=8)
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_xlabel("number of the eigenvalue")
    left.set_title("eigenvalues of the normalised Laplacian", fontsize=9)
    colours = colormaps["tab10"].colors  # type: ignore[attr-defined]
    for cluster in range(clusters):
        x, y = embedding[labels == cluster].T
        right.scatter(x, y, s=12, color=colours[cluster % len(colours)], lw=0, label=f"cluster {cluster}")
    right.set_xticks([])
    right.set_yticks([])
    right.set_title("samples: near maps are near (t-SNE)", fontsize=9)
    right.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, borderaxespad=0.2)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return _image(figure)


def fragment(title: str, notes: Sequence[str], clusters: Sequence[Cluster], charts: Image.Image, images: Any) -> str:
    """HTML that needs nothing else; everything that is not markup is escaped.

    Args:
        title: What was clustered.
        notes: What is said of all clusters, a line each.
        clusters: The clusters.
        charts: What `overview` drew.
        images: As for `clusters_image`.
    """
    parts = [_STYLE, '<div class="strategies">', f"<h1>{escaped(title)}</h1>"]
    parts += [f"<p>{escaped(note)}</p>" for note in notes]
    parts.append(_img(charts, "eigenvalues, and the samples in two dimensions"))
    for number, cluster in enumerate(clusters):
        parts.append(f"<h2>cluster {number}</h2><p>{escaped(cluster_text(cluster))}</p>")
        parts.append(
            _img(
                clusters_image([cluster], images=images, captions=False), f"mean map and prototypes of cluster {number}"
            )
        )
    parts.append(
        '<p class="quiet">Maps: channels summed, pooled, each of length 1. Red speaks for the explained output, blue '
        "against it. A cluster is a question, not a finding: whether it is a shortcut, its prototypes say.</p></div>"
    )
    return "\n".join(parts)


def page(title: str, fragment: str) -> str:
    """A page of HTML around a fragment."""
    return _PAGE.format(title=escaped(title), fragment=fragment)


def cluster_text(cluster: Cluster) -> str:
    """A sentence about a cluster."""
    said = [f"{cluster.size} samples ({cluster.share:.0%})"]
    if cluster.accuracy is not None:
        said.append(f"accuracy {cluster.accuracy:.1%}")
    said.append(f"conductance {cluster.conductance:.3f}")
    if cluster.predicted:
        counts = ", ".join(f"class {index} ({count})" for index, count in list(cluster.predicted.items())[:5])
        said.append(f"predicted: {counts}")
    return "; ".join(said)


def thumbnails(maps: np.ndarray, inputs: Any, side: int) -> list[Image.Image]:
    """A square image of every sample: of the input if it can be drawn, else of its map.

    Args:
        maps: `(n, *shape)`.
        inputs: `(n, ...)`, or None for the maps.
        side: Its height and width.
    """
    if inputs is not None:
        drawn = as_images(_channels_last(np.asarray(inputs)))
    else:
        flat = [_flat(one) for one in maps]
        limits = [float(np.abs(one).max()) or 1.0 for one in flat]
        drawn = [
            Image.fromarray(RELEVANCE(CenteredNorm(halfrange=limit)(one), bytes=True)[..., :3].copy())
            for one, limit in zip(flat, limits, strict=True)
        ]
    return [image.resize((side, side), Image.Resampling.NEAREST) for image in drawn]


def _inputs(clusters: Sequence[Cluster], shown: Sequence[int], images: Any) -> list[list[Any]] | None:
    """By cluster, what is drawn of every prototype: an image, or numbers; None where nothing can be."""
    if images is None and clusters[0].inputs is None:
        return None
    rows = []
    for cluster, count in zip(clusters, shown, strict=True):
        if images is None:
            assert cluster.inputs is not None
            rows.append(list(cluster.inputs[:count]))
            continue
        if len(images) <= cluster.prototypes[:count].max():
            raise ValueError(f"images= has {len(images)} entries, but a prototype is sample {cluster.prototypes.max()}")
        rows.append([np.asarray(images[int(at)]) for at in cluster.prototypes[:count]])
    if clusters[0].mean_map.ndim == 1:
        return rows if rows[0][0].dtype.kind == "f" else None  # ids are no image
    together = _channels_last(np.stack([one for row in rows for one in row]))
    while together.ndim > 4:
        together = together[:, together.shape[1] // 2]  # the plane in the middle of a volume
    if together.ndim == 4 and together.shape[-1] not in (1, 3, 4):
        return None
    drawn = iter(as_images(together))
    return [[next(drawn) for _ in row] for row in rows]


def _channels_last(inputs: np.ndarray) -> np.ndarray:
    if inputs.ndim > 3 and keras.config.image_data_format() == "channels_first":
        return np.moveaxis(inputs, 1, -1)
    return inputs


def _flat(values: np.ndarray) -> np.ndarray:
    """A map of any rank as one of two axes: of one axis a row, of more the sum over all but the last two."""
    return values[None] if values.ndim == 1 else values.sum(axis=tuple(range(values.ndim - 2)))


def _draw_map(axes: Axes, values: np.ndarray, limit: float) -> None:
    """A map; of one axis up to the limit, or up to its own largest value."""
    _bare(axes)
    limit = limit or float(np.abs(values).max()) or 1.0
    if values.ndim > 1:
        flat = _flat(values)
        axes.imshow(flat, cmap=RELEVANCE, norm=CenteredNorm(halfrange=float(np.abs(flat).max()) or 1.0))
        return
    position = np.arange(len(values))
    for sign, colour in ((1, "#b2182b"), (-1, "#2166ac")):
        part = np.where(sign * values > 0, values, 0)
        if len(values) <= BARS:
            axes.bar(position, part, color=colour, width=0.8)
        else:
            axes.fill_between(position, part, color=colour, lw=0, step="mid")
    axes.axhline(0, color=_GREY, lw=0.6)
    axes.set_ylim(-1.05 * limit, 1.05 * limit)


def _draw_input(axes: Axes, values: Any) -> None:
    _bare(axes)
    if isinstance(values, Image.Image):
        axes.imshow(values)
    else:
        axes.plot(values, lw=0.8, marker="." if len(values) <= BARS else "")


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():  # a map is white at its edges: without a frame it would have none
        spine.set_color(_GREY)


def _caption(number: int, cluster: Cluster) -> str:
    lines = [f"cluster {number}", f"{cluster.size} samples, {cluster.share:.0%}"]
    if cluster.accuracy is not None:
        lines.append(f"accuracy {cluster.accuracy:.0%}")
    return "\n".join(lines)


def _image(figure: Figure) -> Image.Image:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return Image.open(buffer).convert("RGB")


def _img(image: Image.Image, described: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="{escaped(described)}" src="data:image/png;base64,{data}">'
