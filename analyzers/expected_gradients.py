"""Expected gradients: integrated gradients, averaged over the data instead of from one baseline."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kerasexplain.analyzers.baseline import AgainstBaselines, Points, on_lines
from kerasexplain.foundation.checks import check_count, check_seed

if TYPE_CHECKING:
    from kerasexplain.compiler.question import Answer
    from kerasexplain.runtime.fitting import Fitting
    from kerasexplain.runtime.method import Method
    from kerasexplain.runtime.passes import Passes

Tensor = Any


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ExpectedGradients(AgainstBaselines):
    """`E[(x_i - x'_i) dy/dx_i(x' + t (x - x'))]`, x' from the background and t from [0, 1]: no baseline is singled out.

    The mean over n draws, unbiased: every sample of the background is drawn equally often (once more or less), and each
    n-th part of [0, 1] has one t. The draws are the same for every sample, whatever else is in its batch. The sum is
    `y(x) - E[y(x')]` up to the error of n draws: see `explanation.completeness_error`; `explanation.reference` is the
    mean of y over the background samples that were drawn. Where an input holds indices, the line is between what is
    looked up by them, as in `integrated_gradients`.

    Use it: where no single baseline means "nothing there": what is typical of the data then gets little.

    Not for: few draws and a background that varies much: the map is noisy then, and `samples` the cure. Nor behind
    `Masking` of real numbers, where the output jumps on the way.

    Args:
        background: Samples x', along a first axis; for a model with several inputs a list or a dict of them. By
            default those that `fit` has drawn from its data.
        samples: n, how many draws; also how many samples `fit` keeps.
        seed: Of the draws.

    Attributes:
        drawn: What `fit` has drawn, one array for each input of the model.

    Source: Erion et al. 2021, "Improving performance of deep learning models with axiomatic attribution priors and
    expected gradients", the section on expected gradients.
    """

    name: ClassVar[str] = "expected_gradients"
    explains_layers: ClassVar[bool] = False
    fitted_fields: ClassVar[tuple[str, ...]] = ("drawn",)
    option: ClassVar[str] = "background"

    background: Any = None
    samples: int = 200
    seed: int = 0
    drawn: Any = None

    def __post_init__(self) -> None:
        check_count("samples", self.samples)
        check_seed(self.seed)

    def fitted(self, fitting: Fitting) -> Method:
        if self.background is not None:
            return self
        return dataclasses.replace(self, drawn=fitting.sample(self.samples, self.seed))

    def check_fitted(self) -> None:
        if self.background is None and self.drawn is None:
            raise ValueError(f"{self.name!r} needs a background: call analyzer.fit(data) first, or pass background=")

    def compared_with(self) -> Any:
        return self.drawn if self.background is None else self.background

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        return q

    def answer(self, passes: Passes) -> Answer:
        n, rng = self.samples, np.random.default_rng(self.seed)
        given = self.baselines(passes)
        used = rng.permutation(len(given[0]))[:n]
        at = (rng.permutation(n) + rng.random(n)) / n
        points = Points(np.arange(n) % len(used), at, np.full(n, 1.0 / n))
        return on_lines(passes, [array[used] for array in given], points)
