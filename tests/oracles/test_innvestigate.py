"""The drop-in names and options agree with iNNvestigate 2.1.2, in float64 (`tests/data`)."""

from __future__ import annotations

import re

import numpy as np
import pytest
from helpers import networks
from helpers.oracles.innvestigate import (
    NOT_COMPARED,
    attributions,
    check,
    network,
)

pytestmark = pytest.mark.formula


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
