"""Relevance of tokens: what is shown is what was found, readable on every ground, whatever the tokens hold."""

from __future__ import annotations

import html.parser
import io
import pathlib
import re
from typing import Any

import keras
import numpy as np
import pytest
import rich.console
from keras import layers

from kerasexplain import Explanation, create_analyzer
from kerasexplain.tokens import TokenRelevances, _colour, _ink

VOCABULARY = ["<pad>", "<unk>", "good", "bad", "film"]
WHITE, RED, BLUE = "#ffffff", "#67001f", "#053061"


def explanation(relevance: Any, neuron: Any = None) -> Explanation:
    samples = len(np.asarray(relevance)) if not isinstance(relevance, (dict, list)) else 2
    neuron = np.zeros(samples, int) if neuron is None else neuron
    return Explanation(relevance, {}, {}, None, neuron, np.full(samples, 1.5), {"analyzer": "lrp.z"})


def tokens(*words: str, relevance: Any = None) -> TokenRelevances:
    relevance = np.linspace(-1, 1, len(words)) if relevance is None else np.asarray(relevance)
    return explanation(relevance[None]).tokens([list(words)])


def terminal(shown: Any, **options: Any) -> str:
    console = rich.console.Console(file=io.StringIO(), force_terminal=True, width=200, **options)
    console.print(shown)
    return console.file.getvalue()  # type: ignore[attr-defined]


class Tokenizer:
    """Names ids as the tokenizers of keras_hub do, and is callable as they are."""

    def id_to_token(self, number: int) -> str:
        return VOCABULARY[number]

    def __call__(self, text: str) -> list[int]:
        return [VOCABULARY.index(word) for word in text.split()]


