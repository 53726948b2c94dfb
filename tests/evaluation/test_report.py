"""The page: it holds what was found, it is whole, and it asks for nothing."""

from __future__ import annotations

import base64
import io
import json
import pathlib
import re
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")

from helpers.pages import Page
from PIL import Image

from kerasexplain import visualize
from kerasexplain.evaluation.comparison import Comparison
from kerasexplain.evaluation.report.finished import Totals
from kerasexplain.evaluation.report.report import Report
from kerasexplain.evaluation.report.verdict import headline
from kerasexplain.evaluation.trials import Samples, Trial
from kerasexplain.metrics import Deletion, RegionPerturbation, Sparseness
from kerasexplain.metrics.scores import Scores

pytestmark = pytest.mark.once("the page is the same whatever computed")

FALL, CONCENTRATION = RegionPerturbation(steps=4), Sparseness()
SHAPES = {"image": (6, 5, 1), "colours": (6, 5, 3), "planes": (6, 5, 2), "signal": (30, 2), "table": (20,)}
SHAPES |= {"volume": (3, 3, 3, 1)}


def comparison(
    scores: dict[str, Any], x: Any = None, metrics: Any = (FALL,), relevance: Any = None, **trials: Trial
) -> Comparison:
    """A comparison with these scores under the first metric; others have scores of zero."""
    samples = len(next(iter(scores.values())))
    x = np.random.default_rng(0).uniform(size=(samples, 6, 5, 1)) if x is None else x
    found = {}
    for number, (name, values) in enumerate(scores.items()):
        given = [np.asarray(values, "float64"), *[np.zeros(samples)] * (len(metrics) - 1)]
        curve = np.linspace(2, number, 5) + np.zeros((samples, 1))
        by_label = {
            metric.label: Scores(metric, name, value, {}, {"most": curve}, {"most": np.linspace(0, 1, 5)})
            if metric.name != "sparseness"
            else Scores(metric, name, value)
            for metric, value in zip(metrics, given, strict=True)
        }
        maps = _like(x, number) if relevance is None else relevance
        found[name] = Trial(name, {"analyzer": name, "method": {"epsilon": 0.1}, "options": {}}, by_label, 0.01, maps)
    target = Samples(x, np.arange(samples), np.full(samples, 2.0))
    return Comparison("net", target, {metric.label: metric for metric in metrics}, {**found, **trials})


def _like(x: Any, seed: int) -> Any:
    generator = np.random.default_rng(seed)
    if isinstance(x, dict):
        return {name: generator.normal(size=array.shape) for name, array in x.items()}
    return generator.normal(size=np.shape(x))


CLEAR = {"lrp.z": [3.0, 4.0, 5.0, 4.5], "gradient": [1.0, 1.2, 0.9, 1.7], "random": [0.1, 0.2, 0.0, 0.3]}


@pytest.mark.parametrize(
    ("scores", "said", "unsaid"),
    [
        (CLEAR, ["Of 2 analyzers, lrp.z has the best", "beats random clearly (better on 4 of 4 samples", "+3.97"], []),
        (CLEAR, ["Its lead over the next, gradient, is clear."], ["edges"]),
        (
            {"a": [1.0, 0.0, 2.0], "random": [0.9, 0.5, 1.1]},
            ["does not beat random clearly (better on 2 of 3"],
            ["next"],
        ),
        ({"a": [0.0, 0.1, 0.2], "random": [1.0, 1.2, 1.3]}, ["is clearly worse than random (better on 0 of 3"], []),
        ({**CLEAR, "edges": [9.0, 9.0, 9.0, 9.1]}, ["It does not beat edges clearly", "Of 2 analyzers"], []),
        (
            {"a": [1.0], "random": [0.0]},
            ["does not beat random clearly (one sample says nothing of the spread)"],
            ["nan"],
        ),
        ({"a": [np.nan] * 2, "random": [0.0, 1.0]}, ["No analyzer has scores under region_perturbation(steps=4)"], []),
        ({"a": [1.0, 2.0, 1.5]}, ["Of 1 analyzers, a has the best", "on 3 samples."], ["random"]),
    ],
)
def test_the_verdict_says_what_is_best_and_whether_that_is_clear(
    scores: Any, said: list[str], unsaid: list[str]
) -> None:
    found = headline(comparison(scores))
    for each in said:
        assert each in found
    for each in unsaid:
        assert each not in found


def test_lower_may_be_better() -> None:
    scores = {"high": [3.0, 3.1, 3.2], "low": [0.1, 0.2, 0.3], "random": [1.0, 1.2, 1.4]}
    found = headline(comparison(scores, metrics=(Deletion(),)))
    assert "Of 2 analyzers, low has the best deletion" in found
    assert "beats random clearly" in found


def test_no_verdict_where_metrics_only_describe() -> None:
    assert "they describe maps" in headline(comparison(CLEAR, metrics=(CONCENTRATION,)))


