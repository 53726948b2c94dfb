"""PatternNet and PatternAttribution, in numpy, from the paper's formulas.

Kindermans et al. 2017, "Learning how to explain neural networks: PatternNet and PatternAttribution" (arXiv
1705.05598). A unit y = w^T x + b finds a signal in x, which lies in the direction of a pattern a, not of w. Estimated
from data, so that what of x the signal does not explain no longer tells anything about y:

    linear          a  = cov[x, y] / (w^T cov[x, y])
    two-component   a+ = (E+[x y] - E+[x] E[y]) / (w^T E+[x y] - w^T E+[x] E[y])

with E the mean over all that the unit has seen (every sample and, of a convolution, every position) and E+ the mean
where y > 0. cov[x, y] does not change with b. The positive regime does: there y is the whole pre-activation, with b,
both where y > 0 is asked and in the means. A kernel entry that sees padding sees nothing: all of its means, of y as
well, are over the positions where it sees an input.

PatternNet is the gradient with a in the place of w; PatternAttribution has w a there, elementwise. Both begin with
the neuron's value, go where y > 0 through a ReLU, and to the winner of a maximum.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .algebra import Array, Elementwise, Linear, Network, Rules, carry, chosen, entries, forward, matrix, quotient


class Kernel(NamedTuple):
    """A linear operation with one kernel (entries, units), at windows (positions, entries) of its input."""

    windows: Array
    weights: Array
    bias: Array
    shape: tuple[int, ...]

    def patches(self, x: Array) -> Array:
        """The patches that a kernel reads: (batch, positions, entries); 0 of padding."""
        return np.where(self.windows >= 0, x[:, self.windows], 0.0)


def dense(kernel: Array, bias: Array) -> Kernel:
    return Kernel(np.arange(len(kernel))[None], kernel, bias, kernel.shape)


def convolution(pixel: Array, kernel: Array, bias: Array) -> Kernel:
    *_, channels, units = kernel.shape
    return Kernel(entries(pixel, channels), kernel.reshape(-1, units), bias, kernel.shape)


def pattern(kernel: Kernel, x: Array, positive: bool) -> Array:
    """Of each unit (entries, units), from the inputs x (batch, n). 0 where the estimator is 0 / 0: nothing was seen."""
    patches = kernel.patches(x)
    y = np.einsum("bpe,eu->bpu", patches, kernel.weights) + kernel.bias
    direction = np.zeros_like(kernel.weights)
    for e, window in enumerate(kernel.windows.T):
        seen = window >= 0
        x_e = patches[:, seen, e].reshape(-1)
        for u in range(y.shape[-1]):
            y_u = y[:, seen, u].reshape(-1)
            counted = y_u > 0 if positive else np.ones(len(y_u), dtype=bool)
            if counted.any():
                xy, x_mean = np.mean(x_e[counted] * y_u[counted]), np.mean(x_e[counted])
                direction[e, u] = xy - x_mean * np.mean(y_u)
    return quotient(direction, np.einsum("eu,eu->u", kernel.weights, direction))


def patterns(network: Network, kernels: Mapping[str, Kernel], x: Array, pattern_type: str) -> dict[str, Array]:
    """By the name of each kernel's layer. Without a ReLU behind it there is no positive regime: a layer's is linear."""
    values = forward(network, x)
    found = {}
    for k, step in enumerate(network, 1):
        if step.name in kernels and isinstance(step.operation, Linear):
            followed = any(isinstance(other.operation, Elementwise) and other.operands == (k,) for other in network)
            positive = pattern_type == "relu" and followed
            found[step.name] = pattern(kernels[step.name], values[step.operands[0]], positive)
    return found


def relevance(
    network: Network, kernels: Mapping[str, Kernel], found: Mapping[str, Array], x: Array, neuron: int, method: str
) -> Array:
    """`method` is "net" or "attribution"; `found` are patterns (entries, units)."""
    values = forward(network, x)
    replaced = []
    for step in network:
        if step.name in kernels:
            kernel, a = kernels[step.name], found[step.name]
            weights = a if method == "net" else kernel.weights * a
            made = matrix(kernel.windows, weights, values[step.operands[0]].shape[1])
            step = step._replace(operation=Linear((made,), step.operation.bias))
        replaced.append(step)
    start = chosen(values[-1], neuron, "output")
    return carry(replaced, values, start, Rules("gradient", "gradient", "gradient")).values[0]
