"""The rules agree with the LRP toolbox on two real MNIST networks, which are read from outside of the project."""

from __future__ import annotations

import pathlib
import re
from types import ModuleType

import keras
import numpy as np
import pytest
from helpers.oracles.toolbox import (
    KEYS,
    NETWORKS,
    POOLING,
    STABILIZER,
    TOLERANCE,
    arrays,
    options,
    relevance_grown_by_the_toolbox,
)

import kerasexplain
from kerasexplain.rules import WinnerTakesAll

pytestmark = pytest.mark.formula


@pytest.fixture(scope="module")
def models(reference_networks: ModuleType) -> dict[str, keras.Model]:
    return {name: reference_networks.build(name, "float64")[0] for name in NETWORKS}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_rule(name: str, key: str, models: dict[str, keras.Model], reference_data: pathlib.Path) -> None:
    reference = arrays(reference_data, name)
    pools = any(isinstance(layer, POOLING) for layer in models[name].layers)
    analyzer = kerasexplain.create_analyzer(
        "lrp",
        models[name],
        stabilizer=STABILIZER,
        maximum=WinnerTakesAll(ties="share"),
        **options(key, pools),
    )
    found = analyzer.analyze(reference["input"], reference["target"])
    expected = reference[key] / relevance_grown_by_the_toolbox(name, key)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_and_the_start_are_the_same(
    name: str, models: dict[str, keras.Model], reference_data: pathlib.Path
) -> None:
    reference = arrays(reference_data, name)
    analyzer = kerasexplain.create_analyzer("lrp.z", models[name])
    explanation = analyzer.explain(reference["input"], reference["target"])
    chosen = np.take_along_axis(reference["logits"], reference["target"][:, None], axis=1)[:, 0]
    atol = 1e-12 * np.abs(reference["logits"]).max()
    np.testing.assert_allclose(explanation.output, reference["logits"], rtol=0, atol=atol)
    np.testing.assert_allclose(explanation.explained, chosen, rtol=0, atol=atol)
    np.testing.assert_array_equal(reference["R_init"].sum(axis=1), chosen)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_key_of_the_file_is_compared(name: str, reference_data: pathlib.Path) -> None:
    assert {*KEYS, "input", "logits", "target", "R_init"} == set(arrays(reference_data, name))


def test_only_alpha2beta1_is_scaled() -> None:
    scaled = [key for key in KEYS if relevance_grown_by_the_toolbox("mnist_lenet5_toolbox", key) != 1]
    assert all(re.match("alpha2beta1", key) for key in scaled)
    assert len(scaled) == 4
