"""The backend at hand, for tests: its ordinary differentiation, and operations that Keras does not know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

Tensor = Any
BACKEND = keras.backend.backend()

if BACKEND == "jax":
    import jax
    import jax.numpy as jnp
elif BACKEND == "torch":
    import torch
else:
    import tensorflow as tf


def of_the_backend(x: Tensor) -> Tensor:
    """Sums along the last axis, by code of the backend: it does not run on symbolic tensors."""
    if BACKEND == "torch":
        return torch.cumsum(x, dim=-1)
    return jnp.cumsum(x, axis=-1) if BACKEND == "jax" else tf.cumsum(x, axis=-1)


def untranslated(patch: Any) -> None:
    """Makes the operation of `of_the_backend` one that no front end knows, where one does."""
    if BACKEND == "tensorflow":
        from kerasexplain.trace.tensorflow.table import TABLE

        patch.delitem(TABLE, "Cumsum")


def gradients(function: Callable[..., Tensor], *xs: Any, signal: Any = None) -> tuple[Tensor, list[Tensor]]:
    """The output of a function of tensors, and the gradients of its sum, or of its sum weighted by a signal.

    The signal may be a function of the output.
    """
    xs = tuple(keras.ops.convert_to_tensor(x) for x in xs)
    if BACKEND == "jax":
        y, pullback = jax.vjp(function, *xs)
        signal = jnp.ones_like(y) if signal is None else signal
        return y, list(pullback(signal(y) if callable(signal) else signal))
    if BACKEND == "torch":
        xs = tuple(x.detach().requires_grad_() for x in xs)
        y = function(*xs)
        signal = signal(y) if callable(signal) else signal
        signal = torch.ones_like(y) if signal is None else keras.ops.convert_to_tensor(signal)
        return y.detach(), list(torch.autograd.grad(y, xs, signal, create_graph=True, materialize_grads=True))
    with tf.GradientTape() as tape:
        tape.watch(xs)
        y = function(*xs)
    signal = signal(y) if callable(signal) else signal
    return y, list(tape.gradient(y, xs, output_gradients=signal, unconnected_gradients="zero"))


def gradients_by_weights(
    loss: Callable[[], Tensor], variables: Sequence[keras.Variable], mode: str = "eager"
) -> list[Tensor]:
    """The gradients of a number by a model's variables: "eager", in a "function", or compiled by "xla"."""
    if BACKEND == "torch":
        given = [v.value for v in variables]
        return list(torch.autograd.grad(loss(), given, allow_unused=True, materialize_grads=True))
    if BACKEND == "jax":

        def of_values(values: list[Tensor]) -> Tensor:
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return loss()

        differentiated = jax.grad(of_values)
        return (differentiated if mode == "eager" else jax.jit(differentiated))([v.value for v in variables])

    def by_tape() -> list[Tensor]:
        with tf.GradientTape() as tape:
            value = loss()
        return tape.gradient(value, [v.value for v in variables])

    return (by_tape if mode == "eager" else tf.function(by_tape, jit_compile=mode == "xla", autograph=False))()
