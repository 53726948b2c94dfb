"""The images of TensorBoard in the documentation: trains the example, and a model of short texts, and looks at both.

    python docs/board.py            # writes docs/images/tab-*.png; needs Chromium and Playwright

A test makes the same images of a shorter training.
"""

from __future__ import annotations

import importlib.util
import json
import pathlib
import shutil
import tempfile
from typing import Any
from urllib.parse import quote

import keras
import numpy as np
from keras import layers

ROOT = pathlib.Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"

GOOD, BAD = ("good", "great", "fine", "lovely"), ("bad", "dull", "awful", "boring")
OTHER = ("the", "film", "was", "and", "plot", "actors", "music", "very")
#: Columns of the tab: run and tag.
PLUS, GAMMA = ("relevance", "batch/lrp.epsilon_plus"), ("relevance", "batch/lrp.gamma")
WORDS = ("words", "lrp.epsilon")


def log(folder: pathlib.Path, epochs: int) -> None:
    """Trains, and logs what is looked at."""
    spec = importlib.util.spec_from_file_location("watch_training", ROOT / "examples" / "watch_training.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    example.main(["--log-dir", str(folder), "--epochs", str(epochs)])
    learn_words(folder, epochs)


def learn_words(folder: pathlib.Path, epochs: int) -> None:
    """Whether more good words than bad ones stand in a row of words."""
    from kerasexplain.callbacks import RelevanceLogger

    vocabulary = ["", *GOOD, *BAD, *OTHER]
    worth = np.array([0, *(1 for _ in GOOD), *(-1 for _ in BAD), *(0 for _ in OTHER)])
    rng = np.random.default_rng(0)
    ids = rng.integers(1, len(vocabulary), (600, 12))
    ids[np.arange(12) >= rng.integers(6, 13, (600, 1))] = 0
    ids = ids[worth[ids].sum(axis=1) != 0]
    y = (worth[ids].sum(axis=1) > 0).astype(int)
    inputs = keras.Input((12,), dtype="int32", name="words")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(len(vocabulary), 8, name="embedding")(inputs))
    model = keras.Model(inputs, layers.Dense(2, name="logits")(x), name="words")
    model.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    options: dict[str, Any] = {"class_names": ["negative", "positive"], "tokens": vocabulary, "padding": 0}
    logger = RelevanceLogger("lrp.epsilon", (ids, y), log_dir=folder, run="words", max_images=6, **options)
    model.fit(ids, y, epochs=epochs, verbose=0, callbacks=[logger])


def take(browser: Any, folder: pathlib.Path, out: pathlib.Path) -> None:
    """Starts TensorBoard for the logs, and takes the images."""
    from kerasexplain.tensorboard.board import configured

    address = configured(folder, port=0).launch()
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(60_000)
    columns = [PLUS, GAMMA]
    see(page, address, out / "tab-before.png", columns=columns, step=0, size=120)
    see(page, address, out / "tab-grid.png", columns=columns, size=120)
    see(page, address, out / "tab-large.png", columns=columns, sample=7, height=1150)
    see(page, address, out / "tab-text.png", columns=[WORDS], height=640)
    page.goto(f"{address}#images")
    page.locator("tf-tag-filterer input").fill("batch/lrp.epsilon_plus")
    page.wait_for_timeout(3000)
    # Without the column at the left, where it says in which folder the logs are.
    page.screenshot(path=out / "tab-images.png", clip={"x": 320, "y": 64, "width": 960, "height": 576})
    page.evaluate("localStorage.setItem('_tb_global_settings', JSON.stringify({theme: 'dark'}))")
    see(page, address, out / "tab-dark.png", columns=[PLUS], show="input,relevance,overlay", height=640)
    page.goto("about:blank")
    page.close()


def see(page: Any, address: str, path: pathlib.Path, height: int = 800, **state: Any) -> None:
    """An image of the tab as the address says."""
    told = {key: json.dumps(value) if key == "columns" else str(value) for key, value in state.items()}
    page.set_viewport_size({"width": 1280, "height": height})
    page.goto("about:blank")
    page.goto(address + "#relevance" + "".join(f"&p.relevance.{key}={quote(value)}" for key, value in told.items()))
    page.frame_locator("iframe").locator("html[data-ready]").wait_for(state="attached")
    page.wait_for_timeout(1500)  # what is under way arrives
    page.screenshot(path=path)


def make(browser: Any, out: pathlib.Path, epochs: int) -> None:
    """Makes the images.

    Args:
        browser: Chromium, as Playwright knows it.
        out: A folder.
        epochs: How long is trained.
    """
    with tempfile.TemporaryDirectory() as folder:
        log(pathlib.Path(folder), epochs)
        take(browser, pathlib.Path(folder), out)


def main() -> None:
    """Makes those of the documentation."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        make(browser, IMAGES, epochs=12)
        browser.close()


if __name__ == "__main__":
    main()