def test_the_best_is_none_of_the_controls() -> None:
    control = {"input": [8.0, 8.1, 8.2, 8.3], **CLEAR}
    found = headline(comparison(control))
    assert "Of 2 analyzers, lrp.z has the best" in found
    assert "It does not beat input clearly" in found


def test_the_page_is_whole_and_asks_for_nothing() -> None:
    found = comparison(CLEAR, metrics=(FALL, CONCENTRATION))
    text = Report(found, command="kerasexplain evaluate net.keras x.npy").to_html()
    page = Page(text)
    assert page.addresses
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    (policy,) = [meta["content"] for meta in page.of("meta") if meta.get("http-equiv")]
    assert policy.startswith("default-src 'none'")
    assert [meta for meta in page.of("meta") if meta.get("name") == "viewport"]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for image in page.of("img"):
        assert image["alt"]
    for drawing in page.of("svg"):
        assert drawing["role"] == "img"
        assert drawing.get("aria-label") or drawing["aria-labelledby"] in ids
    assert {attributes["href"][1:] for attributes in page.of("a")} <= set(ids)
    assert "kerasexplain evaluate net.keras x.npy" in page.words
    assert "keras " in page.words
    assert headline(found) in page.words


def test_the_page_holds_every_score_exactly() -> None:
    values = [0.1 + 0.2, np.nan, 1 / 3, -0.0]
    text = Report(comparison({"a": values, "random": [1.0, 2.0, np.inf, 0.0]})).to_html()
    (data,) = re.findall(r'<script type="application/json" id="scores">(.*?)</script>', text)
    told = json.loads(data)["scores"]
    assert told["a"][FALL.label] == [0.1 + 0.2, None, 1 / 3, -0.0]
    assert told["random"][FALL.label] == [1.0, 2.0, None, 0.0]
    words = Page(text).words
    assert "1 undefined" in words
    assert "0.211 ± 0.1" in words


def test_the_table_says_who_is_better_than_random() -> None:
    page = Page(Report(comparison({**CLEAR, "worse": [-9.0, -9.1, -9.4, -9.3]})).to_html())
    assert re.search(r"lrp\. z best 4\.12 ± 0\.43 4 of 4 ▲", page.words)
    assert re.search(r"worse -9\.2 ± 0\.091 0 of 4 ▼", page.words)
    assert "random control" in page.words


def test_names_are_text_and_nothing_else() -> None:
    odd = '</script><script>alert(1)</script><img src="http://x/y">'
    found = comparison({odd: [1.0, 2.0], "random": [0.0, 0.1]}, b=Trial("b", skipped=f"no {odd}"))
    totals = Totals(*(np.ones(2) for _ in range(4)), remark=f"wrong {odd}")
    text = Report(found, {odd: totals}, {odd: [odd]}, [odd, "'\"&"], odd, {odd: odd}).to_html()
    page = Page(text)
    assert len(page.of("script")) == 2
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert text.count("alert(1)") > 5


def test_audits_remarks_and_the_skipped_are_told() -> None:
    skipped = Trial("attention", skipped="there is no attention in it")
    totals = Totals(
        np.array([2.0, 4.0]), np.array([1.0, 3.0]), np.array([1.0, 1.0]), np.zeros(2), "the map says little"
    )
    found = comparison({"lrp.z": [1.0, 2.0], "random": [0.0, 0.1]}, attention=skipped)
    words = Page(Report(found, {"lrp.z": totals}, {"lrp.z": ["a sum misses"]}).to_html()).words
    assert "lrp.z 3 2 (62.5 %) 1 (37.5 %) 0 (0 %)" in words
    assert "the map says little" in words
    assert "a sum misses" in words
    assert "attention there is no attention in it" in words
    without = Page(Report(comparison(CLEAR)).to_html()).words
    assert "Skipped" not in without
    assert "Where the relevance went" not in without


@pytest.mark.parametrize("kind", SHAPES)
def test_any_input_is_shown_as_it_can_be(kind: str) -> None:
    x = np.random.default_rng(0).normal(size=(3, *SHAPES[kind]))
    page = Page(Report(comparison({"a": [1.0, 2.0, 3.0], "random": [0.0, 0.1, 0.2]}, x)).to_html())
    expected = {
        "image": 9, "colours": 9, "planes": 9, "signal": 6, "table": 0, "volume": 0,
    }[kind]  # fmt: skip
    assert len(page.of("img")) == expected
    said = {"planes": "the mean of its 2 channels", "table": "16 most relevant of 20 features by a"}
    said |= {"volume": "Maps of inputs of shape (3, 3, 3, 1) are not drawn", "signal": "channels summed"}
    assert said.get(kind, "each map up to its own") in page.words


