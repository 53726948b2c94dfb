"""Data of a training on relevance: inputs, labels, masks and weights, in the one form in which the model takes them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasexplain.foundation.errors import InputError

#: The keys of the one form, a dict: the inputs of the network, and the masks.
INPUTS, MASK = "inputs of the network", "relevance mask"
_FIELDS = ("x", "y", "mask", "sample_weight")


def joined(x: Any, mask: Any) -> dict[str, Any]:
    """Inputs and masks as one structure of inputs, which keeps them together whatever Keras does with them."""
    return {INPUTS: x} if mask is None else {INPUTS: x, MASK: mask}


def is_joined(inputs: Any) -> bool:
    """Whether these are inputs as `joined` makes them."""
    return isinstance(inputs, Mapping) and INPUTS in inputs and set(inputs) <= {INPUTS, MASK}


def separated(inputs: Any) -> tuple[Any, Any]:
    """Inputs and masks; None where there are none."""
    return (inputs[INPUTS], inputs.get(MASK)) if is_joined(inputs) else (inputs, None)


def flat(x: Any) -> Any:
    """Inputs as analyzers take them: those that are nested as a list, in the order of the network's inputs."""
    entries = x.values() if isinstance(x, Mapping) else x if isinstance(x, (list, tuple)) else ()
    is_nested = any(isinstance(entry, (list, tuple, Mapping)) for entry in entries)
    leaves = keras.tree.flatten(x) if is_nested else []
    return leaves if leaves and all(len(getattr(leaf, "shape", ())) for leaf in leaves) else x


def mask_array(mask: Any, count: int | None = None) -> Any:
    """Masks as an array: entries of a list that are None, for samples without one, become NaN.

    Args:
        mask: Masks, or None.
        count: How many samples there are, where that is known.

    Raises:
        InputError: These are no masks, no sample has one, they differ in shape, or are too few or too many.
    """
    if mask is None:
        return None
    if isinstance(mask, (list, tuple)):
        known = [np.asarray(one) for one in mask if one is not None]
        if not known or len({one.shape for one in known}) > 1:
            why = "differ in shape" if known else "are all None: leave mask= out"
            raise InputError(f"mask= takes masks of one shape, or None for a sample without one; these {why}")
        missing = np.full(known[0].shape, np.nan, "float32")
        mask = np.stack([missing if one is None else np.asarray(one, "float32") for one in mask])
    shape = getattr(mask, "shape", None)
    if getattr(shape, "rank", 0) is None:
        raise InputError("the masks of a stream have a shape of which nothing is known: tf.ensure_shape says it")
    if shape is None or not len(shape):
        raise InputError(f"mask= takes an array of a mask for each sample, got {mask!r:.60}. Options go by their names")
    if count is not None and shape[0] != count:
        raise InputError(f"there are {count} samples, and {shape[0]} masks: the first axis of masks is the sample's")
    return mask


def filled(mask: Any, dtype: str, signed: bool) -> tuple[Any, Any]:
    """Masks without NaN, which no weight of 0 makes a number; and for each sample 1 where it has a mask, or 0.

    It has none where the mask is NaN anywhere, or negative if masks are not signed.
    """
    mask = ops.cast(mask, dtype)
    good = ops.logical_not(ops.isnan(mask)) if signed else mask >= 0
    known = ops.cast(ops.all(good, axis=tuple(range(1, len(mask.shape)))), dtype)
    return ops.where(ops.isnan(mask), ops.zeros_like(mask), mask), known


def of_samples(weight: Any, like: Any) -> Any:
    """Weights as one number for each sample.

    Raises:
        InputError: They are none.
    """
    weight = ops.cast(weight, like.dtype)
    if len(weight.shape) > 1 and tuple(weight.shape[1:]) != (1,):
        raise InputError(
            f"sample_weight holds one number for each sample, got {tuple(weight.shape)}: a mask is the third entry of "
            "a batch, before the weights"
        )
    return ops.reshape(weight, (-1,))


