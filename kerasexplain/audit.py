"""The audit: where the relevance of the output went, operation by operation."""

from __future__ import annotations

import dataclasses

import numpy as np

from kerasexplain.tables import render


@dataclasses.dataclass(frozen=True, eq=False)
class AuditRow:
    """What one operation did with its relevance; each number is a sum per sample, of shape `(batch,)`.

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


@dataclasses.dataclass(frozen=True, eq=False)
class Audit:
    """The books of an explanation.

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

    @property
    def lost(self) -> np.ndarray:
        """The sum of what all operations lost."""
        return np.sum([row.lost for row in self.rows], axis=0)

    def __str__(self) -> str:
        columns = [("operation", "left"), ("type", "left"), ("rule", "left")]
        numbers = ("received", "delivered", "bias", "lost")
        cells = [(row.name, row.type, row.rule, *(_shown(getattr(row, name)) for name in numbers)) for row in self.rows]
        samples = len(self.explained)
        title = "relevance per operation" + (f", mean of {samples} samples" if samples > 1 else "")
        total = (
            f"explained {_shown(self.explained)} = inputs {_shown(self.inputs)} + biases {_shown(self.biases)} "
            f"+ lost {_shown(self.lost)}"
        )
        return render(title, [*columns, *((name, "right") for name in numbers)], cells, [total])


def _shown(values: np.ndarray) -> str:
    return f"{float(np.mean(values)):.6g}"
