"""Layer-wise relevance propagation through recurrent networks, in numpy, from the papers' formulas.

Arras et al. 2017, "Explaining Recurrent Neural Network Predictions in Sentiment Analysis" (WASSA, arXiv 1706.07206),
the section on LRP: "Weighted Connections" and "Multiplicative Interactions"; Arras et al. 2019, "Explaining and
Interpreting LSTMs" (arXiv 1909.12114), where this is called signal-take-all: the signal of a product takes all and its
gate nothing. The papers' delta is 0 here: biases and epsilon keep what they take.

The papers know the LSTM. The simple network and the GRU follow by the same rules, operation by operation; which
operations they are is said at each cell. Keras computes

    LSTM         i, f, o = sigmoid(.), g = tanh(.) of x W + h U + b; c' = f c + i g; h' = o tanh(c')
    GRU          z, r = sigmoid(.) of x W + h U + b; h' = z h + (1 - z) n, with
                   n = tanh(x W_n + b_n + r (h U_n + b'_n))   (reset_after=True, Keras' default, two rows of biases)
                   n = tanh(x W_n + b_n + (r h) U_n)          (reset_after=False)
    SimpleRNN    h' = tanh(x W + h U + b)

with the kernels of i, f, g, o, and of z, r, n, side by side. Shapes: x is (batch, T, d), h and c are (batch, units).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Array = np.ndarray
State = tuple[Array, ...]


class Weights(NamedTuple):
    """Of one cell, in the order of Keras: W is (d, n units), U is (units, n units), b is (n units,) or (2, n units)."""

    kernel: Array
    recurrent: Array
    bias: Array


class Damping(NamedTuple):
    """The terms added to denominators: epsilon to those of linear operations, stabilizer to those of sums."""

    epsilon: float
    stabilizer: float


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def quotient(R: Array, y: Array, damping: float) -> Array:
    """R / (y + damping sign(y)) with sign(0) = +1, and 0 / 0 = 0."""
    damped = y + damping * np.where(y >= 0, 1.0, -1.0)
    return np.divide(R, damped, out=np.zeros_like(R), where=(R != 0) | (damped != 0))


def linear_rule(operands: Sequence[tuple[Array, Array]], z: Array, R: Array, epsilon: float) -> list[Array]:
    """R_i = sum_j x_i W_ij R_j / (z_j + epsilon sign(z_j)) for each operand x with its matrix W.

    z_j is all of the unit's pre-activation: of every operand, and the bias. Arras 2017, "Weighted Connections".
    """
    s = quotient(R, z, epsilon)
    return [x * (s @ kernel.T) for x, kernel in operands]


def add_rule(a: Array, b: Array, R: Array, stabilizer: float) -> tuple[Array, Array]:
    """R_a = a R / (y + stabilizer sign(y)) with y = a + b; so for b. The linear rule with identities for matrices."""
    s = quotient(R, a + b, stabilizer)
    return a * s, b * s


def parts(weights: Weights, n: int) -> list[Weights]:
    """The weights of each of the n maps that lie side by side."""
    return [Weights(*part) for part in zip(*(np.split(array, n, axis=-1) for array in weights), strict=True)]


def lstm_gates(weights: Weights, x: Array, h: Array) -> list[Array]:
    return np.split(x @ weights.kernel + h @ weights.recurrent + weights.bias, 4, axis=-1)


def lstm_step(weights: Weights, x: Array, state: State) -> State:
    h, c = state
    i, f, g, o = lstm_gates(weights, x, h)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def lstm_rule(weights: Weights, x: Array, state: State, R: State, damping: Damping) -> tuple[Array, State]:
    """Arras 2017, "Multiplicative Interactions": h' = o tanh(c') hands all to c'; c' = f c + i g is a sum, whose
    products hand all to c and to g; g is linear in x and h, whose contributions share one denominator. i, f, o get 0.
    """
    h, c = state
    R_h, R_c = R
    i, f, g, _ = lstm_gates(weights, x, h)
    R_c, R_g = add_rule(sigmoid(f) * c, sigmoid(i) * np.tanh(g), R_h + R_c, damping.stabilizer)
    W, U, _ = parts(weights, 4)[2]
    R_x, R_h = linear_rule([(x, W), (h, U)], g, R_g, damping.epsilon)
    return R_x, (R_h, R_c)


class GruParts(NamedTuple):
    """The update gate z, the reset gate r, the pre-activation n of the candidate, and what it is the sum of."""

    z: Array
    r: Array
    n: Array
    from_x: Array
    from_h: Array


def gru_parts(weights: Weights, x: Array, h: Array, reset_after: bool) -> GruParts:
    b = weights.bias if reset_after else np.stack([weights.bias, np.zeros_like(weights.bias)])
    of_x = np.split(x @ weights.kernel + b[0], 3, axis=-1)
    of_h = np.split(h @ weights.recurrent + b[1], 3, axis=-1)
    z, r = (sigmoid(of_x[k] + of_h[k]) for k in (0, 1))
    from_h = of_h[2] if reset_after else (r * h) @ parts(weights, 3)[2].recurrent
    return GruParts(z, r, of_x[2] + (r * from_h if reset_after else from_h), of_x[2], from_h)


def gru_step(weights: Weights, x: Array, state: State, reset_after: bool = True) -> State:
    (h,) = state
    p = gru_parts(weights, x, h, reset_after)
    return (p.z * h + (1 - p.z) * np.tanh(p.n),)


def gru_rule(
    weights: Weights, x: Array, state: State, R: State, damping: Damping, reset_after: bool = True
) -> tuple[Array, State]:
    """h' = z h + (1 - z) n is a sum (stabilizer) of products whose signals are h and the candidate n; gates get 0.

    reset_after=True: the pre-activation (x W + b) + r (h U + b') is again a sum (stabilizer), of a linear operation on
    x and of a product whose signal is a linear operation on h. Each of the two has its own bias and its own denominator
    (epsilon): x W + b and h U + b'. Together they are not one linear operation, and have no common denominator.

    reset_after=False: the pre-activation x W + b + (r h) U is one linear operation on x and on r h, with one
    denominator (epsilon), as in the LSTM; the product r h hands all to h.
    """
    (h,) = state
    p = gru_parts(weights, x, h, reset_after)
    R_kept, R_n = add_rule(p.z * h, (1 - p.z) * np.tanh(p.n), R[0], damping.stabilizer)
    W, U, _ = parts(weights, 3)[2]
    if reset_after:
        R_from_x, R_from_h = add_rule(p.from_x, p.r * p.from_h, R_n, damping.stabilizer)
        (R_x,) = linear_rule([(x, W)], p.from_x, R_from_x, damping.epsilon)
        (R_h,) = linear_rule([(h, U)], p.from_h, R_from_h, damping.epsilon)
    else:
        R_x, R_h = linear_rule([(x, W), (p.r * h, U)], p.n, R_n, damping.epsilon)
    return R_x, (R_kept + R_h,)


def gru_before_step(weights: Weights, x: Array, state: State) -> State:
    return gru_step(weights, x, state, reset_after=False)


def gru_before_rule(weights: Weights, x: Array, state: State, R: State, damping: Damping) -> tuple[Array, State]:
    return gru_rule(weights, x, state, R, damping, reset_after=False)


def simple_step(weights: Weights, x: Array, state: State) -> State:
    return (np.tanh(x @ weights.kernel + state[0] @ weights.recurrent + weights.bias),)


def simple_rule(weights: Weights, x: Array, state: State, R: State, damping: Damping) -> tuple[Array, State]:
    """h' = tanh(x W + h U + b): one linear operation on x and h with one denominator (epsilon); tanh passes."""
    (h,) = state
    z = x @ weights.kernel + h @ weights.recurrent + weights.bias
    R_x, R_h = linear_rule([(x, weights.kernel), (h, weights.recurrent)], z, R[0], damping.epsilon)
    return R_x, (R_h,)


class Cell(NamedTuple):
    step: Callable[..., State]
    rule: Callable[..., tuple[Array, State]]
    states: int


LSTM = Cell(lstm_step, lstm_rule, states=2)
GRU = Cell(gru_step, gru_rule, states=1)
GRU_RESET_BEFORE = Cell(gru_before_step, gru_before_rule, states=1)
SIMPLE = Cell(simple_step, simple_rule, states=1)


class Layer(NamedTuple):
    """One direction, with its `weights`; or two whose outputs stand side by side, when there are `mirrored` ones.

    A layer that goes backwards returns its outputs in the order in which it computes them, the last step's first; the
    backward half of a bidirectional layer returns them in the order of time. That is how Keras has it.
    """

    cell: Cell
    weights: Weights
    mirrored: Weights | None = None
    backwards: bool = False


def in_order(x: Array, backwards: bool) -> Array:
    return x[:, ::-1] if backwards else x


def states(cell: Cell, weights: Weights, x: Array, mask: Array) -> list[State]:
    """The states before the first step and after each. At a masked step (mask False) the state stays what it was."""
    passed = [(np.zeros((len(x), len(weights.recurrent))),) * cell.states]
    for t in range(x.shape[1]):
        new = cell.step(weights, x[:, t], passed[-1])
        passed.append(tuple(np.where(mask[:, t, None], a, b) for a, b in zip(new, passed[-1], strict=True)))
    return passed


def outputs(layer: Layer, x: Array, mask: Array) -> Array:
    """h after every step: (batch, T, units), or (batch, T, 2 units). Of a masked step: what it was before."""
    if layer.mirrored is not None:
        there = outputs(Layer(layer.cell, layer.weights), x, mask)
        back = outputs(Layer(layer.cell, layer.mirrored, backwards=True), x, mask)
        return np.concatenate([there, back[:, ::-1]], axis=-1)
    passed = states(layer.cell, layer.weights, in_order(x, layer.backwards), in_order(mask, layer.backwards))
    return np.stack([state[0] for state in passed[1:]], axis=1)


def layer_rule(layer: Layer, x: Array, mask: Array, R: Array, damping: Damping) -> Array:
    """From the relevance of every output, shaped like `outputs`, to that of x: from the last step back to the first.

    At a masked step relevance passes to the state before, and x gets none.
    """
    if layer.mirrored is not None:
        there, back = np.split(R, 2, axis=-1)
        forth = layer_rule(Layer(layer.cell, layer.weights), x, mask, there, damping)
        return forth + layer_rule(Layer(layer.cell, layer.mirrored, backwards=True), x, mask, back[:, ::-1], damping)
    x, mask = in_order(x, layer.backwards), in_order(mask, layer.backwards)
    passed = states(layer.cell, layer.weights, x, mask)
    R_x = np.zeros_like(x)
    R_state = tuple(np.zeros_like(part) for part in passed[0])
    for t in reversed(range(x.shape[1])):
        R_state = (R_state[0] + R[:, t], *R_state[1:])
        stepped = tuple(np.where(mask[:, t, None], part, 0.0) for part in R_state)
        R_x[:, t], R_before = layer.cell.rule(layer.weights, x[:, t], passed[t], stepped, damping)
        carried = (part - taken for part, taken in zip(R_state, stepped, strict=True))
        R_state = tuple(a + b for a, b in zip(R_before, carried, strict=True))
    return in_order(R_x, layer.backwards)


def final(layer: Layer, h: Array) -> Array:
    """The output of a layer that does not return sequences: after the last step computed, in each direction."""
    if layer.mirrored is None:
        return h[:, -1]
    there, back = np.split(h, 2, axis=-1)
    return np.concatenate([there[:, -1], back[:, 0]], axis=-1)


def from_final(layer: Layer, R: Array, steps: int) -> Array:
    """The relevance of every output, when only `final` of them is used."""
    spread = np.zeros((len(R), steps, R.shape[-1]))
    if layer.mirrored is None:
        spread[:, -1] = R
        return spread
    units = R.shape[-1] // 2
    spread[:, -1, :units], spread[:, 0, units:] = R[:, :units], R[:, units:]
    return spread


def logits(layers: Sequence[Layer], kernel: Array, bias: Array, x: Array, mask: Array) -> Array:
    """The layers one after the other, the last one's final output, and a dense layer."""
    for layer in layers:
        x = outputs(layer, x, mask)
    return final(layers[-1], x) @ kernel + bias


def relevance(
    layers: Sequence[Layer], kernel: Array, bias: Array, x: Array, mask: Array, neuron: int, damping: Damping
) -> Array:
    """The relevance of x for one logit, with which the pass starts; `mask` (batch, T): which steps count."""
    inputs = [x]
    for layer in layers:
        inputs.append(outputs(layer, inputs[-1], mask))
    last = final(layers[-1], inputs[-1])
    z = last @ kernel + bias
    R = np.where(np.arange(len(bias)) == neuron, z, 0.0)
    (R,) = linear_rule([(last, kernel)], z, R, damping.epsilon)
    R = from_final(layers[-1], R, x.shape[1])
    for layer, entered in zip(reversed(layers), reversed(inputs[:-1]), strict=True):
        R = layer_rule(layer, entered, mask, R, damping)
    return R
