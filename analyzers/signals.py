"""Gradients that are rectified on their way back: deconvolution and guided backpropagation."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from kerasexplain import rules
from kerasexplain.compiler.composite import GRADIENT, Composite
from kerasexplain.runtime.method import Method

Tensor = Any


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Deconvnet(Method):
    """The gradient, with each nonlinearity applied to what comes back instead of its derivative: `S_z = f(S_y)`.

    For ReLU `S_z = max(S_y, 0)`. Functions with f(0) other than 0 are refused. It starts with the explained value.

    Use it: to see which patterns a feature detector of a ReLU network can be rebuilt from.

    Not for: the question which inputs the output is owed to: the map hardly depends on the explained class, and no sum
    is conserved.

    Source: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks".
    """

    name: ClassVar[str] = "deconvnet"

    def composite(self) -> Composite:
        return dataclasses.replace(GRADIENT, elementwise=rules.Repeat())

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        return q


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GuidedBackprop(Method):
    """The gradient, with what is negative in it cut off at every ReLU: `S_z = f'(z) max(S_y, 0)`.

    Networks with other elementwise nonlinearities than ReLU, with or without an upper bound, are refused; softmax,
    normalisation and products of activations have their gradient. It starts with the explained value.

    Use it: for sharp images of the edges and patterns that a ReLU network reacts to.

    Not for: comparing classes: the map hardly depends on the explained class (Nie et al. 2018), and no sum is
    conserved.

    Source: Springenberg et al. 2015, "Striving for Simplicity: The All Convolutional Net".
    """

    name: ClassVar[str] = "guided_backprop"

    def composite(self) -> Composite:
        return dataclasses.replace(GRADIENT, elementwise=rules.GuidedReLU())

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        return q
