"""The writer: TensorBoard reads what was written, and neither TensorFlow nor Keras is needed for it."""

from __future__ import annotations

import io
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from helpers.events import Run
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from kerasexplain.tensorboard.records import (
    VERSION,
    FormatError,
    Header,
    array_from_blob,
    array_to_blob,
    as_map,
    blobs_of,
)
from kerasexplain.tensorboard.writer import Writer

pytestmark = pytest.mark.once("events are files, whoever wrote them")


def test_scalars(tmp_path: pathlib.Path) -> None:
    with Writer(tmp_path) as writer:
        for step, value in ((0, 0.25), (7, -3.0)):
            writer.scalar("share", value, step)
    run = Run.of(tmp_path)
    assert run.tags("scalars") == {"share"}
    assert run.steps("share") == [0, 7]
    assert [float(value) for value in run.values("share")] == [0.25, -3.0]


def test_histograms_count_what_is_finite(tmp_path: pathlib.Path) -> None:
    values = np.array([-1.0, 0.0, 0.5, 3.0, np.nan, np.inf])
    with Writer(tmp_path) as writer:
        writer.histogram("some", values, 1)
        writer.histogram("equal", np.full(5, 2.0), 1)
        writer.histogram("none", np.array([np.nan]), 1)
        for name, nearly in (("large", [1e17]), ("huge", [3e30] * 3), ("close", [1.0, 1.0 + 4e-16]), ("tiny", [1e-30])):
            writer.histogram(name, nearly, 1)
    run = Run.of(tmp_path)
    bins = run.values("some")[0]
    assert bins[0, 0] == -1
    assert bins[-1, 1] == 3
    np.testing.assert_array_equal(bins[1:, 0], bins[:-1, 1])
    assert bins[:, 2].sum() == 4
    left, right, counts = run.values("equal")[0].T
    assert counts.sum() == 5
    assert left[counts > 0] <= 2 <= right[counts > 0]
    assert run.values("none")[0].shape == (0, 3)
    assert [run.values(name)[0][:, 2].sum() for name in ("large", "huge", "close", "tiny")] == [1, 3, 2, 1]


def test_images(tmp_path: pathlib.Path) -> None:
    images = [Image.new("RGB", (5, 3), colour) for colour in ("red", "blue")]
    with Writer(tmp_path) as writer:
        writer.images("both", images, 4)
    width, height, *pngs = Run.of(tmp_path).values("both")[0]
    assert (int(width), int(height)) == (5, 3)
    assert [Image.open(io.BytesIO(png)).getpixel((0, 0)) for png in pngs] == [(255, 0, 0), (0, 0, 255)]


def test_a_blob_keeps_zero_bytes_at_its_end(tmp_path: pathlib.Path) -> None:
    with Writer(tmp_path) as writer:
        writer.relevance("blobs", [b"{}", b"\x01\x00\x00", b""], 0)
    run = Run.of(tmp_path)
    assert run.tags("relevance") == {"blobs"}
    assert list(run.values("blobs")[0]) == [b"{}", b"\x01\x00\x00", b""]


@settings(max_examples=25, deadline=None)
@given(array=arrays.arrays(np.float32, arrays.array_shapes(max_dims=4, max_side=4), elements=st.floats(width=32)))
def test_arrays_survive(array: np.ndarray) -> None:
    found = array_from_blob(array_to_blob(array))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    assert as_map(array, "numbers").ndim == 2


def test_a_sequence_tells_where_everything_is() -> None:
    image, layer = np.arange(24.0).reshape(2, 3, 4, 1), np.ones((2, 5))
    kinds = {"image": "image", "hidden": "numbers"}
    blobs = blobs_of(
        {"image": list(image), "hidden": list(layer)},
        kinds,
        {"image": "input", "hidden": "layer"},
        analyzer="lrp.z",
        neuron=[3, [1, 2]],
        explained=[0.5, -1.0],
        class_names=["<b>", "é"],
    )
    header = Header.from_blob(blobs[0])
    assert (header.analyzer, header.neuron, header.class_names) == ("lrp.z", [3, [1, 2]], ["<b>", "é"])
    assert (header.section("hidden").first, header.section("hidden").end) == (2, 3)
    assert header.section("image").shape == (3, 4, 1)
    at, row = header.section("image").place(1)
    np.testing.assert_array_equal(array_from_blob(blobs[at])[row], image[1])
    with pytest.raises(FormatError, match="no section 'other'; there are"):
        header.section("other")


def test_large_samples_have_a_blob_of_their_own() -> None:
    large = [np.zeros((400, 400), "float32"), np.ones((400, 400), "float32"), np.ones((400, 400), "float32")]
    blobs = blobs_of({"x": large}, {"x": "numbers"}, {"x": "layer"})
    section = Header.from_blob(blobs[0]).section("x")
    assert (section.block, section.end, len(blobs)) == (1, 4, 4)
    assert array_from_blob(blobs[section.place(1)[0]]).shape == (1, 400, 400)


@pytest.mark.parametrize(
    "blob", [b"", b"[]", b"3", b"{}", b'{"version": 1}', b'{"version":1,"sections":[{"a":1}]}', b"\xff"]
)
def test_what_is_no_header_is_refused(blob: bytes) -> None:
    with pytest.raises(FormatError, match="no header of relevance data"):
        Header.from_blob(blob)


def test_version_1_had_other_words_for_kinds_and_roles() -> None:
    kinds, roles = {"image": "image", "x": "audit"}, {"image": "input", "x": "audit"}
    arrays = {"image": [np.ones((2, 2))], "x": [np.ones((3, 4))]}
    header = blobs_of(arrays, kinds, roles, analyzer="lrp.z")[0]
    told = json.loads(header) | {"version": 1}
    for section, kind, role in zip(told["sections"], ("picture", "books"), ("input", "books"), strict=True):
        section |= {"kind": kind, "role": role}
    assert Header.from_blob(json.dumps(told).encode()) == Header.from_blob(header)


def test_a_newer_version_is_refused() -> None:
    blob = Header(()).to_blob().replace(f'"version":{VERSION}'.encode(), b'"version":99')
    with pytest.raises(FormatError, match="of version 99; this kerasexplain reads up to"):
        Header.from_blob(blob)


def test_objects_are_never_unpickled() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(FormatError, match="no array"):
        array_from_blob(buffer.getvalue())
    with pytest.raises(FormatError, match="no array"):
        array_from_blob(array_to_blob(np.ones(5))[:-3])


def test_a_map_has_a_value_for_every_place() -> None:
    image = np.arange(12.0).reshape(2, 2, 3)
    np.testing.assert_array_equal(as_map(image, "image"), [[3, 12], [21, 30]])
    np.testing.assert_array_equal(as_map(image, "tokens"), [[15, 51]])
    np.testing.assert_array_equal(as_map(np.arange(3.0), "numbers"), [[0, 1, 2]])
    assert as_map(np.ones((5, 2, 3, 4)), "image").shape == (2, 15)
    assert as_map(np.array(2.0), "numbers").shape == (1, 1)


def test_neither_keras_nor_tensorflow_is_imported() -> None:
    code = (
        "import sys; from kerasexplain.tensorboard import records; "
        "print(sorted({'keras', 'tensorflow', 'tensorboard', 'jax'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
