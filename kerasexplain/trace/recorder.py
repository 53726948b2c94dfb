"""Running a model's code on symbolic tensors, and writing down every operation that it calls.

Whatever Keras can build on symbolic inputs can be recorded: Sequential, Functional and subclassed models, custom
layers, composite layers. Layers that are understood as they are become one record; any other layer is *opened*: its
own `call` runs, after Keras' preamble (masks, `training`, casts), and what it calls is recorded, at every depth.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import ops

from kerasexplain.foundation.errors import UnsupportedModelError, plain
from kerasexplain.graph.primitives import LiveConstant

SymbolicTensor = Any
#: Says how an operation is recorded: None to open it, else a text, empty where it is understood as it is.
Keep = Callable[[Any, tuple[Any, ...], dict[str, Any]], "str | None"]
Refusal = Callable[[Any, tuple[Any, ...], dict[str, Any]], str]
#: Gives the function that runs instead of an operation: it calls the simpler operations that the one is made of.
Expand = Callable[[Any], "Callable[..., Any] | None"]
#: Gives the function that runs instead of a layer's code, which does not run on symbolic tensors; None for none.
Translate = Callable[["Recorder", Any, Callable[..., Any]], "Callable[..., Any] | None"]


class UntraceableError(UnsupportedModelError):
    """Code that the backend cannot trace either."""


@dataclasses.dataclass(frozen=True, eq=False)
class RecordedCall:
    """One call of an operation.

    Attributes:
        operation: The layer or operation.
        args, kwargs: What its `call` was given, with symbolic tensors.
        outputs: The symbolic tensors it gave, flattened.
        path: Names of the opened layers that it was called in, outermost first, with a number for each call.
        name: Its own name.
        outermost: The layer called by the model itself that this was called in: often the operation.
        reason: Why the operation could not be opened; empty where it needed no opening.
        region: The opened layer whose code reads its weights directly, around this call; None where none does.
    """

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: list[SymbolicTensor]
    path: tuple[str, ...]
    name: str
    outermost: Any
    reason: str = ""
    region: Opened | None = None

    @property
    def full_name(self) -> str:
        return "/".join([*self.path, self.name])

    def constants(self) -> list[Any]:
        """The tensors among its arguments that do not depend on the model's inputs, and are no variables."""
        return [leaf for leaf in keras.tree.flatten((self.args, self.kwargs)) if is_constant_tensor(leaf)]


@dataclasses.dataclass(eq=False)
class Opened:
    """A call of a layer that was opened.

    Attributes:
        layer: The layer, or an operation that is run as simpler ones.
        args, kwargs: What it was called with.
        name: Its full name; empty for the model itself.
        reads_weights: Whether its own code reads the value of a variable.
        outputs: What it gave.
        decisions: How the layers that were called in it were recorded, as `Keep` says.
    """

    layer: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    name: str
    reads_weights: bool = False
    outputs: Any = None
    decisions: tuple[str | None, ...] = ()


def is_constant_tensor(leaf: Any) -> bool:
    return ops.is_tensor(leaf) and not isinstance(leaf, (keras.KerasTensor, keras.Variable))


