"""A process that has the framework alone explains by an export."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

import kerasexplain

BACKEND = keras.backend.backend()
pytestmark = pytest.mark.not_on("torch", "PyTorch has no file for relevance passes")
if BACKEND == "jax":
    pytest.importorskip("flatbuffers")

#: Explains by the export in a folder, where no finder of modules finds Keras or this library.
ALONE = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("keras", "kerasexplain", "tf_keras"):
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Without, sys.meta_path)
import numpy as np

folder, backend = sys.argv[1:]
x = np.load(folder + "/../x.npy")
target = np.array([1, -1], "int64")
if backend == "tensorflow":
    import tensorflow as tf
    explain = tf.saved_model.load(folder).signatures["explain"]
    found = {name: tensor.numpy() for name, tensor in explain(image=tf.constant(x), target=tf.constant(target)).items()}
else:
    import jax.export
    jax.config.update("jax_enable_x64", True)  # as where it was exported
    with open(folder + "/explain.jax", "rb") as file:
        explain = jax.export.deserialize(file.read())
    found = explain.call(dict(np.load(folder + "/weights.npz")), x, target)
assert not {"keras", "kerasexplain"} & set(sys.modules)
np.savez(folder + "/../found.npz", **found)
"""


def test_a_process_without_this_library_and_keras_explains(tmp_path: pathlib.Path) -> None:
    inputs = keras.Input((6, 6, 2), name="image")
    x = layers.MaxPooling2D()(layers.Conv2D(3, 3, activation="relu", bias_initializer="normal")(inputs))
    model = keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.Flatten()(x)))
    analyzer = kerasexplain.create_analyzer("lrp.bias_as_input", model)
    analyzer.export(tmp_path / "export")
    samples = np.random.default_rng(0).uniform(-1, 1, (2, 6, 6, 2)).astype("float32")
    np.save(tmp_path / "x.npy", samples)
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, os.fspath(tmp_path / "export"), BACKEND],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "gradient" not in done.stderr  # such as that none is saved
    largest = int(analyzer.explain(samples).neuron[1])
    expected = analyzer.explain(samples, target=[1, largest], bias=True)
    share = sum(part.reshape(2, -1).sum(axis=1) for part in expected.bias.values())
    scale = np.abs(expected.relevance).max()
    with np.load(tmp_path / "found.npz") as found:
        np.testing.assert_allclose(found["relevance"], expected.relevance, rtol=0, atol=1e-6 * scale)
        np.testing.assert_allclose(found["bias"], share, rtol=0, atol=1e-5 * scale)
        np.testing.assert_allclose(found["output"], expected.output, rtol=1e-6)
        np.testing.assert_array_equal(found["neuron"], [1, largest])
