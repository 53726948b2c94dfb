"""The logger: what is in the file is what an analyzer finds, and training is none the worse for it."""

from __future__ import annotations

import itertools
import json
import pathlib
import pickle
import shutil
import warnings
from typing import Any

import keras
import numpy as np
import pytest
from helpers.events import Run
from helpers.training import data, fit, network
from keras import layers

from kerasexplain import Analyzer, Contrast, InputError, UnsupportedModelError, create_analyzer
from kerasexplain.callbacks import RelevanceLogger
from kerasexplain.tensorboard.explanations import AUDIT


@pytest.mark.parametrize("kind", ["sequential", "functional", "subclassed"])
def test_the_last_event_is_what_the_trained_model_gives(kind: str, tmp_path: pathlib.Path) -> None:
    model, (x, y) = network(kind), data()
    logger = RelevanceLogger("lrp.epsilon", (x, y), log_dir=tmp_path, max_images=5, layers=["conv"])
    fit(model, [logger])
    run = Run.of(tmp_path / "relevance")
    assert run.steps("lrp.epsilon") == [0, 1, 2]
    expected = create_analyzer("lrp.epsilon", model).explain(x[:5], y[:5], layers=["conv"], audit=True)
    np.testing.assert_allclose(run.section("lrp.epsilon", "input"), expected.relevance, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(run.section("lrp.epsilon", "conv"), expected.layers["conv"], rtol=1e-5, atol=1e-7)
    received, bias, lost = run.section("lrp.epsilon", AUDIT)[:, :, 0].T
    assert expected.audit is not None
    np.testing.assert_allclose(received - bias - lost, expected.audit.inputs, rtol=1e-4, atol=1e-6)
    header = run.header("lrp.epsilon")
    assert header.analyzer == "lrp.epsilon"
    assert header.event == 2
    assert header.neuron == header.target == y[:5].tolist()
    assert header.prediction == model.predict(x[:5], verbose=0).argmax(axis=1).tolist()
    np.testing.assert_allclose(header.explained, expected.explained, rtol=1e-5)
    np.testing.assert_array_equal(run.section("samples", "input"), x[:5])
    assert run.steps("samples") == [0]


def test_it_follows_the_weights_and_never_traces_again(tmp_path: pathlib.Path) -> None:
    model = network()
    analyzed = Counting(create_analyzer("lrp.epsilon_plus", model))
    fit(model, [RelevanceLogger(analyzed, data(), log_dir=tmp_path)], epochs=4)
    assert analyzed.traces == 1
    assert analyzed.asked == 5  # once before training, and once an epoch
    maps = [Run.of(tmp_path / "relevance").section("lrp.epsilon_plus", "input", event) for event in range(4)]
    assert all(np.abs(after - before).max() > 1e-4 for before, after in itertools.pairwise(maps))


class Counting(Analyzer):
    """An analyzer that counts how often it is asked."""

    def __init__(self, analyzer: Analyzer) -> None:
        vars(self).update(vars(analyzer))
        self.asked = 0

    def explain(self, *args: Any, **options: Any) -> Any:
        self.asked += 1
        return super().explain(*args, **options)


def test_steps_are_those_of_the_callback_of_keras(tmp_path: pathlib.Path) -> None:
    options: dict[str, Any] = {"log_dir": tmp_path, "every_n_epochs": 2, "every_n_batches": 3}
    fit(network(), [RelevanceLogger("gradient", data(), **options)], epochs=4)
    run = Run.of(tmp_path / "relevance")
    assert run.steps("gradient") == [0, 2]
    assert run.steps("batch/gradient") == [0, 3, 6, 9, 12]  # three batches an epoch; 0 is before the first
    assert run.tags("images") == {"relevance/gradient", "relevance/batch/gradient"}


@pytest.mark.tensorflow("Keras' own callback needs it")
def test_it_shares_the_axis_of_the_callback_of_keras(tmp_path: pathlib.Path) -> None:
    theirs = keras.callbacks.TensorBoard(str(tmp_path), update_freq=1)
    fit(network(), [theirs, RelevanceLogger("gradient", data(), log_dir=tmp_path, every_n_batches=4)])
    run, scalars = Run.of(tmp_path / "relevance"), Run.of(tmp_path / "train")
    assert run.steps("gradient") == scalars.steps("epoch_loss")
    assert run.steps("batch/gradient") == [0, 4, 8]
    assert scalars.steps("batch_loss") == list(range(1, 10))


def test_several_analyzers_and_what_is_explained(tmp_path: pathlib.Path) -> None:
    model, (x, y) = network(), data()
    analyzers = {"one": "lrp.z", "another": create_analyzer("lrp.gamma", model, gamma=1.0)}
    fit(model, [RelevanceLogger(analyzers, (x, y), log_dir=tmp_path, targets="prediction", class_names=["up", "down"])])
    run = Run.of(tmp_path / "relevance")
    assert run.tags("relevance") == {"one", "another", "samples"}
    assert run.header("one").neuron == run.header("one").prediction
    assert run.header("another").analyzer == "lrp.gamma"
    assert run.header("samples").class_names == ["up", "down"]


def test_one_neuron_for_all_and_names_of_the_same_analyzer(tmp_path: pathlib.Path) -> None:
    x, _ = data()
    model = network()
    both = [create_analyzer("lrp.gamma", model, gamma=g) for g in (0.1, 1.0)]
    fit(model, [RelevanceLogger(both, x, log_dir=tmp_path, targets=1, raw=True)], epochs=1)
    run = Run.of(tmp_path / "relevance")
    assert run.tags("relevance") == {"lrp.gamma", "lrp.gamma (2)", "samples"}
    assert run.header("lrp.gamma").neuron == [1] * 8
    assert run.header("lrp.gamma").target is None


def test_without_raw_numbers_there_are_images_alone(tmp_path: pathlib.Path) -> None:
    fit(network(), [RelevanceLogger("gradient", data(), log_dir=tmp_path, raw=False)], epochs=1)
    run = Run.of(tmp_path / "relevance")
    assert run.tags("relevance") == set()
    width, height, *pngs = run.values("relevance/gradient")[0]
    assert (int(width), int(height), len(pngs)) == (3 * 96 + 2 * 4, 96, 8)


@pytest.mark.parametrize("kind", ["one-hot", "column", "generator", "PyDataset"])
def test_kinds_of_data(kind: str, tmp_path: pathlib.Path) -> None:
    x, y = data()
    given: Any = {
        "one-hot": (x, np.eye(2)[y]),
        "column": (x.tolist(), y[:, None].astype("float32")),
        "generator": ((x[i : i + 3], y[i : i + 3]) for i in range(0, 24, 3)),
        "PyDataset": Batches(x, y),
    }[kind]
    fit(network(), [RelevanceLogger("lrp.z", given, log_dir=tmp_path, max_images=7)], epochs=1)
    run = Run.of(tmp_path / "relevance")
    assert run.header("lrp.z").neuron == y[:7].tolist()
    np.testing.assert_allclose(run.section("samples", "input"), x[:7], rtol=1e-6)


class Batches(keras.utils.PyDataset):
    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__()
        self._x, self._y = x, y

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        return self._x[5 * index : 5 * index + 5], self._y[5 * index : 5 * index + 5]


def test_words(tmp_path: pathlib.Path) -> None:
    ids = keras.Input((4,), dtype="int32", name="ids")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(5, 3)(ids))
    model = keras.Model(ids, layers.Dense(1, activation="sigmoid")(x))
    model.compile("sgd", "binary_crossentropy")
    given, y = np.array([[0, 2, 3, 4], [1, 2, 0, 0]]), np.array([1, 0])
    words = ["", "bad", "good", "very", "!"]
    logger = RelevanceLogger("lrp.z", (given, y), log_dir=tmp_path, tokens=words, padding=0)
    model.fit(given, y, verbose=0, callbacks=[logger])
    run = Run.of(tmp_path / "relevance")
    header = run.header("samples")
    assert header.tokens == {"input": [["", "good", "very", "!"], ["bad", "good", "", ""]]}
    assert run.header("lrp.z").section("input").kind == "tokens"
    assert run.header("lrp.z").neuron == ["output", "output"]  # one output serves both classes
    assert run.header("lrp.z").prediction is None
    assert run.tags("images") == set()


