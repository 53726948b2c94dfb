"""The plugin that answers the tab: it gives what was logged, and survives any request and anything written."""

from __future__ import annotations

import importlib.metadata
import importlib.resources
import json
import pathlib
import re
import shutil
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from helpers import logs
from helpers.boards import WAYS, Board
from tensorboard.compat.proto import summary_pb2
from tensorboard.util.tensor_util import make_tensor_proto
from werkzeug.test import Client

from kerasexplain.tensorboard import plugin, records, series
from kerasexplain.tensorboard.plugin import MOST_SAMPLES, RelevancePlugin
from kerasexplain.tensorboard.writer import Writer

pytestmark = pytest.mark.once("the tab reads files, whoever wrote them")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return logs.write(tmp_path_factory.mktemp("logs"), steps=4, samples=3)


@pytest.fixture(scope="module", params=WAYS)
def board(folder: pathlib.Path, request: pytest.FixtureRequest) -> Board:
    board = Board(folder, request.param)
    for run in logs.RUNS:
        for tag in logs.ANALYZERS:
            board.wait_for(run, tag, 3)
    return board


def _written(folder: pathlib.Path, arrays: dict[str, Any], kinds: dict[str, str], **told: Any) -> Board:
    """A board of one event of the run "run" and the tag "tag"."""
    with Writer(folder / "run") as writer:
        blobs = records.blobs_of(arrays, kinds, dict.fromkeys(arrays, "input"), **({"analyzer": "tag"} | told))
        writer.relevance("tag", blobs, 0)
    return Board(folder)


def test_tensorboard_finds_the_tab() -> None:
    (entry,) = importlib.metadata.entry_points(group="tensorboard_plugins", name="relevance")
    assert entry.load() is RelevancePlugin


def test_the_plugin_imports_neither_keras_nor_tensorflow() -> None:
    script = "import sys, kerasexplain.tensorboard.plugin; print({'keras', 'tensorflow', 'jax'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


def test_every_module_that_the_page_imports_is_served(board: Board) -> None:
    files = {file.name for file in importlib.resources.files("kerasexplain.tensorboard").joinpath("static").iterdir()}
    assert "index.js" in files
    for name in files:
        answer = board.get(f"/{name}")
        assert answer.status_code == 200
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for imported in re.findall(r'from "\./([^"]+)"', answer.text):
            assert imported in files, f"{name} imports {imported}"
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", answer.text), name
        assert not re.findall(r"https?://(?!www\.w3\.org/)", answer.text), name


def test_runs_and_steps(board: Board) -> None:
    runs = board.json("/runs")
    assert set(runs) == set(logs.RUNS)
    assert set(runs["first"]) == {*logs.ANALYZERS, "samples"}
    steps = board.json("/steps", run="first", tag="lrp.gamma")
    assert steps["steps"] == [0, 1, 2, 3]
    assert steps["written"] == 4


def test_a_frame_is_what_was_logged(board: Board) -> None:
    told, arrays = board.frame(run="second", tag="lrp.epsilon", step=2, section="image", samples="2,0")
    expected = [logs.relevance("second", "lrp.epsilon", 2, sample) for sample in (2, 0)]
    np.testing.assert_array_equal(arrays, np.stack(expected))
    assert told["samples"] == [2, 0]
    assert told["neuron"] == [2, 0]
    assert told["explained"] == [4.0, 2.0]
    assert told["prediction"] == [0, 0]
    assert told["target"] == [0, 0]
    largest = max(np.abs(logs.relevance("second", "lrp.epsilon", 2, sample)).max() for sample in range(3))
    assert told["limit"] == pytest.approx(largest)  # of all samples, also of those that were not asked for


