"""What is written for TensorBoard's projector is what its own plugin serves."""

from __future__ import annotations

import io
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from werkzeug.test import Client

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin

from kerasexplain.evaluation.strategies import gallery, projector

pytestmark = pytest.mark.once("files")


@pytest.fixture
def images(rng: np.random.Generator) -> Iterator[list[Image.Image]]:
    return gallery.thumbnails(rng.normal(size=(5, 4, 4)), None, 16)


def served(folder: pathlib.Path, route: str, **query: Any) -> Any:
    provider = MultiplexerDataProvider(EventMultiplexer(), str(folder))
    apps = ProjectorPlugin(TBContext(data_provider=provider, logdir=str(folder))).get_plugin_apps()
    answer = Client(apps[route]).get("/", query_string=query)
    assert answer.status_code == 200, answer.text
    return answer


def test_the_plugin_serves_what_was_written(
    tmp_path: pathlib.Path, rng: np.random.Generator, images: list[Image.Image]
) -> None:
    vectors = rng.normal(size=(5, 3))
    columns = {"sample": [4, 8, 9, 11, 30], "name": ["a", "tab\tin it", "line\nin it", "ü", ""]}
    path = projector.write(tmp_path / "logs", "first", vectors, columns, images)
    projector.write(tmp_path / "logs", "second try", vectors[:2], {"sample": [0, 1], "cluster": [0, 0]}, images[:2])
    projector.write(tmp_path / "logs", "second try", vectors[:4], {"sample": [0, 1, 2, 3], "x": [0] * 4}, images[:4])
    logs = path.parent
    assert json.loads(served(logs, "/runs").text) == ["."]
    info = json.loads(served(logs, "/info", run=".").text)
    assert [(one["tensorName"], one["tensorShape"]) for one in info["embeddings"]] == [
        ("first", [5, 3]),
        ("second try", [4, 3]),
    ]
    assert info["embeddings"][0]["sprite"]["singleImageDim"] == [16, 16]
    tensor = np.frombuffer(served(logs, "/tensor", run=".", name="first").data, "float32").reshape(5, 3)
    np.testing.assert_allclose(tensor, vectors, rtol=1e-5)
    told = served(logs, "/metadata", run=".", name="first").text.rstrip("\n").split("\n")
    assert told == ["sample\tname", "4\ta", "8\ttab in it", "9\tline in it", "11\tü", "30\t"]
    sprite = Image.open(io.BytesIO(served(logs, "/sprite_image", run=".", name="first").data))
    assert sprite.size == (48, 48)  # 3 x 3 places for 5 images
    fifth = np.asarray(sprite.convert("RGB"))[16:32, 16:32]
    np.testing.assert_array_equal(fifth, np.asarray(images[4]))


def test_what_cannot_be_written_is_told(tmp_path: pathlib.Path, images: list[Image.Image]) -> None:
    (tmp_path / "projector_config.pbtxt").write_text("no configuration")
    with pytest.raises(ValueError, match="is no configuration of a projector"):
        projector.write(tmp_path, "name", np.zeros((5, 2)), {"a": [0] * 5, "b": [0] * 5}, images)
    with pytest.raises(ValueError, match=r"make a sheet of more than 8192, .* pass side= of at most 81"):
        projector.sheet([Image.new("RGB", (90, 90))] * 10_000)
