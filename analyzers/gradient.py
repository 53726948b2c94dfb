"""The gradient family: what the plain derivative says."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from keras import ops

from kerasexplain.foundation.checks import check_choice, check_count, check_nonnegative, check_seed
from kerasexplain.runtime.embedded import Embedded
from kerasexplain.runtime.method import Method

if TYPE_CHECKING:
    from kerasexplain.compiler.question import Answer
    from kerasexplain.runtime.passes import Passes

Tensor = Any
POSTPROCESS = {None: lambda g: g, "abs": ops.abs, "square": ops.square}


def check_postprocess(postprocess: str | None) -> None:
    """Raises ValueError unless it is None, "abs" or "square"."""
    check_choice("postprocess", postprocess, POSTPROCESS)


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Gradient(Method):
    """The derivative of the explained output: `dy / dx_i`.

    Use it: to see where a small change of the input changes the output most.

    Not for: what the output is owed to: a saturated unit has no gradient, and the sum of the map means nothing.

    Args:
        postprocess: None, "abs" or "square".

    Source: Simonyan et al. 2013, "Deep Inside Convolutional Networks".
    """

    name: ClassVar[str] = "gradient"
    default_start: ClassVar[str] = "one"

    postprocess: str | None = None

    def __post_init__(self) -> None:
        check_postprocess(self.postprocess)

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        return POSTPROCESS[self.postprocess](q)


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GradientBaseline(Gradient):
    """`gradient`, under another of its names.

    Use it: in code that knows it by this name.

    Not for: a comparison with a baseline, which `deep_lift` and `integrated_gradients` make.

    Source: iNNvestigate's name for the gradient that the framework computes.
    """

    name: ClassVar[str] = "gradient.baseline"


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class InputTimesGradient(Gradient):
    """`x_i dy / dx_i`.

    Use it: as the cheapest attribution; without biases, in a ReLU network, it is LRP's `Z` rule, and adds up.

    Not for: deep networks with biases, where it is noisy and does not add up.

    Args:
        postprocess: What is done to the gradient first: None, "abs" or "square".

    Source: Shrikumar et al. 2016, "Not Just a Black Box".
    """

    name: ClassVar[str] = "input_t_gradient"

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        return x * super().attribution(x, q)


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Sensitivity(Method):
    """`(dy / dx_i)^2`: sensitivity analysis.

    Use it: to rank inputs by how much the output changes with them, without regard to the direction.

    Not for: evidence for and against: it has no sign.

    Source: Gevrey et al. 2003, "Review and comparison of methods to study the contribution of variables"; Simonyan et
    al. 2013.
    """

    name: ClassVar[str] = "sensitivity"
    default_start: ClassVar[str] = "one"

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        return ops.square(q)


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SmoothGrad(Gradient):
    """The mean gradient at noisy copies of the input: `1/n sum_k dy/dx_i(x + sigma e_k)`, e_k normal.

    The neuron is the one that is selected for x itself, and every sample meets the same n noises: its map does not
    depend on what else is in the batch. Where an input holds indices, noise is added to what is looked up by them.

    Use it: for a gradient of an image classifier that one can look at.

    Not for: exact sums.

    Args:
        augment_by_n: How many noisy copies.
        noise_scale: sigma, as a share of the sample's own range `max(x) - min(x)`.
        seed: Of the noise.
        postprocess: What is done to each gradient before the mean: None, "abs" or "square".

    Source: Smilkov et al. 2017, "SmoothGrad: removing noise by adding noise".
    """

    name: ClassVar[str] = "smoothgrad"

    augment_by_n: int = 64
    noise_scale: float = 0.15
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("augment_by_n", self.augment_by_n)
        check_nonnegative("noise_scale", self.noise_scale)
        check_seed(self.seed)

    def answer(self, passes: Passes) -> Answer:
        passes, told = passes.fixed()
        embedded = Embedded.of(passes)
        passes, real = embedded.passes, embedded.real
        noises: dict[tuple[int, int], np.ndarray] = {}

        def noise(copy: int, number: int, shape: tuple[int, ...]) -> np.ndarray:
            if (copy, number) not in noises:
                noises[copy, number] = np.random.default_rng([self.seed, copy, number]).standard_normal(shape)
            return noises[copy, number]

        def noise_of(x: np.ndarray, number: int, copies: np.ndarray) -> np.ndarray:
            sigma = self.noise_scale * np.ptp(x, axis=tuple(range(1, x.ndim)), keepdims=True)
            return sigma * np.stack([noise(copy, number, x.shape[1:]) for copy in copies.tolist()])

        def make(rows: np.ndarray, copies: np.ndarray) -> list[np.ndarray]:
            inputs = enumerate(zip(passes.inputs, real, strict=True))
            return [
                np.where(r, x[rows] + noise_of(x[rows], i, copies), x[rows]) if r.any() else x[rows]
                for i, (x, r) in inputs
            ]

        looked_up = embedded.looked_up(passes.inputs)

        def shift(rows: np.ndarray, copies: np.ndarray) -> list[np.ndarray]:
            numbers = range(len(passes.inputs), len(passes.inputs) + len(looked_up))
            return [noise_of(e[rows], i, copies).astype(e.dtype) for i, e in zip(numbers, looked_up, strict=True)]

        question = dataclasses.replace(passes.question, taps=(*passes.question.taps, *passes.question.shifts))
        reading = dataclasses.replace(passes, question=question)
        answer = reading.averaged(self.augment_by_n, make, told, shift=shift if looked_up else None)
        own = len(passes.question.taps)
        with_ids = embedded.with_indices(answer, answer.taps[own:])
        return dataclasses.replace(with_ids, taps=answer.taps[:own])
