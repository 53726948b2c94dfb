"""How the ratios of `benchmarks.speed` develop: measures, compares with the last time, and writes it down.

    python -m benchmarks.history                     # graph mode, every network; exit code 1 if a ratio has grown
    python -m benchmarks.history --compare           # the last two entries of this kind of machine, nothing measured

`history.jsonl` next to this file has a line for each run: date, commit, machine, versions, and by network the times in
units of the gradient. Times themselves differ from machine to machine and from hour to hour; ratios hardly do. So only
they are kept, and compared with the last entry of the same processor and number of cores. A ratio that is more than
10 % larger fails.

asv and pytest-benchmark were looked at. pytest-benchmark compares times; numbers of one's own go along as extra
information that no comparison reads. asv keeps any number (`track_...`), but one for each commit and name of a machine,
so that two runs of one commit, or machines of one kind, cannot be compared, and `asv compare` does not fail. What is
needed here is a line of JSON and a division.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

from benchmarks.machine import cores, processor, today
from benchmarks.speed import NETWORKS, in_fresh_process

FILE = pathlib.Path(__file__).with_suffix(".jsonl")
#: By how much a ratio may grow from one entry to the next.
TOLERANCE = 0.10

Entry = dict[str, Any]


def measured(networks: Sequence[str], batch: int, repeats: int) -> Entry:
    """An entry of here and now."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=FILE.parent, capture_output=True, text=True, check=True
    )
    ratios = {name: in_fresh_process("time", name, "graph", str(batch), str(repeats))["ratios"] for name in networks}
    return {
        "date": today(),
        "commit": commit.stdout.strip(),
        "machine": {"processor": processor(), "cores": cores()},
        "versions": {name: version(name) for name in ("kerasexplain", "keras", "tensorflow")},
        "batch": batch,
        "ratios": {
            name: {method: round(value, 3) for method, value in found.items()} for name, found in ratios.items()
        },
    }


def comparable(entries: Iterable[Entry], entry: Entry) -> Entry | None:
    """The last of the entries that were made on the same kind of machine, with the same batch."""
    alike = [old for old in entries if all(old[key] == entry[key] for key in ("machine", "batch"))]
    return alike[-1] if alike else None


def grown(old: Entry, new: Entry) -> list[str]:
    """A line for each ratio that is larger than it was, by more than the tolerance.

    A network or method that one of the entries lacks is not compared.
    """
    lines = []
    for network, ratios in new["ratios"].items():
        for method, ratio in ratios.items():
            before = old["ratios"].get(network, {}).get(method)
            if before is not None and ratio > before * (1 + TOLERANCE):
                lines.append(f"{network}, {method}: {before:.2f} -> {ratio:.2f} ({ratio / before - 1:+.0%})")
    return lines


def read(file: pathlib.Path) -> list[Entry]:
    """All entries of the file, oldest first; none if there is no file yet."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--compare", action="store_true", help="measure nothing")
    parser.add_argument("--file", type=pathlib.Path, default=FILE)
    options = parser.parse_args(arguments)
    entries = read(options.file)
    if options.compare:
        if not entries:
            parser.error(f"{options.file} has no entries: run without --compare first")
        new = entries.pop()
    else:
        new = measured(options.networks, options.batch, options.repeats)
        with options.file.open("a", encoding="utf-8") as file:
            print(json.dumps(new), file=file)
    for network, ratios in new["ratios"].items():
        print(network + ":", ", ".join(f"{method} {ratio:.2f}" for method, ratio in ratios.items()))
    old = comparable(entries, new)
    if old is None:
        print(f"no earlier entry of {new['machine']['processor']} with {new['machine']['cores']} cores")
        return
    lines = grown(old, new)
    print(
        f"{old['date']}, {old['commit']} -> {new['date']}, {new['commit']}:",
        *(lines or ["nothing has grown"]),
        sep="\n  ",
    )
    if lines:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
