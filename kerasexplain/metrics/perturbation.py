"""Region perturbation: the fall of the output while the most relevant parts of the input are removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from kerasexplain.foundation.checks import check_choice, check_count, check_seed
from kerasexplain.foundation.config import saved_by_keyword
from kerasexplain.foundation.errors import InputError
from kerasexplain.metrics import fills
from kerasexplain.metrics.fills import Fill, check_fill
from kerasexplain.metrics.judged import Judged, Result
from kerasexplain.metrics.metric import Metric
from kerasexplain.metrics.units import Units
from kerasexplain.runtime.passes import Make

#: Why random numbers are drawn: for the order of units of equal relevance, for fills, for subsets.
TIES, FILLS, SUBSETS = range(3)


class Removing(Metric):
    """The base of metrics that remove parts of the input.

    Args:
        fill: What stands in their place: a name ("uniform" noise, "low", "mean", "own_mean", "blur", "neighbours",
            "other"), a number such as the id of a mask token, an array that fits one sample, or a `fills.Fill`.
        size: Size of a part, along every axis but the channels': one number, or one for each. None: a 24th of the
            longest side; a feature of a table, and a token, where there are at most 96: of more, neighbours go
            together. The last axis of three and more is that of channels (the second of images, if Keras is set to
            channels first), also of grey images `(samples, height, width)`: their parts are whole rows.
        regions: Instead of `size`, an integer for each position: what has the same number is removed at once, and what
            has a negative one never.
        which: Name or index of the input that parts are removed of; None for all inputs.
        seed: Of fills, and of the order of parts that are equally relevant.
    """

    fill: Any
    size: Any
    regions: Any
    which: Any
    seed: int

    def __post_init__(self) -> None:
        fills.get(self.fill)
        check_seed(self.seed)
        for size in self.size if isinstance(self.size, (list, tuple)) else [] if self.size is None else [self.size]:
            check_count("size", size)
        if self.regions is not None and self.size is not None:
            raise ValueError("regions take the place of size: give one or the other")

    def units(self, judged: Judged) -> Units:
        """The parts of these samples."""
        return Units.of(judged.inputs, judged.names, size=self.size, regions=self.regions, which=self.which)

    def removal(self, judged: Judged, units: Units) -> Removal:
        """The function that removes parts of these samples."""
        fill = fills.get(self.fill)
        if fill.needs_background and judged.background is None:
            raise InputError(
                f"{fill!r} is made of other samples, and a stream does not hold them all: pass background="
            )
        covers: list[np.ndarray | None] = []
        ids = judged.ids
        for i, x in enumerate(judged.inputs):
            if units.numbers[i].max() < 0:
                covers.append(None)  # nothing of it is ever removed
                continue
            check_fill(fill, x, judged.names[i], ids[i])
            background = None if judged.background is None else judged.background[i]
            covers.append(fill.cover(x, background, lambda s, i=i: judged.generator(self.seed, s, FILLS, i)))  # type: ignore[misc]
        return Removal(judged.inputs, covers, fill, units, ids)


class Removal:
    """Removes parts of samples.

    Args:
        inputs: The samples.
        covers: What stands in place of all of each input; None for an input of which nothing is removed.
        fill: The fill.
        units: The parts.
        ids: For each input, whether it holds ids.
    """

    def __init__(
        self,
        inputs: list[np.ndarray],
        covers: list[np.ndarray | None],
        fill: Fill,
        units: Units,
        ids: Sequence[bool],
    ) -> None:
        self._inputs, self.covers, self._fill, self._units, self._ids = inputs, covers, fill, units, ids

    def __call__(self, rows: np.ndarray, flags: np.ndarray) -> list[np.ndarray]:
        """Copies of samples without some of their parts.

        Args:
            rows: Which samples.
            flags: Which parts are removed of each, truth values `(rows, parts)`.
        """
        # Copies of one sample follow one another, and are views of it until something has been removed.
        begins = np.flatnonzero(np.diff(rows, prepend=-1))
        runs = list(zip(begins, [*begins[1:], len(rows)], strict=True))
        found = []
        for x, cover, removed in zip(self._inputs, self.covers, self._units.at(flags), strict=True):
            if cover is None:
                found.append(x[rows])
                continue
            parts = []
            for begin, end in runs:
                shape = (end - begin, *x.shape[1:])
                own, stands_in = (np.broadcast_to(array[rows[begin]], shape) for array in (x, cover))
                parts.append(self._fill.changed(own, stands_in, removed[begin:end]))
            found.append(parts[0] if len(parts) == 1 else np.concatenate(parts))
        return found

    def is_void(self) -> np.ndarray:
        """Which parts of which samples hold ids that the fill puts there anyway: removing them changes nothing."""
        differing = [
            x != cover if is_id and cover is not None else np.ones(x.shape)
            for x, cover, is_id in zip(self._inputs, self.covers, self._ids, strict=True)
        ]
        return self._units.sums(differing) == 0


def ranking(judged: Judged, units: Units, removal: Removal, order: str, seed: int) -> np.ndarray:
    """The place of every part in the order of removal, `(samples, parts)`.

    Parts that are equally relevant come in a random order; those that hold the fill already come last.
    """
    relevance = units.sums(judged.relevance)
    void = removal.is_void()
    places = np.zeros(relevance.shape, int)
    for i, row in enumerate(relevance):
        ties = judged.generator(seed, i, TIES).permutation(units.count)
        key = row if order == "least" else -row
        places[i, np.lexsort((ties, key, void[i]))] = np.arange(units.count)
    return places


@saved_by_keyword
class RegionPerturbation(Removing):
    """The fall of the explained value while parts of the input are removed in the order of their relevance.

    With x_k the input after k steps, each of which removes the most relevant part that is left,

        AOPC = 1 / (L + 1)  sum_{k=0..L}  f(x_0) - f(x_k)

    the area over the perturbation curve: the larger, the better the map knows what the output depends on. The area of
    a random order is what a map has to beat, and it depends on the fill. With `order="both"` the score is the area
    between the two curves,

        ABPC = 1 / (L + 1)  sum_{k=0..L}  f(x_k, least relevant first) - f(x_k, most relevant first)

    Relevance of a part is the sum over its positions and channels; parts that are equally relevant are removed in a
    random order: a map that is the same everywhere scores as a random one. Parts of ids that hold the fill
    already, such as padding, come last. `details` has the area over each curve, "most" or "least", and `curves` the
    explained value itself.

    Args:
        steps: The number of steps, L; None: until all parts are removed, and 100 at most.
        per_step: How many parts are removed at every step: more of them make the curve coarser, and quicker.
        order: "most" relevant first, "least" relevant first (the score is negated then: the smaller the fall, the
            better), or "both".
        fill, size, regions, which, seed: What stands in place of a part, what the parts are, and of which input; see
            `Removing`.

    Source: Samek et al. 2016, "Evaluating the Visualization of What a Deep Neural Network Has Learned", section III.
    ABPC: Blücher et al. 2024, "Decoupling Pixel Flipping and Occlusion Strategy for Consistent XAI Benchmarks".

    Example:
        >>> scores = RegionPerturbation(steps=60, fill="blur")(analyzer, images)
        >>> print(scores.mean, scores.against(RegionPerturbation(steps=60, fill="blur")(other, images)))
    """

    name: ClassVar[str] = "region_perturbation"

    steps: int | None = None
    per_step: int = 1
    order: str = "most"
    fill: Any = "uniform"
    size: Any = None
    regions: Any = None
    which: Any = None
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("order", self.order, ("most", "least", "both"))
        if self.steps is not None:
            check_count("steps", self.steps)
        check_count("per_step", self.per_step)

    def scores(self, judged: Judged) -> Result:
        units = self.units(judged)
        removal = self.removal(judged, units)
        most = units.count // self.per_step
        steps = min(most, 100) if self.steps is None else self.steps
        if not 0 < steps <= most:
            raise InputError(
                f"an input of {units.count} parts has {most} steps of {self.per_step}; steps={steps}: see size="
            )
        orders = ("most", "least") if self.order == "both" else (self.order,)
        curves = {}
        for order in orders:
            places = ranking(judged, units, removal, order, self.seed)
            curves[order] = judged.values(steps + 1, self._removing(places, removal))
        areas = {order: (curve[:, :1] - curve).mean(axis=1) for order, curve in curves.items()}
        values = {
            "most": lambda: areas["most"],
            "least": lambda: -areas["least"],
            "both": lambda: areas["most"] - areas["least"],
        }[self.order]()
        shares = self.per_step * np.arange(steps + 1) / units.count
        return Result(values, areas, curves, dict.fromkeys(curves, shares))

    def _removing(self, places: np.ndarray, removal: Removal) -> Make:
        return lambda rows, steps: removal(rows, places[rows] < self.per_step * steps[:, None])


class _Curve(Removing):
    """The base of insertion and deletion: a curve over the whole input."""

    steps: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("steps", self.steps)

    def _curve(self, judged: Judged, *, inserts: bool) -> Result:
        units = self.units(judged)
        removal = self.removal(judged, units)
        steps = min(self.steps, units.count)
        places = ranking(judged, units, removal, "most", self.seed)
        until = np.round(np.linspace(0, units.count, steps + 1)).astype(int)

        def make(rows: np.ndarray, copies: np.ndarray) -> list[np.ndarray]:
            removed = places[rows] < until[copies][:, None]
            return removal(rows, ~removed if inserts else removed)

        curve = judged.values(steps + 1, make)
        shares = until / units.count
        area = ((curve[:, 1:] + curve[:, :-1]) / 2 * np.diff(shares)).sum(axis=1)
        return Result(area, {}, {self.name: curve}, {self.name: shares})


@saved_by_keyword
class Deletion(_Curve):
    """The area under the explained value while the input is removed, the most relevant parts first.

        score = integral_0^1 f(x without the most relevant share s) ds,   by the trapezoidal rule

    A lower area is better. The paper's f is the probability of the class: `explain="activation"` makes it that.

    Args:
        steps: In how many equal steps the whole input is removed (fewer where it has fewer parts).
        fill, size, regions, which, seed: As for `RegionPerturbation`.

    Source: Petsiuk et al. 2018, "RISE: Randomized Input Sampling for Explanation of Black-box Models", section 4.3.
    """

    name: ClassVar[str] = "deletion"
    better: ClassVar[str] = "lower"

    steps: int = 50
    fill: Any = "mean"
    size: Any = None
    regions: Any = None
    which: Any = None
    seed: int = 0

    def scores(self, judged: Judged) -> Result:
        return self._curve(judged, inserts=False)


@saved_by_keyword
class Insertion(_Curve):
    """The area under the explained value while the input is put into the fill, the most relevant parts first.

        score = integral_0^1 f(fill with the most relevant share s of x) ds,   by the trapezoidal rule

    A higher area is better. The paper's f is the probability of the class: `explain="activation"` makes it that.

    Args:
        steps: In how many equal steps the whole input is put in (fewer where it has fewer parts).
        fill, size, regions, which, seed: As for `RegionPerturbation`.

    Source: Petsiuk et al. 2018, "RISE: Randomized Input Sampling for Explanation of Black-box Models", section 4.3.
    """

    name: ClassVar[str] = "insertion"

    steps: int = 50
    fill: Any = "blur"
    size: Any = None
    regions: Any = None
    which: Any = None
    seed: int = 0

    def scores(self, judged: Judged) -> Result:
        return self._curve(judged, inserts=True)
