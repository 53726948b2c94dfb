"""The gradient family: what the plain derivative says."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from keras import ops

from kerasexplain.method import Method

Tensor = Any
POSTPROCESS = (None, "abs", "square")


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Gradient(Method):
    """The derivative of the explained output: `dy / dx_i`.

    Args:
        postprocess: None, "abs" or "square".

    Source: Simonyan et al. 2013, "Deep Inside Convolutional Networks".
    """

    name: ClassVar[str] = "gradient"
    default_start: ClassVar[str] = "one"

    postprocess: str | None = None

    def __post_init__(self) -> None:
        if self.postprocess not in POSTPROCESS:
            raise ValueError(f"postprocess must be one of {POSTPROCESS}, got {self.postprocess!r}")

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        return {None: lambda g: g, "abs": ops.abs, "square": ops.square}[self.postprocess](q)


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GradientBaseline(Gradient):
    """`gradient`, under another of its names."""

    name: ClassVar[str] = "gradient.baseline"


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class InputTimesGradient(Method):
    """`x_i dy / dx_i`.

    Source: Shrikumar et al. 2016, "Not Just a Black Box".
    """

    name: ClassVar[str] = "input_t_gradient"
    default_start: ClassVar[str] = "one"


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Sensitivity(Method):
    """`(dy / dx_i)^2`: sensitivity analysis.

    Source: Gevrey et al. 2003; Simonyan et al. 2013.
    """

    name: ClassVar[str] = "sensitivity"
    default_start: ClassVar[str] = "one"

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        return ops.square(q)
