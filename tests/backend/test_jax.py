"""The JAX backend: overriding, pulling back, compiling; and that relevance through it is what it is elsewhere."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

if keras.backend.backend() != "jax":
    pytest.skip("tests of the JAX backend need KERAS_BACKEND=jax", allow_module_level=True)

import jax
import jax.numpy as jnp

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