def test_several_inputs(tmp_path: pathlib.Path) -> None:
    image, number = keras.Input((6, 6, 1), name="image"), keras.Input((3,), name="number")
    x = layers.Concatenate()([layers.Flatten()(image), number])
    model = keras.Model({"image": image, "number": number}, layers.Dense(2)(x))
    model.compile("sgd", "mse")
    x, y = data()
    given = {"image": x, "number": np.ones((24, 3), "float32")}
    model.fit(given, np.eye(2)[y], verbose=0, callbacks=[RelevanceLogger("lrp.z", given, log_dir=tmp_path)])
    run = Run.of(tmp_path / "relevance")
    kinds = {section.name: section.kind for section in run.header("lrp.z").sections if section.role == "input"}
    assert kinds == {"image": "image", "number": "numbers"}
    assert run.tags("images") == {"relevance/lrp.z/image", "relevance/lrp.z/number"}


def test_evaluate_and_predict(tmp_path: pathlib.Path) -> None:
    model, (x, y) = network(), data()
    fit(model, [], epochs=2)
    logger = RelevanceLogger("gradient", (x, y), log_dir=tmp_path)
    model.evaluate(x, y, verbose=0, callbacks=[logger])
    model.predict(x, verbose=0, callbacks=[logger])
    assert Run.of(tmp_path / "relevance").steps("gradient") == [6, 6]


