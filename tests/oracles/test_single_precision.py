"""In single precision every analyzer is as near to the numbers of double precision as the program that made them."""

from __future__ import annotations

import functools
import pathlib
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
from helpers import networks
from helpers.oracles import innvestigate, toolbox, zennit

import kerasexplain
from kerasexplain.rules import WinnerTakesAll

pytestmark = pytest.mark.once("single precision is compared where the references' programs ran")

#: What single precision is held to, of max|R|, where it is not known how exact the other program's is.
TOLERANCE = 2e-5
#: Where it is known, ours is at most so many times as far off: XLA adds up in an order of its own. Or below a few
#: roundings.
TIMES, ROUNDINGS = 2.0, 2e-6

#: What divides by sums that nearly cancel, with nothing to stabilize them: one sample in four then has relevance 50 to
#: 3000 times that of the others, and single precision is lost in the formula itself.
CANCELLING = {"mlp": (), "mlp_nobias": (), "cnn": ("lrp.epsilon|bias=False", "lrp.z_plus_fast")}


def error(found: np.ndarray, exact: np.ndarray) -> float:
    assert found.dtype == "float32"
    assert exact.dtype == "float64"
    return float(np.abs(found - exact).max() / np.abs(exact).max())


def zennits(name: str, key: str, analyzer: str, jit_compile: bool = False, **options: Any) -> tuple[float, float]:
    """How far off we are, and how far zennit or captum is."""
    model, arrays = zennit.network(name, "float32")
    exact, single = (arrays[full] for full in (f"f64__{key}", f"f32__{key}"))
    explainer = kerasexplain.create_analyzer(analyzer, model, jit_compile=jit_compile, **options)
    return error(explainer.analyze(arrays["input"].astype("float32"), zennit.TARGET), exact), error(single, exact)


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.xla)])
@pytest.mark.parametrize("key", zennit.RULES)
@pytest.mark.parametrize("name", zennit.NETWORKS)
def test_a_rule_is_as_exact_as_zennits(name: str, key: str, jit_compile: bool) -> None:
    stored = zennit.reference_key(name, "float32", key).removeprefix("f32__")
    options = {**zennit.RULES[key], "stabilizer": zennit.EPSILON}
    ours, theirs = zennits(name, stored, "lrp", jit_compile, **options)
    assert ours < max(TIMES * theirs, ROUNDINGS)


@pytest.mark.parametrize("key", zennit.CAPTUM)
@pytest.mark.parametrize("name", zennit.WITH_CAPTUM)
def test_an_analyzer_is_as_exact_as_captums(name: str, key: str) -> None:
    analyzer, options, _ = zennit.CAPTUM[key]
    ours, theirs = zennits(name, key, analyzer, **options)
    assert ours < max(TIMES * theirs, ROUNDINGS)


@functools.cache
def single(name: str) -> tuple[keras.Model, dict[str, Any]]:
    arrays = networks.read("innvestigate", f"{name}.f64")
    return networks.load(networks.from_spec(str(arrays["spec"]), "float32"), arrays, "w/{layer}/{weight}"), arrays


@pytest.mark.parametrize("name", networks.INNVESTIGATE)
def test_innvestigates_names(name: str) -> None:
    model, arrays = single(name)
    far = {}
    for key in innvestigate.attributions(name):
        if key in CANCELLING[name]:
            continue
        analyzer, options, mode = innvestigate.parsed(key)
        if analyzer.startswith(("lrp", "deep_taylor")):
            options["stabilizer"] = 1e-14
        if analyzer == "integrated_gradients":
            options["method"] = "riemann_left"
        explainer = kerasexplain.create_analyzer(analyzer, model, neuron_selection_mode=mode, **options)
        target = innvestigate.TARGET if mode == "index" else None
        far[key] = error(explainer.analyze(arrays["x"].astype("float32"), target), arrays[key])
    assert {key: off for key, off in far.items() if not off < TOLERANCE} == {}


@pytest.mark.parametrize("key", toolbox.BASES)
@pytest.mark.parametrize("name", toolbox.NETWORKS)
def test_the_toolboxs_rules(name: str, key: str, reference_networks: ModuleType, reference_data: pathlib.Path) -> None:
    model, reference = reference_networks.build(name, "float32")[0], toolbox.arrays(reference_data, name)
    pools = any(isinstance(layer, toolbox.POOLING) for layer in model.layers)
    explainer = kerasexplain.create_analyzer(
        "lrp",
        model,
        stabilizer=toolbox.STABILIZER,
        maximum=WinnerTakesAll(ties="share"),
        **toolbox.options(key, pools),
    )
    exact = reference[key] / toolbox.relevance_grown_by_the_toolbox(name, key)
    found = explainer.analyze(reference["input"].astype("float32"), reference["target"])
    assert error(found, exact) < TOLERANCE
