"""Every rule and composite agrees with zennit, and Epsilon with captum, on four small networks (`tests/data`)."""

from __future__ import annotations

import re

import numpy as np
import pytest
from helpers import networks
from helpers.oracles.zennit import (
    CAPTUM,
    COMPOSITE_TOLERANCE,
    COMPOSITES,
    EPSILON,
    FOLDING_RESIDUE,
    NETWORKS,
    NOT_COMPARED,
    RELATIVE,
    RULES,
    SIGNALS,
    TARGET,
    TOLERANCE,
    WITH_CAPTUM,
    WITH_RELATIVE,
    check,
    every_composite,
    every_rule,
    network,
    reference_key,
)

import kerasexplain

pytestmark = pytest.mark.formula


@every_rule
@pytest.mark.parametrize("key", RULES)
def test_a_rule_in_every_layer(name: str, dtype: str, jit_compile: bool, key: str) -> None:
    options = {**RULES[key], "stabilizer": EPSILON, "jit_compile": jit_compile}
    check(name, dtype, reference_key(name, dtype, key), TOLERANCE[dtype], "lrp", **options)


@every_composite
@pytest.mark.parametrize("key", COMPOSITES)
def test_a_composite(name: str, dtype: str, jit_compile: bool, key: str) -> None:
    analyzer, options = COMPOSITES[key]
    options = {**options, "stabilizer": EPSILON, "jit_compile": jit_compile}
    check(name, dtype, reference_key(name, dtype, key), COMPOSITE_TOLERANCE, analyzer, **options)


@every_composite
@pytest.mark.parametrize("key", SIGNALS)
def test_a_modified_gradient(name: str, dtype: str, jit_compile: bool, key: str) -> None:
    analyzer, options = SIGNALS[key]
    key = reference_key(name, dtype, key)
    check(name, dtype, key, TOLERANCE[dtype], analyzer, jit_compile=jit_compile, **options)


@pytest.mark.parametrize("name", WITH_RELATIVE)
@pytest.mark.parametrize("key", RELATIVE)
def test_relative_stabilizers_and_softplus(name: str, key: str) -> None:
    analyzer, options = RELATIVE[key]
    model, arrays = network(name, "float64")
    found = kerasexplain.create_analyzer(analyzer, model, **options).analyze(arrays["input"], TARGET)
    expected = networks.read("zennit", "relative")[f"{name}__{key}"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE["float64"] * np.abs(expected).max())


def test_all_of_relative_npz_is_compared() -> None:
    compared = {f"{name}__{key}" for name in WITH_RELATIVE for key in RELATIVE}
    assert set(networks.read("zennit", "relative")) == compared


@every_composite
def test_the_gradient(name: str, dtype: str, jit_compile: bool) -> None:
    key = f"f{dtype[-2:]}__gradient__onehot"
    check(name, dtype, key, TOLERANCE[dtype], "gradient", jit_compile=jit_compile)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", WITH_CAPTUM)
@pytest.mark.parametrize("key", CAPTUM)
def test_captum(name: str, dtype: str, key: str) -> None:
    analyzer, options, tolerance = CAPTUM[key]
    tolerance = max(tolerance, TOLERANCE[dtype])
    check(name, dtype, f"f{dtype[-2:]}__{key}", tolerance, analyzer, **options)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_are_the_same(name: str, dtype: str) -> None:
    model, arrays = network(name, dtype)
    expected = arrays[f"f{dtype[-2:]}__logits"]
    atol = {"float64": 1e-12, "float32": 1e-5}[dtype] * np.abs(expected).max()
    analyzer = kerasexplain.create_analyzer("lrp.epsilon", model)
    for found in (model.predict(arrays["input"], verbose=0), analyzer.explain(arrays["input"], TARGET).output):
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def test_zennit_folds_batch_normalization_with_the_epsilon_of_keras() -> None:
    model, arrays = network("bn_cnn", "float64")
    for layer in ("bn1", "bn2"):
        assert arrays[f"keras__{layer}__epsilon"] == model.get_layer(layer).epsilon


@pytest.mark.parametrize("name", NETWORKS)
def test_every_key_of_the_file_is_compared_or_accounted_for(name: str) -> None:
    model, arrays = network(name, "float64")
    compared = {"input"}
    for dtype in TOLERANCE:
        prefix = f"f{dtype[-2:]}__"
        compared |= {reference_key(name, dtype, key) for key in (*RULES, *COMPOSITES, *SIGNALS)}
        compared |= {f"{prefix}logits", f"{prefix}gradient__onehot"}
        compared |= {prefix + key for key in CAPTUM if name in WITH_CAPTUM}
    for layer in model.layers:
        compared |= {f"keras__{layer.name}__{variable.name}" for variable in layer.variables}
        compared |= {f"keras__{layer.name}__epsilon"} if hasattr(layer, "epsilon") else set()
    reasons = {**NOT_COMPARED, **({FOLDING_RESIDUE: "see there"} if name == "bn_cnn" else {})}
    left = {key for key in arrays if not any(re.fullmatch(pattern, key) for pattern in reasons)}
    assert left == compared
