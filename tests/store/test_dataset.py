"""Datasets explained into a file: the same numbers as `analyze`, whatever the data."""

from __future__ import annotations

import os
import pathlib
import pickle
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from kerasexplain import Contrast, InputError, create_analyzer
from kerasexplain.analyzer import Analyzer
from kerasexplain.store import Store, analyze_dataset
from kerasexplain.store.durable import log_of
from tests.helpers.stores import InterruptionError, N, after, batches


def test_the_file_holds_what_analyze_gives(analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path) -> None:
    target = np.arange(N) % 4
    keys = [f"images/zebra {i} \u00e9.png" for i in range(N)]
    store = analyze_dataset(
        analyzer, x, tmp_path / "r.h5", target=target, keys=keys, layers=["conv"], bias=True, unit=16
    )
    found = analyzer.explain(x, target, layers=["conv"], bias=True, audit=True)
    np.testing.assert_array_equal(store.relevance, found.relevance)
    np.testing.assert_array_equal(store.layers["conv"], found.layers["conv"])
    assert set(store.bias) == set(found.bias)
    for name, array in found.bias.items():
        np.testing.assert_array_equal(store.bias[name], array)
    np.testing.assert_array_equal(store.output, found.output)
    np.testing.assert_array_equal(store.neuron, target)
    np.testing.assert_array_equal(store.explained, found.explained)
    assert found.audit is not None
    np.testing.assert_array_equal(store.audit["lost"], found.audit.lost)
    np.testing.assert_array_equal(store.audit["inputs"], found.audit.inputs)
    assert store.totals()["explained"] == pytest.approx(found.explained.mean())
    assert store.keys.tolist() == keys
    assert len(store) == N
    assert store.is_complete
    assert not log_of(tmp_path / "r.h5").exists()
    some = store[[3, 1]]
    np.testing.assert_array_equal(some.relevance, found.relevance[[3, 1]])
    assert some.analyzer == analyzer.description
    np.testing.assert_array_equal(store[np.array(3)].relevance, found.relevance[[3]])
    np.testing.assert_array_equal(store[np.arange(N) < 2].explained, found.explained[:2])
    for key in (None, (3, 1), True, [[1]], "images"):
        with pytest.raises(IndexError, match="a store is sliced by its samples alone"):
            store[key]
    with h5py.File(tmp_path / "r.h5") as file:  # without this library
        np.testing.assert_array_equal(file["relevance"][()], found.relevance)
        assert file["keys"][0].decode() == keys[0]
    again = pickle.loads(pickle.dumps(store))
    np.testing.assert_array_equal(again.relevance[-2:], found.relevance[-2:])


