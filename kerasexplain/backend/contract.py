"""The contract of a backend: the functions that the library needs of a framework beyond Keras, which its module has."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Exportable:
    """A function to be written to a file.

    Attributes:
        compute: `tensors by name -> tensors by name`.
        arguments: `(shape, dtype)` of each argument, by its name, a Python identifier; None where a size may vary.
    """

    compute: Callable[[dict[str, Tensor]], dict[str, Tensor]]
    arguments: Mapping[str, tuple[tuple[int | None, ...], str]]


class Compiled(Protocol):
    """A function of tensors that is called with arrays, and gives arrays.

    Attributes:
        traces: How many times the function has been traced.
    """

    traces: int

    def __call__(self, inputs: list[Any]) -> Any:
        """The function's value, in its structure, as numpy arrays.

        Raises:
            MemoryError: The inputs, or what is made of them, do not fit into memory.
        """


class Backend(Protocol):
    """A framework that Keras runs on."""

    def override(
        self,
        forward: Callable[..., tuple[Tensor, Any]],
        backward: Callable[[Any, Tensor], Sequence[Tensor | None]],
        *inputs: Tensor,
        again: bool = False,
    ) -> Tensor:
        """`forward(*inputs)`, with another gradient during a relevance pass.

        Args:
            forward: `(*inputs) -> (y, residuals)`, by ordinary differentiable operations.
            backward: `(residuals, signal at y) -> signals at the inputs`; None for an input that gets nothing. Neither
                function may close over tensors that depend on the inputs.
            *inputs: Tensors.
            again: Whether `backward` may run again for its own derivative, in a pass that is `differentiated`: nothing
                has to be held for that but its arguments. It must close over no tensors at all, weights included.

        Returns:
            y. Outside a relevance pass its gradient is the ordinary one.
        """

    def relevance_pass(self) -> contextlib.AbstractContextManager[None]:
        """While active, overridden operations hand back relevance instead of their gradient (in this thread only)."""

    def differentiated(self) -> contextlib.AbstractContextManager[None]:
        """While active, relevance will be differentiated by somebody outside (in this thread only)."""

    def pull_back(
        self, function: Callable[..., tuple[Tensor, Any]], *primals: Any
    ) -> tuple[Tensor, Any, Callable[[Tensor], tuple[Any, ...]]]:
        """Vector-Jacobian product.

        Args:
            function: `(*primals) -> (y, auxiliary)`; each primal a tensor or a nested structure of tensors.
            *primals: Where to evaluate it.

        Returns:
            `(y, auxiliary, pullback)`; `pullback(cotangent)` gives one gradient per primal, in the primal's structure,
            zeros where y does not depend on it.
        """

    def transposed(self, linear: Callable[[Tensor], Tensor], x: Tensor, s: Tensor) -> Tensor:
        """The transposed product `J^T s` of a linear map of tensors like `x` (whose values do not matter)."""

    def added(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum of two tensors of one shape, whose derivative is handed on as it is."""

    def delayed(self, tensors: Sequence[Tensor], signal: Tensor) -> list[Tensor]:
        """The tensors, not available before the signal is: what is made of them cannot be computed earlier."""

    def compiled(
        self,
        function: Callable[[list[Tensor]], Any],
        jit_compile: bool,
        signature: Sequence[tuple[tuple[int | None, ...], str]],
        variables: Sequence[Any] = (),
        precision: str = "auto",
        further: Callable[[], list[Tensor]] = list,
        *,
        is_by_row: bool = False,
    ) -> Compiled:
        """A function compiled as the framework compiles; live variables stay live.

        Args:
            function: `(list of tensors) -> structure of tensors`.
            jit_compile: Whether XLA compiles.
            signature: `(shape, dtype)` of each tensor; None in a shape where the size may vary.
            variables: What stays live.
            precision: What products are computed in, one of `PRECISIONS`.
            further: Gives more tensors, always as many of the same kind, to be handed in behind the others at every
                call.
            is_by_row: Whether the results have one row for each of the inputs, made of that row alone, so that devices
                may share a batch.

        Raises:
            ValueError: The precision is not available on this device.
        """

    def export(
        self,
        folder: pathlib.Path,
        functions: Mapping[str, Exportable],
        variables: Sequence[Any],
        tables: Sequence[Any],
        jit_compile: bool,
        precision: str = "auto",
    ) -> None:
        """Writes functions to a folder, with the values of the variables, for programs that have the framework alone.

        Args:
            folder: Where to, an empty folder.
            functions: By name.
            variables: All that the functions read.
            tables: Whatever else they read, such as lookup tables of TensorFlow.
            jit_compile: Whether XLA will compile.
            precision: What products are computed in.

        Raises:
            ValueError: The framework cannot write such functions, or not these.
        """

    def sharing(self, variables: Sequence[Any]) -> int:
        """How many devices share a batch, by the distribution or strategy that the variables were made under.

        A batch whose rows they cannot share evenly is run as a whole.
        """

    def by_xla(self, jit_compile: bool | str) -> bool:
        """Whether XLA compiles, as asked for: "auto" is where the framework would place work on a GPU or TPU.

        Raises:
            ValueError: It is asked for, and there is none.
        """

    def check_precision(self, precision: str) -> None:
        """Raises ValueError unless products can be computed in that precision here."""

    def check_eager(self) -> None:
        """Raises RuntimeError where an analyzer cannot run: inside of a graph that is being traced."""

    def at_once(self) -> contextlib.AbstractContextManager[Any]:
        """While active, everything is computed at once, also where the framework is tracing a function."""

    def training_step(self) -> contextlib.AbstractContextManager[Any]:
        """Is active around a step of training, its gradients included: what differentiates relevance lasts as long."""

    def in_doubles(self) -> contextlib.AbstractContextManager[Any]:
        """While active, float64 is float64, whatever the framework has been told for everything else."""

    def on_accelerator(self) -> bool:
        """Whether the framework would place work on a GPU or TPU."""

    def states(self, variables: Sequence[Any]) -> list[tuple[int, Any]] | None:
        """Keys that tell variables' present values from others: a key for each, and what has to be held meanwhile.

        None where that cannot be told.
        """

    def free_memory(self) -> int | None:
        """Bytes free on the accelerator; None where it does not tell, or work is done in the host's memory."""
