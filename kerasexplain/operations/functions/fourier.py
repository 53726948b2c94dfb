"""Fourier transforms. They are linear, and Keras keeps real and imaginary parts as two real tensors."""

from __future__ import annotations

from kerasexplain.graph.primitives import Call, Mixing, Primitive
from kerasexplain.operations.batches import MIXES
from kerasexplain.operations.catalogue import describes, opaque

#: How many of the last axes are transformed.
_AXES = {"FFT": 1, "FFT2": 2, "IFFT2": 2, "RFFT": 1, "IRFFT": 1, "STFT": 1, "ISTFT": 2}


@describes(*(f"ops.{name}" for name in _AXES))
def _fourier(call: Call) -> Primitive:
    if len(call.inputs[0].shape) <= _AXES[type(call.operation).__name__]:
        return opaque(call, MIXES)
    return Mixing(call.function())
