"""The command `evaluate`: what it measures, that it continues, and how it says what is wrong."""

from __future__ import annotations

import html
import json
import pathlib
import re
import signal
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")

import kerasexplain
from kerasexplain.cli.command import main
from kerasexplain.foundation import digests
from kerasexplain.metrics import RegionPerturbation, RelevanceInside

pytestmark = pytest.mark.formula

FALL = "region_perturbation:fill=mean,steps=3"
LABEL = RegionPerturbation(fill="mean", steps=3).label


def network(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6, 5, 1), name="image")
    x = keras.layers.Conv2D(3, 3, activation="relu", name="conv")(inputs)
    x = keras.layers.Flatten(name="flat")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(x), name="small")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Models and data."""
    folder = tmp_path_factory.mktemp("evaluate")
    network(1).save(folder / "small.keras")
    network(2).save(folder / "other.keras")
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(5, 6, 5, 1)).astype("float32")
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", 1 - x)
    masks = x[..., 0] > 0.5
    np.save(folder / "masks.npy", masks)
    np.save(folder / "four.npy", masks[:4])
    np.save(folder / "numbers.npy", 3.0 * masks)
    (folder / "labels.txt").write_text("tench, Tinca tinca\ngoldfish\nshark\n")
    return folder


def evaluate(out: pathlib.Path, arguments: str = "", model: str = "small.keras", data: str = "x.npy",
             analyzers: str = "gradient lrp.epsilon", metrics: str = FALL) -> int:  # fmt: skip
    given = ["evaluate", model, data, "--analyzers", *analyzers.split(), "--metrics", *metrics.split()]
    return main([*given, *arguments.split(), "-o", str(out / "report.html")])


def page(out: pathlib.Path) -> str:
    return (out / "report.html").read_text(encoding="utf-8")


def scores(out: pathlib.Path) -> Any:
    (data,) = re.findall(r'<script type="application/json" id="scores">(.*?)</script>', page(out))
    return json.loads(data)["scores"]


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What was said on stderr, without the seconds."""
    return re.sub(r": [\d.]+ s", ": now", capsys.readouterr().err).splitlines()


def test_the_page_holds_what_the_library_measures(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(there, "--masks masks.npy --samples 4 --target goldfish --labels labels.txt",
                    analyzers="lrp.epsilon:epsilon=0.25 lrp.z", metrics=f"{FALL} relevance_inside") == 0  # fmt: skip
    said = capsys.readouterr()
    model, x = keras.saving.load_model("small.keras", compile=False), np.load("x.npy")
    analyzer = kerasexplain.create_analyzer("lrp.epsilon", model, epsilon=0.25)
    metrics: list[Any] = [RegionPerturbation(fill="mean", steps=3), RelevanceInside()]
    for metric in metrics:
        expected = metric(analyzer, x[:4], 1, masks=np.load("masks.npy")[:4], background=x)
        np.testing.assert_array_equal(scores(there)["lrp.epsilon:epsilon=0.25"][metric.label], expected.values)
    assert set(scores(there)) == {"lrp.epsilon:epsilon=0.25", "lrp.z", "random", "edges"}
    assert "x-0: goldfish, " in page(there)
    assert "--analyzers lrp.epsilon:epsilon=0.25 lrp.z" in page(there)
    assert re.search(r"lrp\.z +\S+ ± \S+ +\d of 4", said.out)
    assert "Of 2 analyzers, lrp." in said.out
    lines = said.err.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        "1/4 random", "2/4 edges", "3/4 lrp.epsilon:epsilon=0.25", "4/4 lrp.z"
    ]  # fmt: skip
    assert all(re.search(r": \d+\.\d s$", line) for line in lines)


