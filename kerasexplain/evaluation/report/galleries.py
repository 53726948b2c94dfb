"""Galleries of maps as HTML: images, signals, tables of numbers and ids, each as it can be looked at."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from kerasexplain import visualize
from kerasexplain.metrics.units import channel_axis
from kerasexplain.tokens import COLOURS, TokenRelevance

#: Which percentile of a map's |relevance| gets the full colour.
PERCENTILE = 99.5
#: Images are shown with at most so many pixels a side, and enlarged without smoothing if they have fewer.
LARGEST, SMALL = 224, 96
#: Signals with at most so many positions.
LONGEST = 4096
#: More features, tokens or channels than these nobody reads.
MOST_FEATURES, MOST_TOKENS, MOST_LINES = 16, 400, 4

_LINES = ("#d95f02", "#1b9e77", "#7570b3", "#e7298a")


def gallery(x: Any, maps: Mapping[str, Any], titles: Sequence[str]) -> str:
    """The maps of some samples beside what they are maps of, as HTML.

    Args:
        x: The samples, an array or a structure of them.
        maps: By analyzer, structured and shaped like x.
        titles: Of each sample.
    """
    parts = []
    for name, array in named_arrays(x).items():
        of_input = {analyzer: named_arrays(found)[name] for analyzer, found in maps.items()}
        heading = f"<h3>Input {html.escape(name)}</h3>" if name else ""
        parts.append(heading + _of_input(array, of_input, titles))
    return "".join(parts)


def named_arrays(tree: Any) -> dict[str, np.ndarray]:
    """The arrays of a structure by name: a dict's keys, or numbers; one array alone has none."""
    if isinstance(tree, Mapping):
        return {str(name): np.asarray(array) for name, array in tree.items()}
    if isinstance(tree, (list, tuple)):
        return {str(number): np.asarray(array) for number, array in enumerate(tree)}
    return {"": np.asarray(tree)}


def broken(name: str) -> str:
    """An analyzer's name, escaped, whose lines may end after its points and underscores."""
    return re.sub(r"([._:,(])(?!\d)", r"\1<wbr>", html.escape(name))


def _of_input(x: np.ndarray, maps: Mapping[str, np.ndarray], titles: Sequence[str]) -> str:
    if x.ndim == 4:
        return _images(_channels_last(x), {name: _channels_last(m) for name, m in maps.items()}, titles)
    if x.ndim == 3:
        return _signals(x, maps, titles)
    if x.ndim == 2:
        return (_tokens if x.dtype.kind in "iub" else _features)(x, maps, titles)
    return f"<p>Maps of inputs of shape {html.escape(str(x.shape[1:]))} are not drawn.</p>"


def _channels_last(array: np.ndarray) -> np.ndarray:
    return np.moveaxis(array, 1, -1) if channel_axis(array.ndim) == 1 else array


def _images(x: np.ndarray, maps: Mapping[str, np.ndarray], titles: Sequence[str]) -> str:
    note = ""
    if x.shape[-1] not in (1, 3, 4):
        note = f"<p>The input is shown as the mean of its {x.shape[-1]} channels.</p>"
        x = x.mean(axis=-1, keepdims=True)
    inputs = visualize.as_images(x)
    columns = {name: visualize.heatmap(m, percentile=PERCENTILE) for name, m in maps.items()}
    head = "".join(f'<th scope="col">{broken(name)}</th>' for name in columns)
    rows = []
    for row, title in enumerate(titles):
        cells = "".join(f"<td>{_img(found[row], f'map of {name}, {title}')}</td>" for name, found in columns.items())
        shown = f"<td>{_img(inputs[row], f'{title}, as it is')}</td>"
        rows.append(f'<tr><th scope="row">{html.escape(title)}</th>{shown}{cells}</tr>')
    head = f'<tr><td></td><th scope="col">the sample</th>{head}</tr>'
    table = f"<table class=gallery><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
    return note + _wide(table, "maps") + _legend(f"each map up to its own {PERCENTILE:g}th percentile of |relevance|")


def _signals(x: np.ndarray, maps: Mapping[str, np.ndarray], titles: Sequence[str]) -> str:
    strips = {name: visualize.heatmap(m[:, None], percentile=PERCENTILE) for name, m in maps.items()}
    parts = []
    for i, title in enumerate(titles):
        rows = [f'<tr><th scope="row">the sample</th><td>{_lines(x[i], title)}</td></tr>']
        for name, images in strips.items():
            strip = _img(images[i], f"map of {name}, {title}", LONGEST)
            rows.append(f'<tr><th scope="row">{broken(name)}</th><td>{strip}</td></tr>')
        parts.append(f"<h3>{html.escape(title)}</h3>" + _wide(f"<table class=strips>{''.join(rows)}</table>", title))
    more = x.shape[-1] - MOST_LINES
    note = f"<p>Of the input, {MOST_LINES} of {x.shape[-1]} channels are drawn.</p>" if more > 0 else ""
    told = f"channels summed; each map up to its own {PERCENTILE:g}th percentile of |relevance|"
    return note + "".join(parts) + _legend(told)


