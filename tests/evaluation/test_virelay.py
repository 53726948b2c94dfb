"""A project that was exported is what ViRelAy's own server reads.

The server is run beside the tests where there is one: `tox run -e virelay`, or set KERASEXPLAIN_VIRELAY to its command.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from kerasexplain import InputError
from kerasexplain.evaluation.strategies import virelay
from kerasexplain.evaluation.strategies.virelay import Category

pytestmark = pytest.mark.once("files")

COMMAND = os.environ.get("KERASEXPLAIN_VIRELAY") or shutil.which("virelay")


def category(of: int | None, positions: list[int], seed: int) -> Category:
    rng = np.random.default_rng(seed)
    count = len(positions)
    return Category(
        of=of,
        positions=np.array(positions),
        labels=np.array([-1, *(np.arange(count - 1) % 2)]),
        eigenvalues=np.array([0.0, 0.1, 0.7]),
        coordinates=rng.normal(size=(count, 3)),
        embedding=rng.normal(size=(count, 2)),
        relevance=np.kron(rng.normal(size=(count, 6, 6)), np.ones((8, 8))).astype("float32"),
        classes=np.full(count, of or 0),
        outputs=rng.normal(size=(count, 4)).astype("float32"),
    )


CATEGORIES = [category(2, [1, 4, 5, 9], 0), category(0, [0, 3, 8], 1)]
IMAGES = np.random.default_rng(2).random((10, 12, 10, 1))
NAMES = ["nought", "one", 'two "2"', "three: ü"]


def exported(folder: pathlib.Path, categories: list[Category] = CATEGORIES, images: Any = IMAGES) -> pathlib.Path:
    options: dict[str, Any] = {"title": "marks", "model": "digits", "method": "lrp.epsilon_plus", "by_label": True}
    return virelay.export(folder, categories, images, NAMES, **options)


@contextlib.contextmanager
def serving(project: pathlib.Path) -> Iterator[str]:
    """The address of ViRelAy's server for a project."""
    assert COMMAND is not None
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "BROWSER": "true"}  # it would open one
    environment.pop("PYTHONPATH", None)
    server = subprocess.Popen(
        [COMMAND, str(project), "--port", str(port)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    address = f"http://localhost:{port}"
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/api/projects").close()
                break
            assert server.poll() is None, server.stdout.read() if server.stdout else ""
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.communicate()


def asked(address: str) -> Any:
    with urllib.request.urlopen(address) as answer:
        return json.load(answer)


def pixels(address: str) -> np.ndarray:
    with urllib.request.urlopen(address) as answer:
        return np.asarray(Image.open(io.BytesIO(answer.read())), dtype=float)


@pytest.mark.skipif(COMMAND is None, reason="there is no ViRelAy: tox run -e virelay")
def test_the_server_reads_the_project(tmp_path: pathlib.Path) -> None:
    with serving(exported(tmp_path / "project")) as address:
        (listed,) = asked(f"{address}/api/projects")
        assert {name: listed[name] for name in ("name", "model", "dataset")} == {
            "name": "marks",
            "model": "digits",
            "dataset": "5 samples",
        }
        (method,) = asked(f"{address}/api/projects/0")["analysisMethods"]
        assert method["categories"] == [
            {"name": "class-00000", "humanReadableName": "nought"},
            {"name": "class-00002", "humanReadableName": 'two "2"'},
        ]
        assert method["clusterings"] == ["eigengap"]
        assert method["embeddings"] == ["spectral", "tsne"]
        query = "category=class-00002&clustering=eigengap&embedding=spectral"
        analysis = asked(f"{address}/api/projects/0/analyses/{method['name']}?{query}")
        two = CATEGORIES[0]
        assert analysis["eigenvalues"] == two.eigenvalues.tolist()
        assert [point["attributionIndex"] for point in analysis["embedding"]] == [4, 5, 9]  # 1 is in no cluster
        assert [point["cluster"] for point in analysis["embedding"]] == [0, 1, 0]
        np.testing.assert_allclose([point["value"] for point in analysis["embedding"]], two.coordinates[1:])

        attribution = asked(f"{address}/api/projects/0/attributions/5")
        assert attribution["index"] == 5
        assert attribution["labels"] == [{"index": 2, "name": 'two "2"', "wordNetId": "class-00002"}]
        np.testing.assert_allclose(attribution["prediction"], two.outputs[2], rtol=1e-6)
        assert (attribution["width"], attribution["height"]) == (48, 48)

        # What is drawn is the image and the relevance: bytes, but for the compression of JPEG.
        drawn = pixels(f"{address}/api/projects/0/dataset/5/image")
        assert drawn.shape == (12, 10, 3)
        assert np.corrcoef(drawn.mean(axis=-1).ravel(), IMAGES[5, ..., 0].ravel())[0, 1] > 0.98
        heatmap = pixels(f"{address}/api/projects/0/attributions/5/heatmap?colorMap=blue-white-red")
        red = heatmap[..., 0] - heatmap[..., 2]
        assert np.corrcoef(red.ravel(), two.relevance[2].ravel())[0, 1] > 0.95
        over = f"{address}/api/projects/0/attributions/5/heatmap?colorMap=black-fire-red&superimpose=true"
        assert pixels(over).shape == (12, 10, 3)
        with pytest.raises(urllib.error.HTTPError):
            asked(f"{address}/api/projects/0/attributions/1")


def test_the_files_hold_what_was_found(tmp_path: pathlib.Path) -> None:
    folder = exported(tmp_path).parent
    assert sorted(path.name for path in folder.iterdir()) == [
        "analysis.h5",
        "attribution.h5",
        "dataset.h5",
        "label-map.json",
        "project.yaml",
    ]
    with h5py.File(folder / "attribution.h5") as file:
        assert file["index"][:].tolist() == [3, 4, 5, 8, 9]
        assert file["label"][:].tolist() == [0, 2, 2, 0, 2]
        np.testing.assert_allclose(file["attribution"][2].sum(axis=0), CATEGORIES[0].relevance[2], rtol=1e-5)
    with h5py.File(folder / "dataset.h5") as file:
        assert file["data"].shape == (10, 3, 12, 10)
        np.testing.assert_array_equal(file["data"][9, 1], np.round(255 * IMAGES[9, ..., 0]))
        assert file["data"].id.get_num_chunks() == 5  # what was not analysed takes no room


def test_what_it_cannot_show_is_refused(tmp_path: pathlib.Path) -> None:
    wrong: list[tuple[list[Category], Any, str]] = [
        ([CATEGORIES[0], category(None, [0, 5], 0)], IMAGES, "sample 5 is in two of the strategies"),
        (CATEGORIES, IMAGES[:7], "images= has 7 entries, but sample 9 was analysed"),
        (CATEGORIES, 3 * IMAGES, "pass images in bytes, or in 0..1"),
        (CATEGORIES, IMAGES[:, 0], "ViRelAy shows images of 1, 3 or 4 channels"),
        (CATEGORIES, [*IMAGES[:5], *IMAGES[5:, :8]], "samples differ in size"),
    ]
    for categories, images, told in wrong:
        with pytest.raises(InputError, match=told):
            exported(tmp_path, categories, images)
