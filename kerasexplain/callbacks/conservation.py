"""Curves of where relevance goes: to inputs and biases, or lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasexplain.analyzer import Analyzer
from kerasexplain.audit import Audit
from kerasexplain.callbacks.watcher import LoggingWatcher

if TYPE_CHECKING:
    from kerasexplain.tensorboard.writer import Writer

#: A smaller share of what an operation receives is not told of, unless it has a kernel.
ROUNDING = 1e-4


@dataclasses.dataclass(eq=False, repr=False)
class ConservationMonitor(LoggingWatcher):
    """Logs where relevance goes while a model trains, as scalars for TensorBoard.

    `<analyzer>/explained` is the relevance that the pass starts with, the mean over the samples;
    `<analyzer>/share of inputs`, `... biases` and `... lost` are the shares of it that end there, and
    `<analyzer>/share of bias/<operation>` and `<analyzer>/share lost/<operation>` those that go at an operation: each
    with a kernel, and at others where anything goes. Shares are of sums over all samples,
    `sum(inputs) / sum(explained)`; `inputs + biases + lost = 1`.

    Args:
        analyzer, data, targets, every_n_epochs, every_n_batches, log_dir: As for `RelevanceLogger`.
        max_samples: How many samples are looked at, at most.

    Raises:
        ValueError: As for `RelevanceLogger`; or the analyzer is of the gradient family, which nothing can be audited of
            (when training begins).

    Example:
        >>> monitor = ConservationMonitor("lrp.epsilon", data=x_test, log_dir="logs/first")
    """

    _: dataclasses.KW_ONLY
    max_samples: int | None = 64

    def prepare(self, label: str, analyzer: Analyzer, targets: Any) -> None:
        analyzer.audit(self._samples.x, targets)

    def look(self, label: str, analyzer: Analyzer, targets: Any, step: int, prefix: str) -> None:
        always = {row.name for row in analyzer.rows if row.kernel}
        scalars = shares(analyzer.audit(self._samples.x, targets), always)

        def entries(writer: Writer) -> None:
            for name, value in scalars.items():
                writer.scalar(f"{prefix}{label}/{name}", value, step)

        self.log.write(entries)


def shares(audit: Audit, always: Collection[str] = ()) -> dict[str, float]:
    """The numbers that are logged of an audit, by the last part of the tag; no shares of nothing.

    Args:
        audit: The audit.
        always: The operations that are told of in any case; others where more than rounding goes.
    """
    explained = float(np.sum(audit.explained, dtype=np.float64))
    found = {"explained": float(np.mean(audit.explained, dtype=np.float64))}
    if explained == 0:
        return found
    parts = {"of inputs": audit.inputs, "of biases": audit.biases, "lost": audit.lost}
    for row in audit.rows:
        at_row = {f"of bias/{row.name}": row.bias, f"lost/{row.name}": row.lost}
        least = -1.0 if row.name in always else ROUNDING * np.abs(row.received).max()
        parts |= {name: part for name, part in at_row.items() if np.abs(part).max() > least}
    return found | {f"share {name}": float(np.sum(part, dtype=np.float64)) / explained for name, part in parts.items()}
