"""The tab in a browser, in TensorBoard as it is started by `kerasexplain board`."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from helpers import logs
from helpers.boards import serving

from kerasexplain.tensorboard import records
from kerasexplain.tensorboard.writer import Writer
from kerasexplain.tokens import COLOURS

pytestmark = [pytest.mark.once("the tab reads files, whoever wrote them"), pytest.mark.slow("a browser")]

STEPS, SAMPLES = 12, 16
#: What the browser may take, in milliseconds; nothing is measured by it.
PATIENCE = 20_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> pathlib.Path:
    """Several logs, so that one TensorBoard is enough."""
    folder = logs.write(tmp_path_factory.mktemp("logs"), steps=STEPS, samples=SAMPLES)
    _odd(folder)
    return folder


def _odd(folder: pathlib.Path) -> None:
    """Logs with what could go wrong, in runs of their own."""
    with Writer(folder / "<b>odd</b>" / "ü run") as writer:
        names = ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "&amp;"]
        logs.write_samples(writer, "odd", 2, class_names=names, titles=["<h1>title</h1>", '"quoted"'])
        logs.write_relevance(writer, "odd", "batch/lrp.<i>x</i>", [0, 1], 2)
    with Writer(folder / "text") as writer:
        x, tokens = [np.arange(4)] * 2, [["▁good", "▁<b>", "ly", ""], ["▁bad", "▁film", "", ""]]
        blobs = records.blobs_of({"ids": x}, {"ids": "tokens"}, {"ids": "input"}, tokens={"ids": tokens})
        writer.relevance("samples", blobs, 0)
        values = [np.array([[2.0], [-1.0], [0.5], [0.0]]), np.array([[-4.0], [0.0], [0.0], [0.0]])]
        told = {"analyzer": "lrp.z", "samples": "samples"}
        writer.relevance("lrp.z", records.blobs_of({"ids": values}, {"ids": "tokens"}, {"ids": "input"}, **told), 0)
    with Writer(folder / "bad") as writer:
        writer.relevance("foreign", [b"foreign data"], 0)
        plane = np.array([[np.nan, 1.0], [np.inf, -1.0]])
        told = {"analyzer": "a", "samples": "samples"}
        writer.relevance("alone", records.blobs_of({"x": [plane]}, {"x": "image"}, {"x": "input"}, **told), 0)
        writer.relevance("empty", records.blobs_of({"x": []}, {"x": "image"}, {"x": "input"}, **told), 0)


@pytest.fixture(scope="module")
def address(folder: pathlib.Path) -> Iterator[str]:
    with serving(folder, with_tensorflow=True) as address:
        yield address


class Tab:
    """The tab on a page."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._asked(request.url))

    def _asked(self, url: str) -> None:
        if urlsplit(url).scheme in ("http", "https", "ws", "wss") and urlsplit(url).hostname not in ("localhost",):
            self.complaints.append(f"a request to {url}")

    def open(self, address: str, **state: str) -> Any:
        """The frame of the tab, when it is drawn."""
        self.page.goto(
            address + "#relevance" + "".join(f"&p.relevance.{key}={quote(value)}" for key, value in state.items())
        )
        return self.frame()

    def leave(self) -> None:
        """Asks a TensorBoard no more that is about to end."""
        self.page.goto("about:blank")

    def frame(self) -> Any:
        self.page.wait_for_selector("iframe")
        for _ in range(200):
            for frame in self.page.frames:
                if "plugin_entry" in frame.url:
                    frame.wait_for_selector("html[data-ready]", state="attached")
                    return frame
            self.page.wait_for_timeout(50)
        raise AssertionError("the tab was not opened")


@pytest.fixture
def tab(browser: Any) -> Iterator[Tab]:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    tab = Tab(page)
    yield tab
    page.close()
    assert tab.complaints == []


def _columns(*columns: tuple[str, str]) -> str:
    return json.dumps(columns)


