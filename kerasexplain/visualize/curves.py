"""Signals: curves over time on a ground of relevance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from kerasexplain.foundation.arrays import check_sample, real_array
from kerasexplain.foundation.checks import check_positive
from kerasexplain.foundation.text import in_figure
from kerasexplain.labels import distinct
from kerasexplain.visualize.figures import LABEL, SMALL, new_figure
from kerasexplain.visualize.palette import RELEVANCE, colour_bar, limits, mappable, usual_percentile

#: Width of the ground in points: zero is white, so that the curve itself is drawn on top of it, thin and dark.
_GROUND, _CURVE = 5.0, 0.8


def signals(
    x: Any,
    relevance: Any,
    *,
    sampling_rate: float | None = None,
    time: Any = None,
    unit: str = "s",
    channels: Sequence[str] | None = None,
    samples: int | Sequence[int] = 0,
    titles: Sequence[str] | None = None,
    cmap: str | Colormap = RELEVANCE,
    scale: float | None = None,
    percentile: float | None = None,
    ax: Any = None,
) -> Figure:
    """Curves on a ground of relevance: red where the signal speaks for the output, blue where against it.

    Channels lie one below the other, each in its own range, since their units may differ.

    Args:
        x: The signals, `(samples, time)` or `(samples, time, channels)`.
        relevance: Of the same shape.
        sampling_rate: Values per unit of time; None counts steps.
        time: When the values were measured, `(time,)`, instead of a sampling rate.
        unit: Of time.
        channels: Their names; None numbers them.
        samples: Which sample is shown, or which ones.
        titles: What is written above each sample that is shown.
        cmap, scale, percentile: As for `heatmap`; a limit is that of all channels of a sample.
        ax: The axes to draw in, as many as samples are shown; None for those of a new figure.

    Raises:
        ValueError: These are no signals, or do not fit together; or an option has no legal value.

    Example:
        >>> figure = visualize.signals(ecg, analyzer.analyze(ecg), sampling_rate=360, channels=["II", "V1"])
        >>> figure.savefig("ecg.png")
    """
    curves, grounds = _as_signals(x, "signals"), _as_signals(relevance, "relevance")
    if curves.shape != grounds.shape:
        raise ValueError(f"relevance of shape {np.shape(relevance)} does not fit signals of shape {np.shape(x)}")
    shown = [samples] if isinstance(samples, (int, np.integer)) else list(samples)
    if not shown:
        raise ValueError("no sample is shown: samples must hold one at least")
    for sample in shown:
        check_sample(sample, len(curves))
    count = curves.shape[2]
    if channels is not None and (isinstance(channels, str) or len(channels) != count):
        raise ValueError(f"channels must be a list of {count} names, one for each, got {channels!r}")
    if titles is not None and (isinstance(titles, str) or len(titles) != len(shown)):
        raise ValueError(f"titles must be a list of {len(shown)} texts, one for each sample shown, got {titles!r}")
    times, label = _times(curves.shape[1], sampling_rate, time, unit)
    given = None if ax is None else np.atleast_1d(np.asarray(ax, dtype=object)).ravel()
    if given is not None and len(given) != len(shown):
        raise ValueError(f"{len(shown)} samples are shown: ax must be as many axes, got {len(given)}")
    if given is None:
        height = 1.15 + 0.55 * count if count > 1 else 1.7
        given = new_figure(7.2, 0.9 + len(shown) * height).subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    percentile = usual_percentile(grounds[0].size) if percentile is None else percentile
    highest = limits(grounds[shown], scale, percentile)
    names = [f"channel {i}" for i in range(count)] if channels is None else distinct(list(map(str, channels)))
    for i, (axes, sample, limit) in enumerate(zip(given, shown, highest, strict=True)):
        _draw(axes, times, curves[sample], mappable(limit, cmap).to_rgba(grounds[sample]), names)
        if titles is not None:
            axes.set_title(in_figure(titles[i]), fontsize=LABEL)
        if count == 1 and channels is not None:
            axes.set_ylabel(in_figure(names[0]), fontsize=LABEL)
    given[-1].set_xlabel(in_figure(label), fontsize=LABEL)
    figure = given[0].figure
    colour_bar(figure, list(given), cmap, scale, percentile, each="each sample")
    return figure


def _draw(axes: Any, times: np.ndarray, curves: np.ndarray, colours: np.ndarray, names: Sequence[str]) -> None:
    """The channels of a sample."""
    count = curves.shape[1]
    for i, name in enumerate(names):
        curve = curves[:, i]
        if count > 1:
            low, high = curve.min(), curve.max()
            curve = -i + 0.8 * ((curve - low) / (high - low) - 0.5 if high > low else np.zeros(len(curve)))
        ground = LineCollection(list(_pieces(times, curve)), colors=colours[:, i], linewidths=_GROUND)
        ground.set_label(in_figure(name))
        axes.add_collection(ground)
        # Where values are denser than pixels, a curve that swings fills the band, and would cover its ground.
        share = min(1.0, axes.get_window_extent().width / len(times))
        axes.plot(times, curve, color="0.2", linewidth=max(0.15, _CURVE * share), alpha=0.25 + 0.75 * share)
    if count > 1:
        axes.set_yticks(-np.arange(count), [in_figure(name) for name in names])
        axes.set_ylim(-count + 0.4, 0.6)
        axes.tick_params(axis="y", length=0)
    else:
        axes.margins(y=0.12)
    axes.set_xlim(*((times[0], times[-1]) if len(times) > 1 else (times[0] - 0.5, times[0] + 0.5)))
    axes.tick_params(labelsize=SMALL)
    axes.spines[["top", "right"]].set_visible(False)


def _pieces(times: np.ndarray, curve: np.ndarray) -> np.ndarray:
    """A piece of the curve for each value, from the middle before it to the middle behind it, `(time, 3, 2)`."""
    if len(times) == 1:  # with nothing beside it it would be a point, which is not seen
        return np.array([[[times[0] + step, curve[0]] for step in (-0.5, 0.0, 0.5)]])
    points = np.stack([times, curve], axis=1)
    middles = (points[1:] + points[:-1]) / 2
    before, behind = np.concatenate([points[:1], middles]), np.concatenate([middles, points[-1:]])
    return np.stack([before, points, behind], axis=1)


def _as_signals(values: Any, what: str) -> np.ndarray:
    """`(samples, time, channels)` in double precision."""
    expected = f"{what} must be that of signals, (samples, time) or (samples, time, channels)"
    if np.ndim(values) == 1:
        raise ValueError(f"{expected}; got shape {np.shape(values)}: of one signal, pass it with [None]")
    array = real_array(values, what, expected, (2, 3)).astype(np.float64)
    return array[..., None] if array.ndim == 2 else array


def _times(count: int, sampling_rate: float | None, time: Any, unit: str) -> tuple[np.ndarray, str]:
    """When each value was measured, and what is written below that."""
    if time is not None and sampling_rate is not None:
        raise ValueError("pass sampling_rate= or time=, not both: one follows from the other")
    if time is not None:
        times = real_array(time, "time", "time must be one number for each value, (time,)", (1,)).astype(np.float64)
        if times.shape != (count,) or (np.diff(times) <= 0).any():
            raise ValueError(f"time must be {count} numbers that increase, as the signals are long; got {times.shape}")
        return times, f"time ({unit})"
    if sampling_rate is not None:
        check_positive("sampling_rate", sampling_rate)
        return np.arange(count) / sampling_rate, f"time ({unit})"
    return np.arange(count, dtype=np.float64), "time step"
