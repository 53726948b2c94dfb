"""Functions of TensorFlow that Keras 2 called on symbolic inputs, and kept as layers of their own."""

from __future__ import annotations

from typing import Any

import keras

from kerasexplain.foundation.errors import UnsupportedModelError

#: The classes of layers that Keras 2 made of them.
OF_KERAS_2 = ("SlicingOpLambda", "TFOpLambda")
#: Where functions of numbers are; what reads files or runs code is elsewhere.
_MODULES = ("image", "linalg", "math", "nn", "signal")
_ROOT = (
    *("add", "abs", "argmax", "argmin", "broadcast_to", "cast", "clip_by_value", "concat", "convert_to_tensor", "cos"),
    *("cumsum", "divide", "einsum", "equal", "exp", "expand_dims", "eye", "fill", "floor", "gather", "greater"),
    *("greater_equal", "identity", "less", "less_equal", "logical_and", "logical_not", "logical_or", "matmul"),
    *("maximum", "minimum", "multiply", "negative", "norm", "not_equal", "one_hot", "ones", "ones_like", "pad", "pow"),
    *("range", "rank", "reduce_all", "reduce_any", "reduce_max", "reduce_mean", "reduce_min", "reduce_prod"),
    *(
        "reduce_sum",
        "repeat",
        "reshape",
        "reverse",
        "roll",
        "round",
        "shape",
        "sigmoid",
        "sign",
        "sin",
        "size",
        "slice",
    ),
    *("split", "sqrt", "square", "squeeze", "stack", "stop_gradient", "strided_slice", "subtract", "tanh", "tensordot"),
    *("tile", "transpose", "truediv", "unstack", "where", "zeros", "zeros_like"),
)
_OPERATORS = {"add": "add", "radd": "add", "sub": "subtract", "mul": "multiply", "truediv": "truediv", "pow": "pow"}


@keras.saving.register_keras_serializable(package="kerasexplain")
class TensorFlowFunction(keras.layers.Layer):
    """A function of TensorFlow, by its name, on the tensors that the layer is called on.

    Args:
        function: Such as "math.reduce_mean", or "getitem".
        args, kwargs: Its arguments, with `{"tensor": i}` for the i-th of the layer's inputs.
    """

    def __init__(self, function: str, args: list[Any], kwargs: dict[str, Any], **options: Any) -> None:
        super().__init__(**options)
        self.function, self.args, self.kwargs = function, args, kwargs

    def call(self, inputs: Any) -> Any:
        tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        args, kwargs = (_filled(given, tensors) for given in (self.args, self.kwargs))
        if self.function == "getitem":
            return args[0][tuple(map(_index, kwargs["slice_spec"]))]
        return _found(self.function)(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        own = {"function": self.function, "args": self.args, "kwargs": self.kwargs}
        return {**super().get_config(), **own}


def _filled(node: Any, tensors: Any) -> Any:
    if isinstance(node, dict):
        return tensors[node["tensor"]] if set(node) == {"tensor"} else {k: _filled(v, tensors) for k, v in node.items()}
    return [_filled(entry, tensors) for entry in node] if isinstance(node, (list, tuple)) else node


def _index(entry: Any) -> Any:
    if isinstance(entry, dict) and "start" in entry:
        return slice(entry["start"], entry["stop"], entry["step"])
    if isinstance(entry, dict) and entry.get("class_name") == "__ellipsis__":
        return Ellipsis
    return entry


def _found(name: str) -> Any:
    import tensorflow as tf

    *modules, leaf = name.split(".")
    is_public = not leaf.startswith("_")
    if modules == ["__operators__"] and leaf in _OPERATORS:
        return getattr(tf, _OPERATORS[leaf])
    if not modules and leaf in _ROOT:
        return getattr(tf, leaf)
    if is_public and len(modules) == 1 and modules[0] in _MODULES and hasattr(getattr(tf, modules[0]), leaf):
        return getattr(getattr(tf, modules[0]), leaf)
    raise UnsupportedModelError(
        f"the model calls tf.{name}, which is none of the functions that are called by their names in a file: build "
        "the model from its code, and load the weights into it"
    )


def as_function_layer(layer: dict[str, Any]) -> None:
    """Makes of Keras 2's configuration of such a layer, in place, that of a `TensorFlowFunction`."""
    own = layer["config"]
    slices = layer["class_name"] == "SlicingOpLambda" or own.get("function") == "__operators__.getitem"
    if not slices:
        _found(own["function"])  # one that is not called by its name is refused at once
    nodes = layer.get("inbound_nodes") or [[]]
    if len(nodes) > 1:
        raise UnsupportedModelError(f"the layer {own['name']!r} ({layer['class_name']}) is called several times")
    tensors: list[list[Any]] = []
    single = _is_reference(nodes[0]) or nodes[0][:1] == ["_CONSTANT_VALUE"]
    node = [nodes[0]] if single else nodes[0]  # of one tensor, or of a list of them
    entries, kwargs = [_reference(entry, tensors) for entry in node], {}
    for entry in node:
        if isinstance(entry, list) and len(entry) > 3 and isinstance(entry[3], dict):
            kwargs.update({key: _reference(value, tensors) for key, value in entry[3].items() if key != "name"})
    first = entries[0] if len(entries) == 1 else entries
    layer["class_name"] = TensorFlowFunction.__name__
    layer["inbound_nodes"] = [[[*reference[:3], {}] for reference in tensors]]
    layer["config"] = {
        "name": own["name"],
        "trainable": own.get("trainable", True),
        "dtype": own.get("dtype", "float32"),
        "function": "getitem" if slices else own["function"],
        "args": [first],
        "kwargs": kwargs,
    }


def _is_reference(entry: Any) -> bool:
    """Whether it names a tensor: a layer, which of its calls, which of the outputs."""
    return (
        isinstance(entry, list)
        and len(entry) in (3, 4)
        and isinstance(entry[0], str)
        and entry[0] != "_CONSTANT_VALUE"
        and all(isinstance(number, int) for number in entry[1:3])
    )


def _reference(entry: Any, tensors: list[list[Any]]) -> Any:
    """An argument, with the number of a tensor in place of its name."""
    if _is_reference(entry):
        tensors.append(entry)
        return {"tensor": len(tensors) - 1}
    if isinstance(entry, list) and entry[:1] == ["_CONSTANT_VALUE"]:
        return entry[2]
    return [_reference(part, tensors) for part in entry] if isinstance(entry, list) else entry
