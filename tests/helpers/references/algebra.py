"""Networks as lists of operations on flat vectors, and one number S carried back through them, in numpy.

The rules are those of an essay on Samek et al. 2015 (arXiv 1509.06321), which takes every method of propagation to be
a choice of one rule for each kind of operation. Each activation carries one number, called R there, or Q = R / a; here
S, because what it means depends on the choice:

    linear          gradient     S_i = sum_j w_ij S_j
                    normalized   S_i = sum_j a_i w_ij S_j / z_j
    nonlinearity    ignore       S_z = S_y
                    gradient     S_z = f'(z) S_y
                    slope        S_z = (f(z) - f(0)) / z S_y
                    repeat       S_z = f(S_y)
    maximum         S_i = s_i S_y, with shares s_i that are given at `shares`

"Even convolutions can be expressed as a matrix multiplication": so they are here. Every value is (batch, n), whatever
its shape in the network was; a linear operation is one matrix for each of its operands and a bias for each output; so
are the sum of two branches and average pooling. 0 / 0 = 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Array = np.ndarray


class Linear(NamedTuple):
    """z = sum over the operands of x W, + b; sums and averages have fixed kernels, which are no weights."""

    kernels: tuple[Array, ...]
    bias: Array
    has_weights: bool = True

    def __call__(self, *operands: Array) -> Array:
        return sum(x @ kernel for x, kernel in zip(operands, self.kernels, strict=True)) + self.bias


class Elementwise(NamedTuple):
    function: Callable[[Array], Array]
    derivative: Callable[[Array], Array]

    def __call__(self, z: Array) -> Array:
        return self.function(z)


class Maximum(NamedTuple):
    """The largest of each output's candidates: `windows` (outputs, candidates) are positions in x, in reading order."""

    windows: Array

    def __call__(self, x: Array) -> Array:
        return x[:, self.windows].max(axis=-1)


class Product(NamedTuple):
    def __call__(self, a: Array, b: Array) -> Array:
        return a * b


Operation = Linear | Elementwise | Maximum | Product


class Step(NamedTuple):
    """An operation, the values it reads (0 is the network's input, k what the k-th step gives), and its layer."""

    operation: Operation
    operands: tuple[int, ...]
    name: str = ""


Network = Sequence[Step]


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


RELU = Elementwise(lambda z: np.maximum(z, 0), lambda z: np.where(z > 0, 1.0, 0.0))
TANH = Elementwise(np.tanh, lambda z: 1 - np.tanh(z) ** 2)
SIGMOID = Elementwise(sigmoid, lambda z: sigmoid(z) * (1 - sigmoid(z)))


