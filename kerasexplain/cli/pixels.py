"""The range in which a model takes pixels: as it is given, or as the preprocessing at the model's input tells."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

if TYPE_CHECKING:
    from keras.layers import Layer

BYTES, UNIT = (0.0, 255.0), (0.0, 1.0)
#: Preprocessing gives networks numbers of about this size at most.
LARGEST = 16.0
WHERE = "--range LOW HIGH says what the model takes them as"


def pixels_of(
    given: Sequence[float] | None, model: keras.Model, paths: Sequence[pathlib.Path]
) -> tuple[Sequence[float] | None, str]:
    """The range that a model takes pixels in, and a sentence on what was guessed or assumed of images.

    Args:
        given: `--range`, which is always right.
        model: The model, whose first layers may be Rescaling and Normalization.
        paths: What is read; arrays alone need no range, but that of bytes.

    Raises:
        ValueError: The preprocessing is for neither 0 to 255 nor 0 to 1.
    """
    if given is not None:
        return given, ""
    layers = list(_preprocessing(model))
    are_images = any(path.is_dir() or path.suffix.lower() not in (".npy", ".npz") for path in paths)
    if not layers:
        assumed = f"pixels stay 0 to 255: no layer at the model's input rescales them; {WHERE}"
        return None, assumed if are_images else ""
    names = " and ".join(type(layer).__name__ for layer in layers)
    if _fits(layers, BYTES):
        return None, ""
    if _fits(layers, UNIT):
        return UNIT, f"pixels are taken as 0 to 1, which the {names} at the model's input is made for; {WHERE}"
    if are_images:
        raise ValueError(
            f"the {names} at the model's input is made for pixels neither from 0 to 255 nor from 0 to 1: {WHERE}"
        )
    return None, ""


def _preprocessing(model: Any) -> Iterator[Layer]:
    """The layers at the input that rescale: those before the first one that does anything else."""
    for layer in getattr(model, "layers", ()):
        if isinstance(layer, keras.layers.InputLayer):
            continue
        if isinstance(layer, keras.Model):
            yield from _preprocessing(layer)
            return
        if not isinstance(layer, (keras.layers.Rescaling, keras.layers.Normalization)):
            return
        if getattr(layer, "mean", 0) is None:  # a Normalization that has seen no data
            return
        yield layer


def _fits(layers: Sequence[Layer], pixels: tuple[float, float]) -> bool:
    """Whether pixels in a range come out of the layers at a size that networks are trained on."""
    low, high = (np.asarray(bound, "float64") for bound in pixels)
    for layer in layers:
        if isinstance(layer, keras.layers.Rescaling):
            low, high = (bound * np.asarray(layer.scale) + np.asarray(layer.offset) for bound in (low, high))
        else:
            mean, variance = (keras.ops.convert_to_numpy(each).ravel() for each in (layer.mean, layer.variance))
            spread = np.maximum(np.sqrt(variance), keras.config.epsilon())
            if layer.invert:
                low, high = low * spread + mean, high * spread + mean
            else:
                low, high = (low - mean) / spread, (high - mean) / spread
    largest = float(np.max(np.abs([low, high])))
    return largest <= LARGEST and float(np.min(np.abs(high - low))) >= 0.1
