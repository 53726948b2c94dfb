"""Files: what is damaged, foreign or missing is told, and never taken for what was saved."""

from __future__ import annotations

import json
import os
import pathlib
import random
from collections.abc import Callable
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from kerasexplain import Analyzer, Explanation, create_analyzer, load_analyzer
from kerasexplain.foundation import storage

pytestmark = pytest.mark.once("files hold arrays, whatever computed them")

X = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")


def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    hidden = layers.Dense(3, "relu", name="hidden")(inputs)
    return keras.Model(inputs, layers.Dense(2, name="head")(hidden))


class Saved:
    """Something in a file, and how it is loaded.

    Args:
        thing: An explanation or an analyzer.
        path: Where it is saved.
    """

    def __init__(self, thing: Explanation | Analyzer, path: pathlib.Path) -> None:
        self.thing, self.path = thing, path
        thing.save(path)

    def load(self) -> Any:
        if isinstance(self.thing, Explanation):
            return Explanation.load(self.path)
        return load_analyzer(self.path, self.thing.model)

    def is_like(self, other: Any) -> bool:
        """Whether that is what was saved."""
        return _content(other) == _content(self.thing)


def _content(thing: Any) -> Any:
    if isinstance(thing, Analyzer):
        return thing.get_config(), [np.asarray(array).tolist() for array in keras.tree.flatten(_fitted(thing))]
    values = [thing.relevance, thing.bias, thing.layers, thing.output, thing.neuron, thing.explained]
    arrays = [np.asarray(value) for value in keras.tree.flatten(values)]
    return thing.analyzer, str(thing.audit), [(array.dtype, array.tolist()) for array in arrays]


def _fitted(analyzer: Analyzer) -> list[Any]:
    return [getattr(analyzer.method, name) for name in analyzer.method.fitted_fields]


def an_explanation(path: pathlib.Path) -> Saved:
    return Saved(create_analyzer("lrp.epsilon", network()).explain(X, layers=["hidden"], audit=True), path)


def a_fitted_analyzer(path: pathlib.Path) -> Saved:
    return Saved(create_analyzer("pattern.net", network()).fit(X), path)


def an_analyzer(path: pathlib.Path) -> Saved:
    return Saved(create_analyzer("lrp.epsilon", network(), epsilon=0.125), path)


every = pytest.mark.parametrize("save", [an_explanation, a_fitted_analyzer, an_analyzer])


@every
def test_damage_is_noticed_wherever_it_is(save: Callable[[pathlib.Path], Saved], tmp_path: pathlib.Path) -> None:
    saved = save(tmp_path / "file")
    good, rng = saved.path.read_bytes(), random.Random(1)
    refused = 0
    for i in range(60):
        at = rng.randrange(len(good))
        flipped = bytes([good[at] ^ 1 << rng.randrange(8)])
        saved.path.write_bytes(good[:at] if i % 3 == 0 else good[:at] + flipped + good[at + 1 :])
        try:
            loaded, said = saved.load(), ""
        except ValueError as error:
            loaded, said = saved.thing, str(error)
        assert saved.is_like(loaded), f"byte {at} of {len(good)}"
        assert not said or repr(str(saved.path)) in said
        refused += bool(said)
    assert refused > 50  # what is left over changes nothing: bytes that stand for nothing, blanks


@every
@pytest.mark.parametrize("content", [b"", bytes(600), b"\x89PNG\r\n\x1a\n" + bytes(600), b"{" * 100_000, b"[]", b"{}"])
def test_files_of_other_kinds_are_refused(
    save: Callable[[pathlib.Path], Saved], content: bytes, tmp_path: pathlib.Path
) -> None:
    saved = save(tmp_path / "file")
    saved.path.write_bytes(content)
    with pytest.raises(ValueError, match=r"file' holds no (explanation|analyzer)"):
        saved.load()


@every
def test_what_is_no_file(save: Callable[[pathlib.Path], Saved], tmp_path: pathlib.Path) -> None:
    saved = save(tmp_path / "file")
    saved.path = tmp_path
    with pytest.raises(ValueError, match="it is a folder"):
        saved.load()
    saved.path = tmp_path / "none"
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*none'"):
        saved.load()
    os.mkfifo(saved.path)
    with pytest.raises(ValueError, match="it is no file"):
        saved.load()