def test_a_second_run_continues(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(there, analyzers="gradient") == 0
    first = scores(there)
    told(capsys)
    assert evaluate(there) == 0
    work = str(there / "report.work")
    assert told(capsys) == [
        f"continuing: 3 of 4 analyzers are finished in {work!r}",
        "1/4 random: finished before",
        "2/4 edges: finished before",
        "3/4 gradient: finished before",
        "4/4 lrp.epsilon: now",
    ]
    assert {name: scores(there)[name] for name in first} == first
    assert page(there).count("map of gradient, x-0") == 1  # maps are kept, too

    # Another metric is all that is new; and one that is not asked for any more is kept for when it is.
    assert evaluate(there, metrics="sparseness") == 0
    lines = told(capsys)
    assert lines[0] == "new, or changed: sparseness; 4 finished analyzers are put to it, and keep other scores"
    assert lines[1:] == [
        f"{n}/4 {name}: now" for n, name in enumerate(("random", "edges", "gradient", "lrp.epsilon"), 1)
    ]
    assert set(scores(there)["gradient"]) == {"sparseness"}
    assert evaluate(there, metrics=f"{FALL} sparseness") == 0
    assert told(capsys)[0] == f"continuing: 4 of 4 analyzers are finished in {work!r}"
    assert {name: scores(there)[name][LABEL] for name in first} == {name: first[name][LABEL] for name in first}


def test_what_has_changed_starts_anew_and_is_told(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(there, analyzers="gradient") == 0
    first = scores(there)
    told(capsys)
    assert evaluate(there, analyzers="gradient", model="other.keras") == 0
    lines = told(capsys)
    assert re.fullmatch(r"changed: the model(, what is explained)?; 3 finished analyzers start anew", lines[0])
    assert lines[3] == "3/3 gradient: now"
    assert scores(there) != first
    assert evaluate(there, "--target 0", analyzers="gradient", model="other.keras") == 0
    assert told(capsys)[0] == "changed: what is explained; 3 finished analyzers start anew"
    assert evaluate(there, "--target 0", analyzers="gradient", model="other.keras", data="y.npy") == 0
    assert told(capsys)[0] == "changed: the data; 3 finished analyzers start anew"
    # As it was in the beginning, it gives the same numbers.
    assert evaluate(there, analyzers="gradient") == 0
    assert scores(there) == first


def test_masks_count_for_the_metrics_that_need_them(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(there, "--masks masks.npy", analyzers="gradient", metrics=f"{FALL} pointing_game") == 0
    first = scores(there)
    np.save(there / "masks.npy", ~np.load("masks.npy"))
    told(capsys)
    assert evaluate(there, f"--masks {there / 'masks.npy'}", analyzers="gradient", metrics=f"{FALL} pointing_game") == 0
    assert told(capsys)[0].startswith("new, or changed: pointing_game; 3 finished analyzers")
    for name in first:
        assert scores(there)[name][LABEL] == first[name][LABEL]
        np.testing.assert_array_equal(scores(there)[name]["pointing_game"], 1 - np.array(first[name]["pointing_game"]))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda old: old[:-100], "damaged or cut off"),
        (lambda old: old[:5000] + bytes([old[5000] ^ 1]) + old[5001:], "damaged or cut off"),
        (lambda old: b"", "it is empty"),
        (lambda old: b"something else", "no file of kerasexplain's"),
    ],
)
def test_a_damaged_file_is_told_by_name_and_not_used(
    there: pathlib.Path, capsys: pytest.CaptureFixture[str], damage: Any, said: str
) -> None:
    assert evaluate(there, analyzers="gradient") == 0
    first, file = scores(there), there / "report.work" / "gradient.h5"
    file.write_bytes(damage(file.read_bytes()))
    told(capsys)
    assert evaluate(there, analyzers="gradient") == 0
    lines = told(capsys)
    assert lines[0].startswith("continuing: 2 of 3 analyzers")
    assert lines[1].startswith(f"{str(file)!r} cannot be used: ")
    assert said in lines[1]
    assert lines[1].endswith("it is made anew")
    assert lines[-1] == "3/3 gradient: now"
    assert scores(there) == first
    assert evaluate(there, analyzers="gradient") == 0
    assert told(capsys)[-1] == "3/3 gradient: finished before"


