"""The JAX backend: overriding, pulling back, compiling; and that relevance through it is what it is elsewhere."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from keras import layers, ops

if keras.backend.backend() != "jax":
    pytest.skip("tests of the JAX backend need KERAS_BACKEND=jax", allow_module_level=True)

import jax
import jax.numpy as jnp
from helpers import doubles

from kerasexplain import create_analyzer
from kerasexplain.backend import compiled, override, pull_back, relevance_pass, transposed


def tripled(x: jax.Array) -> jax.Array:
    """x ** 2, whose relevance pass multiplies the signal by 3 x instead of 2 x."""
    return override(lambda x: (x**2, x), lambda x, signal: [3 * x * signal], x)


def slope(x: jax.Array) -> jax.Array:
    _, _, pullback = pull_back(lambda x: (tripled(x), None), x)
    return pullback(jnp.ones_like(x))[0]


def test_an_override_works_inside_a_relevance_pass_and_only_there() -> None:
    x = jnp.array([2.0])
    assert slope(x) == 4.0
    with relevance_pass():
        assert slope(x) == 6.0
    assert slope(x) == 4.0


def test_an_outer_derivative_sees_what_the_override_computes() -> None:
    def relevance(x: jax.Array) -> jax.Array:
        with relevance_pass():
            return slope(x).sum()

    assert jax.grad(relevance)(jnp.array([2.0])) == 3.0  # of 3 x, and not of 2 x
    assert jax.jit(jax.grad(relevance))(jnp.array([2.0])) == 3.0


def test_what_is_made_of_weights_alone_has_its_ordinary_derivative() -> None:
    """The pass does not meet an override that the input has no part in; whoever differentiates by the weights does."""

    def relevance(w: jax.Array) -> jax.Array:
        with relevance_pass():
            _, _, pullback = pull_back(lambda x: (x * tripled(w), None), jnp.array([5.0]))
            return pullback(jnp.array([1.0]))[0].sum()  # w^2

    for derivative in (jax.grad(relevance), jax.jit(jax.grad(relevance)), jax.grad(jax.jit(relevance))):
        assert derivative(jnp.array([2.0])) == 4.0  # 2 w, and not 3 w


def test_many_at_once_are_as_one_by_one() -> None:
    xs = jnp.array([[2.0], [-1.0], [3.0]])
    with relevance_pass():
        np.testing.assert_array_equal(jax.vmap(slope)(xs), [slope(x) for x in xs])
        np.testing.assert_array_equal(jax.jit(jax.vmap(jax.grad(lambda x: slope(x).sum())))(xs), np.full((3, 1), 3.0))


def test_a_twin_under_vmap_gives_the_relevance_that_the_analyzer_gives(rng: np.random.Generator) -> None:
    inputs = keras.Input((6, 6, 2))
    x = layers.MaxPooling2D(2)(layers.Conv2D(3, 3, activation="relu")(inputs))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    analyzer, images = create_analyzer("lrp.alpha_2_beta_1", model), rng.normal(size=(4, 6, 6, 2)).astype("float32")

    def relevance(image: jax.Array) -> jax.Array:
        y, pullback = jax.vjp(lambda image: analyzer.twin(image[None])[0, 1], image)
        return image * pullback(y)[0]

    with relevance_pass():
        found = jax.jit(jax.vmap(relevance))(images)
    np.testing.assert_allclose(found, analyzer.analyze(images, 1), rtol=1e-4, atol=1e-6)


def test_an_input_that_gets_none_gets_nothing() -> None:
    with relevance_pass():
        product = lambda a, b: (override(lambda a, b: (a * b, None), lambda _, s: [s, None], a, b), None)  # noqa: E731
        _, _, pullback = pull_back(product, jnp.array([2.0]), jnp.array([5.0]))
        of_a, of_b = pullback(jnp.array([1.0]))
    assert (of_a, of_b) == (1.0, 0.0)


def test_a_linear_map_is_transposed() -> None:
    matrix = jnp.arange(6.0).reshape(2, 3)
    s = jnp.array([[1.0, 0.0, 2.0]])
    np.testing.assert_allclose(transposed(lambda x: x @ matrix, jnp.zeros((1, 2)), s), s @ matrix.T)


def test_variables_stay_live_and_nothing_is_traced_again() -> None:
    variable = keras.Variable([1.0, 2.0])
    function = compiled(lambda xs: xs[0] * variable, True, [((None, 2), "float32")], [variable])
    x = np.ones((3, 2), "float32")
    np.testing.assert_allclose(function([x]), [[1, 2]] * 3)
    variable.assign([3.0, 4.0])
    np.testing.assert_allclose(function([x]), [[3, 4]] * 3)
    assert function.traces == 1


class Scaled(layers.Layer):
    def build(self, shape: tuple[int | None, ...]) -> None:
        self.w = self.add_weight(shape=(shape[-1], 3), name="w")

    def call(self, x: jax.Array) -> jax.Array:
        return x @ (self.w * 2)


def test_an_analyzer_explains_the_weights_as_they_are() -> None:
    inputs = keras.Input((4,))
    layer = Scaled()
    model = keras.Model(inputs, layers.Dense(2, use_bias=False)(keras.ops.relu(layer(inputs))))
    analyzer, x = create_analyzer("lrp.z", model), np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    before = analyzer.explain(x, 0)
    layer.w.assign(-layer.w)
    after = analyzer.explain(x, 0)
    np.testing.assert_allclose(after.relevance.sum(axis=1), after.explained, rtol=1e-4, atol=1e-5)
    assert not np.allclose(before.explained, after.explained)
    assert analyzer.traces == 1


def test_weights_of_a_model_that_was_only_traced_are_drawn_outside_of_what_is_compiled() -> None:
    class Late(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x: jax.Array) -> jax.Array:
            return self.dense(x)

    model, x = Late(), np.ones((2, 4), "float32")
    explanation = create_analyzer("lrp.z", model).explain(x, 0)
    np.testing.assert_allclose(explanation.output, model(x), rtol=1e-6)


def test_what_is_returned_is_the_caller_s_own() -> None:
    function = compiled(lambda xs: {"doubled": [2 * xs[0]]}, True, [((None, 2), "float32")])
    given = jnp.ones((3, 2))
    (doubled,) = function([given])["doubled"]
    doubled += 1.0
    np.testing.assert_array_equal(doubled, np.full((3, 2), 3.0))
    np.testing.assert_array_equal(given, np.ones((3, 2)))  # and nothing was donated


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="about XLA for CPUs, which drops barriers")
def test_nothing_is_computed_long_before_it_is_needed() -> None:
    """Values that rules need besides the gradient are made layer by layer, and not all at once before the pass."""
    x = inputs = keras.Input((32, 32, 8))
    for _ in range(12):
        x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    images = np.random.default_rng(0).random((8, 32, 32, 8), dtype="float32")
    needs = {}
    for name in ("gradient", "lrp.epsilon", "lrp.epsilon_plus", "lrp.gamma"):
        analyzer = create_analyzer(name, model)
        analyzer.analyze(images, 1)
        (function,) = analyzer._first.program._functions.values()
        compiled_by_xla = function._function.lower(
            *function._arguments([images, np.full(8, 1), np.zeros((8, 1))])
        ).compile()
        needs[name] = compiled_by_xla.memory_analysis().temp_size_in_bytes
    assert max(needs.values()) < 1.3 * needs["gradient"], needs


@pytest.mark.parametrize("precision", ["tensorfloat32", "bfloat16"])
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="about CPUs")
def test_a_precision_that_cannot_be_had_is_refused(precision: str) -> None:
    with pytest.raises(ValueError, match=rf"JAX on cpu does not support precision='{precision}': choose among 'auto'"):
        compiled(lambda xs: xs[0], True, [((None,), "float32")], precision=precision)
    with pytest.raises(ValueError, match="precision must be one of"):
        compiled(lambda xs: xs[0], True, [((None,), "float32")], precision="float16")


@pytest.mark.parametrize(("precision", "asked"), [("float32", "HIGHEST"), ("auto", "DEFAULT")])
def test_a_precision_is_asked_of_the_products(precision: str, asked: str) -> None:
    function = compiled(lambda xs: xs[0] @ xs[0].T, True, [((None, 2), "float32")], precision=precision)
    x = jnp.ones((3, 2))
    assert f"precision = [{asked}, {asked}]" in function._function.lower([], [x]).as_text()


def test_doubles_are_as_exact_as_keras_makes_them(rng: np.random.Generator) -> None:
    inputs = keras.Input((5, 6), dtype="float64")
    x = layers.LayerNormalization(dtype="float64")(inputs)
    x = layers.MultiHeadAttention(2, 3, dtype="float64")(x, x)
    x = layers.GlobalAveragePooling1D(dtype="float64")(x)
    model = keras.Model(inputs, layers.Dense(2, dtype="float64")(ops.tanh(x)))
    x = rng.normal(size=(3, 5, 6))
    exact = create_analyzer("lrp.epsilon", model).explain(x, 1)
    with doubles.given_up():
        rounded = create_analyzer("lrp.epsilon", model).explain(x, 1)  # and is not refused for it
    for one, other in ((exact.output, rounded.output), (exact.relevance, rounded.relevance)):
        error = np.abs(one - other).max() / np.abs(one).max()
        assert 1e-12 < error < 1e-5


@pytest.mark.parametrize("name", ["gelu", "mish", "selu", "sigmoid", "silu", "softplus", "tanh"])
def test_activations_that_halve_doubles(name: str) -> None:
    model = keras.Sequential([keras.Input((4,), dtype="float64"), layers.Dense(5, name, dtype="float64")])
    with doubles.given_up():
        found = create_analyzer("lrp.bias_as_input", model).explain(np.linspace(-1, 1, 12).reshape(3, 4), 0, bias=True)
    biases = sum(part.reshape(3, -1).sum(axis=1) for part in found.bias.values())
    np.testing.assert_allclose(found.relevance.sum(axis=1) + biases, found.explained, rtol=1e-5)


def test_single_precision_is_not_asked_for_more_than_it_has(tmp_path: pathlib.Path) -> None:
    """Without 64 bits JAX warns wherever doubles are asked for, and gives singles: patterns are fitted in doubles."""
    code = """
        import warnings
        import keras, numpy as np
        import kerasexplain
        warnings.simplefilter("error")
        inputs = keras.Input((6, 6, 2))
        x = keras.layers.Flatten()(keras.layers.Conv2D(3, 3, activation="relu")(inputs))
        model = keras.Model(inputs, keras.layers.Dense(2)(x))
        data = np.random.default_rng(0).normal(size=(20, 6, 6, 2))
        for name in ("lrp.epsilon_plus", "lrp.alpha_2_beta_1", "lrp.gamma"):
            assert kerasexplain.create_analyzer(name, model).analyze(data).dtype == "float32"
        fitted = kerasexplain.create_analyzer("pattern.net", model).fit(data)
        assert {pattern.dtype for pattern in fitted.method.patterns.values()} == {np.dtype("float64")}
    """
    environment = {**os.environ, "JAX_ENABLE_X64": "0"}
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=environment, cwd=tmp_path, check=True)
