"""A call that compiles for long says so, once."""

from __future__ import annotations

import logging
import pickle

import keras
import numpy as np
import pytest
from keras import layers

import kerasexplain
from kerasexplain.compiler import slow_calls

X = np.ones((2, 6), "float32")


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, logger="kerasexplain")
    return caplog


def made(name: str = "network") -> kerasexplain.Analyzer:
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="relu"), layers.Dense(3)], name=name)
    return kerasexplain.create_analyzer("lrp.epsilon", model)


@pytest.mark.compiled
@pytest.mark.skipif(keras.backend.backend() == "torch", reason="nothing is compiled there")
def test_it_is_said_once_for_an_analyzer(heard: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_calls, "SECONDS", 0.0)
    analyzer = made()
    analyzer.analyze(X)
    analyzer.explain(X, bias=True)
    analyzer.audit(X, 1)
    (record,) = heard.records
    assert record.getMessage().startswith("kerasexplain: lrp.epsilon of network: the first call of each kind traces")
    made("another").analyze(X)
    assert len(heard.records) == 2


def test_nothing_is_said_where_it_is_quick_or_compiled_already(
    heard: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slow_calls, "SECONDS", 1e6)
    analyzer = made()
    analyzer.analyze(X)
    monkeypatch.setattr(slow_calls, "SECONDS", 0.0)
    analyzer.analyze(X)
    analyzer.analyze(X, 1)
    assert heard.records == []


def test_an_analyzer_that_has_been_called_can_be_pickled() -> None:
    analyzer = made()
    analyzer.analyze(X)
    assert pickle.loads(pickle.dumps(analyzer)) == analyzer
