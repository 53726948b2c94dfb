"""The list of analyzers is read from their source: it says what the classes themselves say, and imports no Keras."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import subprocess
import sys
import textwrap

import pytest

import kerasexplain
from kerasexplain import listing, registry
from kerasexplain.compiler import options as common

pytestmark = pytest.mark.once("the same whatever computes")

NAMES = listing.names()


def test_every_registered_analyzer_is_listed() -> None:
    assert kerasexplain.analyzer_names() == registry.names() == NAMES
    assert len(NAMES) > 40


@pytest.mark.parametrize("name", NAMES)
def test_options_are_those_of_the_class(name: str) -> None:
    kind, found = registry.find(name), listing.listed(name)
    fields = [field for field in dataclasses.fields(kind) if field.name not in kind.fitted_fields]  # type: ignore[arg-type]
    assert [option.name for option in found.options] == [field.name for field in fields]
    for option, field in zip(found.options, fields, strict=True):
        assert option.type == field.type
        assert (option.default is None) == (field.default is dataclasses.MISSING)
        if option.default is not None:
            assert ast.literal_eval(option.default) == field.default
        assert option.about, f"no docstring of {name} or its bases says what {option.name} is"
        assert "\n" not in option.about


@pytest.mark.parametrize("name", NAMES)
def test_an_analyzer_is_described_by_its_docstring(name: str) -> None:
    doc, found = inspect.getdoc(registry.find(name)), listing.listed(name)
    assert doc is not None
    assert found.about == doc.split("\n")[0]
    assert found.source
    assert found.source in " ".join(doc.split())


def test_common_options_are_those_that_every_analyzer_takes() -> None:
    fields = {field.name: field.default for field in dataclasses.fields(common.Options)}
    found = {option.name: option for option in listing.common_options()}
    assert list(found) == list(fields)
    for name, default in fields.items():
        assert ast.literal_eval(str(found[name].default)) == default
        assert found[name].about


def test_help_tells_the_common_options_and_their_defaults() -> None:
    told = inspect.getdoc(kerasexplain.create_analyzer)
    assert told is not None
    for name, default in {**{f.name: f.default for f in dataclasses.fields(common.Options)}, "example": None}.items():
        shown = f'"{default}"' if isinstance(default, str) else repr(default)
        assert f"`{name}={shown}`: " in told


def test_a_table_tells_the_options_and_the_paper() -> None:
    said = str(kerasexplain.analyzer_options("lrp.epsilon"))
    lines = {line.split()[0]: line for line in said.splitlines() if line.startswith("  ")}
    assert "Stabilizer | None" in lines["epsilon"]
    assert "True" in lines["bias"]
    assert "32" in lines["batch_size"]
    assert "Source: Bach et al. 2015" in said
    assert "needed" in str(kerasexplain.analyzer_options("deep_taylor.bounded"))
    assert max(map(len, said.splitlines())) < 220
    with pytest.raises(ValueError, match=r"Did you mean 'lrp.epsilon'"):
        kerasexplain.analyzer_options("lrp.epsilom")


@pytest.mark.parametrize("arguments", [["list"], ["list", "lrp.epsilon"]])
def test_the_command_imports_neither_keras_nor_a_backend(arguments: list[str]) -> None:
    script = f"""
        import sys
        from kerasexplain.cli.command import main
        assert main({arguments!r}) == 0
        roots = {{name.split(".")[0] for name in sys.modules}}
        print(sorted(roots & {{"keras", "tensorflow", "jax", "torch", "h5py"}}))
    """
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "[]"


def test_a_stranger_without_dataclass_sources_is_still_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a package has no source: its class is asked."""
    monkeypatch.setattr(listing, "_line_of", lambda module, name: iter(()))
    doc = inspect.getdoc(registry.find("gradient"))
    assert doc is not None
    assert listing.listed("gradient").about == doc.split("\n")[0]
