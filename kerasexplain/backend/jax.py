"""JAX: gradient overrides, pullbacks and compilation."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import keras
import numpy as np

from kerasexplain.backend.contract import Exportable
from kerasexplain.backend.precision import check_honoured
from kerasexplain.backend.switch import differentiated as differentiated
from kerasexplain.backend.switch import is_differentiated, is_relevance_pass
from kerasexplain.backend.switch import relevance_pass as relevance_pass
from kerasexplain.foundation.errors import plain

Tensor = Any


def override(
    forward: Callable[..., tuple[Tensor, Any]],
    backward: Callable[[Any, Tensor], Sequence[Tensor | None]],
    *inputs: Tensor,
    again: bool = False,
) -> Tensor:
    """`forward(*inputs)`, with another gradient during a relevance pass."""
    if not is_relevance_pass():
        return forward(*inputs)[0]
    dtypes = [x.dtype for x in inputs]
    are_inputs: list[bool] = []  # of the residuals: what is made of them is made of the inputs alone

    @jax.custom_vjp
    def routed(*inputs: Tensor) -> Tensor:
        return forward(*inputs)[0]

    def forth(*inputs: Tensor) -> tuple[Tensor, Any]:
        y, residuals = forward(*inputs)
        are_inputs[:] = [any(leaf is x for x in inputs) for leaf in jax.tree.leaves(residuals)]
        return y, (residuals, inputs)

    def back(kept: Any, signal: Tensor) -> tuple[Tensor | None, ...]:
        residuals, inputs = kept
        if not is_relevance_pass():
            # What is computed from weights alone has no part in the pass. Someone outside differentiates by them.
            return jax.vjp(lambda *inputs: forward(*inputs)[0], *inputs)[1](signal)
        leaves, structure = jax.tree.flatten(residuals)
        late = iter(delayed([leaf for leaf, is_input in zip(leaves, are_inputs, strict=True) if is_input], signal))
        leaves = [next(late) if is_input else leaf for leaf, is_input in zip(leaves, are_inputs, strict=True)]
        rule = jax.checkpoint(backward) if again and is_differentiated() else backward
        given = zip(rule(jax.tree.unflatten(structure, leaves), signal), dtypes, strict=True)
        return tuple(None if s is None else s.astype(dtype) for s, dtype in given)

    routed.defvjp(forth, back)
    return routed(*inputs)


def pull_back(
    function: Callable[..., tuple[Tensor, Any]], *primals: Any
) -> tuple[Tensor, Any, Callable[[Tensor], tuple[Any, ...]]]:
    """Vector-Jacobian product."""
    keys: list[Any] | None = None

    def flat(*primals: Any) -> tuple[Tensor, Any]:
        nonlocal keys
        y, auxiliary = function(*primals)
        if isinstance(auxiliary, dict):  # JAX sorts the keys of a dict, and the values of a graph have no order
            keys, auxiliary = list(auxiliary), list(auxiliary.values())
        return y, auxiliary

    primals = tuple(list(primal) if isinstance(primal, (list, tuple)) else primal for primal in primals)
    y, pullback, auxiliary = jax.vjp(flat, *primals, has_aux=True)
    return y, auxiliary if keys is None else dict(zip(keys, auxiliary, strict=True)), pullback


def transposed(linear: Callable[[Tensor], Tensor], x: Tensor, s: Tensor) -> Tensor:
    """The transposed product `J^T s` of a linear map of tensors like `x` (whose values do not matter)."""
    y, pullback = jax.vjp(linear, x)
    return pullback(jax.tree.map(lambda s, y: s.astype(y.dtype), s, y))[0]  # some of Keras' operations halve doubles


def added(x: Tensor, y: Tensor) -> Tensor:
    return x + y


def delayed(tensors: Sequence[Tensor], signal: Tensor) -> list[Tensor]:
    """The tensors, which are not available before the signal is.

    For CPUs XLA takes barriers out before it decides what runs when, and then runs early what it can, at the price of
    memory. There a zero is added that does depend on the signal: to what has a row per sample, and may be large.
    """
    if on_accelerator() or not signal.size:
        return list(jax.lax.optimization_barrier((*tensors, signal))[:-1])
    zero = jnp.where(signal.ravel()[0] > jnp.inf, 1.0, 0.0)
    return [
        x + zero.astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.floating) and x.shape[:1] == signal.shape[:1] else x
        for x in tensors
    ]


class compiled:  # noqa: N801 - used as a function
    """A function compiled by XLA, whatever is asked, once for each shape of its inputs; arguments as in the contract.

    The variables' values are handed in with every call.
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
        # Without 64 bits JAX warns of every array that it narrows: here it is narrowed first.
        self._dtypes = [jax.dtypes.canonicalize_dtype(dtype) for _, dtype in signature]
        self._variables, self._further = list(variables), further

        def traced(values: list[Tensor], inputs: list[Tensor]) -> Any:
            self.traces += 1
            state = list(zip(self._variables, values, strict=True))
            with keras.StatelessScope(state_mapping=state, initialize_variables=False), _products_in(precision):
                return function(inputs)

        # Nothing is donated: the inputs are a hundredth of what a pass holds, and might be the caller's own.
        self._function = jax.jit(traced)

    def __call__(self, inputs: list[Any]) -> Any:
        try:
            result = jax.device_get(self._function(*self._arguments(inputs)))
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            raise MemoryError(str(error)) from error
        return jax.tree.map(np.array, result)  # JAX's own cannot be written to

    def hlo(self, inputs: list[Any]) -> str:
        """The text of the program that XLA makes of the function for inputs of these shapes."""
        return self._function.lower(*self._arguments(inputs)).compile().as_text()

    def _arguments(self, inputs: list[Any]) -> tuple[list[Tensor], list[Tensor]]:
        placed = _placed if sharing(self._variables) > 1 else jnp.asarray
        tensors = [placed(x, dtype) for x, dtype in zip(inputs, self._dtypes, strict=True)]
        return [variable.value for variable in self._variables], [*tensors, *self._further()]


