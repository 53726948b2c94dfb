"""An evaluation that can be interrupted: what is finished is kept, and a second run continues."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kerasexplain.analyzer import Analyzer
from kerasexplain.evaluation.comparing import Comparing
from kerasexplain.evaluation.naming import Chosen
from kerasexplain.evaluation.report.finished import Finished, Totals
from kerasexplain.evaluation.report.record import Found, Record
from kerasexplain.evaluation.trials import CONTROLS, Samples, Trial, made, tried
from kerasexplain.foundation.errors import NotFiniteError, plain

#: Of how many samples maps are kept, and shown.
SHOWN = 8
#: What may keep one analyzer from being judged, and not the others.
REASONS = (ValueError, NotFiniteError, MemoryError, IndexError)


def evaluate(
    run: Comparing,
    record: Record,
    *,
    limits: Mapping[str, Any],
    told: Callable[[str], None] = lambda line: None,
) -> list[Finished]:
    """Every analyzer of a comparison, put to its samples: those that the record holds are not computed again.

    What keeps `random` from being judged is the fault of the data or a metric. Controls come first, so that it is told
    before anything else has run.

    Args:
        run: What is compared; its analyzers are names, or `Chosen`.
        record: What is finished, and where it is kept.
        limits: `seconds` and `batch_size`, as for `compare`.
        told: Is called with a line for each analyzer, when it is finished.

    Raises:
        ValueError: `random` cannot be judged.
    """
    chosen = {name: given if isinstance(given, Chosen) else Chosen(given) for name, given in run.analyzers.items()}
    found = {name: record.find(name, chosen[name]) for name in chosen}
    for line in _news(found, record):
        told(line)
    result = []
    for number, name in enumerate(chosen, 1):
        known = found[name].finished
        if known is not None and not found[name].missing:
            result.append(known.with_scores({}, list(run.metrics)))
            told(f"{number}/{len(chosen)} {name}: finished before{_ended(known)}")
            continue
        start = time.perf_counter()
        limited = {**limits, "seconds": None} if name in CONTROLS else limits
        finished = _finished(run, chosen[name], name, found[name], limited)
        if name == CONTROLS[0] and finished.trial.skipped:
            raise ValueError(f"nothing can be compared: {finished.trial.skipped}")
        record.keep(finished, chosen[name], found[name])
        result.append(finished)
        told(f"{number}/{len(chosen)} {name}: {time.perf_counter() - start:.1f} s{_ended(finished)}")
    return result


def _ended(finished: Finished) -> str:
    return f", skipped: {finished.trial.skipped}" if finished.trial.skipped else ""


def _news(found: Mapping[str, Found], record: Record) -> Iterator[str]:
    """Lines about the results of an earlier run: which are used, and which are not."""
    kept = [name for name, each in found.items() if each.finished is not None and not each.missing]
    if kept:
        yield f"continuing: {len(kept)} of {len(found)} analyzers are finished in {str(record.folder)!r}"
    lacking: dict[tuple[str, ...], int] = {}
    changed: dict[tuple[str, ...], int] = {}
    for each in found.values():
        if each.damaged:
            yield f"{each.damaged}; it is made anew"
        if each.finished is not None and each.missing:
            lacking[tuple(each.missing)] = lacking.get(tuple(each.missing), 0) + 1
        if each.changed:
            changed[tuple(each.changed)] = changed.get(tuple(each.changed), 0) + 1
    for labels, count in lacking.items():
        yield f"new, or changed: {', '.join(labels)}; {count} finished analyzers are put to it, and keep other scores"
    for what, count in changed.items():
        yield f"changed: {', '.join(what)}; {count} finished analyzers start anew"


def _finished(run: Comparing, chosen: Chosen, name: str, found: Found, limits: Mapping[str, Any]) -> Finished:
    metrics = [run.metrics[label] for label in found.missing]
    caught: list[str] = []
    audit = None
    try:
        with _remarks(caught):
            analyzer = made(run.value, chosen.name, **chosen.options)
            trial = tried(run.value, run.samples, name, analyzer, metrics, **limits)
            audit, failed = _audit(analyzer, run.samples)
            caught += failed
    except Exception as error:  # one analyzer, and not the evaluation of the others
        said = plain(error)
        trial = Trial(name, skipped=said if said and isinstance(error, REASONS) else f"{type(error).__name__}: {said}")
    if audit is not None and audit.remark:
        caught = [remark for remark in caught if audit.remark not in remark]
    remarks = tuple(dict.fromkeys(caught))
    finished = Finished(trial, audit, remarks).with_first(SHOWN)
    if found.finished is None or trial.skipped:
        return finished
    return finished.with_scores(found.finished.trial.scores, list(run.metrics))


def _audit(analyzer: Analyzer, samples: Samples) -> tuple[Totals | None, list[str]]:
    """Where the relevance went, and why that is not known."""
    if not analyzer.method.explains_audits:
        return None, []
    try:
        return Totals.of(analyzer.audit(samples.x, samples.target)), []
    except REASONS as error:
        return None, [f"there is no audit: {plain(error)}"]


@contextlib.contextmanager
def _remarks(caught: list[str]) -> Iterator[None]:
    """Collects what is warned of for a person; other warnings go where they always do."""
    every: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as every:
            warnings.simplefilter("always", UserWarning)
            yield
    finally:
        for warning in every:
            if warning.category is UserWarning:
                caught.append(str(warning.message))
            else:
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
