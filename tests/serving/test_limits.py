"""What an export does not explain, does not take and does not overwrite."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import kerasexplain
from tests.helpers.exports import called, images, network, of_two_inputs, shifted

BACKEND = keras.backend.backend()
pytestmark = pytest.mark.not_on("torch", "PyTorch has no file for relevance passes")
if BACKEND == "jax":
    pytest.importorskip("flatbuffers")


def test_there_are_no_numbers_where_the_analyzer_would_raise(tmp_path: pathlib.Path) -> None:
    analyzer = kerasexplain.create_analyzer("lrp.z_plus", network(), input_range=(-1, 1))
    analyzer.export(tmp_path / "export")
    x = images(5).astype("float32")
    x[3, 0, 0, 0] = 1.5
    found = called(tmp_path / "export", "explain", image=x, target=np.array([0, 4, -1, 1, -2]))
    told = [True, False, True, False, False]
    np.testing.assert_array_equal(np.isfinite(found["explained"]), told)
    np.testing.assert_array_equal(np.isfinite(found["bias"]), told)
    np.testing.assert_array_equal(np.isfinite(found["relevance"]).reshape(5, -1).all(axis=1), told)
    np.testing.assert_array_equal(np.isfinite(found["relevance"]).reshape(5, -1).any(axis=1), told)
    assert np.isfinite(found["output"]).all()
    np.testing.assert_array_equal(found["neuron"][2:], [found["output"][2].argmax(), 1, -2])
    assert found["neuron"][1] == -2


@pytest.mark.parametrize("jit_compile", [False, True])
def test_every_sample_has_a_target_of_its_own(jit_compile: bool, tmp_path: pathlib.Path) -> None:
    kerasexplain.create_analyzer("lrp.epsilon", network(), jit_compile=jit_compile).export(tmp_path / "export")
    for count, target in ((3, [1]), (3, [1, 2]), (1, [1, 2, 0])):
        with pytest.raises(Exception, match=r"differ in their first axis|batch"):
            called(tmp_path / "export", "explain", image=images(count).astype("float32"), target=np.array(target))


def test_inputs_have_as_many_samples(tmp_path: pathlib.Path) -> None:
    kerasexplain.create_analyzer("lrp.epsilon", of_two_inputs()).export(tmp_path / "export")
    given = {"target_1": np.ones((3, 4, 3), "float32"), "words_of_it": np.ones((1, 5), "int32")}
    for name in ("predict", "explain_largest"):
        with pytest.raises(Exception, match=r"differ in their first axis|batch"):
            called(tmp_path / "export", name, **given)


def test_a_box_that_is_left_has_no_relevance(tmp_path: pathlib.Path) -> None:
    analyzer = kerasexplain.create_analyzer("deep_taylor.bounded", network(), low=-1, high=1)
    analyzer.export(tmp_path / "export")
    x = images().astype("float32")
    x[1] *= 2
    found = called(tmp_path / "export", "explain_largest", image=x)
    np.testing.assert_array_equal(np.isfinite(found["explained"]), [True, False, True])


def test_ids_that_nobody_knows_have_no_relevance(tmp_path: pathlib.Path) -> None:
    words = keras.Input((4,), dtype="int32", name="words")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(7, 3)(words))
    kerasexplain.create_analyzer("lrp.epsilon", keras.Model(words, layers.Dense(2)(x))).export(tmp_path / "export")
    given = np.array([[1, 2, 3, 4], [1, 2, 3, 7]], "int32")
    if BACKEND == "tensorflow":  # which looks nothing up that is not there, on a CPU
        with pytest.raises(Exception, match="7 is not in"):
            called(tmp_path / "export", "explain_largest", words=given)
    else:
        found = called(tmp_path / "export", "explain_largest", words=given)
        np.testing.assert_array_equal(np.isfinite(found["explained"]), [True, False])


@pytest.mark.parametrize("name", ["integrated_gradients", "smoothgrad", "random", "occlusion", "deep_lift"])
def test_methods_of_several_passes_are_refused(name: str, tmp_path: pathlib.Path) -> None:
    analyzer = kerasexplain.create_analyzer(name, network())
    with pytest.raises(ValueError, match=f"'{name}' is no single backward pass .* cannot be exported: choose a method"):
        analyzer.export(tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_what_is_no_export_is_not_overwritten(tmp_path: pathlib.Path) -> None:
    model, folder = network(), tmp_path / "models" / "1"
    kerasexplain.create_analyzer("lrp.epsilon", model).export(folder)
    first = json.loads((folder / "explainer.json").read_text())
    kerasexplain.create_analyzer("lrp.z_plus", model).export(folder)
    second = json.loads((folder / "explainer.json").read_text())
    assert (first["analyzer"]["analyzer"], second["analyzer"]["analyzer"]) == ("lrp.epsilon", "lrp.z_plus")
    assert first["model"] == second["model"]
    assert [path.name for path in folder.parent.iterdir()] == ["1"]

    analyzer = kerasexplain.create_analyzer("lrp.epsilon", model)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds 'notes\.txt', and is not overwritten"):
        analyzer.export(folder)
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "notes.txt").unlink()
    (folder / "explainer.json").write_text("{}")
    with pytest.raises(FileExistsError, match="is no export"):
        analyzer.export(folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError, match="is a file"):
        analyzer.export(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    analyzer.export(tmp_path / "empty")


def test_a_failure_leaves_the_former_export(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    analyzer = kerasexplain.create_analyzer("lrp.epsilon", network())
    analyzer.export(tmp_path / "export")
    before = (tmp_path / "export" / "explainer.json").read_bytes()

    def full(folder: pathlib.Path, *arguments: Any) -> None:
        (folder / "half").write_text("")
        raise OSError("no space left on the device")

    monkeypatch.setattr("kerasexplain.serving.export.write", full)
    with pytest.raises(OSError, match="no space"):
        analyzer.export(tmp_path / "export")
    assert (tmp_path / "export" / "explainer.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["export"]


def test_of_outputs_of_open_size_too_no_other_target_has_numbers(tmp_path: pathlib.Path) -> None:
    steps = keras.Input((None, 3), name="steps")
    analyzer = kerasexplain.create_analyzer("lrp.epsilon", shifted(keras.Model(steps, layers.Dense(2)(steps))))
    analyzer.export(tmp_path / "export")
    x = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
    found = called(tmp_path / "export", "explain", steps=x, target=np.array([9, 10, -1, -2]))
    for name in ("explained", "relevance", "bias"):
        told = np.isfinite(found[name]).reshape(4, -1)
        np.testing.assert_array_equal(told.all(axis=1), [True, False, True, False])
        np.testing.assert_array_equal(told.any(axis=1), [True, False, True, False])
    np.testing.assert_array_equal(found["neuron"][[0, 1, 3]], [9, -2, -2])
    whole = kerasexplain.create_analyzer("lrp.epsilon", analyzer.model, neuron_selection_mode="all")
    with pytest.raises(ValueError, match=r"whose shape \(None, None, 2\) is open: let keras.Input say the sizes"):
        whole.export(tmp_path / "whole")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_inputs_that_are_not_finite_have_no_relevance(value: float, tmp_path: pathlib.Path) -> None:
    inputs = keras.Input((3,), name="x")
    model = keras.Model(inputs, layers.Dense(2, use_bias=False)(layers.Activation("sigmoid")(inputs)))
    kerasexplain.create_analyzer("lrp.epsilon", model).export(tmp_path / "export")
    x = np.ones((2, 3), "float32")
    x[1, 2] = value
    found = called(tmp_path / "export", "explain_largest", x=x)
    np.testing.assert_array_equal(np.isfinite(found["explained"]), [True, False])
    np.testing.assert_array_equal(np.isfinite(found["relevance"]).any(axis=1), [True, False])


@pytest.mark.parametrize("name", ["self", "class", "target", "_", "3d"])
def test_names_that_are_no_arguments(name: str, tmp_path: pathlib.Path) -> None:
    inputs = keras.Input((3,), name=name)
    analyzer = kerasexplain.create_analyzer("lrp.epsilon", shifted(keras.Model(inputs, layers.Dense(2)(inputs))))
    analyzer.export(tmp_path / "export")
    x = np.ones((2, 3), "float32")
    (told,) = json.loads((tmp_path / "export" / "explainer.json").read_text())["inputs"]
    assert told["name"] == name
    found = called(tmp_path / "export", "explain_largest", **{told["argument"]: x})
    np.testing.assert_allclose(found["relevance"], analyzer.analyze(x), rtol=1e-5)


def test_the_number_of_samples_is_checked(tmp_path: pathlib.Path) -> None:
    analyzer = kerasexplain.create_analyzer("lrp.epsilon", network())
    for size in (0, -1, True, 2.5, "3"):
        with pytest.raises(ValueError, match="batch_size must be an integer of at least 1"):
            analyzer.export(tmp_path / "export", batch_size=size)  # type: ignore[arg-type]
    analyzer.export(tmp_path / "export", batch_size=np.int64(3))  # type: ignore[arg-type]
    assert called(tmp_path / "export", "predict", image=images(3).astype("float32"))["output"].shape == (3, 4)


def test_files_and_folders_of_the_user_stay(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    analyzer, folder = kerasexplain.create_analyzer("lrp.epsilon", network()), tmp_path / "export"
    analyzer.export(folder)
    for name in ("assets/labels.txt", "user.jax", "variables/mine/notes"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("mine")
        with pytest.raises(FileExistsError, match=f"holds '{name}', and is not overwritten"):
            analyzer.export(folder)
        assert (folder / name).read_text() == "mine"
        (folder / name).unlink()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for place in (".", "", ".."):
        with pytest.raises(FileExistsError, match=r"is in use, as the working directory: name one in it|is no export"):
            analyzer.export(place)
    analyzer.export("new")
    assert (tmp_path / "here" / "new" / "explainer.json").is_file()


@pytest.mark.tensorflow("whose graphs hold a state")
def test_a_layer_that_keeps_a_state_is_refused(tmp_path: pathlib.Path) -> None:
    inputs = keras.Input(batch_shape=(2, 4, 3))
    model = keras.Model(inputs, layers.Dense(2)(layers.LSTM(5, stateful=True)(inputs)))
    analyzer = kerasexplain.create_analyzer("lrp.epsilon", model)
    with pytest.raises(ValueError, match="such as the state of a layer with stateful=True"):
        analyzer.export(tmp_path / "export")
    with pytest.raises(ValueError, match=r"goes by a state that each call changes \(stateful=True\)"):
        analyzer.analyze(np.ones((2, 4, 3)))


@pytest.mark.not_on("tensorflow", "whose graphs leave all sizes open")
def test_sizes_that_cannot_be_left_open_are_told(tmp_path: pathlib.Path) -> None:
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(2, 3, strides=2)(layers.Conv2D(4, 3, activation="relu")(inputs))
    with pytest.raises(ValueError, match=r"JAX cannot export 'predict' with sizes that are open: let keras\.Input say"):
        kerasexplain.create_analyzer("lrp.epsilon", keras.Model(inputs, x)).export(tmp_path / "export")
    assert not (tmp_path / "export").exists()
