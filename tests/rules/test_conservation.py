"""The audit closes: what the inputs and the constant terms hold adds up to what was explained, to rounding."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasexplain
from kerasexplain.rules import AlphaBeta, BiasAsInput, Flat, Gamma, GradientRule, Slope, WSquare, Z, ZPlus

pytestmark = pytest.mark.formula

Tensor = Any
#: A stabilizer takes relevance out of the audit, on purpose. This one takes less than rounding does.
STABILIZER = 1e-16


@contextlib.contextmanager
def precision(dtype: str) -> Iterator[None]:
    """Layers made inside are of that dtype; Keras' float type stays what it is."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


@pytest.fixture(params=["float64", "float32"])
def dtype(request: pytest.FixtureRequest) -> Iterator[str]:
    with precision(request.param):
        yield request.param


def assert_closed(name: str, model: keras.Model, x: np.ndarray, **options: Any) -> Any:
    analyzer = kerasexplain.create_analyzer(name, model, **options)
    explanation = analyzer.explain(x, bias=True)
    parts = [explanation.relevance, *explanation.bias.values()]
    held = sum(part.reshape(len(x), -1).sum(axis=1) for part in parts)
    assert np.all(np.abs(explanation.explained) > 1e-2), "nothing of note is explained"
    if explanation.relevance.dtype == "float64":
        np.testing.assert_allclose(held, explanation.explained, rtol=1e-10, atol=0)
    else:
        moved = sum(np.abs(part).reshape(len(x), -1).sum(axis=1) for part in parts)
        assert np.all(np.abs(held - explanation.explained) <= 1e-5 * moved)
    return explanation


def randomized(model: keras.Model, seed: int = 0) -> keras.Model:
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        low = 0.3 if "variance" in variable.name else -1.0
        variable.assign(rng.uniform(low, 1.0, variable.shape))
    return model


def image_model(dtype: str) -> keras.Model:
    """A ReLU, a maximum, a sum of two branches and a mean; nothing is zero where relevance is divided by it."""
    x = inputs = keras.Input((8, 8, 2), dtype=dtype)
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Add()([layers.Conv2D(6, 3)(x), layers.Conv2D(6, 2, strides=1, padding="valid")(x[:, :-1, :-1])])
    x = layers.AveragePooling2D(2)(x)
    x = layers.ReLU(negative_slope=0.1)(x)
    return randomized(keras.Model(inputs, layers.Dense(4)(layers.Flatten()(x))))


@pytest.mark.parametrize(
    "rule",
    [Z(), BiasAsInput(), AlphaBeta(1, 0), AlphaBeta(2, 1), AlphaBeta(1.5, 0.5), Gamma(), Gamma(9), Flat(), WSquare()],
    ids=repr,
)
def test_a_rule_in_every_layer(rule: Any, dtype: str) -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (3, 8, 8, 2))
    explanation = assert_closed("lrp", image_model(dtype), x, rule=rule, stabilizer=STABILIZER)
    takes_bias = not isinstance(rule, (Flat, WSquare))
    assert takes_bias == any(np.any(entry) for entry in explanation.bias.values())


# Not AlphaBeta(2, 1, bias=False): a unit with a positive bias and negative contributions only has an empty term, which
# gives nothing, by definition.
@pytest.mark.parametrize("rule", [Gamma(bias=False), ZPlus(), Z(bias=False)], ids=repr)
def test_a_rule_that_leaves_the_bias_out_gives_everything_to_the_inputs(rule: Any, dtype: str) -> None:
    x = np.random.default_rng(1).uniform(-1, 1, (3, 8, 8, 2))
    explanation = assert_closed("lrp", image_model(dtype), x, rule=rule, stabilizer=STABILIZER)
    assert not any(np.any(entry) for entry in explanation.bias.values())


@pytest.mark.parametrize("rule", [Flat(), WSquare()], ids=repr)
def test_an_absolute_rule_reaches_inputs_and_units_that_are_zero(rule: Any, dtype: str) -> None:
    """R passes dead units as it is. A sum of inputs that are all zero would have nothing to divide it by."""
    x = inputs = keras.Input((6, 6, 2), dtype=dtype)
    x = layers.ReLU()(layers.Conv2D(5, 3)(x))
    x = layers.MaxPooling2D(2)(layers.ZeroPadding2D(1)(layers.Cropping2D(1)(layers.ZeroPadding2D(1)(x))))
    x = layers.Concatenate()([x, -x])
    model = randomized(keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x))))
    images = np.random.default_rng(1).uniform(-1, 1, (3, 6, 6, 2)) * [[[1, 0]]]
    pairs = [(layers.Dense, "Z"), (layers.Conv2D, rule)]
    assert_closed("lrp", model, images, rule=pairs, stabilizer=STABILIZER)


