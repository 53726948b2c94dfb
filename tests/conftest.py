"""Fixtures and marks of all tests: fixed seeds, the backends, and the reference data outside the project."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

HERE = pathlib.Path(__file__).parent
BACKEND = keras.backend.backend()
#: Real networks, photographs and their reference attributions are too large for the project.
REFERENCE = pathlib.Path(os.environ.get("KERASEXPLAIN_REFERENCE_DATA", HERE.parent.parent / "shared"))

if BACKEND != "tensorflow":
    from helpers import doubles

    doubles.keep()

if BACKEND == "torch":
    import torch

    array_of_torch = torch.Tensor.__array__

    def _array(self: torch.Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Tests read tensors as arrays; here, those with a history too. One of `backend/test_torch.py` does without."""
        exact = self.float() if self.dtype == torch.bfloat16 else self
        array = array_of_torch(exact.detach(), dtype)
        return array.copy() if copy else array

    torch.Tensor.__array__ = _array


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "tensorflow(reason): is about TensorFlow; skipped on other backends")
    config.addinivalue_line("markers", "not_on(backend, reason): needs what is not available there; skipped on it")
    config.addinivalue_line("markers", "once(reason): is the same on every backend; skipped on all but TensorFlow")
    config.addinivalue_line(
        "markers",
        "arithmetic: is about numbers; TensorFlow runs it as it is written, which is quicker, and JAX compiles it",
    )
    config.addinivalue_line("markers", "xla: is about XLA; skipped on PyTorch, which does not support it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if BACKEND == "tensorflow":
        return
    for item in items:
        marker = item.get_closest_marker("tensorflow")
        if marker is not None:
            item.add_marker(pytest.mark.skip(reason=f"about TensorFlow: {marker.args[0]}"))
        same = item.get_closest_marker("once")
        if same is not None:
            item.add_marker(pytest.mark.skip(reason=f"the same on every backend: {same.args[0]}"))
        for given in item.iter_markers("not_on"):
            if given.args[0] == BACKEND:
                item.add_marker(pytest.mark.skip(reason=given.args[1]))
        if BACKEND == "torch" and item.get_closest_marker("xla") is not None:
            item.add_marker(pytest.mark.skip(reason="about XLA, which PyTorch does not have"))
    # JAX runs by XLA, whatever it is asked, and PyTorch without: once is enough.
    twice = [item for item in items if getattr(item, "callspec", None) and item.callspec.params.get("jit_compile")]
    config.hook.pytest_deselected(items=twice)
    items[:] = [item for item in items if item not in set(twice)]


@pytest.fixture(autouse=True, scope="module")
def compiled_code_is_given_back() -> Iterator[None]:
    """JAX keeps all that it ever compiled: the suite would need gigabytes."""
    yield
    if BACKEND == "jax":
        import jax

        jax.clear_caches()


@pytest.fixture(autouse=True)
def as_written(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests of arithmetic compile nothing on TensorFlow, unless XLA is what they are about."""
    params = getattr(getattr(request.node, "callspec", None), "params", {})
    by_xla = params.get("jit_compile") or request.node.get_closest_marker("xla") is not None
    if BACKEND != "tensorflow" or by_xla or request.node.get_closest_marker("arithmetic") is None:
        yield
        return
    from helpers.uncompiled import uncompiled  # not before doubles are kept

    with uncompiled():
        yield


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    keras.utils.set_random_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def reference_networks() -> ModuleType:
    """The module that builds the real networks: `build(name, dtype) -> (model, meta)`."""
    path = REFERENCE / "nets" / "nets.py"
    if not path.exists():
        pytest.skip(f"the reference networks are not at {path}; set KERASEXPLAIN_REFERENCE_DATA")
    spec = importlib.util.spec_from_file_location("reference_networks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the folder may be read-only
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = written
    return module


@pytest.fixture(scope="session")
def reference_data() -> pathlib.Path:
    """The folder of reference data; its tests are skipped where it is absent."""
    if not (REFERENCE / "oracles").exists():
        pytest.skip(f"the reference data are not at {REFERENCE}; set KERASEXPLAIN_REFERENCE_DATA")
    return REFERENCE


@pytest.fixture
def double_precision() -> Iterator[None]:
    """Keras in double precision."""
    policy = keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy(policy)
