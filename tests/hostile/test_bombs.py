"""Files that declare more than they are, or lie elsewhere: refused in a line, in seconds and within a gigabyte."""

from __future__ import annotations

import json
import pathlib
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable
from typing import Any

import h5py
import keras
import numpy as np
import pytest

pytest.importorskip("PIL")

from helpers import hostile
from helpers.hostile import array, configuration, directory, members, png, weights, within_bounds

from kerasexplain import load_analyzer
from kerasexplain.cli.command import main
from kerasexplain.compat import declared, load_model
from kerasexplain.foundation import hdf5
from kerasexplain.foundation.untrusted import read_arrays

pytestmark = pytest.mark.once("files are read the same way whatever computes")

TERABYTE = 2**40
X = np.random.default_rng(0).uniform(size=(2, 4, 4, 1)).astype("float32")


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 1))
    return keras.Model(inputs, keras.layers.Dense(2, name="dense")(keras.layers.Flatten()(inputs)))


@pytest.fixture
def folder(network: keras.Model, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The current folder, with a model and what it explains."""
    monkeypatch.chdir(tmp_path)
    network.save(tmp_path / "good.keras")
    network.save(tmp_path / "good.h5")
    np.save(tmp_path / "good.npy", X)
    np.savez(tmp_path / "good.npz", X)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], model: str, inputs: str) -> str:
    """What the command says, which it must in one line."""
    with within_bounds():
        assert main(["explain", model, inputs, "-a", "gradient", "-o", "out.npy"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("kerasexplain: error: ")
    return line


def units(number: int) -> Callable[[Any], None]:
    def change(config: Any) -> None:
        (dense,) = (layer for layer in config["config"]["layers"] if layer["class_name"] == "Dense")
        dense["config"]["units"] = number

    return change


def nested(held: dict[str, bytes]) -> None:
    held["config.json"] = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


def a_chain_of_groups(file: h5py.File) -> None:
    """Each holds the next by two names: 2^40 ways lead to the last."""
    group = file
    for _ in range(40):
        following = group.create_group("a")
        group["b"] = following
        group = following


def declares(shape: tuple[int, ...], **options: Any) -> Callable[[h5py.File], Any]:
    return lambda file: file.create_dataset("huge", shape, "float64", **options)


def _is_pieced_together(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "float64")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4,))
    file.create_virtual_dataset("mine", layout)


HDF5 = [
    (declares((TERABYTE,)), "declares more values than it can hold"),
    (declares((2**24,), chunks=(1,)), "more than 100000 groups, arrays and pieces of arrays"),
    (declares((4,), external=[("/etc/passwd", 0, 32)]), "the values of 'huge' lie in another file"),
    (_is_pieced_together, "the values of 'mine' lie in another file"),
    (lambda file: file.update({"link": h5py.ExternalLink("/etc/passwd", "/x")}), "'link' is a link"),
    (lambda file: file.update({"link": h5py.SoftLink("/layers")}), "'link' is a link"),
    (a_chain_of_groups, "is there by two names"),
    (lambda file: file.create_dataset("text", data=["a", "b"], dtype=h5py.string_dtype()), "of no fixed length"),
    (lambda file: file.attrs.create("text", ["a", "b"], dtype=h5py.string_dtype()), "of no fixed length"),
]

KERAS: list[tuple[Callable[[pathlib.Path], Any], str]] = [
    (lambda path: directory(path, hostile.twins), "lies within another"),
    (lambda path: directory(path, hostile.claims(TERABYTE)), "a decompression bomb"),
    (lambda path: directory(path, hostile.many), "more than 10000 members"),
    (lambda path: members(path, lambda held: held.update({"../up.txt": b""})), "'../up.txt' leads out of the archive"),
    (lambda path: members(path, lambda held: held.update({"/etc/x": b""})), "'/etc/x' leads out of the archive"),
    (lambda path: members(path, lambda _: None, zipfile.ZIP_LZMA), "packed by another way than deflate"),
    (
        lambda path: members(path, lambda held: held.update(zeros=bytes(2**28)), zipfile.ZIP_DEFLATED),
        "a decompression bomb",
    ),
    (lambda path: members(path, lambda held: held.update({"config.json": b" " * 2**25})), "its configuration takes"),
    (lambda path: members(path, nested), "its configuration is nested too deeply"),
    (lambda path: configuration(path, units(10**9)), "ask for more weights than it holds, the layer 'dense' for"),
    *((lambda path, change=change: weights(path, change), said) for change, said in HDF5),
]


@pytest.mark.parametrize(("spoil", "said"), KERAS)
def test_a_model_of_keras(
    spoil: Callable[[pathlib.Path], Any], said: str, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(folder / "good.keras")
    line = told(capsys, "good.keras", "good.npy")
    assert "'good.keras' holds no Keras model that can be loaded: " in line
    assert said in line


def of_h5(path: pathlib.Path, change: Callable[[Any], Any]) -> None:
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)


def test_layers_in_an_hdf5_file_that_ask_for_too_much(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_h5(folder / "good.h5", units(10**9))
    assert "ask for more weights than it holds, the layer 'dense' for" in told(capsys, "good.h5", "good.npy")


@pytest.mark.parametrize(("change", "said"), HDF5)
def test_a_model_in_hdf5(
    change: Callable[[h5py.File], Any], said: str, folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with h5py.File(folder / "good.h5", "r+") as file:
        change(file)
    assert said in told(capsys, "good.h5", "good.npy")


@pytest.mark.parametrize("name", ["good.keras", "good.h5"])
def test_what_is_whole_is_loaded_however_it_is_packed(name: str, network: keras.Model, folder: pathlib.Path) -> None:
    np.testing.assert_array_equal(load_model(folder / name)(X), network(X))
    if name == "good.keras":
        members(folder / name, lambda _: None, zipfile.ZIP_DEFLATED)
        np.testing.assert_array_equal(load_model(folder / name)(X), network(X))


def test_the_process_begins_wherever_the_package_was_found(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = pathlib.Path(hdf5.__file__).parents[2]
    monkeypatch.setattr(sys, "path", ["", *(path for path in sys.path if path and pathlib.Path(path) != root)])
    (folder / "h5py.py").write_text("raise SystemExit")  # beside the model
    answered = []
    answer = hdf5._answer
    monkeypatch.setattr(hdf5, "_answer", lambda command: answered.append(answer(command)) or answered[-1])
    load_model(folder / "good.h5")
    assert [begun and int(said) > 100 for begun, said in answered] == [True]


@pytest.mark.parametrize("program", ["", "/none/python", "/bin/false", "/bin/echo"])
def test_where_no_python_can_be_started_the_file_is_looked_at_here(
    program: str, folder: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    assert load_model(folder / "good.h5").count_params() == load_model(folder / "good.keras").count_params()
    with h5py.File(folder / "good.h5", "r+") as file:
        declares((TERABYTE,))(file)
    assert "declares more values than it can hold" in told(capsys, "good.h5", "good.npy")


@pytest.mark.parametrize("code", ["import os; os.kill(os.getpid(), 11)", "while True: pass"])
def test_a_process_that_crashes_or_never_ends_once_it_has_begun(
    code: str, folder: pathlib.Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hdf5, "_CODE", f"print('begun ', end='', flush=True); {code}".replace("; while", "\nwhile"))
    monkeypatch.setattr(hdf5, "SECONDS", 2)
    assert "the HDF5 library crashed, or did not come to its end" in told(capsys, "good.h5", "good.npy")


def in_half(file: h5py.File) -> None:
    arrays: list[h5py.Dataset] = []
    file.visititems(lambda _, item: arrays.append(item) if isinstance(item, h5py.Dataset) else None)
    for held in arrays:
        name, values = held.name, held[()].astype("float16")
        del file[name]
        file[name] = values


def test_weights_in_half_precision_are_no_fewer(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declared, "_UNSAVED", 0)
    large = keras.Sequential([keras.Input((500,)), keras.layers.Dense(800)])  # 1.6 MB, and 0.8 MB in the file
    large.save(folder / "large.keras")
    weights(folder / "large.keras", in_half)
    assert load_model(folder / "large.keras").count_params() == large.count_params()


ARRAYS: list[tuple[str, Callable[[pathlib.Path], Any], str]] = [
    ("a.npy", lambda path: path.write_bytes(array((TERABYTE,))), "declares 8796093022208 bytes of values, and 0"),
    ("a.npy", lambda path: path.write_bytes(array((2, 4, 4, 1), content=bytes(9))), "256 bytes of values, and 9"),
    ("a.npy", lambda path: path.write_bytes(array((0, 2**63))), "declares the shape|allowed dimension"),
    ("a.npy", lambda path: path.write_bytes(array((-1, -1))), "its header declares the shape (-1, -1)"),
    ("a.npy", lambda path: path.write_bytes(array((1,), "|O", pickle.dumps(1))), "which only pickle could read"),
    ("a.npy", lambda path: path.write_bytes(array((1,)).replace(b"\1\0", b"\3\0", 1)), "another version"),
    ("a.npy", lambda path: path.write_bytes(b"\x93NUMPY\2\0" + struct.pack("<I", 2**31)), "header"),
    ("a.npy", lambda path: path.write_bytes(pickle.dumps(X)), "magic string"),
    ("good.npz", lambda path: directory(path, hostile.twins), "lies within another"),
    ("good.npz", lambda path: directory(path, hostile.claims(TERABYTE)), "a decompression bomb"),
    (
        "good.npz",
        lambda path: members(path, lambda held: held.update({"arr_0.npy": array((TERABYTE,))})),
        "bytes of values, and 0",
    ),
    ("good.npz", lambda path: np.savez(path, np.array([{}], object)), "which only pickle could read"),
    ("good.npz", lambda path: members(path, lambda held: held.update(a=b"")), "its member 'a' is no array"),
    ("a.png", lambda path: path.write_bytes(png(2**16, 2**16)), "it holds no image|pixels"),
    ("a.png", lambda path: path.write_bytes(png(2**13 + 1, 2**13)), "8193 x 8192 pixels, and 67108864 are the most"),
    ("a.png", lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "cannot identify"),
]


@pytest.mark.parametrize(("name", "spoil", "said"), ARRAYS)
def test_what_is_explained(
    name: str,
    spoil: Callable[[pathlib.Path], Any],
    said: str,
    folder: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spoil(folder / name)
    line = told(capsys, "good.keras", name)
    assert f"{name!r} holds no " in line
    assert any(part in line for part in said.split("|"))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
def test_arrays_are_read_as_they_were_saved(save: Callable[..., Any], order: str, tmp_path: pathlib.Path) -> None:
    for values in (X, np.zeros((0, 3)), np.array(2.5), np.arange(6, dtype=">i2").reshape(2, 3), np.array(["a", "bc"])):
        path = tmp_path / ("a.npy" if save is np.save else "a.npz")
        save(path, np.asarray(values, order=order))  # type: ignore[call-overload]
        found = read_arrays(path)
        found = found["arr_0"] if isinstance(found, dict) else found
        np.testing.assert_array_equal(found, values)
        assert found.dtype == values.dtype
        assert found.flags.writeable


@pytest.mark.parametrize("text", [b'{"a":' * 100_000, b'{"a": [' + b"{}," * 12_000_000 + b"{}]}"])
def test_a_saved_analyzer(text: bytes, network: keras.Model, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.json").write_bytes(text)
    with within_bounds(), pytest.raises(ValueError, match=r"a\.json' holds no analyzer: its configuration"):
        load_analyzer(tmp_path / "a.json", network)
