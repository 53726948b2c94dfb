"""The cost of relevance: how many products with a kernel a pass takes. One forward and one back is a gradient."""

from __future__ import annotations

import keras
import pytest
from keras import layers

if keras.backend.backend() != "tensorflow":
    pytest.skip("counts the operations of a TensorFlow graph", allow_module_level=True)

import tensorflow as tf

from kerasexplain import create_analyzer
from kerasexplain.analyzer import Analyzer
from kerasexplain.compiler.question import Question
from kerasexplain.rules import ZB, Epsilon

pytestmark = pytest.mark.compiled

FORWARD = ("Conv2D", "MatMul", "DepthwiseConv2dNative")
BACK = ("Conv2DBackpropInput", "MatMul/transposed", "DepthwiseConv2dNativeBackpropInput")


def cnn() -> keras.Model:
    """Three convolutions with ReLU and a Dense: only the first sees negative numbers, only the last has no ReLU."""
    x = inputs = keras.Input((8, 8, 3))
    for _ in range(3):
        x = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    return keras.Model(inputs, layers.Dense(4)(layers.Flatten()(x)))


def products(analyzer: Analyzer) -> tuple[int, int]:
    """How many products forward, and back, the function takes that `analyze` runs."""
    program = analyzer._first.program
    function = program._compile(Question("max", analyzer.method.default_start))
    kinds = [_kind(operation) for operation in _needed(function._concrete.graph)]
    return sum(kind in FORWARD for kind in kinds), sum(kind in BACK for kind in kinds)


def _kind(operation: tf.Operation) -> str:
    is_matmul = operation.type == "MatMul"
    return "MatMul/transposed" if is_matmul and operation.get_attr("transpose_b") else operation.type


def _needed(graph: tf.Graph) -> list[tf.Operation]:
    """The operations that the graph's results depend on; TensorFlow runs no others."""
    needed: dict[str, tf.Operation] = {}
    open_ones = [tensor.op for tensor in tf.nest.flatten(graph.structured_outputs)]
    while open_ones:
        operation = open_ones.pop()
        if operation.name not in needed:
            needed[operation.name] = operation
            open_ones += [tensor.op for tensor in operation.inputs] + list(operation.control_inputs)
    return list(needed.values())


@pytest.mark.parametrize(
    ("name", "forward", "back"),
    [
        ("gradient", 4, 4),
        ("lrp.z", 4, 4),
        ("lrp.epsilon", 4, 4),
        ("lrp.bias_as_input", 4, 4),
        ("lrp.epsilon_IB", 8, 4),  # z without the bias is not what the forward pass gives
        ("lrp.z_plus", 8, 4),
        ("lrp.alpha_1_beta_0", 8, 4),
        ("lrp.alpha_2_beta_1", 8, 8),
        ("lrp.gamma", 8, 6),  # where x or z may be negative, that is at both ends, two back
        ("lrp.flat", 8, 4),
        ("lrp.w_square", 8, 4),
    ],
)
def test_products_of_a_cnn(name: str, forward: int, back: int) -> None:
    assert products(create_analyzer(name, cnn(), jit_compile=False)) == (forward, back)


def test_an_upper_bound_behind_a_product_does_not_cost_it_twice() -> None:
    x = inputs = keras.Input((8, 8, 3))
    for width in (1, 8, 8):
        x = layers.ReLU(max_value=6.0)(layers.Conv2D(4 * width, 1)(x))
        x = layers.ReLU(max_value=6.0)(layers.DepthwiseConv2D(3)(x))
    model = keras.Model(inputs, layers.Dense(4)(layers.Flatten()(x)))
    assert products(create_analyzer("lrp.epsilon", model, jit_compile=False)) == (7, 7)


def test_a_promise_about_the_input_saves_the_signs_of_the_first_layer() -> None:
    model = cnn()
    promised = create_analyzer("lrp.gamma", model, jit_compile=False, input_range=(0.0, 1.0))
    assert products(promised) == (8, 5)
    x = keras.random.uniform((2, 8, 8, 3), seed=0)
    free = create_analyzer("lrp.gamma", model, jit_compile=False)
    assert promised.analyze(x) == pytest.approx(free.analyze(x), rel=1e-4, abs=1e-6)


def test_the_bounded_rule_of_the_first_layer_takes_one_product_back() -> None:
    box = create_analyzer("lrp", cnn(), rule=Epsilon(), input_layer_rule=ZB(-1.0, 1.0), jit_compile=False)
    # Forward: again without the bias, and two for the corners, of one sample.
    assert products(box) == (4 + 3, 4)


def test_no_gradient_flows_where_nobody_reads_it() -> None:
    """Kernels and biases get none, nor does an input that is not real."""
    tokens, mask = keras.Input((5,), dtype="int32"), keras.Input((5, 6))
    x = layers.Embedding(7, 6)(tokens)
    x = layers.Dense(4, "relu")(layers.Flatten()(layers.Multiply()([x, mask])))
    analyzer = create_analyzer("lrp.epsilon", keras.Model([tokens, mask], layers.Dense(3)(x)), jit_compile=False)
    program = analyzer._first.program
    function = program._compile(Question("max", analyzer.method.default_start))
    types = [operation.type for operation in _needed(function._concrete.graph)]
    assert types.count("MatMul") == 4
    assert not {"UnsortedSegmentSum", "ResourceScatterAdd", "Conv2DBackpropFilter"} & set(types)


def test_many_channels_are_not_joined_and_few_are() -> None:
    def of(channels: int) -> tuple[int, int]:
        inputs = keras.Input((4, 4, channels))
        x = layers.Flatten()(layers.Conv2D(3, 3)(inputs))
        return products(create_analyzer("lrp.z_plus", keras.Model(inputs, x), jit_compile=False))

    assert of(3) == (2, 1)  # with [x+, x-] as one input
    assert of(65) == (3, 2)