def pixels(height: int, width: int, size: int, stride: int = 1, same: bool = False) -> Array:
    """Which pixels each square window sees, row by row: (windows, size^2) numbers of pixels, -1 for padding.

    Padding goes half before and half after, what is left over after: TensorFlow's way.
    """
    if same:
        counts = [-(-n // stride) for n in (height, width)]
        starts = [
            -(max((count - 1) * stride + size - n, 0) // 2) for count, n in zip(counts, (height, width), strict=True)
        ]
    else:
        counts = [(n - size) // stride + 1 for n in (height, width)]
        starts = [0, 0]
    found = []
    for p, q in itertools.product(range(counts[0]), range(counts[1])):
        window = []
        for di, dj in itertools.product(range(size), range(size)):
            i, j = starts[0] + p * stride + di, starts[1] + q * stride + dj
            window.append(i * width + j if 0 <= i < height and 0 <= j < width else -1)
        found.append(window)
    return np.array(found)


def entries(pixel: Array, channels: int) -> Array:
    """The same windows with every channel of every pixel: (windows, size^2 channels), -1 for padding."""
    spread = np.where(pixel[..., None] >= 0, pixel[..., None] * channels + np.arange(channels), -1)
    return spread.reshape(len(pixel), -1)


def matrix(windows: Array, kernel: Array, inputs: int) -> Array:
    """The matrix (inputs, windows * units) of a kernel (entries, units) that is applied to every window of entries."""
    units = kernel.shape[-1]
    made = np.zeros((inputs, len(windows), units))
    for p, window in enumerate(windows):
        for e, i in enumerate(window):
            if i >= 0:
                made[i, p] += kernel[e]
    return made.reshape(inputs, -1)


def dense(kernel: Array, bias: Array | None = None) -> Linear:
    return Linear((kernel,), np.zeros(kernel.shape[1]) if bias is None else bias)


def convolution(pixel: Array, inputs: int, kernel: Array, bias: Array | None = None) -> Linear:
    """Of a Keras kernel (size, size, channels, units), at the windows `pixel` of an input with that many values."""
    *_, channels, units = kernel.shape
    bias = np.zeros(units) if bias is None else bias
    made = matrix(entries(pixel, channels), kernel.reshape(-1, units), inputs)
    return Linear((made,), np.tile(bias, len(pixel)))


def average_pooling(pixel: Array, inputs: int, channels: int) -> Linear:
    size = pixel.shape[1]
    averaging = convolution(pixel, inputs, np.eye(channels)[None].repeat(size, axis=0)[None] / size)
    return averaging._replace(has_weights=False)


def max_pooling(pixel: Array, channels: int) -> Maximum:
    windows = pixel[:, None, :] * channels + np.arange(channels)[:, None]
    return Maximum(windows.reshape(-1, pixel.shape[1]))


def add(n: int, operands: int = 2) -> Linear:
    return Linear((np.eye(n),) * operands, np.zeros(n), has_weights=False)


def forward(network: Network, x: Array) -> list[Array]:
    """The input and what every step gives."""
    values = [x]
    for step in network:
        values.append(step.operation(*(values[k] for k in step.operands)))
    return values


class Rules(NamedTuple):
    """`bias`: in the denominators of `normalized` ("absorbed"), not there ("ignored"), or the weight of an input that
    is 1 ("as_input"): in the denominators as well, and its S is kept.
    """

    linear: str = "gradient"
    nonlinearity: str = "ignore"
    maximum: str = "gradient"
    bias: str = "absorbed"


class Carried(NamedTuple):
    """S of every value, and, by the number of the linear step, the S of its biases (batch, outputs)."""

    values: list[Array]
    biases: dict[int, Array]


def quotient(a: Array, b: Array) -> Array:
    """a / b with 0 / 0 = 0; anything else over 0 is left as infinite as it is."""
    a, b = np.broadcast_arrays(a, b)
    return np.divide(a, b, out=np.zeros_like(a, dtype=float), where=(a != 0) | (b != 0))


def linear_rule(
    rules: Rules, operation: Linear, operands: Sequence[Array], S: Array
) -> tuple[list[Array], Array | None]:
    """To each operand, and to the bias, which is the weight of an input that is 1."""
    if rules.linear == "gradient":
        taken = [S @ kernel.T for kernel in operation.kernels]
        at_bias = S * operation.bias
    else:
        z = sum(a @ kernel for a, kernel in zip(operands, operation.kernels, strict=True))
        if rules.bias != "ignored":
            z = z + operation.bias
        s = quotient(S, z)
        taken = [a * (s @ kernel.T) for a, kernel in zip(operands, operation.kernels, strict=True)]
        at_bias = s * operation.bias
    return taken, at_bias if rules.bias == "as_input" else None


def nonlinearity_rule(name: str, f: Elementwise, z: Array, S: Array) -> Array:
    if name == "ignore":
        return S
    if name == "gradient":
        return f.derivative(z) * S
    if name == "slope":
        return quotient(f(z) - f(np.zeros_like(z)), z) * S
    return f(S)


def shares(name: str, a: Array) -> Array:
    """The shares s_i of the candidates a (..., n) of a maximum M; they sum to 1.

    gradient        all to the winner, of several to the first.
    radial          M > 0: the positive ones in proportion; M < 0: in proportion to 1 / a_i. What both approach as
                    M -> 0: those that are 0 take all.
    softmax limit   the softmax m = e log sum exp(a_i / e) has S_i = (exp(a_i / e) - exp(0)) / (sum of all of these) S
                    where e -> 0. M > 0: the winners, all the same. M < 0: every candidate the same. At M = 0 there is
                    nothing to share, and no limit; here it is what it is above 0.
    relu chain      max(a, b) = a + relu(b - a), from the first candidate on, with the slope of relu: all or nothing.
    """
    n = a.shape[-1]
    best = a.max(axis=-1, keepdims=True)
    if name == "gradient":
        return np.eye(n)[a.argmax(axis=-1)]
    if name == "radial":
        positive = quotient(np.maximum(a, 0), np.maximum(a, 0).sum(axis=-1, keepdims=True))
        inverse = 1 / np.where(a < 0, a, -1.0)
        negative = inverse / inverse.sum(axis=-1, keepdims=True)
        at_zero = (a == 0) / np.maximum((a == 0).sum(axis=-1, keepdims=True), 1)
        return np.where(best > 0, positive, np.where(best < 0, negative, at_zero))
    if name == "softmax limit":
        winners = (a == best) | (best < 0)
        return winners / winners.sum(axis=-1, keepdims=True)
    taken = np.zeros_like(a)
    taken[..., 0] = 1
    largest = a[..., 0]
    for k in range(1, n):
        slope = np.where(a[..., k] - largest > 0, 1.0, 0.0)
        taken *= (1 - slope)[..., None]
        taken[..., k] = slope
        largest = np.maximum(largest, a[..., k])
    return taken


def maximum_rule(name: str, operation: Maximum, x: Array, S: Array) -> Array:
    share = shares(name, x[:, operation.windows])
    taken = np.zeros_like(x)
    for j, window in enumerate(operation.windows):
        for c, i in enumerate(window):
            taken[:, i] += share[:, j, c] * S[:, j]
    return taken


def carry(network: Network, values: Sequence[Array], start: Array, rules: Rules) -> Carried:
    """S of every value, from S = `start` at the output; what several steps read gets the sum."""
    S = [np.zeros_like(value) for value in values]
    S[-1] = start
    biases = {}
    for k, (operation, operands, _) in reversed(list(enumerate(network, 1))):
        read = [values[i] for i in operands]
        if isinstance(operation, Linear):
            taken, at_bias = linear_rule(rules, operation, read, S[k])
            if at_bias is not None:
                biases[k] = at_bias
        elif isinstance(operation, Elementwise):
            taken = [nonlinearity_rule(rules.nonlinearity, operation, read[0], S[k])]
        elif isinstance(operation, Maximum):
            taken = [maximum_rule(rules.maximum, operation, read[0], S[k])]
        else:
            raise TypeError(f"the algebra has no rule for {operation}")
        for i, part in zip(operands, taken, strict=True):
            S[i] = S[i] + part
    return Carried(S, biases)


def chosen(output: Array, neuron: int, start: str) -> Array:
    """The start of a pass: 1 at the neuron ("one"), or its value ("output")."""
    return np.where(np.arange(output.shape[1]) == neuron, output if start == "output" else np.ones_like(output), 0.0)


def relevance(
    network: Network, x: Array, neuron: int, rules: Rules, *, start: str | None = None, times_input: bool = False
) -> tuple[Array, dict[int, Array]]:
    """S of the input, and of the biases. Started with the output's value if linear operations are normalized."""
    values = forward(network, x)
    start = start or ("output" if rules.linear == "normalized" else "one")
    S, biases = carry(network, values, chosen(values[-1], neuron, start), rules)
    return x * S[0] if times_input else S[0], biases