def test_validation_during_training_is_no_event(tmp_path: pathlib.Path) -> None:
    fit(network(), [RelevanceLogger("gradient", data(), log_dir=tmp_path)], epochs=2, validation_data=data())
    assert Run.of(tmp_path / "relevance").steps("gradient") == [0, 1]


def test_a_log_that_cannot_be_written_does_not_end_training(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(RuntimeWarning, match="relevance could not be logged to .*file/relevance"):
        history = fit(network(), [RelevanceLogger("gradient", data(), log_dir=tmp_path / "file")])
    assert len(history.history["loss"]) == 3


def test_it_goes_on_when_the_folder_is_back(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "logs"
    folder.write_text("in the way")

    class Mend(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                folder.unlink()

    with pytest.warns(RuntimeWarning, match="could not be logged"):
        fit(network(), [Mend(), RelevanceLogger("gradient", data(), log_dir=folder)], epochs=4)
    run = Run.of(folder / "relevance")
    assert run.steps("gradient") == [2, 3]
    assert run.tags("relevance") == {"samples", "gradient"}
    shutil.rmtree(folder)


def test_relevance_that_overflows_is_a_warning_that_names_the_layer(tmp_path: pathlib.Path) -> None:
    class Spoil(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.weights = self.model.get_weights()
            if epoch == 1:
                self.model.set_weights([np.full_like(weight, np.nan) for weight in self.weights])

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                self.model.set_weights(self.weights)

    logger = RelevanceLogger("lrp.z", data(), log_dir=tmp_path)
    with pytest.warns(RuntimeWarning, match=r"RelevanceLogger: no relevance of 'lrp.z' at epoch 1: NotFiniteError"):
        fit(network(), [Spoil(), logger])
    assert Run.of(tmp_path / "relevance").steps("lrp.z") == [0, 2]


def test_a_model_that_cannot_be_explained_is_refused_before_training(tmp_path: pathlib.Path) -> None:
    inputs = keras.Input((6, 6, 1))
    x = layers.Lambda(lambda x: x - keras.ops.mean(x, axis=0), name="centred")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.raises(UnsupportedModelError, match="samples"):
        model.fit(
            data()[0], np.eye(2)[data()[1]], verbose=0, callbacks=[RelevanceLogger("lrp.z", data(), log_dir=tmp_path)]
        )
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_samples_that_do_not_fit_are_refused_before_training(tmp_path: pathlib.Path) -> None:
    model = network()
    with pytest.raises(InputError, match="image"):
        fit(model, [RelevanceLogger("lrp.z", np.ones((2, 5, 5, 1)), log_dir=tmp_path)])
    assert int(model.optimizer.iterations) == 0


def test_an_analyzer_of_another_model_is_refused(tmp_path: pathlib.Path) -> None:
    other = create_analyzer("lrp.z", network())
    with pytest.raises(ValueError, match="shares no weights with the model that runs"):
        fit(network(), [RelevanceLogger(other, data(), log_dir=tmp_path)])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"analyzer": []}, "no analyzer"),
        ({"analyzer": [3]}, "must be a name, an analyzer"),
        ({"every_n_epochs": 0}, "every_n_epochs must be an integer"),
        ({"max_images": 0}, "the number of samples must be an integer"),
        ({"targets": "labels"}, 'targets must be "label", "prediction"'),
        ({"targets": "label", "data": np.ones((2, 6, 6, 1))}, 'targets="label" needs data'),
        ({"data": iter([])}, "there is no data"),
        ({"tokens": ["a"]}, "no input holds integers"),
        ({"data": None}, "data=None"),
        ({"data": (np.ones((2, 6, 6, 1)), np.array(["a", "b"])), "targets": "label"}, 'targets="label" needs data'),
        ({"data": iter([(1.0, 2)])}, "here is a single float64: batch the data"),
        ({"analyzer": {"samples": "lrp.z"}}, "'samples' cannot be an analyzer's label"),
        ({"analyzer": {"batch/a": "lrp.z"}}, "'batch/a' cannot be an analyzer's label"),
        ({"analyzer": {1: "lrp.z", "1": "gradient"}}, "two analyzers have one label"),
    ],
)
def test_wrong_arguments_are_refused_at_once(options: dict[str, Any], match: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=match):
        RelevanceLogger(**{"analyzer": "lrp.z", "data": data(), "log_dir": tmp_path, **options})


