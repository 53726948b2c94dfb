"""Runs the recipes, and makes their page of what came out: `python docs/recipes.py`, some minutes.

A recipe is a script in cells (`# %%`, and `# %% [markdown]` for text), which editors and Jupytext open as a notebook.
The page has a row for each with the seconds that it took, and its picture. It needs the extra `metrics`, and
keras_hub. With names of recipes only these are run, and their rows replaced.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from PIL import Image

HERE = pathlib.Path(__file__).parent
FOLDER = HERE.parent / "recipes"
PAGE = HERE / "recipes.md"
IMAGES = HERE / "images" / "recipes"
#: As many colours as a file with a palette can have, and pixels as a page has room for.
COLOURS, LARGEST = 128, (760, 900)
#: The recipes in the order of the page.
ORDER = ["image_cnn", "transfer", "segmentation", "vit", "table", "signal_cnn", "several_inputs"]
ORDER += ["text_embedding", "text_transformer", "next_token", "lstm", "siamese"]

HEAD = """# Recipes

Made by `python docs/recipes.py`, which ran them all.

One script for each kind of data, with data that are installed with scikit-learn or drawn on the spot: nothing is
downloaded. Each trains a small network, explains it, draws a picture, checks itself, and says what to look for. They
are plain Python in cells: run them, `python recipes/table.py`, or open them as notebooks in VS Code, PyCharm, Spyder,
or in Jupyter with Jupytext (`jupytext --to notebook recipes/table.py`). They need the extra `metrics`
(`pip install "kerasexplain[metrics]"`), and the one of a language model keras_hub, too (`pip install keras-hub`).

"""
TAIL = """
Deeper: [pictures](pictures.md), [which analyzer](which-analyzer.md),
[training on relevance](training-on-relevance.md), and the longer scripts in [examples](../README.md#more).
"""


def cells(source: str) -> list[tuple[str, str]]:
    """The cells of a script: `markdown` or `code`, and the text, without the comment signs of markdown."""
    found = []
    for heading, body in re.findall(r"^# %%([^\n]*)\n(.*?)(?=^# %%|\Z)", source, re.S | re.M):
        markdown = "[markdown]" in heading
        text = re.sub(r"^# ?", "", body, flags=re.M) if markdown else body
        found.append(("markdown" if markdown else "code", text.strip("\n")))
    return found


def as_markdown(name: str) -> str:
    """A recipe as a page, its picture below the heading."""
    parts = [text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in cells(source_of(name))]
    heading, _, rest = parts[0].partition("\n")
    picture = f"![{heading.lstrip('# ')}](../docs/images/recipes/{name}.png)"
    return "\n\n".join([heading, rest.strip("\n"), picture, *parts[1:]]) + "\n"


def source_of(name: str) -> str:
    return (FOLDER / f"{name}.py").read_text(encoding="utf-8")


def ran(name: str) -> float:
    """Runs a recipe in a process of its own, keeps its picture, and returns the seconds that it took."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(HERE.parent)}
        subprocess.run([sys.executable, FOLDER / f"{name}.py"], cwd=folder, env=environment, check=True)
        took = time.monotonic() - began
        picture = Image.open(pathlib.Path(folder) / f"{name}.png").convert("RGB")
    IMAGES.mkdir(parents=True, exist_ok=True)
    picture.thumbnail(LARGEST)
    small = picture.quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(IMAGES / f"{name}.png", optimize=True)
    return took


def rows(page: str) -> dict[str, str]:
    """The seconds of every recipe on a page."""
    return dict(re.findall(r"^\| \[`(\w+)\.py`\].*\| (\d+) s \|$", page, re.M))


def page(seconds: dict[str, str]) -> str:
    """The page, from the seconds that every recipe took."""
    lines = ["| recipe | of | on two busy cores |", "|---|---|--:|"]
    pictures = []
    for name in ORDER:
        title = cells(source_of(name))[0][1].splitlines()[0].lstrip("# ")
        lines.append(f"| [`{name}.py`](../recipes/{name}.py) | {title} | {seconds[name]} s |")
        pictures.append(
            f"## {title}\n\n[recipes/{name}.py](../recipes/{name}.py)\n\n![{title}](images/recipes/{name}.png)\n"
        )
    return HEAD + "\n".join(lines) + "\n\n" + "\n".join(pictures) + TAIL


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs recipes and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[], metavar="RECIPE")
    known = rows(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else {}
    for name in parser.parse_args(arguments).names or ORDER:
        known[name] = f"{ran(name):.0f}"
        print(f"{name}: {known[name]} s", flush=True)
    PAGE.write_text(page(known), encoding="utf-8")


if __name__ == "__main__":
    main()
