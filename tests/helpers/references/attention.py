"""Layer-wise relevance propagation through a transformer, in numpy, from the papers' formulas.

Achtibat et al. 2024, "AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for Transformers" (arXiv 2402.05602);
Ali et al. 2022, "XAI for Transformers: Better Explanations through Conservative Propagation" (arXiv 2202.07304).

Relevance itself is carried from the logit to the input, rule by rule: there is no gradient here, no modified backward
pass and no epsilon. What a rule does not hand on to an operand goes to a constant term (a bias, or what is left over
of a linearisation) and is returned, so that the audit can be closed.

Shapes: x is (batch, T, d), queries, keys and values (batch, T, heads, size), scores (batch, heads, T, T). R is the
relevance of an operation's output. In einsum: b batch, h head, t query, s key, a and v the sizes of a head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

Array = np.ndarray
#: What a score becomes where attention is not allowed; its weight is then exactly 0, like that of minus infinity.
FORBIDDEN = -1e30


class Affine(NamedTuple):
    """z_j = sum_i x_i W_ij + b_j, over the last axis."""

    kernel: Array
    bias: Array

    def __call__(self, x: Array) -> Array:
        return x @ self.kernel + self.bias


class Norm(NamedTuple):
    """y = gamma (x - mean) / sigma + beta with sigma = sqrt(variance + epsilon), over the last axis."""

    gamma: Array
    beta: Array
    epsilon: float

    def sigma(self, x: Array) -> Array:
        return np.sqrt(x.var(axis=-1, keepdims=True) + self.epsilon)

    def __call__(self, x: Array) -> Array:
        return self.gamma * (x - x.mean(axis=-1, keepdims=True)) / self.sigma(x) + self.beta


class Block(NamedTuple):
    """x = x + attend(norm1(x)); x = x + down(gelu(up(norm2(x)))). The heads' kernels lie side by side."""

    norm1: Norm
    query: Affine
    key: Affine
    value: Affine
    merge: Affine
    norm2: Norm
    up: Affine
    down: Affine


class Transformer(NamedTuple):
    """The blocks, a last normalisation, the mean over time, and the logits."""

    blocks: list[Block]
    norm: Norm
    logits: Affine
    heads: int
    gelu: Callable[[Array], Array]


class Forward(NamedTuple):
    """The activations of one block, by the names of its operations."""

    x: Array
    normed: Array
    q: Array
    k: Array
    v: Array
    scores: Array
    weights: Array
    mixed: Array
    merged: Array
    middle: Array
    normed2: Array
    lifted: Array
    bent: Array
    lowered: Array
    out: Array


def gelu(z: Array) -> Array:
    """z Phi(z), with the distribution function Phi of the normal distribution in its exact form (erf)."""
    return z * 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))


def softmax(x: Array) -> Array:
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def split(x: Array, heads: int) -> Array:
    return x.reshape(*x.shape[:2], heads, -1)


def join(x: Array) -> Array:
    return x.reshape(*x.shape[:2], -1)


def block_forward(net: Transformer, block: Block, x: Array, allowed: Array) -> Forward:
    normed = block.norm1(x)
    q, k, v = (split(f(normed), net.heads) for f in (block.query, block.key, block.value))
    scores = np.einsum("btha,bsha->bhts", q, k) / math.sqrt(q.shape[-1])
    weights = softmax(np.where(allowed, scores, FORBIDDEN))
    mixed = np.einsum("bhts,bshv->bthv", weights, v)
    merged = block.merge(join(mixed))
    middle = x + merged
    normed2 = block.norm2(middle)
    lifted = block.up(normed2)
    bent = net.gelu(lifted)
    lowered = block.down(bent)
    return Forward(
        *(x, normed, q, k, v, scores, weights, mixed, merged, middle, normed2, lifted, bent, lowered),
        out=middle + lowered,
    )


def forward(net: Transformer, x: Array, allowed: Array) -> Iterator[Forward]:
    for block in net.blocks:
        passed = block_forward(net, block, x, allowed)
        yield passed
        x = passed.out


