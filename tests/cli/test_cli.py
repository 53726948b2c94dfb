"""The command: what it writes, and how it says what is wrong."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest

pytest.importorskip("matplotlib")

from PIL import Image

import kerasexplain.cli.command
from kerasexplain.cli.command import main
from kerasexplain.cli.pixels import pixels_of
from kerasexplain.cli.reading import samples
from kerasexplain.store import Store

pytestmark = pytest.mark.once("the command is the same whatever computes")


def network(shape: tuple[int | None, ...]) -> keras.Model:
    inputs = keras.Input(shape, name="image")
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(x), name="small")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A model of each kind, images and arrays, and files that are not what their names say."""
    folder = tmp_path_factory.mktemp("cli")
    keras.utils.set_random_seed(1)
    network((8, 6, 3)).save(folder / "rgb.keras")
    network((8, 6, 1)).save(folder / "grey.keras")
    network((None, None, 3)).save(folder / "any.keras")
    network((8, 6, 1)).save(folder / "grey.h5")
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    keras.Model([a, b], keras.layers.Dense(2)(keras.layers.Concatenate()([a, b]))).save(folder / "two.keras")
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for name, size in (("wide", (6, 12)), ("high", (20, 6))):
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(folder / "images" / f"{name}.png")
    (folder / "empty").mkdir()
    np.save(folder / "batch.npy", rng.uniform(size=(5, 8, 6, 1)).astype("float32"))
    np.save(folder / "sample.npy", rng.uniform(size=(8, 6)).astype("float32"))
    np.save(folder / "bytes.npy", rng.integers(0, 256, (2, 8, 6, 1), np.uint8))
    np.save(folder / "wrong.npy", np.zeros((5, 7, 6, 1)))
    np.savez(folder / "named.npz", one=np.ones((8, 6, 1), "float32"), labels=np.arange(5))
    np.savez(folder / "two.npz", a=rng.normal(size=(4, 2)), b=rng.normal(size=(4, 3)))
    np.savez(folder / "scalars.npz", a=rng.normal(size=(4, 2)), b=1.0)
    (folder / "cut.keras").write_bytes((folder / "grey.keras").read_bytes()[:-500])
    (folder / "file").write_text("no folder")
    (folder / "labels.txt").write_text("tench, Tinca tinca\ngoldfish\nshark\n")
    for name in ("bad.keras", "bad.h5", "bad.png", "bad.npy", "bad.npz"):
        (folder / name).write_text("not what the name says")
    return folder