def test_the_audit_and_what_is_told_of_a_tag(board: Board) -> None:
    _, arrays = board.frame(run="first", tag="gradient", step=1, section="conservation", samples="1")
    np.testing.assert_array_equal(arrays[0, :, :, 0], logs.audit("first", "gradient", 1, 1))
    about = board.json("/about", run="first", tag="gradient", step=1)
    assert about["operations"] == list(logs.OPERATIONS)
    assert [(each["name"], each["count"]) for each in about["sections"]] == [("image", 3), ("conservation", 3)]
    assert board.json("/about", run="first", tag="samples", step=0)["class_names"] == list(logs.CLASSES)


def test_the_history_of_a_sample(board: Board) -> None:
    history = board.json("/history", run="first", tag="gradient", sample=1)
    assert history["steps"] == [0, 1, 2, 3]
    assert history["explained"] == [1, 2, 3, 4]
    assert history["prediction"] == [logs.predictions(3, step)[1] for step in range(4)]
    assert board.json("/history", run="first", tag="gradient", sample=9)["explained"] == [None] * 4


KNOWN = {"run": "first", "tag": "gradient", "step": "1", "section": "image", "samples": "0"}


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"run": "third"}, 404, "there is no run 'third'"),
        ({"run": "../first"}, 404, "there is no run"),
        ({"tag": "lrp"}, 404, "there is no tag 'lrp' in the run 'first'"),
        ({"step": "17"}, 404, "there is no step 17"),
        ({"section": "layer"}, 404, "there is no section 'layer'"),
        ({"step": "-1"}, 400, "'step' must be an integer"),
        ({"step": "1e3"}, 400, "'step' must be an integer"),
        ({"step": "\N{ARABIC-INDIC DIGIT ONE}"}, 400, "'step' must be an integer"),
        ({"samples": "0;1"}, 400, "'samples' must be at most"),
        ({"samples": ",".join("0" * (MOST_SAMPLES + 1))}, 400, "'samples' must be at most"),
        ({"side": "x"}, 400, "'side' must be an integer"),
        ({"run": None}, 400, "the request has no 'run'"),
    ],
)
def test_what_is_not_there_is_refused(board: Board, change: dict[str, Any], code: int, message: str) -> None:
    query = {key: value for key, value in (KNOWN | change).items() if value is not None}
    answer = board.get("/frame", **query)
    assert answer.status_code == code
    assert message in json.loads(answer.text)["error"]


def test_samples_beyond_the_last_are_left_out(board: Board) -> None:
    told, arrays = board.frame(**(KNOWN | {"samples": "1,2,3,4"}))
    assert told["samples"] == [1, 2]
    assert len(arrays) == 2


def test_a_request_that_would_be_too_large_is_refused(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin, "MOST_BYTES", 2 * 30 * 30 * 4 - 1)
    board = _written(tmp_path, {"x": [np.zeros((30, 30), "float32")] * 2}, {"x": "image"})
    answer = board.get("/frame", run="run", tag="tag", step=0, section="x", samples="0,1")
    assert answer.status_code == 400
    assert "too much for one request" in answer.text


def test_large_planes_are_reduced_to_means(tmp_path: pathlib.Path) -> None:
    plane = np.arange(7 * 5, dtype="float32").reshape(7, 5)
    board = _written(tmp_path, {"x": [plane]}, {"x": "image"})
    _, arrays = board.frame(run="run", tag="tag", step=0, section="x", samples=0, side=4)
    expected = [[plane[i : i + 2, j : j + 2].mean() for j in range(0, 5, 2)] for i in range(0, 7, 2)]
    np.testing.assert_allclose(arrays[0, :, :, 0], expected)


def test_colours_of_what_was_explained_stay_and_relevance_is_summed(tmp_path: pathlib.Path) -> None:
    image = np.arange(2 * 3 * 3, dtype="uint8").reshape(2, 3, 3)
    for analyzer, expected in ((None, image), ("tag", image.sum(axis=-1, keepdims=True))):
        board = _written(tmp_path / str(analyzer), {"x": [image]}, {"x": "image"}, analyzer=analyzer)
        told, arrays = board.frame(run="run", tag="tag", step=0, section="x", samples=0)
        np.testing.assert_array_equal(arrays[0], expected)
        assert told["dtype"] == ("uint8" if analyzer is None else "float32")


