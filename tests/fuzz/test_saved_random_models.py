"""Random models that are saved have the relevance of the Keras model, or are refused in words."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
from helpers.fuzz.checks import RAW
from helpers.fuzz.generator import case
from helpers.uncompiled import uncompiled

from kerasexplain import NotFiniteError, UnsupportedModelError, compat, create_analyzer

pytestmark = pytest.mark.tensorflow("SavedModels are TensorFlow's")
FIRST = int(os.environ.get("KERASEXPLAIN_FUZZ_FIRST", "0"))
COUNT = int(os.environ.get("KERASEXPLAIN_FUZZ", "5"))
ANALYZERS = ("lrp.epsilon", "lrp.epsilon_plus", "lrp.bias_as_input")


@pytest.mark.parametrize("seed", range(FIRST, FIRST + COUNT))
def test_a_random_model_that_is_saved(seed: int, tmp_path: pathlib.Path) -> None:
    with uncompiled():
        what = _became(seed, tmp_path)
    keras.backend.clear_session(free_memory=False)
    print(f"saved random model {seed}: {what}")
    assert not what.startswith("wrong"), f"seed {seed}: {what}"


def _became(seed: int, folder: pathlib.Path) -> str:
    given = case(seed)
    try:
        expected = [_maps(given.model, given.x, name) for name in ANALYZERS]
        given.model.export(str(folder / "saved"), verbose=False)
    except (UnsupportedModelError, NotFiniteError):
        return "refused: as a Keras model"
    except Exception:  # of the backend: the model does not run, or Keras cannot export it
        return "refused: Keras itself does not run or save the model"
    saved = compat.load_model(folder / "saved")
    arrays = keras.tree.flatten(given.x)
    x: Any = dict(zip((tensor.name for tensor in given.model.inputs), arrays, strict=True))
    x = x if len(arrays) > 1 else arrays[0]
    tolerance = 1e-9 if given.dtype == "float64" else 2e-3
    for name, parts in zip(ANALYZERS, expected, strict=True):
        try:
            found = _maps(saved, x, name)
        except UnsupportedModelError as error:
            if any(raw in str(error) for raw in RAW):
                return f"wrong: refused in raw words: {error}"
            return f"refused: {str(error).splitlines()[-2].strip() if len(str(error).splitlines()) > 1 else error}"
        found = [found[tensor.name] for tensor in given.model.inputs] if isinstance(found, dict) else found
        scale = max(np.abs(part).max(initial=0.0) for part in keras.tree.flatten(parts)) + 1e-12
        pairs = zip(keras.tree.flatten(found), keras.tree.flatten(parts), strict=True)
        worst = max(np.abs(one - other).max(initial=0.0) for one, other in pairs) / scale
        if worst > tolerance:
            return f"wrong: {name} differs by {worst:.1e}"
    return "ran"


def _maps(model: keras.Model, x: Any, name: str) -> Any:
    return create_analyzer(name, model).analyze(x, 1)
