"""The audit: where the relevance of the output went, operation by operation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasexplain.foundation.showing import Shown
from kerasexplain.foundation.text import counted
from kerasexplain.graph.taps import Tap
from kerasexplain.tables import Table, Tabled

if TYPE_CHECKING:
    from kerasexplain.compiler.execution import Execution
    from kerasexplain.compiler.question import Answer


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class AuditRow(Shown):
    """The relevance that one operation received and handed on; each number is a sum per sample, of shape `(batch,)`.

    Attributes:
        name, type, rule: As in the analyzer's own table.
        received: Relevance at its output.
        delivered: What it handed to all its inputs.
        bias: What its constant term took.
    """

    name: str
    type: str
    rule: str
    received: np.ndarray
    delivered: np.ndarray
    bias: np.ndarray

    @property
    def lost(self) -> np.ndarray:
        """`received - delivered - bias`: absorbed by an epsilon, or by a rule that leaves the bias out."""
        return self.received - self.delivered - self.bias


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Audit(Tabled):
    """The audit of an explanation: where its relevance went.

    Attributes:
        rows: One per operation, in the order of the model.
        explained: The relevance that the pass started with, per sample.
        inputs: What the inputs hold in the end.
        biases: What all constant terms took.
    """

    rows: list[AuditRow]
    explained: np.ndarray
    inputs: np.ndarray
    biases: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence[Audit]) -> Audit:
        """The audits of several batches, as one."""

        if len(parts) == 1:
            return parts[0]

        def join(name: str, of: Sequence[Any]) -> np.ndarray:
            return np.concatenate([getattr(part, name) for part in of])

        rows = []
        for of in zip(*(part.rows for part in parts), strict=True):
            numbers = {name: join(name, of) for name in ("received", "delivered", "bias")}
            rows.append(dataclasses.replace(of[0], **numbers))
        return cls(rows, *(join(name, parts) for name in ("explained", "inputs", "biases")))

    def to_dict(self) -> dict[str, Any]:
        """The audit as plain data: strings and arrays in lists and dicts."""
        return {
            "rows": [vars(row) for row in self.rows],
            **{name: getattr(self, name) for name in ("explained", "inputs", "biases")},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Audit:
        """The audit that `to_dict` gave."""
        return cls(**{**data, "rows": [AuditRow(**row) for row in data["rows"]]})

    @property
    def lost(self) -> np.ndarray:
        """The sum of what all operations lost."""
        return np.sum([np.zeros_like(self.explained), *(row.lost for row in self.rows)], axis=0)

    @property
    def remark(self) -> str:
        """A sentence on shares that are wrong, in percent of what is explained, and what to try; empty where none are.

        It speaks where, in the middle sample, the inputs get less than a twentieth of what is explained, or biases and
        losses are more than three times it; and where relevance overflows on its way, so that the rest is not known.
        """
        for row in reversed(self.rows):
            if not all(np.isfinite(part).all() for part in (row.received, row.delivered, row.bias)):
                return (
                    f"relevance overflows at {row.name!r} ({row.type}), so that what is lost in front of it is not "
                    "known: take a model in float64, a larger epsilon, or rules that are bounded"
                )
        kept = self.explained != 0
        if not kept.any():
            return ""
        size = np.abs(self.explained[kept])
        inputs, biases, lost = (
            float(np.median(np.abs(part[kept]) / size)) for part in (self.inputs, self.biases, self.lost)
        )
        shares = f"inputs {_percent(inputs)}, biases {_percent(biases)}, lost {_percent(lost)}"
        if inputs < 0.05:
            said = f"the inputs get {_percent(inputs)} of what is explained, so that the map says little about it"
        elif max(biases, lost) > 3:
            said = "biases or losses are many times what is explained, so that the map is mostly about them"
        else:
            return ""
        return (
            f"{said} (sizes in the middle sample, of what is explained: {shares}). Try a rule that leaves biases out "
            "(lrp.epsilon_IB, or rules with bias=False), lrp.bias_as_input to see what each bias takes, or a smaller "
            "epsilon where much is lost; kerasexplain.compare(model, x) measures which map to trust"
        )

    def __repr__(self) -> str:
        operations, samples = counted(len(self.rows), "operation"), counted(len(self.explained), "sample")
        return f"<Audit of {operations}, {samples}: {self.balance}>"

    @property
    def balance(self) -> str:
        """The sums in one line: what is explained, and where it went."""
        return (
            f"explained {_shown(self.explained)} = inputs {_shown(self.inputs)} + biases {_shown(self.biases)} "
            f"+ lost {_shown(self.lost)}"
        )

    def _table(self) -> Table:
        columns = [("operation", "left"), ("type", "left"), ("rule", "left")]
        numbers = ("received", "delivered", "bias", "lost")
        cells = [(row.name, row.type, row.rule, *(_shown(getattr(row, name)) for name in numbers)) for row in self.rows]
        samples = len(self.explained)
        title = "relevance per operation" + (f", mean of {samples} samples" if samples > 1 else "")
        notes = [self.balance, *([self.remark] if self.remark else [])]
        return Table(title, [*columns, *((name, "right") for name in numbers)], cells, notes)


def audit_of(execution: Execution, answer: Answer, through: Mapping[Tap, np.ndarray]) -> Audit:
    """The audit of an answer.

    Args:
        execution: The graph that was run.
        answer: What came of it.
        through: What was read at every edge tap and every bias tap, summed per sample or not.
    """
    graph = execution.graph
    through = {tap: _per_sample(values) for tap, values in through.items()}
    nothing = np.zeros_like(answer.started)
    received = dict.fromkeys(graph.values(), nothing)
    received[graph.explained] = answer.started
    of_biases = by_node(list(execution.bias_taps()), through)
    at_inputs = {boundary.node for boundary in execution.boundaries if boundary.sources}
    rows = []
    for node, row in reversed(execution.rows.items()):
        delivered = nothing
        for i, value in enumerate(node.inputs):
            given = through[Tap("edge", node.name, i)] if row.carrying[i] else nothing
            received[value] = received[value] + given
            delivered = delivered + given
        arrived = sum((received[value] for value in node.outputs), nothing)
        if node in at_inputs:
            delivered = arrived  # relevance ends here, and is the input's
        rows.append(AuditRow(row.name, row.type, row.treatment, arrived, delivered, of_biases.get(row.name, nothing)))
    return Audit(
        rows=rows[::-1],
        explained=answer.started,
        inputs=sum(map(_per_sample, answer.relevance), nothing),
        biases=sum(of_biases.values(), nothing),
    )


def by_node(taps: Sequence[Tap], through: Mapping[Tap, np.ndarray]) -> dict[str, np.ndarray]:
    """The relevance of constants, by operation; of several constants of one operation, the sum per sample."""
    found: dict[str, list[np.ndarray]] = {}
    for tap in taps:
        found.setdefault(tap.node, []).append(through[tap])
    return {name: arrays[0] if len(arrays) == 1 else _summed(arrays) for name, arrays in found.items()}


def _summed(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.sum([_per_sample(array) for array in arrays], axis=0)


def _per_sample(array: np.ndarray) -> np.ndarray:
    return array if array.ndim == 1 else array.reshape(len(array), -1).sum(axis=1)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _shown(values: np.ndarray) -> str:
    return f"{float(np.mean(values)):.6g}"
