"""The scripts of `docs/distributed.md` run as they stand there, and give what one process gives.

Each takes processes of its own, on the backend that it is for: `tox run -e distributed` has them all but Ray, which
`tox run -e ray` has.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
import re
import shlex
import socket
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest

from kerasexplain import create_analyzer

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "distributed.md"
BACKEND = keras.backend.backend()

pytestmark = pytest.mark.slow("several processes, each of which loads a framework")


@pytest.fixture
def scripts(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder with the scripts of the page."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.S)
    assert len(blocks) == text.count("```python")
    for name, code in blocks:
        (tmp_path / name).write_text(code)
    return tmp_path


def expected(count: int) -> np.ndarray:
    """The relevance that one process gives."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(5)])
    images = np.random.default_rng(0).normal(size=(count, 8, 8, 3)).astype("float32")
    return np.asarray(create_analyzer("lrp.epsilon", model).analyze(images, batch_size=16))


def run(folder: pathlib.Path, script: str) -> None:
    """Runs the commands of the page that start a script, those that end in & at the same time as the next."""
    lines = re.findall(rf"^    (.*\bpython {re.escape(script)}.*)$", PAGE.read_text(encoding="utf-8"), re.M)
    assert lines
    free = [_free_port() for _ in range(2)]
    started = []
    for line in lines:
        command = line.removesuffix("; wait").removesuffix(" &")
        for port, own in zip(("12345", "23456"), free, strict=True):
            command = command.replace(port, own)
        *variables, _, name = shlex.split(command.partition(script)[0] + script)
        given = dict(variable.split("=", 1) for variable in variables)
        environment = {**os.environ, **given, "PYTHONPATH": os.pathsep.join(sys.path)}
        arguments = [sys.executable, name, *shlex.split(command.partition(script)[2])]
        started.append(subprocess.Popen(arguments, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True))
    for process in started:
        said = process.communicate(timeout=240)[1]
        assert process.returncode == 0, said


def _free_port() -> str:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return str(found.getsockname()[1])


def missing(*names: str) -> bool:
    return any(importlib.util.find_spec(name) is None for name in names)


@pytest.mark.parametrize(
    ("script", "backend", "files"),
    [
        ("mirrored.py", "tensorflow", ["mirrored.npy"]),
        ("data_parallel.py", "jax", ["data_parallel.npy"]),
        ("by_joblib.py", "", ["joblib.npy"]),
        ("by_loader.py", "torch", ["loaded.npy", "by_workers.npy"]),
    ],
)
def test_scripts_that_save_relevance(scripts: pathlib.Path, script: str, backend: str, files: list[str]) -> None:
    if backend not in ("", BACKEND):
        pytest.skip(f"is about {backend}")
    if "joblib" in script and missing("joblib"):
        pytest.skip("joblib is not installed")
    run(scripts, script)
    for file in files:
        np.testing.assert_allclose(np.load(scripts / file), expected(50), rtol=0, atol=1e-6)


@pytest.mark.parametrize("script", ["part.py", "worker.py"])
def test_shards(scripts: pathlib.Path, script: str) -> None:
    if script == "worker.py" and BACKEND != "tensorflow":
        pytest.skip("is about tensorflow")
    run(scripts, script)
    run(scripts, "join.py")
    from kerasexplain.store import Store

    store = Store(scripts / "relevance.h5")
    assert len(store) == 1000
    np.testing.assert_allclose(store.relevance, expected(1000), rtol=0, atol=1e-6)


def test_ray(scripts: pathlib.Path) -> None:
    if BACKEND != "tensorflow" or missing("ray", "pyarrow"):
        pytest.skip("tox run -e ray has Ray")
    run(scripts, "by_ray.py")
    import pyarrow.parquet

    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(scripts / "explained").to_pylist()
    rows.sort(key=lambda row: row["number"])
    found = np.stack([np.reshape(row["relevance"], (8, 8, 3)) for row in rows])
    np.testing.assert_allclose(found, expected(50), rtol=0, atol=1e-6)