def logits(net: Transformer, x: Array, allowed: Array, counted: Array) -> Array:
    """The output.

    Args:
        allowed: Which keys a query may see; broadcast to (batch, heads, T, T).
        counted: Which steps the mean is over; (batch, T).
    """
    *_, last = forward(net, x, allowed)
    return net.logits(mean_over_time(net.norm(last.out), counted))


def mean_over_time(x: Array, counted: Array) -> Array:
    return (x * share_of_time(counted)).sum(axis=1)


def share_of_time(counted: Array) -> Array:
    """1 / n for each of a sample's n counted steps and 0 for the others: (batch, T, 1)."""
    return (counted / counted.sum(axis=1, keepdims=True))[..., None]


def linear_rule(x: Array, layer: Affine, R: Array) -> tuple[Array, Array]:
    """R_i = sum_j x_i W_ij R_j / z_j; the bias takes b_j R_j / z_j.

    AttnLRP, equation 8, with epsilon = 0; it is rule Z of Bach et al. 2015.
    """
    s = R / layer(x)
    return x * (s @ layer.kernel.T), layer.bias * s


def norm_rule(x: Array, norm: Norm, R: Array) -> tuple[Array, Array]:
    """R_i = x_i sum_j J_ji R_j / y_j with J_ji = gamma_j (delta_ij - 1 / d) / sigma; beta takes beta_j R_j / y_j.

    Sigma is a constant, the mean is not. XAI for Transformers, section 4, the LN-rule:
    R_i = sum_j x_i (delta_ij - 1 / d) / (sum_k x_k (delta_kj - 1 / d)) R_j, which is this one where beta = 0; beta is a
    bias like any other. AttnLRP, proposition 3.4, has sigma constant too.
    """
    d = x.shape[-1]
    jacobian = norm.gamma[:, None] * (np.eye(d) - 1 / d)
    s = R / norm(x)
    return x * ((s / norm.sigma(x)) @ jacobian), norm.beta * s


def add_rule(a: Array, b: Array, R: Array) -> tuple[Array, Array]:
    """R_a = a R / (a + b), R_b = b R / (a + b). AttnLRP, equation 8, with an identity for each operand."""
    return a * R / (a + b), b * R / (a + b)


def mean_rule(x: Array, counted: Array, R: Array) -> Array:
    """R_ti = x_ti R_i / sum_s x_si over the counted steps, none for the others: the linear rule with weights 1 / n."""
    parts = x * share_of_time(counted)
    return parts * (R / parts.sum(axis=1))[:, None, :]


def softmax_rule(x: Array, s: Array, R: Array) -> tuple[Array, Array]:
    """R_i = x_i (R_i - s_i sum_j R_j), AttnLRP, proposition 3.1: a Taylor expansion at x.

    s_i = (J x)_i + c_i with (J x)_i = s_i (x_i - sum_j s_j x_j): the constant term c_i takes c_i R_i / s_i.
    """
    left_over = R * (1 - x + (s * x).sum(axis=-1, keepdims=True))
    return x * (R - s * R.sum(axis=-1, keepdims=True)), left_over


def scores_rule(q: Array, k: Array, R: Array) -> tuple[Array, Array]:
    """R_ta(Q) = sum_s q_ta k_sa R_ts / (2 O_ts), R_sa(K) = sum_t q_ta k_sa R_ts / (2 O_ts), O_ts = sum_a q_ta k_sa.

    AttnLRP, proposition 3.3: of the share of each product q_ta k_sa its factors get one half each (the uniform rule,
    proposition 3.2). That O is then divided by sqrt(d_k) changes nothing: relevance passes.
    """
    parts = np.einsum("btha,bsha->bhtsa", q, k)
    messages = parts * (R / (2 * parts.sum(axis=-1)))[..., None]
    return np.einsum("bhtsa->btha", messages), np.einsum("bhtsa->bsha", messages)


