"""Strangers' analyzers come in by the door that ours come in by."""

from __future__ import annotations

import pathlib
import sys
import textwrap
from collections.abc import Iterator

import keras
import numpy as np
import pytest
from keras import layers

import kerasexplain
from kerasexplain import listing, registry

MODULE = """
    import dataclasses
    from typing import Any, ClassVar

    from kerasexplain import Composite, Method, rules


    @dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
    class Tripled(Method):
        name: ClassVar[str] = "stranger.tripled"
        factor: float = 3.0

        def composite(self) -> Composite:
            return Composite(rules=[("*", rules.Z())])

        def attribution(self, x: Any, q: Any) -> Any:
            return self.factor * x * q


    no_method = "only a string"
"""
ENTRY_POINTS = """
    [kerasexplain.analyzers]
    stranger.tripled = stranger_of_kerasexplain:Tripled
    stranger.broken = stranger_of_kerasexplain:no_method
"""


@pytest.fixture
def stranger(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution of its own, with two entry points."""
    (tmp_path / "stranger_of_kerasexplain.py").write_text(textwrap.dedent(MODULE))
    metadata = tmp_path / "stranger_of_kerasexplain-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger-of-kerasexplain\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(textwrap.dedent(ENTRY_POINTS))
    monkeypatch.syspath_prepend(str(tmp_path))
    listing.entry_points.cache_clear()
    yield
    listing.entry_points.cache_clear()
    sys.modules.pop("stranger_of_kerasexplain", None)


@pytest.fixture
def model() -> keras.Model:
    inputs = keras.Input((3,))
    return keras.Model(inputs, layers.Dense(2)(inputs))


@pytest.mark.usefixtures("stranger")
def test_a_stranger_s_method_is_made_configured_saved_and_loaded(model: keras.Model, tmp_path: pathlib.Path) -> None:
    assert "stranger.tripled" in kerasexplain.analyzer_names()
    x = np.array([[1.0, -2.0, 0.5]])
    expected = kerasexplain.create_analyzer("lrp.z", model).analyze(x)
    analyzer = kerasexplain.create_analyzer("stranger.tripled", model)
    np.testing.assert_allclose(analyzer.analyze(x), 3 * expected, rtol=1e-6)
    doubled = kerasexplain.create_analyzer("stranger.tripled", model, factor=2.0, batch_size=5)
    np.testing.assert_allclose(doubled.analyze(x), 2 * expected, rtol=1e-6)
    doubled.save(tmp_path / "analyzer.json")
    assert kerasexplain.load_analyzer(tmp_path / "analyzer.json", model) == doubled != analyzer
    with pytest.raises(ValueError, match=r"'stranger\.tripled' has no option 'factr'.*'factor'"):
        kerasexplain.create_analyzer("stranger.tripled", model, factr=1.0)


@pytest.mark.usefixtures("stranger")
def test_what_is_registered_but_no_method_is_refused(model: keras.Model) -> None:
    with pytest.raises(TypeError, match=r"'stranger\.broken'.*'only a string', which is no subclass of Method"):
        kerasexplain.create_analyzer("stranger.broken", model)


def test_without_the_stranger_its_name_is_not_known(model: keras.Model) -> None:
    assert "stranger.tripled" not in kerasexplain.analyzer_names()
    with pytest.raises(ValueError, match=r"there is no analyzer 'stranger\.tripled'"):
        kerasexplain.create_analyzer("stranger.tripled", model)


@pytest.mark.parametrize("name", kerasexplain.analyzer_names())
def test_every_name_leads_to_a_method_of_that_name(name: str) -> None:
    method = registry.find(name)
    assert method.name == name
    assert method.__doc__


def test_unknown_names_are_answered_with_the_nearest(model: keras.Model) -> None:
    with pytest.raises(ValueError, match=r"no analyzer 'lrp\.zplus'\. Did you mean .*'lrp\.z_plus'"):
        kerasexplain.create_analyzer("lrp.zplus", model)
