"""Batch sizes: found under a limit of memory, and halved when memory runs out."""

from __future__ import annotations

import pathlib
import pickle
import subprocess
import sys
import textwrap
import warnings
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from kerasexplain import create_analyzer
from kerasexplain.runtime import batch_size as sizes

MIB = 2**20


def dense(width: int) -> keras.Model:
    inputs = keras.Input((4,), dtype="float32")
    return keras.Model(inputs, layers.Dense(2)(layers.Dense(width, activation="relu")(inputs)))


@pytest.mark.parametrize(("free", "expected"), [(400, 4), (96, 1), (1, 1), (0, 1), (2**20, 256)])
def test_the_largest_power_of_two_that_fits(monkeypatch: pytest.MonkeyPatch, free: int, expected: int) -> None:
    """By hand: two values of 2^21 floats are 16 MiB a sample, 48 at the peak; half of what is free may be filled."""
    monkeypatch.setattr(sizes, "free_host_memory", lambda: free * MIB)
    graph = create_analyzer("lrp.epsilon", dense(2**21)).graph
    assert sizes.bytes_per_sample(graph, "float32") == 4 * (4 + 2 * 2**21 + 2)
    assert sizes.automatic(graph, "float32") == expected


def test_an_accelerator_tells_its_memory_or_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = create_analyzer("lrp.epsilon", dense(2**21)).graph
    monkeypatch.setattr(sizes, "free_host_memory", lambda: 1 * MIB)
    monkeypatch.setattr(sizes.backend, "free_memory", lambda: 400 * MIB)
    assert sizes.automatic(graph, "float32") == 4
    monkeypatch.setattr(sizes.backend, "free_memory", lambda: None)
    monkeypatch.setattr(sizes.backend, "on_accelerator", lambda: True)
    assert sizes.automatic(graph, "float32") == sizes.MOST


def test_every_step_of_a_recurrent_layer_counts() -> None:
    def of_length(steps: int) -> int:
        inputs = keras.Input((steps, 3))
        model = keras.Model(inputs, layers.Dense(2)(layers.LSTM(8)(inputs)))
        return sizes.bytes_per_sample(create_analyzer("lrp.epsilon", model).graph, "float32")

    one, two, three = of_length(10), of_length(20), of_length(30)
    assert three - two == two - one > 10 * 4 * (3 + 8 * 8)  # x, and at least four gates, two states and two products


def test_sizes_that_the_model_leaves_open_are_those_of_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "free_host_memory", lambda: 96 * MIB)
    inputs = keras.Input((None, 2))
    x = layers.Conv1D(16, 3, padding="same", activation="relu")(inputs)
    analyzer = create_analyzer("lrp.epsilon", keras.Model(inputs, layers.Dense(2)(layers.GlobalMaxPooling1D()(x))))
    found = analyzer._first  # what follows does not trace another
    ran = _running(analyzer)
    for length in (100, 100_000):
        analyzer.analyze(np.ones((300, length, 2), "float32")[:9], 0, batch_size="auto")
    assert max(ran[:1]) == 9
    assert ran[1:] == [1] * 9  # 13 MiB a sample: 39 at the peak, of 48
    assert analyzer._first is found


def _running(analyzer: Any) -> list[int]:
    """How many samples ran at once, from now on."""
    program, ran = type(analyzer._first.program), []
    run = analyzer._first.program

    class Counting(program):  # type: ignore[valid-type, misc]
        def __call__(self, question: Any, given: Any) -> Any:
            ran.append(len(given.inputs[0]))
            return super().__call__(question, given)

    run.__class__ = Counting
    return ran


def test_auto_is_an_option_and_an_argument(rng: np.random.Generator) -> None:
    x = rng.normal(size=(300, 4)).astype("float32")
    model = dense(3)
    expected = create_analyzer("lrp.epsilon", model).analyze(x)
    automatic = create_analyzer("lrp.epsilon", model, batch_size="auto")
    ran = _running(automatic)
    np.testing.assert_allclose(automatic.analyze(x), expected, rtol=1e-5, atol=1e-7)
    assert ran == [sizes.MOST, sizes.MOST]
    assert automatic.analyze(x, batch_size=200).shape == expected.shape
    assert ran[2:] == [200, 200]
    assert type(automatic).from_config(automatic.get_config(), model) == automatic
    automatic.audit(x[:3])
    create_analyzer("pattern.net", model, batch_size="auto").fit(x).analyze(x)


@pytest.mark.parametrize("given", ["most", "", "Auto"])
def test_no_other_word_is_a_batch_size(given: str) -> None:
    with pytest.raises(ValueError, match=f"batch_size must be an integer of at least 1, or 'auto', got '{given}'"):
        create_analyzer("lrp.epsilon", dense(3), batch_size=given)


def _limited(monkeypatch: pytest.MonkeyPatch, analyzer: Any, most: int) -> list[int]:
    """Lets the analyzer's program run out of memory as the backend tells it, with more than so many samples."""
    ran = _running(analyzer)
    run = type(analyzer._first.program).__call__

    def limited(self: Any, question: Any, given: Any) -> Any:
        if len(given.inputs[0]) > most:
            ran.append(-len(given.inputs[0]))
            raise MemoryError("OOM when allocating tensor")
        return run(self, question, given)

    monkeypatch.setattr(type(analyzer._first.program), "__call__", limited)
    return ran


