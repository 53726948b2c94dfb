"""Candidates: the analyzers among which `choose` looks for the one that fits a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasexplain import rules
from kerasexplain.analyzer import Analyzer
from kerasexplain.compiler.rows import Row
from kerasexplain.evaluation.trials import made
from kerasexplain.foundation.errors import UnsupportedModelError
from kerasexplain.matches import Kernels, convolution, first_kernel, kernel
from kerasexplain.metrics.value import ExplainedValue

#: What is always reported beside the choice: what one would have taken without measuring.
PRESETS = ("lrp.epsilon", "lrp.epsilon_plus", "lrp.z_plus", "lrp.epsilon_alpha2_beta1", "input_t_gradient", "gradient")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """An analyzer that can be made for a model.

    Attributes:
        label: What the table calls it.
        name: Of the analyzer.
        options: Its own options.
        passes: About how many backward passes an explanation takes.
    """

    label: str
    name: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    passes: int = 1

    def made(self, value: ExplainedValue) -> Analyzer:
        """The analyzer, which explains that value.

        Raises:
            UnsupportedModelError: The model cannot be explained by it.
        """
        return made(value, self.name, **self.options)


def candidates(value: ExplainedValue, low: float, high: float, is_image: bool, seed: int) -> list[Candidate]:
    """The candidates for a model, the first ones first to be tried: known methods, and then composites drawn at random.

    A composite has a rule for the operations with a kernel up to a depth and another one from there on, and may have a
    third for the first ones. Rules, their parameters, whether biases take relevance, and the depth are drawn.

    Args:
        value: The explained value of the model.
        low, high: The least and the greatest value of the data, for the box of `ZB`.
        is_image: Whether the input is an image.
        seed: Of the draws.
    """
    found = _known(is_image)
    kernels = _kernels(value)
    if len(kernels) > 1:
        generator = np.random.default_rng(seed)
        drawn = (_composite(kernels, low, high, generator) for _ in range(400))
        known = {candidate.label for candidate in found}
        for candidate in drawn:
            if candidate.label not in known:
                known.add(candidate.label)
                found.append(candidate)
    return found


def _known(is_image: bool) -> list[Candidate]:
    """Methods as the catalogue has them, and one rule for all kernels: those first that come out best most often."""
    found = [
        Candidate("deep_lift", "deep_lift"),
        Candidate("lrp.epsilon_plus", "lrp.epsilon_plus"),
        _lrp([(kernel, rules.Epsilon(0.25))]),
        _lrp([(kernel, rules.Gamma(0.05))]),
        Candidate("input_t_gradient", "input_t_gradient"),
        _lrp([(kernel, rules.Gamma(0.25, bias=False))]),
        Candidate("lrp.epsilon", "lrp.epsilon"),
        Candidate("gradient", "gradient"),
        Candidate("integrated_gradients(steps=16)", "integrated_gradients", {"steps": 16}, 16),
        Candidate("lrp.epsilon_alpha2_beta1", "lrp.epsilon_alpha2_beta1"),
        Candidate("lrp.z_plus", "lrp.z_plus"),
        Candidate("deep_taylor", "deep_taylor"),
        _lrp([(kernel, rules.AlphaBeta(2.0, 1.0, bias=False))]),
        Candidate("guided_backprop", "guided_backprop"),
        _lrp([(kernel, rules.Epsilon(0.25, bias=False))]),
        _lrp([(kernel, rules.Epsilon(rules.Relative(0.25)))]),
        _lrp([(kernel, rules.Gamma(1.0, bias=False))]),
        _lrp([(kernel, rules.Epsilon(1.0))]),
        _lrp([(kernel, rules.Gamma(0.05, bias=False))]),
    ]
    if is_image:
        found.append(Candidate("grad_cam", "grad_cam"))
        found.append(Candidate("smoothgrad", "smoothgrad", passes=64))
    return found


def _kernels(value: ExplainedValue) -> list[Row]:
    """The operations with a kernel; none for a model that no rule explains."""
    try:
        rows = made(value, "lrp.epsilon").rows
    except UnsupportedModelError:
        return []
    return [row for row in rows if row.kernel_index is not None]


def _composite(kernels: Sequence[Row], low: float, high: float, generator: np.random.Generator) -> Candidate:
    """A composite drawn at random."""
    count = len(kernels)
    bias = bool(generator.integers(2))
    below, above = _rule(generator, bias), _rule(generator, bias)
    share = generator.choice([0.25, 0.5, 0.75])
    first = [None, rules.Flat(), rules.WSquare(), *([rules.ZB(low, high)] if low < high else [])]
    of_first = first[generator.integers(len(first))] if generator.integers(2) else None
    pairs: list[tuple[Any, Any]] = [] if of_first is None else [(first_kernel, of_first)]
    cut = max(1, round(float(share) * count))
    pairs.append((Kernels(0, cut - 1), below))
    dense = [row for row in kernels if not row.convolution]
    if dense and len(dense) < count and generator.integers(2):
        pairs += [(convolution, above), (kernel, rules.Epsilon(1e-6, bias=bias))]
    else:
        pairs.append((kernel, above))
    return _lrp(pairs)


def _rule(generator: np.random.Generator, bias: bool) -> Any:
    kind = generator.integers(4)
    if kind == 0:
        share = generator.choice([0.0, 0.05, 0.25])
        number = float(generator.choice([1e-6, 0.05, 0.25, 1.0]))
        return rules.Epsilon(rules.Relative(float(share)) if share else number, bias=bias)
    if kind == 1:
        return rules.AlphaBeta(*((2.0, 1.0) if generator.integers(2) else (1.0, 0.0)), bias=bias)
    return rules.Gamma(float(generator.choice([0.02, 0.05, 0.1, 0.25, 0.5, 1.0])), bias=bias)


def _lrp(pairs: list[tuple[Any, Any]]) -> Candidate:
    if len(pairs) == 1:
        return Candidate(f"lrp({pairs[0][1]!r})", "lrp", {"rule": pairs[0][1]})
    told = ", ".join(f"{_told(match)}: {rule!r}" for match, rule in pairs)
    return Candidate(f"lrp({told})", "lrp", {"rule": pairs})


def _told(match: Any) -> str:
    if isinstance(match, Kernels):
        return f"kernels {match.first} to {match.last}"
    return {first_kernel: "first", convolution: "convolutions", kernel: "rest"}[match]
