"""The rules agree with the LRP toolbox on two real MNIST networks, which are read from outside of the project."""

from __future__ import annotations

import pathlib
import re
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest

import kerasexplain
from kerasexplain.rules import Epsilon, Flat, WinnerTakesAll, WSquare

TOLERANCE = 1e-9
STABILIZER = 1e-16
NETWORKS = ("mnist_lenet5_toolbox", "mnist_mlp_relu_own")
KERNELS = (keras.layers.Dense, keras.layers.Conv2D)
POOLING = keras.layers.AveragePooling2D

#: Keys without `__first_...`: what every layer with a kernel follows, and what pooling follows (None: proportional).
#: LeNet's pooling is a sum, twice the mean over 2 x 2. The toolbox adds epsilon to the plain sum, four times the mean.
BASES: dict[str, tuple[Any, Any]] = {
    "simple": ("Z", None),
    "epsilon_0.01": (Epsilon(0.01), Epsilon(0.01 / 4)),
    "epsilon_1": (Epsilon(1), Epsilon(1 / 4)),
    "epsilon_100": (Epsilon(100), Epsilon(100 / 4)),
    "alpha2beta1": ("Alpha2Beta1", None),
    "alpha1beta0": ("Alpha1Beta0", None),
    "ww": (WSquare(), Flat()),
    "flat": (Flat(), Flat()),
}
FIRST = {"ww": "WSquare", "flat": "Flat"}
WITH_FIRST = ("epsilon_0.01", "alpha2beta1", "alpha1beta0")
WITH_SLOW = ("simple", "epsilon_0.01", "alpha2beta1", "alpha1beta0")  # computed by the toolbox's loops once more
KEYS = [
    *BASES,
    *(f"{base}__first_{first}" for base in WITH_FIRST for first in FIRST),
    *(f"{base}_slow" for base in WITH_SLOW),
]


def options(key: str, pools: bool) -> dict[str, Any]:
    base, _, first = key.removesuffix("_slow").partition("__first_")
    kernel, pooling = BASES[base]
    rule = [(KERNELS, kernel), *([(POOLING, pooling)] if pools and pooling is not None else [])]
    return {"rule": rule, **({"input_layer_rule": FIRST[first]} if first else {})}


def relevance_grown_by_the_toolbox(name: str, key: str) -> float:
    """The toolbox multiplies relevance by alpha in each of LeNet's pooling layers, of which it has three.

    A power of two, so that nothing is rounded when it is taken out again.
    """
    return 2.0**3 if name == "mnist_lenet5_toolbox" and key.startswith("alpha2beta1") else 1.0


@pytest.fixture(scope="module")
def models(reference_networks: ModuleType) -> dict[str, keras.Model]:
    return {name: reference_networks.build(name, "float64")[0] for name in NETWORKS}


def arrays(reference_data: pathlib.Path, name: str) -> dict[str, np.ndarray]:
    with np.load(reference_data / "oracles" / "toolbox" / f"{name}.npz") as stored:
        return dict(stored)


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
