"""The report of a comparison: one page of HTML that needs nothing else."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import functools
import hashlib
import html
import importlib.resources
import json
import math
import os
import pathlib
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from kerasexplain.evaluation.comparison import Comparison
from kerasexplain.evaluation.report import figures, galleries, verdict
from kerasexplain.evaluation.report.finished import Finished, Totals, first_of
from kerasexplain.evaluation.report.record import replace
from kerasexplain.evaluation.report.resuming import SHOWN
from kerasexplain.evaluation.trials import CONTROLS
from kerasexplain.foundation.digests import of_model, versions
from kerasexplain.metrics.scores import Paired

#: Of so many analyzers, besides the controls, maps and curves are shown.
MOST = 8


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """A comparison, to be read by a person.

    Attributes:
        comparison: The comparison.
        audits: Where relevance went, by analyzer.
        remarks: What analyzers warned of, by their name.
        titles: What each sample is called, and what was explained of it; by default their numbers.
        command: What made it.
        made_of: More facts by name, such as the digest of the model.

    Example:
        >>> Report(kerasexplain.compare(model, images)).save("report.html")
    """

    comparison: Comparison
    audits: Mapping[str, Totals] = dataclasses.field(default_factory=dict)
    remarks: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    titles: Sequence[str] = ()
    command: str = ""
    made_of: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, comparison: Comparison, finished: Sequence[Finished], model: keras.Model, **facts: Any) -> Report:
        """The report of an evaluation.

        Args:
            comparison: The comparison.
            finished: Its analyzers.
            model: The model, whose digest is shown.
            **facts: `titles` and `command`.
        """
        audits = {each.trial.name: each.audit for each in finished if each.audit is not None}
        remarks = {each.trial.name: each.remarks for each in finished if each.remarks}
        weights = sum(math.prod(weight.shape) for weight in model.weights)
        made_of = {"model": f"{model.name}, {weights:,} weights, SHA-256 {of_model(model)[:16]}"}
        return cls(comparison, audits, remarks, made_of=made_of, **facts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the page, in one step: what was there before is there until the new one is whole.

        Raises:
            OSError: The file cannot be written.
        """
        path = pathlib.Path(path)
        beside = path.with_name(f".{path.name}.part")
        beside.write_text(self.to_html(), encoding="utf-8")
        replace(beside, path)

    def to_html(self) -> str:
        """The page. It needs no other file, and has browsers load nothing else."""
        script, style = _part("report.js"), _part("report.css")
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
        sections = [(name, title, body) for name, title, body in self._sections() if body]
        links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in sections)
        body = "".join(f'<section id="{name}"><h2>{title}</h2>{body}</section>' for name, title, body in sections)
        title = f"Explanations of {html.escape(self.comparison.model)}, compared"
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<link rel="icon" href="data:,">\n'
            f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<header>\n<h1>{title}</h1>\n"
            f"<p class=headline>{html.escape(verdict.headline(self.comparison))}</p>\n"
            f'<nav aria-label="sections"><ul>{links}</ul></nav>\n</header>\n<main>\n{body}\n</main>\n'
            f'<script type="application/json" id="scores">{self._json()}</script>\n'
            f"<script>{script}</script>\n</body>\n</html>\n"
        )

    def _sections(self) -> list[tuple[str, str, str]]:
        return [
            ("table", "Scores", self._table()),
            ("differences", "Against random", self._differences()),
            ("curves", "Curves", self._curves()),
            ("maps", "Maps", self._maps()),
            ("audit", "Where the relevance went", self._audit()),
            ("remarks", "Remarks", self._remarks()),
            ("skipped", "Skipped", self._skipped()),
            ("made", "How this was made", self._made()),
        ]

    @functools.cached_property
    def _pairs(self) -> dict[tuple[str, str], Paired]:
        """Each analyzer against random, under each metric that judges."""
        comparison = self.comparison
        if CONTROLS[0] not in comparison.names:
            return {}
        return {
            (name, label): comparison.against(name, CONTROLS[0], label)
            for label in verdict.judging(comparison)
            for name in comparison.names
            if name != CONTROLS[0]
        }

    @property
    def _order(self) -> list[str]:
        """The analyzers, the best under the first metric that judges first."""
        labels = verdict.judging(self.comparison)
        return verdict.ranked(self.comparison, labels[0]) if labels else self.comparison.names

    @property
    def _shown(self) -> list[str]:
        """Those whose maps and curves are shown: the best, and the controls."""
        own = [name for name in self._order if not verdict.is_control(self.comparison, name)]
        return [*own[:MOST], *(name for name in self._order if verdict.is_control(self.comparison, name))]

    def _table(self) -> str:
        comparison = self.comparison
        if not comparison.names:
            return ""
        headings = ['<th scope="col">analyzer</th>']
        for label, metric in comparison.metrics.items():
            first = "ascending" if metric.better == "lower" else "descending"
            told = {"higher": "higher is better", "lower": "lower is better", "neither": "describes"}[metric.better]
            headings.append(f'<th scope="col" data-first="{first}">{galleries.broken(label)}<small>{told}</small></th>')
            if metric.better != "neither":
                headings.append('<th scope="col" data-first="descending">better than random<small>samples</small></th>')
        headings.append('<th scope="col">time<small>ms per sample</small></th>')
        rows = []
        own = [name for name in self._order if not verdict.is_control(comparison, name)]
        for name in self._order:
            is_control = verdict.is_control(comparison, name)
            tag = "<span class=tag>control</span>" if is_control else ""
            best = bool(own) and name == own[0] and bool(verdict.judging(comparison))
            tag = "<span class=tag>best</span>" if best else tag
            cells = [f'<th scope="row">{galleries.broken(name)}{tag}</th>']
            for label, metric in comparison.metrics.items():
                cells.append(self._mean(name, label))
                if metric.better != "neither":
                    cells.append(self._wins(name, label))
            milliseconds = 1000 * comparison.trials[name].seconds
            cells.append(_number(milliseconds, f"{milliseconds:.3g}"))
            kind = " class=best" if best else " class=control" if is_control else ""
            rows.append(f"<tr{kind}>{''.join(cells)}</tr>")
        table = (
            '<div class=wide tabindex=0 role=region aria-label="scores"><table class="sortable scores">'
            f"<thead><tr>{''.join(headings)}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        )
        return table + (
            f"<p class=faint>{len(comparison.samples)} samples; mean ± standard error. Controls know nothing of the "
            "model: a map that is no better than theirs shows nothing of it. ▲ better and ▼ worse than random where "
            "the 95% interval of the difference leaves 0 out. Of many analyzers some are clear by chance.</p>"
        )

    def _mean(self, name: str, label: str) -> str:
        scores = self.comparison.scores(name, label)
        error = f" ± {scores.standard_error:.2g}" if scores.defined > 1 else ""
        left_out = len(scores) - scores.defined
        note = f"<small>{left_out} undefined</small>" if left_out else ""
        return _number(scores.mean, f"{scores.mean:.3g}{error}", note)

    def _wins(self, name: str, label: str) -> str:
        pair = self._pairs.get((name, label))
        if pair is None or not pair.samples:
            return _number(math.nan, "")
        sign = {"better": "<span class=better>▲</span>", "worse": "<span class=worse>▼</span>", "unclear": "–"}
        text = f"{pair.wins} of {pair.samples} {sign[pair.verdict]}"
        bounds = f"95% interval {pair.low:+.3g} to {pair.high:+.3g}" if math.isfinite(pair.low) else "no interval"
        interval = f"difference {pair.mean:+.3g}, {bounds}, {pair.verdict}"
        return f'<td data-value="{pair.wins}" title="{interval}">{text}</td>'

    def _differences(self) -> str:
        parts = []
        for number, label in enumerate(verdict.judging(self.comparison)):
            order = [name for name in verdict.ranked(self.comparison, label) if (name, label) in self._pairs]
            pairs = {name: self._pairs[name, label] for name in order}
            if any(math.isfinite(pair.mean) for pair in pairs.values()):
                parts.append(f"<h3>{html.escape(label)}</h3>")
                parts.append(figures.differences(pairs, label, f"differences{number}"))
        return "".join(parts)

    def _curves(self) -> str:
        parts = []
        for number, label in enumerate(self.comparison.metrics):
            scores = [self.comparison.scores(name, label) for name in self._shown]
            if any(each.curves for each in scores):
                parts.append(f"<h3>{html.escape(label)}</h3>{figures.curves(scores, f'curves{number}')}")
        return self._told_which() + "".join(parts) if parts else ""

    def _maps(self) -> str:
        comparison = self.comparison
        if not self._shown:
            return ""
        count = min(SHOWN, len(comparison.samples))
        maps = {name: first_of(comparison.trials[name].relevance, count) for name in self._shown}
        titles = list(self.titles[:count]) or [f"sample {number}" for number in range(count)]
        told = f"<p>The first {count} of {len(comparison.samples)} samples.</p>" if count else ""
        return told + self._told_which() + galleries.gallery(first_of(comparison.samples.x, count), maps, titles)

    def _told_which(self) -> str:
        left_out = len(self._order) - len(self._shown)
        return f"<p class=faint>The best {MOST} analyzers and the controls.</p>" if left_out else ""

    def _audit(self) -> str:
        names = [name for name in self._order if name in self.audits]
        rows = []
        for name in names:
            totals = self.audits[name]
            cells = "".join(_share(part, totals.explained) for part in (totals.inputs, totals.biases, totals.lost))
            rows.append(
                f'<tr><th scope="row">{html.escape(name)}</th>{_number(float(np.mean(totals.explained)))}{cells}</tr>'
            )
        if not rows:
            return ""
        head = "".join(f'<th scope="col">{title}</th>' for title in ("explained", "inputs", "biases", "lost"))
        remarks = "".join(
            f"<li><b>{html.escape(name)}</b>: {html.escape(self.audits[name].remark)}.</li>"
            for name in names
            if self.audits[name].remark
        )
        return (
            "<p>explained = inputs + biases + lost: means over the samples, and in brackets the size in the middle "
            "sample as a share of what is explained. Methods that propagate no relevance, such as gradients, have no "
            "audit.</p>"
            '<div class=wide tabindex=0 role=region aria-label="audit"><table class=sortable><thead><tr>'
            f'<th scope="col">analyzer</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
            + (f"<ul>{remarks}</ul>" if remarks else "")
        )

    def _remarks(self) -> str:
        items = [
            f"<li><b>{html.escape(name)}</b>: {html.escape(remark)}</li>"
            for name in self.comparison.trials
            for remark in self.remarks.get(name, ())
        ]
        return f"<ul>{''.join(items)}</ul>" if items else ""

    def _skipped(self) -> str:
        rows = "".join(
            f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(reason)}</td></tr>'
            for name, reason in self.comparison.skipped.items()
        )
        head = '<th scope="col">analyzer</th><th scope="col">why</th>'
        return f"<table class=text><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""

    def _made(self) -> str:
        used = {**versions(), "Python": platform.python_version()}
        facts = {
            **self.made_of,
            "samples": str(len(self.comparison.samples)),
            "metrics": "; ".join(repr(metric) for metric in self.comparison.metrics.values()),
            "versions": ", ".join(f"{name} {version}" for name, version in used.items()),
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        }
        items = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in facts.items())
        command = f"<pre><code>{html.escape(self.command)}</code></pre>" if self.command else ""
        options = "".join(
            f'<tr><th scope="row">{html.escape(name)}</th><td><code>{html.escape(_configured(config))}</code></td></tr>'
            for name in self._order
            if (config := self.comparison.trials[name].config) and _configured(config)
        )
        table = (
            "<details><summary>Options of the analyzers</summary><div class=wide tabindex=0 role=region "
            f'aria-label="options"><table class=text><tbody>{options}</tbody></table></div></details>'
            if options
            else ""
        )
        return f"{command}<dl>{items}</dl>{table}"

    def _json(self) -> str:
        """Every score, for programs that read the page; numbers are exact, and what is no number is null."""
        comparison = self.comparison
        data = {
            "model": comparison.model,
            "samples": len(comparison.samples),
            "metrics": {label: metric.better for label, metric in comparison.metrics.items()},
            "scores": {
                name: {label: _finite(comparison.scores(name, label).values) for label in comparison.metrics}
                for name in sorted(comparison.names)
            },
        }
        return json.dumps(data).replace("<", "\\u003c")


