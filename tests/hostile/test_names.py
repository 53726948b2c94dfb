"""Names from files are shown, in tables, messages, figures and pages: they colour, move and run nothing."""

from __future__ import annotations

import ast
import pathlib
import warnings
from typing import Any

import keras
import numpy as np
import pytest
from rich.console import Console

import kerasexplain
from kerasexplain import UnsupportedModelError, create_analyzer, visualize
from kerasexplain.cli.command import main
from kerasexplain.evaluation.comparing import Comparing
from kerasexplain.evaluation.report.record import Record
from kerasexplain.evaluation.report.report import Report
from kerasexplain.evaluation.report.resuming import evaluate
from kerasexplain.metrics import Sparseness
from kerasexplain.tables import render
from kerasexplain.tokens import token_relevances

pytestmark = pytest.mark.once("names are shown the same way whatever computes")

#: Clears the screen, titles the window, writes backwards, is markup of rich, of HTML, and a formula of matplotlib.
NAME = "\x1b[2J\x1b]0;mine\x07\u202e[red]:smile:<script>alert(1)</script>$\\frac{$"
SHOWN = r"\x1b[2J\x1b]0;mine\x07\u202e[red]:smile:<script>alert(1)<_script>$\frac{$"
X = np.random.default_rng(0).uniform(size=(2, 4, 4, 1)).astype("float32")


def network(last: Any = None) -> keras.Model:
    """A network with such names; Keras allows all but the slash."""
    keras.utils.set_random_seed(0)
    name = NAME.replace("/", "_")
    inputs = keras.Input((4, 4, 1), name="x")
    x = keras.layers.Flatten(name="flat")(inputs)
    x = keras.layers.Dense(3, name=name)(x)
    return keras.Model(inputs, keras.layers.Dense(2, last)(x), name=name)


def assert_harmless(text: str) -> None:
    assert all(c.isprintable() or c == "\n" for c in text), repr(text)


def test_tables_show_names_as_they_are() -> None:
    analyzer = create_analyzer("lrp.epsilon", network())
    for text in (str(analyzer), str(analyzer.explain(X, audit=True).audit), render(NAME, [(NAME, "left")], [], [NAME])):
        assert_harmless(text)
        assert SHOWN in text or SHOWN.replace("_script", "/script") in text


def test_errors_and_warnings_show_names_as_they_are() -> None:
    model = network()
    with pytest.raises(ValueError, match="no operation") as raised:
        create_analyzer("lrp.epsilon", model).explain(X, layers=["none"])
    assert_harmless(str(raised.value))
    error = UnsupportedModelError(f"the layer {NAME}\nand another", 3)
    assert_harmless(str(error.args[0]))
    assert error.args[1] == 3
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        create_analyzer("lrp.epsilon", model)._remark("a remark")
    assert_harmless(str(caught[0].message))
    assert SHOWN in str(caught[0].message)


def test_the_command_shows_names_as_they_are(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    network().save("m.keras")
    name = NAME.replace("/", "_")
    np.save(f"{name}\n.npy", X)
    pathlib.Path("labels.txt").write_text(f"{NAME}\n{NAME}\n", encoding="utf-8")
    arguments = ["m.keras", f"{name}\n.npy", "-a", "lrp.epsilon", "--audit", "--labels", "labels.txt"]
    assert main(["explain", *arguments, "-o", "o.png"]) == 0
    assert main(["rules", "m.keras", "-a", "lrp.epsilon"]) == 0
    assert main(["rules", f"{name}.keras", "-a", "lrp.epsilon"]) == 2
    assert main(["explain", *arguments, "-o", "o.npy", "--target", NAME + "x"]) == 2
    with pytest.raises(SystemExit):
        main(["rules", "m.keras", "-a", "lrp.epsilon", NAME])
    printed = capsys.readouterr()
    for text in (printed.out, printed.err):
        assert_harmless(text)
        assert text.count(r"\x1b[2J") > 2


def test_the_command_prints_by_one_function_alone() -> None:
    for path in (pathlib.Path(kerasexplain.__file__).parent / "cli").glob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        printing = [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]
        assert len(printing) == (path.name == "arguments.py"), path.name


def test_figures_take_names_for_no_formulas() -> None:
    visualize.grid(X, {NAME: X}, labels=[NAME, "$a"])  # which raised an error


def test_pages_hold_names_as_text(tmp_path: pathlib.Path) -> None:
    model = network()
    run = Comparing.of(model, X, ["gradient"], [Sparseness()])

    finished = evaluate(run, Record(tmp_path / "work", run, {}), limits={}, told=lambda line: None)
    comparison = run.comparison([each.trial for each in finished])
    pages = [Report.of(comparison, finished, model, titles=[NAME] * 2, command=NAME).to_html()]
    pages += [comparison._repr_html_()]
    tokens = token_relevances(np.ones((1, 1)), [[NAME]], titles=[NAME])
    pages += [tokens.to_html(), tokens._repr_html_()]
    for page in pages:
        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page


def test_tokens_on_a_terminal_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = token_relevances(np.ones((1, 1)), [[NAME]], titles=[NAME])
    Console(force_terminal=True, color_system="truecolor", width=500).print(tokens)
    printed = capsys.readouterr().out
    assert printed.count(r"\x1b[2J\x1b]0;mine\x07\u202e[red]:smile:") == 2
    assert "\x1b[2J" not in printed
    assert "\x07" not in printed
