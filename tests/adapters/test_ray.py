"""Ray Data runs the actor class: Parquet and folders of images in, Parquet out, also where an actor is killed.

`tox run -e ray` has Ray.
"""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from kerasexplain import create_analyzer
from kerasexplain.adapters.ray import Explain

pytest.importorskip("ray", reason="tox run -e ray has it")
pytest.importorskip("pyarrow", reason="tox run -e ray has it")
import ray.data

pytestmark = pytest.mark.once("the same on every backend")


class Killed(Explain):
    """An actor whose process is killed in the middle of the work, once."""

    def __init__(self, mark: str, **options: Any) -> None:
        super().__init__(**options)
        self._mark, self._calls = pathlib.Path(mark), 0

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self._calls += 1
        if self._calls == 2 and not self._mark.exists():
            self._mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(batch)


@pytest.fixture(scope="module", autouse=True)
def started() -> Iterator[None]:
    ray.init(num_cpus=4, object_store_memory=150 * 2**20, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(5, activation="softmax")(keras.layers.Flatten()(x)))


def explained(dataset: Any, actor: type, into: pathlib.Path, actors: int = 1, **options: Any) -> dict[str, np.ndarray]:
    """The columns that Ray writes, read again, in the order of the numbers of samples."""
    dataset.map_batches(
        actor, fn_constructor_kwargs=options, batch_size=8, compute=ray.data.ActorPoolStrategy(size=actors)
    ).write_parquet(str(into))
    rows = ray.data.read_parquet(str(into)).take_all()
    assert rows
    key = "number" if "number" in rows[0] else "path"
    rows.sort(key=lambda row: row[key])
    return {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]}


def test_parquet_to_parquet_by_two_actors_of_which_one_is_killed(model: keras.Model, tmp_path: pathlib.Path) -> None:
    x = np.random.default_rng(0).normal(size=(64, 8, 8, 3)).astype("float32")
    labels = np.arange(64) % 5
    numbered = [{"number": i, "image": x[i], "label": int(labels[i])} for i in range(64)]
    ray.data.from_items(numbered, override_num_blocks=4).write_parquet(str(tmp_path / "data"))
    model.save(tmp_path / "model.keras")
    dataset = ray.data.read_parquet(str(tmp_path / "data"))
    options = {"model": str(tmp_path / "model.keras"), "analyzer": "lrp.epsilon", "target": "label", "epsilon": 0.1}
    mark = tmp_path / "killed"
    found = explained(dataset, Killed, tmp_path / "out", actors=2, mark=str(mark), **options)
    assert mark.exists()
    np.testing.assert_array_equal(found["number"], np.arange(64))
    expected = create_analyzer("lrp.epsilon", model, epsilon=0.1).explain(x, labels, batch_size=8)
    for name in ("relevance", "output", "neuron", "explained"):
        np.testing.assert_array_equal(found[name], getattr(expected, name))


def test_a_folder_of_images_and_a_model_itself(model: keras.Model, tmp_path: pathlib.Path) -> None:
    (tmp_path / "photographs").mkdir()
    images = np.random.default_rng(1).integers(0, 256, size=(10, 8, 8, 3)).astype("uint8")
    for i, image in enumerate(images):
        keras.utils.save_img(tmp_path / "photographs" / f"{i}.png", image, scale=False)
    dataset = ray.data.read_images(str(tmp_path / "photographs"), include_paths=True)
    found = explained(dataset, Explain, tmp_path / "out", model=model, analyzer="lrp.epsilon_plus")
    assert [pathlib.Path(path).name for path in found["path"]] == [f"{i}.png" for i in range(10)]
    np.testing.assert_array_equal(found["image"], images)
    analyzer = create_analyzer("lrp.epsilon_plus", model)
    np.testing.assert_allclose(found["relevance"], analyzer.analyze(images.astype("float32")), rtol=0, atol=1e-4)
