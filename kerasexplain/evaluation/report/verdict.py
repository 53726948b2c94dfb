"""The verdict of a comparison in words: which analyzer is best, and whether that is clear."""

from __future__ import annotations

import math

from kerasexplain.evaluation.comparison import Comparison
from kerasexplain.evaluation.trials import CONTROLS
from kerasexplain.metrics.scores import Paired, Scores

#: Analyzers of the catalogue that know nothing of the model.
KNOWING_NOTHING = (*CONTROLS, "input")


def is_control(comparison: Comparison, name: str) -> bool:
    """Whether an analyzer is one that knows nothing of the model."""
    config = comparison.trials[name].config or {}
    return name in CONTROLS or config.get("analyzer") in KNOWING_NOTHING


def judging(comparison: Comparison) -> list[str]:
    """The labels of metrics under which one score is better than another."""
    return [label for label, metric in comparison.metrics.items() if metric.better != "neither"]


def ranked(comparison: Comparison, label: str) -> list[str]:
    """The analyzers that have scores, controls too, the best under that metric first; those without a mean last."""
    sign = 1 if comparison.metrics[label].better == "lower" else -1

    def key(name: str) -> float:
        mean = comparison.scores(name, label).mean
        return math.inf if math.isnan(mean) else sign * mean

    return sorted(comparison.names, key=key)


def headline(comparison: Comparison) -> str:
    """The verdict in a few sentences: the best analyzer under the first metric that judges, and what it beats.

    A difference is clear where its 95% interval leaves 0 out. The best of many is best by chance, too: that it
    beats the next one is a claim of its own, and is stated.
    """
    labels = judging(comparison)
    samples = f"{len(comparison.samples)} sample{'' if len(comparison.samples) == 1 else 's'}"
    if not labels:
        return f"On {samples}, none of the metrics says which analyzer is better: they describe maps."
    label = labels[0]
    order = ranked(comparison, label)
    own = [name for name in order if not is_control(comparison, name) and comparison.scores(name, label).defined]
    if not own:
        return f"No analyzer has scores under {label}."
    best = own[0]
    parts = [f"Of {len(own)} analyzers, {best} has the best {label} on {samples}"]
    scores = comparison.scores(best, label)
    controls = [name for name in order if is_control(comparison, name)]
    if CONTROLS[0] in controls:
        against = scores.against(comparison.scores(CONTROLS[0], label))
        joint = {"better": ", and beats random clearly", "worse": ", and is clearly worse than random"}
        parts[0] += joint.get(against.verdict, ", but does not beat random clearly") + f" ({_numbers(against)})."
    else:
        parts[0] += "."
    parts += [
        f"It does not beat {control} clearly, which knows nothing of the model."
        for control in controls
        if control != CONTROLS[0] and not _is_clear(scores, comparison.scores(control, label))
    ]
    if len(own) > 1:
        lead = scores.against(comparison.scores(own[1], label))
        parts.append(f"Its lead over the next, {own[1]}, is {'' if lead.verdict == 'better' else 'not '}clear.")
    return " ".join(parts)


def _is_clear(scores: Scores, other: Scores) -> bool:
    return scores.against(other).verdict == "better"


def _numbers(against: Paired) -> str:
    if against.samples < 2:
        return "one sample says nothing of the spread" if against.samples else "no sample has both scores"
    bounds = f"95% interval {against.low:+.3g} to {against.high:+.3g}" if math.isfinite(against.low) else "no interval"
    return f"better on {against.wins} of {against.samples} samples, difference {against.mean:+.3g}, {bounds}"
