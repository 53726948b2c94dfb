"""The command on SavedModels and on files that need more than their name: classes, functions, signatures."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator

import keras
import numpy as np
import pytest
from keras import layers

pytest.importorskip("matplotlib")

import kerasexplain
from kerasexplain.cli.command import main
from kerasexplain.compat import as_model, load_model

NEEDS_TENSORFLOW = pytest.mark.tensorflow("SavedModels are run by it")
OLD = pathlib.Path(__file__).parent.parent / "data" / "keras2" / "lstm.h5"
#: A module of the user's, beside the model.
CODE = "import keras\nclass Doubled(keras.layers.Dense):\n    def call(self, x):\n        return 2 * super().call(x)\n"


@pytest.fixture
def there(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    """A folder with an array and a module, as the current one; what is imported from it is forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    np.save("x.npy", np.random.default_rng(0).normal(size=(3, 5)).astype("float32"))
    pathlib.Path("own_layers.py").write_text(CODE)
    pathlib.Path("broken_layers.py").write_text("import a_module_that_is_not_there\n")
    before = set(sys.modules)
    yield tmp_path
    for name in {"own_layers", "broken_layers"} & (set(sys.modules) - before):
        del sys.modules[name]


def explain(*arguments: str, model: str, analyzer: str = "lrp.epsilon") -> int:
    return main(["explain", model, "x.npy", "-a", analyzer, "-o", "out.npy", *arguments])


