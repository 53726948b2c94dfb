"""SavedModels as Keras models: over the variables that were loaded, and explained as the model that was exported."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import kerasexplain
from kerasexplain import UnsupportedModelError, compat, create_analyzer

if keras.backend.backend() != "tensorflow":
    pytest.skip("SavedModels are run by TensorFlow", allow_module_level=True)

import tensorflow as tf

IMAGES = tf.TensorSpec((None, 5), tf.float32, name="x")


class Module(tf.Module):
    """Two layers without biases, of which there are two signatures."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.w = tf.Variable(rng.normal(size=(5, 4)).astype("float32"), name="w")
        self.v = tf.Variable(rng.normal(size=(4, 3)).astype("float32"), name="v")

    @tf.function(input_signature=[IMAGES])
    def score(self, x: Any) -> dict[str, Any]:
        return {"scores": tf.nn.relu(x @ self.w) @ self.v}

    @tf.function(input_signature=[IMAGES])
    def hidden(self, x: Any) -> dict[str, Any]:
        return {"hidden": tf.nn.relu(x @ self.w)}


class OfText(tf.Module):
    def __init__(self) -> None:
        words = tf.lookup.KeyValueTensorInitializer(["good", "bad"], [1, 2])
        self.table = tf.lookup.StaticHashTable(words, 0)
        self.vectors = tf.Variable(np.ones((3, 2), "float32"))

    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.string, name="words")])
    def score(self, words: Any) -> dict[str, Any]:
        return {"scores": tf.reduce_mean(tf.gather(self.vectors, self.table.lookup(words)), 1)}


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(4, 5)).astype("float32")


def exported(model: keras.Model, folder: pathlib.Path) -> Any:
    model.export(folder / "exported", verbose=False)
    return tf.saved_model.load(str(folder / "exported"))


def saved(module: tf.Module, folder: pathlib.Path, **options: Any) -> Any:
    tf.saved_model.save(module, str(folder / "saved"), **options)
    return tf.saved_model.load(str(folder / "saved"))


def of_two_inputs() -> keras.Model:
    a, b = keras.Input((2,), name="a"), keras.Input((3,), name="b")
    x = layers.Dense(4, activation="relu")(layers.Concatenate()([a, b]))
    return keras.Model({"a": a, "b": b}, {"p": layers.Dense(2, name="p")(x), "q": layers.Dense(3, name="q")(x)})


def assert_the_scores_of(module: Module, function: Any, x: np.ndarray) -> None:
    np.testing.assert_allclose(compat.as_model(function).predict(x, verbose=0), module.score(x)["scores"], rtol=1e-5)
    relevance = create_analyzer("lrp.epsilon", function, epsilon=1e-9).analyze(x, 0)
    np.testing.assert_allclose(relevance.sum(1), module.score(x)["scores"][:, 0], rtol=1e-3, atol=1e-4)


def test_an_exported_model_predicts_and_is_explained_as_it_is(tmp_path: pathlib.Path, x: np.ndarray) -> None:
    model = keras.Sequential([keras.Input((5,), name="x"), layers.Dense(4, activation="relu"), layers.Dense(3)])
    for bias in (layer.bias for layer in model.layers):
        bias.assign(np.linspace(-0.5, 0.5, bias.shape[0]))
    loaded = compat.as_model(exported(model, tmp_path))
    assert [tuple(given.shape) for given in loaded.inputs] == [(None, 5)]
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5)
    for name in ("lrp.epsilon", "lrp.z_plus", "gradient"):
        expected = create_analyzer(name, model).analyze(x, 1)
        np.testing.assert_allclose(create_analyzer(name, loaded).analyze(x, 1), expected, rtol=1e-4, atol=1e-6)
    by_path = compat.load_model(tmp_path / "exported")
    np.testing.assert_array_equal(by_path.predict(x, verbose=0), loaded.predict(x, verbose=0))


@pytest.mark.parametrize("output", ["p", "q", 0, 1])
def test_two_inputs_and_two_outputs_go_by_their_names(
    output: str | int, tmp_path: pathlib.Path, rng: np.random.Generator
) -> None:
    model = of_two_inputs()
    x = {name: rng.normal(size=(4, size)).astype("float32") for name, size in (("a", 2), ("b", 3))}
    loaded = compat.as_model(exported(model, tmp_path))
    found, expected = loaded.predict(x, verbose=0), model.predict(x, verbose=0)
    assert set(found) == {"p", "q"}
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
    relevance = create_analyzer("lrp.epsilon", loaded, output=output).analyze(x, 1)
    expected = create_analyzer("lrp.epsilon", model, output=output).analyze(x, 1)
    assert set(relevance) == {"a", "b"}
    for name in relevance:
        np.testing.assert_allclose(relevance[name], expected[name], rtol=1e-4, atol=1e-6)