def test_explanations_are_no_analyzers(tmp_path: pathlib.Path) -> None:
    explanation, fitted = an_explanation(tmp_path / "e.h5"), a_fitted_analyzer(tmp_path / "a.h5")
    with pytest.raises(ValueError, match=r"e\.h5' holds no analyzer, but an explanation"):
        load_analyzer(explanation.path, network())
    with pytest.raises(ValueError, match=r"a\.h5' holds no explanation"):
        Explanation.load(fitted.path)
    with pytest.raises(TypeError, match="takes a Keras model, got of type str"):
        load_analyzer(fitted.path, "model")  # type: ignore[arg-type]


def test_a_file_that_was_not_written_to_its_end(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = an_explanation(tmp_path / "e.h5")

    def fails(*arguments: Any, **options: Any) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(h5py.Group, "create_dataset", fails)
        with pytest.raises(OSError, match="the disk is full"):
            saved.thing.save(saved.path)
    with pytest.raises(ValueError, match="was not written to its end"):
        saved.load()


def test_where_nothing_can_be_written(tmp_path: pathlib.Path) -> None:
    thing = an_explanation(tmp_path / "e.h5").thing
    with pytest.raises(IsADirectoryError):
        thing.save(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: '.*e\.h5'"):
        thing.save(tmp_path / "none" / "e.h5")


def test_other_programs_read_it(tmp_path: pathlib.Path) -> None:
    saved = an_explanation(tmp_path / "e.h5")
    with h5py.File(saved.path) as file:
        np.testing.assert_array_equal(file["relevance"], saved.thing.relevance)  # type: ignore[union-attr]


def test_a_configuration_may_be_spaced_otherwise_but_not_changed(tmp_path: pathlib.Path) -> None:
    saved = an_analyzer(tmp_path / "a.json")
    config = json.loads(saved.path.read_text())
    saved.path.write_text(json.dumps(config))
    assert saved.is_like(saved.load())
    config["method"]["epsilon"] = 0.5
    saved.path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"changed by hand \(without the key 'sha256' it is taken as it is"):
        saved.load()
    del config["sha256"]
    saved.path.write_text(json.dumps(config))
    assert saved.load().method.epsilon == 0.5


def old_explanation(path: pathlib.Path) -> h5py.File:
    """An explanation as it was saved before there were checksums."""
    file = h5py.File(path, "w")
    file.attrs["analyzer"] = '{"analyzer": "lrp.z", "method": {}, "options": {}}'
    for name, value in {"relevance": X, "output": X[:, :2], "neuron": [0, 1, 0], "explained": X[:, 0]}.items():
        file[name] = value
    for name in ("bias", "layers"):
        file.create_group(name, track_order=True).attrs["kind"] = "dict"
    file["layers"]["hidden"] = X
    return file


def test_explanations_without_a_checksum_are_loaded(tmp_path: pathlib.Path) -> None:
    old_explanation(tmp_path / "old.h5").close()
    loaded = Explanation.load(tmp_path / "old.h5")
    np.testing.assert_array_equal(loaded.relevance, X)
    np.testing.assert_array_equal(loaded.layers["hidden"], X)
    assert loaded.bias == {}
    assert loaded.analyzer["analyzer"] == "lrp.z"


def test_analyzers_without_a_checksum_are_loaded(tmp_path: pathlib.Path) -> None:
    fitted = a_fitted_analyzer(tmp_path / "a.h5")
    fitted.path.write_bytes(fitted.path.read_bytes()[512:])
    assert fitted.is_like(fitted.load())
    plain = an_analyzer(tmp_path / "a.json")
    assert isinstance(plain.thing, Analyzer)
    plain.path.write_text(json.dumps(plain.thing.get_config(), indent=2))
    assert plain.is_like(plain.load())


def _replace(file: h5py.File, **values: np.ndarray) -> None:
    for name, value in values.items():
        del file[name]
        file[name] = value


def _link(file: h5py.File, link: Any) -> None:
    del file["relevance"]
    file["relevance"] = link


def _links_to_another_file(file: h5py.File) -> None:
    an_explanation(pathlib.Path(file.filename).with_name("other.h5"))
    _link(file, h5py.ExternalLink("other.h5", "/relevance"))


def _has_its_values_in_another_file(file: h5py.File) -> None:
    other = pathlib.Path(file.filename).with_name("secret.bin")
    other.write_bytes(X.tobytes())
    del file["relevance"]
    file.create_dataset("relevance", X.shape, X.dtype, external=[(os.fspath(other), 0, X.nbytes)])


def _is_pieced_together(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(X.shape, X.dtype)
    layout[:] = h5py.VirtualSource("other.h5", "relevance", X.shape)
    del file["relevance"]
    file.create_virtual_dataset("relevance", layout)


def _contains_itself(file: h5py.File) -> None:
    file["layers"]["layers"] = file["layers"]


def _declares_terabytes(file: h5py.File) -> None:
    file["layers"].create_dataset("huge", (2**40,), "float64")  # HDF5 writes what was never set nowhere


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.attrs.pop("analyzer"), "it has no configuration"),
        (lambda file: file.attrs.update(analyzer="[]"), "it has no configuration"),
        (lambda file: file.attrs.update(analyzer="{"), "Expecting property name"),
        (lambda file: file.attrs.update(analyzer=3), "its configuration is no text, but int64"),
        (lambda file: file.pop("relevance"), "relevance"),
        (lambda file: file.pop("output"), "output"),
        (lambda file: file["bias"].attrs.pop("kind"), "kind"),
        (lambda file: file["layers"].attrs.update(kind="list"), "its layers has no names"),
        (lambda file: _replace(file, explained=X), "no value per sample"),
        (lambda file: _replace(file, relevance=X[:2]), "its relevance is not that of 3 samples"),
        (_contains_itself, "by two names, or contains itself"),
        (_declares_terabytes, "declares more values than it can hold"),
        (_links_to_another_file, "'relevance' is a link"),
        (lambda file: _link(file, h5py.SoftLink("/output")), "'relevance' is a link"),
        (_has_its_values_in_another_file, "the values of 'relevance' lie in another file"),
        (_is_pieced_together, "the values of 'relevance' lie in another file"),
    ],
)
def test_without_a_checksum_the_structure_is_checked(
    spoil: Callable[[h5py.File], Any], message: str, tmp_path: pathlib.Path
) -> None:
    with old_explanation(tmp_path / "old.h5") as file:
        spoil(file)
    with pytest.raises(ValueError, match=f"old\\.h5' holds no explanation.*({message})"):
        Explanation.load(tmp_path / "old.h5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"analyzer": "lrp.epsilom"}, "there is no analyzer 'lrp.epsilom'"),
        ({"analyzer": ["lrp"]}, "that can be made"),
        ({"method": {"epsilom": 1}}, "epsilom"),
        ({"method": 3}, "that can be made"),
        ({"method": {"epsilon": {"class_name": "None", "module": "none", "config": {}}}}, "that can be made"),
        ({"options": {"batch_sice": 3}}, "batch_sice"),
        ({"options": {"batch_size": -3}}, "batch_size"),
        ({"model": 1}, r"its keys are \['analyzer', 'method', 'options', 'model'\]"),
    ],
)
def test_configurations_that_nobody_saved(change: dict[str, Any], message: str, tmp_path: pathlib.Path) -> None:
    config = create_analyzer("lrp.epsilon", network()).get_config() | change
    (tmp_path / "a.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=rf"a\.json' holds no analyzer.*{message}"):
        load_analyzer(tmp_path / "a.json", network())


def test_files_tell_which_versions_wrote_them(tmp_path: pathlib.Path) -> None:
    config = {"analyzer": "lrp.epsilon", "method": {}, "options": {}}
    storage.write_analyzer(tmp_path / "a.json", config, {})
    storage.write_values(tmp_path / "v.h5", config, {"x": np.ones(3)})
    told = json.loads((tmp_path / "a.json").read_text())["made_by"]
    with h5py.File(tmp_path / "v.h5") as file:
        assert json.loads(file.attrs["made_by"]) == told
    assert told["keras"] == keras.__version__
    assert storage.read_analyzer(tmp_path / "a.json") == (config, {})
