"""Datasets explained into a file, whatever interrupts that, and what has changed when it goes on."""

from __future__ import annotations

import errno
import pathlib
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest

from kerasexplain import InputError, NotFiniteError, create_analyzer
from kerasexplain.analyzer import Analyzer
from kerasexplain.store import Store, analyze_dataset, durable, join_stores
from kerasexplain.store.durable import log_of
from tests.helpers.stores import InterruptionError, N, after, batches


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
    refused("the keys.* changed", keys=list(map(str, range(N))))
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


def test_a_shard_goes_on_as_that_shard_alone(analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "0.h5"
    analyze_dataset(analyzer, x, path, unit=8, shard=(0, 2))
    was = path.read_bytes()
    for data in (x, batches(x, 8)):
        with pytest.raises(ValueError, match=r"the shard changed|the number of samples, the shard changed"):
            analyze_dataset(analyzer, data, path, unit=8, resume=True)
    other = analyze_dataset(analyzer, x, tmp_path / "1.h5", unit=8, shard=(1, 2))
    with pytest.raises(ValueError, match="the shard changed"):
        join_stores([path, other], path, resume=True)
    assert path.read_bytes() == was


@pytest.mark.parametrize("is_stream", [False, True])
def test_keys_that_were_not_there_before_are_refused(
    analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path, is_stream: bool
) -> None:
    def asked(keys: list[str]) -> dict[str, Any]:
        return {"data": batches(x, 8) if is_stream else x, "path": tmp_path / "r.h5", "keys": keys, "unit": 8}

    keys = [f"{i}.png" for i in range(N)]
    with pytest.raises(InterruptionError):
        analyze_dataset(analyzer, callback=after(16), **asked(keys))
    for other in ([*keys[:20], *(f"{i}.jpeg" for i in range(20, N))], [*keys, "50.png"] if is_stream else keys[::-1]):
        with pytest.raises(ValueError, match=r"the keys.* changed"):
            analyze_dataset(analyzer, resume=True, **asked(other))
    store = analyze_dataset(analyzer, resume=True, **asked(keys))
    assert store.keys.tolist() == keys


def test_keys_of_a_share_are_never_cut(analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path) -> None:
    asked: dict[str, Any] = {"path": tmp_path / "r.h5", "unit": 8, "shard": (0, 2)}
    with pytest.raises(InterruptionError):
        analyze_dataset(analyzer, batches(x, 8), keys=[f"{i}.png" for i in range(N)], callback=after(16), **asked)
    longer = [*(f"{i}.png" for i in range(20)), *(f"{i}.jpeg" for i in range(20, N))]
    with pytest.raises(ValueError, match="held with up to 6 letters, and have up to 7 from sample 16 on"):
        analyze_dataset(analyzer, batches(x, 8), keys=longer, resume=True, **asked)


def test_a_complete_store_of_a_stream_is_compared_with_all_of_it(
    analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "r.h5"
    analyze_dataset(analyzer, batches(x[:32], 8), path, unit=16)
    was = path.read_bytes()
    changed = x[:32].copy()
    changed[31, 0, 0, 0] += 1
    for data, said in ((x, "more than 32 samples"), (x[:24], "24 samples where there were 32"), (changed, "sample 31")):
        with pytest.raises(ValueError, match=f"{said}.* changed"):
            analyze_dataset(analyzer, batches(data, 8), path, unit=16, resume=True)
    assert len(analyze_dataset(analyzer, batches(x[:32], 8), path, unit=16, resume=True)) == 32
    assert path.read_bytes() == was


def test_the_last_samples_are_rounded_as_among_others(tmp_path: pathlib.Path) -> None:
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(65, 12, 12, 3)).astype("float32")
    model = keras.Sequential([keras.Input((12, 12, 3)), keras.layers.Conv2D(16, 3, activation="relu")])
    model = keras.Sequential([*model.layers, keras.layers.Flatten(), keras.layers.Dense(64), keras.layers.Dense(10)])
    model.build((None, 12, 12, 3))
    analyzer = create_analyzer("lrp.epsilon", model)
    for name, data in (("array", lambda: x), ("stream", lambda: batches(x, 32))):
        asked: dict[str, Any] = {"unit": 32, "batch_size": 32}
        whole, path = tmp_path / f"{name}.h5", tmp_path / f"{name}_resumed.h5"
        analyze_dataset(analyzer, data(), whole, **asked)
        with pytest.raises(InterruptionError):
            analyze_dataset(analyzer, data(), path, callback=after(64), **asked)
        analyze_dataset(analyzer, data(), path, resume=True, **asked)
        assert path.read_bytes() == whole.read_bytes()
    parts = [analyze_dataset(analyzer, x, tmp_path / f"{i}.h5", shard=(i, 3), unit=32) for i in range(3)]
    join_stores(parts, tmp_path / "joined.h5")
    assert (tmp_path / "joined.h5").read_bytes() == (tmp_path / "array.h5").read_bytes()


def test_weights_are_known_before_and_stay_what_they_are(tmp_path: pathlib.Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 5)).astype("float32")
    model = keras.Sequential([keras.layers.Dense(3)], name="late")
    with pytest.raises(ValueError, match="the model 'late' has not been called, so that its weights are not known yet"):
        analyze_dataset(create_analyzer("lrp.epsilon", model), x, tmp_path / "r.h5")
    model(x[:1])
    with pytest.raises(ValueError, match="the model or its weights changed while samples were explained"):
        analyze_dataset(
            create_analyzer("lrp.epsilon", model),
            x,
            tmp_path / "r.h5",
            unit=64,  # so that nothing computes any more when the weights change
            callback=lambda _: model.set_weights([2 * weight for weight in model.get_weights()]),
        )
    assert not Store(tmp_path / "r.h5").is_complete
