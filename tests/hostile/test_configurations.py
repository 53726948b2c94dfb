"""Configurations that name what they should not reach: what is registered is made, and nothing else looked up."""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import subprocess
from typing import Any

import keras
import numpy as np
import pytest

from kerasexplain import Explanation, create_analyzer, load_analyzer, rules
from kerasexplain.compat import load_model
from kerasexplain.foundation import hdf5
from kerasexplain.foundation.config import deserialize, serialize
from kerasexplain.foundation.storage import write_analyzer

pytestmark = pytest.mark.once("names are looked up the same way whatever computes")

X = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu"), keras.layers.Dense(2)])


@pytest.fixture
def armed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was run of all that a hostile file would want to."""
    ran: list[str] = []

    begin = subprocess.Popen

    def popen(command: Any, *arguments: Any, **options: Any) -> Any:
        if hdf5._CODE in command:  # the process that looks at a file
            return begin(command, *arguments, **options)
        return ran.append("Popen")

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(os, "system", lambda command: ran.append("system"))
    found = importlib.import_module

    def imports(name: str, *arguments: Any) -> Any:
        if name.split(".")[0] in ("os", "posix", "subprocess", "antigravity", "builtins"):
            ran.append(f"import {name}")
        return found(name, *arguments)

    monkeypatch.setattr(importlib, "import_module", imports)
    return ran


def made(class_name: Any, module: Any = None, config: Any = None, registered: Any = None) -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "config": config or {}, "registered_name": registered}


HOSTILE: list[Any] = [
    made("os.system", config={"command": "touch owned"}),
    made("system", "os", {"command": "touch owned"}),
    made("system", "posix", {"command": "touch owned"}, "system"),
    made("Popen", "subprocess", {"args": "touch owned"}, "Popen"),
    made("function", "os", "system", "system"),
    made("function", "builtins", "eval", "eval"),
    made("function", "builtins", "exec"),
    made("__lambda__", "builtins", {"value": "4wAAAA=="}),
    made("__typespec__", config=[]) | {"spec_name": "system", "module": "os"},
    made("get_file", "keras.utils", {"origin": "file:///etc/passwd"}),
    made("load_model", "keras.saving", {"filepath": "x.keras"}),
    made("Sequential", "keras", {"name": "s", "layers": [made("Dense", "keras.layers", {"units": 10**9})]}),
    made("Dense", "keras.layers", {"units": 10**9}),
    made("TFSMLayer", "keras.layers", {"filepath": "saved"}),
    made("import_module", "importlib", {"name": "antigravity"}),
    made("__class__", "kerasexplain.rules"),
    made("__builtins__", "keras.layers"),
    made(3),
    made(["os", "system"]),
    made(None),
    made("__numpy__", config={"value": ["a"] * 9, "dtype": "U200000000"}),
    made("__numpy__", config={"value": [1], "dtype": "object"}),
    made("__tensor__", config={"value": [1], "dtype": "string"}),
    made("__numpy__", config=[]),
    {"registered": "__builtins__"},
    {"registered": "__loader__"},
    {"registered": "__dict__"},
    {"registered": "deserialize"},
    {"registered": "os.system"},
    {"registered": ["system"]},
    {"registered": None},
    {"sequence": "tuple", "items": [made("system", "os")]},
    {"a": {"b": [made("system", "os")]}},
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: json.dumps(value)[:60])
def test_only_what_is_registered_is_made(value: Any, armed: list[str], network: keras.Model) -> None:
    with pytest.raises((ValueError, TypeError)):
        deserialize(value)
    assert not armed


@pytest.mark.parametrize("place", ["method", "options"])
@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: json.dumps(value)[:60])
def test_analyzers_in_files(
    value: Any, place: str, armed: list[str], network: keras.Model, tmp_path: pathlib.Path
) -> None:
    config = create_analyzer("lrp.epsilon", network).get_config()
    config[place] = config[place] | {"epsilon" if place == "method" else "start": value}
    (tmp_path / "a.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"a\.json' holds no analyzer that can be made"):
        load_analyzer(tmp_path / "a.json", network)
    assert not armed


@pytest.mark.parametrize(
    "name", ["os.system", "__class__", "analyzers.lrp:Epsilon", "../lrp", "", 3, None, ["lrp"], {}]
)
def test_names_of_analyzers(name: Any, network: keras.Model, tmp_path: pathlib.Path, armed: list[str]) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"analyzer": name, "method": {}, "options": {}}))
    with pytest.raises(ValueError, match=r"a\.json' holds no analyzer"):
        load_analyzer(tmp_path / "a.json", network)
    assert not armed


@pytest.mark.parametrize("key", ["__class__", "__init__", "model", "self", "cls", "fitted_fields", "from_config"])
@pytest.mark.parametrize("place", ["method", "options"])
def test_names_of_options(key: str, place: str, network: keras.Model, tmp_path: pathlib.Path) -> None:
    config = create_analyzer("lrp.epsilon", network).get_config()
    config[place] = config[place] | {key: 1}
    (tmp_path / "a.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"a\.json' holds no analyzer that can be made"):
        load_analyzer(tmp_path / "a.json", network)


@pytest.mark.parametrize("key", ["rules", "epsilon", "__class__", "model"])
def test_values_that_no_analyzer_is_fitted_by(key: str, network: keras.Model, tmp_path: pathlib.Path) -> None:
    write_analyzer(tmp_path / "a.h5", create_analyzer("lrp.epsilon", network).get_config(), {key: X})
    with pytest.raises(ValueError, match=r"is fitted to data by other values than \['"):
        load_analyzer(tmp_path / "a.h5", network)


def test_explanations_look_up_nothing(network: keras.Model, tmp_path: pathlib.Path, armed: list[str]) -> None:
    found = create_analyzer("lrp.epsilon", network).explain(X)
    found.analyzer.update(method=made("system", "os"), options={"start": made("system", "os")})
    found.save(tmp_path / "e.h5")
    assert Explanation.load(tmp_path / "e.h5").analyzer == found.analyzer
    assert not armed


@pytest.mark.parametrize("value", HOSTILE[:15], ids=lambda value: json.dumps(value)[:60])
def test_models_in_files(value: Any, armed: list[str], network: keras.Model, tmp_path: pathlib.Path) -> None:
    from helpers.hostile import configuration

    network.save(tmp_path / "m.keras")
    changed = {"activation": value} if value.get("class_name") == "function" else None

    def spoil(config: dict[str, Any]) -> None:
        if changed:
            config["config"]["layers"][1]["config"].update(changed)
        else:
            config["config"]["layers"][1] = value

    configuration(tmp_path / "m.keras", spoil)
    with pytest.raises(ValueError, match=r"m\.keras' holds no Keras model that can be loaded"):
        load_model(tmp_path / "m.keras")
    assert not armed


@keras.saving.register_keras_serializable(package="hostile-tests")
def of_the_users(row: Any) -> bool:
    return True


@pytest.mark.parametrize(
    "value", [1, 0.5, "text", None, [1, (2, "a")], X, rules.Epsilon(0.5), keras.layers.Dense, of_the_users, {"a": 1}]
)
def test_what_configurations_may_hold_is_made_again(value: Any) -> None:
    found = deserialize(json.loads(json.dumps(serialize(value))))
    if isinstance(value, np.ndarray):
        np.testing.assert_array_equal(found, value)
    else:
        assert found == value
