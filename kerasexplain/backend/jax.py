"""JAX: gradient overrides, pullbacks and compilation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from kerasexplain.backend.switch import is_relevance_pass

Tensor = Any


def override(
    forward: Callable[..., tuple[Tensor, Any]],
    backward: Callable[[Any, Tensor], Sequence[Tensor | None]],
    *inputs: Tensor,
) -> Tensor:
    """`forward(*inputs)`, with another gradient during a relevance pass; see the TensorFlow backend."""
    if not is_relevance_pass():
        return forward(*inputs)[0]
    like = [(jnp.shape(x), x.dtype) for x in inputs]

    @jax.custom_vjp
    def routed(*inputs: Tensor) -> Tensor:
        return forward(*inputs)[0]

    def back(residuals: Any, signal: Tensor) -> tuple[Tensor, ...]:
        given = zip(backward(residuals, signal), like, strict=True)
        return tuple(jnp.zeros(shape, dtype) if g is None else jnp.asarray(g, dtype) for g, (shape, dtype) in given)

    routed.defvjp(forward, back)
    return routed(*inputs)


def pull_back(
    function: Callable[..., tuple[Tensor, Any]], *primals: Any
) -> tuple[Tensor, Any, Callable[[Tensor], tuple[Any, ...]]]:
    """Vector-Jacobian product; see the TensorFlow backend."""
    keys: list[Any] = []

    def flat(*primals: Any) -> tuple[Tensor, Any]:
        y, auxiliary = function(*primals)
        if not isinstance(auxiliary, dict):
            return y, auxiliary
        keys[:] = auxiliary  # JAX sorts the keys of a dict, which the values of a graph have no order for
        return y, list(auxiliary.values())

    primals = tuple(list(primal) if isinstance(primal, (list, tuple)) else primal for primal in primals)
    y, pullback, auxiliary = jax.vjp(flat, *primals, has_aux=True)
    return y, dict(zip(keys, auxiliary, strict=True)) if keys else auxiliary, pullback


def transposed(linear: Callable[[Tensor], Tensor], x: Tensor, s: Tensor) -> Tensor:
    """The transposed product `J^T s` of a linear map of tensors like `x` (whose values do not matter)."""
    _, pullback = jax.vjp(linear, x)
    return pullback(s)[0]


class compiled:  # noqa: N801 - used as a function
    """A function compiled by XLA, once for each shape of its inputs; see the TensorFlow backend.

    Args:
        function: `(list of tensors) -> structure of tensors`.
        jit_compile: Is not asked: JAX compiles by XLA alone.
        signature: `(shape, dtype)` of each tensor.
        variables: What stays live: their values are handed in with every call.

    Attributes:
        traces: How many times the function has been traced.
    """

    def __init__(
        self,
        function: Callable[[list[Tensor]], Any],
        jit_compile: bool,
        signature: Sequence[tuple[tuple[int | None, ...], str]],
        variables: Sequence[Any] = (),
    ) -> None:
        self.traces = 0
        self._dtypes = [dtype for _, dtype in signature]
        self._variables = list(variables)

        def traced(values: list[Tensor], inputs: list[Tensor]) -> Any:
            self.traces += 1
            with keras.StatelessScope(state_mapping=list(zip(self._variables, values, strict=True))):
                return function(inputs)

        self._function = jax.jit(traced)

    def __call__(self, inputs: list[Any]) -> Any:
        # Without 64 bits JAX warns of every array that it narrows: here it is narrowed first.
        tensors = [jnp.asarray(x, jax.dtypes.canonicalize_dtype(d)) for x, d in zip(inputs, self._dtypes, strict=True)]
        result = self._function([variable.value for variable in self._variables], tensors)
        return jax.tree.map(np.asarray, result)


def check_eager() -> None:
    """JAX knows no mode without eager execution."""


def on_accelerator() -> bool:
    """Whether JAX would place work on a GPU or TPU."""
    return jax.default_backend() != "cpu"
