"""The support table: every layer of `keras.layers` and every function of `keras.ops`, and how it is treated."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Iterable
from typing import Any

import keras

from kerasexplain.create import create_analyzer
from kerasexplain.foundation.errors import UnsupportedModelError
from kerasexplain.graph.elementwise import Elementwise
from kerasexplain.graph.linear import Linear
from kerasexplain.graph.maximum import Maximum
from kerasexplain.graph.primitives import (
    Affine,
    Lookup,
    Mixing,
    Nonlinear,
    Pooling,
    Primitive,
    Product,
    Routing,
    Scale,
    Source,
    Statistics,
)
from kerasexplain.graph.recurrent import Recurrent
from kerasexplain.operations.layers.reshaping import Inactive
from kerasexplain.trace.trace import trace


@dataclasses.dataclass(frozen=True)
class Support:
    """The support of a call: how it is explained, or why it is refused.

    Attributes:
        parts: The kinds of primitives it is made of.
        how: "opened" where the layer's own code is followed, "by its parts" where it is written in simpler operations.
        refused: Why it cannot be explained; empty where it can.
    """

    parts: tuple[type[Primitive], ...] = ()
    how: str = ""
    refused: str = ""

    @property
    def text(self) -> str:
        if self.refused:
            return f"refused: {self.refused}"
        parts = ", ".join(dict.fromkeys(KINDS[kind].does for kind in self.parts)) or "its input, unchanged"
        return f"{self.how}: {parts}" if self.how else parts

    @property
    def rules(self) -> str:
        return ", ".join(dict.fromkeys(rule for kind in self.parts for rule in KINDS[kind].rules))


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of primitive, for readers: what it does, and the rules it takes."""

    does: str
    rules: tuple[str, ...] = ()


KINDS: dict[type[Primitive], Kind] = {
    Affine: Kind("times a constant plus a constant"),
    Elementwise: Kind("element by element", ("`Ignore`", "`Slope`", "`GradientRule`")),
    Inactive: Kind("inactive at inference"),
    Linear: Kind("linear", ("every linear rule",)),
    Lookup: Kind("looked up by an index, where relevance ends"),
    Maximum: Kind("a maximum", ("every maximum rule",)),
    Mixing: Kind("sums, proportional"),
    Nonlinear: Kind("whole vectors, by the gradient", ("`GradientRule`",)),
    Pooling: Kind("sums within windows, proportional", ("every linear rule",)),
    Product: Kind("a product of activations", ("`Halve`", "`SignalTakesAll`", "`CPLRP`")),
    Recurrent: Kind("a cell, step by step"),
    Routing: Kind("moves values"),
    Scale: Kind("times a constant"),
    Source: Kind("a constant operand, a bias entry"),
    Statistics: Kind("normalisation", ("`DetachStatistics`",)),
}


def support_of(model: keras.Model) -> Support:
    """How the operations between a model's inputs and its output are treated."""
    try:
        analyzer = create_analyzer("lrp.bias_as_input", model, explain="activation", on_unsupported="gradient")
        rows = analyzer.rows
        refused = next((row.reason for row in rows if not row.supported), "")
    except UnsupportedModelError as error:
        return Support(refused=str(error).splitlines()[0])
    parts = tuple(dict.fromkeys(type(row.node.primitive) for row in rows))
    known = tuple(next(kind for kind in part.__mro__ if kind in KINDS) for part in parts if not refused)
    graph = trace(model)
    expanded = any("/" in node.name for node in graph.nodes)
    return Support(known, "opened" if graph.opened else "by its parts" if expanded else "", refused)


_NO_NUMBER = "no relevance: its output is no real number"
_CONSTANT = "no relevance: it makes constants"
_NO_OPERATION = "no operation of a graph"
_FLOW = "refused: what its body computes is not traced"
_ERROR = "refused: it measures an error, and has no rule"
_FOREIGN = "refused: its code is another framework's"
_SAMPLES = "refused: it moves values from one sample of the batch to another"