def test_the_model_can_be_saved_while_it_is_watched(tmp_path: pathlib.Path) -> None:
    model = network()
    checkpoint = keras.callbacks.ModelCheckpoint(str(tmp_path / "{epoch}.keras"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        fit(model, [RelevanceLogger("lrp.z", data(), log_dir=tmp_path), checkpoint], epochs=1)
    loaded = keras.saving.load_model(tmp_path / "1.keras")
    np.testing.assert_allclose(loaded.predict(data()[0], verbose=0), model.predict(data()[0], verbose=0), rtol=1e-6)


def test_a_configuration_brings_its_analyzers_along(tmp_path: pathlib.Path) -> None:
    model, (x, y) = network(), data()
    analyzers = {"a": create_analyzer("lrp.gamma", model, gamma=0.5), "b": "lrp.z"}
    logger = RelevanceLogger(analyzers, (x, y), log_dir=tmp_path / "one", targets=np.zeros(24, int), layers=["conv"])
    config = json.loads(json.dumps(logger.get_config()))
    again = RelevanceLogger.from_config(config, (x, y), log_dir=tmp_path / "two")
    fit(model, [logger, again], epochs=1)
    assert again.analyzers["a"] == analyzers["a"]
    one, two = (Run.of(tmp_path / name / "relevance") for name in ("one", "two"))
    for label in ("a", "b"):
        np.testing.assert_array_equal(one.section(label, "conv"), two.section(label, "conv"))
    assert two.header("a").neuron == [0] * 8


def test_two_loggers_of_different_samples(tmp_path: pathlib.Path) -> None:
    x, y = data()
    loggers = [RelevanceLogger("lrp.z", (x[i:], y[i:]), log_dir=tmp_path, run=f"from {i}") for i in (0, 3)]
    fit(network(), loggers, epochs=1)
    for i in (0, 3):
        np.testing.assert_array_equal(Run.of(tmp_path / f"from {i}").section("samples", "input"), x[i : i + 8])


def test_a_folder_that_is_deleted_is_made_again(tmp_path: pathlib.Path) -> None:
    class Delete(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                shutil.rmtree(tmp_path / "relevance")

    with pytest.warns(RuntimeWarning, match="the file that was written to is gone"):
        fit(network(), [RelevanceLogger("lrp.z", data(), log_dir=tmp_path), Delete()], epochs=4)
    run = Run.of(tmp_path / "relevance")
    assert run.steps("lrp.z") == [2, 3]
    assert run.steps("samples") == [2]


def test_copies_build_their_own_analyzers(tmp_path: pathlib.Path) -> None:
    logger = RelevanceLogger("lrp.z", data(), log_dir=tmp_path / "one")
    fit(network(), [logger], epochs=1)
    again = pickle.loads(pickle.dumps(logger))
    assert again.analyzers == {}
    fit(network(), [again], epochs=1)
    assert len(Run.of(tmp_path / "one" / "relevance").steps("lrp.z")) == 2


def test_a_training_that_failed_does_not_silence_evaluate(tmp_path: pathlib.Path) -> None:
    class Fail(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            raise KeyboardInterrupt

    model, (x, y) = network(), data()
    logger = RelevanceLogger("gradient", (x, y), log_dir=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fit(model, [Fail(), logger])
    model.evaluate(x, y, verbose=0, callbacks=[logger])
    assert Run.of(tmp_path / "relevance").steps("gradient") == [3]


def test_contrasts_of_samples_are_cut_with_them(tmp_path: pathlib.Path) -> None:
    model, (x, y) = network(), data()
    fit(model, [RelevanceLogger("lrp.z", (x, y), log_dir=tmp_path, targets=Contrast(y, against=1 - y))], epochs=1)
    expected = create_analyzer("lrp.z", model).analyze(x[:8], Contrast(y[:8], against=1 - y[:8]))
    found = Run.of(tmp_path / "relevance").section("lrp.z", "input")
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.tensorflow("strategies are TensorFlow's")
def test_under_a_distribution_strategy(tmp_path: pathlib.Path) -> None:
    import subprocess
    import sys

    code = f"""
import sys; sys.path[:0] = {sys.path!r}
import pathlib
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from helpers.training import data, network
from helpers.events import Run
from kerasexplain import create_analyzer
from kerasexplain.callbacks import RelevanceLogger
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    model = network()
x, y = data()
folder = pathlib.Path({str(tmp_path)!r})
model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[RelevanceLogger("lrp.epsilon", (x, y), log_dir=folder)])
run = Run.of(folder / "relevance")
expected = create_analyzer("lrp.epsilon", model).analyze(x[:8], y[:8])
np.testing.assert_allclose(run.section("lrp.epsilon", "input"), expected, rtol=1e-4, atol=1e-6)
plain = network()
plain.set_weights(model.get_weights())
np.testing.assert_allclose(create_analyzer("lrp.epsilon", plain).analyze(x[:8], y[:8]), expected, rtol=1e-4, atol=1e-6)
assert run.steps("lrp.epsilon") == [0, 1]
print("as expected")
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.stdout.strip().endswith("as expected"), found.stderr[-3000:]


def test_a_data_frame_brings_the_names_of_its_columns(tmp_path: pathlib.Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is optional")
    table = pandas.DataFrame(np.random.default_rng(0).normal(size=(8, 2)), columns=["age", "bmi"])
    logger = RelevanceLogger("lrp.epsilon", data=(table, np.zeros(8)), log_dir=tmp_path, max_images=3)
    assert logger._logged._features == {"input": ["age", "bmi"]}
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(table.to_numpy(), np.zeros(8), callbacks=[logger], verbose=0)


def test_an_input_of_one_number_a_sample_has_one_name(tmp_path: pathlib.Path) -> None:
    x = {"age": np.ones(4), "lab": np.ones((4, 2))}
    names = {"age": ["years"], "lab": ["K", "Na"]}
    logger = RelevanceLogger("lrp.epsilon", data=x, log_dir=tmp_path, feature_names=names)
    assert logger._logged._features == names