def test_a_map_is_drawn_as_everywhere_else() -> None:
    x = np.random.default_rng(0).uniform(size=(2, 6, 5, 1))
    found = comparison({"a": [1.0, 2.0], "input": [0.5, 0.6], "random": [0.0, 0.1]}, x)
    images = {image["alt"]: image["src"] for image in Page(Report(found, titles=["cat", "dog"]).to_html()).of("img")}
    for name in ("a", "input"):
        expected = visualize.heatmap(found.trials[name].relevance, percentile=99.5)[1]
        drawn = _image(images[f"map of {name}, dog"])
        np.testing.assert_array_equal(np.asarray(drawn), np.asarray(expected))
    np.testing.assert_array_equal(np.asarray(_image(images["cat, as it is"])), np.asarray(visualize.as_images(x)[0]))


def _image(source: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))


def test_large_images_are_made_smaller() -> None:
    x = np.random.default_rng(0).uniform(size=(1, 300, 600, 3))
    page = Page(Report(comparison({"a": [1.0], "random": [0.0]}, x)).to_html())
    assert {(image["width"], image["height"]) for image in page.of("img")} == {("224", "112")}


def test_ids_are_coloured() -> None:
    x = np.array([[7, 3, 9], [1, 2, 3]])
    relevance = np.array([[1.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    text = Report(comparison({"a": [1.0, 2.0]}, x, relevance=relevance)).to_html()
    assert '<span style="color:#ffffff;background:#67001f">7</span>' in text
    assert '<span style="color:#000000;background:#ffffff">3</span>' in text
    assert '<span style="color:#ffffff;background:#053061">9</span>' in text


def test_each_of_several_inputs_is_shown() -> None:
    x = {"images": np.random.default_rng(0).uniform(size=(2, 6, 5, 1)), "ids": np.array([[1, 2], [3, 4]])}
    page = Page(Report(comparison({"a": [1.0, 2.0], "random": [0.0, 0.1]}, x)).to_html())
    assert "Input images" in page.words
    assert "Input ids" in page.words
    assert len(page.of("img")) == 6


def test_of_many_samples_and_analyzers_the_first_and_the_best_are_shown() -> None:
    scores = {f"a{number}": [float(number)] * 11 for number in range(14)}
    page = Page(Report(comparison({**scores, "random": [0.5] * 11})).to_html())
    assert "The first 8 of 11 samples." in page.words
    assert "The best 8 analyzers and the controls." in page.words
    shown = {image["alt"].split(",")[0] for image in page.of("img")} - {f"sample {number}" for number in range(8)}
    assert shown == {f"map of a{number}" for number in range(6, 14)} | {"map of random"}
    assert page.words.count(" 0 of 11") >= 1  # the table has them all


def test_the_same_comparison_makes_the_same_figures(tmp_path: pathlib.Path) -> None:
    report = Report(comparison(CLEAR))
    report.save(tmp_path / "report.html")
    first, second = (tmp_path / "report.html").read_text(encoding="utf-8"), report.to_html()
    assert re.findall(r"<svg.*?</svg>", first, re.S) == re.findall(r"<svg.*?</svg>", second, re.S)
    assert list(tmp_path.iterdir()) == [tmp_path / "report.html"]


def test_figures_have_the_colours_of_the_page() -> None:
    text = Report(comparison(CLEAR)).to_html()
    drawings = "".join(re.findall(r"<svg.*?</svg>", text, re.S))
    assert "currentColor" in drawings
    assert "#010203" not in drawings
    assert "#ffffff" not in drawings
    assert "#000000" not in drawings


@pytest.mark.slow("a browser")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_without_asking_for_anything(tmp_path: pathlib.Path, browser: Any, scheme: str) -> None:
    found = comparison({**CLEAR, "edges": [0.0, 0.1, 5.0, -3.0]}, metrics=(FALL, CONCENTRATION))
    Report(found).save(tmp_path / "report.html")
    context = browser.new_context(color_scheme=scheme, viewport={"width": 360, "height": 700}, offline=True)
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    address = (tmp_path / "report.html").as_uri()
    page.goto(address)
    assert [url for url in asked if url != address and not url.startswith("data:")] == []
    # On a phone what is wide moves within its box, and not the page.
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")
    names = "[...document.querySelectorAll('.scores tbody th')].map((each) => each.firstChild.textContent)"
    first = "document.querySelector('.scores tbody th').textContent"
    assert page.evaluate(first).startswith("lrp.z")
    page.get_by_role("button", name="analyzer").first.click()
    assert page.evaluate(names) == ["edges", "gradient", "lrp.", "random"]
    page.get_by_role("button", name="analyzer").first.click()
    assert page.evaluate(first).startswith("random")
    page.get_by_role("button", name=re.compile("region_")).click()
    assert page.evaluate(first).startswith("lrp.z")
    page.get_by_role("button", name=re.compile("better than random")).click()
    page.get_by_role("button", name=re.compile("better than random")).click()
    last = "[...document.querySelectorAll('.scores tbody th')].at(-1).textContent"
    assert page.evaluate(last).startswith("random")  # which has no number, and is last in either order
    assert complaints == []
    context.close()
