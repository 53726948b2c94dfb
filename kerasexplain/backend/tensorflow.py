"""TensorFlow: gradient overrides, pullbacks and compilation."""

from __future__ import annotations

import contextlib
import contextvars
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import optree
import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops
from tensorflow.python.eager import record
from tensorflow.python.framework.ops import gradient_registry

from kerasexplain.backend.contract import Exportable
from kerasexplain.backend.mirrored import mirroring, shared
from kerasexplain.backend.mirrored import sharing as sharing
from kerasexplain.backend.precision import check_honoured
from kerasexplain.backend.switch import differentiated as differentiated
from kerasexplain.backend.switch import is_differentiated, is_relevance_pass
from kerasexplain.backend.switch import relevance_pass as relevance_pass
from kerasexplain.foundation.errors import plain

Tensor = Any

#: Where an operation holds the name of its gradient.
_GRADIENT = "_gradient_op_type"

#: The graph that `pull_back` runs its function in.
_pulled_back: contextvars.ContextVar[Any] = contextvars.ContextVar("kerasexplain_pulled_back", default=None)
_by_xla: contextvars.ContextVar[bool] = contextvars.ContextVar("kerasexplain_by_xla", default=False)


def override(
    forward: Callable[..., tuple[Tensor, Any]],
    backward: Callable[[Any, Tensor], Sequence[Tensor | None]],
    *inputs: Tensor,
    again: bool = False,
) -> Tensor:
    """The override sits on an identity behind y: the ordinary path stays untouched, and is pruned in a pass."""
    y, residuals = forward(*inputs)

    def gradient(signal: Tensor) -> tuple[Tensor | None, ...]:
        if not is_relevance_pass():
            return (signal, *(None for _ in inputs))
        # What depends on the activations alone would otherwise run as soon as they are there, and be held in
        # memory until the signal arrives: half as much again on ResNet50.
        with tf.control_dependencies([signal]):
            if again and is_differentiated():
                return (None, *_run_again(backward, residuals, signal))
            return (None, *backward(residuals, signal))

    if _pulled_back.get() is tf.compat.v1.get_default_graph():
        # A custom gradient puts seven operations into a graph, a fifth of all of a pass, to be found by whoever
        # differentiates the graph itself. That is a loop with its body; here there is a tape to be told.
        with record.stop_recording():
            result = tf.identity(y)
            given = [tf.convert_to_tensor(x) for x in inputs]  # a variable that is no layer's is none yet
        record.record_operation("Override", [result], [y, *given], gradient)
        return result

    @tf.custom_gradient
    def routed(y: Tensor, *inputs: Tensor) -> tuple[Tensor, Callable[[Tensor], Any]]:
        return tf.identity(y), gradient

    result = routed(y, *inputs)
    _note(result)
    return result


def _run_again(
    backward: Callable[[Any, Tensor], Sequence[Tensor | None]], residuals: Any, signal: Tensor
) -> list[Tensor | None]:
    """`backward(residuals, signal)`, which runs again for its derivative: until then its arguments alone are held."""
    leaves, structure = optree.tree_flatten((residuals, signal))
    is_tensor = [tf.is_tensor(leaf) for leaf in leaves]
    gets: list[bool] = []

    def run(tensors: Sequence[Tensor]) -> list[Tensor]:
        given = iter(tensors)
        whole = [next(given) if is_one else leaf for leaf, is_one in zip(leaves, is_tensor, strict=True)]
        with relevance_pass():  # not active any more when it runs again
            signals = backward(*optree.tree_unflatten(structure, whole))
        gets[:] = [each is not None for each in signals]
        return [each for each in signals if each is not None]

    @tf.custom_gradient
    def once(*tensors: Tensor) -> tuple[list[Tensor], Callable[..., Any]]:
        def gradient(*of_signals: Tensor) -> Any:
            with tf.control_dependencies(of_signals):
                late = [tf.identity(tensor) for tensor in tensors]
            with tf.GradientTape() as tape:
                tape.watch(late)
                signals = run(late)
            return tape.gradient(signals, late, output_gradients=of_signals)

        return run(tensors), gradient

    found = once(*(leaf for leaf, is_one in zip(leaves, is_tensor, strict=True) if is_one))
    _note(found[0])
    those = iter(found)
    return [next(those) if got else None for got in gets]


def pull_back(
    function: Callable[..., tuple[Tensor, Any]], *primals: Any
) -> tuple[Tensor, Any, Callable[[Tensor], tuple[Any, ...]]]:
    """Vector-Jacobian product."""
    # In the backward pass of a loop, a tensor of the forward pass is replaced by what was kept of it: a tape that
    # watches the tensor itself does not see that, and gives zeros.
    primals = tf.nest.map_structure(tf.identity, primals)
    token = _pulled_back.set(tf.compat.v1.get_default_graph())
    try:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(primals)
            y, auxiliary = function(*primals)
    finally:
        _pulled_back.reset(token)

    def pullback(cotangent: Tensor) -> tuple[Any, ...]:
        zero = tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(y, primals, output_gradients=cotangent, unconnected_gradients=zero)
        return tf.nest.map_structure(tf.convert_to_tensor, gradients)  # that of an embedding is sparse

    return y, auxiliary, pullback


