"""Concepts: the samples that show what a channel of a layer stands for."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kerasexplain.analyzer import Analyzer
from kerasexplain.explanation import of_channels
from kerasexplain.foundation.checks import check_count


class ReferenceSamples(NamedTuple):
    """Samples by channel, the strongest first.

    Attributes:
        samples: Their positions in the data, `(channels, k)`.
        scores: The channel's relevance there, summed over positions, `(channels, k)`.
    """

    samples: np.ndarray
    scores: np.ndarray


def reference_samples(
    analyzer: Analyzer,
    data: Any,
    layer: str,
    k: int = 8,
    *,
    neuron_selection: Any = None,
    axis: int = -1,
) -> ReferenceSamples:
    """The samples in which each channel of a layer is most relevant to what is explained.

    The data stream: of a channel only its k best samples are kept.

    Args:
        analyzer: A method that propagates relevance.
        data: As for `Analyzer.fit`.
        layer: Name of an operation, as `print(analyzer)` shows it.
        k: How many samples for each channel.
        neuron_selection: An index, or None for each sample's largest output.
        axis: The axis of the layer's channels.

    Raises:
        ValueError: There are fewer than k samples, or the layer is not known.

    Source: Achtibat et al. 2023, "From Attribution Maps to Human-Understandable Explanations through Concept Relevance
    Propagation", relevance maximization.

    Example:
        >>> found = reference_samples(analyzer, images, "conv3", k=4)
        >>> images[found.samples[34]]  # the four in which channel 34 matters most
    """
    check_count("k", k)
    if neuron_selection is not None and np.ndim(neuron_selection):
        raise ValueError("neuron_selection must be one index for all samples, or None")
    samples = scores = None
    seen = 0
    for rows, explanation in analyzer.explain_batches(data, neuron_selection, layers=[layer]):
        per_channel = of_channels(explanation.layers[layer], axis).T
        here = np.broadcast_to(np.arange(rows.start, rows.stop), per_channel.shape)
        seen = rows.stop
        samples = here if samples is None else np.concatenate([samples, here], axis=1)
        scores = per_channel if scores is None else np.concatenate([scores, per_channel], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        samples, scores = (np.take_along_axis(array, best, axis=1) for array in (samples, scores))
    if samples is None or scores is None or seen < k:
        raise ValueError(f"k={k} samples are wanted for each channel, but there are {seen}")
    return ReferenceSamples(samples, scores)
