"""Streams, outputs and memory: what does not fit into memory is explained batch by batch, and the same comes of it."""

from __future__ import annotations

import contextvars
import itertools
import pathlib
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasexplain import Analyzer, Contrast, Explanation, InputError, create_analyzer
from kerasexplain.runtime.streams import ahead, behind

COUNT = 7
SIZES = (2, 3, 1, 1)
#: How long a thread is waited for that must come; only a failing test waits so long.
PATIENCE = 30


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 2), dtype="float64")
    x = layers.Conv1D(4, 3, activation="relu", name="conv", dtype="float64")(inputs)
    x = layers.Flatten(dtype="float64")(x)
    return create_analyzer("lrp.epsilon", keras.Model(inputs, layers.Dense(3, dtype="float64")(x)))


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(COUNT, 6, 2))


LABELS = np.array([0, 2, 1, 1, 0, 2, 0])


def parts(*arrays: np.ndarray) -> Iterator[Any]:
    ends = list(itertools.accumulate(SIZES))
    for begin, end in zip([0, *ends], ends, strict=False):
        cut = tuple(array[begin:end] for array in arrays)
        yield cut if len(cut) > 1 else cut[0]


class Sequence(keras.utils.PyDataset):
    def __init__(self, x: np.ndarray) -> None:
        super().__init__()
        self._parts = list(parts(x, LABELS))

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, index: int) -> Any:
        return self._parts[index]


def _tensorflow() -> Any:
    return pytest.importorskip("tensorflow", reason="tf.data is TensorFlow's")


STREAMS: dict[str, Callable[[np.ndarray], Any]] = {
    "generator": parts,
    "list iterator": lambda x: iter(list(parts(x))),
    "generator of tuples": lambda x: parts(x, LABELS),
    "PyDataset": Sequence,
    "tf.data": lambda x: _tensorflow().data.Dataset.from_tensor_slices(x).batch(3),
    "tf.data of tuples": lambda x: _tensorflow().data.Dataset.from_tensor_slices((x, LABELS)).batch(2),
}


@pytest.mark.parametrize("stream", list(STREAMS))
def test_a_stream_gives_what_its_samples_give(analyzer: Analyzer, x: np.ndarray, stream: str) -> None:
    expected = analyzer.analyze(x)
    for size in (2, 32):
        np.testing.assert_allclose(analyzer.analyze(STREAMS[stream](x), batch_size=size), expected, rtol=1e-12)


def test_every_part_of_an_explanation_is_joined(analyzer: Analyzer, x: np.ndarray) -> None:
    asked: dict[str, Any] = {"layers": ["conv"], "bias": True, "conditions": {"conv": [0, 2]}}
    whole = analyzer.explain(x, **asked)
    for found in (analyzer.explain(parts(x), **asked), analyzer.explain(x, batch_size=2, **asked)):
        for name in ("relevance", "output", "neuron", "explained"):
            np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-12, err_msg=name)
        np.testing.assert_allclose(found.layers["conv"], whole.layers["conv"], rtol=1e-12)
        assert list(found.bias) == list(whole.bias)
        for name, bias in whole.bias.items():
            np.testing.assert_allclose(found.bias[name], bias, rtol=1e-12)
        assert found.reference is None


def test_batches_come_with_their_rows(analyzer: Analyzer, x: np.ndarray) -> None:
    expected = analyzer.explain(x, 1)
    rows, found = zip(*analyzer.explain_batches(parts(x), 1), strict=True)
    assert [(r.start, r.stop) for r in rows] == [(0, 2), (2, 5), (5, 6), (6, 7)]
    assert all(isinstance(part, Explanation) for part in found)
    for part, row in zip(found, rows, strict=True):
        np.testing.assert_allclose(part.relevance, expected.relevance[row], rtol=1e-12)
    assert [r.stop for r, _ in analyzer.explain_batches(x, batch_size=3)] == [3, 6, 7]


