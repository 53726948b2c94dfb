"""The specification of a model's inputs: their structure, names, shapes and dtypes."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

import keras

from kerasexplain.foundation.errors import UnsupportedModelError
from kerasexplain.graph.graph import Shape


@dataclasses.dataclass(frozen=True)
class InputSpec:
    """One input: its name, its shape with the batch first, and its dtype."""

    name: str
    shape: Shape
    dtype: str


@dataclasses.dataclass(frozen=True)
class Specification:
    """The inputs of a model.

    Attributes:
        inputs: The inputs, in the model's order.
        structure: What the model is called on, with the position of each input in place of it.
        assumed: Whether the dtypes are only assumed: a subclassed model keeps the shapes that it was called on alone.
    """

    inputs: tuple[InputSpec, ...]
    structure: Any
    assumed: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(given.name for given in self.inputs)

    def symbolic(self) -> Any:
        """Symbolic tensors of that structure."""
        tensors = [keras.KerasTensor(given.shape, given.dtype, name=given.name) for given in self.inputs]
        return keras.tree.map_structure(lambda position: tensors[position], self.structure)

    def with_shapes(self, shapes: Sequence[Shape]) -> Specification:
        """The same inputs with other shapes."""
        inputs = (dataclasses.replace(given, shape=tuple(s)) for given, s in zip(self.inputs, shapes, strict=True))
        return dataclasses.replace(self, inputs=tuple(inputs))

    @property
    def is_static(self) -> bool:
        return all(None not in given.shape for given in self.inputs)

    def __str__(self) -> str:
        return ", ".join(f"{given.name}: {given.shape} {given.dtype}" for given in self.inputs)

    @classmethod
    def of(cls, model: Any) -> Specification:
        """The specification of a model's inputs, as far as the model itself knows them.

        Raises:
            UnsupportedModelError: It has not been built.
        """
        if not isinstance(model, keras.Model):
            raise TypeError(f"expected a keras.Model, got {type(model).__name__}")
        kind = type(model).__name__
        if isinstance(model, keras.Sequential) and not model.built:
            raise UnsupportedModelError(
                f"the model {model.name!r} ({kind}) has not been built, so its input shape is not known: begin it "
                "with keras.Input(shape), call model.build((None, ...)), or pass example= to create_analyzer"
            )
        functional = getattr(model, "_functional", None) or model
        if getattr(functional, "inputs", None):
            return cls._of_functional(functional)
        shapes = getattr(model, "_build_shapes_dict", None)
        if not model.built or not shapes:
            raise UnsupportedModelError(
                f"the model {model.name!r} ({kind}) is subclassed and has not been called, so its input shape is not "
                "known: call it once, or pass example= to create_analyzer"
            )
        if len(shapes) > 1 or _required(model.call) > 1:
            raise UnsupportedModelError(
                f"the `call` of the model {model.name!r} ({kind}) takes several tensors: let it take one list or dict "
                "of them, as model.predict needs too, and pass that as x"
            )
        (shape,) = shapes.values()
        return cls._of_shapes(shape)

    @classmethod
    def _of_functional(cls, model: Any) -> Specification:
        tensors = list(model.inputs)
        positions = {id(tensor): i for i, tensor in enumerate(tensors)}
        structure = getattr(model, "_inputs_struct", tensors)
        if not isinstance(structure, dict) or not all(id(tensor) in positions for tensor in structure.values()):
            names = [tensor.name for tensor in tensors]
            structure = tensors[0] if len(tensors) == 1 else list(tensors)
        else:
            keys = {id(tensor): key for key, tensor in structure.items()}
            names = [keys[id(tensor)] for tensor in tensors]
        inputs = (
            InputSpec(name, tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype))
            for name, tensor in zip(names, tensors, strict=True)
        )
        return cls(tuple(inputs), keras.tree.map_structure(lambda tensor: positions[id(tensor)], structure))

    @classmethod
    def _of_shapes(cls, shapes: Any) -> Specification:
        """Of a model that was built: batch sizes stay open."""
        dtype = keras.config.floatx()
        if _is_shape(shapes):
            return cls((InputSpec("input", (None, *shapes[1:]), dtype),), 0, assumed=True)
        names = sorted(shapes) if isinstance(shapes, dict) else [f"input_{i}" for i in range(len(shapes))]
        given = [shapes[name] for name in names] if isinstance(shapes, dict) else list(shapes)
        inputs = tuple(InputSpec(name, (None, *shape[1:]), dtype) for name, shape in zip(names, given, strict=True))
        structure = {name: i for i, name in enumerate(names)} if isinstance(shapes, dict) else list(range(len(names)))
        return cls(inputs, structure, assumed=True)

    @classmethod
    def of_example(cls, x: Any) -> Specification:
        """The specification that follows from an input: every size but the batch's."""
        arrays = keras.tree.flatten(x)
        names = sorted(x) if isinstance(x, dict) else ["input"] if len(arrays) == 1 else []
        if isinstance(x, dict):
            arrays = [x[name] for name in names]
        names = names or [f"input_{i}" for i in range(len(arrays))]
        inputs = tuple(
            InputSpec(name, (None, *array.shape[1:]), _dtype(array)) for name, array in zip(names, arrays, strict=True)
        )
        if isinstance(x, dict):
            return cls(inputs, {name: i for i, name in enumerate(names)})
        return cls(inputs, list(range(len(names))) if isinstance(x, (list, tuple)) else 0)


def holds_integers(x: Any) -> bool:
    return any(leaf.dtype.kind in "iub" for leaf in keras.tree.flatten(x))


def needs_example(model: Any) -> bool:
    """Whether nothing is known of the model's inputs, because it has not been called and does not describe them."""
    if isinstance(model, keras.Sequential):
        return not model.built
    if not isinstance(model, keras.Model):
        return False
    known = getattr(model, "inputs", None) or (model.built and getattr(model, "_build_shapes_dict", None))
    return not known


def _dtype(array: Any) -> str:
    dtype = keras.backend.standardize_dtype(array.dtype)
    return keras.config.floatx() if "float" in dtype else dtype


def _required(call: Any) -> int:
    """How many arguments a model's `call` cannot do without."""
    parameters = inspect.signature(call).parameters.values()
    return sum(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _is_shape(shapes: Any) -> bool:
    return isinstance(shapes, (list, tuple)) and all(size is None or isinstance(size, int) for size in shapes)


def output_names(model: Any, structure: Any) -> tuple[str, ...]:
    """The names of the outputs: their keys, or the names of the layers that make them."""
    count = len(keras.tree.flatten(structure))
    if isinstance(structure, dict) and len(structure) == count:
        return tuple(sorted(structure))
    functional = getattr(model, "_functional", None) or model
    names = getattr(functional, "output_names", None) or ()
    return tuple(names) if len(names) == count else tuple(f"output_{i}" for i in range(count))