def test_a_signature_is_chosen_by_its_name(tmp_path: pathlib.Path, x: np.ndarray) -> None:
    module = Module()
    loaded = saved(module, tmp_path, signatures={"score": module.score, "hidden": module.hidden})
    for name, size in (("score", 3), ("hidden", 4)):
        assert compat.as_model(loaded, name).predict(x, verbose=0).shape == (4, size)
        assert compat.load_model(tmp_path / "saved", signature=name).predict(x, verbose=0).shape == (4, size)
    relevance = create_analyzer("lrp.epsilon", loaded, signature="hidden", epsilon=0.0).explain(x, 2)
    np.testing.assert_allclose(relevance.relevance.sum(1), np.maximum(x @ module.w, 0)[:, 2], rtol=1e-4, atol=1e-5)


def test_a_signature_that_is_not_there_is_told_with_those_that_are(tmp_path: pathlib.Path) -> None:
    module = Module()
    loaded = saved(module, tmp_path, signatures={"score": module.score, "hidden": module.hidden})
    expected = r"no signature 'scor'\. Did you mean 'score'\? Known: hidden, score\."
    with pytest.raises(ValueError, match=expected):
        compat.as_model(loaded, signature="scor")
    with pytest.raises(ValueError, match=expected):
        create_analyzer("lrp.epsilon", loaded, signature="scor")
    with pytest.raises(ValueError, match=expected):
        compat.load_model(tmp_path / "saved", signature="scor")
    with pytest.raises(ValueError, match=r"no signature 'serving_default'\. Known: hidden, score\."):
        compat.as_model(loaded)


def test_the_only_signature_needs_no_name(tmp_path: pathlib.Path, x: np.ndarray) -> None:
    module = Module()
    loaded = saved(module, tmp_path, signatures={"own": module.score})
    np.testing.assert_allclose(compat.as_model(loaded)(x), module.score(x)["scores"], rtol=1e-5)


def test_a_saved_model_without_signatures_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(UnsupportedModelError, match=r"no signatures: save it by model\.export, or by tf\.saved_model"):
        compat.as_model(saved(Module(), tmp_path))


@pytest.mark.compiled
def test_variables_are_live_and_nothing_is_traced_anew(tmp_path: pathlib.Path, x: np.ndarray) -> None:
    module = Module()
    loaded = saved(module, tmp_path, signatures=module.score)
    model = compat.as_model(loaded)
    analyzer = create_analyzer("lrp.epsilon", model, epsilon=1e-9)
    assert model.count_params() == 5 * 4 + 4 * 3
    predicted, relevance = model.predict(x, verbose=0), analyzer.analyze(x, 1)
    traces = analyzer.traces
    loaded.v.assign(3 * loaded.v)
    np.testing.assert_allclose(model.predict(x, verbose=0), 3 * predicted, rtol=1e-5)
    np.testing.assert_allclose(analyzer.analyze(x, 1), 3 * relevance, rtol=1e-4, atol=1e-6)
    loaded.w.assign(tf.abs(loaded.w))
    after = analyzer.analyze(x, 1)
    assert analyzer.traces == traces == 1
    np.testing.assert_allclose(after, create_analyzer("lrp.epsilon", loaded, epsilon=1e-9).analyze(x, 1), rtol=1e-5)
    np.testing.assert_allclose(after.sum(1), model.predict(x, verbose=0)[:, 1], rtol=1e-3, atol=1e-4)


def test_weights_that_are_set_by_keras_are_those_that_were_loaded(tmp_path: pathlib.Path, x: np.ndarray) -> None:
    module = Module()
    loaded = saved(module, tmp_path, signatures=module.score)
    model = compat.as_model(loaded)
    held = {variable.name: variable for variable in model.weights}
    held["v"].assign(np.zeros((4, 3)))
    assert not np.any(loaded.v)
    assert not np.any(loaded.signatures["serving_default"](x=tf.constant(x))["scores"])


def test_a_concrete_function_of_named_tensors_is_a_model(x: np.ndarray) -> None:
    module = Module()

    def score(*, x: Any) -> dict[str, Any]:
        return {"scores": tf.nn.relu(x @ module.w) @ module.v}

    function = tf.function(score).get_concrete_function(x=IMAGES)
    assert_the_scores_of(module, function, x)


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_inputs_may_be_in_any_order(names: str, x: np.ndarray) -> None:
    scope = {"tf": tf}
    score = eval(f"lambda *, {', '.join(names)}: {{'y': tf.concat([3.0 * a, b], 1)}}", scope)
    sizes = {"a": 2, "b": 3}
    specs = {name: tf.TensorSpec((None, sizes[name]), tf.float32) for name in names}
    model = compat.as_model(tf.function(score).get_concrete_function(**specs))
    given = {"a": x[:, :2], "b": x[:, 2:]}
    np.testing.assert_allclose(model.predict(given, verbose=0), np.concatenate([3 * given["a"], given["b"]], 1))
    relevance = create_analyzer("gradient", model).analyze(given, 0)
    np.testing.assert_allclose(relevance["a"], np.tile([3.0, 0.0], (4, 1)))
    np.testing.assert_allclose(relevance["b"], np.zeros((4, 3)))


