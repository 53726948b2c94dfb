"""The server of `examples/serving.py`: a real one on this machine, asked over HTTP."""

from __future__ import annotations

import http.client
import io
import json
import pathlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from helpers.scripts import ROOT, script

pytest.importorskip("fastapi")
uvicorn = pytest.importorskip("uvicorn")

from PIL import Image

import kerasexplain
from kerasexplain.analyzer import Analyzer

sys.path.append(str(ROOT))  # last: the package itself is the installed one

from benchmarks import serving

pytestmark = pytest.mark.tensorflow("a server of SavedModels")


@pytest.fixture(scope="module")
def analyzer() -> Analyzer:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 5, 3), name="image")
    x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x)))
    return kerasexplain.create_analyzer("lrp.epsilon_plus", model)


@pytest.fixture(scope="module")
def port(analyzer: Analyzer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where a server answers."""
    folder = tmp_path_factory.mktemp("served") / "export"
    analyzer.export(folder)
    app = script("examples/serving.py").application(folder, -1.0, 1.0)
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, args=([own],))
        thread.start()
        end = time.monotonic() + 30
        while not server.started and time.monotonic() < end:
            time.sleep(0.02)
        yield own.getsockname()[1]
        server.should_exit = True
        thread.join(30)


def ask(port: int, path: str, body: Any = None, kind: str = "application/json") -> tuple[int, bytes, Any]:
    """Status, body and headers of the answer; of a request without a body, by GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    connection.request("GET" if body is None else "POST", path, data, {"Content-Type": kind})
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.headers
    connection.close()
    return found


def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (2, 6, 5, 3)).astype("float32")


def test_explanations_are_answered_as_json(port: int, analyzer: Analyzer) -> None:
    x = images()
    status, text, _ = ask(port, "/explain", {"inputs": {"image": x.tolist()}, "target": [1, 0]})
    assert status == 200
    found = json.loads(text)
    expected = analyzer.explain(x, target=[1, 0])
    scale = np.abs(expected.relevance).max()
    np.testing.assert_allclose(found["relevance"], expected.relevance, rtol=0, atol=1e-6 * scale)
    np.testing.assert_allclose(found["output"], expected.output, rtol=1e-5)
    _, text, _ = ask(port, "/explain", {"inputs": {"image": x.tolist()}})
    np.testing.assert_array_equal(json.loads(text)["neuron"], analyzer.explain(x).neuron)
    _, text, _ = ask(port, "/predict", {"inputs": {"image": x.tolist()}})
    np.testing.assert_allclose(json.loads(text)["output"], expected.output, rtol=1e-5)
    assert json.loads(ask(port, "/")[1])["analyzer"]["analyzer"] == "lrp.epsilon_plus"


def test_a_picture_is_red_where_relevance_is_positive(port: int, analyzer: Analyzer) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (6, 5, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    status, data, headers = ask(port, "/explain.png?target=2", file.getvalue(), "image/png")
    assert status == 200, data
    found = np.asarray(Image.open(io.BytesIO(data)))
    expected = analyzer.explain(pixels[None] / 127.5 - 1, target=2)
    assert float(headers["X-Explained"]) == pytest.approx(float(expected.explained[0]), rel=1e-4)
    summed = expected.relevance[0].sum(axis=-1)
    share = summed / np.abs(summed).max()
    assert found.shape == (6, 5, 3)
    np.testing.assert_array_equal(found[share > 0.01][:, 0], 255)
    np.testing.assert_array_equal(found[share < -0.01][:, 2], 255)
    np.testing.assert_allclose(found[..., 1], 255 * (1 - np.abs(share)), atol=1)


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/explain", {"inputs": {}}, "the input 'image' is missing"),
        ("/explain", {"inputs": {"image": [[1.0]]}}, "has the shape [null, 6, 5, 3]"),
        ("/explain", {"inputs": {"image": [["a"]]}}, "is no array of float32"),
        ("/explain", {"inputs": {"image": images().tolist()}, "target": [1]}, "an index for each of the 2 samples"),
        ("/explain", {"inputs": {"image": images().tolist()}, "target": [1, 3]}, "the target is none of the outputs"),
        ("/explain", {"inputs": {"image": np.zeros((65, 6, 5, 3)).tolist()}}, "from 1 to 64 samples"),
        ("/explain.png", b"no image", "the bytes are no image"),
    ],
)
def test_what_does_not_fit_is_told(path: str, body: Any, said: str, port: int) -> None:
    status, text, _ = ask(port, path, body, "image/png" if isinstance(body, bytes) else "application/json")
    assert status == 422
    assert said in json.loads(text)["detail"]


def test_under_load_every_client_gets_its_own_answer(port: int, analyzer: Analyzer) -> None:
    x = np.random.default_rng(3).uniform(-1, 1, (32, 6, 5, 3)).astype("float32")
    targets = np.arange(32) % 3
    load = serving.under_load(port, x, targets, analyzer.analyze(x, target=targets), clients=8, seconds=1.0)
    assert (load.lost, load.mixed_up) == (0, 0)
    assert len(load.seconds) >= 8
    assert 0 < load.percentile(50) <= load.percentile(95)


def test_wrong_answers_and_none_are_counted(port: int, analyzer: Analyzer, tmp_path: pathlib.Path) -> None:
    x = images()
    others = analyzer.analyze(x[::-1], target=[0, 1])
    load = serving.under_load(port, x, np.array([0, 1]), others, clients=2, seconds=0.2)
    assert load.mixed_up > 0
    assert not load.seconds
    load = serving.under_load(port, x, np.array([0, 9]), others, clients=2, seconds=0.2)
    assert load.lost > 0  # there is no output 9
