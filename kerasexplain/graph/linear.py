"""Linear operations: how each Keras layer multiplies by its kernel, and what a rule may ask of one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from kerasexplain.backend import transposed
from kerasexplain.graph.primitives import Primitive, live, placed

Tensor = Any


@dataclasses.dataclass(frozen=True, eq=False)
class Linear(Primitive):
    """`z = x W + b`: Dense, EinsumDense and every convolution.

    Attributes:
        product: `(x, W) -> x W`.
        kernel: Gives the live kernel W.
        bias: Gives the live bias b; None without one.
        bias_shape: Shape of b; None without one.
        bias_axis: First axis of the output, from the end, that b belongs to; None for the last ones.
        scaled: `(W, a) -> W` with each output channel multiplied by its entry of `a`.
        padding: What is done to the input before the product, so that padded positions are no inputs.
        more_axes: How many axes the output has more than the input (EinsumDense).
        summed: The axes of x and of W that the product sums over as well as over positions, where it is one of each.
        is_derived: Whether W is computed from weights, and not one of them.
        normalized: Whether a normalisation by statistics of training is in W and b.
        terms: How many contributions each entry of the output is the sum of, where that is known.
    """

    product: Callable[[Tensor, Tensor], Tensor]
    kernel: Callable[[], Tensor]
    bias: Callable[[], Tensor] | None
    bias_shape: tuple[int, ...] | None = dataclasses.field()
    bias_axis: int | None
    scaled: Callable[[Tensor, Tensor], Tensor] | None
    padding: Callable[[Tensor], Tensor] | None = None
    more_axes: int = 0
    summed: tuple[int, int] | None = None
    terms: int | None = None
    is_derived: bool = False
    normalized: bool = False

    def __call__(self, *xs: Tensor, tap: Tensor | None = None) -> Tensor:
        (x,) = xs
        kernel = ops.cast(self.kernel(), x.dtype)
        return self.add_bias(self.apply(x, kernel), self.placed_bias(x, tap))

    def apply(self, x: Tensor, kernel: Tensor) -> Tensor:
        """The product alone, padding included, bias not."""
        return self.product(x if self.padding is None else self.padding(x), kernel)

    def of_weights(self, dtype: str) -> dict[str, Tensor]:
        """W and b where they are computed from weights, the same in every pass until the weights change."""
        if not self.is_derived:
            return {}
        made = {"W": self.kernel(), **({} if self.bias is None else {"b": self.bias()})}
        return {name: ops.cast(tensor, dtype) for name, tensor in made.items()}

    def placed_bias(self, x: Tensor, tap: Tensor | None, bias: Tensor | None = None) -> Tensor | None:
        """The bias, times the tap, shaped to be added to the output for an input like x.

        It is computed from the weights, unless it is given.
        """
        if self.bias is None:
            return None
        bias = self.bias() if bias is None else bias
        return placed(ops.cast(bias, x.dtype), tap, len(x.shape) + self.more_axes, self.bias_axis)

    def transposed(self, s: Tensor, kernel: Tensor, x: Tensor) -> Tensor:
        """The transposed product `kernel^T s`, shaped like x."""
        return transposed(lambda x: self.apply(x, kernel), x, s)

    @staticmethod
    def add_bias(product: Tensor, bias: Tensor | None) -> Tensor:
        return product if bias is None else product + bias

    def with_affine(self, scale: Callable[[], Tensor], offset: Callable[[], Tensor], channels: int) -> Linear:
        """This operation followed by `z * scale + offset`, per output channel, as one linear operation."""
        assert self.scaled is not None
        scaled, kernel, bias = self.scaled, self.kernel, self.bias
        return dataclasses.replace(
            self,
            kernel=lambda: scaled(kernel(), scale()),
            is_derived=True,
            normalized=True,
            bias=offset if bias is None else (lambda: bias() * scale() + offset()),
            bias_shape=self.bias_shape or (channels,),
        )


def dense(layer: keras.layers.Dense) -> Linear:
    linear = _from_layer(layer, ops.matmul, scaled=lambda kernel, scale: kernel * scale)
    return dataclasses.replace(linear, summed=(-1, 0))


def einsum_dense(layer: keras.layers.EinsumDense) -> Linear:
    equation = layer.equation
    # A per-channel factor can be moved into the kernel only if the last output axis is an axis of the kernel.
    operands, output = equation.replace(" ", "").split("->")
    of_input, letters = operands.split(",")
    channel = output[-1]
    foldable = channel in letters and channel not in of_input

    def scaled(kernel: Tensor, scale: Tensor) -> Tensor:
        shape = [-1 if letter == channel else 1 for letter in letters]
        return kernel * ops.reshape(scale, shape)

    linear = _from_layer(layer, lambda x, kernel: ops.einsum(equation, x, kernel), scaled if foldable else None)
    return dataclasses.replace(linear, more_axes=len(output) - len(of_input))


def convolution(layer: Any) -> Linear:
    causal = layer.padding == "causal"

    def product(x: Tensor, kernel: Tensor) -> Tensor:
        return ops.conv(
            x,
            kernel,
            strides=list(layer.strides),
            padding="valid" if causal else layer.padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )

    channels = -1 if layer.data_format == "channels_last" else 1
    return dataclasses.replace(
        _from_layer(layer, product, scaled=lambda kernel, scale: kernel * scale),
        padding=_causal(layer) if causal else None,
        summed=(channels, -2) if layer.groups == 1 else None,
        terms=math.prod(layer.kernel.shape[:-1]),
    )


def depthwise_convolution(layer: Any) -> Linear:
    def scaled(kernel: Tensor, scale: Tensor) -> Tensor:
        # The output channels of a depthwise kernel (..., channels, multiplier) are its last two axes, flattened.
        return kernel * ops.reshape(scale, kernel.shape[-2:])

    linear = _from_layer(layer, _depthwise_product(layer), scaled)
    return dataclasses.replace(linear, terms=math.prod(layer.kernel.shape[:-2]))


def _depthwise_product(layer: Any) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda x, kernel: ops.depthwise_conv(
        x,
        kernel,
        strides=layer.strides,
        padding=layer.padding,
        dilation_rate=layer.dilation_rate,
        data_format=layer.data_format,
    )


def transposed_convolution(layer: Any) -> Linear:
    def product(x: Tensor, kernel: Tensor) -> Tensor:
        return ops.conv_transpose(
            x,
            kernel,
            strides=list(layer.strides),
            padding=layer.padding,
            output_padding=layer.output_padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )

    # The kernel is (..., out, in): its output channels are the last axis but one.
    return _from_layer(layer, product, scaled=lambda kernel, scale: kernel * scale[:, None])


def separable_convolution(layer: Any) -> tuple[Linear, Linear]:
    """The depthwise and the pointwise convolution that the layer does one after the other."""

    def pointwise(x: Tensor, kernel: Tensor) -> Tensor:
        return ops.conv(x, kernel, strides=1, padding="valid", data_format=layer.data_format)

    second = _from_layer(layer, pointwise, lambda kernel, scale: kernel * scale, kernel="pointwise_kernel")
    first = dataclasses.replace(
        second,
        product=_depthwise_product(layer),
        kernel=lambda: live(layer.depthwise_kernel),
        bias=None,
        bias_shape=None,
        scaled=lambda kernel, scale: kernel * ops.reshape(scale, kernel.shape[-2:]),
    )
    return first, second


def _from_layer(
    layer: Any,
    product: Callable[[Tensor, Tensor], Tensor],
    scaled: Callable[[Tensor, Tensor], Tensor] | None,
    kernel: str = "kernel",
) -> Linear:
    bias = getattr(layer, "bias", None)
    channels_first = getattr(layer, "data_format", None) == "channels_first"
    return Linear(
        product=product,
        kernel=lambda: live(getattr(layer, kernel)),
        bias=None if bias is None else (lambda: live(layer.bias)),
        bias_shape=None if bias is None else tuple(bias.shape),
        bias_axis=-1 - layer.rank if channels_first else None,
        scaled=scaled,
    )


def _causal(layer: Any) -> Callable[[Tensor], Tensor]:
    """The zeros that Keras puts before the sequence, so that no step sees a later one."""
    left = layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
    time = 1 if layer.data_format == "channels_last" else 2
    return lambda x: ops.pad(x, [[left, 0] if axis == time else [0, 0] for axis in range(3)])
