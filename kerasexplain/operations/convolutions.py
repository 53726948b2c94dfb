"""Convolutions that `keras.ops` computes, but does not describe on symbolic tensors."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

Tensor = Any


class GroupedConvolution(keras.Operation):
    """A convolution, also with a kernel that is for some of the channels: they are in groups then."""

    def __init__(self, strides: Any, padding: str, data_format: str, dilation_rate: Any) -> None:
        super().__init__()
        self.strides, self.padding = strides, padding
        self.data_format, self.dilation_rate = data_format, dilation_rate

    def call(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        return ops.conv(inputs, kernel, self.strides, self.padding, self.data_format, self.dilation_rate)


class TransposedConvolution(keras.Operation):
    """A transposed convolution: on symbolic tensors Keras 3.15 exchanges its padding and its output padding."""

    def __init__(self, strides: Any, padding: str, output_padding: Any, data_format: str, dilation_rate: Any) -> None:
        super().__init__()
        self.strides, self.padding, self.output_padding = strides, padding, output_padding
        self.data_format, self.dilation_rate = data_format, dilation_rate

    def call(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        return ops.conv_transpose(
            inputs,
            kernel,
            strides=self.strides,
            padding=self.padding,
            output_padding=self.output_padding,
            data_format=self.data_format,
            dilation_rate=self.dilation_rate,
        )
