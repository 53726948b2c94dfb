"""Keras' own recurrent cells, written with one linear operation per gate.

Keras computes `x W`, `h U` and `+ b` apart. To relevance they are one linear operation of the unit, whose whole
pre-activation is the denominator (Arras et al. 2017, "Explaining Recurrent Neural Network Predictions in Sentiment
Analysis"; Arras et al. 2019, "Explaining and Interpreting LSTMs").
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from kerasexplain.operations.layers.recurrent import Preactivation
from kerasexplain.trace.expansions import expands

Tensor = Any


def _function(activation: Any) -> Any:
    """An activation; one that Keras does not know as a layer, which can be opened by itself."""
    own = getattr(keras.activations, getattr(activation, "__name__", ""), None)
    return activation if activation is own or activation is None else keras.layers.Activation(activation)


@expands("layers.LSTMCell")
def _lstm(cell: Any, inputs: Tensor, states: list[Tensor], training: Any = None) -> Any:
    h, c = states
    gate, activation = _function(cell.recurrent_activation), _function(cell.activation)
    i, f, g, o = ops.split(Preactivation(cell)(ops.concatenate([inputs, h], axis=-1)), 4, axis=-1)
    c = gate(f) * c + gate(i) * activation(g)
    h = gate(o) * activation(c)
    return h, [h, c]


@expands("layers.SimpleRNNCell")
def _simple(cell: Any, sequence: Tensor, states: Any, training: Any = None) -> Any:
    (h,) = keras.tree.flatten(states)
    z = Preactivation(cell)(ops.concatenate([sequence, h], axis=-1))
    h = z if cell.activation is None else _function(cell.activation)(z)
    return h, [h] if keras.tree.is_nested(states) else h


@expands("layers.GRUCell")
def _gru(cell: Any, inputs: Tensor, states: Any, training: Any = None) -> Any:
    (h,) = keras.tree.flatten(states)
    gate, n = _function(cell.recurrent_activation), cell.units
    z, r = ops.split(Preactivation(cell, slice(2 * n))(ops.concatenate([inputs, h], axis=-1)), 2, axis=-1)
    z, r = gate(z), gate(r)
    of_candidate = slice(2 * n, 3 * n)
    if cell.reset_after:
        # The gate comes between: two linear operations, added.
        of_x = ops.matmul(inputs, cell.kernel[:, of_candidate])
        of_h = ops.matmul(h, cell.recurrent_kernel[:, of_candidate])
        if cell.use_bias:
            of_x, of_h = of_x + cell.bias[0, of_candidate], of_h + cell.bias[1, of_candidate]
        candidate = of_x + r * of_h
    else:
        candidate = Preactivation(cell, of_candidate)(ops.concatenate([inputs, r * h], axis=-1))
    h = z * h + (1 - z) * _function(cell.activation)(candidate)
    return h, [h] if keras.tree.is_nested(states) else h


@expands("layers.Bidirectional")
def _bidirectional(
    layer: Any, sequences: Tensor, initial_state: Any = None, mask: Tensor | None = None, training: Any = None
) -> Any:
    states = list(initial_state or ())
    half = len(states) // 2
    given = [{"initial_state": part} if part else {} for part in (states[:half], states[half:])]
    given = [{**options, "mask": mask} if mask is not None else options for options in given]
    forward = keras.tree.flatten(layer.forward_layer(sequences, **given[0]))
    backward = keras.tree.flatten(layer.backward_layer(sequences, **given[1]))
    one, other = forward[0], backward[0]
    if layer.return_sequences:
        other = ops.flip(other, axis=1)
    merge: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "concat": lambda a, b: ops.concatenate([a, b], axis=-1),
        "sum": ops.add,
        "ave": lambda a, b: (a + b) / 2,
        "mul": ops.multiply,
    }
    merged = [one, other] if layer.merge_mode is None else [merge[layer.merge_mode](one, other)]
    outputs = (*merged, *forward[1:], *backward[1:])
    return outputs if len(outputs) > 1 else outputs[0]
