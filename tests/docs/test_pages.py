"""All code on the pages runs as a reader would paste it, and all that pages lead to is there."""

from __future__ import annotations

import fnmatch
import itertools
import pathlib
import re

import pytest
from helpers import page_code
from helpers.scripts import ROOT

import kerasexplain
from kerasexplain.cli import command

pytestmark = pytest.mark.once("the same pages on every backend")

#: Pages whose code calls one analyzer so often that compiling it pays.
COMPILED = ("docs/metrics.md",)
#: The extra that each command needs.
EXTRAS = {"demo": "demo", "board": "tensorboard", "evaluate": "metrics", "choose": "metrics", "explain": "viz"}


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def named(page: str, section: str) -> object:
    marks = [pytest.mark.compiled] if page in COMPILED else []
    return pytest.param(page, section, marks=marks, id=f"{page} {section}".strip())


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("page", "section"), [named(*unit) for unit in page_code.units()])
def test_a_page_runs(page: str, section: str) -> None:
    missing = page_code.missing(page, section)
    if missing:
        pytest.skip(f"{', '.join(sorted(missing))} not installed")
    page_code.ran(page, section)


def test_pages_are_read_as_they_are_written() -> None:
    """Otherwise all of the other tests of this file would pass on nothing."""
    found = {page: [block.kind for block in page_code.blocks(page)] for page in page_code.pages()}
    for page, kinds in found.items():
        text = (ROOT / page).read_text(encoding="utf-8")
        assert kinds.count("python") == text.count("```python"), page
        assert 2 * len([kind for kind in kinds if kind]) >= text.count("```"), page
    assert sum(kinds.count("python") for kinds in found.values()) > 40
    assert len([line for page in found for block in page_code.blocks(page) for line in block.commands()]) > 20


@pytest.mark.parametrize("page", page_code.pages())
def test_commands_can_be_typed_as_they_are_shown(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    parser = command._parser()
    for block in page_code.blocks(page):
        for arguments in block.commands():
            parser.parse_args(arguments)
        if block.kind == "shell":  # every line that begins so was read
            assert len(re.findall(r"(?:^|&& )kerasexplain ", block.code, re.M)) == len(block.commands())
    for line in re.findall(r"`kerasexplain ([a-z][^`\n]*)`", text):
        name = line.split()[0]
        (choices,) = (action.choices for action in parser._subparsers._group_actions)  # type: ignore[union-attr]
        assert name in choices, f"{page}: kerasexplain {line}"


def test_the_readme_runs_most_of_its_commands() -> None:
    names = {arguments[0] for arguments in page_code.ran("README.md").commands}
    assert {"demo", "list", "rules", "explain", "evaluate"} <= names


def test_the_readme_shows_the_table_of_rules_that_its_code_prints() -> None:
    (shown,) = re.findall(r"```\n(lrp\.epsilon_plus of digits\n.*?)\n\n", text_of("README.md"), re.S | re.M)
    said = [line.rstrip() for line in page_code.ran("README.md").said.splitlines()]
    assert shown.splitlines()[-1] in said


def test_the_readme_installs_what_its_commands_need() -> None:
    installed = [set(found.split(",")) for found in re.findall(r'pip install "\.\[([\w,]+)\]"', text_of("README.md"))]
    used = {arguments[0] for block in page_code.blocks("README.md") for arguments in block.commands()}
    needed = {EXTRAS[name] for name in used if name in EXTRAS} - {"viz"}  # which the others bring
    assert any(needed <= extras for extras in installed), f"no line installs {needed}"


def anchors(page: pathlib.Path) -> set[str]:
    """What headings of a page are called in links: as GitHub does it, a heading that comes again gets a number."""
    found: set[str] = set()
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    for heading in re.findall(r"^#+ (.+)$", text, re.M):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", plain).lower().replace(" ", "-")
        copies = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(1)))
        found.add(next(copy for copy in copies if copy not in found))
    return found


@pytest.mark.parametrize("page", page_code.pages())
def test_links_lead_to_what_is_there(page: str) -> None:
    path = ROOT / page
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(encoding="utf-8"), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        other = (path.parent / file).resolve() if file else path
        assert other.exists(), f"{page}: {target}"
        assert other.is_relative_to(ROOT), f"{page}: {target} is not in the project"
        if anchor:
            assert anchor in anchors(other), f"{page}: {target}"


def figures() -> dict[str, str]:
    """What makes each figure, by the pattern of its name."""
    return dict(re.findall(r"^\| `([^`]+)` \| (.+?) \|", text_of("docs/figures.md"), re.M))


def test_every_figure_is_shown_and_has_what_makes_it() -> None:
    folder, makers = ROOT / "docs" / "images", figures()
    shown = {
        (ROOT / page).parent.joinpath(target).resolve()
        for page in page_code.pages()
        for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text_of(page))
    }
    made: set[str] = set()
    for path in folder.rglob("*.*"):
        name = path.relative_to(folder).as_posix()
        assert path in shown, f"{name} is on no page"
        patterns = [pattern for pattern in makers if fnmatch.fnmatch(name, pattern)]
        assert patterns, f"{name} is not in the table of docs/figures.md"
        made.update(patterns)
    assert made == set(makers), "the table has figures that there are not"


def test_what_makes_a_figure_writes_its_name() -> None:
    for pattern, maker in figures().items():
        (script,) = re.findall(r"[\w/]+\.py", maker)
        names = [pattern.split("/")[0], *re.findall(r"its `([\w.]+)`", maker)]
        source = (ROOT / script).read_text(encoding="utf-8")
        assert any(name.partition("*")[0] in source for name in names), f"{script} writes no {pattern}"


@pytest.mark.parametrize("page", page_code.pages())
def test_analyzers_that_a_page_speaks_of_exist(page: str) -> None:
    text = text_of(page)
    told = set(re.findall(r'"((?:lrp|deep_taylor|pattern)\.\w+)"', text))
    told |= set(re.findall(r'(?:create_analyzer|explain_func)\("([\w.]+)"', text))
    if page == "docs/coming-from.md":
        rows = re.findall(r"^\| .* \| (.*) \|$", text, re.M)
        told |= {name for row in rows for name in re.findall(r'`"([\w.]+)"`', row)}
        assert len(told) > 15
    own = {"mine.flat_below"}  # of docs/extending.md
    renamed = {"deep_lift.wrapper"} if page == "docs/from-innvestigate.md" else set()
    assert told - own - renamed <= set(kerasexplain.analyzer_names()), page
