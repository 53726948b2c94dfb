"""Datasets explained into a file: the same numbers as `analyze`, whatever the data, and whatever interrupts it."""

from __future__ import annotations

import errno
import os
import pathlib
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from kerasexplain import Contrast, InputError, NotFiniteError, create_analyzer
from kerasexplain.analyzer import Analyzer
from kerasexplain.store import Store, analyze_dataset, durable
from kerasexplain.store.durable import log_of

N = 50


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(3, 3, activation="relu", bias_initializer="normal", name="conv")(inputs)
    return keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(keras.layers.Flatten()(x)), name="small")


@pytest.fixture(scope="module")
def analyzer(model: keras.Model) -> Analyzer:
    return create_analyzer("lrp.epsilon", model, batch_size=8)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(N, 6, 6, 2)).astype("float32")


class InterruptionError(Exception):
    """Ends a run in the middle."""


def after(samples: int) -> Callable[[int], None]:
    """A callback that ends a run when so many samples are on the disk."""

    def end(done: int) -> None:
        if done >= samples:
            raise InterruptionError

    return end


def batches(x: np.ndarray, size: int, labels: np.ndarray | None = None) -> Iterator[Any]:
    for begin in range(0, len(x), size):
        part = x[begin : begin + size]
        yield part if labels is None else (part, labels[begin : begin + size])


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