@pytest.mark.parametrize("rule", [Flat(), WSquare()], ids=repr)
def test_zero_padding_that_two_convolutions_read_takes_nothing(rule: Any, dtype: str) -> None:
    inputs = keras.Input((4, 4, 2), dtype=dtype)
    padded = layers.ZeroPadding2D(1)(inputs)
    x = layers.Concatenate()([layers.Conv2D(3, 3)(padded), layers.Conv2D(2, 3)(padded)])
    model = randomized(keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x))))
    x = np.random.default_rng(1).uniform(-1, 1, (3, 4, 4, 2))
    assert_closed("lrp", model, x, rule=rule, stabilizer=STABILIZER)


ACTIVATIONS = [
    *("sigmoid", "tanh", "gelu", "softplus", "elu", "selu", "silu", "mish", "exponential", "softsign"),
    *("hard_sigmoid", "hard_silu", "relu6", "leaky_relu", "relu", "log_sigmoid", "tanh_shrink", "squareplus"),
]
AT_ZERO = {"sigmoid": 0.5, "softplus": np.log(2), "exponential": 1.0, "hard_sigmoid": 0.5, "log_sigmoid": -np.log(2)}
AT_ZERO["squareplus"] = 1.0  # (0 + sqrt(0 + b)) / 2 with b = 4


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_bias_as_input_through_an_activation(activation: str, dtype: str) -> None:
    inputs = keras.Input((6,), dtype=dtype)
    x = layers.Dense(7, activation, name="one")(inputs)
    x = layers.Activation(activation, name="two")(layers.Dense(5)(x))
    model = randomized(keras.Model(inputs, layers.Dense(4)(x)))
    x = np.random.default_rng(1).uniform(-1, 1, (3, 6))
    explanation = assert_closed("lrp.bias_as_input", model, x)
    of_zero = [name for name in explanation.bias if name in (f"one/{activation}", "two")]
    assert len(of_zero) == (2 if activation in AT_ZERO else 0)


@pytest.mark.parametrize("activation", AT_ZERO)
def test_the_value_at_zero_takes_what_it_contributes(activation: str) -> None:
    """One unit behind an activation: y = w f(z), and the activation's constant term is w f(0)."""
    inputs = keras.Input((2,), dtype="float64")
    out = layers.Dense(1, use_bias=False, dtype="float64")
    model = keras.Model(inputs, out(layers.Activation(activation, name="f", dtype="float64")(inputs)))
    out.set_weights([np.array([[2.0], [-3.0]])])
    explanation = kerasexplain.create_analyzer("lrp.bias_as_input", model).explain(np.array([[0.3, -0.7]]), bias=True)
    np.testing.assert_allclose(explanation.bias["f"], [-AT_ZERO[activation]], rtol=1e-12)


def dense(units: int, x: Tensor, activation: str | None = None) -> Tensor:
    return layers.Dense(units, activation)(x)


def attention(x: Tensor) -> Tensor:
    q, k, v = (dense(4, x) for _ in range(3))
    weights = layers.Softmax()(ops.matmul(q, ops.transpose(k, (0, 2, 1))) / 2.0)
    return layers.Flatten()(ops.matmul(weights, v))


def plus_variable(x: Tensor) -> Tensor:
    return x + keras.Variable(np.linspace(-1, 1, x.shape[-1]), dtype=x.dtype)


def beside(x: Tensor) -> Tensor:
    """The output of the Dense has another reader, so that BatchNormalization cannot be folded into it."""
    x = dense(4, x)
    return layers.Add()([layers.BatchNormalization()(x), x])


def normalized(x: Tensor) -> Tensor:
    return layers.Normalization(mean=[0.1, 0.2, 0.3, 0.4], variance=[1.0, 2.0, 3.0, 4.0])(x)


