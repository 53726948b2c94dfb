"""The TensorFlow backend: overriding, pulling back, transposing and compiling."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

if keras.backend.backend() != "tensorflow":
    pytest.skip("tests of the TensorFlow backend", allow_module_level=True)

import tensorflow as tf

from kerasexplain import create_analyzer
from kerasexplain.backend import compiled, differentiated, override, pull_back, relevance_pass, transposed


def tripled(x: tf.Tensor) -> tf.Tensor:
    """x ** 2, whose relevance pass multiplies the signal by 3 x instead of 2 x."""
    return override(lambda x: (x**2, x), lambda x, signal: [3 * x * signal], x)


def slope(x: tf.Tensor) -> tf.Tensor:
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tripled(x)
    return tape.gradient(y, x)


def test_an_override_works_inside_a_relevance_pass_and_only_there() -> None:
    x = tf.constant([2.0])
    assert slope(x).numpy() == [4.0]
    with relevance_pass():
        assert slope(x).numpy() == [6.0]
    assert slope(x).numpy() == [4.0]


def test_the_pass_ends_when_an_error_ends_it() -> None:
    with pytest.raises(KeyError), relevance_pass():
        raise KeyError
    assert slope(tf.constant([2.0])).numpy() == [4.0]


@pytest.mark.parametrize("jit_compile", [None, False, True])
def test_an_outer_derivative_sees_what_the_override_computes(jit_compile: bool | None) -> None:
    def outer(x: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            with relevance_pass():
                relevance = slope(x)
        return tape.gradient(relevance, x)

    function = outer if jit_compile is None else tf.function(outer, jit_compile=jit_compile, autograph=False)
    assert function(tf.constant([2.0])).numpy() == [3.0]  # of 3 x, and not of 2 x


@pytest.mark.parametrize("jit_compile", [None, False, True])
@pytest.mark.parametrize("again", [False, True])
def test_what_runs_again_has_the_same_derivative(again: bool, jit_compile: bool | None) -> None:
    """Of the relevance `(x w)^2 w + 2 x` by x and w; what it is made of lies in a structure, with what is no tensor."""
    runs = []

    def backward(residuals: dict[str, Any], signal: tf.Tensor) -> list[tf.Tensor | None]:
        runs.append(1)
        w, z = residuals["w"], residuals["z"]
        return [signal * (z**2 * w + residuals["factor"] * residuals["x"]), None]

    def outer(x: tf.Tensor, w: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch((x, w))
            with relevance_pass(), differentiated():
                _, _, pullback = pull_back(
                    lambda x: (
                        override(
                            lambda x, w: (x * w, {"x": x, "w": w, "z": x * w, "factor": 2.0, "none": None}),
                            backward,
                            x,
                            w,
                            again=again,
                        ),
                        None,
                    ),
                    x,
                )
                relevance = pullback(tf.ones_like(x))[0]
        return relevance, *tape.gradient(relevance, (x, w))

    function = outer if jit_compile is None else tf.function(outer, jit_compile=jit_compile, autograph=False)
    found = [each.numpy()[0] for each in function(tf.constant([2.0]), tf.constant([5.0]))]
    assert found == [504.0, 502.0, 300.0]  # (2 * 5)^2 * 5 + 2 * 2, 2 x w^3 + 2, 3 x^2 w^2
    assert len(runs) == (2 if again else 1)


def test_an_input_that_gets_none_gets_nothing() -> None:
    a, b = tf.constant([2.0]), tf.constant([5.0])
    with relevance_pass(), tf.GradientTape() as tape:
        tape.watch([a, b])
        y = override(lambda a, b: (a * b, None), lambda _, signal: [signal, None], a, b)
    with relevance_pass():
        of_a, of_b = tape.gradient(y, [a, b], unconnected_gradients="zero")
    assert of_a.numpy() == [1.0]
    assert of_b.numpy() == [0.0]


def test_in_a_pass_an_override_is_one_operation_of_the_graph() -> None:
    """There is a tape to be told of its gradient; a custom gradient is seven operations, and a name that is kept."""
    a, b = tf.constant([2.0]), tf.constant([5.0])

    def product(a: tf.Tensor, b: tf.Tensor) -> tuple[tf.Tensor, None]:
        return override(lambda a, b: (a * b, None), lambda _, signal: [signal, 7.0 * signal], a, b), None

    @tf.function(autograph=False)
    def run(a: tf.Tensor, b: tf.Tensor) -> Any:
        y, _, pullback = pull_back(product, a, b)
        with relevance_pass():
            return y, *pullback(tf.ones_like(y))

    y, of_a, of_b = run(a, b)
    assert [tensor.numpy() for tensor in (y, of_a, of_b)] == [[10.0], [1.0], [7.0]]
    types = [operation.type for operation in run.get_concrete_function(a, b).graph.get_operations()]
    assert "IdentityN" not in types
    with tf.GradientTape() as tape:  # of a caller's, who differentiates the graph itself: the ordinary gradient
        tape.watch([a, b])
        y = run(a, b)[0]
    assert [of.numpy() for of in tape.gradient(y, [a, b])] == [[5.0], [2.0]]


def test_in_a_loop_within_a_pass_an_override_keeps_its_gradient() -> None:
    """TensorFlow differentiates the graph of the body, where no tape is."""

    def function(x: tf.Tensor) -> tuple[tf.Tensor, None]:
        def body(i: tf.Tensor, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return i + 1, override(lambda x: (2.0 * x, None), lambda _, signal: [3.0 * signal], x)

        return tf.while_loop(lambda i, _: i < 2, body, (0, x))[1], None

    @tf.function(autograph=False)
    def run(x: tf.Tensor) -> Any:
        with relevance_pass():
            y, _, pullback = pull_back(function, x)
            return y, pullback(tf.ones_like(y))[0]

    assert [tensor.numpy() for tensor in run(tf.constant([1.0]))] == [[4.0], [9.0]]


@pytest.mark.compiled
@pytest.mark.parametrize("kind", [{}, {"layers": ["conv"]}, {"bias": True}, {"audit": True}], ids=str)
def test_a_question_puts_into_a_graph_what_it_needs(kind: dict[str, Any]) -> None:
    """Tracing and optimizing it are what the first question of a kind costs, and both go by its size."""
    layers = keras.layers
    x = inputs = keras.Input((8, 8, 3))
    for i in range(4):
        x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv" if i == 1 else None)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    analyzer = create_analyzer("lrp.epsilon", model)
    analyzer.explain(np.ones((1, 8, 8, 3), "float32"), 1, **kind)
    (function,) = analyzer._first.program._functions.values()
    types = [operation.type for operation in function._concrete.graph.get_operations()]
    assert not {"IdentityN", "Rsqrt"} & set(types)
    assert types.count("ReadVariableOp") == 2  # of the last layer; the others' weights come from the weight cache


def test_pull_back_keeps_structures_and_gives_zeros_where_nothing_depends() -> None:
    def function(xs: list[tf.Tensor], unused: tf.Tensor) -> tuple[tf.Tensor, str]:
        return xs[0] * xs[1], "auxiliary"

    y, auxiliary, pullback = pull_back(function, [tf.constant([2.0]), tf.constant([5.0])], tf.constant([[1.0, 2.0]]))
    assert y.numpy() == [10.0]
    assert auxiliary == "auxiliary"
    (of_first, of_second), of_unused = pullback(tf.constant([3.0]))
    assert of_first.numpy() == [15.0]
    assert of_second.numpy() == [6.0]
    np.testing.assert_array_equal(of_unused, [[0.0, 0.0]])


def test_transposed_is_the_transposed_product_whatever_x_holds(rng: np.random.Generator) -> None:
    matrix, s = rng.normal(size=(4, 3)), rng.normal(size=(2, 3))
    for x in (np.zeros((2, 4)), rng.normal(size=(2, 4))):
        given = transposed(lambda x: tf.matmul(x, matrix), tf.constant(x), tf.constant(s))
        np.testing.assert_allclose(given, s @ matrix.T, rtol=1e-12)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_compiled_function_is_traced_once_for_all_batch_sizes_and_sees_live_variables(jit_compile: bool) -> None:
    variable = tf.Variable(2.0)

    def function(inputs: list[tf.Tensor]) -> dict[str, Any]:
        return {"product": variable * inputs[0], "sums": [tf.reduce_sum(inputs[1], axis=1)]}

    run = compiled(function, jit_compile, [((None,), "float32"), ((None, 3), "float64")])
    for count in (1, 4, 2):
        answer = run([np.ones(count, "float32"), np.ones((count, 3))])
        np.testing.assert_array_equal(answer["product"], np.full(count, 2.0))
        np.testing.assert_array_equal(answer["sums"][0], np.full(count, 3.0))
        assert isinstance(answer["product"], np.ndarray)
    variable.assign(7.0)
    assert run([np.ones(1, "float32"), np.ones((1, 3))])["product"] == [7.0]
    assert run.traces == 1


@pytest.mark.parametrize("name", ["lrp.epsilon", "integrated_gradients"])
def test_a_tape_of_the_caller_s_sees_nothing_of_an_analysis(name: str) -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(2)])
    x, analyzer = np.random.default_rng(0).normal(size=(3, 4)).astype("float32"), create_analyzer(name, model)
    expected = analyzer.analyze(x, 1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(x))
        found = analyzer.analyze(x, 1), create_analyzer(name, model).analyze(x, 1)
    for one in found:
        np.testing.assert_array_equal(one, expected)
    assert np.abs(tape.gradient(loss, model.trainable_weights)[0]).max() > 0


def test_inside_of_a_graph_an_analyzer_says_that_it_takes_arrays() -> None:
    analyzer = create_analyzer("lrp.epsilon", keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    with pytest.raises(RuntimeError, match="outside"):
        tf.function(lambda x: analyzer.analyze(x))(tf.ones((2, 4)))