def values_rule(weights: Array, v: Array, R: Array) -> tuple[Array, Array]:
    """R_ts(A) = sum_v A_ts v_sv R_tv / (2 O_tv), R_sv(V) = sum_t A_ts v_sv R_tv / (2 O_tv), O_tv = sum_s A_ts v_sv.

    AttnLRP, proposition 3.3: A_ji V_ip R_jp / (2 O_jp) in its letters.
    """
    messages = values_messages(weights, v, R) / 2
    return messages.sum(axis=-1), np.einsum("bhtsv->bshv", messages)


def values_rule_cp(weights: Array, v: Array, R: Array) -> tuple[Array, Array]:
    """R_sv(V) = sum_t A_ts v_sv R_tv / O_tv and nothing for A, the attention weights: they count as constants.

    XAI for Transformers, section 4, the AH-rule: R_i = sum_j x_i p_ij / (sum_i' x_i' p_i'j) R_j.
    """
    return np.zeros_like(weights), np.einsum("bhtsv->bshv", values_messages(weights, v, R))


def values_messages(weights: Array, v: Array, R: Array) -> Array:
    parts = np.einsum("bhts,bshv->bhtsv", weights, v)
    return parts * (R.transpose(0, 2, 1, 3) / parts.sum(axis=-2))[..., None, :]


def block_rule(block: Block, f: Forward, R: Array, cp: bool) -> tuple[Array, dict[str, Array]]:
    """The relevance of a block's input, and what its constant terms take."""
    constants = {}
    R_middle, R_lowered = add_rule(f.middle, f.lowered, R)
    R_bent, constants["down"] = linear_rule(f.bent, block.down, R_lowered)
    R_lifted = R_bent  # GELU: R (f(z) - f(0)) / f(z), with f(0) = 0. AttnLRP, equation 9.
    R_normed2, constants["up"] = linear_rule(f.normed2, block.up, R_lifted)
    R_skipped, constants["norm2"] = norm_rule(f.middle, block.norm2, R_normed2)
    R_x, R_merged = add_rule(f.x, f.merged, R_middle + R_skipped)
    R_mixed, constants["merge"] = linear_rule(join(f.mixed), block.merge, R_merged)
    values = values_rule_cp if cp else values_rule
    R_weights, R_v = values(f.weights, f.v, split(R_mixed, f.v.shape[2]))
    R_scores, constants["softmax"] = softmax_rule(f.scores, f.weights, R_weights)
    R_q, R_k = scores_rule(f.q, f.k, R_scores)
    R_normed = np.zeros_like(f.normed)
    for name, part in (("query", R_q), ("key", R_k), ("value", R_v)):
        to_input, constants[name] = linear_rule(f.normed, getattr(block, name), join(part))
        R_normed += to_input
    to_input, constants["norm1"] = norm_rule(f.x, block.norm1, R_normed)
    return R_x + to_input, constants


def relevance(
    net: Transformer, x: Array, neuron: int, allowed: Array, counted: Array, *, cp: bool = False
) -> tuple[Array, dict[str, Array]]:
    """The relevance of x for one logit, which is where the pass starts, by AttnLRP; or by CP-LRP.

    Returns:
        The relevance of x and, by name, that of every constant term; its first axis is the batch.
    """
    passed = list(forward(net, x, allowed))
    last = passed[-1].out
    normed = net.norm(last)
    pooled = mean_over_time(normed, counted)
    R = np.zeros((len(x), len(net.logits.bias)))
    R[:, neuron] = net.logits(pooled)[:, neuron]
    constants = {}
    R, constants["logits"] = linear_rule(pooled, net.logits, R)
    R = mean_rule(normed, counted, R)
    R, constants["norm"] = norm_rule(last, net.norm, R)
    for i in reversed(range(len(net.blocks))):
        R, taken = block_rule(net.blocks[i], passed[i], R, cp)
        constants |= {f"{name} of block {i}": part for name, part in taken.items()}
    return R, constants
