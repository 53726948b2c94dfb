"""Long and side by side: many threads, many analyses, many models, and the same numbers for the same seed."""

from __future__ import annotations

import gc
import pathlib
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import pytest
from helpers.training import data, fit, network
from keras import layers

from kerasexplain import Contrast, create_analyzer

X = np.random.default_rng(0).normal(size=(5, 6, 6, 1)).astype("float32")
NAMES = ("lrp.epsilon", "lrp.z_plus", "lrp.alpha_2_beta_1", "gradient", "deep_lift", "integrated_gradients")


def _model(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((6, 6, 1))
    x = layers.BatchNormalization()(layers.Conv2D(3, 3, activation="relu")(inputs))
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(layers.Flatten()(x)))


@pytest.mark.not_on("jax", "it compiles every one of them, for minutes")
def test_threads_with_analyzers_targets_and_models_of_their_own() -> None:
    models = [_model(seed) for seed in range(3)]
    jobs = [(name, i, target) for name in NAMES for i in range(3) for target in (0, 3)]

    def run(job: tuple[str, int, int]) -> np.ndarray:
        name, i, target = job
        return create_analyzer(name, models[i]).analyze(X, target)

    expected = list(map(run, jobs))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(run, jobs))
    for job, one, other in zip(jobs, found, expected, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=str(job))


def test_threads_share_an_analyzer() -> None:
    analyzer = create_analyzer("lrp.epsilon", _model(0))
    targets: list[Any] = [None, 0, 3, Contrast(1, 2), np.array([0.5, 0.0, -1.0, 0.0])]
    expected = [analyzer.explain(X, target, audit=i % 2 == 1) for i, target in enumerate(targets)]

    def run(number: int) -> tuple[int, Any]:
        i = number % len(targets)
        return i, analyzer.explain(X, targets[i], audit=i % 2 == 1)

    with ThreadPoolExecutor(8) as pool:
        for i, found in pool.map(run, range(40)):
            np.testing.assert_array_equal(found.relevance, expected[i].relevance)
            if i % 2:
                np.testing.assert_array_equal(found.audit.lost, expected[i].audit.lost)


@pytest.mark.not_on("jax", "a model that trains changes its weights while another thread reads them")
def test_a_thread_analyses_another_model_while_one_trains_with_a_callback(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("tensorboard")
    from kerasexplain.callbacks import RelevanceLogger

    analyzer = create_analyzer("lrp.epsilon", _model(0))
    expected = analyzer.analyze(X, 1)
    seen: list[np.ndarray] = []
    ended = threading.Event()

    def analyse() -> None:
        while not ended.is_set():
            seen.append(analyzer.analyze(X, 1))

    thread = threading.Thread(target=analyse)
    model = network()
    thread.start()
    try:
        fit(model, [RelevanceLogger("lrp.z_plus", data(), log_dir=tmp_path)])
    finally:
        ended.set()
        thread.join()
    assert seen
    for found in seen:
        np.testing.assert_array_equal(found, expected)


def _resident() -> float:
    """Memory of this process, in MiB."""
    gc.collect()
    with open("/proc/self/statm") as file:  # noqa: PTH123 - not a file of the file system
        return int(file.read().split()[1]) * 4096 / 2**20


needs_proc = pytest.mark.skipif(not pathlib.Path("/proc/self/statm").exists(), reason="/proc tells the memory")


@needs_proc
@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow("ten thousand analyses"))])
def test_memory_stays_flat_over_many_analyses(count: int) -> None:
    analyzer = create_analyzer("lrp.epsilon", _model(0))
    for i in range(50):
        analyzer.analyze(X, i % 4)
    traces, before = analyzer.traces, _resident()
    for i in range(count):
        analyzer.analyze(X, i % 4)
    assert analyzer.traces == traces
    assert _resident() - before < 20


@needs_proc
@pytest.mark.parametrize("count", [8, pytest.param(200, marks=pytest.mark.slow("two hundred models"))])
def test_models_that_are_dropped_are_gone(count: int) -> None:
    alive: weakref.WeakSet[Any] = weakref.WeakSet()

    def make(seed: int) -> None:
        model = _model(seed)
        analyzer = create_analyzer("lrp.epsilon", model)
        analyzer.analyze(X, 1)
        alive.update([model, analyzer])

    for seed in range(4):
        make(seed)
    before = _resident()
    for seed in range(count):
        make(seed)
    after = _resident()
    assert not len(alive)
    assert after - before < 20 + 0.5 * count  # of what TensorFlow keeps of every traced function


#: Prints the digests of what some analyzers give for a seed, random ones among them.
SEEDED = """
import hashlib
import keras, numpy as np
from keras import layers
from kerasexplain import create_analyzer
keras.utils.set_random_seed(3)
conv = layers.Conv2D(3, 3, activation="relu")
model = keras.Sequential([keras.Input((6, 6, 1)), conv, layers.Flatten(), layers.Dense(4)])
x = np.random.default_rng(0).normal(size=(5, 6, 6, 1)).astype("float32")
for name, options in {"lrp.epsilon": {}, "smoothgrad": {"seed": 1}, "expected_gradients": {"seed": 1}}.items():
    analyzer = create_analyzer(name, model, **options).fit(x)
    print(name, hashlib.sha256(analyzer.analyze(x, 1).tobytes()).hexdigest())
"""


def test_the_same_seed_gives_the_same_numbers_in_another_process() -> None:
    said = [
        subprocess.run([sys.executable, "-c", SEEDED], capture_output=True, text=True, check=True) for _ in range(2)
    ]
    assert said[0].stdout.count("\n") == 3
    assert said[0].stdout == said[1].stdout


#: Trains with a callback until it is killed; says when an epoch has been logged.
TRAINING = """
import sys
import keras
from helpers.training import data, network
from kerasexplain.callbacks import RelevanceLogger

class Told(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        print(epoch, flush=True)

x, y = data()
model = network()
logger = RelevanceLogger("lrp.epsilon", (x, y), log_dir=sys.argv[1], max_images=4)
model.fit(x, y, batch_size=8, epochs=10_000, verbose=0, callbacks=[logger, Told()])
"""


@pytest.mark.once("a log is a file, whoever wrote it")
def test_the_log_of_a_process_that_was_killed_opens(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("tensorboard")
    from helpers.events import Run

    helpers = pathlib.Path(__file__).parents[1]
    code = f"import sys; sys.path.insert(0, {str(helpers)!r})\n{TRAINING}"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(30)]
    process.kill()
    process.wait()
    run = Run.of(tmp_path / "relevance")
    steps = run.steps("lrp.epsilon")
    assert steps == list(range(len(steps)))
    assert told == list(range(30))
    assert run.section("samples", "input").shape == (4, 6, 6, 1)
    assert np.isfinite(run.section("lrp.epsilon", "input")).all()
