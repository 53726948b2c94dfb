"""One figure for all inputs of a model: a panel for each, of the kind that its data are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from kerasexplain.features import (
    entries_of,
    features_of,
    is_binary,
    is_code,
    is_one_feature,
    named_columns,
    ranked,
    values_of,
    values_of_one,
)
from kerasexplain.foundation.arrays import channels_last, check_sample, is_signal
from kerasexplain.foundation.checks import check_choice
from kerasexplain.foundation.errors import nearest
from kerasexplain.foundation.text import in_figure
from kerasexplain.frames import aligned, column_names, is_frame
from kerasexplain.tokens import token_relevances
from kerasexplain.visualize.curves import signals
from kerasexplain.visualize.figures import LABEL, SMALL, TITLE, new_figure
from kerasexplain.visualize.grids import show
from kerasexplain.visualize.images import as_images, heatmap, overlay
from kerasexplain.visualize.palette import RELEVANCE, colour_bar, usual_percentile
from kerasexplain.visualize.tables import bar
from kerasexplain.visualize.volumes import slices
from kerasexplain.visualize.words import LINE_HEIGHT, draw_words, line_count

#: The kinds of data that there are pictures of.
KINDS = ("table", "signal", "image", "volume", "text")
_WIDTH = 7.2


@dataclasses.dataclass(frozen=True)
class Panel:
    """A part of a figure.

    Attributes:
        height: In inches.
        draw: Draws it in a figure, or in a part of one.
    """

    height: float
    draw: Callable[[Any], None]


def figure(
    relevance: Any,
    x: Any = None,
    *,
    names: Any = None,
    kinds: str | Mapping[str, str] | None = None,
    tokens: Any = None,
    sample: int = 0,
    title: str | None = None,
) -> Figure:
    """The relevance of a sample: bars of a table, a curve of a signal, maps of images and volumes, words of text.

    Args:
        relevance: Of one input, or of several as a dict or list.
        x: The inputs, in the same structure; a table may be a DataFrame.
        names: Of features or channels, as a list; of several inputs a dict of lists, where one text is the name of an
            input whose columns are one feature; or a `keras.utils.FeatureSpace`.
        kinds: "table", "signal", "image", "volume" or "text"; of several inputs a dict, which may leave inputs out.
            None goes by the shape: two axes are a table, or text where x has integers; three are a signal where time
            is at least four times as long as there are channels, and else an image; four are an image, five a volume.
        tokens: The words of text, a list of strings for each sample; of several inputs a dict of such lists.
        sample: Which one.
        title: What is written above.

    Raises:
        ValueError: An input is of no kind that can be drawn, or what was passed does not fit.
    """
    names = named_columns(names)
    entries = entries_of(relevance)
    whole_is_one = entries is None
    entries = {"input": relevance} if entries is None else entries
    arrays = {name: np.asarray(entry) for name, entry in entries.items()}
    for name, array in arrays.items():
        if array.ndim == 0:
            raise ValueError(f"relevance of input {name!r} must have samples for its first axis; it is one number")
        check_sample(sample, len(array))
    named, called = _by_input(names, arrays, "names"), _by_input(tokens, arrays, "tokens")
    wanted = dict.fromkeys(arrays, kinds) if isinstance(kinds, str) else _by_input(kinds, arrays, "kinds")
    given = {name: (values_of if len(arrays) > 1 else values_of_one)(x, name) for name in arrays}
    for name, entry in entries.items():
        given[name] = aligned(entry, given[name])
        if is_frame(entry) and name not in named:
            named[name] = column_names(entry.columns)
    found = {
        name: wanted.get(name) or _kind(name, array, given[name], called, name in named)
        for name, array in arrays.items()
    }
    for kind in found.values():
        check_choice("kinds", kind, KINDS)

    panels = []
    single = [
        name
        for name, kind in found.items()
        if kind == "table" and _is_feature(arrays[name], given[name], named.get(name))
    ]
    if len(single) > 1:
        values = None if x is None else {name: given[name] for name in single}
        told = {name: named[name] for name in single if name in named}
        panels.append(_of_table({name: arrays[name] for name in single}, values, told, sample, ""))
    for name, kind in found.items():
        if len(single) > 1 and name in single:
            continue
        heading = name if len(arrays) > 1 else ""
        array, held, columns = arrays[name], given[name], named.get(name)
        if kind == "table" and whole_is_one:
            panels.append(_of_table(array if array.ndim > 1 else array[:, None], held, columns, sample, heading))
        elif kind == "table":
            values = None if held is None else {name: held}
            told = {} if columns is None else {name: columns}
            panels.append(_of_table({name: array}, values, told or None, sample, heading))
        elif kind == "signal":
            panels.append(_of_signal(array, held, columns, sample, heading))
        elif kind == "text":
            panels.append(_of_text(name, array, called, sample, heading))
        else:
            draw = _of_image if kind == "image" else _of_volume
            panels.append(draw(channels_last(array), None if held is None else channels_last(held), sample, heading))

    whole = new_figure(_WIDTH, sum(panel.height for panel in panels) + (0.35 if title else 0.0))
    parts = whole.subfigures(len(panels), 1, squeeze=False, height_ratios=[panel.height for panel in panels])[:, 0]
    for part, panel in zip(parts, panels, strict=True):
        panel.draw(part)
    if title:
        whole.suptitle(in_figure(title), fontsize=TITLE)
    return whole


def _by_input(told: Any, arrays: Mapping[str, Any], what: str) -> dict[str, Any]:
    """By input what was told of it."""
    if told is None:
        return {}
    if not isinstance(told, Mapping):
        if len(arrays) > 1:
            raise ValueError(f"the model has several inputs: {what} must be a dict by input, of {list(arrays)}")
        return {next(iter(arrays)): told}
    unknown = [name for name in told if name not in arrays]
    if unknown:
        raise ValueError(f"{what} has an entry for {unknown[0]!r}, which is no input.{nearest(unknown[0], arrays)}")
    return dict(told)


def _kind(name: str, relevance: np.ndarray, x: Any, tokens: Mapping[str, Any], is_named: bool) -> str:
    """The kind of data that an input is, by its shape."""
    if name in tokens:
        return "text"
    if relevance.ndim <= 2:
        is_ids = relevance.ndim == 2 and relevance.shape[1] > 1 and getattr(x, "dtype", np.dtype(float)).kind in "iu"
        return "text" if is_ids and not is_named and not is_binary(x) else "table"
    if relevance.ndim == 3:
        return "signal" if is_signal(relevance.shape) else "image"
    if relevance.ndim > 5:
        raise ValueError(
            f"relevance of input {name!r} has shape {relevance.shape}: there are pictures of tables (2 axes), signals "
            "(3), images (3 or 4) and volumes (5); sum over axes, or choose a part"
        )
    return "image" if relevance.ndim == 4 else "volume"


def _is_feature(relevance: np.ndarray, x: Any, names: Any) -> bool:
    """Whether an input is one feature, perhaps in a one-hot code: those of several inputs are drawn in one panel.

    The values do not count: flags that exclude each other in one batch do not in the next.
    """
    if relevance.ndim > 2:
        return False
    if names is not None:
        return is_one_feature(names)
    return relevance.ndim == 1 or relevance.shape[1] == 1 or is_code(relevance, x)


def _of_table(relevance: Any, x: Any, names: Any, sample: int, heading: str) -> Panel:
    shown, others = ranked(features_of(relevance, x, names).relevance[sample], 12)

    def draw(figure: Any) -> None:
        bar(relevance, x, names=names, sample=sample, ax=figure.subplots(), title=heading or None)

    return Panel(0.95 + 0.27 * (len(shown) + bool(others)), draw)


def _of_signal(relevance: np.ndarray, x: Any, names: Any, sample: int, heading: str) -> Panel:
    curves = relevance if x is None else x
    count = relevance.shape[2] if relevance.ndim == 3 else 1

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        signals(curves, relevance, channels=names, samples=sample, ax=axes)
        axes.set_title(in_figure(heading), fontsize=LABEL)
        if x is None:  # then that is all there is to draw
            axes.set_ylabel("relevance", fontsize=LABEL)

    return Panel(2.4 if count == 1 else 1.6 + 0.55 * count, draw)


def _of_image(relevance: np.ndarray, x: Any, sample: int, heading: str) -> Panel:
    one = slice(sample, sample + 1)
    maps = heatmap(relevance[one])
    drawn = [("relevance", maps[0])]
    if x is not None:
        images, name = np.asarray(x)[one], "input"
        if images.ndim == 4 and images.shape[-1] not in (1, 3, 4):  # which colours have
            images, name = images.mean(axis=-1), f"input, mean of {images.shape[-1]} channels"
        drawn = [(name, as_images(images)[0]), *drawn, ("both", overlay(images, relevance[one])[0])]

    def draw(figure: Any) -> None:
        axes = figure.subplots(1, len(drawn), squeeze=False)[0]
        for ax, (name, image) in zip(axes, drawn, strict=True):
            show(ax, image)
            ax.set_title(in_figure(name), fontsize=SMALL)
        colour_bar(figure, list(axes), RELEVANCE, None, usual_percentile(maps[0].width * maps[0].height))
        figure.suptitle(in_figure(heading), fontsize=LABEL)

    height = maps[0].height / maps[0].width * _WIDTH / len(drawn)
    return Panel(1.15 + min(max(height, 1.0), 2.6), draw)


def _of_volume(relevance: np.ndarray, x: Any, sample: int, heading: str) -> Panel:
    count = min(6, relevance.shape[1])

    def draw(figure: Any) -> None:
        slices(x, relevance, count=count, sample=sample, ax=figure.subplots(1, count, squeeze=False)[0])
        figure.suptitle(in_figure(heading), fontsize=LABEL)

    return Panel(2.3, draw)


def _of_text(name: str, relevance: np.ndarray, tokens: Mapping[str, Any], sample: int, heading: str) -> Panel:
    if name not in tokens:
        raise ValueError(
            f"input {name!r} is text: pass tokens=, a list of words for each sample (with several inputs in a dict, "
            f"tokens={{{name!r}: ...}}); if its integers are features, pass kinds={{{name!r}: 'table'}}"
        )
    words = token_relevances(relevance, tokens[name], titles=[""] * len(relevance))[sample]
    lines = line_count(words)

    def draw(figure: Any) -> None:
        ax = figure.subplots()
        draw_words(ax, words)
        ax.set_title(in_figure(heading), fontsize=LABEL)

    return Panel(0.25 + LINE_HEIGHT * lines + (0.25 if heading else 0.0), draw)
