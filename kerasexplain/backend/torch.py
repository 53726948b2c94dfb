"""PyTorch: gradient overrides, pullbacks, and functions that run as they are written."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import optree  # and not keras.tree: it leaves cycles on PyTorch, which hold tensors until they are collected
import torch
from keras import ops

from kerasexplain.backend import switch
from kerasexplain.backend.contract import Exportable
from kerasexplain.backend.precision import check_honoured
from kerasexplain.backend.switch import differentiated as differentiated

Tensor = Any


@contextlib.contextmanager
def relevance_pass() -> Iterator[None]:
    """While active, overridden operations hand back relevance instead of their gradient (in this thread only).

    Automatic differentiation has threads of its own for accelerators, where the switch would not be seen and gradients
    would come back in place of relevance. So meanwhile it does all its work in the thread that asks for it.
    """
    with switch.relevance_pass(), torch.autograd.set_multithreading_enabled(False):
        yield


class _Routed(torch.autograd.Function):
    """An identity on y, whose gradient goes to y's ordinary path, or in a relevance pass to what y was made of."""

    @staticmethod
    def forward(ctx: Any, back: Callable[[Tensor], Sequence[Tensor | None]], y: Tensor, *inputs: Tensor) -> Tensor:
        ctx.back, ctx.count = back, len(inputs)
        ctx.set_materialize_grads(False)  # a path that gets nothing costs nothing
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, signal: Tensor | None) -> tuple[Tensor | None, ...]:
        if signal is None or not switch.is_relevance_pass():
            return (None, signal, *(None for _ in range(ctx.count)))
        return (None, None, *ctx.back(signal))


def override(
    forward: Callable[..., tuple[Tensor, Any]],
    backward: Callable[[Any, Tensor], Sequence[Tensor | None]],
    *inputs: Tensor,
    again: bool = False,
) -> Tensor:
    """`forward(*inputs)`, with another gradient during a relevance pass.

    Nothing runs again for its derivative: PyTorch would have to take whole products again, which others leave out.
    """
    y, residuals = forward(*inputs)
    # The residuals are no saved tensors but the tensors themselves, history and all: second derivatives go through it.
    return _Routed.apply(lambda signal: backward(residuals, signal), y, *inputs)


def pull_back(
    function: Callable[..., tuple[Tensor, Any]], *primals: Any
) -> tuple[Tensor, Any, Callable[[Tensor], tuple[Any, ...]]]:
    """Vector-Jacobian product, to be taken once."""
    recorded = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():  # in inference mode nothing would depend on anything
        primals = optree.tree_map(_differentiable(recorded), primals)
        y, auxiliary = function(*primals)

    def pullback(cotangent: Tensor) -> tuple[Any, ...]:
        xs, structure = optree.tree_flatten(primals)
        if y.requires_grad and xs:
            given = torch.autograd.grad(
                y,
                xs,
                cotangent,
                create_graph=torch.is_grad_enabled(),  # where someone differentiates what comes out
                allow_unused=True,
                materialize_grads=True,
            )
        else:
            given = tuple(map(torch.zeros_like, xs))
        return optree.tree_unflatten(structure, given)

    return y, auxiliary, pullback


def _differentiable(recorded: bool) -> Callable[[Tensor], Tensor]:
    """Gives what can be differentiated by; where the caller is recorded, also through."""

    def alias(x: Tensor) -> Tensor:
        return x.view_as(x) if recorded and x.requires_grad else x.detach().requires_grad_()

    return alias


def transposed(linear: Callable[[Tensor], Tensor], x: Tensor, s: Tensor) -> Tensor:
    """The transposed product `J^T s` of a linear map of tensors like `x` (whose values do not matter)."""
    _, _, pullback = pull_back(lambda x: (linear(x), None), x)
    return pullback(s)[0]


def added(x: Tensor, y: Tensor) -> Tensor:
    return x + y


def delayed(tensors: Sequence[Tensor], signal: Tensor) -> list[Tensor]:
    """The tensors. What runs as it is written computes nothing earlier than it is asked to."""
    return list(tensors)