class Recorder:
    """Writes down the operations that are called on symbolic tensors while it is active.

    Args:
        keep: Decides, per layer, whether it is recorded as it is.
        expand: Gives the function that runs instead of an operation, if there is one.
        refusal: Says what is known against a layer that could not be opened.
        translate: Gives the function that runs instead of code that does not run on symbolic tensors; None for none.
    """

    def __init__(
        self, keep: Keep, expand: Expand, refusal: Refusal = lambda *_: "", translate: Translate | None = None
    ) -> None:
        self.records: list[RecordedCall] = []
        self.opened: list[Opened] = []
        self._decisions: list[str | None] = []
        self._keep, self._expand, self._refusal, self._translate = keep, expand, refusal, translate
        self._called: tuple[str, ...] = ()
        self._stack: list[Opened] = []
        self._calls: dict[tuple[str, ...], dict[str, int]] = {}
        self._outermost: Any = None

    @property
    def path(self) -> tuple[str, ...]:
        return () if len(self._stack) < 2 else tuple(self._stack[-1].name.split("/"))

    @contextlib.contextmanager
    def named(self, path: tuple[str, ...]) -> Iterator[None]:
        """While active, what is called has this name, behind the scopes that are in front of it."""
        before, self._called = self._called, path
        try:
            yield
        finally:
            self._called = before

    def open(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Runs a layer's own code, or what says the same on symbolic tensors; the first one opened is the model."""
        body = self._body(layer)
        try:
            return self._run(layer, body, args, kwargs)
        except Exception as error:
            translates = self._translate is not None and self._expand(layer) is None
            translated = self._translate(self, layer, body) if translates else None  # type: ignore[misc]
            if translated is None:
                raise
            try:
                return self._run(layer, translated, args, kwargs)
            except UntraceableError:
                raise error from None  # it runs nowhere, and this says why in the words of the code
            except UnsupportedModelError as untranslated:
                raise untranslated from error

    def _run(self, layer: Any, body: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if len(self._stack) == 1:
            self._outermost = layer
        path, start, decided = (*self.path, *self._called[:-1]), len(self.records), len(self._decisions)
        counts = dict(self._calls.get(path, {}))
        own = self._called[-1] if self._called else _own_name(layer)
        name = self._numbered(own, path) if self._stack else ""
        opened = Opened(layer, args, kwargs, "/".join([*path, name]))
        self._stack.append(opened)
        try:
            with self.named(()):
                outputs = body(*args, **kwargs)
        except BaseException:
            del self.records[start:]
            inside = tuple(opened.name.split("/")) if opened.name else ()
            self._calls = {at: taken for at, taken in self._calls.items() if at[: len(inside)] != inside}
            self._calls[path] = counts
            raise
        finally:
            self._stack.pop()
        opened.outputs, opened.decisions = outputs, tuple(self._decisions[decided:])
        self.opened.append(opened)
        if opened.reads_weights:
            # The outermost such layer is run again, to get what it computes from its weights, when they have changed.
            self.records[start:] = [dataclasses.replace(record, region=opened) for record in self.records[start:]]
        return outputs

    def run(self, function: Callable[[Any], Any], *args: Any) -> Any:
        """Runs a function as if it were the code of an opened layer."""
        self._stack.append(Opened(None, args, {}, ""))
        try:
            return function(*args)
        finally:
            self._stack.pop()

    def _body(self, layer: Any) -> Callable[..., Any]:
        expansion = self._expand(layer)
        if expansion is not None:
            return lambda *args, **kwargs: expansion(layer, *args, **kwargs)
        quantized = getattr(layer, "quantization_mode", None) is not None
        return layer.quantized_call if quantized else layer.call

    def layer(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A layer that is called on symbolic tensors, after Keras' preamble."""
        if not self._stack:
            return self._model(layer, args, kwargs)
        reason = self._keep(layer, args, kwargs)
        self._decisions.append(reason)
        if reason is None:
            try:
                return self.open(layer, args, kwargs)
            except Exception as error:
                reason = self._refusal(layer, args, kwargs)
                reason = reason or _why_not(error)
        try:
            return self._record(layer, args, kwargs, reason)
        except UnsupportedModelError:
            raise
        except Exception as error:
            name = "/".join([*self.path, layer.name])
            raise UnsupportedModelError(
                f"the layer {name!r} ({type(layer).__name__}) can neither be opened nor kept in one piece: "
                f"{reason or _why_not(error)}, and Keras cannot tell the shape of its output. Choose by ops.where "
                "instead of Python's control flow and ops.cond"
            ) from error

    def _model(self, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The model: opened, or else one operation that can be run, and has a gradient, but no rule."""
        try:
            return self.open(model, args, kwargs)
        except Exception as error:
            self._stack.append(Opened(None, args, kwargs, ""))
            try:
                return self._record(model, args, kwargs, _why_not(error))
            except Exception:
                raise error from None  # Keras cannot tell its outputs' shapes
            finally:
                self._stack.pop()

    def operation(self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An operation of `keras.ops` that is called on symbolic tensors."""
        if type(operation).__name__ == "Cast" and args[0].dtype == operation.dtype:
            return args[0]  # as at run time, where the tensor keeps its mask
        if self._expand(operation) is not None:
            return self.open(operation, args, kwargs)
        if any(map(_closes_over_tensors, keras.tree.flatten((args, kwargs, vars(operation))))):
            raise UnsupportedModelError(
                f"the operation {type(operation).__name__!r} is given functions that close over tensors, which have no "
                "values while they are traced: choose by ops.where, or pass the tensors as arguments"
            )
        held = [name for name, value in vars(operation).items() if is_constant_tensor(value)]
        if held and not isinstance(operation, keras.layers.Layer):
            raise UnsupportedModelError(
                f"the operation {type(operation).__name__!r} keeps {' and '.join(held)}, which is computed, as it is "
                "when the model is traced: use one that takes it as an operand, such as ops.where or ops.maximum"
            )
        return self._record(operation, args, kwargs, "")

    def _record(self, operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any], reason: str) -> Any:
        symbolic = keras.tree.map_structure(_symbolic, (args, kwargs))
        try:
            outputs = operation.compute_output_spec(*symbolic[0], **symbolic[1])
        except TypeError:  # a layer's own may not take all that its call does
            outputs = keras.Operation.compute_output_spec(operation, *symbolic[0], **symbolic[1])
        if _open_sizes(outputs) and not _open_sizes((args, kwargs)):
            # Some layers forget sizes that they could know (EinsumDense); running their code on placeholders does not.
            outputs = keras.Operation.compute_output_spec(operation, *symbolic[0], **symbolic[1])
        if not any(getattr(leaf, "sparse", False) for leaf in keras.tree.flatten((args, kwargs))):
            for leaf in keras.tree.flatten(outputs):
                # Keras takes the product with a variable, which has no `sparse`, for a sparse tensor.
                if isinstance(leaf, keras.KerasTensor):
                    leaf._sparse = False
        outermost = operation if len(self._stack) == 1 else self._outermost
        path = (*self.path, *self._called[:-1])
        name = self._numbered(self._called[-1] if self._called else _own_name(operation), path)
        flat = [leaf for leaf in keras.tree.flatten(outputs) if leaf is not None]
        self.records.append(RecordedCall(operation, args, kwargs, flat, path, name, outermost, reason))
        return outputs

    def _numbered(self, name: str, path: tuple[str, ...]) -> str:
        """The name, made unique among the calls of one opened layer."""
        taken = self._calls.setdefault(path, {})
        number = taken[name] = taken.get(name, 0) + 1
        while number > 1 and f"{name}@{number}" in taken:  # a layer may itself be called "dense@2"
            number = taken[name] = number + 1
        unique = name if number == 1 else f"{name}@{number}"
        taken.setdefault(unique, 1)
        return unique

    @property
    def has_read_weights(self) -> bool:
        """Whether the code that is running has read the value of a variable."""
        return bool(self._stack) and self._stack[-1].reads_weights

    def weights_were_read(self) -> None:
        if self._stack:
            self._stack[-1].reads_weights = True


def _symbolic(leaf: Any) -> Any:
    """A symbolic tensor in place of what has its value in each run alone."""
    return keras.KerasTensor(leaf.shape, leaf.dtype) if isinstance(leaf, LiveConstant) else leaf


def _open_sizes(structure: Any) -> bool:
    """Whether a symbolic tensor has an axis of unknown size besides the batch."""
    tensors = (leaf for leaf in keras.tree.flatten(structure) if isinstance(leaf, keras.KerasTensor))
    return any(None in tensor.shape[1:] for tensor in tensors)


def _own_name(operation: Any) -> str:
    # An operation made during the call has a name from a counter that goes on from call to call.
    if isinstance(operation, keras.layers.Layer) or operation._inbound_nodes:
        return str(operation.name)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(operation).__name__).lower()


def _closes_over_tensors(leaf: Any) -> bool:
    """Whether a function reads symbolic tensors that it is not given as arguments."""
    cells = getattr(leaf, "__closure__", None) or ()
    held = []
    for cell in cells:
        with contextlib.suppress(ValueError):  # an empty cell
            held.append(cell.cell_contents)
    return any(isinstance(tensor, keras.KerasTensor) for tensor in keras.tree.flatten(held))


def _why_not(error: BaseException) -> str:
    """Why code does not run on symbolic tensors, in words of ours where Keras' own say little."""
    if isinstance(error, UnsupportedModelError):
        return plain(error)
    text = _first_line(error)
    of_values = ("KerasTensor", "symbolic", "Failed to convert", "placeholder", "convert_to_tensor", "__array__")
    if any(word in text for word in of_values):
        return (
            "its code does not run on symbolic tensors, for it needs their values: Python's control flow, ops.cond and "
            "loops whose functions close over tensors, or functions of the backend"
        )
    return f"its code does not run on symbolic tensors ({text})"


def _first_line(error: BaseException) -> str:
    text = plain(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
