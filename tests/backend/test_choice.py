"""Which backends there are, and what is said where one is missing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest


def imported_on(backend: str) -> str:
    """The messages of a new process that uses kerasexplain with Keras set to that backend."""
    code = "import kerasexplain; kerasexplain.create_analyzer"
    environment = {**os.environ, "KERAS_BACKEND": backend}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stderr


def test_a_backend_of_keras_that_is_not_supported() -> None:
    pytest.importorskip("jax", reason="Keras' numpy backend needs it")
    said = imported_on("numpy").splitlines()[-1]
    assert "ImportError: kerasexplain runs on the TensorFlow, JAX and PyTorch backends of Keras" in said
    assert "KERAS_BACKEND" in said
    assert "kerasexplain[jax]" in said


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_a_backend_that_is_not_installed(backend: str) -> None:
    if importlib.util.find_spec(backend) is not None:
        pytest.skip(f"{backend} is installed")
    said = imported_on(backend).splitlines()[-1]
    assert said.startswith(f"ImportError: Keras is set to a backend that is not installed: {backend}.")
    assert "pip install 'kerasexplain[tensorflow]'" in said
    command = [sys.executable, "-m", "kerasexplain.cli", "list", "--rules"]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    listed = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert listed.returncode == 2
    assert listed.stderr.startswith(f"kerasexplain: error: Keras is set to a backend that is not installed: {backend}.")
