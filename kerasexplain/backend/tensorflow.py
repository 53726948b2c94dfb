"""TensorFlow: gradient overrides, pullbacks and compilation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from kerasexplain.backend.switch import is_relevance_pass

Tensor = Any


def override(
    forward: Callable[..., tuple[Tensor, Any]],
    backward: Callable[[Any, Tensor], Sequence[Tensor | None]],
    *inputs: Tensor,
) -> Tensor:
    """`forward(*inputs)`, with another gradient during a relevance pass.

    Args:
        forward: `(*inputs) -> (y, residuals)`, by ordinary differentiable operations.
        backward: `(residuals, signal at y) -> signals at the inputs`; None for an input that gets nothing. Neither
            function may close over tensors that depend on the inputs.
        *inputs: Tensors.

    Returns:
        y. Outside a relevance pass its gradient is the ordinary one.
    """
    y, residuals = forward(*inputs)

    # The override sits on an identity behind y: the ordinary path stays untouched, and where the pass returns None
    # for it, automatic differentiation prunes it.
    @tf.custom_gradient
    def routed(y: Tensor, *inputs: Tensor) -> tuple[Tensor, Callable[[Tensor], Any]]:
        def gradient(signal: Tensor) -> tuple[Tensor | None, ...]:
            if not is_relevance_pass():
                return (signal, *(None for _ in inputs))
            # What depends on the activations alone would otherwise run as soon as they are there, and be held in
            # memory until the signal arrives: half as much again on ResNet50.
            with tf.control_dependencies([signal]):
                return (None, *backward(residuals, signal))

        return tf.identity(y), gradient

    return routed(y, *inputs)


def pull_back(
    function: Callable[..., tuple[Tensor, Any]], *primals: Any
) -> tuple[Tensor, Any, Callable[[Tensor], tuple[Any, ...]]]:
    """Vector-Jacobian product.

    Args:
        function: `(*primals) -> (y, auxiliary)`; each primal a tensor or a nested structure of tensors.
        *primals: Where to evaluate it.

    Returns:
        `(y, auxiliary, pullback)`; `pullback(cotangent)` gives one gradient per primal, in the primal's structure,
        zeros where y does not depend on it.
    """
    # In the backward pass of a loop, a tensor of the forward pass is replaced by what was kept of it: a tape that
    # watches the tensor itself does not see that, and gives zeros.
    primals = tf.nest.map_structure(tf.identity, primals)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(primals)
        y, auxiliary = function(*primals)

    def pullback(cotangent: Tensor) -> tuple[Any, ...]:
        return tape.gradient(y, primals, output_gradients=cotangent, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    return y, auxiliary, pullback


def transposed(linear: Callable[[Tensor], Tensor], x: Tensor, s: Tensor) -> Tensor:
    """The transposed product `J^T s` of a linear map of tensors like `x` (whose values do not matter)."""
    x = tf.nest.map_structure(tf.identity, x)  # see pull_back
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        y = linear(x)
    return tape.gradient(y, x, output_gradients=s, unconnected_gradients=tf.UnconnectedGradients.ZERO)


class compiled:  # noqa: N801 - used as a function
    """A function compiled as a graph; live variables stay live.

    Args:
        function: `(list of tensors) -> structure of tensors`.
        jit_compile: Whether XLA compiles the graph.
        signature: `(shape, dtype)` of each tensor; None in a shape where the size may vary without a new trace.
        variables: What stays live. TensorFlow sees for itself which variables the function reads.

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

        def traced(inputs: list[Tensor]) -> Any:
            self.traces += 1
            return function(inputs)

        self._specs = [tf.TensorSpec(shape, dtype) for shape, dtype in signature]
        # Traced here and now: TensorFlow takes several analyzers for one function that is traced too often, and warns.
        graph = tf.function(traced, input_signature=[self._specs], jit_compile=jit_compile, autograph=False)
        self._concrete = graph.get_concrete_function()

    def __call__(self, inputs: list[Any]) -> Any:
        tensors = [tf.constant(x, spec.dtype) for x, spec in zip(inputs, self._specs, strict=True)]
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), self._concrete(tensors))


def check_eager() -> None:
    """Raises RuntimeError where TensorFlow has been switched to the graphs of its first version."""
    if tf.compat.v1.executing_eagerly_outside_functions():
        return
    raise RuntimeError("analyzers need eager execution: delete the call of tf.compat.v1.disable_eager_execution()")


def on_accelerator() -> bool:
    """Whether TensorFlow would place work on a GPU or TPU."""
    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))