@pytest.mark.parametrize("done", [1, 17, 40, 50])
def test_resumed_it_is_the_file_of_an_uninterrupted_run(
    analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path, done: int
) -> None:
    whole, path = tmp_path / "whole.h5", tmp_path / "r.h5"
    analyze_dataset(analyzer, x, whole, unit=16)
    with pytest.raises(InterruptionError):
        analyze_dataset(analyzer, x, path, unit=16, callback=after(done))
    store = Store(path)
    assert not store.is_complete
    assert len(store) == min(N, -(-done // 16) * 16)
    assert "incomplete" in repr(store)
    np.testing.assert_array_equal(store.relevance, analyzer.analyze(x)[: len(store)])
    seen: list[int] = []
    analyze_dataset(analyzer, x, path, unit=16, resume=True, callback=seen.append)
    assert seen == list(range(len(store) + 16, N, 16)) + [N] * (len(store) < N)
    assert path.read_bytes() == whole.read_bytes()
    analyze_dataset(analyzer, x, path, unit=16, resume=True, callback=seen.append)  # complete: nothing is done again
    assert path.read_bytes() == whole.read_bytes()


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


def test_what_changed_is_told_and_nothing_goes_on(model: keras.Model, x: np.ndarray, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "r.h5"
    analyzer = create_analyzer("lrp.epsilon", model, batch_size=8)
    with pytest.raises(InterruptionError):
        analyze_dataset(analyzer, x, path, unit=16, callback=after(32))
    held = path.read_bytes()

    def refused(said: str, analyzer: Analyzer = analyzer, x: Any = x, **options: Any) -> None:
        with pytest.raises(ValueError, match=said):
            analyze_dataset(analyzer, x, path, **{"unit": 16, "resume": True, **options})
        assert path.read_bytes() == held

    refused("the analyzer changed", create_analyzer("lrp.epsilon", model, epsilon=0.5, batch_size=8))
    refused("the analyzer changed", create_analyzer("lrp.z_plus", model, batch_size=8))
    refused("what is explained changed", target=1)
    refused("what is kept changed", bias=True)
    refused("the batch size changed", batch_size=4)
    refused("the form of the file changed", precision="float16")
    refused("the number of samples changed", x=x[:-1])
    refused("the keys of the data, or their order, changed", keys=list(map(str, range(N))))
    refused("sample 0, or the order of the data, changed", x=x[::-1])
    other = x.copy()
    other[31, 0, 0, 0] += 1e-6
    refused("sample 31, or the order of the data, changed", x=other)
    weights = model.get_weights()
    model.set_weights([weight + 1e-6 for weight in weights])
    refused("the model or its weights changed")
    model.set_weights(weights)
    assert len(analyze_dataset(analyzer, x, path, unit=16, resume=True)) == N


def test_of_a_stream_every_sample_that_is_there_is_compared(
    analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "r.h5"
    with pytest.raises(InterruptionError):
        analyze_dataset(analyzer, batches(x, 8), path, unit=16, callback=after(32))
    exchanged = x.copy()
    exchanged[[20, 21]] = exchanged[[21, 20]]
    with pytest.raises(ValueError, match="sample 20, or the order of the data, changed"):
        analyze_dataset(analyzer, batches(exchanged, 8), path, unit=16, resume=True)
    with pytest.raises(ValueError, match="of which there are 24 samples where there were 32"):
        analyze_dataset(analyzer, batches(x[:24], 8), path, unit=16, resume=True)
    assert len(analyze_dataset(analyzer, batches(x, 8), path, unit=16, resume=True)) == N


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


def test_a_full_disk_ends_the_run_and_not_what_was_done(
    analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, written = tmp_path / "r.h5", durable._to_disk
    left = [7]

    def full(file: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written(file)

    monkeypatch.setattr(durable, "_to_disk", full)
    with pytest.raises(
        OSError, match=r"No space left on device: 16 samples are kept, and resume=True goes on"
    ) as caught:
        analyze_dataset(analyzer, x, path, unit=16)
    assert caught.value.errno == errno.ENOSPC
    assert len(Store(path)) == 16
    analyze_dataset(analyzer, x, path, unit=16, resume=True)
    whole = analyze_dataset(analyzer, x, tmp_path / "whole.h5", unit=16)
    assert path.read_bytes() == whole.path.read_bytes()


def test_a_run_that_fails_in_between_goes_on_where_it_was(analyzer: Analyzer, tmp_path: pathlib.Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 6, 6, 2)).astype("float32")
    broken = x.copy()
    broken[30] = np.nan
    path = tmp_path / "r.h5"
    with pytest.raises((InputError, NotFiniteError)):
        analyze_dataset(analyzer, broken, path, unit=8)
    held = Store(path)
    assert 8 <= len(held) <= 24
    np.testing.assert_array_equal(held.relevance, analyzer.analyze(x)[: len(held)])
    assert len(analyze_dataset(analyzer, x, path, unit=8, resume=True)) == 40


def test_a_model_that_is_compiled_or_loaded_again_is_the_same(x: np.ndarray, tmp_path: pathlib.Path) -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Flatten(), keras.layers.Dense(3)])
    path = tmp_path / "r.h5"
    with pytest.raises(InterruptionError):
        analyze_dataset(create_analyzer("lrp.epsilon", model), x, path, unit=32, callback=after(32))
    model.compile("adam", "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(analyze_dataset(create_analyzer("lrp.epsilon", loaded), x, path, unit=32, resume=True)) == N


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


#: Explains a thousand samples, and tells what is on the disk.
RUN = """
import sys
import keras, numpy as np
from kerasexplain import create_analyzer
from kerasexplain.store import analyze_dataset
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((6, 6, 2)), keras.layers.Flatten(), keras.layers.Dense(3)])
x = np.random.default_rng(1).normal(size=(1000, 6, 6, 2)).astype("float32")
told = lambda done: print(done, flush=True)
analyze_dataset(create_analyzer("lrp.epsilon", model), x, sys.argv[1], unit=32, resume=True, callback=told)
"""


@pytest.mark.once("a kill is the same, whatever computes")
def test_what_was_told_is_there_after_a_kill(tmp_path: pathlib.Path) -> None:
    path, whole = tmp_path / "r.h5", tmp_path / "whole.h5"
    command = [sys.executable, "-c", RUN]
    process = subprocess.Popen([*command, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(5)]
    process.kill()
    process.wait()
    told += [int(line) for line in process.stdout.read().split()]
    subprocess.run([*command, whole], check=True, capture_output=True)
    complete, killed = Store(whole), Store(path)
    assert told[-1] <= len(killed) < 1000
    np.testing.assert_array_equal(killed.relevance, complete.relevance[: len(killed)])
    subprocess.run([*command, path], check=True, capture_output=True)
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("moved", [True, False])
def test_the_log_of_another_run_does_nothing_to_a_complete_store(
    analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path, moved: bool
) -> None:
    """The two have one analyzer and the same options, and other data."""
    path, other = tmp_path / "b.h5", tmp_path / "a.h5"
    analyze_dataset(analyzer, 0 * x, other, unit=8)
    with pytest.raises(InterruptionError):
        analyze_dataset(analyzer, x, path, unit=8, callback=after(32))
    if not moved:  # a step that was begun is in the log
        log_of(path).write_bytes(log_of(path).read_bytes()[:-40])
    complete = other.read_bytes()
    path.write_bytes(complete)
    store = Store(path)
    assert store.is_complete
    assert len(store) == N
    assert not np.asarray(store.relevance).any()
    assert path.read_bytes() == complete
    with pytest.raises(ValueError, match="is of another file"):
        analyze_dataset(analyzer, x, path, unit=8, resume=True)
    assert path.read_bytes() == complete


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