def test_values_that_are_not_finite_arrive(tmp_path: pathlib.Path) -> None:
    plane = np.array([[np.nan, np.inf], [-2.0, 1.0]], "float32")
    board = _written(tmp_path, {"x": [plane]}, {"x": "image"}, explained=[float("nan")])
    told, arrays = board.frame(run="run", tag="tag", step=0, section="x", samples=0)
    np.testing.assert_array_equal(arrays[0, :, :, 0], plane)
    assert told["limit"] == 2.0
    assert told["explained"] == ["NaN"]


def test_tokens_and_numbers(tmp_path: pathlib.Path) -> None:
    arrays = {"text": [np.array([[1.0, 2.0], [0.5, -1.0]])], "table": [np.array([1.0, -2.0, 3.0])]}
    kinds = {"text": "tokens", "table": "numbers"}
    board = _written(tmp_path, arrays, kinds, tokens={"text": [["<b>", "&"]]})
    told, values = board.frame(run="run", tag="tag", step=0, section="text", samples=0)
    assert told["tokens"] == [["<b>", "&"]]
    np.testing.assert_array_equal(values[0, :, :, 0], [[3.0, -0.5]])
    _, values = board.frame(run="run", tag="tag", step=0, section="table", samples=0)
    np.testing.assert_array_equal(values[0, :, :, 0], [[1.0, -2.0, 3.0]])


@pytest.mark.parametrize("way", WAYS)
def test_names_may_hold_anything(tmp_path: pathlib.Path, way: str) -> None:
    run, tag = "größe/a b&c=d", "batch/lrp ☃ <i>?#%2F"
    with Writer(tmp_path / run) as writer:
        logs.write_samples(writer, run, 2)
        logs.write_relevance(writer, run, tag, [3], 2)
    board = Board(tmp_path, way)
    board.wait_for(run, tag, 3)
    _, arrays = board.frame(run=run, tag=tag, step=3, section="image", samples="1")
    np.testing.assert_array_equal(arrays[0], logs.relevance(run, tag, 3, 1))


def _spoil(blobs: list[bytes], **changed: Any) -> list[bytes]:
    return [json.dumps(json.loads(blobs[0]) | changed).encode(), *blobs[1:]]


def _good() -> list[bytes]:
    return records.blobs_of({"x": [np.ones((2, 2))]}, {"x": "image"}, {"x": "input"}, analyzer="a")


_SECTION = {"name": "x", "kind": "image", "role": "input", "first": 1, "count": 1, "shape": [2, 2], "block": 1}


@pytest.mark.parametrize(
    ("blobs", "message"),
    [
        ([b"foreign", b"data"], "no header of relevance data"),
        ([b""], "no header of relevance data"),
        ([b"[]"], "no header of relevance data"),
        (_spoil(_good(), version=99), "the data are of version 99"),
        (_spoil(_good(), sections=[_SECTION | {"first": 9}]), "ends at blob 10; there are 2"),
        (_spoil(_good(), sections=[_SECTION | {"first": 0}]), "there are 2"),
        (_spoil(_good(), sections=[_SECTION | {"first": -1}]), "positions or sizes that are no numbers"),
        (_spoil(_good(), sections=[_SECTION | {"count": "1"}]), "positions or sizes that are no numbers"),
        (_spoil(_good(), sections=[_SECTION | {"kind": "music"}]), "of the unknown kind 'music'"),
        (_spoil(_good(), sections=[_SECTION | {"block": 0}]), "has blobs without samples"),
        (_spoil(_good(), sections=[_SECTION | {"block": "all"}]), "positions or sizes that are no numbers"),
        (_spoil(_good(), sections=[_SECTION | {"count": 2, "block": 2}]), "expected numbers of shape (2, 2, 2)"),
        (_spoil(_good(), sections=[_SECTION | {"shape": [3, 3]}]), "expected numbers of shape (1, 3, 3)"),
        ([_good()[0], _good()[1][:-3]], "no array"),
        ([_good()[0], b""], "no array"),
        ([], "nothing was written"),
    ],
)
def test_foreign_and_damaged_data_are_told_and_nothing_else_suffers(
    tmp_path: pathlib.Path, blobs: list[bytes], message: str
) -> None:
    with Writer(tmp_path / "run") as writer:
        writer.relevance("bad", blobs, 0)
        writer.relevance("good", _good(), 0)
    board = Board(tmp_path)
    answer = board.get("/frame", run="run", tag="bad", step=0, section="x", samples=0)
    assert answer.status_code == 422
    assert message in json.loads(answer.text)["error"]
    _, arrays = board.frame(run="run", tag="good", step=0, section="x", samples=0)
    np.testing.assert_array_equal(arrays, np.ones((1, 2, 2, 1)))