def test_a_shorter_last_batch_is_filled_up_to_the_shape_that_is_compiled(x: np.ndarray) -> None:
    model = _ReadsItsBatchSize()
    model(x[:3])
    of_static = create_analyzer("lrp.epsilon", model)
    for data in (x, iter([x[:3], x[3:6], x[6:]])):
        of_static.analyze(data, 1, batch_size=3)
        assert of_static.traces == 1  # such a model is traced for each shape


class _ReadsItsBatchSize(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.last = layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.last(ops.reshape(x, (int(x.shape[0]), 12)))


def test_a_model_with_several_inputs(x: np.ndarray) -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    analyzer = create_analyzer("lrp.z", keras.Model([a, b], layers.Dense(4)(layers.Concatenate()([a, b]))))
    given = {"a": x[:, 0:3, 0], "b": x[:, 0:2, 1]}
    expected = analyzer.analyze(given, 1)
    cut = [{name: array[rows] for name, array in given.items()} for rows in (slice(0, 4), slice(4, 7))]
    found = analyzer.analyze(iter(cut), 1)
    out = {name: np.zeros(array.shape) for name, array in given.items()}
    assert analyzer.analyze(iter(cut), 1, out=out) is out
    tuples = analyzer.analyze(((tuple(part.values()), None) for part in cut), 1)
    for name, other in zip(given, tuples, strict=True):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)
        np.testing.assert_array_equal(out[name], found[name])
        np.testing.assert_array_equal(other, found[name])


@pytest.mark.parametrize(
    "selection", [None, 2, np.array([0.5, -1.0, 0.0]), Contrast(1), Contrast(0, against=2)], ids=repr
)
def test_a_selection_may_hold_for_all_samples(analyzer: Analyzer, x: np.ndarray, selection: Any) -> None:
    expected = analyzer.explain(x, selection)
    found = analyzer.explain(parts(x), selection)
    np.testing.assert_allclose(found.relevance, expected.relevance, rtol=1e-12)
    np.testing.assert_array_equal(found.neuron, expected.neuron)


@pytest.mark.parametrize("stream", ["generator of tuples", "PyDataset", "tf.data of tuples"])
def test_a_selection_may_be_a_function_of_a_batch(analyzer: Analyzer, x: np.ndarray, stream: str) -> None:
    found = analyzer.analyze(STREAMS[stream](x), lambda batch: batch[1])
    np.testing.assert_allclose(found, analyzer.analyze(x, LABELS), rtol=1e-12)


def test_a_selection_may_be_a_function_of_a_part_of_an_array(analyzer: Analyzer, x: np.ndarray) -> None:
    by_value = analyzer.analyze(x, lambda batch: (batch[:, 0, 0] > 0).astype(int), batch_size=2)
    np.testing.assert_allclose(by_value, analyzer.analyze(x, (x[:, 0, 0] > 0).astype(int)), rtol=1e-12)


@pytest.mark.parametrize(
    "selection",
    [LABELS, LABELS.tolist(), np.eye(3)[LABELS], Contrast(LABELS), Contrast(0, against=2 - LABELS)],
    ids=["array", "list", "weights", "contrast", "against"],
)
def test_what_is_given_for_each_sample_is_cut_with_arrays_and_refused_for_streams(
    analyzer: Analyzer, x: np.ndarray, selection: Any
) -> None:
    if isinstance(selection, Contrast) and np.ndim(selection.against):
        selection = Contrast(LABELS, against=(LABELS + 1) % 3)
    whole = analyzer.explain(x, selection)
    found = analyzer.explain(x, selection, batch_size=2)
    np.testing.assert_allclose(found.relevance, whole.relevance, rtol=1e-12)
    np.testing.assert_array_equal(found.neuron, whole.neuron)
    with pytest.raises(InputError, match=r"neuron_selection has an entry for every sample.*lambda batch: batch\[1\]"):
        analyzer.analyze(parts(x), selection)
    with pytest.raises(InputError, match=r"has 7 entries for 6 samples"):
        analyzer.analyze(x[:6], selection, batch_size=2)


