"""Figures of a report: drawings that take the colours of the page they stand in, light or dark."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping, Sequence

import numpy as np

from kerasexplain.evaluation import plots
from kerasexplain.foundation.errors import not_importable
from kerasexplain.metrics.scores import Paired, Scores

try:
    import matplotlib
    from matplotlib.figure import Figure
except ImportError as error:
    raise not_importable("figures of reports need matplotlib", "metrics", error) from error

#: Stands for the colour of text until the drawing is in its page.
_INK = "#010203"
#: The colour of controls in `plots`.
_GREY = "#595959"
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor"), _INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), _INK),
}


def curves(scores: Sequence[Scores], name: str) -> str:
    """The mean curves of analyzers under one metric, as a figure of HTML.

    Args:
        scores: Of each analyzer.
        name: Of the drawing, unlike that of any other on the page.

    Raises:
        ValueError: The metric has no curves.
    """
    metric = scores[0].metric
    ends = ", ".join(f"{each.analyzer} ends at {_last(each):.3g}" for each in scores)
    told = f"Mean curves of {len(scores)} analyzers under {metric.label}: {ends}."
    with matplotlib.rc_context(_STYLE):
        figure = plots.curves(scores)
        figure.axes[0].set_title("")
        figure.set_size_inches(9, 4.4)
        return _figure(figure, name, told, "Mean over the samples; the band is one standard error.")


def differences(pairs: Mapping[str, Paired], label: str, name: str) -> str:
    """Every analyzer's scores less those of `random`, with their intervals, as a figure of HTML.

    Args:
        pairs: By analyzer, the first above.
        label: Of the metric.
        name: Of the drawing, unlike that of any other on the page.
    """
    known = {analyzer: pair for analyzer, pair in pairs.items() if np.isfinite(pair.mean)}
    direction = next(iter(pairs.values())).better
    side = "right" if direction == "higher" else "left"
    clear = [analyzer for analyzer, pair in known.items() if pair.verdict == "better"]
    told = (
        f"Scores under {label} less those of random, mean and 95% interval: "
        f"{', '.join(f'{analyzer} {pair.mean:+.3g}' for analyzer, pair in known.items())}. "
        f"Clearly better than random: {', '.join(clear) or 'none'}."
    )
    marks = {"better": ("o", "#17853f"), "worse": ("X", "#cc4437"), "unclear": ("o", _GREY)}
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(9, 1.1 + 0.27 * len(known)), layout="constrained")
        ax = figure.subplots()
        for row, pair in enumerate(known.values()):
            marker, colour = marks[pair.verdict]
            filled = "none" if pair.verdict == "unclear" else colour
            if np.isfinite(pair.low):
                ax.plot([pair.low, pair.high], [row, row], color=colour, linewidth=1.6)
            ax.plot([pair.mean], [row], marker, color=colour, markerfacecolor=filled, markersize=6)
        ax.axvline(0, color=_INK, linewidth=0.8)
        ax.set_yticks(range(len(known)), list(known), fontsize=9)
        ax.set_ylim(len(known) - 0.4, -0.6)
        ax.set_xlabel(f"difference to random, mean and 95% interval: further {side} is better")
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x", color=_GREY, alpha=0.25, linewidth=0.6)
        note = "A filled mark: the interval leaves 0 out. A cross: worse than random. An open one: it is not clear."
        return _figure(figure, name, told, note)


def _last(scores: Scores) -> float:
    return float(np.nanmean(next(iter(scores.curves.values()))[:, -1]))


def _figure(figure: Figure, name: str, told: str, note: str) -> str:
    """A drawing as a part of a page: ids of its own, colours of the page, and words for those who cannot see it."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(
            buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.S)
    drawing = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', drawing)
    drawing = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", drawing)
    drawing = re.sub(r'(xlink:)?href="#([^"]+)"', rf'href="#{name}-\2"', drawing)
    drawing = drawing.replace(_INK, "currentColor").replace(_GREY, "var(--faint)")
    said = html.escape(told)
    head = f'<svg role="img" aria-labelledby="{name}-title"'
    drawing = drawing.replace("<svg", head, 1)
    drawing = re.sub(r"(<svg[^>]*>)", rf'\1<title id="{name}-title">{_literal(said)}</title>', drawing, count=1)
    drawing = f"<div class=wide tabindex=0 role=region aria-label=figure>{drawing}</div>"
    return f"<figure>{drawing}<figcaption>{note}</figcaption></figure>"


def _literal(text: str) -> str:
    return text.replace("\\", r"\\")
