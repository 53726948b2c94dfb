"""The arrays and files that relevance is written to: those that cannot hold it are refused in words."""

from __future__ import annotations

import pathlib
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from kerasexplain import Analyzer, InputError, create_analyzer

pytestmark = pytest.mark.once("results are numpy's")

COUNT = 7


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    inputs = keras.Input((6, 2))
    return create_analyzer("lrp.epsilon", keras.Model(inputs, layers.Dense(3)(layers.Flatten()(inputs))))


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(COUNT, 6, 2)).astype("float32")


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros((COUNT, 6, 3)), r"out has shape \(7, 6, 3\), but it must hold \('at least 3', 6, 2\)"),
        (np.zeros((COUNT + 1, 6, 2)), "out has 8 rows, but there are 7 samples"),
        (np.zeros((COUNT - 1, 6, 2)), "out has 6 rows, but there are 7 samples"),
        (np.zeros((COUNT, 6, 2), int), "out must hold floating-point numbers, got int64"),
        ([np.zeros((COUNT, 6, 2))] * 2, "out has 2 arrays, but the relevance is that of 1 inputs"),
        (np.zeros((COUNT, 6, 2), bool), "out must hold floating-point numbers, got bool"),
        (np.zeros((COUNT, 6, 2), complex), "out must hold floating-point numbers, got complex128"),
        (np.zeros((COUNT, 6, 2), object), "out must hold floating-point numbers, got object"),
        (np.broadcast_to(0.0, (COUNT, 6, 2)), "out can only be read"),
        (np.array(0.0), "out must be an array that can be written to, got ndarray"),
        ([1.0], "out must be an array that can be written to, got float"),
        ("relevance.npy", "out must be an array that can be written to, got str"),
        ([], "out has 0 arrays, but the relevance is that of 1 inputs"),
        ({"input": np.zeros((COUNT, 6, 2))}, r"out is a dict with \['input'\], but the relevance is no dict"),
    ],
)
def test_outputs_that_do_not_fit(analyzer: Analyzer, x: np.ndarray, out: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        analyzer.analyze(x, batch_size=3, out=out)


def test_files_that_can_only_be_read(analyzer: Analyzer, x: np.ndarray, tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "out.npy", np.zeros(x.shape))
    with h5py.File(tmp_path / "out.h5", "w") as file:
        file["out"] = np.zeros(x.shape)
    with h5py.File(tmp_path / "out.h5", "r") as file:
        for out in (np.load(tmp_path / "out.npy", mmap_mode="r"), file["out"]):
            with pytest.raises(InputError, match="out can only be read"):
                analyzer.analyze(x, out=out)


def test_what_takes_no_values(analyzer: Analyzer, x: np.ndarray) -> None:
    class Stubborn(np.ndarray):
        def __setitem__(self, rows: Any, values: Any) -> None:
            raise TypeError("it is frozen")

    with pytest.raises(InputError, match="out, of type Stubborn, takes no values: it is frozen"):
        analyzer.analyze(x, out=np.zeros(x.shape).view(Stubborn))


def test_values_that_a_narrower_dtype_cannot_hold(analyzer: Analyzer, x: np.ndarray) -> None:
    expected = analyzer.analyze(x, 1)
    out = np.zeros(x.shape, "float16")
    analyzer.analyze(x, 1, out=out)
    np.testing.assert_allclose(out, expected, rtol=1e-3, atol=1e-6)  # rounding is no error
    large = 1e5 * x / np.abs(expected).max()
    with pytest.raises(
        InputError, match=r"out holds float16, of 6\.55e\+04 at most, but there is relevance of .*float"
    ):
        analyzer.analyze(large, 1, out=out)


def test_a_dict_must_have_the_inputs_names(x: np.ndarray) -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    analyzer = create_analyzer("lrp.z", keras.Model({"a": a, "b": b}, layers.Dense(4)(a - b)))
    given = {"a": x[:, 0:3, 0], "b": x[:, 0:3, 1]}
    for names, message in ((("a", "c"), r"a dict with \['a', 'c'\]"), ((), "no dict")):
        out = {name: np.zeros((COUNT, 3)) for name in names} if names else [np.zeros((COUNT, 3))] * 2
        with pytest.raises(InputError, match=rf"out is {message}, but the relevance is a dict with \['a', 'b'\]"):
            analyzer.analyze(given, 1, out=out)


def test_a_stream_must_fill_what_it_is_written_to(analyzer: Analyzer, x: np.ndarray) -> None:
    with pytest.raises(InputError, match="out has 8 rows, but there are 7 samples"):
        analyzer.analyze(iter([x[:3], x[3:]]), out=np.zeros((8, 6, 2)))
    with pytest.raises(InputError, match=r"out has shape \(6, 6, 2\), but it must hold \('at least 7', 6, 2\)"):
        analyzer.analyze(iter([x[:3], x[3:]]), out=np.zeros((6, 6, 2)))
