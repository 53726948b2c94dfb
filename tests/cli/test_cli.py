"""The command: what it writes."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

pytest.importorskip("matplotlib")

from PIL import Image

import kerasexplain.cli.command
from kerasexplain.cli.arguments import neuron_label
from kerasexplain.cli.command import main
from kerasexplain.cli.reading import samples
from kerasexplain.store import Store
from tests.helpers.commands import explain, model

pytestmark = pytest.mark.once("the command is the same whatever computes")


def test_list_names_every_analyzer_and_says_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in kerasexplain.analyzer_names():
        (line,) = (line for line in lines if line.split()[:1] == [name])
        assert len(line.split()) > 2


def test_list_shows_the_rules_of_every_analyzer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--rules"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")}
    assert set(kerasexplain.analyzer_names()) <= set(lines)
    assert "convolution: AlphaBeta(1.0, 0.0); kernel: Epsilon(1e-06)" in lines["lrp.epsilon_plus"]
    assert "nonlinearities: GuidedReLU()" in lines["guided_backprop"]
    assert "needs low, high" in lines["deep_taylor.bounded"]


def test_rules_shows_the_table(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "rgb.keras", "--analyzer", "lrp.epsilon", "--option", "epsilon=0.25"]) == 0
    expected = str(kerasexplain.create_analyzer("lrp.epsilon", model("rgb.keras"), epsilon=0.25))
    assert capsys.readouterr().out.rstrip() == expected


@pytest.mark.parametrize("name", ["grey.keras", "grey.h5"])
def test_arrays_are_explained_as_the_library_does(there: pathlib.Path, name: str) -> None:
    out = there / "relevance.npy"
    assert explain(name, "batch.npy", "-o", out, "--target", "-1", "--batch-size", "2", "--no-jit") == 0
    expected = kerasexplain.create_analyzer("lrp.epsilon", model(name)).analyze(np.load("batch.npy"), -1)
    np.testing.assert_allclose(np.load(out), expected, atol=1e-6)
    assert explain(name, "batch.npy", "-o", out, "--target", "-1", "--batch-size", "auto") == 0
    np.testing.assert_allclose(np.load(out), expected, atol=1e-6)


@pytest.mark.xla
def test_xla_may_compile(there: pathlib.Path) -> None:
    assert explain("grey.keras", "batch.npy", "-o", there / "xla.npy", "--jit") == 0
    assert explain("grey.keras", "batch.npy", "-o", there / "plain.npy") == 0
    np.testing.assert_allclose(np.load(there / "xla.npy"), np.load(there / "plain.npy"), atol=1e-6)


def test_options_reach_the_analyzer(there: pathlib.Path) -> None:
    out = there / "relevance.npy"
    arguments = ("-O", "low=0", "-O", "high=1", "-O", "input_layer_rule=Flat", "-O", "start=one")
    assert explain("grey.keras", "batch.npy", "-o", out, *arguments, analyzer="lrp.epsilon_gamma_box") == 0
    options = {"low": 0, "high": 1, "input_layer_rule": "Flat", "start": "one"}
    analyzer = kerasexplain.create_analyzer("lrp.epsilon_gamma_box", model("grey.keras"), **options)
    np.testing.assert_allclose(np.load(out), analyzer.analyze(np.load("batch.npy")), atol=1e-6)


def test_an_archive_holds_what_was_explained(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("grey.keras", "batch.npy", "sample.npy", "-o", there / "out.npz", "--target", "goldfish",
                   "--labels", "labels.txt") == 0  # fmt: skip
    assert "batch-0: goldfish, " in capsys.readouterr().out
    with np.load(there / "out.npz") as written:
        assert written["relevance"].shape == (6, 8, 6, 1)
        assert written["neuron"].tolist() == [1] * 6
        assert written["names"].tolist() == [*(f"batch-{i}" for i in range(5)), "sample"]
        x = np.concatenate([np.load("batch.npy"), np.load("sample.npy")[None, ..., None]])
        np.testing.assert_allclose(written["explained"], model("grey.keras").predict(x, verbose=0)[:, 1], rtol=1e-4)


def test_an_explanation_is_saved(there: pathlib.Path) -> None:
    assert explain("grey.keras", "batch.npy", "-o", there / "out.h5") == 0
    loaded = kerasexplain.Explanation.load(there / "out.h5")
    assert loaded.relevance.shape == (5, 8, 6, 1)
    assert loaded.analyzer["analyzer"] == "lrp.epsilon"


def test_many_inputs_go_to_a_store_that_can_be_resumed(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = there / "out.h5"
    assert explain("grey.keras", "batch.npy", "-o", out, "--resume", "--audit") == 0
    said = capsys.readouterr().out
    assert "(5 samples; kerasexplain.store.Store reads it)" in said
    assert "lost: " in said
    store = Store(out)
    assert store.keys.tolist() == [f"batch.npy:batch:{i}" for i in range(5)]
    x, _ = samples([pathlib.Path("batch.npy")], model("grey.keras"))
    expected = kerasexplain.create_analyzer("lrp.epsilon", model("grey.keras")).analyze(x)
    np.testing.assert_array_equal(store.relevance, expected)
    before = out.read_bytes()
    assert explain("grey.keras", "batch.npy", "-o", out, "--resume") == 0
    assert out.read_bytes() == before
    assert explain("grey.keras", "bytes.npy", "-o", out, "--resume") == 2
    assert "cannot be resumed" in capsys.readouterr().err
    assert explain("rgb.keras", "images", "-o", there / "rgb.h5", "--resume", "--range", "-1", "1") == 0
    assert Store(there / "rgb.h5").keys.tolist() == ["images/high.png", "images/wide.png"]
    assert explain("two.keras", "two.npz", "-o", there / "two.h5", "--resume", "--target", "1") == 0
    assert set(Store(there / "two.h5").relevance) == {"a", "b"}


def test_images_are_cut_resized_and_scaled(there: pathlib.Path) -> None:
    paths = [pathlib.Path("images")]
    x, names = samples(paths, model("rgb.keras"), (-1.0, 1.0))
    assert names == ["high", "wide"]
    assert x.shape == (2, 8, 6, 3)
    assert x.dtype == np.float32
    assert -1 <= x.min() < -0.5 < 0.5 < x.max() <= 1
    plain, _ = samples(paths, model("rgb.keras"))
    np.testing.assert_allclose(plain / 127.5 - 1, x, atol=1e-6)
    grey, _ = samples(paths, model("grey.keras"))
    assert grey.shape == (2, 8, 6, 1)
    own, _ = samples([paths[0] / "wide.png"], model("any.keras"))
    assert (own[0] == np.asarray(Image.open("images/wide.png"))).all()


def test_bytes_in_arrays_are_pixels_too(there: pathlib.Path) -> None:
    x, _ = samples([pathlib.Path("bytes.npy")], model("grey.keras"), (0.0, 1.0))
    np.testing.assert_allclose(x, np.load("bytes.npy") / 255, atol=1e-6)
    untouched, _ = samples([pathlib.Path("batch.npy")], model("grey.keras"), (-1.0, 1.0))
    assert (untouched == np.load("batch.npy")).all()


def test_arrays_that_do_not_fit_are_left_out(there: pathlib.Path) -> None:
    x, names = samples([pathlib.Path("named.npz")], model("grey.keras"))
    assert names == ["one"]
    assert x.shape == (1, 8, 6, 1)


def test_names_are_told_apart(there: pathlib.Path) -> None:
    image = pathlib.Path("images/wide.png")
    assert samples([image, image, image], model("rgb.keras"))[1] == ["wide", "wide-2", "wide-3"]


def test_a_grid_is_drawn(there: pathlib.Path) -> None:
    assert explain("rgb.keras", "images", "-o", there / "out.png", "--range", "-1", "1") == 0
    with Image.open(there / "out.png") as image:
        assert image.height > 2 * 250


def test_a_folder_gets_an_image_per_input(there: pathlib.Path) -> None:
    assert explain("rgb.keras", "images", "-o", there / "new", analyzer="gradient") == 0
    assert sorted(path.name for path in (there / "new").iterdir()) == ["high.png", "wide.png"]


def test_the_audit_is_shown(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("grey.keras", "batch.npy", "-o", there / "out.npy", "--audit") == 0
    out = capsys.readouterr().out
    assert "mean of 5 samples" in out
    assert "= inputs " in out


def test_relevance_is_logged_for_tensorboard(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorboard")
    from helpers.events import Run

    options = ("--labels", "labels.txt", "--tensorboard", there / "logs")
    assert explain("rgb.keras", "images", *options) == 0
    assert f"written: {there / 'logs'}" in capsys.readouterr().out
    run = Run.of(there / "logs" / "relevance")
    assert run.header("samples").titles == ["high", "wide"]
    assert run.header("samples").class_names[1] == "goldfish"
    x, _ = samples([pathlib.Path("images")], model("rgb.keras"), None)
    expected = kerasexplain.create_analyzer("lrp.epsilon", model("rgb.keras")).analyze(x)
    np.testing.assert_allclose(run.section("lrp.epsilon", "input"), expected, rtol=1e-5, atol=1e-6)
    assert run.header("lrp.epsilon").operations == ["conv", "conv/relu", "pool", "logits"]
    assert run.tags("images") == {"relevance/lrp.epsilon"}


def test_a_contrast_of_two_classes(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = there / "maps.npy"
    arguments = ("grey.keras", "batch.npy", "-o", out, "--labels", "labels.txt", "--target", "shark")
    assert explain(*arguments, "--against", "tench", analyzer="gradient") == 0
    assert "shark against tench" in capsys.readouterr().out
    analyzer = kerasexplain.create_analyzer("gradient", model("grey.keras"))
    expected = analyzer.analyze(np.load("batch.npy"), kerasexplain.Contrast(2, against=0))
    np.testing.assert_allclose(np.load(out), expected, atol=1e-7)


def test_an_analyzer_that_needs_data_is_fitted(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = there / "maps.npy"
    assert explain("grey.keras", "sample.npy", "-o", out, analyzer="pattern.net") == 2
    assert "fit" in capsys.readouterr().err
    assert explain("grey.keras", "sample.npy", "-o", out, "--fit", "batch.npy", analyzer="pattern.net") == 0
    analyzer = kerasexplain.create_analyzer("pattern.net", model("grey.keras")).fit(np.load("batch.npy"))
    np.testing.assert_allclose(np.load(out), analyzer.analyze(np.load("sample.npy")[None, ..., None]), atol=1e-6)


def test_a_model_with_several_inputs_takes_an_archive(there: pathlib.Path) -> None:
    assert explain("two.keras", "two.npz", "-o", there / "out.npz") == 0
    with np.load(there / "out.npz") as written:
        assert written["a"].shape == (4, 2)
        assert written["b"].shape == (4, 3)


def test_the_shell_sees_the_table_and_no_noise(folder: pathlib.Path) -> None:
    command = [sys.executable, "-m", "kerasexplain.cli", "rules", "rgb.keras", "-a", "lrp.z_plus"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert "ZPlus()" in done.stdout
    assert done.stderr == ""


@pytest.mark.tensorflow("a SavedModel")
def test_an_export_is_written(there: pathlib.Path, capsys: pytest.CaptureFixture) -> None:
    out = there / "served" / "1"
    assert main(["export", "rgb.keras", "-a", "lrp.epsilon", "-O", "epsilon=0.25", "-o", str(out)]) == 0
    assert capsys.readouterr().out == f"written: {out}\n"
    record = json.loads((out / "explainer.json").read_text())
    assert record["analyzer"]["method"]["epsilon"] == 0.25
    assert main(["export", "grey.keras", "-a", "pattern.attribution", "--fit", "batch.npy", "-o", str(out)]) == 0
    assert json.loads((out / "explainer.json").read_text())["fitted"]
    assert "pixels" not in capsys.readouterr().err
    assert main(["export", "rgb.keras", "-a", "pattern.attribution", "--fit", "images", "-o", str(out)]) == 0
    assert "kerasexplain: pixels stay 0 to 255" in capsys.readouterr().err
    assert main(["export", "grey.keras", "-a", "smoothgrad", "-o", str(there / "other")]) == 2
    assert "'smoothgrad' is no single backward pass" in capsys.readouterr().err
    assert main(["export", "grey.keras", "-a", "lrp.epsilon", "-o", "images"]) == 2
    assert "is not overwritten" in capsys.readouterr().err


def test_an_analyzer_is_chosen_by_default(there: pathlib.Path) -> None:
    assert main(["explain", "grey.keras", "batch.npy", "-o", str(there / "default.npy")]) == 0
    assert explain("grey.keras", "batch.npy", "-o", there / "named.npy", analyzer="lrp.epsilon") == 0
    np.testing.assert_array_equal(np.load(there / "default.npy"), np.load(there / "named.npy"))


def test_the_default_is_what_the_page_recommends() -> None:
    page = (pathlib.Path(__file__).parents[2] / "docs" / "which-analyzer.md").read_text(encoding="utf-8")
    (line,) = (line for line in page.splitlines() if line.startswith("At least 75 %"))
    assert f"`{kerasexplain.cli.command.DEFAULT}`" in line


def test_the_audit_alone_needs_no_file(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("grey.keras", "batch.npy", "--audit") == 0
    assert "relevance per operation, mean of 5 samples" in capsys.readouterr().out
    assert explain("grey.keras", "batch.npy") == 2
    assert "pass one of them, or --audit alone" in capsys.readouterr().err


def test_a_neuron_of_several_axes_is_chosen(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = keras.Input((8, 6, 1))
    segmenting = keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs))
    segmenting.save(there / "segmenting.keras")
    arguments = (there / "segmenting.keras", "batch.npy", "-o", there / "out.npy")
    assert explain(*arguments, "--target", "7,5,1") == 0
    found = np.load(there / "out.npy")
    assert found[:, 7, 5].all()
    assert np.count_nonzero(found) == 5
    assert "batch-0: output (7, 5, 1), " in capsys.readouterr().out
    assert explain(*arguments, "--target", "7,6,1") == 2
    assert "--target 7,6,1 is out of range: the output has the shape (8, 6, 2)" in capsys.readouterr().err
    assert explain(*arguments, "--target", "-1,-1,1") == 0
    np.testing.assert_array_equal(np.load(there / "out.npy"), found)
    assert explain(*arguments, "--target", "3") == 2
    assert "whose shape is (8, 6, 2), as --target 0,0,0 does; got 3" in capsys.readouterr().err


def test_a_contrast_of_neurons_of_several_axes_is_told_by_their_indices(
    there: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = keras.Input((8, 6, 1))
    keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs)).save(there / "segmenting.keras")
    arguments = (there / "segmenting.keras", "batch.npy", "-o", there / "out.npy", "--labels", "labels.txt")
    assert explain(*arguments, "--target", "0,1,0", "--against", "0,0,1") == 0
    assert "batch-0: output (0, 1, 0) against output (0, 0, 1), " in capsys.readouterr().out


def test_outputs_are_told_by_label_or_index() -> None:
    assert neuron_label(1, ["tench", "shark, great"], (3,)) == "shark"
    assert neuron_label(2, ["tench", "shark"], (3,)) == "output 2"
    assert neuron_label(np.array([0, 1]), ["tench", "shark"], (2, 2)) == "output (0, 1)"
    assert neuron_label(np.array([0]), [], (1,)) == "output"


def test_an_only_output_has_no_number(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = keras.Input((8, 6, 1))
    flat = keras.layers.Flatten()(inputs)
    keras.Model(inputs, keras.layers.Dense(1)(flat)).save(there / "regression.keras")
    assert explain(there / "regression.keras", "batch.npy", "-o", there / "out.npy") == 0
    assert "batch-0: output, " in capsys.readouterr().out
    assert explain(there / "regression.keras", "batch.npy", "-o", there / "out.npy", "--labels", "labels.txt") == 0
    assert "batch-0: tench, " in capsys.readouterr().out
    everything = ("-O", "neuron_selection_mode=all")
    assert explain("grey.keras", "batch.npy", "-o", there / "out.npy", *everything) == 0
    assert "batch-0: all outputs, " in capsys.readouterr().out