@pytest.mark.parametrize("size", [5, 8, 30])
def test_streams(analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path, size: int) -> None:
    labels = np.arange(N) % 4
    data = list(batches(x, size, labels))
    options: dict[str, Any] = {"target": _label, "unit": 16, "keys": np.arange(N) * 3}
    whole = analyze_dataset(analyzer, iter(data), tmp_path / "whole.h5", **options)
    np.testing.assert_allclose(whole.relevance, analyzer.analyze(x, labels), rtol=1e-4, atol=1e-6)
    with pytest.raises(InterruptionError):
        analyze_dataset(analyzer, iter(data), tmp_path / "r.h5", callback=after(32), **options)
    analyze_dataset(analyzer, iter(data), tmp_path / "r.h5", resume=True, **options)
    assert (tmp_path / "r.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()


def _label(batch: Any) -> Any:
    return batch[1]


def test_arrays_on_disk_and_several_inputs(tmp_path: pathlib.Path) -> None:
    keras.utils.set_random_seed(0)
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b:c")
    model = keras.Model([a, b], keras.layers.Dense(2)(keras.layers.Concatenate()([a, b])))
    analyzer = create_analyzer("input_t_gradient", model)
    rng = np.random.default_rng(0)
    x = {"a": rng.normal(size=(9, 3)).astype("float32"), "b:c": rng.normal(size=(9, 2)).astype("float32")}
    expected = analyzer.analyze(x, 1)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"] = x["a"]
        mapped = np.lib.format.open_memmap(tmp_path / "b.npy", "w+", "float32", (9, 2))
        mapped[:] = x["b:c"]
        store = analyze_dataset(
            analyzer, {"a": file["a"], "b:c": mapped}, tmp_path / "r.h5", target=1, batch_size=4, unit=4
        )
    assert set(store.relevance) == {"a", "b:c"}
    for name, array in expected.items():
        np.testing.assert_array_equal(store.relevance[name], array)
    assert store.audit == {}
    listed = analyze_dataset(analyzer, [x["a"], x["b:c"]], tmp_path / "l.h5", target=Contrast(0, 1))
    found = analyzer.analyze([x["a"], x["b:c"]], Contrast(0, 1))
    assert isinstance(listed.relevance, list)
    for one, other in zip(listed.relevance, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_half_precision_is_relative_to_each_sample_and_its_error_is_told(
    analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path
) -> None:
    scaled = x * np.logspace(-6, 6, N).astype("float32").reshape(-1, 1, 1, 1)
    exact = analyzer.analyze(scaled, 0)
    store = analyze_dataset(analyzer, scaled, tmp_path / "r.h5", target=0, precision="float16", unit=16)
    largest = np.abs(exact).max(axis=(1, 2, 3), keepdims=True)
    error = (np.abs(store.relevance[:] - exact) / largest).max()
    assert 1e-5 < error <= 2**-11
    assert store.relevance.error == pytest.approx(error, rel=1e-2)
    assert store.relevance.dtype == exact.dtype
    with h5py.File(tmp_path / "r.h5") as file:
        assert file["relevance"].dtype == "float16"
    assert analyze_dataset(analyzer, x, tmp_path / "whole.h5").relevance.error == 0.0


def test_what_cannot_be_begun(analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "r.h5"
    for error, said, options in [
        (InputError, "there are 3 keys for 50 samples", {"keys": "abc"[:3].split() * 3}),
        (ValueError, "precision must be one of", {"precision": "int8"}),
        (ValueError, "compression must be one of", {"compression": "zip"}),
        (ValueError, "unit must be an integer", {"unit": 0}),
        (ValueError, "batch_size must be an integer", {"batch_size": 0}),
        (InputError, "keys are a list of text or of integers", {"keys": np.ones(N)}),
        (InputError, "5 entries for 50 samples", {"target": np.arange(5)}),
    ]:
        with pytest.raises(error, match=said):
            analyze_dataset(analyzer, x, path, **options)
        assert not list(tmp_path.iterdir()), options
    with pytest.raises(InputError, match="holds no sample"):
        analyze_dataset(analyzer, iter([]), path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        analyze_dataset(analyzer, x, tmp_path / "no" / "r.h5")
    with pytest.raises(ValueError, match="is a folder"):
        analyze_dataset(analyzer, x, tmp_path)
    analyze_dataset(analyzer, x, path)
    with pytest.raises(FileExistsError, match="resume=True goes on with it"):
        analyze_dataset(analyzer, x, path)


def test_samples_of_different_sizes_are_refused(tmp_path: pathlib.Path) -> None:
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling1D()(inputs)))
    analyzer = create_analyzer("lrp.epsilon", model)
    data = [np.ones((2, 4, 3)), np.ones((2, 5, 3))]
    for unit in (1, 8):
        path = tmp_path / f"{unit}.h5"
        with pytest.raises(ValueError, match="samples differ in size: relevance is of"):
            analyze_dataset(analyzer, iter(data), path, batch_size=1, unit=unit)
    assert len(Store(tmp_path / "1.h5")) == 2


def test_the_store_in_place_of_arrays(
    analyzer: Analyzer, model: keras.Model, x: np.ndarray, tmp_path: pathlib.Path
) -> None:
    pytest.importorskip("sklearn")
    import kerasexplain
    from kerasexplain import metrics, visualize

    store = analyze_dataset(analyzer, x, tmp_path / "r.h5")
    found = analyzer.explain(x)
    metric = metrics.RegionPerturbation(fill="mean", steps=3)
    expected = metric(model, x, relevance=found).values
    for given in (store, store.relevance):
        np.testing.assert_array_equal(metric(model, x, np.asarray(found.neuron), relevance=given).values, expected)
    np.testing.assert_array_equal(metric(model, x, relevance=store).values, expected)
    images = visualize.heatmap(store.relevance)
    assert [image.tobytes() for image in images] == [image.tobytes() for image in visualize.heatmap(found.relevance)]
    labels = np.arange(N) % 2
    for options in ({}, {"labels": labels}):
        by_analyzer, by_store = (kerasexplain.strategies(one, x, **options) for one in (analyzer, store))
        assert str(by_analyzer) == str(by_store)
        np.testing.assert_array_equal(by_analyzer.labels, by_store.labels)
    zero = analyze_dataset(analyzer, x, tmp_path / "zero.h5", target=0)
    by_analyzer, by_store = (kerasexplain.strategies(one, x, labels=labels, of=0) for one in (analyzer, zero))
    assert str(by_analyzer) == str(by_store)
    assert str(kerasexplain.strategies(zero, None, labels=labels, of=0)) == str(by_store)
    with pytest.raises(InputError, match="the store explains other outputs"):
        kerasexplain.strategies(zero, x, labels=labels, of=1)
    with pytest.raises(InputError, match="the store has 50 samples, and there are 49"):
        kerasexplain.strategies(zero, x[1:])


def test_what_made_it_is_told(analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path) -> None:
    store = analyze_dataset(analyzer, x[:4], tmp_path / "r.h5")
    made_of = store.record["made_of"]
    assert store.record["analyzer"]["analyzer"] == "lrp.epsilon"
    assert made_of["versions"]["keras"] == keras.__version__
    assert len(made_of["the model or its weights"]) == 64
    assert repr(store) == f"<Store {os.fspath(tmp_path / 'r.h5')!r}: lrp.epsilon of 4 samples>"
    assert repr(store.relevance) == f"<relevance of {os.fspath(tmp_path / 'r.h5')!r}: float32 (4, 6, 6, 2)>"


def test_tensorboard_shows_a_store(analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("tensorboard")
    from kerasexplain.tensorboard.explanations import ExplanationLog

    store = analyze_dataset(analyzer, x[:6], tmp_path / "r.h5", layers=["conv"])
    found = analyzer.explain(x[:6], layers=["conv"])
    of_store, of_memory = (ExplanationLog(x[:6]) for _ in range(2))
    of_store.check(store)
    assert of_store.images(store).keys() == of_memory.images(found).keys()

    class Kept:
        """Keeps what is written."""

        def __init__(self) -> None:
            self.blobs: list[Any] = []

        def relevance(self, tag: str, blobs: Any, step: int) -> None:
            self.blobs.append((tag, list(blobs), step))

    written = [Kept(), Kept()]
    of_store.write(written[0], "a", store, 0)  # type: ignore[arg-type]
    of_memory.write(written[1], "a", found, 0)  # type: ignore[arg-type]
    assert written[0].blobs == written[1].blobs


def test_a_list_of_samples_is_not_taken_for_inputs(analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path) -> None:
    for data in (list(x[:24]), iter([list(x[:12]), list(x[12:24])])):
        with pytest.raises(InputError, match="a list of arrays is taken for several inputs"):
            analyze_dataset(analyzer, data, tmp_path / "r.h5", unit=8)
        assert not list(tmp_path.iterdir())


def test_keys_are_kept_or_refused(analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path) -> None:
    for keys in (["a\0", "b"], [1, "1"], [None, None], [2**70, 1], [True, False], ["\ud800", "a"]):
        with pytest.raises(InputError, match="key"):
            analyze_dataset(analyzer, x[:2], tmp_path / "r.h5", keys=keys)
    for i, keys in enumerate(([-3, 2**62], ["", "\u00e9\n"], [pathlib.Path("a/b"), "c"])):
        store = analyze_dataset(analyzer, x[:2], tmp_path / f"{i}.h5", keys=keys)
        assert store.keys.tolist() == [key if isinstance(key, int) else str(key) for key in keys]


def test_single_precision_of_doubles_tells_its_error_and_does_not_overflow(tmp_path: pathlib.Path) -> None:
    inputs = keras.Input((3,), dtype="float64")
    model = keras.Model(inputs, keras.layers.Dense(2, dtype="float64")(inputs))
    analyzer = create_analyzer("lrp.epsilon", model)
    x = np.random.default_rng(0).normal(size=(4, 3))
    store = analyze_dataset(analyzer, x, tmp_path / "r.h5", precision="float32")
    assert 0 < store.relevance.error < 1e-7
    with pytest.raises(ValueError, match="does not fit float32"):
        analyze_dataset(analyzer, 1e200 * x, tmp_path / "large.h5", precision="float32")
