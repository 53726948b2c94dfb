"""Unlucky numbers: relevance is finite or a clear error; and what is zero, lost or not known is told."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import pytest

from kerasexplain import NotFiniteError, create_analyzer

pytestmark = pytest.mark.formula

ANALYZERS = (
    *("gradient", "input_t_gradient", "integrated_gradients", "lrp.z", "lrp.epsilon", "lrp.z_plus"),
    *("lrp.alpha_2_beta_1", "lrp.flat", "lrp.w_square", "lrp.gamma", "deep_taylor", "deep_lift", "guided_backprop"),
)
#: What inputs are filled with; "mixed" is some of each.
INPUTS: tuple[Any, ...] = (1e-40, 1e-30, 0.0, 1.0, 1e30, -1e30, 3e38, "mixed")


def network(kind: str, weights: float | None, dtype: str) -> keras.Model:
    """A tiny network; all of its kernels hold that number, if there is one."""
    keras.utils.set_random_seed(0)
    if kind == "dense":
        inputs = keras.Input((4,))
        x = keras.layers.Dense(5, "relu", dtype=dtype)(inputs)
    else:
        inputs = keras.Input((4, 4, 1))
        x = keras.layers.Conv2D(2, 2, dtype=dtype)(inputs)
        x = keras.layers.Activation("relu", dtype=dtype)(keras.layers.BatchNormalization(dtype=dtype)(x))
        x = keras.layers.Flatten(dtype=dtype)(keras.layers.MaxPooling2D(2, 1, dtype=dtype)(x))
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax" if kind == "conv" else None, dtype=dtype)(x))
    if weights is not None:
        model.set_weights([np.full_like(w, weights) if w.ndim > 1 else w for w in model.get_weights()])
    return model


def filled(value: Any, shape: tuple[int, ...]) -> np.ndarray:
    numbers = [1e-40, 1e30, -1e30, 0.0, 1.0] if value == "mixed" else [value]
    return np.random.default_rng(0).choice(numbers, size=(2, *shape)).astype("float32")


def check(analyzer: Any, x: np.ndarray) -> str:
    """How an explanation of such numbers ends: "finite", "zero" or "error"; whatever is wrong is told."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("error", RuntimeWarning)
        try:
            found = analyzer.explain(x, audit=analyzer.method.explains_audits)
        except NotFiniteError:
            return "error"
    assert np.isfinite(found.relevance).all()
    assert np.isfinite(found.explained).all()
    audit = found.audit
    if audit is not None:
        numbers = np.array([audit.explained, audit.inputs, audit.biases, audit.lost], "float64")
        if np.isfinite(numbers).all():
            explained, inputs, biases, lost = numbers
            assert np.abs(explained - inputs - biases - lost).max() <= 1e-3 * np.abs(numbers).max()
        else:
            assert "relevance overflows at" in audit.remark
            assert audit.remark in str(audit)
    if np.any(found.relevance) or not np.any(found.explained):
        return "finite"
    assert "no input has any relevance" in found.remark
    return "zero"


@pytest.mark.parametrize("dtype", ["float32", "float16", "mixed_float16"])
@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("name", ANALYZERS)
def test_unlucky_inputs(name: str, kind: str, dtype: str) -> None:
    model = network(kind, None, dtype)
    analyzer = create_analyzer(name, model)
    ends = {str(value): check(analyzer, filled(value, model.inputs[0].shape[1:])) for value in INPUTS}
    assert ends["1.0"] == "finite" or name == "deep_taylor"


@pytest.mark.parametrize("weights", [0.0, 1e30, 1e-30, 1e-40])
@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("name", ANALYZERS)
def test_unlucky_weights(name: str, kind: str, weights: float) -> None:
    model = network(kind, weights, "float32")
    analyzer = create_analyzer(name, model)
    ends = {check(analyzer, filled(value, model.inputs[0].shape[1:])) for value in INPUTS}
    if weights == 1e30:
        assert "error" in ends


def test_weights_that_half_precision_does_not_hold() -> None:
    model = network("dense", 1e30, "mixed_float16")
    with pytest.raises(NotFiniteError, match="NaN or infinite"):
        create_analyzer("lrp.epsilon", model).analyze(filled(1e-40, (4,)))


def test_relevance_that_is_zero_is_told_once() -> None:
    analyzer = create_analyzer("gradient", network("dense", 1e-30, "float32"))
    with pytest.warns(UserWarning, match="no input has any relevance, though the output is not zero") as told:
        analyzer.analyze(filled(1e30, (4,)))
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        analyzer.analyze(filled(1e30, (4,)))