@pytest.fixture
def there(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    """The folder as the current one, and where output goes."""
    monkeypatch.chdir(folder)
    return tmp_path


def explain(*arguments: str | pathlib.Path, analyzer: str = "lrp.epsilon") -> int:
    return main(["explain", *(str(argument) for argument in arguments), "-a", analyzer])


def model(name: str) -> keras.Model:
    return keras.saving.load_model(name, compile=False)


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


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("none.keras batch.npy -o o.npy", "there is no file 'none.keras'"),
        ("bad.keras batch.npy -o o.npy", "'bad.keras' holds no Keras model that can be loaded"),
        ("bad.h5 batch.npy -o o.npy", "'bad.h5' holds no Keras model that can be loaded"),
        ("images/wide.png batch.npy -o o.npy", "The model comes first"),
        ("rgb.keras none.png -o o.npy", "there is no file 'none.png'"),
        ("grey.keras batch.npy -o o.npy --fit none.npy", "there is no file 'none.npy'"),
        ("rgb.keras bad.png -o o.npy", "'bad.png' holds no image that can be read"),
        ("rgb.keras labels.txt -o o.npy", "'labels.txt' holds no image that can be read"),
        ("grey.keras bad.npy -o o.npy", "'bad.npy' holds no arrays that can be read"),
        ("grey.keras bad.npz -o o.npy", "'bad.npz' holds no arrays that can be read"),
        ("rgb.keras empty -o o.npy", "the folder 'empty' holds no image"),
        ("grey.keras wrong.npy -o o.npy", "(wrong (5, 7, 6, 1)) fits the model's input of shape (batch, 8, 6, 1)"),
        ("any.keras images -o o.npy", "the inputs have different shapes"),
        ("two.keras batch.npy -o o.npz", "the model has 2 inputs: pass one .npz file"),
        ("two.keras named.npz -o o.npz", "not the model's inputs ['a', 'b']"),
        ("two.keras two.npz -o o.npy", "several inputs: write their relevance to .npz or .h5"),
        ("two.keras two.npz -o o.png", "must be that of images"),
        ("grey.keras batch.npy -o o.txt", "must be a folder, or end in .npy, .npz, .h5, .png; got 'o.txt'"),
        ("grey.keras batch.npy -o nowhere/o.npy", "there is no folder 'nowhere'"),
        ("grey.keras batch.npy -o o.npy --target 3", "3"),
        ("grey.keras batch.npy -o o.npy --target cat", "'cat' is no index, and there are no --labels"),
        ("grey.keras batch.npy -o o.npy --target cat --labels labels.txt", "'cat' is none of the 3 labels"),
        ("grey.keras batch.npy -o o.npy --labels none.txt", "none.txt"),
        ("grey.keras batch.npy -o o.npy --batch-size 0", "batch_size"),
        ("grey.keras batch.npy -o o.npy -O epsilom=1", "'lrp.epsilon' has no option 'epsilom'. Did you mean 'epsilon'"),
        ("grey.keras batch.npy -o o.npy -O epsilon=-1", "epsilon"),
        ("grey.keras batch.npy -o o.npy -O epsilon=much", "epsilon must be a number that is not negative, got 'much'"),
        ("grey.keras batch.npy -o o.npy -O bias=false", "bias must be one of True, False, got 'false'"),
        ("grey.keras batch.npy -o o.npy -O input_layer_rule=('a','b')", "low and high must be numbers, got low='a'"),
        ("grey.keras batch.npy -o o.npy -O model=3", "--option takes options of the analyzer, and 'model' is none"),
        ("grey.keras batch.npy -o o.npy -O output=None", "output must be the index or the name of an output, got None"),
        ("grey.keras batch.npy -o o.npy -O input_range=3", "input_range must be (low, high) with low < high, got 3"),
        (
            "grey.keras batch.npy -o o.npy -O input_range=(0,'a')",
            "input_range must be (low, high) with low < high, got",
        ),
        ("cut.keras batch.npy -o o.npy", "'cut.keras' holds no Keras model that can be loaded: it is damaged"),
        ("empty batch.npy -o o.npy", "the folder 'empty' holds no SavedModel"),
        ("two.keras scalars.npz -o o.npz", "'scalars.npz' holds single numbers for ['b']"),
        ("grey.keras batch.npy -o o.npy --labels empty", "'empty': Is a directory"),
        ("grey.keras batch.npy -o o.npy --labels batch.npy", "--labels 'batch.npy' is no text in UTF-8"),
        ("grey.keras batch.npy -o o.npy --resume", "--resume writes a store: it takes --out FILE.h5"),
        ("any.keras images -o o.h5 --resume", "the inputs have different shapes"),
        ("grey.keras batch.npy -o o.h5 --resume --batch-size 0", "batch_size must be an integer"),
        ("grey.keras batch.npy -o file", "--out must be a folder, or end in .npy, .npz, .h5, .png; 'file' is a file"),
        ("grey.keras batch.npy --tensorboard file", "--tensorboard must be a folder, but 'file' is a file"),
    ],
)
def test_errors_are_told_in_one_line(
    there: pathlib.Path, capsys: pytest.CaptureFixture[str], arguments: str, expected: str
) -> None:
    assert explain(*arguments.split()) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("kerasexplain: error: ")
    assert expected in lines[0]


def test_an_unknown_analyzer_is_told_before_the_model_is_read(
    there: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain("bad.keras", "batch.npy", "-o", "o.npy", analyzer="lrp.zplus") == 2
    assert "there is no analyzer 'lrp.zplus'. Did you mean 'lrp.z_plus'" in capsys.readouterr().err
    assert explain("bad.keras", "batch.npy", "-o", "o.npy", analyzer="lrp.epsilon:epsilon=0.1") == 2
    assert "as in -a lrp.epsilon -O epsilon=0.1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("explian rgb.keras", "(choose from 'list', 'rules', 'explain'"),
        ("explian rgb.keras", "Did you mean 'explain'"),
        ("explain rgb.keras batch.npy --analyser lrp.z", "there is no option --analyser. Did you mean '--analyzer'"),
        ("explain rgb.keras batch.npy --analyser=lrp.z", "(kerasexplain explain --help says more)"),
        ("choose rgb.keras batch.npy -o a.json --second 3 --sed 1", "there is no option --sed. Did you mean '--seed'"),
        ("list lrp.z lrp.epsilon", "unrecognized arguments: lrp.epsilon"),
        ("rules rgb.keras -O epsilon 0.1", "argument -O/--option: takes KEY=VALUE, got 'epsilon'"),
        ("rules rgb.keras -O =0.1", "argument -O/--option: takes KEY=VALUE, got '=0.1'"),
    ],
)
def test_a_misspelt_word_is_told_with_the_nearest(
    capsys: pytest.CaptureFixture[str], arguments: str, expected: str
) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments.split())
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert expected in said