@pytest.mark.parametrize("data_class", ["DATA_CLASS_BLOB_SEQUENCE", "DATA_CLASS_TENSOR", "DATA_CLASS_UNKNOWN"])
def test_numbers_under_the_name_of_the_plugin(tmp_path: pathlib.Path, data_class: str) -> None:
    with Writer(tmp_path / "run") as writer:
        named = summary_pb2.SummaryMetadata.PluginData(plugin_name=records.PLUGIN)
        metadata = summary_pb2.SummaryMetadata(plugin_data=named, data_class=getattr(summary_pb2, data_class))
        writer._write("bad", metadata, make_tensor_proto(np.float32(3)), 0)
        writer.relevance("good", _good(), 0)
    board = Board(tmp_path)
    assert board.get("/steps", run="run", tag="bad").status_code in (404, 422, 500)
    assert board.json("/steps", run="run", tag="good")["steps"] == [0]


@pytest.mark.parametrize("way", WAYS)
def test_a_truncated_file_shows_what_is_whole(tmp_path: pathlib.Path, way: str) -> None:
    with Writer(tmp_path / "run") as writer:
        logs.write_samples(writer, "run", 2)
        logs.write_relevance(writer, "run", "gradient", range(5), 2)
    (path,) = (tmp_path / "run").iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    board = Board(tmp_path, way)
    board.wait_for("run", "gradient", 3)
    assert board.json("/steps", run="run", tag="gradient")["steps"] == [0, 1, 2, 3]


@pytest.mark.parametrize("way", WAYS)
def test_new_steps_are_found(tmp_path: pathlib.Path, way: str) -> None:
    with Writer(tmp_path / "run") as writer:
        logs.write_relevance(writer, "run", "gradient", [0], 1)
        writer.flush()
        board = Board(tmp_path, way)
        board.wait_for("run", "gradient", 0)
        assert board.json("/steps", run="run", tag="gradient")["steps"] == [0]
        logs.write_relevance(writer, "run", "gradient", [5], 1, before=1)
        writer.flush()
        board.wait_for("run", "gradient", 5)
    assert board.json("/steps", run="run", tag="gradient")["steps"] == [0, 5]


def test_a_run_that_was_deleted(tmp_path: pathlib.Path) -> None:
    logs.write(tmp_path, steps=1, samples=1)
    board = Board(tmp_path, "fast")
    board.wait_for("second", "lrp.gamma", 0)
    shutil.rmtree(tmp_path / "first")
    for _ in range(100):
        if "first" not in board.json("/runs"):
            break
        time.sleep(0.1)
    answer = board.get("/frame", **(KNOWN | {"step": 0}))
    assert answer.status_code == 404
    assert "there is no run 'first'" in answer.text


