"""The command: how it says what is wrong."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest

pytest.importorskip("matplotlib")


import kerasexplain.cli.command
from kerasexplain.cli.command import main
from tests.helpers.commands import explain

pytestmark = pytest.mark.once("the command is the same whatever computes")


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
        ("grey.keras batch.npy -o o.npy --target=--2", "--target '--2' is no index, and there are no --labels"),
        ("grey.keras batch.npy -o o.npy --target 1,2", "whose shape is (3,), as --target 0 does; got 1,2"),
        ("grey.keras batch.npy -o o.npy --target -4", "--target -4 is out of range: the output has the shape (3,)"),
        ("grey.keras batch.npy -o o.npy --target 0 --against 1,-1", "as --against 0 does; got 1,-1"),
        ("grey.keras batch.npy -o o.npy --target 1 --against 1", "--target and --against are the same output"),
        ("grey.keras batch.npy -o o.npy --target 2 --against -1", "--target and --against are the same output"),
        ("deep.keras deep.npy -o o.png", "the input 'input' has 5 axes a sample, and there are pictures of 1 to 4"),
        ("deep.keras deep.npy -o o", "the input 'input' has 5 axes a sample"),
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
    assert not (there / "o").exists()


@pytest.mark.skipif(not pathlib.Path("/proc/self").exists(), reason="a folder in which nobody can make a file")
@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ("explain bad.keras batch.npy -o", "/proc/nothing.npy"),
        ("explain bad.keras batch.npy --tensorboard", "/proc/nothing/logs"),
        ("evaluate bad.keras batch.npy -o", "/proc/nothing.html"),
        ("choose bad.keras batch.npy -o", "/proc/nothing.json"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_told_before_the_model_is_read(
    there: pathlib.Path, capsys: pytest.CaptureFixture[str], arguments: str, place: str
) -> None:
    assert main([*arguments.split(), place]) == 2
    assert capsys.readouterr().err.startswith(f"kerasexplain: error: '{place}': ")


def test_whether_a_file_can_be_written_is_found_out_without_a_trace(there: pathlib.Path) -> None:
    (there / "kept.npy").write_bytes(b"as it was")
    for name in ("kept.npy", "new.npy", "folder"):
        assert explain("bad.keras", "batch.npy", "-o", there / name) == 2
    assert [path.name for path in there.iterdir()] == ["kept.npy"]
    assert (there / "kept.npy").read_bytes() == b"as it was"


def test_letters_that_a_terminal_does_not_know_are_no_reason_to_write_nothing(folder: pathlib.Path) -> None:
    (folder / "ünï.png").write_bytes((folder / "images" / "wide.png").read_bytes())
    code = "import sys; from kerasexplain.cli import main; sys.exit(main())"
    arguments = ["explain", "rgb.keras", "ünï.png", "-o", "ünï.npy"]
    asked = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    told = subprocess.run(asked, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "\\xfcn\\xef: output " in told.stdout
    assert (folder / "ünï.npy").exists()


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
        ("explain rgb.keras batch.npy --anlyzer lrp.z", "Did you mean '--analyzer' or '--range'? (kerasexplain"),
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


def test_warnings_are_told_in_one_line(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(there / "zeros.npy", np.zeros((1, 8, 6, 1), "float32"))
    inputs = keras.Input((8, 6, 1))
    flat = keras.layers.Flatten()(inputs)
    keras.Model(inputs, keras.layers.Dense(2, bias_initializer="ones")(flat)).save(there / "biased.keras")
    assert explain(there / "biased.keras", there / "zeros.npy", "-o", there / "out.npy") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kerasexplain: warning: lrp.epsilon of ")
    assert "no input has any relevance, though the output is not zero" in line


def test_help_does_not_wait_for_keras() -> None:
    code = (
        "import sys, kerasexplain.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: print('keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "explain images or arrays" in done.stdout
    assert done.stdout.endswith("False\n")


@pytest.mark.parametrize("module", ["kerasexplain", "kerasexplain.cli"])
def test_the_command_is_a_module_too(module: str) -> None:
    asked = [sys.executable, "-m", module, "--version"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    assert done.stdout == f"kerasexplain {kerasexplain.__version__}\n"


def test_an_interruption_of_its_own_imports_is_told_in_one_line() -> None:
    code = """if True:
        import builtins, sys
        imported = builtins.__import__
        def interrupted(name, *rest):
            if name == "numpy" and sys.modules.get("kerasexplain.cli.command") and not told:
                told.append(name)
                raise KeyboardInterrupt
            return imported(name, *rest)
        told = []
        from kerasexplain.cli import main
        builtins.__import__ = interrupted
        sys.exit(main(["list"]))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "kerasexplain: interrupted\n")