def test_another_analyzers_file_is_not_used(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(there, analyzers="gradient lrp.z") == 0
    first, work = scores(there), there / "report.work"
    (work / "lrp.z.h5").replace(work / "gradient.h5")
    told(capsys)
    assert evaluate(there, analyzers="gradient lrp.z") == 0
    assert "changed: the analyzer's options; 1 finished analyzers start anew" in told(capsys)
    assert scores(there) == first


@pytest.mark.compiled
def test_killed_in_the_middle_nothing_that_was_finished_is_lost(
    there: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out in ("killed", "whole"):
        (there / out).mkdir()
    command = [
        *(sys.executable, "-m", "kerasexplain.cli", "evaluate", "small.keras", "x.npy"),
        *("--analyzers", "gradient", "lrp.gamma", "--metrics", FALL, "-o", str(there / "killed" / "report.html")),
    ]
    started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert started.stderr is not None
    lines = []
    for line in started.stderr:  # until the first that is finished: the next is being computed
        lines.append(line)
        if line.startswith("1/4 random: "):
            started.send_signal(signal.SIGKILL)
            break
    started.wait()
    started.stderr.close()
    assert started.returncode == -signal.SIGKILL, "".join(lines)
    names = {file.name for file in (there / "killed" / "report.work").iterdir()}
    assert "random.h5" in names
    assert "lrp.gamma.h5" not in names
    assert not (there / "killed" / "report.html").exists()

    assert evaluate(there / "killed", analyzers="gradient lrp.gamma") == 0
    lines = told(capsys)
    assert "analyzers are finished in" in lines[0]
    assert lines[1] == "1/4 random: finished before"
    assert lines[4] == "4/4 lrp.gamma: now"
    assert evaluate(there / "whole", analyzers="gradient lrp.gamma") == 0
    assert told(capsys)[0] == "1/4 random: now"
    assert scores(there / "killed") == scores(there / "whole")

    def images(out: str) -> list[str]:
        return re.findall(r'src="(data:image/png[^"]+)"', page(there / out))

    assert images("killed") == images("whole")


def test_what_does_not_suit_is_skipped_and_told(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = "lrp.epsilon:input_range=(0,0.1)"  # a promise that the data do not keep
    assert evaluate(there, analyzers=broken) == 0
    told(capsys)
    assert evaluate(there, analyzers=broken) == 0
    lines = told(capsys)
    assert lines[0].startswith("continuing: 3 of 3")
    assert lines[3].startswith(f"3/3 {broken}: finished before, skipped: ")
    assert html.escape(lines[3].partition("skipped: ")[2]) in page(there)
    # What it may take is another, and it is tried again.
    assert evaluate(there, "--seconds 50", analyzers=broken) == 0
    assert "changed: the limits of time or batch size; 1 finished analyzers start anew" in told(capsys)


def test_what_takes_too_long_is_skipped_but_not_the_controls(
    there: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(there, "--seconds 0.000001 --batch-size 2", analyzers="gradient") == 0
    said = capsys.readouterr()
    assert "3/3 gradient: " in said.err
    assert "its maps would take" in said.err
    assert f"No analyzer has scores under {LABEL}." in said.out
    assert set(scores(there)) == {"random", "edges"}
    assert "No analyzer has scores" in page(there)
    assert evaluate(there, "--seconds 0 --batch-size 2", analyzers="gradient") == 0
    lines = told(capsys)
    assert lines[0] == f"continuing: 2 of 3 analyzers are finished in {str(there / 'report.work')!r}"
    assert lines[-1] == "3/3 gradient: now"


def test_an_analyzer_is_chosen_and_saved(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(there / "more.npy", np.random.default_rng(1).uniform(size=(9, 6, 5, 1)).astype("float32"))
    out = there / "analyzer.json"
    assert (
        main(["choose", "small.keras", str(there / "more.npy"), "--seconds", "1", "--target", "1", "-o", str(out)]) == 0
    )
    said = capsys.readouterr().out
    model = keras.saving.load_model("small.keras", compile=False)
    analyzer = kerasexplain.load_analyzer(out, model)
    assert analyzer.analyze(np.load("x.npy"), 1).shape == (5, 6, 5, 1)
    assert "analyzers tried on small" in said
    assert f"written: {out}" in said


def test_versions_count() -> None:
    was, now = (
        {"versions": {"keras": "3.14", "scipy": "1"}},
        {"versions": {"keras": "3.15", "numpy": "2", "scipy": "1"}},
    )
    assert digests.changed(was, now) == ["keras (was 3.14, is 3.15)", "numpy (was absent, is 2)"]
    assert set(digests.versions()) >= {"kerasexplain", "keras", "numpy", keras.backend.backend()}


def test_a_model_is_known_by_what_it_is_and_not_by_its_file(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    model = keras.saving.load_model(folder / "small.keras", compile=False)
    model.save(tmp_path / "again.keras")
    again = keras.saving.load_model(tmp_path / "again.keras", compile=False)
    assert digests.of_model(again) == digests.of_model(model)
    again.weights[0].assign_add(np.full(again.weights[0].shape, 1e-7))
    assert digests.of_model(again) != digests.of_model(model)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"metrics": "region_pertubation"}, "no metric 'region_pertubation'. Did you mean 'region_perturbation'"),
        ({"metrics": "region_perturbation:stebs=3"}, "no option 'stebs'. Did you mean 'steps'"),
        ({"metrics": "region_perturbation:steps=many"}, "'region_perturbation': steps must be an integer"),
        ({"metrics": "region_perturbation:fill=blue"}, "Did you mean 'blur'"),
        ({"metrics": "region_perturbation:"}, "no options follow the colon"),
        ({"metrics": "region_perturbation:steps"}, "--metrics region_perturbation: takes KEY=VALUE, got 'steps'"),
        ({"metrics": "region_perturbation:steps=2,steps=3"}, "an option is given twice"),
        ({"metrics": "sparseness:steps=2"}, "the metric 'sparseness' has no option 'steps'. It has none."),
        ({"metrics": "sparseness sparseness"}, "two metrics are the same"),
        ({"metrics": "region_perturbation:steps=99"}, "nothing can be compared: an input of 30 parts has 30 steps"),
        ({"metrics": "pointing_game"}, "'pointing_game' compares maps with masks of the object"),
        ({"analyzers": "lrp.epsilo"}, "no analyzer 'lrp.epsilo'. Did you mean 'lrp.epsilon'"),
        ({"analyzers": "lrp.epsilon:epsilo=1"}, "'lrp.epsilon' has no option 'epsilo'. Did you mean 'epsilon'"),
        ({"analyzers": "lrp.z:explain=activation"}, "'lrp.z' cannot have an option 'explain' of its own"),
        ({"analyzers": "deep_taylor.bounded"}, "'deep_taylor.bounded' needs low= and high="),
        ({"analyzers": "lrp.z lrp.z"}, "'lrp.z' is given twice"),
        ({"arguments": "--masks four.npy"}, "'four.npy' holds 4 masks for 5 samples"),
        ({"arguments": "--masks labels.txt"}, "--masks 'labels.txt' holds no array that can be read"),
        ({"arguments": "--masks numbers.npy", "metrics": "pointing_game"}, "masks hold truth values"),
        ({"arguments": "--samples 0"}, "samples must be an integer of at least 1"),
        ({"arguments": "--seconds -1"}, "--seconds must not be negative"),
        ({"arguments": "--target shark"}, "there are no --labels that it could be one of"),
        ({"arguments": "--target 7"}, "7"),
        ({"model": "nothing.keras"}, "there is no file 'nothing.keras'"),
    ],
)
def test_errors_are_told_in_one_line(
    there: pathlib.Path, capsys: pytest.CaptureFixture[str], arguments: dict[str, str], said: str
) -> None:
    assert evaluate(there, **arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("kerasexplain: error: ")
    assert said in line
    assert not (there / "report.html").exists()


def test_where_the_page_cannot_be_written_is_told_first(
    there: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for out, said in (
        (there / "report.pdf", "--out must end in .html"),
        (there / "no" / "report.html", "there is no folder"),
    ):
        assert main(["evaluate", "nothing.keras", "x.npy", "-o", str(out)]) == 2
        assert said in capsys.readouterr().err
    (there / "report.work").write_text("a file")
    assert evaluate(there) == 2
    assert "kept in the folder" in capsys.readouterr().err


def test_values_may_hold_commas_within_brackets(there: pathlib.Path) -> None:
    assert evaluate(there, analyzers="gradient", metrics="region_perturbation:size=(2,5),fill=low") == 0
    assert list(scores(there)["gradient"]) == ["region_perturbation(fill='low', size=(2, 5))"]


def test_metrics_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--metrics"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.split()[:1] == ["deletion"]]
    assert "lower" in line
    assert "The area under the explained value" in line
    named = {
        kind.name
        for kind in vars(kerasexplain.metrics).values()
        if hasattr(kind, "needs_masks") and hasattr(kind, "name")
    }
    assert {line.split()[0] for line in lines if line.startswith("  ") and line.split()} - {"name"} == named


def test_an_analyzer_that_fails_is_skipped(
    there: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever it raises: what has taken long to find is not lost."""
    from kerasexplain.analyzers.gradient import Gradient

    def failing(*_: Any) -> None:
        raise RuntimeError("out of something")

    monkeypatch.setattr(Gradient, "attribution", failing)
    arguments = ["evaluate", "small.keras", "x.npy", "-o", "page.html", "--metrics", "sparseness", "--analyzers"]
    assert main([*arguments, "gradient", "lrp.epsilon"]) == 0
    assert "gradient: RuntimeError: out of something" in capsys.readouterr().out