def _part(name: str) -> str:
    return (importlib.resources.files("kerasexplain.evaluation.report") / "page" / name).read_text(encoding="utf-8")


def _number(value: float, text: str | None = None, note: str = "") -> str:
    """A cell with a number by which it is sorted."""
    value = float(value)
    if not math.isfinite(value):
        shown = "–" if math.isnan(value) else "∞"
        return f'<td data-value="">{shown}{note}</td>'
    return f'<td data-value="{value!r}">{f"{value:.4g}" if text is None else html.escape(text)}{note}</td>'


def _share(part: np.ndarray, explained: np.ndarray) -> str:
    """A part of what is explained: its mean, and its size in the middle sample as a share."""
    kept = explained != 0
    share = float(np.median(np.abs(part[kept]) / np.abs(explained[kept]))) if kept.any() else math.nan
    percent = "below 0.01" if 0 < share < 1e-4 else f"{100 * share:.3g}"
    told = f" ({percent} %)" if math.isfinite(share) else ""
    mean = float(np.mean(part))
    return _number(mean, f"{mean:.4g}{told}")


def _configured(config: Mapping[str, Any]) -> str:
    """The options of an analyzer, in a line; none if it cannot be told."""
    method, options = config.get("method"), config.get("options") or {}
    own = method.items() if isinstance(method, Mapping) else [("method", method)]
    told = ", ".join(f"{name}={value!r}" for name, value in [*own, *options.items()] if value is not None)
    return told if len(told) < 500 else told[:500] + " …"


def _finite(values: np.ndarray) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]
