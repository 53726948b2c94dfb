"""Files that are no stores, are damaged, or belong to somebody else."""

from __future__ import annotations

import os
import pathlib

import h5py
import numpy as np
import pytest

from kerasexplain.analyzer import Analyzer
from kerasexplain.store import Store, analyze_dataset
from tests.helpers.stores import N


def test_foreign_and_damaged_files(analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "r.h5"
    analyze_dataset(analyzer, x, path, unit=16)
    whole = path.read_bytes()
    analyzer.explain(x[:2]).save(tmp_path / "explanation.h5")
    (tmp_path / "empty.h5").write_bytes(b"")
    (tmp_path / "text.h5").write_text("relevance")
    for name, said in [
        ("explanation.h5", "holds no store: it is no file that analyze_dataset wrote"),
        ("empty.h5", "holds no store: it is empty"),
        ("text.h5", "holds no store"),
    ]:
        with pytest.raises(ValueError, match=said):
            Store(tmp_path / name)
    for name in ("explanation.h5", "text.h5"):
        with pytest.raises(ValueError, match="is no file that analyze_dataset wrote: choose another name"):
            analyze_dataset(analyzer, x, tmp_path / name, resume=True)
    with pytest.raises(FileNotFoundError):
        Store(tmp_path / "no.h5")
    path.write_bytes(whole[:-100])
    for use in (Store, lambda path: analyze_dataset(analyzer, x, path, resume=True)):
        with pytest.raises(ValueError, match=r"r.h5' is cut off: it has \d+ of \d+ bytes"):
            use(path)


def test_a_flipped_bit_is_an_error_or_changes_nothing(
    analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path
) -> None:
    path, damaged = tmp_path / "r.h5", tmp_path / "damaged.h5"
    store = analyze_dataset(analyzer, x, path, unit=16, layers=["conv"])
    whole = path.read_bytes()
    names = ("relevance", "output", "explained", "keys", "digests", "neuron")
    expected = {name: np.asarray(getattr(store, name)) for name in names}
    rng, told = np.random.default_rng(0), []
    for at in rng.integers(0, len(whole), 150):
        changed = bytearray(whole)
        changed[at] ^= 1 << int(rng.integers(8))
        damaged.write_bytes(changed)
        try:
            found = Store(damaged)
            read = {name: np.asarray(getattr(found, name)) for name in names}
        except ValueError as error:
            told.append(str(error))
            continue
        for name, array in expected.items():
            np.testing.assert_array_equal(read[name], array)
    assert len(told) > 50
    assert all("damaged.h5' " in error for error in told)


def test_a_process_that_writes_is_not_disturbed(analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "r.h5"
    seen = []

    def look(done: int) -> None:
        store = Store(path)
        assert len(store) == done
        seen.append(store.relevance[-1])
        with pytest.raises(BlockingIOError, match="another process writes to"):
            analyze_dataset(analyzer, x, path, unit=16, resume=True)

    store = analyze_dataset(analyzer, x, path, unit=16, callback=look)
    np.testing.assert_array_equal(seen, store.relevance[[15, 31, 47, 49]])


def test_a_store_of_a_stranger_reads_no_other_file(analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "r.h5"
    analyze_dataset(analyzer, x, path)
    whole = path.read_bytes()
    secret = np.arange(N * 72, dtype="float32").reshape(N, 6, 6, 2)
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["relevance"] = secret
    secret.tofile(tmp_path / "secret.bin")

    def virtual(file: h5py.File) -> None:
        layout = h5py.VirtualLayout(secret.shape, "float32")
        layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "relevance", secret.shape)
        file.create_virtual_dataset("relevance", layout)

    def external(file: h5py.File) -> None:
        raw = [(os.fspath(tmp_path / "secret.bin"), 0, secret.nbytes)]
        file.create_dataset("relevance", secret.shape, "float32", external=raw)

    def linked(file: h5py.File) -> None:
        file["relevance"] = h5py.ExternalLink(tmp_path / "secret.h5", "relevance")

    def listed(file: h5py.File) -> None:
        file.create_dataset("relevance", data=["text"] * N)

    for change in (virtual, external, linked, listed):
        path.write_bytes(whole)
        with h5py.File(path, "r+") as file:
            del file["relevance"]
            change(file)
        with pytest.raises(ValueError, match=r"relevance cannot be read \(it.* not in this file"):
            Store(path)
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        del file["record"]
        file["record"] = np.frombuffer(b"[1, 2]", "uint8")
    with pytest.raises(ValueError, match="it does not tell what the store is of"):
        Store(path)