def export(
    folder: pathlib.Path,
    functions: Mapping[str, Exportable],
    variables: Sequence[Any],
    tables: Sequence[Any],
    jit_compile: bool,
    precision: str = "auto",
) -> None:
    """Writes `NAME.jax` for each function of `(weights, *arguments)`, and `weights.npz`; arguments as in the contract.

    Weights of half precision are written in single precision, which numpy has.
    """
    check_precision(precision)
    try:
        import flatbuffers  # noqa: F401 - which JAX writes the files with, and does not install
    except ImportError as error:
        raise ImportError("exports of JAX need flatbuffers: pip install flatbuffers") from error
    weights: dict[str, Any] = {}
    for i, variable in enumerate(variables):
        value = np.asarray(variable.value)
        weights[f"{i:05} {variable.path}"] = value.astype("float32") if value.dtype.kind == "V" else value
    np.savez(folder / "weights.npz", **weights)
    like = {name: jax.ShapeDtypeStruct(value.shape, value.dtype) for name, value in weights.items()}
    for name, function in functions.items():

        def traced(weights: dict[str, Tensor], *given: Tensor, function: Exportable = function) -> dict[str, Tensor]:
            values = [weights[key].astype(variable.value.dtype) for key, variable in zip(like, variables, strict=True)]
            state = list(zip(variables, values, strict=True))
            with keras.StatelessScope(state_mapping=state, initialize_variables=False), _products_in(precision):
                return function.compute(dict(zip(function.arguments, given, strict=True)))

        try:
            found = jax.export.export(jax.jit(traced))(like, *_symbolic(function))
        except Exception as error:
            # Versions of JAX have it in different modules.
            if type(error).__name__ != "InconclusiveDimensionOperation":
                raise
            raise ValueError(
                f"JAX cannot export {name!r} with sizes that are open: let keras.Input say all sizes but that of the "
                f"batch, and pass batch_size= if that is not enough ({plain(error)})"
            ) from error
        (folder / f"{name}.jax").write_bytes(found.serialize())


def _symbolic(function: Exportable) -> list[jax.ShapeDtypeStruct]:
    """The arguments of a function, where open sizes have names: one for the batch, and one for every other."""
    scope = jax.export.SymbolicScope()
    arguments = []
    for name, (shape, dtype) in function.arguments.items():
        sizes = [str(size) if size else f"{name}_{i}" if i else "batch" for i, size in enumerate(shape)]
        symbols = jax.export.symbolic_shape(",".join(sizes), scope=scope)
        arguments.append(jax.ShapeDtypeStruct(symbols, jax.dtypes.canonicalize_dtype(dtype)))
    return arguments


def sharing(variables: Sequence[Any]) -> int:
    """How many devices share a batch: those that Keras' distribution has for it, if the variables lie on them."""
    distribution = keras.distribution.distribution()
    if distribution is None or not variables or jax.process_count() > 1:
        return 1
    layout = distribution.get_data_layout((1,))
    mesh = layout.device_mesh
    if variables[0].value.sharding.device_set != layout.backend_layout.device_set:
        return 1
    return int(mesh.shape[mesh.axis_names.index(layout.axes[0])])


def _placed(x: Any, dtype: Any) -> Tensor:
    """An array on the devices that share a batch, each of which has some of the rows."""
    given = np.asarray(x, dtype)
    layout = keras.distribution.distribution().get_data_layout(given.shape)
    mesh = layout.device_mesh
    if len(given) % mesh.shape[mesh.axis_names.index(layout.axes[0])]:
        return jnp.asarray(given)
    return keras.distribution.distribute_tensor(given, layout)


def by_xla(jit_compile: bool | str) -> bool:
    """Whether loops are laid out for XLA, which compiles in any case."""
    return on_accelerator() if jit_compile == "auto" else bool(jit_compile)


def check_precision(precision: str) -> None:
    """Raises ValueError unless products can be computed in that precision here."""
    device = jax.devices()[0]
    also = {"gpu": {"tensorfloat32"}, "tpu": {"bfloat16"}}.get(device.platform, set())
    check_honoured(precision, {"auto", "float32", *also}, f"JAX on {device.device_kind}")


def _products_in(precision: str) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if precision == "auto" else jax.default_matmul_precision(precision)


def at_once() -> contextlib.AbstractContextManager[Any]:
    """While active, everything is computed at once, also where JAX is tracing a function."""
    return jax.ensure_compile_time_eval()


def training_step() -> contextlib.AbstractContextManager[Any]:
    """Nothing: JAX keeps no gradients."""
    return contextlib.nullcontext()


def in_doubles() -> contextlib.AbstractContextManager[Any]:
    """While active, float64 is float64, whatever JAX has been told for everything else."""
    return jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64()


def check_eager() -> None:
    """JAX knows no mode without eager execution."""


def on_accelerator() -> bool:
    """Whether JAX would place work on a GPU or TPU."""
    return jax.default_backend() != "cpu"


def states(variables: Sequence[Any]) -> list[tuple[int, Any]] | None:
    """Keys that tell variables' present values from others: JAX' arrays never change, so it is their identity."""
    return [(id(variable.value), variable.value) for variable in variables]


def free_memory() -> int | None:
    """Bytes free on the accelerator; None where JAX runs in the host's memory."""
    told = jax.devices()[0].memory_stats() or {}
    return told["bytes_limit"] - told["bytes_in_use"] if {"bytes_limit", "bytes_in_use"} <= set(told) else None
