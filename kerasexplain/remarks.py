"""Sentences on relevance that an image of it would not tell: that it is zero, the same everywhere, or misses a sum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: A map is the same everywhere where its values, so many at least, differ by no more than this share of their size.
UNIFORM, POSITIONS = 1e-3, 16


def remark_of(
    inputs: Sequence[np.ndarray], explained: np.ndarray, reference: np.ndarray | None, each: bool = False
) -> str:
    """A sentence on relevance; "" where there is nothing to be said.

    Args:
        inputs: The relevance of every input, batch first.
        explained: What is explained, per sample.
        reference: Its value at the baseline, per sample; None without one.
        each: Whether single samples without relevance are spoken of, and those for which zero is explained.
    """
    inputs = [array for array in inputs if np.size(array)]
    if not inputs or not len(explained):
        return ""
    zero = ~np.any([_has_any(array.reshape(len(array), -1)) for array in inputs], axis=0)
    if zero.all() and not explained.any():
        nothing = "no input has any relevance: what is explained is zero in every sample, and there is nothing to share"
        return nothing if each else ""
    if zero.all():
        return (
            "no input has any relevance, though the output is not zero: the way to it is closed (units that are "
            f"off, or a method for positive outputs alone), or the numbers are too small for {inputs[0].dtype}"
        )
    if zero.any() and each:
        numbers = np.flatnonzero(zero)
        first = ", ".join(map(str, numbers[:5])) + (", ..." if len(numbers) > 5 else "")
        return (
            f"no input has any relevance in {len(numbers)} of {len(zero)} samples (numbers {first}): what is explained "
            "of them is zero, or the way to it is closed (units that are off, or a method for positive outputs alone)"
        )
    held = [array[~zero] for array in inputs] if zero.any() else inputs
    if all(_is_uniform(array) for array in held):
        return (
            "relevance is the same everywhere in the middle sample, so that the map says nothing about where: a rule "
            "that shares alike (Flat) down to the input, or a network that averages its input and no more"
        )
    return "" if reference is None else _missed(inputs, explained, reference)


def error_of(inputs: Sequence[np.ndarray], explained: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Per sample, what relevance adds up to, less the change from the baseline."""
    total = sum(array.sum(axis=1) for array in per_sample(inputs))
    return np.asarray(total - (explained - reference))


def per_sample(inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The relevance of each input in double precision, one row per sample."""
    return [np.asarray(array, "float64").reshape(len(array), -1) for array in inputs]


def _has_any(rows: np.ndarray) -> np.ndarray:
    """Which rows hold anything but zeros; of most the middle tells, and the rest need not be read."""
    middle = rows.shape[1] // 2
    found: np.ndarray = np.asarray(rows[:, middle : middle + 64].any(axis=1))
    found[~found] = rows[~found].any(axis=1)
    return found


def _is_uniform(array: np.ndarray) -> bool:
    """Whether relevance by position, of images and signals with its channels summed, hardly differs."""
    if len(array) > 1 and not _is_uniform(array[:1]) and not _is_uniform(array[-1:]):
        return False  # of most maps: they need not be read
    flat = array.sum(axis=-1) if array.ndim > 2 else array
    flat = flat.reshape(len(flat), -1)
    if flat.shape[1] < POSITIONS:
        return False
    size = np.abs(flat).mean(axis=1)
    return bool(np.median(np.ptp(flat, axis=1) / np.maximum(size, np.finfo("float64").tiny)) <= UNIFORM)


def _missed(inputs: Sequence[np.ndarray], explained: np.ndarray, reference: np.ndarray) -> str:
    """A sentence on a sum that misses the change from the baseline; "" where it does not."""
    found = (error_of(inputs, explained, reference), explained - reference)
    gap, change = (np.abs(x).astype("float64") for x in found)
    if np.all(gap <= 0.1 * change):
        return ""  # of most maps: their size need not be known
    change = np.maximum(change, 0.1 * sum(np.abs(array).sum(axis=1) for array in per_sample(inputs)))
    missed = float(np.median(gap / np.maximum(change, np.finfo("float64").tiny)))
    if not missed > 0.1:
        return ""
    return (
        f"what the inputs get misses the change of the output from the baseline by {missed:.0%} in the middle "
        "sample: the output jumps or bends between the two. Take more steps, or deep_lift, which holds decisions"
    )
