"""Checks that a tag can be released, and prints its section of the changelog: `python .ci/release.py v0.1.0`."""

from __future__ import annotations

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[1]


def main(tag: str, root: pathlib.Path = ROOT) -> str:
    """The section of the changelog of a version.

    Args:
        tag: The version, after a "v".
        root: The project.

    Raises:
        SystemExit: The project is not of this version, or its changelog has no such section, or one without a date.
    """
    version = stated("kerasexplain/__init__.py", r'^__version__ = "(.+)"$', root)
    if tag != f"v{version}":
        raise SystemExit(f"the tag is {tag!r}, but kerasexplain.__version__ is {version!r}")
    cited = stated("CITATION.cff", r"^version: (.+)$", root)
    if cited != version:
        raise SystemExit(f"CITATION.cff is of version {cited!r}, but kerasexplain.__version__ is {version!r}")
    for section in (root / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        if heading.split(" ")[0] == version:
            if not re.fullmatch(r".+ \(\d{4}-\d{2}-\d{2}\)", heading):
                raise SystemExit(f"CHANGELOG.md has no date for {version}: its heading is {heading!r}")
            return text.strip()
    raise SystemExit(f"CHANGELOG.md has no section for {version}")


def stated(file: str, pattern: str, root: pathlib.Path = ROOT) -> str:
    """What a file of the project states, such as its version."""
    found = re.search(pattern, (root / file).read_text(encoding="utf-8"), re.M)
    if found is None:
        raise SystemExit(f"{file} has no line like {pattern}")
    return found[1]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    print(main(sys.argv[1]))