def test_what_is_misspelt_is_told_before_keras_is_imported(there: pathlib.Path) -> None:
    asked = ["rules bad.keras -a lrp.zplus", "rules none.keras", "explain grey.keras none.npy -o o.npy"]
    asked += ["evaluate none.keras batch.npy -o o.html", "choose none.keras batch.npy -o o.json"]
    code = "\n".join(
        [
            "import sys",
            "from kerasexplain.cli.command import main",
            f"print([main(line.split()) for line in {asked!r}])",
            "print('keras' in sys.modules)",
        ]
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines() == ["[2, 2, 2, 2, 2]", "False"], told.stderr


def test_too_many_rows_are_no_image(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(there / "many.npy", np.zeros((51, 8, 6, 1), "float32"))
    assert explain("grey.keras", there / "many.npy", "-o", there / "o.png") == 2
    assert "51 inputs are too many for one image" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("explane", "invalid choice: 'explane'"),
        ("list --foo", "there is no option --foo (kerasexplain list --help"),
        ("explain grey.keras", "required: INPUT (kerasexplain explain --help says more)"),
        (
            "explain grey.keras batch.npy -a lrp.z --batch-size all",
            "argument --batch-size: an integer, or 'auto'; got",
        ),
        ("explain grey.keras batch.npy -a lrp.z --range 0 x", "argument --range: invalid float value: 'x'"),
    ],
)
def test_wrong_usage_is_told_in_one_line(arguments: str, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments.split())
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("kerasexplain: error: ")
    assert expected in line


@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        (TypeError("takes 2\narguments"), 2, "error: takes 2 arguments (TypeError)"),
        (KeyError("conv"), 2, "error: 'conv' (KeyError)"),
        (RuntimeError("no device"), 2, "error: no device (RuntimeError)"),
        (MemoryError(), 2, "error: (MemoryError)"),
        (ValueError("n must be 1"), 2, "error: n must be 1"),
        (PermissionError(13, "Permission denied", "out.npy"), 2, "error: 'out.npy': Permission denied"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_any_error_is_one_line_and_those_that_nobody_expects_have_their_type(
    error: BaseException,
    status: int,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(kerasexplain.cli.command, "_explain", fails)
    assert explain("grey.keras", "batch.npy") == status
    assert capsys.readouterr().err == f"kerasexplain: {expected}\n"


def test_help_does_not_wait_for_keras() -> None:
    code = (
        "import sys, kerasexplain.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: print('keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "explain images or arrays" in done.stdout
    assert done.stdout.endswith("False\n")


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
    assert explain(*arguments, "--target", "7,6,1") == 2
    assert "out of range" in capsys.readouterr().err


def normalized(mean: float, variance: float) -> keras.Model:
    inputs = keras.Input((8, 6, 3))
    x = keras.layers.Normalization(mean=[mean] * 3, variance=[variance] * 3)(inputs)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


@pytest.mark.parametrize(
    ("model", "range_", "said"),
    [
        (network((8, 6, 3)), (0, 255), "pixels stay 0 to 255: no layer at the model's input rescales them"),
        (keras.Sequential([keras.Input((8, 6, 3)), keras.layers.Rescaling(1 / 127.5, -1.0)]), (0, 255), ""),
        (
            keras.Sequential([keras.Input((8, 6, 3)), keras.layers.Rescaling(2.0, -1.0)]),
            (0, 1),
            "pixels are taken as 0 to 1, which the Rescaling at the model's input is made for",
        ),
        (normalized(0.45, 0.05), (0, 1), "which the Normalization at the model's input is made for"),
        (normalized(120.0, 3600.0), (0, 255), ""),
        (keras.Sequential([keras.Input((8, 6, 3)), normalized(0.45, 0.05)]), (0, 1), "which the Normalization"),
    ],
)
def test_the_range_of_pixels_is_what_the_preprocessing_takes(
    there: pathlib.Path, capsys: pytest.CaptureFixture[str], model: keras.Model, range_: tuple[int, int], said: str
) -> None:
    inputs = [pathlib.Path("images")]
    pixels, note = pixels_of(None, model, inputs)
    x, _ = samples(inputs, model, pixels)
    expected, _ = samples(inputs, model, range_)
    np.testing.assert_allclose(x, expected, atol=1e-5)
    assert (said in note) if said else note == ""
    assert pixels_of((-1.0, 1.0), model, inputs) == ((-1.0, 1.0), "")


def test_a_range_that_nothing_tells_is_asked_for(there: pathlib.Path) -> None:
    model = normalized(-40.0, 1.0)
    with pytest.raises(ValueError, match=r"neither from 0 to 255 nor from 0 to 1: --range LOW HIGH says"):
        pixels_of(None, model, [pathlib.Path("images")])
    assert pixels_of(None, model, [pathlib.Path("batch.npy")]) == (None, "")


def test_what_is_assumed_of_pixels_is_told_in_one_line(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain("rgb.keras", "images/wide.png", "-o", there / "out.npy") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kerasexplain: pixels stay 0 to 255")
    assert explain("rgb.keras", "images/wide.png", "-o", there / "out.npy", "--range", "0", "255") == 0
    assert capsys.readouterr().err == ""


def test_warnings_are_told_in_one_line(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(there / "zeros.npy", np.zeros((1, 8, 6, 1), "float32"))
    inputs = keras.Input((8, 6, 1))
    flat = keras.layers.Flatten()(inputs)
    keras.Model(inputs, keras.layers.Dense(2, bias_initializer="ones")(flat)).save(there / "biased.keras")
    assert explain(there / "biased.keras", there / "zeros.npy", "-o", there / "out.npy") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kerasexplain: warning: lrp.epsilon of ")
    assert "no input has any relevance, though the output is not zero" in line
