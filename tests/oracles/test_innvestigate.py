"""The drop-in names and options agree with iNNvestigate 2.1.2, in float64 (`tests/data`)."""

from __future__ import annotations

import ast
import functools
import re
from typing import Any

import networks
import numpy as np
import pytest

import kerasexplain

pytestmark = pytest.mark.arithmetic

TARGET = 2
TOLERANCE = 1e-9
#: iNNvestigate adds 1e-7 to denominators that are exactly zero and nothing to any other, however small.
STABILIZER = 1e-17

BIAS = "iNNvestigate puts the whole bias in both denominators of alpha-beta; here b+ is in one and b- in the other"
#: What no test compares with, per network, and why. A preset has no alpha-beta on a network without convolutions, and
#: the bias does not matter on one without biases.
NOT_COMPARED: dict[str, dict[str, str]] = {
    "mlp": {
        r"lrp\.alpha_beta\|alpha=[\d.]+,beta=[\d.]+": BIAS,
        r"lrp\.alpha_[12]_beta_[01]": BIAS,
        r"lrp\|rule=Alpha2Beta1": BIAS,
    },
    "mlp_nobias": {},
    "cnn": {
        r"lrp\.alpha_beta\|alpha=[\d.]+,beta=[\d.]+": BIAS,
        r"lrp\.alpha_[12]_beta_[01]": BIAS,
        r"lrp\|rule=Alpha2Beta1": BIAS,
        r"lrp\.sequential_preset_.*": BIAS,
        r"deep_taylor(\.bounded.*)?": "its average pooling is uniform; here it is proportional",
    },
}
ALWAYS_LEFT_OUT = {
    r"lrp\|rule=AlphaBetaX.*": "a rule of four weights without a counterpart here",
    r"__crash__|arch|spec|w/.*|x|y": "no attribution",
}


def attributions(name: str) -> list[str]:
    reasons = {**ALWAYS_LEFT_OUT, **NOT_COMPARED[name]}
    keys = networks.read("innvestigate", f"{name}.f64")
    return [key for key in keys if not any(re.fullmatch(pattern, key) for pattern in reasons)]


@functools.cache
def network(name: str) -> tuple[Any, dict[str, Any]]:
    return networks.innvestigate(name)


def parsed(key: str) -> tuple[str, dict[str, Any], str]:
    """Name, options and neuron selection mode of a key `name|option=value,option=value@mode`."""
    key, _, mode = key.partition("@")
    name, _, given = key.partition("|")
    options = {}
    for option in re.split(r",(?=\w+=)", given) if given else []:
        label, _, value = option.partition("=")
        try:
            options[label] = ast.literal_eval(value)
        except ValueError:
            options[label] = value  # the name of a rule
    return name, options, mode or "index"


def check(name: str, key: str, **more: Any) -> None:
    analyzer, options, mode = parsed(key)
    if analyzer not in kerasexplain.analyzer_names():
        pytest.skip(f"the analyzer {analyzer!r} is not implemented yet")
    if analyzer.startswith(("lrp", "deep_taylor")):
        options["stabilizer"] = STABILIZER
    if analyzer == "integrated_gradients":
        options["method"] = "riemann_left"  # iNNvestigate's sum; ours is Gauss-Legendre unless asked otherwise
    model, arrays = network(name)
    explainer = kerasexplain.create_analyzer(analyzer, model, neuron_selection_mode=mode, **options, **more)
    found, expected = explainer.analyze(arrays["x"], TARGET if mode == "index" else None), arrays[key]
    assert found.dtype == "float64"
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())


@pytest.mark.parametrize(("name", "key"), [(name, key) for name in networks.INNVESTIGATE for key in attributions(name)])
def test_an_analyzer(name: str, key: str) -> None:
    check(name, key)


@pytest.mark.xla
@pytest.mark.parametrize("key", attributions("mlp"))
def test_an_analyzer_under_xla(key: str) -> None:
    check("mlp", key, jit_compile=True)


@pytest.mark.parametrize("name", networks.INNVESTIGATE)
def test_the_networks_are_the_same(name: str) -> None:
    model, arrays = network(name)
    np.testing.assert_allclose(model.predict(arrays["x"], verbose=0), arrays["y"], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "compared"), [("mlp", 44), ("mlp_nobias", 50), ("cnn", 34)])
def test_how_many_keys_are_compared(name: str, compared: int) -> None:
    """A pattern above that leaves out more than it means to shows up here."""
    assert len(attributions(name)) == compared


@pytest.mark.parametrize("name", networks.INNVESTIGATE)
def test_what_is_left_out_is_really_different(name: str) -> None:
    """A key that is left out although it agrees would be a test thrown away."""
    _, arrays = network(name)
    for pattern in NOT_COMPARED[name]:
        for key in [key for key in arrays if re.fullmatch(pattern, key)]:
            with pytest.raises(AssertionError, match="Not equal to tolerance"):
                check(name, key)
