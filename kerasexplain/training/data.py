"""Data of a training on relevance: inputs, labels, masks and weights, in the one form in which the model takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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


def mask_array(mask: Any) -> Any:
    """Masks as an array: entries that are None, for samples without one, become NaN.

    Raises:
        InputError: No sample has a mask, or they differ in shape.
    """
    if not isinstance(mask, (list, tuple)):
        return mask
    known = [np.asarray(one) for one in mask if one is not None]
    if not known or len({one.shape for one in known}) > 1:
        why = "differ in shape" if known else "are all None: leave mask= out"
        raise InputError(f"mask= takes masks of one shape, or None for a sample without one; these {why}")
    missing = np.full(known[0].shape, np.nan, "float32")
    return np.stack([missing if one is None else np.asarray(one, "float32") for one in mask])


def is_known(mask: Any, dtype: str, signed: bool) -> Any:
    """For each sample 1 where it has a mask, and 0 where that is NaN anywhere, or negative if it is not signed."""
    mask = ops.cast(mask, dtype)
    good = ops.logical_not(ops.isnan(mask)) if signed else mask >= 0
    return ops.cast(ops.all(good, axis=tuple(range(1, len(mask.shape)))), dtype)


def element(data: Any) -> tuple[Any, ...]:
    """A batch of a stream, `(x, y, mask, sample_weight)` or a dict of these, in the one form.

    Raises:
        InputError: It is neither.
    """
    if isinstance(data, Mapping) and "x" in data and set(data) <= set(_FIELDS):
        fields = [data.get(name) for name in _FIELDS]
    elif isinstance(data, (list, tuple)) and 1 <= len(data) <= 4:
        fields = [*data, *([None] * (4 - len(data)))]
    else:
        raise InputError(
            "a batch of a stream is (x, y), (x, y, mask) or (x, y, mask, sample_weight), or a dict with these names; "
            f"got {_told(data)}"
        )
    x, y, mask, sample_weight = fields
    inputs = joined(x, mask)
    return (inputs, y) if sample_weight is None else (inputs, y, sample_weight)


def is_stream(x: Any) -> bool:
    """Whether x gives batches, and is no array or structure of arrays."""
    if hasattr(x, "shape") or isinstance(x, (list, tuple, Mapping)) or x is None:
        return False
    return hasattr(x, "__iter__") or hasattr(x, "__next__") or isinstance(x, keras.utils.PyDataset)


def stream(data: Any) -> tuple[Any, int | None]:
    """A stream of batches in the one form, and how many steps an epoch has where the stream itself cannot tell."""
    if isinstance(data, keras.utils.PyDataset):
        return _Batches(data), None
    if hasattr(data, "element_spec") and hasattr(data, "map"):  # a tf.data.Dataset, whose batches come as arguments
        return data.map(lambda *batch: element(batch[0] if len(batch) == 1 else batch)), None
    if hasattr(data, "__len__") and not hasattr(data, "__next__"):  # PyTorch's DataLoader and the like
        return _forever(data, element), len(data)
    return (element(batch) for batch in data), None  # Keras knows generators by their type


def first_batch(data: Any) -> Any:
    """The inputs of the first batch of a stream, in their own form; None of one that can be read only once."""
    if isinstance(data, keras.utils.PyDataset):
        return separated(element(data[0])[0])[0]
    if hasattr(data, "__next__"):
        return None
    return separated(element(next(iter(data)))[0])[0]


def _forever(data: Any, change: Callable[[Any], Any]) -> Iterator[Any]:
    while True:
        yield from map(change, data)


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
