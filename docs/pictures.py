"""Makes the images of pictures.md: `python docs/pictures.py`.

They are what the page's own code saves, in fewer colours, so that the files are small. It needs the extra `metrics` and
pandas.
"""

from __future__ import annotations

import os
import pathlib
import re
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from PIL import Image

HERE = pathlib.Path(__file__).parent
PAGE = HERE / "pictures.md"
FOLDER = HERE / "images" / "pictures"
#: As many colours as a file with a palette can have.
COLOURS = 256


def blocks() -> list[str]:
    """The code of the page."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)


def shown() -> list[str]:
    """The names of the images that the page shows."""
    return re.findall(r"\]\(images/pictures/([^)]+)\)", PAGE.read_text(encoding="utf-8"))


def draw(folder: pathlib.Path) -> dict[str, Any]:
    """Runs the code of the page in a folder, and returns its variables."""
    names: dict[str, Any] = {}
    before = pathlib.Path.cwd()
    os.chdir(folder)
    try:
        for code in blocks():
            exec(compile(code, str(PAGE), "exec", dont_inherit=True), names)
    finally:
        os.chdir(before)
    return names


def main() -> None:
    """Writes the images that the page shows."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    draw(FOLDER)
    for path in FOLDER.glob("*.png"):
        if path.name not in shown():
            path.unlink()
            continue
        Image.open(path).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