def _lines(signal: np.ndarray, title: str) -> str:
    """A signal, `(length, channels)`, as lines on the same axis as its maps."""
    length = len(signal)
    low, high = float(signal.min()), float(signal.max())
    heights = 4 + 92 * (high - signal.astype("float64")) / ((high - low) or 1.0)
    lines = []
    for channel, colour in zip(range(signal.shape[1]), _LINES, strict=False):
        points = " ".join(f"{i + 0.5:g},{y:.2f}" for i, y in enumerate(heights[:, channel]))
        lines.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5" '
            'vector-effect="non-scaling-stroke"/>'
        )
    said = html.escape(f"{title}, as it is, from {low:.3g} to {high:.3g}")
    box = f'viewBox="0 0 {length} 100" preserveAspectRatio="none" role="img" aria-label="{said}"'
    return f"<svg {box}><title>{said}</title>{''.join(lines)}</svg>"


def _features(x: np.ndarray, maps: Mapping[str, np.ndarray], titles: Sequence[str]) -> str:
    """A table for each sample: the features, and what each analyzer says of them."""
    parts = []
    for i, title in enumerate(titles):
        rows = {name: np.asarray(m[i], "float64") for name, m in maps.items()}
        shown = np.arange(x.shape[1])
        note = ""
        if len(shown) > MOST_FEATURES and rows:
            shown = np.sort(np.argsort(-np.abs(next(iter(rows.values()))), kind="stable")[:MOST_FEATURES])
            note = f"<p>The {MOST_FEATURES} most relevant of {x.shape[1]} features by {broken(next(iter(rows)))}.</p>"
        colours = {name: TokenRelevance(("",) * len(row), row).colours for name, row in rows.items()}
        head = "".join(f'<th scope="col">{broken(name)}</th>' for name in rows)
        body = "".join(
            f'<tr><th scope="row">feature {f}</th><td>{x[i, f]:.4g}</td>'
            + "".join(_coloured("td", f"{row[f]:.3g}", colours[name][f]) for name, row in rows.items())
            + "</tr>"
            for f in shown
        )
        table = (
            f'<table class=cells><thead><tr><td></td><th scope="col">value</th>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table>"
        )
        parts.append(f"<h3>{html.escape(title)}</h3>{note}" + _wide(table, title))
    return "".join(parts) + _legend("each map up to its own largest |relevance|")


def _tokens(x: np.ndarray, maps: Mapping[str, np.ndarray], titles: Sequence[str]) -> str:
    """A line of ids for each sample and analyzer, coloured by their relevance."""
    parts = []
    for i, title in enumerate(titles):
        words = tuple(str(token) for token in x[i, :MOST_TOKENS])
        rows = []
        for name, m in maps.items():
            tokens = TokenRelevance(words, np.asarray(m[i, :MOST_TOKENS], "float64"))
            line = "".join(_coloured("span", word, c) for word, c in zip(words, tokens.colours, strict=True))
            rows.append(f'<tr><th scope="row">{broken(name)}</th><td>{line}</td></tr>')
        left_out = x.shape[1] - len(words)
        note = f"<p>The first {MOST_TOKENS} of {x.shape[1]} ids.</p>" if left_out > 0 else ""
        parts.append(
            f"<h3>{html.escape(title)}</h3>{note}" + _wide(f"<table class=tokens>{''.join(rows)}</table>", title)
        )
    return "".join(parts) + _legend("each map up to its own largest |relevance|")


def _coloured(element: str, text: str, colours: tuple[str, str]) -> str:
    ink, ground = colours
    return f'<{element} style="color:{ink};background:{ground}">{html.escape(text)}</{element}>'


def _img(image: Image.Image, alt: str, largest: int = LARGEST) -> str:
    """An image within the page."""
    small = max(image.size) <= SMALL
    if max(image.size) > largest:
        image = image.copy()
        image.thumbnail((largest, largest), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "png", optimize=True)
    source = base64.b64encode(buffer.getvalue()).decode()
    kind = " class=small" if small else ""
    return (
        f'<img{kind} src="data:image/png;base64,{source}" alt="{html.escape(alt)}" '
        f'width="{image.width}" height="{image.height}">'
    )


def _legend(told: str) -> str:
    gradient = ", ".join(COLOURS)
    return (
        f'<p class=legend><span>against</span><span class=bar style="background:linear-gradient(to right, {gradient})" '
        f'role="img" aria-label="from blue, against, over white, zero, to red, for"></span><span>for the explained '
        f"output; {html.escape(told)}</span></p>"
    )


def _wide(table: str, what: str) -> str:
    """A table that may be wider than the page, and can then be moved by the keyboard, too."""
    return f'<div class=wide tabindex=0 role=region aria-label="{html.escape(what)}">{table}</div>'
