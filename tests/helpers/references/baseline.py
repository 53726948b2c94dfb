"""Explanations of a difference y(x) - y(x') from a baseline x', in numpy, from the papers' formulas.

Shrikumar, Greenside and Kundaje 2017, "Learning Important Features Through Propagating Activation Differences"
(DeepLIFT, arXiv 1704.02685): the multipliers and their chain rule (section 3.2), the linear rule (3.5.1), Rescale
(3.5.2) and RevealCancel (3.5.3). The same slopes against a baseline, (b - b') / (a - a'), are "Solution 2" of the essay
in `algebra.py`, which also has two ways to take a maximum; both are built of sums and of elementwise functions.

Every value has two multipliers, m+ for its positive and m- for its negative part (of the difference to its baseline),
which differ only for the output of a linear operation that a function follows under RevealCancel. Relevance is
(x - x') m, and sums to y(x) - y(x').
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .algebra import Array, Elementwise, Linear, Maximum, Network, chosen, forward

#: A multiplier for the positive, and one for the negative part of a difference.
Pair = tuple[Array, Array]


def slope(f: Elementwise, z: Array, reference: Array) -> Array:
    """Rescale: (f(z) - f(z')) / (z - z'), and what that approaches, f', where they are equal."""
    same = z == reference
    return np.where(same, f.derivative(z), (f(z) - f(reference)) / np.where(same, 1.0, z - reference))


def parts(operation: Linear, differences: Sequence[Array]) -> Pair:
    """dz+ and dz-: the sums of the positive, and of the negative w_ij dx_i. A bias is no difference."""
    positive = negative = 0.0
    for dx, kernel in zip(differences, operation.kernels, strict=True):
        terms = dx[:, :, None] * kernel
        positive = positive + np.where(terms > 0, terms, 0.0).sum(axis=1)
        negative = negative + np.where(terms < 0, terms, 0.0).sum(axis=1)
    return positive, negative


def reveal_cancel(f: Elementwise, reference: Array, positive: Array, negative: Array) -> Pair:
    """m+ = dy+ / dz+ and m- = dy- / dz-, where dy+ is what dz+ does on its own and after dz-, in equal parts.

    Where dz+ is 0: what that quotient approaches, which is what the authors' program computes, with a tiny dz+.
    """

    def multiplier(own: Array, other: Array) -> Array:
        alone = f(reference + own) - f(reference)
        after = f(reference + other + own) - f(reference + other)
        limit = (f.derivative(reference) + f.derivative(reference + other)) / 2
        return np.where(own == 0, limit, (alone + after) / 2 / np.where(own == 0, 1.0, own))

    return multiplier(positive, negative), multiplier(negative, positive)


def linear_rule(operation: Linear, differences: Sequence[Array], m: Pair) -> list[Array]:
    """w_ij m+_j where w_ij dx_i > 0, w_ij m-_j where it is < 0, and half of each where dx_i is 0."""
    taken = []
    for dx, kernel in zip(differences, operation.kernels, strict=True):
        sign = np.sign(dx)[:, :, None] * np.sign(kernel)
        of_output = [part[:, None, :] for part in m]
        both = np.where(sign > 0, of_output[0], np.where(sign < 0, of_output[1], sum(of_output) / 2))
        taken.append(np.einsum("ij,bij->bi", kernel, both))
    return taken


def softmax_limit(x: Array, reference: Array) -> Array:
    """Multipliers of max(x_1 .. x_n), as m = e log sum_i exp(x_i / e) has them where e -> 0.

    With E_i = exp(x_i / e), the slopes of exp and log make (E_i - E'_i) / sum_k (E_k - E'_k) of m - m' the contribution
    of x_i. The largest of all E decides: if M = max(x) > M' = max(x'), all of M - M' is the winner's in x (winners
    share); if M < M', the winner's in x'. If M = M', there is nothing to contribute, but a candidate that equals both
    has the multiplier E_i (log S - log S') / (S - S') with S = sum_k E_k: log(p / q) / (p - q) for p winners in x and q
    in x', so 1 / p where p = q.
    """
    best, best_reference = (part.max(axis=-1, keepdims=True) for part in (x, reference))
    wins, won = x == best, reference == best_reference
    p, q = (part.sum(axis=-1, keepdims=True) for part in (wins, won))
    share = np.where(best > best_reference, wins / p, won / q)
    equal = x == reference
    moved = np.where(equal, 0.0, share * (best - best_reference) / np.where(equal, 1.0, x - reference))
    still = np.where(p == q, 1 / p, np.log(p / q) / np.where(p == q, 1, p - q))
    return np.where(best == best_reference, np.where(wins & won, still, 0.0), moved)


def relu_chain(x: Array, reference: Array) -> Array:
    """Multipliers of max(a, b) = a + relu(b - a), from the first candidate on, by the slope of relu."""
    relu = Elementwise(lambda d: np.maximum(d, 0), lambda d: np.where(d > 0, 1.0, 0.0))
    m = np.zeros_like(x)
    m[..., 0] = 1
    largest, largest_reference = x[..., 0], reference[..., 0]
    for k in range(1, x.shape[-1]):
        s = slope(relu, x[..., k] - largest, reference[..., k] - largest_reference)
        m *= (1 - s)[..., None]
        m[..., k] = s
        largest, largest_reference = np.maximum(largest, x[..., k]), np.maximum(largest_reference, reference[..., k])
    return m


MAXIMA = {"softmax limit": softmax_limit, "relu chain": relu_chain}


def maximum_rule(name: str, operation: Maximum, x: Array, reference: Array, m: Array) -> Array:
    of_window = MAXIMA[name](x[:, operation.windows], reference[:, operation.windows])
    taken = np.zeros_like(x)
    for j, window in enumerate(operation.windows):
        for c, i in enumerate(window):
            taken[:, i] += of_window[:, j, c] * m[:, j]
    return taken


def multipliers(
    network: Network, x: Array, reference: Array, neuron: int, rule: str = "rescale", maximum: str = "softmax limit"
) -> Array:
    """Of the input, for one neuron of the output; `reference` is shaped like x."""
    values, references = forward(network, x), forward(network, reference)
    m = [(np.zeros_like(value),) * 2 for value in values]
    m[-1] = (chosen(values[-1], neuron, "one"),) * 2
    for k, (operation, operands, _) in reversed(list(enumerate(network, 1))):
        read, read_reference = ([held[i] for i in operands] for held in (values, references))
        differences = [a - b for a, b in zip(read, read_reference, strict=True)]
        taken: list[Pair]
        if isinstance(operation, Linear):
            taken = [(part, part) for part in linear_rule(operation, differences, m[k])]
        elif isinstance(operation, Elementwise):
            before = network[operands[0] - 1] if operands[0] else None
            # As the paper has it, behind dense and convolutional layers; a sum or an average in between is Rescale.
            weighted = before is not None and isinstance(before.operation, Linear) and before.operation.has_weights
            if rule == "reveal_cancel" and weighted:
                moved = [values[i] - references[i] for i in before.operands]
                pair = reveal_cancel(operation, read_reference[0], *parts(before.operation, moved))
                taken = [(pair[0] * m[k][0], pair[1] * m[k][1])]
            else:
                s = slope(operation, read[0], read_reference[0])
                taken = [(s * m[k][0], s * m[k][1])]
        elif isinstance(operation, Maximum):
            part = maximum_rule(maximum, operation, read[0], read_reference[0], m[k][0])
            taken = [(part, part)]
        else:  # a b - a' b' = (a - a') (b + b') / 2 + (b - b') (a + a') / 2
            means = [(a + b) / 2 for a, b in zip(read, read_reference, strict=True)]
            taken = [(mean * m[k][0], mean * m[k][1]) for mean in reversed(means)]
        for i, part in zip(operands, taken, strict=True):
            m[i] = (m[i][0] + part[0], m[i][1] + part[1])
    return m[0][0]


def relevance(
    network: Network,
    x: Array,
    references: Array,
    neuron: int,
    rule: str = "rescale",
    maximum: str = "softmax limit",
) -> Array:
    """(x - x') m, for every sample the mean over the baselines (K, n)."""
    found = []
    for reference in references:
        repeated = np.broadcast_to(reference, x.shape)
        found.append((x - repeated) * multipliers(network, x, repeated, neuron, rule, maximum))
    return np.mean(found, axis=0)