def _pixels(frame: Any, selector: str) -> np.ndarray:
    """The pixels of a canvas, `(height, width, 4)`."""
    script = """canvas => [canvas.height, canvas.width,
        ...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]"""
    height, width, *values = frame.locator(selector).first.evaluate(script)
    return np.array(values, dtype=np.uint8).reshape(height, width, 4)


def _coloured(relevance: np.ndarray) -> np.ndarray:
    """Relevance in the package's own colours."""
    anchors = [[int(colour[i : i + 2], 16) for colour in COLOURS] for i in (1, 3, 5)]
    strength = np.round(256 * relevance / np.abs(relevance).max()) / 256
    return np.stack([np.interp(strength, np.linspace(-1, 1, len(COLOURS)), channel) for channel in anchors], axis=-1)


def _tile(tag: str, sample: int = 0, view: str = "relevance") -> str:
    return f'[data-sample="{sample}"] figure[data-tag="{tag}"][data-view="{view}"] canvas'


def _at_step(frame: Any, step: int) -> None:
    frame.wait_for_selector(f'html[data-ready="{step}"]', state="attached")


def _drawn(frame: Any) -> None:
    """Waits until what was changed by now is drawn: the page draws before the frame after the next."""
    frame.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_the_tab_shows_every_sample_of_every_analyzer(tab: Tab, address: str) -> None:
    frame = tab.open(address, columns=_columns(*(("first", tag) for tag in logs.ANALYZERS)), size="48")
    assert frame.locator("article.card").count() == SAMPLES
    assert frame.locator("figure[data-view=relevance] canvas").count() == SAMPLES * len(logs.ANALYZERS)
    assert frame.locator("figure[data-view=input] canvas").count() == SAMPLES
    card = frame.locator('article[data-sample="1"]')
    assert "sample first 1" in card.inner_text()
    assert "true: dog" in card.inner_text()
    assert f"{STEPS} for dog" in card.inner_text()
    assert "✓ predicted dog" in card.inner_text()
    assert frame.locator("nav .choice").count() == 2 * len(logs.ANALYZERS) + 5


def test_pixels_are_the_relevance_in_the_colours_of_the_package(tab: Tab, address: str) -> None:
    frame = tab.open(address, columns=_columns(("second", "lrp.gamma")))
    for sample in (0, 3):
        expected = _coloured(logs.relevance("second", "lrp.gamma", STEPS - 1, sample)[..., 0])
        np.testing.assert_allclose(_pixels(frame, _tile("lrp.gamma", sample))[..., :3], expected, atol=1)
    grey = _pixels(frame, _tile("lrp.gamma", 0, "input"))
    np.testing.assert_allclose(grey[..., 0], 255 * logs.image("second", 0)[..., 0], atol=1)


def test_the_slider_moves_through_the_steps(tab: Tab, address: str) -> None:
    frame = tab.open(address, columns=_columns(("first", "gradient")))
    last = _pixels(frame, _tile("gradient"))
    frame.locator("input.steps").fill("4")
    _at_step(frame, 4)
    pixels = _pixels(frame, _tile("gradient"))
    assert (pixels != last).any()
    np.testing.assert_allclose(pixels[..., :3], _coloured(logs.relevance("first", "gradient", 4, 0)[..., 0]), atol=1)
    frame.locator("input.steps").press("ArrowRight")
    _at_step(frame, 5)
    frame.locator("input.steps").press("Home")
    _at_step(frame, 0)
    assert "✗ predicted cat" in frame.locator('article[data-sample="1"]').inner_text()


def test_playback_goes_to_the_end(tab: Tab, address: str) -> None:
    frame = tab.open(address, columns=_columns(("first", "gradient")), step="7", speed="30")
    frame.locator(".timeline").get_by_label("Play (space)").click()
    _at_step(frame, STEPS - 1)
    frame.locator(".timeline").get_by_label("Play (space)").wait_for()


