"""Loading: models that Keras 2 wrote predict as they did then, and whatever cannot be loaded is told in words."""

from __future__ import annotations

import base64
import json
import marshal
import pathlib
import re
import shutil
import sys
from collections.abc import Callable
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import kerasexplain
from kerasexplain import UnsupportedModelError, compat

DATA = pathlib.Path(__file__).parent.parent / "data" / "keras2"
NEEDS_TENSORFLOW = pytest.mark.tensorflow("the file calls functions of TensorFlow")
NEEDS_THE_PYTHON_OF_THE_FILE = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="the function in the file is bytecode of Python 3.11"
)
FILES = [
    *("bigru", "conv", "cudnngru", "cudnnlstm", "lstm", "mask"),
    pytest.param("tfop", marks=NEEDS_TENSORFLOW),
    pytest.param("const", marks=NEEDS_TENSORFLOW),
    pytest.param("lambda", marks=[NEEDS_TENSORFLOW, NEEDS_THE_PYTHON_OF_THE_FILE]),
]


def changed(
    name: str,
    folder: pathlib.Path,
    change: Callable[[dict[str, Any]], Any] = lambda config: None,
    **attributes: Any,
) -> pathlib.Path:
    """A copy of a file whose configuration, or attributes, are others."""
    path = folder / f"{name}.h5"
    shutil.copyfile(DATA / path.name, path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)
        file.attrs.update(attributes)
    return path


def layer_of(config: dict[str, Any], name: str) -> dict[str, Any]:
    return next(layer for layer in config["config"]["layers"] if layer["config"]["name"] == name)


def setting(name: str, **options: Any) -> Callable[[dict[str, Any]], Any]:
    """A change: of a layer's options."""
    return lambda config: layer_of(config, name)["config"].update(options)