def test_memory_may_run_out_while_a_batch_is_made_or_checked(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(8, 4)).astype("float32")
    analyzer = create_analyzer("lrp.epsilon", dense(3))
    expected, pipelines, failed = analyzer.analyze(x), type(analyzer._engine.pipelines()), []

    def of(self: Any, arrays: Any, *rest: Any) -> Any:
        if len(arrays[0]) > 4 and not rest:
            failed.append(len(arrays[0]))
            raise MemoryError("Unable to allocate array")
        return chosen(self, arrays, *rest)

    def verify(arrays: Any, outputs: Any) -> None:
        if len(arrays[0]) > 2:
            failed.append(len(arrays[0]))
            raise MemoryError("Unable to allocate array")

    chosen = pipelines.of
    monkeypatch.setattr(pipelines, "of", of)
    monkeypatch.setattr(analyzer._engine.pipelines(), "verify", verify)
    with pytest.warns(UserWarning, match="do not fit into memory"):
        np.testing.assert_allclose(analyzer.analyze(x), expected, rtol=1e-5, atol=1e-7)
    assert failed == [8, 4]


def test_what_fits_is_found_anew_by_copies_and_for_a_changed_model(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    """A copy may run on another machine, and a changed model may need more."""
    x, model = rng.normal(size=(9, 4)).astype("float32"), dense(2**10)
    analyzer = create_analyzer("lrp.epsilon", model, batch_size="auto")
    each = sizes.bytes_per_sample(analyzer.graph, "float32") * sizes.HELD / sizes.SHARE
    monkeypatch.setattr(sizes, "free_host_memory", lambda: 8.5 * each)
    analyzer.analyze(x)
    monkeypatch.setattr(sizes, "free_host_memory", lambda: 2.5 * each)
    copied = pickle.loads(pickle.dumps(analyzer))
    ran = _running(copied)
    copied.analyze(x)
    assert set(ran) == {2}
    ran = _running(analyzer)
    analyzer.analyze(x)
    assert set(ran) == {8}  # another size would be compiled anew
    model.layers[1].activation = keras.activations.tanh
    ran = _running(analyzer)
    analyzer.analyze(x)
    assert set(ran) == {2}


@pytest.mark.parametrize("name", ["lrp.epsilon", "integrated_gradients", "smoothgrad", "deep_lift", "occlusion"])
def test_what_does_not_fit_is_halved_with_a_notice_and_remembered(
    name: str, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    x, model = rng.normal(size=(11, 4)).astype("float32"), dense(3)
    options = {"steps": 3} if name[0] == "i" else {"augment_by_n": 2} if name[0] == "s" else {}
    expected = create_analyzer(name, model, **options).analyze(x)
    analyzer = create_analyzer(name, model, batch_size=8, **options)
    ran = _limited(monkeypatch, analyzer, 3)
    with pytest.warns(UserWarning, match="do not fit into memory") as told:
        np.testing.assert_allclose(analyzer.analyze(x), expected, rtol=1e-4, atol=1e-6)
    assert [str(warning.message) for warning in told] == [
        "8 samples at once do not fit into memory: going on with 4",
        "4 samples at once do not fit into memory: going on with 2",
    ]
    assert [size for size in ran if size < 0] == [-8, -4]
    assert {size for size in ran if size > 0} == {2}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        analyzer.analyze(x)
        analyzer.analyze(x, batch_size=64)  # a wish is none that has been tried
        analyzer.analyze(iter([x[:8], x[8:]]))


def test_what_cannot_be_halved_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    analyzer = create_analyzer("lrp.epsilon", dense(3))
    _limited(monkeypatch, analyzer, 0)
    with pytest.raises(MemoryError, match="a single sample does not fit into memory: OOM"):
        analyzer.analyze(np.ones((1, 4)))
    inputs = keras.Input((4,), batch_size=2)
    fixed = create_analyzer("lrp.epsilon", keras.Model(inputs, layers.Dense(2)(inputs)))
    _limited(monkeypatch, fixed, 0)
    with pytest.raises(MemoryError, match="a batch of 2, which the model is made for, does not fit into memory"):
        fixed.analyze(np.ones((3, 4)))


SCRIPT = """
    import resource, warnings
    import keras, numpy as np
    from keras import layers
    import kerasexplain

    inputs = keras.Input((4,))
    x = layers.Dense(2**18, use_bias=False, activation="relu")(inputs)  # 1 MiB a sample
    analyzer = kerasexplain.create_analyzer("lrp.epsilon", keras.Model(inputs, layers.Dense(2, use_bias=False)(x)))
    given = np.random.default_rng(0).normal(size=(600, 4)).astype("float32")
    expected = analyzer.analyze(given[:16], 1, batch_size=8)
    told = dict(line.split(":") for line in open("/proc/self/status"))
    limit = int(told["VmSize"].split()[0]) * 1024 + 400 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with warnings.catch_warnings(record=True) as notices:
        warnings.simplefilter("always")
        found = analyzer.analyze(given, 1, batch_size=512)
    np.testing.assert_allclose(found[:16], expected, rtol=1e-4, atol=1e-6)
    print([str(notice.message) for notice in notices if "samples at once" in str(notice.message)])
"""


@pytest.mark.slow("a process that fills its memory")
@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="the limit is set by Linux's means")
def test_memory_that_really_runs_out() -> None:
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(SCRIPT)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "512 samples at once do not fit into memory: going on with 256" in ran.stdout