def test_analyzers_are_switched_on_and_off(tab: Tab, address: str) -> None:
    frame = tab.open(address, columns=_columns(("first", "gradient")))
    boxes = frame.locator("nav section", has=frame.locator('h3:text-is("first")')).locator("input")
    boxes.nth(1).check()
    frame.wait_for_selector(_tile("lrp.epsilon"))
    boxes.nth(0).uncheck()
    frame.wait_for_selector(_tile("gradient"), state="detached")
    frame.wait_for_selector(f'html[data-ready="{STEPS - 1}"]', state="attached")
    expected = _coloured(logs.relevance("first", "lrp.epsilon", STEPS - 1, 0)[..., 0])
    np.testing.assert_allclose(_pixels(frame, _tile("lrp.epsilon"))[..., :3], expected, atol=1)
    frame.locator("body").press("3")
    frame.wait_for_selector(_tile("lrp.gamma"))


def test_the_large_view_tells_the_value_under_the_pointer(tab: Tab, address: str) -> None:
    frame = tab.open(address, columns=_columns(("first", "gradient"), ("first", "lrp.gamma")), step="6")
    frame.get_by_text("sample first 2", exact=True).click()
    pane = frame.locator('.pane[data-tag="lrp.gamma"]')
    canvas = pane.locator("canvas")
    box = canvas.bounding_box()
    for row, column in ((0, 0), (3, 5), (7, 7)):
        canvas.hover(position={"x": (column + 0.5) * box["width"] / 8, "y": (row + 0.5) * box["height"] / 8})
        for tag in ("lrp.gamma", "gradient"):  # the pointer is at the same place in all
            said = frame.locator(f'.pane[data-tag="{tag}"][data-view=relevance] .readout').inner_text()
            place, value = said.replace("−", "-").split(": ")
            assert place == f"row {row}, column {column}"
            assert float(value) == pytest.approx(logs.relevance("first", tag, 6, 2)[row, column, 0], rel=1e-6)
    total = float(logs.relevance("first", "lrp.gamma", 6, 2).sum())
    assert f"sum {total:.3g}".replace("-", "−") in pane.inner_text()
    pane.locator(".conservation").wait_for()
    assert pane.locator(".operation").count() == len(logs.OPERATIONS)
    pane.locator(".history svg").wait_for()
    assert sum(map(int, re.findall(r">(\d+) values about", pane.locator(".histogram").inner_html()))) == 64
    frame.locator("body").press("ArrowDown")
    frame.get_by_role("heading", name="sample first 3").wait_for()
    frame.locator("body").press("Escape")
    frame.locator("article.card").first.wait_for()


def test_looks_need_no_request(tab: Tab, address: str) -> None:
    frame = tab.open(address, columns=_columns(("first", "gradient"), ("first", "lrp.gamma")), show="relevance,overlay")
    tab.page.wait_for_load_state("networkidle")
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url) if "/frame" in request.url else None)
    before, over = _pixels(frame, _tile("gradient")), _pixels(frame, _tile("gradient", view="overlay"))
    frame.get_by_label("full colour at", exact=True).select_option("shared")
    frame.wait_for_function("() => document.querySelector('.legend').textContent.match(/−[0-9.]+/)")
    R = np.stack([logs.relevance("first", "gradient", STEPS - 1, sample) for sample in range(SAMPLES)])
    assert f"+{np.abs(R).max():.3g}" in frame.locator(".legend").first.inner_text()
    shared = _pixels(frame, _tile("gradient"))
    assert (shared != before).any()
    frame.locator("input[name=opacity]").fill("0.3")
    frame.get_by_label("colours", exact=True).select_option("orange-purple")
    _drawn(frame)
    assert (_pixels(frame, _tile("gradient")) != shared).any()
    assert (_pixels(frame, _tile("gradient", view="overlay")) != over).any()
    assert asked == []


