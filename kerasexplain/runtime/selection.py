"""The selection: which output neurons are explained, and with how much relevance the pass starts."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kerasexplain.foundation.errors import InputError
from kerasexplain.foundation.showing import Shown


@dataclasses.dataclass(frozen=True, repr=False)
class Selection(Shown):
    """Neurons chosen for every sample of an input.

    Attributes:
        kind: "max": the largest output of each sample; "index": one flat index per sample; "weights": a weight for
            every output.
        values: The indices `(n,)` or the weights `(n, outputs)`; None for "max".
        neuron: The choice as the user sees it; None for "max", where it is known after the pass.
    """

    kind: str
    values: np.ndarray | None
    neuron: Any = None


@dataclasses.dataclass(frozen=True, repr=False)
class Contrast(Shown):
    """One output neuron against another, or against all others, as a `neuron_selection`.

    What is explained is `y_target - y_against`, or `y_target` less the mean of all other outputs. Relevance that speaks
    for both alike cancels.

    Args:
        target: An index, or one for each sample.
        against: Another one; None for all others.

    Source: Gu et al. 2018, "Understanding Individual Decisions of CNNs via Contrastive Backpropagation".

    Example:
        >>> analyzer.analyze(images, Contrast(3, against=5))
    """

    target: Any
    against: Any = None

    def weights(self, samples: int, shape: tuple[int | None, ...]) -> np.ndarray:
        """The weight of every output, `(samples, outputs)`."""
        if _size(shape) < 2:
            raise InputError(f"a Contrast is between several neurons, and this output has one: its shape is {shape}")
        rows, count = np.arange(samples), _size(shape)
        targets = self._indices(self.target, samples, shape)
        if self.against is None:
            weights = np.full((samples, count), -1.0 / (count - 1))
            weights[rows, targets] = 1.0
        else:
            weights = np.zeros((samples, count))
            weights[rows, targets] += 1.0
            weights[rows, self._indices(self.against, samples, shape)] -= 1.0
        return weights.reshape(samples, *shape)  # type: ignore[arg-type]  # no size of it is open

    @staticmethod
    def _indices(given: Any, samples: int, shape: tuple[int | None, ...]) -> np.ndarray:
        array = np.asarray(given)
        if array.dtype.kind not in "iu":
            raise InputError(f"a Contrast is between indices of neurons (integers), got {_told(given)}")
        rows = _one_row_per_sample(array, isinstance(given, tuple), samples, len(shape))
        values = _indices(rows, shape).values
        assert values is not None
        return values


def select(neuron_selection: Any, mode: str, samples: int, output_shape: tuple[int | None, ...]) -> Selection:
    """Reads a `neuron_selection` as the analyzers take it.

    Args:
        neuron_selection: None; an int; an integer array, one per sample (with one column per axis for outputs of
            higher rank); a tuple, one index per axis, for every sample; a floating array shaped like the output, or a
            mask of a region of it, of truth values or of zeros and ones (for an output of one axis with a row for each
            sample, as one-hot labels have); or a `Contrast`.
        mode: "max_activation", "index" or "all": what None means.
        samples: How many samples are explained.
        output_shape: Shape of the explained output, batch first.

    Raises:
        InputError: It is none of these, or does not fit the output.
        IndexError: An index is out of range.
    """
    shape = output_shape[1:]
    if neuron_selection is None:
        if mode == "max_activation":
            return Selection("max", None)
        if mode == "all":
            size = _size(shape)
            return Selection("weights", np.ones((samples, size)), "all")
        raise InputError('neuron_selection_mode="index" needs a neuron_selection: an index, or one per sample')
    if isinstance(neuron_selection, Contrast):
        neuron_selection = neuron_selection.weights(samples, shape)
    given = np.asarray(neuron_selection)
    if _is_region(given, samples, shape):
        return _weights(given.astype(float), samples, shape)
    if given.dtype.kind == "f":
        if not np.isfinite(given).all():
            raise InputError("neuron_selection holds weights that are NaN or infinite")
        _refuse_labels(given, samples, shape)
        return _weights(given, samples, shape)
    if given.dtype.kind not in "iu":
        raise InputError(
            "neuron_selection must be an index, indices (integers, one for each sample), weights (floating-point "
            f"numbers) or a Contrast; got {_told(neuron_selection)}"
        )
    _refuse_integer_weights(given, samples, shape)
    columns = max(len(shape), 1)
    index = _one_row_per_sample(given, isinstance(neuron_selection, tuple), samples, columns)
    return _indices(index, shape or (1,))


def one_of(neuron_selection: Any, target: Any) -> Any:
    """The selection, under whichever of its two names it was given.

    Raises:
        ValueError: It was given under both.
    """
    if neuron_selection is not None and target is not None:
        raise ValueError("target= is another name of neuron_selection=: pass one of them")
    return neuron_selection if target is None else target


def is_per_sample(neuron_selection: Any, output_shape: tuple[int | None, ...]) -> bool:
    """Whether a selection has an entry for every sample, rather than one for all; also a `Contrast` on one side."""
    if isinstance(neuron_selection, Contrast):
        return any(np.ndim(side) > 0 for side in (neuron_selection.target, neuron_selection.against))
    given, rank = np.asarray(neuron_selection), len(output_shape) - 1
    if given.dtype.kind in "fb" or (rank > 1 and given.ndim >= rank and not isinstance(neuron_selection, tuple)):
        # Weights and masks of regions have the output's axes; integers of two axes may be indices, one row a sample.
        return given.ndim > rank or (given.dtype.kind in "iu" and given.ndim == 2 and given.shape[1] == rank)
    return given.ndim > (1 if isinstance(neuron_selection, tuple) and rank > 1 else 0)


def unambiguous(neuron_selection: Any, samples: int | None, output_shape: tuple[int | None, ...]) -> Any:
    """A selection for all samples, such that it is the same selection for some of them.

    A region of zeros and ones may have the shape that indices have for another number of samples.

    Args:
        neuron_selection: What the user gave.
        samples: How many there are; None where that is not known, and there can be no index for each.
        output_shape: Shape of the explained output, batch first.
    """
    if neuron_selection is None or callable(neuron_selection) or isinstance(neuron_selection, Contrast):
        return neuron_selection
    shape = tuple(output_shape[1:])
    if isinstance(neuron_selection, list) and (not shape or len(neuron_selection) != shape[0]):
        return neuron_selection  # it may be long, and is not made an array for every batch
    given = np.asarray(neuron_selection)
    if given.shape != shape or given.dtype.kind not in "iu" or isinstance(neuron_selection, tuple):
        return neuron_selection
    return given.astype(bool) if _is_region(given, -1 if samples is None else samples, shape) else neuron_selection


def _size(shape: tuple[int | None, ...]) -> int:
    if None in shape:
        raise InputError(f"the output's shape {shape} is not fully known: choose its neurons with a mode of its own")
    return int(np.prod([size or 1 for size in shape], dtype=int))


def _weights(given: np.ndarray, samples: int, shape: tuple[int | None, ...]) -> Selection:
    own = given.shape[given.ndim - len(shape) :] if given.ndim >= len(shape) else ()
    fits = len(own) == len(shape) and all(known in (None, size) for known, size in zip(shape, own, strict=True))
    if not fits or given.shape not in (own, (samples, *own)):
        raise InputError(
            f"a floating neuron_selection holds one weight per output and has its shape, {shape} or "
            f"{(samples, *shape)}; got {given.shape}"
        )
    each = np.broadcast_to(given, (samples, *own))
    return Selection("weights", each.reshape(samples, -1), each)


def _is_region(given: np.ndarray, samples: int, shape: tuple[int | None, ...]) -> bool:
    """Whether a selection is a mask of a region: of truth values, or of zeros and ones that cannot be indices.

    Integers for an output of one axis are indices, one for each sample, unless there is a row for each sample with an
    entry for each of several neurons: one-hot labels.
    """
    if given.ndim == 0 or given.shape not in (tuple(shape), (samples, *shape)):
        return False
    indices = given.shape == (samples, len(shape))  # which look the same where an output has as many neurons as axes
    rows = len(shape) > 1 or (len(shape) == 1 and given.shape == (samples, *shape))
    zeros_and_ones = given.dtype.kind in "iu" and rows and not indices and bool(np.isin(given, (0, 1)).all())
    return given.dtype.kind == "b" or zeros_and_ones


def _refuse_labels(given: np.ndarray, samples: int, shape: tuple[int | None, ...]) -> None:
    """Raises InputError for what looks like labels that have become floating-point numbers: one integer a sample.

    Weights of all outputs have the same shape where there are as many outputs as samples.
    """
    size = shape[0] if len(shape) == 1 else None
    if size is None or size < 2 or samples < 2 or given.shape not in ((samples,), (samples, 1)):
        return
    are_weights = given.shape == (size,) and np.all(given <= 1)
    if not are_weights and np.all((given == np.round(given)) & (given >= 0) & (given < size)):
        raise InputError(
            f"neuron_selection holds {samples} integers as floating-point numbers, one a sample: labels are integers, "
            "pass y.astype(int). Floating-point numbers are weights, one for every output"
        )


def _refuse_integer_weights(given: np.ndarray, samples: int, shape: tuple[int | None, ...]) -> None:
    """Raises InputError for integers of the shape (samples, outputs) that are neither one-hot labels nor indices.

    For an output of one neuron that is what a column of anything but zeros is: the labels or weights of a library whose
    targets have a column for each output.
    """
    if len(shape) != 1 or given.shape != (samples, *shape) or (shape == (1,) and not given.any()):
        return
    raise InputError(
        f"neuron_selection holds integers of the shape {given.shape}, a column for every output: such rows are one-hot "
        "labels, of zeros and ones, of several outputs. Weights are floating-point numbers, pass "
        "targets.astype(float); an index is one integer for each sample"
    )


def _told(given: Any) -> str:
    """A description of what was given, in a few words: never the numbers of an array."""
    kind = type(given).__name__
    if isinstance(given, str):
        return repr(given[:40])
    return f"{kind} of {len(given)} entries" if hasattr(given, "__len__") else kind


def _one_row_per_sample(given: np.ndarray, is_tuple: bool, samples: int, columns: int) -> np.ndarray:
    if given.ndim == 0 and columns == 1:
        return np.full((samples, 1), given)
    if is_tuple and columns > 1 and given.shape == (columns,):
        return np.tile(given, (samples, 1))
    if columns == 1 and given.shape in ((samples,), (samples, 1)):
        return given.reshape(samples, 1)
    if given.shape == (samples, columns):
        return given
    if columns == 1 and given.ndim and given.shape in ((len(given),), (len(given), 1)):
        raise InputError(
            f"neuron_selection holds {len(given)} indices, and there are {samples} samples: pass one index for all of "
            "them, or one for each"
        )
    wanted = "an index or one per sample" if columns == 1 else f"a tuple of {columns} or an array (samples, {columns})"
    raise InputError(
        f"neuron_selection has shape {given.shape}; for {samples} samples and this output it must be {wanted}"
    )


def _indices(index: np.ndarray, shape: tuple[int | None, ...]) -> Selection:
    _size(shape)
    sizes = np.asarray(shape, dtype="int64")
    if np.any((index < -sizes) | (index >= sizes)):
        wrong = index[np.any((index < -sizes) | (index >= sizes), axis=1)][0]
        shown = int(wrong[0]) if len(shape) == 1 else tuple(int(i) for i in wrong)
        size = shape[0] if len(shape) == 1 else shape
        raise IndexError(f"neuron_selection {shown} is out of range: the output has {size} neurons per sample")
    index = index.astype("int64") % sizes
    flat = np.ravel_multi_index(tuple(index.T), tuple(sizes))
    return Selection("index", flat.astype("int64"), index[:, 0] if len(shape) == 1 else index)