class compiled:  # noqa: N801 - used as a function
    """A function that runs as it is written, on arrays of any shapes; arguments as in the contract.

    `traces` is 1. The variables are constants to the function, so that nothing is held for their gradients.
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
        by_xla(jit_compile)
        check_precision(precision)
        self.traces = 1
        self._function, self._variables, self._further = function, list(variables), further
        self._dtypes = [dtype for _, dtype in signature]

    def __call__(self, inputs: list[Any]) -> Any:
        state = [(variable, variable.value.detach()) for variable in self._variables]
        scope = keras.StatelessScope(state_mapping=state, initialize_variables=False)
        try:
            with torch.inference_mode(False), torch.no_grad(), scope:
                tensors = [ops.convert_to_tensor(x, dtype) for x, dtype in zip(inputs, self._dtypes, strict=True)]
                result = self._function([*tensors, *self._further()])
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
                raise
            raise MemoryError(str(error)) from error
        return optree.tree_map(_array, result)


def _array(tensor: Tensor) -> np.ndarray:
    """The values as an array of the caller's own."""
    if tensor.dtype == torch.bfloat16:  # which PyTorch makes no array of
        return ops.convert_to_numpy(tensor)
    return tensor.detach().to("cpu", copy=True).numpy()


def export(
    folder: pathlib.Path,
    functions: Mapping[str, Exportable],
    variables: Sequence[Any],
    tables: Sequence[Any],
    jit_compile: bool,
    precision: str = "auto",
) -> None:
    """Refuses: PyTorch has no file for functions whose backward pass is overridden.

    Raises:
        ValueError: Always.
    """
    raise ValueError(
        "PyTorch has no file format for relevance passes: save the model, model.save('model.keras'), and export it "
        "where Keras runs on TensorFlow or JAX (the environment variable KERAS_BACKEND)"
    )


def sharing(variables: Sequence[Any]) -> int:
    """How many devices share a batch: one."""
    return 1


def by_xla(jit_compile: bool | str) -> bool:
    """Whether XLA compiles: never.

    Raises:
        ValueError: It is asked for.
    """
    if jit_compile is True:
        raise ValueError("PyTorch does not support jit_compile=True, for it has no XLA: choose False or 'auto'")
    return False


def check_precision(precision: str) -> None:
    """Raises ValueError unless products can be computed in that precision here."""
    device = _device()
    if device.type != "cuda":
        exact = torch.get_float32_matmul_precision() == "highest"
        advice = "" if exact else ", or call torch.set_float32_matmul_precision('highest') first"
        check_honoured(precision, {"auto", *(["float32"] if exact else [])}, f"PyTorch on {device.type}", advice)
        return
    # Two switches of the whole process, one for matrix products and one for convolutions.
    on = {torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32}
    check_honoured(
        precision,
        {"auto", *({False: ["float32"], True: ["tensorfloat32"]}[on.pop()] if len(on) == 1 else [])},
        "PyTorch as it is set",
        ", or set both torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32 first, to True for "
        "'tensorfloat32' and to False for 'float32'",
    )


def at_once() -> contextlib.AbstractContextManager[Any]:
    """PyTorch always computes at once."""
    return contextlib.nullcontext()


def training_step() -> contextlib.AbstractContextManager[Any]:
    """Nothing: PyTorch keeps no gradients."""
    return contextlib.nullcontext()


def in_doubles() -> contextlib.AbstractContextManager[Any]:
    """While active, float64 is float64; in PyTorch it always is."""
    return contextlib.nullcontext()


def check_eager() -> None:
    """PyTorch knows no mode without eager execution."""


def on_accelerator() -> bool:
    """Whether Keras would place work on a GPU or the like."""
    return _device().type != "cpu"


def states(variables: Sequence[Any]) -> None:
    """None: that values have changed cannot be told.

    A tensor counts the changes made to it, but not those made through its `data` or through an array that shares its
    memory, and stays the same object.
    """


def free_memory() -> int | None:
    """Bytes free on the accelerator; None where it does not tell, or PyTorch runs in the host's memory."""
    device = _device()
    if device.type != "cuda":
        return None
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + cached


def _device() -> torch.device:
    """Where Keras places what it makes."""
    return ops.zeros(()).device