#: What stands between the input, (batch, 3, 4), and a last Dense(4).
PARTS: dict[str, Callable[[Tensor], Tensor]] = {
    "batch normalization behind": lambda x: layers.ReLU()(layers.BatchNormalization()(layers.Conv1D(5, 2)(x))),
    "batch normalization before": lambda x: layers.Conv1D(5, 2, padding="same")(layers.BatchNormalization()(x)),
    "batch normalization of time": lambda x: dense(5, layers.BatchNormalization(axis=1)(x)),
    "batch normalization without gamma": lambda x: layers.BatchNormalization(scale=False)(dense(3, x, "relu")),
    "batch normalization without beta": lambda x: dense(5, layers.BatchNormalization(center=False)(dense(3, x))),
    "batch normalization beside": beside,
    "constant added": lambda x: dense(5, x) + 2.0,
    "constant added before": lambda x: dense(5, 2.0 + x),
    "constant subtracted": lambda x: dense(5, x) - 0.5,
    "subtracted from a constant": lambda x: 1.0 - dense(5, x),
    "variable added": lambda x: plus_variable(dense(5, x)),
    "array added": lambda x: dense(5, x + np.arange(12.0, dtype=x.dtype).reshape(1, 3, 4)),
    "rescaling": lambda x: dense(5, layers.Rescaling(0.5, offset=-1.5)(x)),
    "rescaling per channel": lambda x: dense(5, layers.Rescaling([0.5, 1.0, 2.0, 3.0], [1.0, 0.0, -1.0, 2.0])(x)),
    "normalization": lambda x: dense(5, normalized(x)),
    "layer normalization": lambda x: dense(5, layers.LayerNormalization()(dense(4, x, "relu"))),
    "layer normalization without beta": lambda x: dense(5, layers.LayerNormalization(center=False)(x)),
    "rms normalization": lambda x: dense(5, layers.RMSNormalization()(dense(4, x))),
    "gate": lambda x: layers.Multiply()([dense(5, x, "sigmoid"), dense(5, x)]),
    "product of signals": lambda x: dense(5, x) * dense(5, x, "tanh"),
    "three factors": lambda x: layers.Multiply()([dense(5, x), dense(5, x), dense(5, x, "softplus")]),
    "square": lambda x: (lambda y: y * y)(dense(5, x)),
    "softmax": lambda x: dense(5, dense(5, x, "softmax")),
    "log-softmax": lambda x: dense(5, ops.log_softmax(dense(5, x))),
    "softmax of logits plus a constant": lambda x: ops.softmax(dense(5, x) + 1.0),
    "exponential": lambda x: ops.exp(dense(5, x)),
    "attention": attention,
    "clipping": lambda x: ops.clip(dense(5, x), 0.25, 0.75),
    "maximum with a constant": lambda x: ops.maximum(dense(5, x), 0.3),
    "maximum of two": lambda x: layers.Maximum()([dense(5, x), dense(5, x)]),
    "mean and sum": lambda x: ops.mean(dense(5, x), axis=1) + ops.sum(x, axis=1)[:, :1],
    "fan-out": lambda x: layers.Concatenate()([x, 2.0 * x, ops.transpose(x, (0, 1, 2))]),
    "separable convolution": lambda x: layers.BatchNormalization()(layers.SeparableConv1D(5, 2)(x)),
    "einsum to a higher rank": lambda x: layers.EinsumDense("abc,cde->abde", (3, 2, 5), bias_axes="de")(x),
}


def built(part: Callable[[Tensor], Tensor], dtype: str) -> tuple[keras.Model, np.ndarray]:
    with precision(dtype):
        inputs = keras.Input((3, 4), dtype=dtype)
        model = randomized(keras.Model(inputs, layers.Dense(4)(layers.Flatten()(part(inputs)))), seed=3)
    return model, np.random.default_rng(1).uniform(-1, 1, (3, 3, 4))


@pytest.mark.parametrize("part", PARTS)
def test_bias_as_input(part: str, dtype: str) -> None:
    assert_closed("lrp.bias_as_input", *built(PARTS[part], dtype))


@pytest.mark.parametrize("part", PARTS)
def test_z_with_nonlinearities_that_pass_relevance_on(part: str) -> None:
    assert_closed("lrp.z", *built(PARTS[part], "float64"))


@pytest.mark.parametrize("part", ["gate", "product of signals", "exponential", "square"])
@pytest.mark.parametrize("rule", [GradientRule(), Slope()], ids=repr)
def test_a_rule_for_nonlinearities(part: str, rule: Any, dtype: str) -> None:
    model, x = built(PARTS[part], dtype)
    pairs = [(lambda row: not row.kernel, rule), (lambda row: row.kernel, "Z")]
    assert_closed("lrp", model, x, rule=pairs)


@pytest.mark.parametrize("part", PARTS)
def test_the_audit_says_the_same_edge_by_edge(part: str) -> None:
    model, x = built(PARTS[part], "float64")
    audit = kerasexplain.create_analyzer("lrp.bias_as_input", model).audit(x)
    moved = np.max([np.abs(row.received) + np.abs(row.bias) for row in audit.rows], axis=0)
    for row in audit.rows:
        assert np.all(np.abs(row.lost) <= 1e-10 * moved), row.name
    np.testing.assert_allclose(audit.inputs + audit.biases, audit.explained, rtol=1e-10)
