"""The weight cache: tensors made of weights alone are cached between passes, and never after they have changed."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from helpers.uncompiled import uncompiled
from keras import layers, ops

import kerasexplain.compiler.weight_cache
from kerasexplain import create_analyzer
from kerasexplain.analyzer import Analyzer

nothing_is_cached_on_torch = pytest.mark.not_on("torch", "whether weights have changed cannot be told there")
NAMES = ("lrp.epsilon", "lrp.z_plus", "lrp.alpha_2_beta_1", "lrp.gamma")


def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((6, 6, 2))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, name="first")(x)))
    x = layers.Conv2D(4, 2, activation="relu")(x)
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))
    model.compile("adam", "mse")
    return model


X = np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype("float32")
Y = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")


def made(analyzer: Analyzer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one whenever the analyzer makes anew what it caches."""
    cache, times = analyzer._first.program._cache, []
    make = cache._made
    monkeypatch.setattr(cache, "_made", lambda: times.append(1) or make())
    return times


@pytest.mark.parametrize(
    ("name", "jit_compile"),
    # By XLA, those that cache most; on JAX all are compiled by it.
    [*((name, False) for name in NAMES), ("lrp.alpha_2_beta_1", True), ("lrp.gamma", True)],
)
def test_every_way_to_change_weights_is_noticed(name: str, jit_compile: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    analyzer = create_analyzer(name, model, jit_compile=jit_compile)
    changes = [
        lambda: model.fit(X, Y, verbose=0),
        lambda: model.train_on_batch(X, Y),
        lambda: model.layers[1].kernel.assign(model.layers[1].kernel * 2.0),
        lambda: model.layers[1].kernel.assign_sub(np.ones((3, 3, 2, 4))),
        lambda: model.layers[2].moving_variance.assign([1.0, 2.0, 3.0, 4.0]),
        lambda: model.set_weights([w + 0.1 for w in model.get_weights()]),
    ]
    for change in changes:
        change()
        live = create_analyzer(name, model, jit_compile=jit_compile)
        with uncompiled(), monkeypatch.context() as patch:  # quicker, of what runs once
            patch.setattr(kerasexplain.compiler.weight_cache, "MOST_BYTES", 0)
            expected = live.analyze(X)
            assert live._first.program._cache.tensors() == []
        np.testing.assert_allclose(analyzer.analyze(X), expected, rtol=1e-4, atol=1e-6)
    assert analyzer.traces == 1


@nothing_is_cached_on_torch
def test_it_is_made_once_for_all_batches_and_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    analyzer = create_analyzer("lrp.alpha_2_beta_1", model)
    times = made(analyzer, monkeypatch)
    for selection in (None, 1, 2):
        analyzer.analyze(X, selection)
        analyzer.explain(X[:2], selection, layers=["first"])
    if keras.backend.backend() == "tensorflow":  # on JAX Keras assigns all variables anew, whatever it does
        model.predict(X, verbose=0)
        model.evaluate(X, Y, verbose=0)
    analyzer.analyze(X)
    assert len(times) == 1
    model.fit(X, Y, verbose=0)
    analyzer.analyze(X)
    assert len(times) == 2


@nothing_is_cached_on_torch
@pytest.mark.parametrize("name", NAMES)
def test_no_kind_of_question_computes_a_normalisation_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels and biases with BatchNormalization in them serve all, also an audit, which reads inside of pairs."""
    analyzer, roots = create_analyzer(name, network()), []
    root = ops.rsqrt
    monkeypatch.setattr(ops, "rsqrt", lambda x: roots.append(1) or root(x))
    analyzer.analyze(X)
    made = len(roots)
    assert made > 0
    analyzer.explain(X, layers=["first"])
    analyzer.explain(X, bias=True)
    analyzer.audit(X)
    assert len(roots) == made


@pytest.mark.parametrize("name", [*NAMES, "lrp.epsilon_IB"])
def test_the_relevance_of_biases_leaves_the_map_as_it_is(name: str) -> None:
    """To the last bit: the forward pass is the same, for a tap does not multiply the bias."""
    analyzer = create_analyzer(name, network())
    np.testing.assert_array_equal(analyzer.explain(X, bias=True).relevance, analyzer.analyze(X))


@nothing_is_cached_on_torch
def test_what_is_the_weight_itself_is_not_cached() -> None:
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(4, "relu")(inputs)))
    for name, count in (("lrp.epsilon", 0), ("lrp.z", 0), ("lrp.z_plus", 2), ("lrp.alpha_2_beta_1", 4)):
        analyzer = create_analyzer(name, model)
        analyzer.analyze(np.ones((1, 3)))
        cached = analyzer._first.program._cache.tensors()
        assert len(cached) == count, name


def test_too_much_is_made_in_every_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    expected = create_analyzer("lrp.z_plus", model).analyze(X)
    monkeypatch.setattr(kerasexplain.compiler.weight_cache, "MOST_BYTES", 100)
    analyzer = create_analyzer("lrp.z_plus", model)
    np.testing.assert_allclose(analyzer.analyze(X), expected, rtol=1e-4, atol=1e-6)
    assert analyzer._first.program._cache.tensors() == []


def test_the_twin_trains_the_weights_themselves() -> None:
    """The weight cache is a program's: the gradient of relevance goes through the parts of the weights."""
    model = network()
    analyzer = create_analyzer("lrp.z_plus", model)
    analyzer.analyze(X)
    before = analyzer.twin(X)
    model.layers[-1].kernel.assign(model.layers[-1].kernel * 3.0)
    assert not np.allclose(keras.ops.convert_to_numpy(before), keras.ops.convert_to_numpy(analyzer.twin(X)))
