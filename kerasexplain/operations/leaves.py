"""Layers that are kept in one piece and treated as their authors say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras

from kerasexplain.foundation.checks import check_choice
from kerasexplain.graph.primitives import Call, Mixing, Nonlinear, Primitive, Routing
from kerasexplain.operations.catalogue import describes_class

Tensor = Any
#: `(layer, x, y, relevance of y) -> relevance of x`; x is a tuple, and so is the result, for layers of several inputs.
RelevanceFunction = Callable[[Any, Any, Tensor, Tensor], Any]

_TREATMENTS: dict[str, Callable[[Call], Primitive]] = {
    "linear": lambda call: Mixing(call.function()),
    "gradient": lambda call: Nonlinear(call.function()),
    "routing": lambda call: Routing(call.function()),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Custom(Primitive):
    """A layer with a rule of its own."""

    function: Callable[..., Tensor]
    layer: Any
    relevance: RelevanceFunction

    def __call__(self, *xs: Tensor, tap: Tensor | None = None) -> Tensor:
        return self.function(*xs)


def register_leaf(kind: type[keras.layers.Layer], treatment: str) -> None:
    """Keeps layers of a class in one piece when a model is traced, and says what they are to relevance.

    For layers whose code does not run on symbolic tensors: Python control flow on values, or operations of the backend
    itself instead of `keras.ops`.

    Args:
        kind: The layer class; its subclasses are meant too.
        treatment: "linear": its outputs are linear in its inputs, without a constant term, so that its plain gradient
            shares relevance in proportion. "routing": it only moves, repeats or drops values. "gradient": it is
            linearised at its input, and what that leaves over is a bias entry.

    Raises:
        ValueError: The treatment is none of these.
        TypeError: It is no layer class.

    Example:
        >>> kerasexplain.register_leaf(MyWaveletTransform, "linear")
    """
    _check_layer_class(kind)
    check_choice("treatment", treatment, _TREATMENTS)
    describes_class(kind)(_TREATMENTS[treatment])


def register_rule(kind: type[keras.layers.Layer], relevance: RelevanceFunction) -> None:
    """Keeps layers of a class in one piece, with a rule of one's own for them, under every `lrp.*` name.

    Args:
        kind: The layer class; its subclasses are meant too.
        relevance: `(layer, x, y, R) -> relevance of x`, where y is the layer's output and R its relevance, by
            operations of `keras.ops`. For a layer of several inputs x is a tuple, and so must be the result.

    Raises:
        TypeError: It is no layer class, or the rule is no function.

    Example:
        >>> def equally(layer, x, y, R):
        ...     return keras.ops.ones_like(x) * keras.ops.mean(R, axis=-1, keepdims=True)
        >>> kerasexplain.register_rule(MyLayer, equally)
    """
    _check_layer_class(kind)
    if not callable(relevance):
        raise TypeError(f"a rule must be a function (layer, x, y, R) -> relevance of x, got {relevance!r}")
    describes_class(kind)(lambda call: Custom(call.function(), call.operation, relevance))


def _check_layer_class(kind: Any) -> None:
    if not (isinstance(kind, type) and issubclass(kind, keras.layers.Layer)):
        raise TypeError(f"expected a class of layers, got {kind!r}")
