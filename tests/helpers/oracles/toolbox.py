"""Helpers that the tests against the toolbox share."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np

from kerasexplain.rules import Epsilon, Flat, WSquare

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


def arrays(reference_data: pathlib.Path, name: str) -> dict[str, np.ndarray]:
    with np.load(reference_data / "oracles" / "toolbox" / f"{name}.npz") as stored:
        return dict(stored)
