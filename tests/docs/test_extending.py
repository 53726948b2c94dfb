"""The code in `docs/extending.md`, for authors of rules, layers and methods, is run as it stands there."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
from helpers import page_code

import kerasexplain


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """The names that the page's code makes."""
    return page_code.ran("docs/extending.md").names


def test_the_rule_is_its_formula_and_can_be_saved(page: dict[str, Any], tmp_path: pathlib.Path) -> None:
    model, x, rule = page["model"], page["x"], page["RootMeanSquare"]
    found = kerasexplain.create_analyzer("lrp", model, rule=rule(0.2)).explain(x, 1, layers=["hidden"])
    (W1, b1), (W2, b2) = (layer.get_weights() for layer in model.layers)
    hidden = np.maximum(x @ W1 + b1, 0)
    z = hidden @ W2 + b2
    R = np.where(np.arange(3) == 1, z, 0)
    s = R * z / (z**2 + 0.2 * np.mean(z**2, axis=1, keepdims=True))
    np.testing.assert_allclose(found.layers["hidden"], hidden * (s @ W2.T), rtol=1e-4, atol=1e-6)

    page["analyzer"].save(tmp_path / "analyzer.json")
    assert kerasexplain.load_analyzer(tmp_path / "analyzer.json", model) == page["analyzer"]


def test_relevance_passes_the_layers_as_they_say(page: dict[str, Any]) -> None:
    explanation = page["explanation"]
    np.testing.assert_allclose(explanation.relevance.sum(axis=1), explanation.explained, rtol=1e-4, atol=1e-6)


def test_the_method_follows_its_rules(page: dict[str, Any]) -> None:
    rules = {row.name: type(row.rule).__name__ for row in page["mine"].rows if row.kernel}
    assert rules == {"hidden": "Flat", "logits": "RootMeanSquare"}


def test_the_method_of_several_passes_is_a_mean(page: dict[str, Any]) -> None:
    x = page["x"]
    noises = [0.1 * np.random.default_rng(copy).normal(size=x.shape[1:]) for copy in range(8)]
    plain = kerasexplain.Analyzer(page["model"], page["FlatBelow"]())
    expected = np.mean([plain.analyze((x + noise).astype("float32"), 2) for noise in noises], axis=0)
    np.testing.assert_allclose(page["smoothed"].analyze(x, 2), expected, rtol=1e-4, atol=1e-5)