def test_the_address_can_be_shared(tab: Tab, address: str, browser: Any) -> None:
    frame = tab.open(address, columns=_columns(("first", "gradient")))
    frame.locator("input.steps").fill("3")
    frame.locator("nav section", has=frame.locator('h3:text-is("second")')).locator("input").first.check()
    frame.locator("[data-show=overlay]").click()
    frame.locator("article .title").nth(1).click()
    tab.page.wait_for_url("**sample=*")
    url = tab.page.url
    tab.page.reload()
    for page in (tab.page, browser.new_page()):
        other = tab if page is tab.page else Tab(page)
        if page is not tab.page:
            page.goto(url)
        frame = other.frame()
        _at_step(frame, 3)
        assert frame.locator(".large h2").inner_text() == "sample first 1"
        assert frame.locator("[data-show=overlay]").get_attribute("aria-pressed") == "true"
        assert frame.locator("nav input:checked").count() == 2
    page.close()


def test_light_and_dark_follow_tensorboard(tab: Tab, address: str) -> None:
    frame = tab.open(address, columns=_columns(("first", "gradient")))
    ground = "getComputedStyle(document.body).backgroundColor"
    light, before = frame.evaluate(ground), _pixels(frame, _tile("gradient"))
    tab.page.evaluate("document.body.classList.toggle('dark-mode')")
    frame.wait_for_selector("html.dark", state="attached")
    _drawn(frame)
    assert frame.evaluate(ground) != light
    assert (_pixels(frame, _tile("gradient")) != before).any()


def test_what_was_logged_is_never_html(tab: Tab, address: str) -> None:
    frame = tab.open(address, columns=_columns(("<b>odd</b>/ü run", "batch/lrp.<i>x</i>")))
    text = frame.locator('article[data-sample="0"]').inner_text()
    assert "<h1>title</h1>" in text
    assert "<img src=x onerror=alert(1)>" in text
    frame.get_by_text("<h1>title</h1>").click()
    frame.locator(".history svg").wait_for()
    assert frame.locator("img, h1, b, i, script:not([type=module])").count() == 0


def test_text_is_shown_as_coloured_tokens(tab: Tab, address: str) -> None:
    frame = tab.open(address, columns=_columns(("text", "lrp.z")))
    tokens = frame.locator('article[data-sample="0"] .token')
    assert tokens.all_inner_texts() == ["good", "<b>", "ly"]
    assert frame.locator('article[data-sample="0"] .tokens').inner_text() == "good <b>ly"
    red, blue = (tokens.nth(i).evaluate("e => e.style.backgroundColor") for i in (0, 1))
    assert red == "rgb(103, 0, 31)"
    shown = [int(number) for number in re.findall(r"\d+", blue)]
    np.testing.assert_allclose(shown, _coloured(np.array([2.0, -1.0]))[1], atol=1)
    frame.locator('article[data-sample="1"]').click()
    frame.locator(".pane [data-token='1']").hover()
    assert "position 1 “▁film”: 0" in frame.locator(".readout").inner_text()


def test_bad_data_are_told_beside_the_good(tab: Tab, address: str) -> None:
    frame = tab.open(address, columns=_columns(("bad", "foreign"), ("first", "gradient")))
    assert "no header of relevance data" in frame.locator(".legend .error").inner_text()
    assert frame.locator(_tile("gradient")).count() == 1
    tab.complaints = [text for text in tab.complaints if "status of 422" not in text]  # the browser's own words


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        ("foreign", "no header of relevance data"),
        ("gone", "there is no tag 'gone'"),
        ("empty", "No samples were explained."),
    ],
)
def test_there_is_always_a_message(tab: Tab, address: str, tag: str, message: str) -> None:
    frame = tab.open(address, columns=_columns(("bad", tag)))
    assert message in frame.locator(".message").inner_text()
    tab.complaints = [text for text in tab.complaints if "Failed to load resource" not in text]


