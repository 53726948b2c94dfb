"""Methods that compare the input with a baseline."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kerasexplain import rules
from kerasexplain.analyzers.gradient import POSTPROCESS, check_postprocess
from kerasexplain.analyzers.lrp import maximum_rule
from kerasexplain.compiler.against_baseline import gauss_legendre
from kerasexplain.compiler.composite import GRADIENT, Composite
from kerasexplain.foundation.checks import check_choice, check_count
from kerasexplain.foundation.errors import InputError
from kerasexplain.rules import BaselineRule
from kerasexplain.runtime.embedded import Embedded
from kerasexplain.runtime.inputs import check_integers
from kerasexplain.runtime.method import Method
from kerasexplain.runtime.passes import add_rows

if TYPE_CHECKING:
    from kerasexplain.compiler.question import Answer
    from kerasexplain.runtime.fitting import Fitting
    from kerasexplain.runtime.passes import Passes

Tensor = Any


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AgainstBaselines(Method):
    """The base of methods that compare with one baseline or several; which, a subclass says in `compared_with`."""

    default_start: ClassVar[str] = "one"
    legal_starts: ClassVar[tuple[str | None, ...]] = (None, "one")  # else the sum would not be the output's change
    takes_start_array: ClassVar[bool] = False
    #: The option that says what is compared with.
    option: ClassVar[str] = "reference_inputs"

    def compared_with(self) -> Any:
        """The baselines as they were given, or fitted: see `ComparingMethod`."""
        raise NotImplementedError

    def baselines(self, passes: Passes, needed: Sequence[bool] | None = None) -> list[np.ndarray]:
        """The baselines `(baselines, *sample)`, one array for each input of the model; 0 for those that need none.

        Raises:
            InputError: They do not fit the samples.
        """
        names, option = passes.pipelines.first.graph.input_names, self.option
        given = self.compared_with()
        needed = [True] * len(names) if needed is None else needed
        if isinstance(given, dict):
            missing = {name for name, need in zip(names, needed, strict=True) if need} - set(given)
            if missing or set(given) - set(names):
                raise InputError(f"{option} has {list(given)}, but the model's inputs are {list(names)}")
            given = [given.get(name, 0) for name in names]
        several = isinstance(given, (list, tuple)) and len(given) == len(names) and len(names) + np.ndim(given[0]) > 1
        each = list(given) if several else [given] * len(names)
        if len(names) > 1 and not several and np.ndim(given):
            raise InputError(f"{option} must be a number, or one baseline for each of {list(names)}")
        each = [value if need else 0 for value, need in zip(each, needed, strict=True)]
        found = [
            _baselines(value, x, f"{option} for {name!r}")
            for value, x, name in zip(each, passes.inputs, names, strict=True)
        ]
        count = max(map(len, found))
        if any(len(array) not in (1, count) for array in found):
            raise InputError(f"there are different numbers of baselines for the inputs: {[len(a) for a in found]}")
        return [np.broadcast_to(array, (count, *array.shape[1:])) for array in found]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ComparingMethod(AgainstBaselines):
    """The base of all methods with a baseline.

    Args:
        reference_inputs: The baseline x': a number; an array that fits one sample; several, along a first axis of their
            own, over which the result is averaged; or "mean", the mean of the data given to `fit`. For a model with
            several inputs a list or a dict of these, or one number for all.

    Attributes:
        mean: The fitted mean of the data; None before `fit`.
    """

    fitted_fields: ClassVar[tuple[str, ...]] = ("mean",)

    reference_inputs: Any = 0
    mean: Any = None

    def __post_init__(self) -> None:
        if isinstance(self.reference_inputs, str) and self.reference_inputs != "mean":
            raise ValueError(f"reference_inputs must be numbers or 'mean', got {self.reference_inputs!r}")

    def fitted(self, fitting: Fitting) -> Method:
        return dataclasses.replace(self, mean=fitting.mean()) if isinstance(self.reference_inputs, str) else self

    def check_fitted(self) -> None:
        if isinstance(self.reference_inputs, str) and self.mean is None:
            raise ValueError(f"{self.name!r} with reference_inputs='mean' needs data: call analyzer.fit(data) first")

    def compared_with(self) -> Any:
        return self.mean if isinstance(self.reference_inputs, str) else self.reference_inputs


def _baselines(given: Any, x: np.ndarray, what: str) -> np.ndarray:
    """Baselines `(baselines, *sample)` for one input."""
    array = np.asarray(given)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{what} must be real numbers, got {array.dtype}")
    if not np.isfinite(array).all():
        raise InputError(f"{what} must be finite numbers")
    if x.dtype.kind in "iu":
        check_integers(array, str(x.dtype), what)
    own = array if array.ndim == x.ndim else array[None]
    if not len(own):
        raise InputError(f"{what} holds no sample: its shape is {array.shape}")
    try:
        return np.broadcast_to(own, (len(own), *x.shape[1:])).astype(x.dtype)
    except ValueError:
        raise InputError(
            f"{what} must fit one sample, {x.shape[1:]}, or be several of them, along a first axis of their own; got "
            f"{array.shape}"
        ) from None


@dataclasses.dataclass(frozen=True)
class Points:
    """Points on lines from baselines to the input, the same for every sample.

    Attributes:
        which: Which baseline each line begins at.
        at: Where on the line, from 0 at the baseline to 1 at the input.
        weights: What the gradient there counts; they add up to 1.
    """

    which: np.ndarray
    at: np.ndarray
    weights: np.ndarray


def on_lines(passes: Passes, baselines: list[np.ndarray], points: Points) -> Answer:
    """The sum over points of `w (x - x') dy/dx(x' + t (x - x'))`, and the explained value at the baselines."""
    passes, told = passes.fixed()
    embedded = Embedded.of(passes)
    passes, real = embedded.passes, embedded.real
    of_baselines = embedded.looked_up(baselines)
    differences = [x[:, None] - b[None] for x, b in zip(embedded.looked_up(passes.inputs), of_baselines, strict=True)]

    def along(rows: np.ndarray, which: np.ndarray, t: np.ndarray) -> list[np.ndarray]:
        inputs = zip(passes.inputs, baselines, real, strict=True)
        return [
            np.where(r, b[which] + _spread(t, x) * (x[rows] - b[which]), x[rows]).astype(x.dtype) for x, b, r in inputs
        ]

    def back(rows: np.ndarray, which: np.ndarray, t: np.ndarray) -> list[np.ndarray]:
        """The shifts of lookups from those of the sample to those of a point on the line."""
        return [(d[rows, which] * _spread(t - 1, d[:, 0])).astype(d.dtype) for d in differences]

    def make(rows: np.ndarray, copies: np.ndarray) -> list[np.ndarray]:
        return along(rows, points.which[copies], points.at[copies])

    def shift(rows: np.ndarray, copies: np.ndarray) -> list[np.ndarray]:
        return back(rows, points.which[copies], points.at[copies])

    def weigh(rows: np.ndarray, copies: np.ndarray) -> list[np.ndarray | float]:
        which, weights = points.which[copies], points.weights[copies]
        inputs = zip(passes.inputs, baselines, strict=True)
        return [(x[rows] - b[which]).astype("float64") * _spread(weights, x) for x, b in inputs]

    def weigh_taps(rows: np.ndarray, copies: np.ndarray) -> list[np.ndarray | float]:
        which, weights = points.which[copies], points.weights[copies]
        return [d[rows, which].astype("float64") * _spread(weights, d[:, 0]) for d in differences]

    moves = shift if differences else None
    taps = dataclasses.replace(passes.question, taps=passes.question.shifts)
    reading = dataclasses.replace(passes, question=taps)
    answer = reading.averaged(len(points.at), make, told, weigh, shift=moves, weigh_taps=weigh_taps)
    answer = embedded.with_indices(answer, answer.taps)

    # The explained value at the baselines, each as often as it was begun at.
    shares = np.bincount(points.which, points.weights, len(baselines[0]))
    silent, reference = dataclasses.replace(passes, progress=None), np.zeros(passes.samples)
    ends = silent.copies(
        len(shares),
        lambda rows, copies: along(rows, copies, np.zeros(len(rows))),
        relevance=False,
        shift=(lambda rows, copies: back(rows, copies, np.zeros(len(rows)))) if differences else None,
    )
    for rows, copies, at_baseline in ends:
        add_rows(reference, rows, at_baseline.explained * shares[copies])
    return dataclasses.replace(answer, reference=reference.astype(answer.explained.dtype))


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class IntegratedGradients(ComparingMethod):
    """`(x_i - x'_i) int_0^1 dy/dx_i(x' + t (x - x')) dt`: the gradient along the line from a baseline to the input.

    The sum is `y(x) - y(x')`, up to the quadrature's error: `explanation.completeness_error`. The neuron is the one
    that is selected for x, all along the line. Where an input holds indices, the line is between what is looked up by
    them and by those of the baseline, and an index has the sum over its vector; masks of ids stay those of x.

    Use it: for any differentiable model, with a baseline that means "nothing there".

    Not for: where no baseline is neutral: what equals it gets no relevance. Nor behind `Masking` of real numbers: the
    output jumps where a mask changes on the way, and `completeness_error` tells by how much; `deep_lift` holds masks.

    Args:
        steps: How many points on the line.
        method: "gauss_legendre"; or the Riemann sums "riemann_left", at k / steps for k < steps, and "riemann_middle".
        postprocess: What is done to each gradient: None, "abs" or "square".

    Source: Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks".
    """

    name: ClassVar[str] = "integrated_gradients"
    explains_layers: ClassVar[bool] = False

    steps: int = 64
    method: str = "gauss_legendre"
    postprocess: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("steps", self.steps)
        check_postprocess(self.postprocess)
        check_choice("method", self.method, QUADRATURES)

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        return POSTPROCESS[self.postprocess](q)

    def answer(self, passes: Passes) -> Answer:
        baselines = self.baselines(passes)
        count, (at, weights) = len(baselines[0]), QUADRATURES[self.method](self.steps)
        which = np.repeat(np.arange(count), len(at))
        return on_lines(passes, baselines, Points(which, np.tile(at, count), np.tile(weights / count, count)))


def _spread(factors: np.ndarray, x: np.ndarray) -> np.ndarray:
    return factors.reshape(-1, *(1 for _ in x.shape[1:]))


#: Nodes in [0, 1] and their weights, by the name of the sum.
QUADRATURES: dict[str, Callable[[int], tuple[np.ndarray, np.ndarray]]] = {
    "gauss_legendre": gauss_legendre,
    "riemann_left": lambda n: (np.arange(n) / n, np.full(n, 1.0 / n)),
    "riemann_middle": lambda n: ((np.arange(n) + 0.5) / n, np.full(n, 1.0 / n)),
}


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class SlopeMethod(ComparingMethod):
    """The base of methods that propagate multipliers: one backward pass for each baseline, after a forward pass.

    Args:
        maximum: The rule for maxima, or its name: `SoftmaxLimit()`, the default; `ReluChain()`; or `WinnerTakesAll()`,
            the gradient, with which the sum is not exact.
    """

    maximum: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.composite()  # so that a bad rule is refused here

    def elementwise(self) -> BaselineRule:
        """The rule for nonlinearities."""
        return rules.BaselineSlope()

    def composite(self) -> Composite:
        maximum = maximum_rule(self.maximum, rules.SoftmaxLimit())
        if not maximum.has_baseline:
            raise ValueError(
                f"against a baseline, maximum must be SoftmaxLimit(), ReluChain() or WinnerTakesAll(), got {maximum!r}"
            )
        return dataclasses.replace(
            GRADIENT, elementwise=self.elementwise(), maximum=maximum, against_baseline=True, folds=True
        )

    def answer(self, passes: Passes) -> Answer:
        baselines = self.baselines(passes)

        def baseline(rows: np.ndarray, copies: np.ndarray) -> list[np.ndarray]:
            return [array[copies] for array in baselines]

        return passes.averaged(len(baselines[0]), passes.themselves, baseline=baseline)


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class DeepLift(SlopeMethod):
    """Relevance of the difference from a baseline, `(x_i - x'_i) m_i`, with multipliers m from one backward pass.

    `m_z = (f(z) - f(z')) / (z - z') m_y` for nonlinearities (Rescale); the gradient for what is linear; the mean
    gradient on the line from the baseline for softmax (by quadrature), normalisation and products (exactly). The sum is
    `y(x) - y(x')`: see `explanation.completeness_error`.

    Use it: as integrated gradients at the cost of one pass, and where gradients vanish because a unit is saturated.

    Not for: code that sorts numbers, and functions that jump, which are refused. What a comparison decides at the
    input, masks above all, holds at the baseline too: `explanation.reference` is what the model gives there with the
    masks of the input. Recurrent layers run at the baseline beside the input, step by step.

    Args:
        rule: "rescale"; or "reveal_cancel", which treats positive and negative differences apart (`RevealCancel`).

    Source: Shrikumar et al. 2017, "Learning Important Features Through Propagating Activation Differences".
    """

    name: ClassVar[str] = "deep_lift"

    rule: str = "rescale"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("rule", self.rule, ("rescale", "reveal_cancel"))

    def elementwise(self) -> BaselineRule:
        return rules.BaselineSlope() if self.rule == "rescale" else rules.RevealCancel()


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Baseline(SlopeMethod):
    """LRP as a modified gradient, with every slope taken against a baseline: no bias takes anything.

    `R_i = (x_i - x'_i) m_i`, where every nonlinearity multiplies by `(f(z) - f(z')) / (z - z')`. The multipliers are
    the same when input and baseline change places, and the relevance changes its sign. The sum is `y(x) - y(x')`. With
    `SoftmaxLimit` for maxima it is `deep_lift` with Rescale; `ReluChain` is the other way to take a maximum apart.

    Use it: to ask why the output differs from that of another input: two photographs, a sentence and its correction.

    Not for: code that sorts numbers, and functions that jump, which are refused. What a comparison decides at the
    input, masks above all, holds at the baseline too: `explanation.reference` is what the model gives there with the
    masks of the input. Recurrent layers run at the baseline beside the input, step by step.

    Source: the second solution to the problem of biases in the algebra that `lrp.algebra` is named for.
    """

    name: ClassVar[str] = "lrp.baseline"
