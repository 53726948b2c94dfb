"""Fixtures and marks of all tests: fixed seeds, the backends, and the reference data outside the project."""

from __future__ import annotations

import importlib.util
import logging
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
from helpers import browsers

# How long something compiles is a matter of what else the machine does: the test of it listens to the logger.
logging.getLogger("kerasexplain").setLevel(logging.ERROR)

HERE = pathlib.Path(__file__).parent
BACKEND = keras.backend.backend()
#: Real networks, photographs and their reference attributions are too large for the project.
REFERENCE = pathlib.Path(os.environ.get("KERASEXPLAIN_REFERENCE_DATA", HERE.parent.parent / "shared"))

#: JAX compiles in every test. Without --slow, it runs tests of what the backend has a part in.
ON_JAX = ("backend/", "callbacks/", "operations/", "analyzers/test_catalogue.py", "test_analyzer.py", "test_live.py")
ON_JAX += ("metrics/test_randomization.py", "serving/test_alone.py", "training/test_model.py")
ON_JAX += tuple(f"compiler/test_{name}.py" for name in ("recurrent", "remat", "twin", "weight_cache"))

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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="also run what takes long and seldom fails alone")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "tensorflow(reason): is about TensorFlow; skipped on other backends")
    config.addinivalue_line("markers", "not_on(backend, reason): needs what is not available there; skipped on it")
    config.addinivalue_line(
        "markers",
        "once(reason): is the same on every backend; runs on TensorFlow alone, or if it is slow, where --slow is given",
    )
    config.addinivalue_line("markers", "slow(reason): takes long; runs with --slow alone, which CI gives on PyTorch")
    config.addinivalue_line(
        "markers", "formula: is about what is computed and not by what; runs on PyTorch, or by --slow"
    )
    config.addinivalue_line("markers", "compiled: is about compiled functions; TensorFlow compiles none in other tests")
    config.addinivalue_line("markers", "xla: is about XLA; skipped on PyTorch, which does not support it")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        reason = not_here(item, slow=config.getoption("--slow"))
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
    if BACKEND != "tensorflow":
        # JAX runs by XLA, whatever it is asked, and PyTorch without: once is enough.
        twice = [item for item in items if parameters(item).get("jit_compile")]
        config.hook.pytest_deselected(items=twice)
        items[:] = [item for item in items if item not in set(twice)]


def parameters(item: pytest.Item) -> dict[str, Any]:
    return getattr(getattr(item, "callspec", None), "params", {})


def not_here(item: pytest.Item, *, slow: bool) -> str:
    """Why a test does not run on the backend at hand; empty if it does."""
    markers = {marker.name: marker for marker in item.iter_markers()}
    if "slow" in markers and not slow:
        return f"slow ({markers['slow'].args[0]}); --slow runs it"
    if "once" in markers and BACKEND != "tensorflow" and "slow" not in markers:
        return f"the same on every backend: {markers['once'].args[0]}"
    if "tensorflow" in markers and BACKEND != "tensorflow":
        return f"about TensorFlow: {markers['tensorflow'].args[0]}"
    if "xla" in markers and BACKEND == "torch":
        return "about XLA, which PyTorch does not have"
    elsewhere = "xla" in markers or "tensorflow" in markers
    if "formula" in markers and not elsewhere and BACKEND != "torch" and not slow:
        return "about what is computed, and on PyTorch that is quickest; --slow runs it here, too"
    if BACKEND == "jax" and not slow and not item.path.relative_to(HERE).as_posix().startswith(ON_JAX):
        return "on JAX, which compiles in every test, --slow runs it"
    for given in item.iter_markers("not_on"):
        if given.args[0] == BACKEND:
            return given.args[1]
    return ""


@pytest.fixture(autouse=True, scope="module")
def compiled_code_is_given_back() -> Iterator[None]:
    """JAX keeps all that it ever compiled: the suite would need gigabytes."""
    yield
    if BACKEND == "jax":
        import jax

        jax.clear_caches()


@pytest.fixture(autouse=True)
def as_written(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests compile nothing on TensorFlow, unless that is what they are about: most compute once, on small networks.

    On JAX every single operation would be compiled by itself, which takes longer than the whole function.
    """
    compiles = parameters(request.node).get("jit_compile") or any(
        request.node.get_closest_marker(name) for name in ("compiled", "xla")
    )
    if BACKEND != "tensorflow" or compiles:
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
def browser() -> Iterator[Any]:
    """Chromium without a window; one for all tests, for playwright runs once in a process."""
    with browsers.chromium() as started:
        yield started


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
