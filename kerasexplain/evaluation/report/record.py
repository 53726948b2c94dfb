"""The record of an evaluation: its finished analyzers in files, so that it can be interrupted at any time."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kerasexplain.evaluation.comparing import Comparing
from kerasexplain.evaluation.naming import Chosen
from kerasexplain.evaluation.report import fingerprints
from kerasexplain.evaluation.report.finished import Finished
from kerasexplain.foundation import digests
from kerasexplain.foundation.storage import read_values, write_values


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """The results of an analyzer in a record.

    Attributes:
        finished: What is still valid; None if nothing is.
        missing: Labels of metrics that it has no scores under.
        changed: Why what is there is not valid.
        damaged: Why the file cannot be read.
        others: Scores under metrics that are not asked for now, as plain data, and the fingerprints of these.
    """

    finished: Finished | None
    missing: Sequence[str]
    changed: Sequence[str] = ()
    damaged: str = ""
    others: tuple[Sequence[Mapping[str, Any]], Mapping[str, str]] = ((), {})


class Record:
    """Finished analyzers in a folder, a file for each.

    A file is written beside its place and then put there, in one step of the file system: it is there whole or not at
    all. It has a checksum, and the fingerprint of all that its scores depend on; whatever of it does not match is not
    used.

    Args:
        folder: The folder, which is made when the first analyzer is finished.
        run: What is compared.
        limits: What may have had an analyzer skipped, such as the time that it may take.

    Raises:
        NotADirectoryError: There is a file of that name.
    """

    def __init__(self, folder: str | os.PathLike[str], run: Comparing, limits: Mapping[str, Any]) -> None:
        self.folder = pathlib.Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"finished analyzers are kept in the folder {str(folder)!r}, which is a file")
        self._metrics = run.metrics
        self._circumstances = fingerprints.of_circumstances(run)
        self._keys = {label: fingerprints.of_metric(metric, run.samples) for label, metric in run.metrics.items()}
        self._limits = {name: repr(value) for name, value in limits.items()}

    def find(self, name: str, chosen: Chosen) -> Found:
        """The results of an analyzer, as far as there are any."""
        path, missing = self.path(name), list(self._metrics)
        if not path.exists():
            return Found(None, missing)
        try:
            config, values = read_values(path, "finished analyzer")
            made_of = config["made_of"]
            changed = digests.changed(made_of["circumstances"], self._circumstances)
            if made_of["analyzer"] != fingerprints.of_analyzer(chosen):
                changed.append("the analyzer's options")
            if values["skipped"] and made_of["limits"] != self._limits:
                changed.append("the limits of time or batch size")
            if changed:
                return Found(None, missing, changed)
            valid = {
                label: self._metrics[label]
                for label, key in made_of["metrics"].items()
                if self._keys.get(label) == key and label in self._metrics
            }
            finished = Finished.from_dict(values, valid)
            unasked = {label: key for label, key in made_of["metrics"].items() if label not in self._keys}
            others = [each for each in values["scores"] if each["label"] in unasked], unasked
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return Found(None, missing, damaged=f"{str(path)!r} cannot be used: {error}")
        if finished.trial.skipped:
            return Found(finished, [])
        return Found(finished, [label for label in missing if label not in valid], others=others)

    def keep(self, finished: Finished, chosen: Chosen, found: Found) -> None:
        """Writes a finished analyzer, with what was found of it under metrics that are not asked for now.

        Raises:
            OSError: The file cannot be written.
        """
        made_of = {
            "circumstances": self._circumstances,
            "analyzer": fingerprints.of_analyzer(chosen),
            "limits": self._limits,
            "metrics": {**found.others[1], **{label: self._keys[label] for label in finished.trial.scores}},
        }
        values = finished.to_dict()
        values["scores"] += found.others[0]
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.path(finished.trial.name)
        beside = path.with_name(f".{path.name}.part")
        write_values(beside, {"analyzer": finished.trial.name, "made_of": made_of}, values)
        replace(beside, path)

    def path(self, name: str) -> pathlib.Path:
        """The file of an analyzer."""
        plain = re.sub(r"[^\w.-]", "_", name)
        if plain != name:  # two names may be one without what a file's name cannot have
            plain += "-" + hashlib.sha256(name.encode()).hexdigest()[:8]
        return self.folder / f"{plain}.h5"


def replace(beside: pathlib.Path, path: pathlib.Path) -> None:
    """Puts a file that was written beside its place there, and what was there away, in one step."""
    with beside.open("r+b") as file:
        os.fsync(file.fileno())
    beside.replace(path)
