"""Models, images and arrays for the command, and files that are not what their names say."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import pytest

from tests.helpers.commands import network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A model of each kind, images and arrays, and files that are not what their names say."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("cli")
    keras.utils.set_random_seed(1)
    network((8, 6, 3)).save(folder / "rgb.keras")
    network((8, 6, 1)).save(folder / "grey.keras")
    network((None, None, 3)).save(folder / "any.keras")
    network((8, 6, 1)).save(folder / "grey.h5")
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    keras.Model([a, b], keras.layers.Dense(2)(keras.layers.Concatenate()([a, b]))).save(folder / "two.keras")
    deep = keras.Input((2, 2, 2, 2, 1))
    keras.Model(deep, keras.layers.Dense(2)(keras.layers.Flatten()(deep))).save(folder / "deep.keras")
    np.save(folder / "deep.npy", np.ones((1, 2, 2, 2, 2, 1), "float32"))
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
