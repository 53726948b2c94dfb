"""Records that are damaged: whatever they hold, every route answers with a sentence, and none fails."""

from __future__ import annotations

import json
import pathlib
import random
from typing import Any

import numpy as np
import pytest
from helpers.boards import Board

from kerasexplain.tensorboard import records
from kerasexplain.tensorboard.writer import Writer

pytestmark = pytest.mark.once("the tab reads files, whoever wrote them")

FRAME = {"step": 0, "section": "x", "samples": "0,1"}
ROUTES: list[tuple[str, dict[str, Any]]] = [("/steps", {}), ("/about", {"step": 0}), ("/history", {"sample": 0})]


def good() -> list[bytes]:
    arrays = {"x": [np.arange(6.0).reshape(2, 3)] * 2, "text": [np.ones(3)] * 2}
    told: dict[str, Any] = {"neuron": [1, 2], "explained": [1.0, 2.0], "prediction": [0, 1], "target": [0, 1]}
    told |= {"class_names": ["cat"], "titles": ["one", "two"], "tokens": {"text": [["a", "b", "c"]] * 2}}
    kinds = {"x": "image", "text": "tokens"}
    return records.blobs_of(arrays, kinds, dict.fromkeys(arrays, "input"), analyzer="a", samples="samples", **told)


def with_header(**changed: Any) -> list[bytes]:
    header, *arrays = good()
    return [json.dumps(json.loads(header) | changed).encode(), *arrays]


def with_section(**changed: Any) -> list[bytes]:
    first, *others = json.loads(good()[0])["sections"]
    return with_header(sections=[first | changed, *others])


def with_array(blob: bytes) -> list[bytes]:
    header, _, *others = good()
    return [header, blob, *others]


def asked(folder: pathlib.Path, *sequences: list[bytes]) -> Board:
    """A board with a tag for every sequence, "0", "1" and so on."""
    with Writer(folder / "run") as writer:
        for i, blobs in enumerate(sequences):
            writer.relevance(str(i), blobs, 0)
    return Board(folder)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"event": None}, "event"),
        ({"event": True}, "event"),
        ({"analyzer": 3}, "analyzer"),
        ({"samples": []}, "samples"),
        ({"neuron": {}}, "neuron"),
        ({"explained": ["1"]}, "explained"),
        ({"prediction": [0.5]}, "prediction"),
        ({"target": "cat"}, "target"),
        ({"operations": [None]}, "operations"),
        ({"class_names": [3]}, "class_names"),
        ({"titles": None}, "titles"),
        ({"tokens": []}, "tokens"),
        ({"tokens": {"text": 3}}, "tokens"),
        ({"tokens": {"text": [[1]]}}, "tokens"),
        ({"largest": None}, "largest"),
        ({"largest": {"x": 3}}, "largest"),
        ({"largest": {"x": [None, 1]}}, "largest"),
    ],
)
def test_fields_of_another_type(changed: dict[str, Any], field: str, tmp_path: pathlib.Path) -> None:
    board = asked(tmp_path, with_header(**changed))
    for route, query in [*ROUTES, ("/frame", FRAME)]:
        answer = board.get(route, run="run", tag="0", **query)
        assert answer.status_code == 422
        assert f"the header's '{field}' is damaged" in json.loads(answer.text)["error"]


@pytest.mark.parametrize(
    ("blobs", "message"),
    [
        ([b"[" * 100_000, *good()[1:]], "no header of relevance data"),
        (with_section(name=["x"]), "a section has the name ['x']"),
        (with_section(role=None), "the role None"),
        (with_section(shape=[3, 2]), "expected numbers of shape (2, 3, 2)"),
        (with_array(records.array_to_blob(np.ones((2, 2, 3), complex))), "samples of 'x' are complex128"),
        (with_array(records.array_to_blob(np.full((2, 2, 3), "a"))), "samples of 'x' are <U1"),
        (
            with_array(good()[1].replace(b"(2, 2, 3)", b"(9, 2, 3)")),
            "float64 (9, 2, 3), which does not fit the 96 bytes",
        ),
        (with_array(good()[1].replace(b"<f8", b"<f4")), "float32 (2, 2, 3), which does not fit the 96 bytes"),
        (with_array(good()[1].replace(b"(2, 2, 3)", b"(9999999999999, 2, 3)")), "which does not fit the 108 bytes"),
        (with_array(good()[1].replace(b"(2, 2, 3), }  ", b"(-2, -2, 3), }")), "no array"),
        (with_array(good()[1].replace(b"\x01\x00", b"\x03\x00", 1)), "it is of another version of the format"),
        (with_array(good()[1] + b"more"), "does not fit the 100 bytes"),
        (with_array(b"PK\x05\x06" + bytes(18)), "no array"),  # an archive, which numpy would open
        (with_array(b"\x80\x04N."), "no array"),  # a pickle
    ],
)
def test_values_that_do_not_fit_what_is_told_of_them(blobs: list[bytes], message: str, tmp_path: pathlib.Path) -> None:
    answer = asked(tmp_path, blobs).get("/frame", run="run", tag="0", **FRAME)
    assert answer.status_code == 422
    assert message in json.loads(answer.text)["error"]


def test_bytes_that_are_flipped_anywhere(tmp_path: pathlib.Path) -> None:
    rng, sequences = random.Random(0), []
    for i in range(150):
        blobs = good()
        which = i % 2  # the header, and an array whose own header is 128 bytes
        at = rng.randrange(len(blobs[0]) if which == 0 else 160)
        blobs[which] = blobs[which][:at] + bytes([rng.randrange(256)]) + blobs[which][at + 1 :]
        sequences.append(blobs)
    board = asked(tmp_path, *sequences)
    refused = 0
    for tag in range(len(sequences)):
        for route, query in [*ROUTES, ("/frame", FRAME), ("/frame", FRAME | {"section": "text", "side": 1})]:
            answer = board.get(route, run="run", tag=str(tag), **query)
            assert answer.status_code in (200, 404, 422), answer.text  # 404: the section has another name now
            refused += answer.status_code == 422
    assert refused > 200


def test_values_that_single_precision_cannot_hold_are_drawn_as_not_finite(tmp_path: pathlib.Path) -> None:
    board = asked(tmp_path, with_array(records.array_to_blob(np.full((2, 2, 3), 1e300))))
    _, arrays = board.frame(run="run", tag="0", **FRAME)
    assert np.isposinf(arrays).all()


def test_tokens_without_a_length_of_their_own(tmp_path: pathlib.Path) -> None:
    blobs = records.blobs_of({"text": [np.ones((0, 4))]}, {"text": "tokens"}, {"text": "input"})
    _, arrays = asked(tmp_path, blobs).frame(run="run", tag="0", step=0, section="text", samples=0)
    assert arrays.size == 0