def test_relevance_that_is_not_finite_and_has_no_samples(tab: Tab, address: str) -> None:
    frame = tab.open(address, columns=_columns(("bad", "alone")))
    text = frame.locator("main").inner_text()
    assert "2 values not finite" in text
    assert "the samples were not logged" in text
    pixels = _pixels(frame, _tile("alone"))[..., :3]
    assert pixels[0, 0].tolist() == pixels[1, 0].tolist() == [255, 0, 255]
    assert pixels[0, 1].tolist() == [103, 0, 31]


def test_new_steps_appear_and_a_deleted_run_is_told(tab: Tab, tmp_path: pathlib.Path) -> None:
    command = ["-m", "tensorboard.main", "--logdir", str(tmp_path), "--port", "0", "--reload_interval", "1"]
    with Writer(tmp_path / "run") as writer:
        logs.write_samples(writer, "run", 2)
        logs.write_relevance(writer, "run", "gradient", [0], 2)
        writer.flush()
        with serving(tmp_path, *command) as address:
            frame = tab.open(address, columns=_columns(("run", "gradient")))
            frame.wait_for_selector(_tile("gradient"))
            logs.write_relevance(writer, "run", "gradient", [1], 2, before=1)
            writer.flush()
            _at_step(frame, 1)
            expected = _coloured(logs.relevance("run", "gradient", 1, 0)[..., 0])
            np.testing.assert_allclose(_pixels(frame, _tile("gradient"))[..., :3], expected, atol=1)
            shutil.rmtree(tmp_path / "run")
            frame.wait_for_selector(".message >> text=there is no run 'run'")
            tab.leave()
    tab.complaints = [text for text in tab.complaints if "Failed to load resource" not in text]


def test_steps_that_tensorboard_did_not_keep_are_told(tab: Tab, tmp_path: pathlib.Path) -> None:
    with Writer(tmp_path / "run") as writer:
        logs.write_relevance(writer, "run", "gradient", range(40), 2)
    for command, notice in (
        (["-m", "tensorboard.main", "--logdir", str(tmp_path), "--port", "0"], True),
        (["-m", "kerasexplain.cli", "board", str(tmp_path), "--port", "0"], False),
    ):
        with serving(tmp_path, *command) as address:
            frame = tab.open(address)
            frame.wait_for_selector(_tile("gradient"))
            text = frame.locator(".legend").inner_text()
            assert bool(re.search(r"kept \d+ of 40 steps.*kerasexplain board DIR", text)) == notice
            tab.leave()