def test_starts_and_conditions_for_each_sample(analyzer: Analyzer, x: np.ndarray) -> None:
    start = np.random.default_rng(3).normal(size=(COUNT, 3))
    started = create_analyzer("lrp.epsilon", analyzer.model, start=start, neuron_selection_mode="all")
    np.testing.assert_allclose(started.analyze(x, batch_size=2), started.analyze(x), rtol=1e-12)
    with pytest.raises(InputError, match="start has an entry for every sample"):
        started.analyze(parts(x))
    conditions = [{"conv": int(label)} for label in LABELS]
    whole = analyzer.explain(x, conditions=conditions).relevance
    np.testing.assert_allclose(analyzer.explain(x, conditions=conditions, batch_size=2).relevance, whole, rtol=1e-12)
    with pytest.raises(InputError, match="conditions has an entry for every sample"):
        analyzer.explain(parts(x), conditions=conditions)


@pytest.mark.parametrize("data", ["array", "stream"])
def test_relevance_is_written_to_what_is_given(
    analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path, data: str
) -> None:
    expected = analyzer.analyze(x, 1)
    with h5py.File(tmp_path / "out.h5", "w") as file:
        outs = [
            np.empty(x.shape),
            np.memmap(tmp_path / "out.raw", "float32", "w+", shape=x.shape),
            file.create_dataset("out", x.shape, "float64"),
        ]
        for out in outs:
            given = x if data == "array" else parts(x)
            assert analyzer.analyze(given, 1, batch_size=3, out=out) is out
            np.testing.assert_allclose(out[:], expected, rtol=1e-6)


def test_input_is_read_from_disk_as_it_is_needed(analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path) -> None:
    expected = analyzer.analyze(x, 1)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        np.testing.assert_allclose(analyzer.analyze(file.create_dataset("x", data=x), 1, 2), expected, rtol=1e-12)
    np.save(tmp_path / "x.npy", x)
    np.testing.assert_allclose(analyzer.analyze(np.load(tmp_path / "x.npy", "r"), 1, 2), expected, rtol=1e-12)


def test_a_callback_gets_every_batch_in_order(analyzer: Analyzer, x: np.ndarray) -> None:
    expected, found, rows = analyzer.analyze(x, 1), np.zeros_like(x), []

    def take(where: slice, relevance: np.ndarray) -> None:
        rows.append((where.start, where.stop))
        found[where] = relevance

    assert analyzer.analyze(x, 1, batch_size=3, callback=take) is None
    assert rows == [(0, 3), (3, 6), (6, 7)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_errors_come_where_they_belong(analyzer: Analyzer, x: np.ndarray) -> None:
    bad = x.copy()
    bad[5, 2, 1] = np.nan
    for data in (bad, parts(bad)):
        seen: list[int] = []
        with pytest.raises(InputError, match=r"1 values that are NaN .* the first at \(5, 2, 1\)"):
            analyzer.analyze(data, 1, 2, callback=lambda rows, _, seen=seen: seen.append(rows.stop))
        assert seen == ([2, 4] if data is bad else [2, 5])

    def failing() -> Iterator[np.ndarray]:
        yield x[:2]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        analyzer.analyze(failing())
    with pytest.raises(ZeroDivisionError):
        analyzer.analyze(parts(x), callback=lambda rows, _: 1 / 0)
    with pytest.raises(InputError, match="there is no data"):
        analyzer.analyze(iter([]))
    with pytest.raises(InputError, match="samples of different sizes make no one array"):
        create_analyzer("gradient", _open_model()).analyze(iter([x[:2], x[:2, :4]]))


def _open_model() -> keras.Model:
    inputs = keras.Input((None, 2))
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalMaxPooling1D()(inputs)))


def test_a_promise_about_the_range_is_checked_in_every_batch(analyzer: Analyzer, x: np.ndarray) -> None:
    promised = create_analyzer("lrp.epsilon", analyzer.model, input_range=(-4, 4))
    far = x.copy()
    far[6] = 5
    with pytest.raises(InputError, match=r"input_range=\(-4, 4\) was promised"):
        promised.analyze(far, batch_size=2)