class Page(html.parser.HTMLParser):
    """The text of a page, and the names of its elements."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text, self.elements = "", set()
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_sample_has_its_tokens_and_what_is_left_out_is_kept_as_rest() -> None:
    relevance = np.array([[1.0, 2.0, 4.0], [-1.0, 0.0, 8.0], [1.0, 1.0, 1.0]], "float32")
    found = explanation(relevance).tokens([["a", "b", "c"], ("d",), np.array(["e", "f"])])
    assert [sample.tokens for sample in found] == [("a", "b", "c"), ("d",), ("e", "f")]
    assert [sample.relevance.tolist() for sample in found] == [[1.0, 2.0, 4.0], [-1.0], [1.0, 1.0]]
    assert [sample.rest for sample in found] == [0.0, 8.0, 1.0]
    assert [sample.title for sample in found] == ["output 0: 1.5"] * 3
    assert list(found[0]) == [("a", 1.0), ("b", 2.0), ("c", 4.0)]
    assert [len(sample) for sample in found[1:]] == [1, 2]
    assert isinstance(found[1:], TokenRelevances)


def test_axes_beyond_the_tokens_are_summed(rng: np.random.Generator) -> None:
    relevance = rng.normal(size=(2, 3, 4, 5))
    found = explanation(relevance).tokens([["a", "b", "c"]] * 2)
    np.testing.assert_allclose([sample.relevance for sample in found], relevance.sum(axis=(2, 3)))


@pytest.mark.parametrize(
    "words",
    [
        VOCABULARY,
        np.array(VOCABULARY),
        VOCABULARY.__getitem__,
        Tokenizer(),
    ],
    ids=["list", "array", "function", "tokenizer"],
)
def test_ids_are_named_and_padding_is_left_out_at_both_ends(words: Any) -> None:
    relevance = np.array([[1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    ids = np.array([[2, 4, 3, 0, 0], [0, 2, 0, 3, 0], [0, 0, 0, 0, 0]])
    first, second, third = explanation(relevance).tokens(words, ids, padding=0)
    assert first.tokens == ("good", "film", "bad")
    assert first.rest == 9.0
    assert second.tokens[::2] == ("good", "bad")  # padding between words stays, and its relevance
    assert second.relevance.tolist() == [2.0, 3.0, 4.0]
    assert third.tokens == ()
    assert third.rest == 5.0


@pytest.mark.tensorflow("these layers need it")
@pytest.mark.parametrize("name", ["StringLookup", "TextVectorization"])
def test_ids_are_named_by_the_layer_that_made_them(name: str) -> None:
    options = {"oov_token": "<unk>", "mask_token": "<pad>"} if name == "StringLookup" else {}
    layer = getattr(layers, name)(vocabulary=VOCABULARY[2:], **options)
    test_ids_are_named_and_padding_is_left_out_at_both_ends(layer)
    with pytest.raises(ValueError, match="needs ids="):
        explanation(np.ones((2, 3))).tokens(layer)


def test_without_a_padding_id_everything_is_shown() -> None:
    (found,) = explanation(np.ones((1, 3))).tokens(VOCABULARY, [[2, 0, 0]])
    assert found.tokens == ("good", "<pad>", "<pad>")


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (["good", "film"], {}, r"got 2 strings, the first 'good'.*or pass ids="),
        ("good film", {}, r"one list of strings per sample, got str"),
        (None, {}, r"got NoneType"),
        (VOCABULARY.__getitem__, {}, r"needs ids="),
        ([["good"]], {}, r"2 samples, but 1 lists of tokens"),
        ([["good"], ["a", "b", "c", "d"]], {}, r"sample 1 has 4 tokens, but only 3 positions"),
        ([["good"], [3]], {}, r"sample 1 holds 3 \(int\)"),
        ([["good"], ["bad"]], {"padding": 0}, r"padding= is an id, and is found in ids="),
        ([["good"], ["bad"]], {"titles": ["one"]}, r"2 samples, but 1 titles"),
        ([["good"], ["bad"]], {"which": "a"}, r"which='a' chooses among inputs, but the model was given one"),
        (VOCABULARY, {"ids": [[1, 2], [1, 2]]}, r"ids must be integers of shape \(2, 3\).*got int64 \(2, 2\)"),
        (VOCABULARY, {"ids": np.ones((2, 3))}, r"got float64 \(2, 3\)"),
        (VOCABULARY, {"ids": [[1, 2, 5]] * 2}, r"id 5 is not in the vocabulary of 5 words"),
        (VOCABULARY, {"ids": [[1, 2, -1]] * 2}, r"id -1 is not in the vocabulary"),
        (str, {"ids": np.ones((2, 3), int), "titles": []}, r"2 samples, but 0 titles"),
        (lambda i: i, {"ids": np.ones((2, 3), int)}, r"id 1 was named 1 \(int\), which is no string"),
        ([b"a", b"b"], {"ids": np.ones((2, 3), int)}, r"id 1 was named b'b' \(bytes\)"),
        ({0: "a"}, {"ids": np.ones((2, 3), int)}, r"list of words, a function.*got dict"),
    ],
)
def test_what_does_not_fit_is_refused(words: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        explanation(np.ones((2, 3))).tokens(words, **options)


@pytest.mark.parametrize(
    ("relevance", "message"), [(np.ones(2), r"got \(2,\)"), (np.array([[np.nan], [1.0]]), "NaN or infinite")]
)
def test_relevance_that_is_not_that_of_tokens_is_refused(relevance: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        explanation(relevance).tokens([["a"], ["b"]])


def test_one_of_several_inputs_is_chosen() -> None:
    question, text = keras.Input((2,), dtype="int32", name="question"), keras.Input((3,), dtype="int32", name="text")
    embed = layers.Embedding(5, 4)
    x = layers.Concatenate(axis=1)([embed(question), embed(text)])
    model = keras.Model([question, text], layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))
    ids = {"question": np.array([[2, 3], [4, 0]]), "text": np.array([[1, 2, 3], [4, 0, 0]])}
    for given in (ids, list(ids.values())):
        found = create_analyzer("lrp.z", model).explain(given)
        key: Any = "text" if isinstance(given, dict) else 1
        for own in (given, ids["text"]):
            shown = found.tokens(VOCABULARY, own, padding=0, which=key)
            assert [sample.tokens for sample in shown] == [("<unk>", "good", "bad"), ("film",)]
            np.testing.assert_allclose(shown[0].relevance, found.relevance[key][0], rtol=1e-6)
        with pytest.raises(ValueError, match=r"several inputs: choose one with which=, of \[.*\]"):
            found.tokens(VOCABULARY, given)
        with pytest.raises(ValueError, match=r"there is no input 'title'; which= is one of"):
            found.tokens(VOCABULARY, given, which="title")


def test_tokens_of_embedded_text_add_up_like_those_of_ids(tmp_path: pathlib.Path) -> None:
    ids, vectors = keras.Input((3,), dtype="int32"), keras.Input((3, 4))
    embed, head = layers.Embedding(5, 4), keras.Sequential([layers.Flatten(), layers.Dense(2)])
    whole, upper = keras.Model(ids, head(embed(ids))), keras.Model(vectors, head(vectors))
    x = np.array([[2, 3, 4], [3, 4, 0]])
    of_ids = create_analyzer("lrp.z", whole).explain(x)
    of_vectors = create_analyzer("lrp.z", upper).explain(np.asarray(embed(x)))
    of_vectors.save(tmp_path / "explanation.h5")
    for found in (of_vectors, Explanation.load(tmp_path / "explanation.h5")):
        for one, other in zip(found.tokens(VOCABULARY, x), of_ids.tokens(VOCABULARY, x), strict=True):
            assert one.tokens == other.tokens
            assert one.title == other.title
            np.testing.assert_allclose(one.relevance, other.relevance, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("neuron", "title"),
    [
        (np.array([3, 1]), "output 3: 1.5"),
        (np.array([[3, 1], [2, 0]]), "output [3, 1]: 1.5"),
        (np.array([0.5, -0.5]), "weighted outputs: 1.5"),
        ("all", "all outputs: 1.5"),
    ],
)
def test_the_title_says_what_was_explained(neuron: Any, title: str) -> None:
    assert explanation(np.ones((2, 1)), neuron).tokens([["a"], ["b"]])[0].title == title


def test_text_shows_the_numbers_to_the_decimal_of_the_largest() -> None:
    assert str(tokens("fine", "but", "dull", relevance=[0.464, -0.001, -0.2])) == (
        "output 0: 1.5\nfine(+0.46) but(+0.00) dull(-0.20)"
    )
    assert str(tokens("a", "b", relevance=[1234.5, -3.0])).endswith("a(+1234) b(-3)")
    assert str(tokens("a", "b", relevance=[0.0, 0.0])).endswith("a(+0.0) b(+0.0)")
    many = str(explanation(np.ones((2, 60))).tokens([["word"] * 60] * 2))
    assert len(many.splitlines()) == 5  # a title and a line for each, and a gap: nothing is wrapped


def test_colours_are_those_of_heatmaps() -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.colors import to_rgb

    from kerasexplain.visualize import RELEVANCE

    for strength in np.linspace(-1, 1, 33):
        # the map has 257 colours, each of which covers a little more than what it stands for
        np.testing.assert_allclose(to_rgb(_colour(strength)), RELEVANCE((strength + 1) / 2)[:3], atol=0.02)
    sample = tokens("a", "b", "c", relevance=[2.0, 0.0, -2.0])[0]
    assert [background for _, background in sample.colours] == [RED, WHITE, BLUE]


def test_every_word_can_be_read() -> None:
    def luminance(colour: str) -> float:
        c = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        return float(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])

    for strength in np.linspace(-1, 1, 201):
        background = _colour(strength)
        low, high = sorted([luminance(background), luminance(_ink(background))])
        assert (high + 0.05) / (low + 0.05) >= 4.5, (strength, background)  # WCAG 2, level AA


def test_terminals_show_colours_and_without_them_numbers() -> None:
    shown = tokens("bad", "film", "good", relevance=[-2.0, 0.0, 2.0])
    coloured = terminal(shown, color_system="truecolor")
    for colour, word in ((BLUE, "bad"), (WHITE, "film"), (RED, "good")):
        r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        assert re.search(rf"\x1b\[[\d;]*48;2;{r};{g};{b}m{word}\x1b\[0m", coloured), word
    assert "against" in coloured
    assert "(+2.0)" not in coloured
    for options in ({"color_system": None}, {"color_system": "truecolor", "no_color": True}):
        plain = terminal(shown, **options)
        assert "bad(-2.0) film(+0.0) good(+2.0)" in plain
        assert "against" not in plain
    assert "\x1b[" in terminal(shown, color_system="standard")


def test_the_legend_tells_the_scale() -> None:
    shown = tokens("a", "b", relevance=[0.25, -3.14159])
    assert "full colour: 3.14\n" in terminal(shown[0], color_system="truecolor")
    assert "full colour: each text's largest |relevance|" in terminal(shown, color_system="truecolor")


NASTY = ("<script>alert(1)</script>", "a&b", '"quoted"', "[bold]x[/bold]", ":smile:", "{code}", "</div>", "naïve", "好")


def test_html_shows_every_token_as_it_is() -> None:
    shown = explanation(np.ones((1, len(NASTY)))).tokens([list(NASTY)], titles=["<b>title</b> & [red]"])
    for source in (shown.to_html(), shown._repr_html_(), shown[0].to_html()):
        page = Page(source)
        assert page.elements <= {"html", "head", "meta", "title", "body", "div", "span"}
        assert " ".join(NASTY) in page.text
        assert "<b>title</b> & [red]" in page.text
    assert shown.to_html().startswith("<!DOCTYPE html>")
    assert "<html" not in shown._repr_html_()
    assert "http" not in shown.to_html()  # nothing is fetched
    assert f"background-color: {RED}" in shown.to_html()


def test_html_has_the_number_of_a_token_under_the_pointer() -> None:
    shown = explanation(np.array([[1.0, -0.25, 0.00123]])).tokens([["good", '"bad"', "so"]])
    titled = re.findall(r'<span style="[^"]*" title="([^"]*)">([^<]*)</span>', shown.to_html())
    assert titled == [("+1", "good"), ("-0.25", "&quot;bad&quot;"), ("+0.00123", "so")]
    assert "title" not in terminal(shown, color_system="truecolor")


def test_what_would_steer_a_terminal_is_shown_instead() -> None:
    shown = tokens("\x1b[2Jgone", "two\nlines", "\x00", "a\u202eb")
    for text in (str(shown), terminal(shown, color_system="truecolor"), Page(shown.to_html()).text):
        for seen in (r"\x1b[2Jgone", r"two\nlines", r"\x00", r"a\u202eb"):
            assert seen in text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["un", "##believ", "##able", "film", "##"], "unbelievable film ##"),
        (["▁un", "believ", "able", "▁film"], "unbelievable film"),
        (["un", "believable", "Ġfilm", "."], "unbelievable film."),
        (["plain", "words", "."], "plain words ."),
    ],
)
def test_pieces_of_words_are_joined(words: list[str], text: str) -> None:
    shown = tokens(*words)
    assert text in Page(shown.to_html()).text
    assert shown[0].tokens == tuple(words)


def test_nothing_relevant_is_white_and_no_tokens_are_no_error() -> None:
    shown = explanation(np.zeros((2, 2))).tokens([["a", "b"], []])
    assert shown[0].colours == [("#000000", WHITE)] * 2
    assert shown[0].largest == 0.0
    assert shown[1].colours == []
    assert str(shown) == "output 0: 1.5\na(+0.0) b(+0.0)\n\noutput 0: 1.5"
    assert "output 0: 1.5" in Page(shown[1].to_html()).text
    assert "against" not in terminal(shown[1], color_system="truecolor")