def test_board_refuses_what_is_no_folder(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "kerasexplain.cli", "board", str(tmp_path / "nowhere")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert "there is no folder" in ran.stderr


def test_many_samples_are_made_as_they_come_into_view(tab: Tab, tmp_path: pathlib.Path) -> None:
    with Writer(tmp_path / "run") as writer:
        logs.write_samples(writer, "run", 300)
        logs.write_relevance(writer, "run", "gradient", [0], 300)
    with serving(tmp_path) as address:
        frame = tab.open(address)
        assert frame.locator("article.card").count() < 60
        frame.locator(".grid").evaluate("grid => { grid.scrollTop = grid.scrollHeight; }")
        frame.wait_for_selector(_tile("gradient", 299))
        frame.wait_for_function("() => document.documentElement.dataset.ready === '0'")
        expected = _coloured(logs.relevance("run", "gradient", 0, 299)[..., 0])
        np.testing.assert_allclose(_pixels(frame, _tile("gradient", 299))[..., :3], expected, atol=1)
        tab.leave()


def test_a_table_has_the_names_of_its_columns(tab: Tab, tmp_path: pathlib.Path) -> None:
    values, relevance = np.array([41.0, -2.0, 0.5]), np.array([0.5, -2.0, 0.0])
    kinds, roles = {"input": "numbers"}, {"input": "input"}
    with Writer(tmp_path / "table") as writer:
        features = {"input": ["age", "<b>tax</b>", "rooms"]}
        writer.relevance("samples", records.blobs_of({"input": [values]}, kinds, roles, features=features), 0)
        told: dict[str, Any] = {"analyzer": "a", "samples": "samples", "neuron": ["output"], "explained": [-1.5]}
        writer.relevance("a", records.blobs_of({"input": [relevance]}, kinds, roles, **told), 0)
    with serving(tmp_path) as address:
        frame = tab.open(address, sample="0")
        frame.wait_for_selector(".features .operation")
        rows = frame.locator(".features .operation").all_inner_texts()
        assert [" ".join(row.split()) for row in rows] == [
            "<b>tax</b> = \u22122 \u22122",
            "age = 41 0.5",
            "rooms = 0.5 0",
        ]
        assert frame.locator(".pane .what").last.inner_text().startswith("explains output: \u22121.5")
        bar = frame.locator(".feature-bar").first
        lane = frame.locator(".feature").first.bounding_box()
        box = bar.bounding_box()
        assert abs(box["x"] - lane["x"]) < 1  # the strongest reaches the end, on the left: it speaks against
        assert abs(box["x"] + box["width"] - lane["x"] - lane["width"] / 2) < 1
        tab.leave()


def test_signals_are_curves_on_a_ground_of_relevance(tab: Tab, tmp_path: pathlib.Path) -> None:
    time = np.linspace(0.0, 1.0, 80)
    values, relevance = np.stack([time, -time], axis=1), np.zeros((80, 2))
    relevance[:20, 0], relevance[60:, 1] = 1.0, -0.5
    kinds, roles = {"input": "signal"}, {"input": "input"}
    with Writer(tmp_path / "signal") as writer:
        features = {"input": ["pulse", "breath"]}
        writer.relevance("samples", records.blobs_of({"input": [values]}, kinds, roles, features=features), 0)
        told: dict[str, Any] = {"analyzer": "a", "samples": "samples", "neuron": [1], "explained": [1.0]}
        writer.relevance("a", records.blobs_of({"input": [relevance]}, kinds, roles, **told), 0)
    with serving(tmp_path) as address:
        frame = tab.open(address, sample="0", show="input,relevance,overlay")
        pane = '.pane[data-view="{}"] canvas'
        frame.wait_for_selector(pane.format("overlay"))
        _drawn(frame)
        ground = _pixels(frame, pane.format("relevance"))[..., :3]
        height, width = ground.shape[:2]
        quarter, rows = width // 8, (height // 4, 3 * height // 4)
        colours = {
            name: tuple(int(code[i : i + 2], 16) for i in (1, 3, 5))
            for name, code in {"for": COLOURS[-1], "zero": COLOURS[len(COLOURS) // 2]}.items()
        }
        assert tuple(ground[rows[0], quarter]) == colours["for"]
        assert tuple(ground[rows[0], -quarter]) == colours["zero"]
        assert tuple(ground[rows[1], quarter]) == colours["zero"]
        assert ground[rows[1], -quarter][2] > ground[rows[1], -quarter][0]  # blue: against
        both = _pixels(frame, pane.format("overlay"))[..., :3]
        lines = both.astype(int).sum(axis=2) < ground.astype(int).sum(axis=2) - 200
        upper = [np.nonzero(lines[: height // 2, x : x + 9])[0].mean() for x in (width // 2, 3 * width // 4)]
        assert upper[0] > upper[1] + 5  # the first channel rises
        canvas = frame.locator(pane.format("relevance"))
        box = canvas.bounding_box()
        canvas.hover(position={"x": box["width"] * 0.9, "y": box["height"] * 0.75})
        assert frame.locator(".readout").nth(1).inner_text() == "breath, step 72: \u22120.5"
        tab.leave()