#: What no example can be given of, and why: `name` stands for the layer or function of that name.
WITHOUT_EXAMPLE: dict[str, str] = {
    **dict.fromkeys(
        (
            *("all", "allclose", "any", "argmax", "argmin", "argpartition", "argsort", "bincount", "bitwise_and"),
            *("bitwise_invert", "bitwise_left_shift", "bitwise_not", "bitwise_or", "bitwise_right_shift"),
            *("bitwise_xor", "count_nonzero", "digitize", "equal", "gcd", "greater", "greater_equal", "histogram"),
            *("in_top_k", "isclose", "isfinite", "isin", "isinf", "isnan", "isneginf", "isposinf", "isreal", "lcm"),
            *("left_shift", "less", "less_equal", "logical_and", "logical_not", "logical_or", "logical_xor"),
            *("matrix_rank", "nanargmax", "nanargmin", "nonzero", "not_equal", "right_shift", "searchsorted"),
            *("signbit", "unique", "unravel_index"),
        ),
        _NO_NUMBER,
    ),
    **dict.fromkeys(
        (
            *("arange", "bartlett", "blackman", "empty", "empty_like", "eye", "full", "geomspace", "hamming"),
            *("hanning", "identity", "kaiser", "linspace", "logspace", "ones", "tri", "zeros"),
        ),
        _CONSTANT,
    ),
    **dict.fromkeys(
        ("convert_to_numpy", "custom_gradient", "dtype", "is_tensor", "ndim", "shape", "size", "vectorize"),
        _NO_OPERATION,
    ),
    **dict.fromkeys(
        (
            *("associative_scan", "cond", "fori_loop", "jvp", "map", "scan", "switch"),
            *("vectorized_map", "while_loop"),
        ),
        _FLOW,
    ),
    **dict.fromkeys(
        (
            *("binary_crossentropy", "categorical_crossentropy", "ctc_decode", "ctc_loss", "image.ssim", "psnr"),
            "sparse_categorical_crossentropy",
        ),
        _ERROR,
    ),
    **dict.fromkeys(("FlaxLayer", "JaxLayer", "TorchModuleWrapper"), _FOREIGN),
    "TFSMLayer": "opened: what its graph of TensorFlow computes",
    **dict.fromkeys(("image.map_coordinates", "scatter", "correlate"), _SAMPLES),
    "conv_transpose": "linear, in the code of a layer; as an operation of a functional model, Keras' own does not run",
    "rearrange": "refused: Keras' own operation does not run in a model",
    **dict.fromkeys(("eig",), "refused: it is a function of whole matrices"),
    **dict.fromkeys(("imag", "polar", "view_as_complex", "view_as_real"), "refused: complex numbers have no rule"),
    **dict.fromkeys(("InputLayer", "InputSpec", "Layer", "Wrapper"), _NO_OPERATION),
    **dict.fromkeys(("HashedCrossing", "StringLookup", "TextVectorization"), "refused: text has no relevance"),
    "Equalization": "inactive at inference",
    "MaxNumBoundingBoxes": "refused: it takes bounding boxes, which are no activations",
}


def without_example(subject: str) -> str:
    """How a layer or function that has no example is treated; empty where that is not known."""
    return WITHOUT_EXAMPLE.get(subject.partition(".")[2], "")


def find(name: str) -> Any:
    """The layer class or function of that name, such as `ops.image.resize`; None where this Keras has none."""
    return functools.reduce(lambda owner, part: getattr(owner, part, None), name.split("."), keras)


def subjects() -> list[str]:
    """The names of all layer classes and of all functions of `keras.ops`, each by one of its names."""
    classes = [(name, kind) for name, kind in vars(keras.layers).items() if inspect.isclass(kind)]
    inner = [
        (f"{module}.{name}", function)
        for module in ("image", "linalg")
        for name, function in _functions(getattr(keras.ops, module))
        if not hasattr(keras.ops, name)
    ]
    # Aliases are shorter (AvgPool2D) or say Convolution: the class's own name is the one it has.
    layers = sorted({f"layers.{_own(kind, [n for n, k in classes if k is kind])}" for _, kind in classes})
    return [*layers, *(f"ops.{name}" for name, _ in sorted([*_functions(keras.ops), *inner]))]


def _own(kind: type, names: list[str]) -> str:
    return kind.__name__ if kind.__name__ in names else min(names)


def _functions(module: Any) -> Iterable[tuple[str, Any]]:
    return [(name, value) for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