def transposed(linear: Callable[[Tensor], Tensor], x: Tensor, s: Tensor) -> Tensor:
    """The transposed product `J^T s` of a linear map of tensors like `x` (whose values do not matter)."""
    x = tf.nest.map_structure(tf.identity, x)  # see pull_back
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        y = linear(x)
    return tape.gradient(y, x, output_gradients=s, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def added(x: Tensor, y: Tensor) -> Tensor:
    """Of an ordinary sum the derivative asks for both shapes: ten operations for each tap of an audit."""
    alike = x.dtype == y.dtype and x.shape.as_list() == y.shape.as_list()  # a constant has one row for all samples
    return tf.add_n([x, y]) if alike else x + y


def delayed(tensors: Sequence[Tensor], signal: Tensor) -> list[Tensor]:
    """The tensors, which are not available before the signal is: what is made of them cannot be computed earlier.

    In a plain graph the control dependency of `override` sees to that.
    """
    if not _by_xla.get():
        return list(tensors)
    return list(gen_xla_ops.xla_optimization_barrier([*tensors, signal])[:-1])


#: Where the names are noted under which TensorFlow has registered the gradients of a function that is being traced.
_registered: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("kerasexplain_registered", default=None)


@contextlib.contextmanager
def training_step() -> Iterator[None]:
    """Has TensorFlow forget the gradients of what is overridden meanwhile, all of which have been taken by the end.

    It keeps them in a table of the process, and with each the graph and the variables of a model, which would never be
    freed.
    """
    names: list[str] = []
    token = _registered.set(names)
    try:
        yield
    finally:
        _registered.reset(token)
        for name in names:
            gradient_registry._registry.pop(name, None)


def _note(result: Tensor) -> None:
    """Notes the name under which TensorFlow has registered the gradient of a result, for a `training_step`."""
    registered = _registered.get()
    if registered is not None and not tf.executing_eagerly():
        registered.append(result.op.get_attr(_GRADIENT).decode())


class compiled:  # noqa: N801 - used as a function
    """A function compiled as a graph, which sees for itself the variables that it reads; arguments as in the contract.

    None in a shape of the signature is a size that may vary without a new trace.
    """

    def __init__(
        self,
        function: Callable[[list[Tensor]], Any],
        jit_compile: bool,
        signature: Sequence[tuple[tuple[int | None, ...], str]],
        variables: Sequence[Any] = (),
        precision: str = "auto",
        further: Callable[[], list[Tensor]] = list,
        *,
        is_by_row: bool = False,
    ) -> None:
        check_precision(precision)
        self.traces = 0

        def traced(inputs: list[Tensor]) -> Any:
            self.traces += 1
            token = _by_xla.set(jit_compile)
            try:
                return function(inputs)
            finally:
                _by_xla.reset(token)

        self._given = [tf.TensorSpec(shape, dtype) for shape, dtype in signature]
        strategy = mirroring(variables) if is_by_row and all(None in shape for shape, _ in signature) else None
        whole = traced if strategy is None else shared(traced, strategy, len(self._given), jit_compile, variables)
        jit_compile = jit_compile and strategy is None  # it compiles for one device
        self._further = further
        specs = [*self._given, *map(tf.TensorSpec.from_tensor, further())]
        # Traced here and now: TensorFlow takes several analyzers for one function that is traced too often, and warns.
        self._function = tf.function(whole, input_signature=[specs], jit_compile=jit_compile, autograph=False)
        with training_step():
            self._concrete = self._function.get_concrete_function()

    def __call__(self, inputs: list[Any]) -> Any:
        try:
            # A tape of the caller's would have TensorFlow differentiate the pass itself, by gradients it has forgotten.
            with record.stop_recording():
                return tf.nest.map_structure(lambda tensor: tensor.numpy(), self._concrete(self._tensors(inputs)))
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(error.message) from error

    def hlo(self, inputs: list[Any]) -> str:
        """The text of the program that XLA makes of the function for inputs of these shapes, if XLA compiles it."""
        return self._function.experimental_get_compiler_ir(self._tensors(inputs))(stage="optimized_hlo")

    def _tensors(self, inputs: list[Any]) -> list[Tensor]:
        return [*(tf.constant(x, s.dtype) for x, s in zip(inputs, self._given, strict=True)), *self._further()]


def export(
    folder: pathlib.Path,
    functions: Mapping[str, Exportable],
    variables: Sequence[Any],
    tables: Sequence[Any],
    jit_compile: bool,
    precision: str = "auto",
) -> None:
    """Writes a SavedModel with a signature for each function; arguments as in the contract."""
    check_precision(precision)
    module = tf.Module()
    module.kept, module.tables = [variable.value for variable in variables], list(tables)
    signatures = {}
    for name, function in functions.items():
        signatures[name] = _signature(function, jit_compile)
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    try:
        tf.saved_model.save(module, os.fspath(folder), signatures, options)
    except AssertionError as error:
        raise ValueError(
            "TensorFlow cannot save what the model holds besides weights, such as the state of a layer with "
            f"stateful=True: {plain(error)}"
        ) from error
    except tf.errors.OpError as error:
        raise OSError(f"the export cannot be written to {os.fspath(folder)!r}: {plain(error)}") from error


def _signature(function: Exportable, jit_compile: bool) -> Any:
    def traced(**tensors: Tensor) -> dict[str, Tensor]:
        token = _by_xla.set(jit_compile)
        try:
            results = {name: tf.identity(tensor) for name, tensor in function.compute(tensors).items()}
        finally:
            _by_xla.reset(token)
        # All gradients have been taken. Whoever reads the function would be warned that he cannot find them.
        for op in tf.compat.v1.get_default_graph().get_operations():
            if op.type == "IdentityN" and _GRADIENT in op.node_def.attr:
                op._clear_attr(_GRADIENT)
        return results

    compiled = tf.function(traced, jit_compile=True, autograph=False) if jit_compile else traced

    def checked(**tensors: Tensor) -> dict[str, Tensor]:
        with tf.control_dependencies(_same_batch(tensors)):  # outside of what XLA compiles: it leaves checks out
            return compiled(**{name: tf.identity(tensor) for name, tensor in tensors.items()})

    specs = {name: tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in function.arguments.items()}
    with training_step():
        return tf.function(checked, autograph=False).get_concrete_function(**specs)


def _same_batch(tensors: Mapping[str, Tensor]) -> list[Any]:
    """Checks, when a function runs, that all of its arguments have as many samples; else one would do for all."""
    (first, of), *others = tensors.items()
    count = tf.shape(of)[0]
    message = "{} and {} differ in their first axis, that of the samples"
    return [tf.debugging.assert_equal(tf.shape(other)[0], count, message.format(name, first)) for name, other in others]


def by_xla(jit_compile: bool | str) -> bool:
    """Whether XLA compiles, as asked for: "auto" is where TensorFlow would place work on a GPU or TPU."""
    return on_accelerator() if jit_compile == "auto" else bool(jit_compile)


def check_precision(precision: str) -> None:
    """Raises ValueError unless products can be computed in that precision here."""
    if not tf.config.list_logical_devices("GPU"):
        check_honoured(precision, {"auto", "float32"}, "TensorFlow without a GPU")
        return
    # One switch of the whole process, which TensorFlow looks at whenever it runs an operation.
    on = tf.config.experimental.tensor_float_32_execution_enabled()
    check_honoured(
        precision,
        {"auto", "tensorfloat32" if on else "float32"},
        "TensorFlow as it is set",
        f", or call tf.config.experimental.enable_tensor_float_32_execution({not on}) first",
    )


def at_once() -> contextlib.AbstractContextManager[Any]:
    """While active, everything is computed at once, also where TensorFlow is tracing a function."""
    return tf.init_scope()


def in_doubles() -> contextlib.AbstractContextManager[Any]:
    """While active, float64 is float64; in TensorFlow it always is."""
    return contextlib.nullcontext()


def check_eager() -> None:
    """Raises RuntimeError inside of a graph: of a tf.function, or of the first version of TensorFlow."""
    if not tf.compat.v1.executing_eagerly_outside_functions():
        raise RuntimeError("analyzers need eager execution: delete the call of tf.compat.v1.disable_eager_execution()")
    if not tf.executing_eagerly():
        raise RuntimeError(
            "an analyzer takes and gives numpy arrays, and cannot run inside of a tf.function: call it outside, or by "
            "way of tf.py_function"
        )


def on_accelerator() -> bool:
    """Whether TensorFlow would place work on a GPU or TPU."""
    return bool(tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("TPU"))


def states(variables: Sequence[Any]) -> list[tuple[int, Any]] | None:
    """Keys that tell variables' present values from others: a key for each, and what has to be held meanwhile.

    On a CPU it is where the value lies. Whoever holds it keeps it as it is: TensorFlow changes a variable in place only
    if nobody else reads the same memory, and else puts the new value elsewhere. None on other devices.
    """
    try:
        values = [tf.raw_ops.ReadVariableOp(resource=v.value.handle, dtype=v.value.dtype) for v in variables]
        if not all(value.device.endswith("CPU:0") for value in values):
            return None
        return [(np.asarray(memoryview(value)).ctypes.data, value) for value in values]
    except (AttributeError, TypeError, ValueError):  # a variable of several devices, or of a dtype numpy does not know
        return None


def free_memory() -> int | None:
    """Bytes free on the accelerator; None, for TensorFlow does not tell."""
    return None