def test_a_signature_itself_is_a_model(tmp_path: pathlib.Path, x: np.ndarray) -> None:
    module = Module()
    loaded = saved(module, tmp_path, signatures=module.score)  # a signature does not keep its variables alive
    model = compat.as_model(loaded.signatures["serving_default"])
    np.testing.assert_allclose(model(x), module.score(x)["scores"], rtol=1e-5)


def test_a_concrete_function_of_tensors_by_position_is_a_model(x: np.ndarray) -> None:
    module = Module()
    function = module.score.get_concrete_function()
    assert_the_scores_of(module, function, x)


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_tensors_by_position_are_told_apart_by_their_names(names: str, x: np.ndarray) -> None:
    specs = [tf.TensorSpec((None, 5), tf.float32, name=name) for name in "ab"]
    model = compat.as_model(tf.function(lambda a, b: a - 2 * b).get_concrete_function(*specs))
    given = {"a": x, "b": x[::-1].copy()}
    found = model({name: given[name] for name in names})
    np.testing.assert_allclose(found, given["a"] - 2 * given["b"], rtol=1e-5, atol=1e-6)


def test_a_function_of_no_tensors_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="the signature takes no tensors"):
        compat.as_model(tf.function(lambda: {"y": tf.zeros((1, 2))}).get_concrete_function())


def test_an_input_without_an_axis_of_samples_is_refused() -> None:
    function = tf.function(lambda *, x: {"y": 2 * x}).get_concrete_function(x=tf.TensorSpec((), tf.float32))
    with pytest.raises(UnsupportedModelError, match=r"the input 'x' of the signature has no axis for samples"):
        compat.as_model(function)


@pytest.mark.parametrize(
    ("given", "kind"),
    [(object(), "object"), (3, "int"), (np.zeros(2), "ndarray"), (tf.zeros(2), "EagerTensor"), (Module(), "Module")],
)
def test_what_is_no_model_is_told(given: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=kind):
        compat.as_model(given)
    with pytest.raises(TypeError, match=f"takes a Keras model, got of type {kind}: pass the model itself, or a file"):
        create_analyzer("lrp.epsilon", given)


def test_a_keras_model_is_one_and_has_no_signatures() -> None:
    model = of_two_inputs()
    assert compat.as_model(model) is model
    with pytest.raises(ValueError, match="signature='serve' is for SavedModels, and the model is a Keras model"):
        create_analyzer("lrp.epsilon", model, signature="serve")


def test_text_has_no_relevance(tmp_path: pathlib.Path) -> None:
    module = OfText()
    loaded = saved(module, tmp_path, signatures=module.score)
    with pytest.raises(UnsupportedModelError, match="it reads text, which has no relevance"):
        create_analyzer("lrp.epsilon", loaded)


def test_an_analyzer_is_saved_and_loaded_for_what_was_loaded(tmp_path: pathlib.Path, x: np.ndarray) -> None:
    module = Module()
    loaded = saved(module, tmp_path, signatures=module.score)
    analyzer = create_analyzer("lrp.gamma", loaded, gamma=0.5)
    analyzer.save(tmp_path / "analyzer.h5")
    again = kerasexplain.load_analyzer(tmp_path / "analyzer.h5", tf.saved_model.load(str(tmp_path / "saved")))
    assert again.get_config() == analyzer.get_config()
    np.testing.assert_allclose(again.analyze(x, 2), analyzer.analyze(x, 2), rtol=1e-5, atol=1e-7)
    with pytest.raises(TypeError, match=r"load_analyzer\(path, model\) takes a Keras model, got of type object"):
        kerasexplain.load_analyzer(tmp_path / "analyzer.h5", object())


@pytest.mark.parametrize("part", ["saved_model.pb", "variables/variables.index"])
def test_a_saved_model_that_is_damaged_is_told(part: str, tmp_path: pathlib.Path) -> None:
    module = Module()
    saved(module, tmp_path, signatures=module.score)
    (tmp_path / "saved" / part).write_bytes(b"no")
    with pytest.raises(ValueError, match=r"holds no SavedModel that can be loaded: \w"):
        compat.load_model(tmp_path / "saved")