def network() -> keras.Model:
    return keras.Sequential([keras.Input((5,), name="x"), layers.Dense(4, activation="relu"), layers.Dense(3)])


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that an error is told in."""
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("kerasexplain: error: ")
    return line


def save_module() -> None:
    import tensorflow as tf

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 5), tf.float32, name="x")])
        def double(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": 2 * x}

        @tf.function(input_signature=[tf.TensorSpec((None, 5), tf.float32, name="x")])
        def square(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": x * x}

    module = Module()
    tf.saved_model.save(module, "module", signatures={"double": module.double, "square": module.square})


@NEEDS_TENSORFLOW
def test_a_saved_model_is_explained_as_the_library_does(
    there: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import tensorflow as tf

    model = network()
    model.export("exported", verbose=False)
    assert explain("--target", "1", model="exported") == 0
    assert "written: out.npy" in capsys.readouterr().out
    x, found = np.load("x.npy"), np.load("out.npy")
    loaded = tf.saved_model.load("exported")
    np.testing.assert_allclose(found, kerasexplain.create_analyzer("lrp.epsilon", loaded).analyze(x, 1), atol=1e-6)
    np.testing.assert_allclose(found, kerasexplain.create_analyzer("lrp.epsilon", model).analyze(x, 1), atol=1e-5)


@NEEDS_TENSORFLOW
def test_rules_shows_the_table_of_a_saved_model(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    import tensorflow as tf

    network().export("exported", verbose=False)
    assert main(["rules", "exported", "-a", "lrp.epsilon", "-O", "epsilon=0.25"]) == 0
    out = capsys.readouterr().out
    model = as_model(tf.saved_model.load("exported"))
    assert out.rstrip() == str(kerasexplain.create_analyzer("lrp.epsilon", model, epsilon=0.25))
    assert out.count("Epsilon(0.25)") == 2


@NEEDS_TENSORFLOW
def test_a_signature_is_chosen_by_its_name(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_module()
    gradients = {"double": lambda x: np.full_like(x, 2), "square": lambda x: 2 * x}
    for name, gradient in gradients.items():
        assert explain("--signature", name, "--target", "3", model="module", analyzer="gradient") == 0
        expected = np.where(np.arange(5) == 3, gradient(np.load("x.npy")), 0)
        np.testing.assert_allclose(np.load("out.npy"), expected, rtol=1e-6)
    capsys.readouterr()
    assert explain("--signature", "doubel", model="module") == 2
    assert "no signature 'doubel'. Did you mean 'double'? Known: double, square." in told(capsys)
    assert main(["rules", "module", "-a", "gradient"]) == 2
    assert "no signature 'serving_default'. Known: double, square." in told(capsys)


def test_a_signature_of_a_file_is_refused(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    network().save("model.keras")
    assert explain("--signature", "serving_default", model="model.keras") == 2
    assert "signature" in told(capsys)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_class_of_the_user_s_is_imported_from_beside_the_model(
    suffix: str, there: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scope: dict[str, type[layers.Layer]] = {}
    exec(CODE, scope)
    model = keras.Sequential([keras.Input((5,)), scope["Doubled"](3)])
    model.save(f"model{suffix}")
    assert explain(model=f"model{suffix}") == 2
    assert "holds no Keras model that can be loaded" in told(capsys)
    assert explain("--custom-objects", "own_layers:Doubled", "--target", "0", model=f"model{suffix}") == 0
    expected = kerasexplain.create_analyzer("lrp.epsilon", model).analyze(np.load("x.npy"), 0)
    np.testing.assert_allclose(np.load("out.npy"), expected, atol=1e-6)
    given = ["--custom-objects", "own_layers:Doubled", "--custom-objects", "json:dumps"]
    assert main(["rules", f"model{suffix}", "-a", "lrp.epsilon", *given]) == 0
    assert "Epsilon()" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("own_layers", "--custom-objects takes module:name, got 'own_layers'"),
        ("own_layers:", "--custom-objects takes module:name, got 'own_layers:'"),
        (":Doubled", "--custom-objects takes module:name, got ':Doubled'"),
        ("none:Doubled", "--custom-objects 'none:Doubled' cannot be imported: No module named 'none'"),
        ("own_layers:Tripled", "--custom-objects 'own_layers:Tripled' cannot be imported: module 'own_layers' has no"),
        ("broken_layers:Doubled", "cannot be imported: No module named 'a_module_that_is_not_there'"),
    ],
)
def test_a_class_that_cannot_be_imported_is_told(
    given: str, expected: str, there: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network().save("model.keras")
    assert explain("--custom-objects", given, model="model.keras") == 2
    assert expected in told(capsys)
    assert not pathlib.Path("out.npy").exists()


def test_a_function_in_a_file_runs_only_where_that_is_asked_for(
    there: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    function = eval("lambda t: (open('ran', 'w').close(), 2 * t)[1]")  # the name is a constant of its code
    keras.Sequential([keras.Input((5,)), layers.Lambda(function)]).save("model.keras")
    pathlib.Path("ran").unlink()
    assert explain(model="model.keras") == 2
    line = told(capsys)
    assert "'model.keras' holds no Keras model that can be loaded: it holds a Lambda layer" in line
    assert "--allow-lambda on the command line" in line
    assert not pathlib.Path("ran").exists()
    assert explain("--allow-lambda", "--target", "2", model="model.keras", analyzer="gradient") == 0
    assert pathlib.Path("ran").exists()
    np.testing.assert_allclose(np.load("out.npy"), np.tile(2.0 * (np.arange(5) == 2), (3, 1)))


def test_a_file_of_keras_2_is_explained(there: pathlib.Path) -> None:
    x = np.random.default_rng(0).normal(size=(3, 7, 5)).astype("float32")
    np.save("x.npy", x)
    assert explain("--target", "1", model=str(OLD)) == 0
    expected = kerasexplain.create_analyzer("lrp.epsilon", load_model(OLD)).analyze(x, 1)
    np.testing.assert_allclose(np.load("out.npy"), expected, atol=1e-6)


def test_a_folder_that_holds_no_saved_model_is_told(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    pathlib.Path("empty").mkdir()
    assert explain(model="empty") == 2
    assert "the folder 'empty' holds no SavedModel: there is no saved_model.pb in it" in told(capsys)


@pytest.mark.not_on("tensorflow", "it runs SavedModels")
def test_a_saved_model_needs_tensorflow(there: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    pathlib.Path("exported").mkdir()
    pathlib.Path("exported", "saved_model.pb").touch()
    assert explain(model="exported") == 2
    assert "a SavedModel runs on TensorFlow alone" in told(capsys)


@pytest.mark.parametrize("command", ["explain", "rules", "evaluate"])
def test_help_names_the_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    out = capsys.readouterr().out
    assert all(option in out for option in ("--custom-objects", "--allow-lambda", "--signature"))