def test_progress_of_a_stream_is_counted_in_samples(
    analyzer: Analyzer, x: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    analyzer.analyze(x, batch_size=2, verbose=1)
    assert "7/7" in capsys.readouterr().out
    analyzer.analyze(parts(x), verbose=1)
    assert "7/Unknown" in capsys.readouterr().out


def test_the_next_item_is_made_while_one_is_used() -> None:
    making = [threading.Event() for _ in range(3)]

    def items() -> Iterator[int]:
        for i, event in enumerate(making):
            event.set()
            yield i

    found = ahead(items())
    assert next(found) == 0
    assert making[1].wait(PATIENCE)  # nobody has asked for it yet
    assert list(found) == [1, 2]


def test_no_more_than_one_item_is_made_ahead() -> None:
    made: list[int] = []
    for used, i in enumerate(ahead(iter(map(made.append, range(20)))), 1):
        assert i is None
        assert used <= len(made) <= used + 1
    assert len(made) == 20


def test_output_is_taken_while_the_caller_goes_on() -> None:
    go_on, taken = threading.Event(), []

    def use(i: int) -> None:
        assert go_on.wait(PATIENCE)
        taken.append(i)

    with behind(use) as later:
        later(0)  # returns, though it cannot have been taken yet
        assert taken == []
        go_on.set()
        later(1)
        assert taken[:1] == [0]  # one call waits for the one before it
    assert taken == [0, 1]


def test_context_variables_are_those_of_the_caller(analyzer: Analyzer, x: np.ndarray) -> None:
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(5)
    seen: list[int] = []

    def items() -> Iterator[np.ndarray]:
        for part in parts(x):
            seen.append(variable.get())
            yield part

    analyzer.analyze(items(), callback=lambda rows, _: seen.append(variable.get()))
    assert seen == [5] * 8


def test_threads_end_with_the_call(analyzer: Analyzer, x: np.ndarray) -> None:
    def ours() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("kerasexplain")]

    found = analyzer.explain_batches(parts(x))
    next(found)
    assert ours() == ["kerasexplain-input_0"]
    found.close()  # type: ignore[attr-defined]
    with pytest.raises(ZeroDivisionError):
        analyzer.analyze(parts(x), callback=lambda rows, _: 1 / 0)
    assert ours() == []


def test_few_batches_are_alive_at_once(analyzer: Analyzer) -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = [0, 0]

    class Tracked(np.ndarray):
        pass

    def items() -> Iterator[np.ndarray]:
        for _ in range(30):
            part = np.ones((2, 6, 2)).view(Tracked)
            alive.add(_Handle(part))
            most[0] = max(most[0], len(alive))
            yield part

    class _Handle:
        """Lives as long as the array does."""

        def __init__(self, array: np.ndarray) -> None:
            array.handle = self  # type: ignore[attr-defined]

    analyzer.analyze(items(), 1, callback=lambda rows, _: None)
    # One is used, one is ready, one is being made; and what a loop variable has not let go of yet.
    assert 1 < most[0] <= 5


@pytest.mark.parametrize("name", ["lrp.epsilon", "integrated_gradients"])
def test_memory_does_not_grow_with_the_number_of_samples(analyzer: Analyzer, tmp_path: pathlib.Path, name: str) -> None:
    model = _wide()
    explaining = create_analyzer(name, model, batch_size=4, **({"steps": 2} if name[0] == "i" else {}))
    peaks = []
    for count in (16, 160):
        x = np.memmap(tmp_path / f"x{count}", "float32", "w+", shape=(count, 5000))
        out = np.memmap(tmp_path / f"out{count}", "float32", "w+", shape=x.shape)
        explaining.analyze(x, 1, out=out)  # traced before it is measured
        tracemalloc.start()
        explaining.analyze(x, 1, out=out)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]
    assert peaks[1] < 160 * 5000 * 4 / 2  # less than half of the result


def _wide() -> keras.Model:
    inputs = keras.Input((5000,))
    return keras.Model(inputs, layers.Dense(2)(inputs))
