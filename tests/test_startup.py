"""Start-up: what is imported when, and that nothing is compiled before it is needed."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import textwrap
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import kerasexplain
from kerasexplain import backend


def _ran(script: str, **environment: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout


def test_importing_the_package_imports_nothing_else() -> None:
    script = """
        import sys
        before = set(sys.modules)
        import kerasexplain
        print(sorted(name for name in set(sys.modules) - before if name.split(".")[0] not in sys.stdlib_module_names))
    """
    assert _ran(script).strip() == "['kerasexplain']"


def test_analyzers_need_no_images_and_no_tables() -> None:
    """Modules that are slow to import, and only some need: images, rich text, curves."""
    script = """
        import sys, keras
        before = set(sys.modules)
        import kerasexplain
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
        kerasexplain.create_analyzer("lrp.epsilon", model)
        print(sorted({name.split(".")[0] for name in set(sys.modules) - before}))
    """
    imported = _ran(script)
    for name in ("matplotlib", "PIL", "sklearn", "pandas", "tensorboard"):
        assert f"'{name}'" not in imported, name


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["lrp.epsilon_plus", "deep_lift", "integrated_gradients", "occlusion"])
def test_creating_an_analyzer_checks_the_model_and_compiles_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    init = backend.compiled.__init__

    def counting(self: Any, *arguments: Any, **options: Any) -> None:
        made.append(self)
        init(self, *arguments, **options)

    monkeypatch.setattr(backend.compiled, "__init__", counting)
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4, activation="relu"), layers.Dense(3)])
    analyzer = kerasexplain.create_analyzer(name, model)
    assert str(analyzer)
    assert not {"twin", "program"} & set(vars(analyzer._first))
    assert made == []
    analyzer.analyze(np.ones((2, 8)))
    assert len(made) == analyzer.traces > 0
    before = len(made)
    analyzer.analyze(np.ones((5, 8)))
    assert len(made) == before
    if keras.backend.backend() != "jax":  # which compiles for every batch size
        assert analyzer.traces == before


CACHED = """
    import keras, numpy as np, kerasexplain
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(3)])
    kerasexplain.create_analyzer("lrp.epsilon", model, jit_compile=True).analyze(np.ones((2, 8)), 1)
"""


@pytest.mark.xla
def test_the_compilation_cache_of_xla_is_honoured(tmp_path: pathlib.Path) -> None:
    environment = {"TF_XLA_FLAGS": f"--tf_xla_persistent_cache_directory={tmp_path}"}
    if keras.backend.backend() == "jax":
        environment = {
            "JAX_COMPILATION_CACHE_DIR": str(tmp_path),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }
    _ran(CACHED, **environment)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept
    _ran(CACHED, **environment)
    assert sorted(path.name for path in tmp_path.iterdir()) == kept  # found again: nothing was compiled anew


def test_a_precision_that_cannot_be_had_is_refused_at_once() -> None:
    model = keras.Sequential([keras.Input((8,)), layers.Dense(3)])
    with pytest.raises(ValueError, match="precision must be one of"):
        kerasexplain.create_analyzer("lrp.epsilon", model, precision="half")
    if not backend.on_accelerator():
        with pytest.raises(ValueError, match=r"does not support precision='bfloat16': choose among 'auto', 'float32'"):
            kerasexplain.create_analyzer("lrp.epsilon", model, precision="bfloat16")
    x = np.ones((2, 8), "float32")
    same = (kerasexplain.create_analyzer("lrp.epsilon", model, precision=p).analyze(x) for p in ("auto", "float32"))
    np.testing.assert_array_equal(*same)
