"""How fast TensorBoard's tab "Relevance" is, in a browser without a window.

    python -m benchmarks.tab [--runs 2] [--analyzers 3] [--steps 200] [--samples 16] [--size 28]

Logs of random relevance are written, and TensorBoard is started in both of its ways to read them. Told are, in
milliseconds:

* open: from the first request of the page until all images on the screen are drawn, of the tab alone (TensorBoard's
  own page around it takes as long for any tab);
* step: from a new place of the slider until all images are drawn; places far from each other, so that nothing was
  asked for in advance, and neighbouring ones, as in playback. The median, and the slowest of 20.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

ANALYZERS = ("lrp.epsilon_plus", "lrp.gamma", "gradient", "deep_lift", "occlusion")
#: Sets the slider, and waits until the page says that the step is drawn.
STEP = """async position => {
    const slider = document.querySelector("input.steps");
    const begin = performance.now();
    slider.value = position;
    slider.dispatchEvent(new Event("input"));
    await new Promise(requestAnimationFrame);
    const told = () => slider.getAttribute("aria-valuetext");
    while (!(document.documentElement.dataset.ready && told().includes(` ${position + 1} of`)))
        await new Promise(requestAnimationFrame);
    return performance.now() - begin;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in {"runs": 2, "analyzers": 3, "steps": 200, "samples": 16, "size": 28}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(pathlib.Path(folder), options)
        for way in ("true", "false"):
            command = ["-m", "tensorboard.main", "--logdir", folder, "--port", "0", "--load_fast", way]
            with serving(*command, "--samples_per_plugin", "relevance=0") as address:
                print(f"load_fast={way}: " + measured(address, options.steps), flush=True)


def write(folder: pathlib.Path, options: argparse.Namespace) -> None:
    """Random relevance, with an audit."""
    from kerasexplain.tensorboard.records import blobs_of
    from kerasexplain.tensorboard.writer import Writer

    rng = np.random.default_rng(0)
    kinds, roles = {"image": "image", "audit": "audit"}, {"image": "input", "audit": "audit"}
    shape = (options.samples, options.size, options.size, 1)
    for run in range(options.runs):
        with Writer(folder / f"run {run}") as writer:
            x = list(rng.random(shape, dtype=np.float32))
            writer.relevance("samples", blobs_of({"image": x}, {"image": "image"}, {"image": "input"}), 0)
            for analyzer in ANALYZERS[: options.analyzers]:
                for step in range(options.steps):
                    arrays = {
                        "image": list(rng.standard_normal(shape, dtype=np.float32)),
                        "audit": list(rng.random((options.samples, 3, 20), dtype=np.float32)),
                    }
                    told = {"analyzer": analyzer, "samples": "samples", "event": step}
                    classes = {name: [0] * options.samples for name in ("neuron", "prediction", "target")}
                    explained = [1.0] * options.samples
                    writer.relevance(
                        analyzer, blobs_of(arrays, kinds, roles, explained=explained, **told, **classes), step
                    )


@contextlib.contextmanager
def serving(*command: str, **environment: str) -> Iterator[str]:
    """The address of a TensorBoard that runs beside this process.

    Args:
        *command: What Python is given, such as `-m`, `tensorboard.main` and so on.
        **environment: Variables of its environment that differ from this process's.
    """
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            found = re.search(r"http://\S+:\d+/", line)
            if found:
                break
        else:
            raise AssertionError("TensorBoard did not start:\n" + "".join(said))
        threading.Thread(target=process.stdout.read, daemon=True).start()  # or it would stop when the pipe is full
        yield found[0]
    finally:
        process.terminate()
        process.wait(10)


def measured(address: str, steps: int) -> str:
    """The measurements, in words."""
    from playwright.sync_api import sync_playwright

    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        opened = [opening(browser, address, steps) for _ in range(4)][1:]  # the first waits until events were read
        frame = opened[-1][1]
        frame.wait_for_timeout(2000)
        places = np.random.default_rng(0).permutation(np.linspace(0, steps - 20, 20).astype(int)).tolist()
        far = [frame.evaluate(STEP, place) for place in places]
        frame.evaluate(STEP, steps // 2)
        near = []
        for place in range(steps // 2 + 1, min(steps, steps // 2 + 21)):
            frame.wait_for_timeout(100)
            near.append(frame.evaluate(STEP, place))
        browser.close()
    open_ms = statistics.median(ms for ms, _ in opened)
    told = (
        f"{name} {statistics.median(of):.0f} (slowest {max(of):.0f})" for name, of in (("far", far), ("near", near))
    )
    return f"open {open_ms:.0f}, step " + ", ".join(told)


def opening(browser: Any, address: str, steps: int) -> tuple[float, Any]:
    """How long the tab took to be drawn at its last step, and the tab."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{address}data/plugin_entry.html?name=relevance")
    page.wait_for_selector(f'html[data-ready="{steps - 1}"]', state="attached", timeout=300_000)
    return page.evaluate("performance.now()"), page


if __name__ == "__main__":
    main()