@pytest.mark.parametrize("way", WAYS)
def test_how_many_steps_there_were_is_known_where_few_were_kept(tmp_path: pathlib.Path, way: str) -> None:
    with Writer(tmp_path / "run") as writer:
        logs.write_relevance(writer, "run", "gradient", range(0, 80, 2), 1)
    board = Board(tmp_path, way, keep=10)
    board.wait_for("run", "gradient", 78)
    steps = board.json("/steps", run="run", tag="gradient")
    assert len(steps["steps"]) <= 10
    assert steps["written"] == 40


def test_sections_may_be_elsewhere_at_another_step(tmp_path: pathlib.Path) -> None:
    """Arrays that were read in advance, from where they were at the step before, are not shown."""
    with Writer(tmp_path / "run") as writer:
        for step, names in enumerate((("x", "y"), ("y", "x"), ("x",), ("z", "y", "x"))):
            arrays = {name: [np.full((2, 2), ord(name) + step)] * (2 - step // 3) for name in names}
            every = (dict.fromkeys(arrays, value) for value in ("image", "input"))
            writer.relevance("tag", records.blobs_of(arrays, *every, analyzer="a"), step)
    board = Board(tmp_path)
    for step in (0, 1, 2, 3, 1, 0):
        _, arrays = board.frame(run="run", tag="tag", step=step, section="x", samples="0,1")
        np.testing.assert_array_equal(arrays, np.full((2 - step // 3, 2, 2, 1), ord("x") + step))


def test_nothing_is_read_that_was_not_asked_for(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "LIST_FOR", 0.0)
    board = Board(folder)
    calls: list[str] = []

    def counted(name: str) -> Any:
        was = getattr(board.provider, name)

        def call(*arguments: Any, **options: Any) -> Any:
            calls.append(name)
            return was(*arguments, **options)

        return call

    for name in ("list_blob_sequences", "read_blob_sequences", "read_blob"):
        monkeypatch.setattr(board.provider, name, counted(name))
    board.json("/runs")
    assert calls == ["list_blob_sequences"]
    calls.clear()
    board.frame(**KNOWN)
    assert sorted(calls) == ["list_blob_sequences", "read_blob", "read_blob", "read_blob_sequences"]
    calls.clear()
    board.frame(**(KNOWN | {"samples": "1,2"}))  # the header is known, and both samples are in one blob
    assert sorted(calls) == ["list_blob_sequences", "read_blob"]


@pytest.mark.parametrize("block_bytes", [1, 100, 2**20])
def test_samples_are_found_however_many_share_a_blob(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr(records, "BLOCK_BYTES", block_bytes)
    x = np.arange(37 * 2 * 3, dtype="float32").reshape(37, 2, 3)
    board = _written(tmp_path, {"other": list(x[:5] + 1000), "x": list(x)}, {"other": "numbers", "x": "numbers"})
    for asked in (range(37), [36, 0, 17], [15, 16]):
        told, arrays = board.frame(run="run", tag="tag", step=0, section="x", samples=",".join(map(str, asked)))
        assert told["samples"] == list(asked)
        np.testing.assert_array_equal(arrays[..., 0], x[list(asked)])


def test_the_cache_holds_what_was_read_last_up_to_a_size() -> None:
    cache = series.Cache(10)
    reads: list[int] = []

    def get(key: int) -> int:
        def read() -> tuple[int, int]:
            reads.append(key)
            return key * key, 4

        return int(cache.get(key, read))

    assert [get(key) for key in (1, 2, 1, 3, 1, 2)] == [1, 4, 1, 9, 1, 4]
    assert reads == [1, 2, 3, 2]  # 1 was used after 2: 2 had to go for 3


def test_only_get_is_answered(board: Board) -> None:
    assert Client(board.apps["/runs"]).post("/").status_code == 405


def test_no_data_at_all(tmp_path: pathlib.Path) -> None:
    assert Board(tmp_path).json("/runs") == {}
