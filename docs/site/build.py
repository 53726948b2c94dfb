"""Builds the site: `python docs/site/build.py -o out/site`, or `tox run -e site`. A warning is an error.

The pages are those of the project, in the folders that they are in, so that their links hold; beside them stand a page
for each recipe, and what is cut from the README and made of the docstrings. Nothing on the site comes from elsewhere:
no font, no script, no image.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import pathlib
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from types import ModuleType

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT)]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

#: The headings of the navigation, and the pages under each; a page that there is not is left out.
NAVIGATION = {
    "Begin": ["install", "docs/first-hour", "docs/which-analyzer", "docs/recipes", "Everything on one page <README>"],
    "Methods": ["docs/analyzers", "docs/pictures", "docs/strategies"],
    "Judge and choose": ["docs/evaluate", "docs/metrics", "docs/metrics-libraries"],
    "Training": ["docs/training-on-relevance", "docs/training", "In TensorBoard <docs/tensorboard>"],
    "Work": ["docs/large-data", "docs/distributed", "docs/throughput", "docs/serving"],
    "Models": ["docs/models", "docs/support", "docs/old-models", "docs/tensorflow"],
    "Coming from": ["docs/from-innvestigate", "docs/coming-from", "docs/agreement"],
    "Inside": ["api/index", "docs/design", "docs/extending", "docs/algebra", "docs/benchmarks", "docs/figures"],
    "Project": ["CHANGELOG", "CONTRIBUTING", "SECURITY", "CODE_OF_CONDUCT", "patents", "cite"],
}
#: Sections of the README that are pages of the site: their file, and the heading there.
FROM_README = {"install": ("First five minutes", "Install"), "patents": ("Licence and patents", "Licence and patents")}


def module(path: pathlib.Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def assemble(folder: pathlib.Path) -> None:
    """Puts the sources of the site into a folder."""
    for page in ROOT.glob("*.md"):
        shutil.copy(page, folder)
    for name in ("docs", "examples", "recipes", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "site"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, (section, title) in FROM_README.items():
        (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", readme, re.S | re.M)
        (folder / f"{name}.md").write_text(f"# {title}\n{text}", encoding="utf-8")
    (folder / "cite.md").write_text(citation(), encoding="utf-8")
    recipes = module(ROOT / "docs" / "recipes.py")
    for name in recipes.ORDER:
        (folder / "recipes" / f"{name}.md").write_text(recipes.as_markdown(name), encoding="utf-8")
    text = (folder / "docs" / "recipes.md").read_text(encoding="utf-8")
    text = re.sub(r"\(\.\./recipes/(\w+)\.py\)", r"(../recipes/\1.md)", text)
    (folder / "docs" / "recipes.md").write_text(
        text + toctree("", [f"../recipes/{name}" for name in recipes.ORDER]), "utf-8"
    )
    reference = module(HERE / "reference.py").pages()
    (folder / "api").mkdir()
    for name, page in reference.items():
        (folder / "api" / f"{name}.md").write_text(page, encoding="utf-8")
    links = "\n".join(f"* [{name}]({name}.md)" for name in reference)
    head = "# API reference\n\nWhat is public ([more about that](../docs/extending.md)), from the docstrings.\n\n"
    index = f"{head}{links}\n"
    (folder / "api" / "index.md").write_text(index + toctree("", list(reference)), encoding="utf-8")
    trees = [
        toctree(title, [page for page in pages if (folder / f"{target(page)}.md").exists()])
        for title, pages in NAVIGATION.items()
    ]
    (folder / "index.md").write_text((HERE / "index.md").read_text(encoding="utf-8") + "".join(trees), encoding="utf-8")


def target(entry: str) -> str:
    """The page of an entry of the navigation, which may have a title of its own."""
    return entry.partition("<")[2].rstrip(">") or entry


def toctree(caption: str, pages: Sequence[str]) -> str:
    """A part of the navigation."""
    heading = f":caption: {caption}\n" if caption else ""
    return f"\n```{{toctree}}\n:hidden:\n{heading}\n" + "\n".join(pages) + "\n```\n"


def citation() -> str:
    """How to cite, from CITATION.cff."""
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    (title,) = re.findall(r'^title: "(.+)"$', text, re.M)
    (version,) = re.findall(r"^version: (.+)$", text, re.M)
    (author,) = re.findall(r"- name: (.+)$", text, re.M)
    fields = {"author": f"{{{author}}}", "title": title, "version": version}
    entry = "@software{kerasexplain,\n" + "".join(f"  {key} = {{{value}}},\n" for key, value in fields.items()) + "}"
    text = (
        "Please cite the software, and the papers of the methods that you use: [analyzers](docs/analyzers.md) names\n"
        "the paper of each. `CITATION.cff` in the repository says the same."
    )
    return f"# How to cite\n\n{text}\n\n```bibtex\n{entry}\n```\n"


def from_elsewhere(folder: pathlib.Path) -> list[str]:
    """What pages or styles of the site would ask another server for."""
    asked = re.compile(
        r"""<(?:script|link|img|iframe)\b[^>]*(?:src|href)=["'](?:https?:)?//[^"']+|url\(["']?(?:https?:)?//[^)]+"""
    )
    files = [path for pattern in ("*.html", "*.css") for path in folder.rglob(pattern)]
    return [f"{path.name}: {found}" for path in files for found in asked.findall(path.read_text(encoding="utf-8"))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds the site."""
    from sphinx.cmd.build import main as sphinx

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=pathlib.Path, default=pathlib.Path("out/site"), help="a folder (out/site)")
    out = parser.parse_args(arguments).out
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        assemble(pathlib.Path(folder))
        options = ["-q", "-W", "--keep-going", "-b", "html", "-c", str(HERE)]
        if status := sphinx([*options, "-d", f"{folder}/.doctrees", folder, str(out)]):
            return int(status)
    if found := from_elsewhere(out):
        print("the site asks other servers:", *found, sep="\n", file=sys.stderr)
        return 1
    print(f"written: {out}/index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main())