def fields(data: Any, what: str = "a batch of a stream") -> list[Any]:
    """Inputs, labels, masks and weights of `(x, y, mask, sample_weight)`, or of a dict; None for what is missing.

    Raises:
        InputError: It is neither.
    """
    if isinstance(data, Mapping) and "x" in data and set(data) <= set(_FIELDS):
        return [data.get(name) for name in _FIELDS]
    if isinstance(data, (list, tuple)) and 1 <= len(data) <= 4:
        return [*data, *([None] * (4 - len(data)))]
    raise InputError(
        f"{what} is (x, y), (x, y, mask) or (x, y, mask, sample_weight), or a dict with these names; got {_told(data)}"
    )


def given(x: Any, mask: Any) -> Any:
    """Arrays of inputs and masks in the one form.

    Raises:
        InputError: The masks are no masks, or not as many as samples.
    """
    shape = None if x is None else getattr(keras.tree.flatten(x)[0], "shape", None)
    return joined(x, mask_array(mask, shape[0] if shape else None))


def element(data: Any) -> tuple[Any, ...]:
    """A batch of a stream in the one form.

    Raises:
        InputError: It is none, or its masks are no masks.
    """
    x, y, mask, sample_weight = fields(data)
    inputs = joined(x, mask_array(mask))
    return (inputs, y) if sample_weight is None else (inputs, y, sample_weight)


def is_stream(x: Any) -> bool:
    """Whether x gives batches, and is no array or structure of arrays."""
    if hasattr(x, "shape") or isinstance(x, (list, tuple, Mapping)) or x is None:
        return False
    return hasattr(x, "__iter__") or hasattr(x, "__next__") or isinstance(x, keras.utils.PyDataset)


def stream(data: Any, steps: int | None) -> tuple[Any, int | None]:
    """A stream of batches in the one form, and how many steps an epoch has.

    Args:
        data: A stream.
        steps: How many are asked for; None for all that the stream has.

    Raises:
        InputError: It can be read again and again, and says neither where an epoch ends nor how many steps it has.
    """
    if isinstance(data, keras.utils.PyDataset):
        return _Batches(data), steps
    if hasattr(data, "element_spec") and hasattr(data, "map"):  # a tf.data.Dataset, whose batches come as arguments
        return data.map(lambda *batch: element(batch[0] if len(batch) == 1 else batch)), steps
    if hasattr(data, "__next__"):
        return (element(batch) for batch in data), steps  # Keras knows generators by their type
    steps = _length(data) if steps is None else steps  # PyTorch's DataLoader and the like
    if steps is None:
        raise InputError(
            f"{type(data).__name__}: data without a length need steps_per_epoch=; in evaluate, steps=, "
            "and validation data validation_steps="
        )
    return _forever(data), steps


def opened(data: Any) -> tuple[list[Any], Any]:
    """The first batch of a stream, as `fields`, and the stream with that batch in it.

    Raises:
        InputError: There is none.
    """
    try:
        if isinstance(data, keras.utils.PyDataset):
            return fields(data[0]), data
        if hasattr(data, "__next__"):
            first = next(data)
            return fields(first), itertools.chain([first], data)
        return fields(next(iter(data))), data
    except (StopIteration, IndexError) as error:
        raise InputError("the stream has no batch") from error


def _length(data: Any) -> int | None:
    try:
        return len(data)
    except TypeError:  # a DataLoader has a length, whose data may have none
        return None


def _forever(data: Any) -> Iterator[Any]:
    while True:
        yield from map(element, data)


class _Batches(keras.utils.PyDataset):
    """The batches of a PyDataset in the one form."""

    def __init__(self, data: keras.utils.PyDataset) -> None:
        super().__init__(
            workers=data.workers, use_multiprocessing=data.use_multiprocessing, max_queue_size=data.max_queue_size
        )
        self._data = data

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return element(self._data[index])

    @property
    def num_batches(self) -> int | None:
        """How many there are."""
        return self._data.num_batches

    def on_epoch_begin(self) -> None:
        self._data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._data.on_epoch_end()


def _told(data: Any) -> str:
    if isinstance(data, Mapping):
        return f"a dict with the keys {sorted(map(str, data))}"
    return f"{type(data).__name__} of {len(data)}" if isinstance(data, (list, tuple)) else type(data).__name__
