"""The results of an analyzer that was put to all samples: its trial, the totals of its audit, and remarks."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerasexplain.audit import Audit
from kerasexplain.evaluation.trials import Trial
from kerasexplain.metrics.metric import Metric
from kerasexplain.metrics.scores import Scores


@dataclasses.dataclass(frozen=True, eq=False)
class Totals:
    """The totals of an audit: `explained = inputs + biases + lost`, per sample.

    Attributes:
        explained: The relevance that the pass started with, `(samples,)`.
        inputs: What the inputs hold in the end.
        biases: What all constant terms took.
        lost: What all operations lost.
        remark: A sentence on shares that are wrong; empty where none are.
    """

    explained: np.ndarray
    inputs: np.ndarray
    biases: np.ndarray
    lost: np.ndarray
    remark: str = ""

    @classmethod
    def of(cls, audit: Audit) -> Totals:
        """The totals of an audit."""
        return cls(audit.explained, audit.inputs, audit.biases, audit.lost, audit.remark)


@dataclasses.dataclass(frozen=True, eq=False)
class Finished:
    """One analyzer of an evaluation, finished.

    Attributes:
        trial: Its scores, and the maps of the first samples.
        audit: Where its relevance went; None where its method has no audit.
        remarks: What it warned of.
    """

    trial: Trial
    audit: Totals | None = None
    remarks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data: text, numbers and arrays, in lists and dicts."""
        trial = self.trial
        values: dict[str, Any] = {
            "name": trial.name,
            "config": json.dumps(trial.config),
            "seconds": trial.seconds,
            "skipped": trial.skipped,
            "remarks": list(self.remarks),
            "scores": [{"label": label, **_plain(scores)} for label, scores in trial.scores.items()],
        }
        if trial.relevance is not None:
            values["relevance"] = trial.relevance
        if self.audit is not None:
            values["audit"] = vars(self.audit)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], metrics: Mapping[str, Metric]) -> Finished:
        """The results that `to_dict` gave, as far as the metrics are known by their labels.

        Raises:
            KeyError, TypeError, ValueError: The data are no such thing.
        """
        name = values["name"]
        scores = {
            each["label"]: Scores(
                metrics[each["label"]], name, *(each[part] for part in ("values", "details", "curves", "steps"))
            )
            for each in values["scores"]
            if each["label"] in metrics
        }
        trial = Trial(
            name,
            json.loads(values["config"]),
            scores,
            float(values["seconds"]),
            values.get("relevance"),
            values["skipped"],
        )
        audit = Totals(**values["audit"]) if "audit" in values else None
        return cls(trial, audit, tuple(values["remarks"]))

    def with_first(self, count: int) -> Finished:
        """The same with the maps of some samples alone."""
        if self.trial.relevance is None:
            return self
        relevance = first_of(self.trial.relevance, count)
        return dataclasses.replace(self, trial=dataclasses.replace(self.trial, relevance=relevance))

    def with_scores(self, scores: Mapping[str, Scores], order: Sequence[str]) -> Finished:
        """The same with scores under more metrics, in that order of labels."""
        joined = {**self.trial.scores, **scores}
        kept = {label: joined[label] for label in order if label in joined}
        return dataclasses.replace(self, trial=dataclasses.replace(self.trial, scores=kept))


def _plain(scores: Scores) -> dict[str, Any]:
    return {part: getattr(scores, part) for part in ("values", "details", "curves", "steps")}


def first_of(tree: Any, count: int) -> Any:
    """The first samples of a structure of arrays."""
    return keras.tree.map_structure(lambda array: np.asarray(array)[:count], tree)