def reference(name: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(DATA / f"{name}.npz") as held:
        return held["x"], held["y"]


def assert_predicts(model: keras.Model, x: np.ndarray, y: np.ndarray) -> None:
    np.testing.assert_allclose(model.predict(x, verbose=0), y, rtol=1e-5, atol=1e-5 * np.abs(y).max())


def dense(*sizes: int) -> keras.Model:
    return keras.Sequential([keras.Input((4,)), *map(layers.Dense, sizes)])


class Doubled(layers.Dense):
    def call(self, inputs: Any) -> Any:
        return 2 * super().call(inputs)


@pytest.mark.parametrize("name", FILES)
def test_a_model_of_keras_2_predicts_as_it_did_and_is_explained(name: str) -> None:
    x, y = reference(name)
    model = compat.load_model(DATA / f"{name}.h5", allow_lambda=name == "lambda")
    assert_predicts(model, x, y)
    relevance = kerasexplain.create_analyzer("lrp.epsilon", model).analyze(x)
    assert relevance.shape == x.shape
    assert np.isfinite(relevance).all()
    assert np.abs(relevance).max() > 0


def test_the_file_itself_stays_as_it_is(tmp_path: pathlib.Path) -> None:
    path = changed("cudnnlstm", tmp_path)
    before = path.read_bytes()
    compat.load_model(str(path))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_bidirectional_layer_of_cudnn_s_is_one_of_lstm(tmp_path: pathlib.Path) -> None:
    """Both directions hold the weights of the reference, so each gives what it gives on the sequence in its order."""
    x, _ = reference("cudnnlstm")
    plain = compat.load_model(DATA / "cudnnlstm.h5").get_layer("r")
    path = tmp_path / "both.h5"
    shutil.copyfile(DATA / "cudnnlstm.h5", path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        inner = layer_of(config, "r")
        own = {"name": "r", "trainable": True, "dtype": "float32", "merge_mode": "concat", "layer": inner}
        inner.update(module="keras.layers", registered_name=None)
        config["config"]["layers"] = [config["config"]["layers"][0], {"class_name": "Bidirectional", "config": own}]
        inner["config"]["name"] = "cu"
        file.attrs["model_config"] = json.dumps(config)
        group = file["model_weights"]
        names = [str(name) for name in group["r"].attrs["weight_names"]]
        arrays = {name.rpartition("/")[2]: group["r"][name][()] for name in names}
        del group["r"], group["d"]
        group.attrs["layer_names"] = [b"r"]
        held = group.create_group("r")
        paths = [f"r/{way}_cu/{leaf}" for way in ("forward", "backward") for leaf in arrays]
        held.attrs["weight_names"] = [path.encode() for path in paths]
        for weights in paths:
            held[weights] = arrays[weights.rpartition("/")[2]]
    forward, backward = np.array(plain(x)), np.array(plain(x[:, ::-1].copy()))
    assert_predicts(compat.load_model(path), x, np.concatenate([forward, backward], axis=-1))


def test_layers_may_have_slashes_in_their_names(tmp_path: pathlib.Path) -> None:
    def rename(config: dict[str, Any]) -> None:
        named = layer_of(config, "dense")
        named["name"] = named["config"]["name"] = "head/dense"
        config["config"]["output_layers"] = [["head/dense", 0, 0]]

    path = changed("lstm", tmp_path, rename)
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        group.move("dense", "head/dense")
        group.attrs["layer_names"] = [b"input_1", b"lstm", b"head/dense"]
    model = compat.load_model(path)
    assert model.layers[-1].name == "head_dense"
    assert_predicts(model, *reference("lstm"))


def test_a_thresholded_relu_is_a_relu_with_a_threshold(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "old.h5"
    keras.Sequential([keras.Input((4,)), layers.ReLU(name="relu")]).save(path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        layer = layer_of(config, "relu")
        layer["class_name"], layer["config"] = "ThresholdedReLU", {"name": "relu", "dtype": "float32", "theta": 0.5}
        file.attrs["model_config"] = json.dumps(config)
    x = np.array([[-1.0, 0.25, 0.75, 2.0]], "float32")
    np.testing.assert_array_equal(compat.load_model(path)(x), [[0, 0, 0.75, 2.0]])


def before_modules(node: Any) -> None:
    """A change: files of Keras 2 before 2.12 hold the names of classes, without those of modules."""
    entries = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict):
        node.pop("module", None)
        node.pop("registered_name", None)
    for entry in list(entries):
        before_modules(entry)


@pytest.mark.parametrize(
    "name",
    [
        *("conv", "cudnngru", "cudnnlstm", "lstm"),
        *(pytest.param(name) for name in ("bigru", "mask")),
    ],
)
def test_a_file_without_the_names_of_modules_loads_as_well(name: str, tmp_path: pathlib.Path) -> None:
    assert_predicts(compat.load_model(changed(name, tmp_path, before_modules)), *reference(name))


def test_a_sequential_model_may_be_a_list_of_layers(tmp_path: pathlib.Path) -> None:
    path = changed("mask", tmp_path, lambda config: config.update(config=config["config"]["layers"]))
    assert_predicts(compat.load_model(path), *reference("mask"))


@pytest.mark.parametrize("name", ["model_config", "keras_version"])
def test_attributes_may_be_bytes(name: str, tmp_path: pathlib.Path) -> None:
    path = changed("lstm", tmp_path)
    with h5py.File(path, "r+") as file:
        file.attrs[name] = np.bytes_(file.attrs[name])
    assert_predicts(compat.load_model(path), *reference("lstm"))


def test_a_file_may_end_in_hdf5(tmp_path: pathlib.Path) -> None:
    path = changed("lstm", tmp_path)
    assert_predicts(compat.load_model(path.rename(tmp_path / "lstm.hdf5")), *reference("lstm"))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_file_of_keras_3_loads_as_keras_loads_it(suffix: str, tmp_path: pathlib.Path) -> None:
    path, x = tmp_path / f"new{suffix}", np.ones((2, 4), "float32")
    model = dense(3, 2)
    model.compile("sgd", "mse")
    model.save(path)
    loaded, of_keras = compat.load_model(path), keras.saving.load_model(path, compile=False)
    np.testing.assert_array_equal(loaded(x), of_keras(x))
    assert loaded.get_config() == of_keras.get_config()
    assert not loaded.compiled


# What is refused.


@pytest.mark.parametrize(
    ("name", "layer", "options", "expected"),
    [
        ("lstm", "lstm", {"time_major": True}, "'lstm' (LSTM) has time_major=True"),
        ("cudnnlstm", "r", {"time_major": True}, "'r' (LSTM) has time_major=True"),
        ("conv", "separable_conv2d", {"groups": 2}, "'separable_conv2d' (SeparableConv2D) has groups=2"),
        ("conv", "depthwise_conv2d", {"groups": 3}, "'depthwise_conv2d' (DepthwiseConv2D) has groups=3"),
        ("conv", "conv2d_transpose", {"groups": 2}, "'conv2d_transpose' (Conv2DTranspose) has groups=2"),
        ("conv", "batch_normalization", {"renorm": True}, "(BatchNormalization) has renorm=True"),
    ],
)
def test_what_a_layer_cannot_do_any_more_is_told(
    name: str, layer: str, options: dict[str, Any], expected: str, tmp_path: pathlib.Path
) -> None:
    path = changed(name, tmp_path, setting(layer, **options))
    with pytest.raises(
        UnsupportedModelError, match=re.escape(f"{expected}, which Keras 3 does not have: build the model")
    ):
        compat.load_model(path)


@pytest.mark.parametrize("options", [{"groups": 1}, {"groups": None}])
def test_what_a_layer_did_not_do_is_left_out(options: dict[str, Any], tmp_path: pathlib.Path) -> None:
    path = changed("conv", tmp_path, setting("depthwise_conv2d", **options))
    assert_predicts(compat.load_model(path), *reference("conv"))


@pytest.mark.parametrize(
    "version",
    [
        "1.2.2",
        pytest.param(np.bytes_("1.2.2")),
    ],
)
@pytest.mark.parametrize("where", ["/", "model_weights"])
def test_a_file_of_keras_1_is_refused(version: str | bytes, where: str, tmp_path: pathlib.Path) -> None:
    path = changed("lstm", tmp_path)
    with h5py.File(path, "r+") as file:
        for held in (file, file["model_weights"]):
            del held.attrs["keras_version"]
        file[where].attrs["keras_version"] = version
    with pytest.raises(UnsupportedModelError, match=r"was written by Keras 1\.2\.2, .*load it with Keras 2") as raised:
        compat.load_model(path)
    assert repr(str(path)) in str(raised.value)


def test_a_file_of_weights_alone_holds_no_model(tmp_path: pathlib.Path) -> None:
    new, old = tmp_path / "new.weights.h5", tmp_path / "old.h5"
    dense(2).save_weights(new)
    shutil.copyfile(DATA / "lstm.h5", old)
    with h5py.File(old, "r+") as file:
        del file.attrs["model_config"]
    for path in (new, old):
        with pytest.raises(ValueError, match=re.escape(f"{str(path)!r} holds no Keras model")) as raised:
            compat.load_model(path)
        assert "it holds weights alone: build the model and call model.load_weights" in str(raised.value)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.95])
@pytest.mark.parametrize(
    ("suffix", "expected"),
    [(".keras", "it is damaged, or was cut off"), (".h5", "Unable to")],
)
def test_a_file_that_was_cut_off_is_told(part: float, suffix: str, expected: str, tmp_path: pathlib.Path) -> None:
    whole, path = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    dense(3, 2).save(whole)
    written = whole.read_bytes()
    path.write_bytes(written[: int(part * len(written))])
    with pytest.raises(
        ValueError, match=re.escape(f"{str(path)!r} holds no Keras model that can be loaded: {expected}")
    ):
        compat.load_model(path)


def test_a_configuration_that_is_none_is_told(tmp_path: pathlib.Path) -> None:
    path = changed("lstm", tmp_path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = "{"
    with pytest.raises(ValueError, match="holds no Keras model that can be loaded: Expecting property name"):
        compat.load_model(path)


def test_a_file_that_is_not_there_is_told(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match=re.escape(f"there is no file {str(tmp_path / 'none.keras')!r}")):
        compat.load_model(tmp_path / "none.keras")


def test_a_folder_without_a_saved_model_is_told(tmp_path: pathlib.Path) -> None:
    expected = f"the folder {str(tmp_path)!r} holds no SavedModel: there is no saved_model.pb in it"
    with pytest.raises(ValueError, match=re.escape(expected)):
        compat.load_model(tmp_path)


@pytest.mark.not_on("tensorflow", "it runs SavedModels")
def test_a_saved_model_needs_tensorflow(tmp_path: pathlib.Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"")
    backend = keras.backend.backend()
    with pytest.raises(UnsupportedModelError, match=f"TensorFlow alone, and Keras runs on {backend}: set .*KERAS_BACK"):
        compat.load_model(tmp_path)


@pytest.mark.parametrize("name", ["model.txt", "model", "model.pb", "model.onnx"])
def test_a_file_of_another_kind_is_told(name: str, tmp_path: pathlib.Path) -> None:
    (tmp_path / name).write_bytes((DATA / "lstm.h5").read_bytes())
    with pytest.raises(ValueError, match=r"that is a \.keras, \.h5, \.hdf5 file, or the folder of a SavedModel"):
        compat.load_model(tmp_path / name)


def test_a_class_of_the_user_s_is_unknown_until_it_is_given(tmp_path: pathlib.Path) -> None:
    path = changed("lstm", tmp_path, lambda config: layer_of(config, "dense").update(class_name="Doubled"))
    with pytest.raises(ValueError, match="holds no Keras model that can be loaded: Unknown layer: 'Doubled'"):
        compat.load_model(path)
    x, y = reference("lstm")
    assert_predicts(compat.load_model(path, {"Doubled": Doubled}), x, 2 * y)


def test_a_class_of_the_user_s_in_a_file_of_keras_3_is_found_where_it_is_given(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "new.keras"
    keras.Sequential([keras.Input((4,)), Doubled(2)]).save(path)
    with pytest.raises(ValueError, match=re.escape(f"{str(path)!r} holds no Keras model that can be loaded: ")):
        compat.load_model(path, {"Another": Doubled})
    assert isinstance(compat.load_model(path, custom_objects={"Doubled": Doubled}).layers[-1], Doubled)


def test_a_class_that_is_missing_from_a_file_of_keras_3_is_named(tmp_path: pathlib.Path) -> None:
    keras.Sequential([keras.Input((4,)), Doubled(2)]).save(tmp_path / "new.keras")
    with pytest.raises(ValueError, match=r"holds no Keras model that can be loaded: .*'Doubled'"):
        compat.load_model(tmp_path / "new.keras")


# Python functions in files.


def writing(path: pathlib.Path) -> Callable[..., Any]:
    """A function that leaves its input as it is, and writes a file."""
    return eval(f"lambda t: (open({str(path)!r}, 'w').close(), t)[1]")  # the name is a constant of its code


def bytecode(function: Callable[..., Any]) -> str:
    return base64.encodebytes(marshal.dumps(function.__code__)).decode()  # type: ignore[attr-defined]


def legacy(function: Callable[..., Any]) -> dict[str, Any]:
    """A Lambda layer's configuration, as Keras 2 wrote it."""
    defaults = function.__defaults__ and list(function.__defaults__)  # type: ignore[attr-defined]
    options = {"function": [bytecode(function), defaults, None], "function_type": "lambda", "module": "__main__"}
    shape = {"output_shape": None, "output_shape_type": "raw", "output_shape_module": None, "arguments": {}}
    return {"class_name": "Lambda", "config": {"name": "run", "dtype": "float32", **options, **shape}}


def of_keras_2(layer: dict[str, Any], folder: pathlib.Path) -> pathlib.Path:
    """A file of Keras 2 with a layer in front of the rest."""

    def insert(config: dict[str, Any]) -> None:
        config["config"]["layers"].insert(1, layer)

    path = changed("cudnnlstm", folder, insert)
    with h5py.File(path, "r+") as file:
        group = file["model_weights"]
        name = layer["config"]["name"]
        group.create_group(name).attrs["weight_names"] = []
        group.attrs["layer_names"] = [name.encode(), b"r", b"d"]
    return path


@pytest.mark.parametrize("kind", ["keras", "h5", "keras, within another", "h5, within another", "keras 2"])
def test_no_function_from_a_file_runs_unless_that_is_asked_for(kind: str, tmp_path: pathlib.Path) -> None:
    written, (x, y) = tmp_path / "written", reference("cudnnlstm")
    run = writing(written)
    if kind == "keras 2":
        path = of_keras_2(legacy(run), tmp_path)
    else:
        layer, y = layers.Lambda(run, output_shape=lambda shape: shape), x
        path = tmp_path / f"model.{kind.split(',')[0]}"
        layer = layers.TimeDistributed(layer) if "within" in kind else layer
        keras.Sequential([keras.Input((7, 5)), layer]).save(path)
    written.unlink(missing_ok=True)
    for objects in (None, {"Another": Doubled}):
        with pytest.raises(ValueError, match=re.escape(f"{str(path)!r} holds no Keras model")) as raised:
            compat.load_model(path, objects)
        assert "allow_lambda=True (--allow-lambda on the command line)" in str(raised.value)
    assert not written.exists()
    assert_predicts(compat.load_model(path, allow_lambda=True), x, y)
    assert written.exists()  # so it would have been seen


def test_the_file_with_a_lambda_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"allow_lambda=True \(--allow-lambda on the command line\)"):
        compat.load_model(DATA / "lambda.h5")


def test_a_function_knows_what_its_module_mostly_imported_and_what_is_given(tmp_path: pathlib.Path) -> None:
    function = eval("lambda t: given(keras.ops.negative(t)) * np.float32(K.floatx() == 'float32')")
    path = of_keras_2(legacy(function), tmp_path)
    model = compat.load_model(path, {"given": keras.ops.negative}, allow_lambda=True)
    assert_predicts(model, *reference("cudnnlstm"))


# Functions of TensorFlow in files.


def calling(function: str) -> Callable[[dict[str, Any]], Any]:
    return setting("tf.nn.relu", function=function)


@NEEDS_TENSORFLOW
@pytest.mark.parametrize(
    "function",
    ["io.read_file", "py_function", "numpy_function", "raw_ops.ReadFile", "io.gfile.remove", "load_op_library"],
)
def test_a_function_that_is_none_of_numbers_is_refused(function: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UnsupportedModelError, match=re.escape(f"the model calls tf.{function}, which is none of")):
        compat.load_model(changed("tfop", tmp_path, calling(function)))


@NEEDS_TENSORFLOW
@pytest.mark.parametrize("function", ["math.__setattr__", "nn.__class__", "linalg.__getattribute__"])
def test_what_a_module_has_besides_its_functions_is_refused(function: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(UnsupportedModelError, match=re.escape(f"the model calls tf.{function}, which is none of")):
        compat.load_model(changed("tfop", tmp_path, calling(function)))


@NEEDS_TENSORFLOW
def test_a_function_in_a_file_of_keras_3_is_refused_as_well(tmp_path: pathlib.Path) -> None:
    from kerasexplain.compat.functions import TensorFlowFunction

    path = tmp_path / "new.keras"
    layer = TensorFlowFunction("math.square", [{"tensor": 0}], {})
    model = keras.Sequential([keras.Input((4,)), layer])
    model.save(path)
    x = np.arange(4.0, dtype="float32")[None]
    np.testing.assert_array_equal(compat.load_model(path)(x), x**2)
    layer.function = "io.read_file"
    model.save(path)
    with pytest.raises(UnsupportedModelError, match=r"the model calls tf\.io\.read_file, which is none of"):
        compat.load_model(path)(x)


@NEEDS_TENSORFLOW
def test_a_layer_of_a_function_that_is_called_twice_is_told(tmp_path: pathlib.Path) -> None:
    def twice(config: dict[str, Any]) -> None:
        layer_of(config, "tf.nn.relu")["inbound_nodes"] *= 2

    with pytest.raises(UnsupportedModelError, match=r"the layer 'tf\.nn\.relu' \(TFOpLambda\) is called several times"):
        compat.load_model(changed("tfop", tmp_path, twice))


@NEEDS_TENSORFLOW
def test_functions_of_tensorflow_survive_being_saved_again(tmp_path: pathlib.Path) -> None:
    compat.load_model(DATA / "tfop.h5").save(tmp_path / "new.keras")
    assert_predicts(compat.load_model(tmp_path / "new.keras"), *reference("tfop"))


@pytest.mark.not_on("tensorflow", "it runs them")
def test_functions_of_tensorflow_need_tensorflow() -> None:
    with pytest.raises(ValueError, match=r"TensorFlow alone|KERAS_BACKEND|No module named 'tensorflow'"):
        compat.load_model(DATA / "tfop.h5")
