"""Answers do not depend on what the process did before."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

HERE = pathlib.Path(__file__).parent

SCRIPT = """
import sys
import keras, numpy as np
from keras import layers, ops
import kerasexplain

if "used" in sys.argv:
    x = np.ones((1, 4, 3), "float32")
    for kind in (layers.LSTM, layers.GRU, layers.SimpleRNN):
        model = keras.Sequential([keras.Input((4, 3)), layers.Bidirectional(kind(3)), layers.Dense(2)])
        kerasexplain.create_analyzer("lrp.epsilon", model).analyze(x)


class Steps(layers.Layer):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def build(self, shape):
        self.cell.build((shape[0], shape[2]))
        self.built = True

    def call(self, x):
        state = ops.zeros_like(x[:, 0, :1]) + ops.zeros((1, 5))
        states = [state] * len(keras.tree.flatten(self.cell.state_size))
        for step in range(4):
            y, states = self.cell(x[:, step], states)
        return y


x = np.random.default_rng(9).normal(size=(2, 4, 3)).astype("float32")
for cell in (layers.GRUCell(5, reset_after=False), layers.GRUCell(5), layers.SimpleRNNCell(5), layers.LSTMCell(5)):
    inputs = keras.Input((4, 3))
    model = keras.Model(inputs, layers.Dense(2)(Steps(cell)(inputs)))
    for number, weight in enumerate(model.weights):
        weight.assign(np.random.default_rng(number).normal(size=weight.shape))
    for name in ("lrp.z_plus", "lrp.epsilon", "gradient"):
        print("R", *kerasexplain.create_analyzer(name, model).analyze(x, 1).ravel())
"""


def answers(*arguments: str) -> np.ndarray:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, timeout=300)
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("R ")]
    assert len(lines) == 12, done.stderr[-2000:]
    return np.array(lines, dtype=float)


@pytest.mark.slow("three processes that each explain twelve models")
def test_a_fresh_process_and_a_used_one_agree_on_layers_that_call_cells() -> None:
    fresh, used = answers(), answers("used")
    np.testing.assert_allclose(fresh, used, rtol=1e-5, atol=1e-6)


@pytest.mark.slow("explains hundreds of models, each in a process of its own")
@pytest.mark.tensorflow("other backends are not to be forked")
def test_a_fresh_process_and_a_used_one_agree_on_the_catalogue() -> None:
    """Some of it: `tox run -e fuzz` takes all."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "helpers.histories", os.environ.get("KERASEXPLAIN_HISTORIES", "25")],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    alike, total, refused = map(int, re.findall(r"\d+", done.stdout.splitlines()[-1]))
    assert alike == total > 10 > refused
