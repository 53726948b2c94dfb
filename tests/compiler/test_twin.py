"""The twin: for every layer and operation of the catalogue it predicts what the model does, and its audit closes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import pytest
from helpers.backends import gradients
from keras import layers, ops

import kerasexplain
from kerasexplain import rules

VECTOR, ROWS, LINE, IMAGE, VOLUME = (7,), (5, 4), (7, 2), (7, 6, 2), (4, 5, 4, 2)
CONSTANT = np.array([0.7, -1.3, 0.4, 2.1])
KERNEL = np.array([[1.2, -0.3, 0.5], [0.1, 0.9, -0.7], [-0.4, 0.6, 0.2], [0.8, -0.5, 0.3]])
#: TensorFlow has no float64 kernel for these on a CPU.
FLOAT32 = ("MaxPooling3D", "AveragePooling3D", "UpSampling2D bilinear")

Case = tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]


def _activations() -> Iterator[tuple[str, Case]]:
    named = "celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_tanh log_sigmoid mish relu6 selu "
    named += "sigmoid silu soft_shrink softplus softsign sparse_plus sparse_sigmoid squareplus tanh tanh_shrink relu "
    named += "leaky_relu softmax log_softmax"
    for name in named.split():
        if hasattr(keras.activations, name):
            yield f"activation {name}", (lambda x, name=name: layers.Dense(4, name)(x), (ROWS,))
        if hasattr(ops, name):
            yield f"ops.{name}", (lambda x, name=name: getattr(ops, name)(layers.Dense(4)(x)), (ROWS,))


def _convolutions() -> Iterator[tuple[str, Case]]:
    kinds = {layers.Conv1D: LINE, layers.Conv2D: IMAGE, layers.Conv3D: VOLUME}
    kinds |= {layers.Conv1DTranspose: LINE, layers.Conv2DTranspose: IMAGE, layers.Conv3DTranspose: VOLUME}
    separable = {layers.SeparableConv1D: LINE, layers.SeparableConv2D: IMAGE}
    depthwise = {layers.DepthwiseConv1D: LINE, layers.DepthwiseConv2D: IMAGE}
    for padding, strides in (("same", 2), ("valid", 1)):
        options = {"padding": padding, "strides": strides, "activation": "relu"}
        shown = f"{padding} {strides}"
        for kind, shape in kinds.items():
            yield f"{kind.__name__} {shown}", (lambda x, k=kind, o=options: k(3, 3, **o)(x), (shape,))
        for kind, shape in separable.items():
            yield (
                f"{kind.__name__} {shown}",
                (lambda x, k=kind, o=options: k(3, 3, depth_multiplier=2, **o)(x), (shape,)),
            )
        for kind, shape in depthwise.items():
            yield f"{kind.__name__} {shown}", (lambda x, k=kind, o=options: k(3, depth_multiplier=2, **o)(x), (shape,))


def _pooling() -> Iterator[tuple[str, Case]]:
    shapes = {"1D": LINE, "2D": IMAGE, "3D": VOLUME}
    for rank, shape in shapes.items():
        for kind in ("Max", "Average"):
            pool = getattr(layers, f"{kind}Pooling{rank}")
            for padding in ("same", "valid"):
                yield (
                    f"{pool.__name__} {padding}",
                    (lambda x, p=pool, q=padding: p(3, strides=2, padding=q)(layers.ReLU()(x)), (shape,)),
                )
            over_all = getattr(layers, f"Global{kind}Pooling{rank}")
            yield over_all.__name__, (lambda x, p=over_all: p()(x), (shape,))


def _normed(layer: Callable[[Any], Any], **options: Any) -> Callable[[Any], Any]:
    return lambda x: layers.BatchNormalization(**options)(layer(x))


def _einsum(equation: str, shape: tuple[int, ...], axes: str) -> Callable[[Any], Any]:
    return lambda x: layers.EinsumDense(equation, output_shape=shape, bias_axes=axes)(x)


def _adapted(axis: int) -> Any:
    layer = layers.Normalization(axis=axis)
    layer.adapt(np.random.default_rng(1).normal(1.0, 2.0, (20, *ROWS)))
    return layer


LAYERS: dict[str, Case] = {
    "Dense": (lambda x: layers.Dense(3)(layers.Dense(5, "relu")(x)), (VECTOR,)),
    "EinsumDense": (_einsum("...x,xy->...y", 5, "y"), (ROWS,)),
    "EinsumDense more axes": (_einsum("abc,cde->abde", (5, 2, 3), "de"), (ROWS,)),
    "EinsumDense fewer axes": (_einsum("abde,dec->abc", (7, 5), "c"), ((7, 3, 2),)),
    "EinsumDense bias of rows": (_einsum("abc,cd->abd", (5, 3), "b"), (ROWS,)),
    "EinsumDense BatchNormalization": (_normed(_einsum("abc,cde->abde", (5, 2, 3), "de")), (ROWS,)),
    "Conv1D causal": (lambda x: layers.Conv1D(3, 3, padding="causal", dilation_rate=2)(x), (LINE,)),
    "Conv2D groups": (lambda x: layers.Conv2D(4, 3, groups=2)(x), (IMAGE,)),
    "Conv2DTranspose output_padding": (
        lambda x: layers.Conv2DTranspose(3, 3, strides=2, output_padding=1)(x),
        (IMAGE,),
    ),
    "Conv2D BatchNormalization": (_normed(lambda x: layers.Conv2D(4, 3, use_bias=False)(x)), (IMAGE,)),
    "Conv2DTranspose BatchNormalization": (_normed(lambda x: layers.Conv2DTranspose(4, 3)(x)), (IMAGE,)),
    "DepthwiseConv2D BatchNormalization": (_normed(lambda x: layers.DepthwiseConv2D(3)(x)), (IMAGE,)),
    "SeparableConv2D BatchNormalization": (_normed(lambda x: layers.SeparableConv2D(4, 3)(x)), (IMAGE,)),
    "Dense BatchNormalization axis 1": (_normed(lambda x: layers.Dense(4)(x), axis=1), (ROWS,)),
    "BatchNormalization plain": (lambda x: layers.BatchNormalization(center=False, scale=False)(x), (ROWS,)),
    "BatchNormalization twice": (_normed(_normed(lambda x: layers.Dense(4)(x))), (ROWS,)),
    "BatchNormalization before padding": (
        lambda x: layers.Conv2D(3, 3, padding="same")(layers.BatchNormalization()(x)),
        (IMAGE,),
    ),
    "ZeroPadding2D Conv2D": (_normed(lambda x: layers.Conv2D(3, 3)(layers.ZeroPadding2D(2)(x))), (IMAGE,)),
    "ZeroPadding1D": (lambda x: layers.ZeroPadding1D(1)(x), (LINE,)),
    "ZeroPadding3D": (lambda x: layers.ZeroPadding3D(1)(x), (VOLUME,)),
    "Cropping1D": (lambda x: layers.Cropping1D(1)(x), (LINE,)),
    "Cropping2D": (lambda x: layers.Cropping2D(1)(x), (IMAGE,)),
    "Cropping3D": (lambda x: layers.Cropping3D(1)(x), (VOLUME,)),
    "UpSampling1D": (lambda x: layers.UpSampling1D(2)(x), (LINE,)),
    "UpSampling2D": (lambda x: layers.UpSampling2D(2)(x), (IMAGE,)),
    "UpSampling2D bilinear": (lambda x: layers.UpSampling2D(2, interpolation="bilinear")(x), (IMAGE,)),
    "UpSampling3D": (lambda x: layers.UpSampling3D(2)(x), (VOLUME,)),
    "Flatten": (lambda x: layers.Flatten()(layers.Permute((2, 1))(layers.Reshape((4, 5))(x))), (ROWS,)),
    "RepeatVector": (lambda x: layers.RepeatVector(3)(x), (VECTOR,)),
    "Identity": (lambda x: layers.Identity()(layers.Activation("linear")(x)), (ROWS,)),
    "inactive": (
        lambda x: layers.ActivityRegularization()(
            layers.AlphaDropout(0.5)(layers.GaussianNoise(0.1)(layers.GaussianDropout(0.1)(layers.Dropout(0.5)(x))))
        ),
        (ROWS,),
    ),
    "SpatialDropout1D": (lambda x: layers.SpatialDropout1D(0.5)(x), (LINE,)),
    "SpatialDropout2D": (lambda x: layers.SpatialDropout2D(0.5)(x), (IMAGE,)),
    "SpatialDropout3D": (lambda x: layers.SpatialDropout3D(0.5)(x), (VOLUME,)),
    "Rescaling": (lambda x: layers.Rescaling(2.0, 0.3)(x), (ROWS,)),
    "Rescaling by channel": (lambda x: layers.Rescaling([1.0, 2, 3, 4], [0.3, 0.2, 0.1, 0.4])(x), (ROWS,)),
    "Rescaling without offset": (lambda x: layers.Rescaling(0.1)(x), (ROWS,)),
    "Normalization": (lambda x: layers.Normalization(mean=[1.0, 2, 3, 4], variance=[1.0, 2, 3, 4])(x), (ROWS,)),
    "Normalization axis 1": (
        lambda x: _adapted(axis=1)(x),
        (ROWS,),
    ),
    "LayerNormalization": (lambda x: layers.LayerNormalization()(x), (ROWS,)),
    "LayerNormalization rms_scaling": (lambda x: layers.LayerNormalization(rms_scaling=True)(x), (ROWS,)),
    "RMSNormalization": (lambda x: layers.RMSNormalization()(x), (ROWS,)),
    "ReLU": (lambda x: layers.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.2)(x), (ROWS,)),
    "LeakyReLU": (lambda x: layers.LeakyReLU(0.2)(x), (ROWS,)),
    "PReLU": (lambda x: layers.PReLU(shared_axes=[1])(x), (ROWS,)),
    "ELU": (lambda x: layers.ELU(0.5)(x), (ROWS,)),
    "Softmax": (lambda x: layers.Softmax(axis=1)(x), (ROWS,)),
    "Add": (lambda x, y, z: layers.Add()([x, y, z]), (ROWS, ROWS, ROWS)),
    "Add to itself": (lambda x: layers.Add()([x, x]), (ROWS,)),
    "Average": (lambda x, y: layers.Average()([x, y]), (ROWS, (5, 1))),
    "Subtract": (lambda x, y: layers.Subtract()([x, y]), (ROWS, ROWS)),
    "Multiply": (lambda x, y, z: layers.Multiply()([x, y, z]), (ROWS, ROWS, ROWS)),
    "Maximum": (lambda x, y: layers.Maximum()([x, y]), (ROWS, (5, 1))),
    "Minimum": (lambda x, y: layers.Minimum()([x, y]), (ROWS, ROWS)),
    "Concatenate": (lambda x, y: layers.Concatenate(axis=1)([x, y, x]), (ROWS, (3, 4))),
    "Dot": (lambda x, y: layers.Dot(axes=2)([x, y]), (ROWS, (3, 4))),
    **dict(_convolutions()),
    **dict(_pooling()),
    **dict(_activations()),
}


def _halves(x: Any) -> Any:
    first, second = ops.split(x, 2, axis=-1)
    return first * second


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "x + x": lambda x: x + x,
    "x + 0.1": lambda x: x + 0.1,
    "x + array": lambda x: x + CONSTANT,
    "x - 2x": lambda x: x - x * 2,
    "x - array": lambda x: x - CONSTANT,
    "array - x": lambda x: ops.subtract(CONSTANT, x),
    "1 - x": lambda x: 1 - x,
    "-x": lambda x: -x,
    "x * 2": lambda x: x * 2,
    "x * array": lambda x: x * CONSTANT,
    "x * x": lambda x: x * x,
    "x / 3": lambda x: x / 3,
    "x / array": lambda x: ops.divide(x, CONSTANT),
    "x ** 2": lambda x: x**2,
    "x ** 3": lambda x: x**3,
    "repeating constants": lambda x: (x[..., :1] * CONSTANT) + (x[..., :1] + CONSTANT) - x[..., :1] / CONSTANT,
    "slices": lambda x: ops.concatenate([x[:, 1:], x[:, :1]], axis=1),
    "gate": lambda x: ops.sigmoid(x) * x,
    "products": _halves,
    "absolute, square, exp": lambda x: ops.square(ops.absolute(x)) + ops.exp(x),
    "reshape": lambda x: ops.reshape(x, (-1, 20)),
    "transpose": lambda x: ops.swapaxes(ops.moveaxis(ops.transpose(x, (0, 2, 1)), 1, 2), 1, 2),
    "squeeze": lambda x: ops.squeeze(ops.expand_dims(x, 1), 1),
    "stack": lambda x: ops.hstack([ops.stack([x, 2 * x], 1)[:, 0], x]),
    "unstack": lambda x: ops.unstack(x, axis=1)[2],
    "flip": lambda x: ops.roll(ops.flip(x, 1), 2, 1),
    "repeat": lambda x: ops.repeat(ops.tile(x, (1, 2, 1)), 3, 1),
    "take": lambda x: ops.take(ops.copy(x), [0, 2, 2], axis=1),
    "pad": lambda x: ops.pad(x, ((0, 0), (1, 1), (0, 2))),
    "pad by reflection": lambda x: ops.pad(x, ((0, 0), (1, 1), (0, 2)), mode="reflect"),
    "mean and sum": lambda x: ops.mean(x, (1, 2)) + ops.sum(x, (1, 2)),
    "sum": lambda x: ops.sum(x, -1, keepdims=True),
    "max": lambda x: ops.max(x, 1) + ops.amax(x, 1),
    "max of all": lambda x: ops.max(x, (1, 2), keepdims=True),
    "maximum": lambda x: ops.maximum(x, x[:, :1] * 2),
    "minimum": lambda x: ops.minimum(x, 2 * x),
    "relu by maximum": lambda x: ops.maximum(x, 0.0),
    "floor": lambda x: ops.maximum(x, 0.004),
    "ceiling": lambda x: ops.minimum(x, -0.2),
    "clip": lambda x: ops.clip(x, 0.005, 0.4),
    "shrink": lambda x: ops.soft_shrink(x, 0.005) + ops.hard_shrink(x, 0.005),
    "matmul by a constant": lambda x: ops.matmul(x, KERNEL),
    "matmul of a constant": lambda x: ops.matmul(KERNEL.T, ops.transpose(x, (0, 2, 1))),
    "matmul": lambda x: ops.matmul(x, ops.transpose(x * 2, (0, 2, 1))),
    "einsum": lambda x: ops.einsum("abc,adc->abd", x, x * 2),
    "softmax": lambda x: ops.softmax(x, 1) * x,
}
ZOO: dict[str, Case] = {**LAYERS, **{f"ops: {name}": (function, (ROWS,)) for name, function in OPERATIONS.items()}}
#: Described, but with nothing of its own to be seen: other names, and layers that only other backends call.
ELSEWHERE = {"ops.Identity", "ops.Vstack", "ops.Slice", "ops.BroadcastTo", "ops.DepthToSpace", "ops.SpaceToDepth"}
ELSEWHERE |= {"ops.Dot", "ops.Ravel"}


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    use("float64")
    yield
    use("float32")


def use(dtype: str) -> None:
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)


def build(name: str) -> tuple[keras.Model, list[np.ndarray], float]:
    """A model of the zoo with random weights, its inputs, and the precision it works in."""
    function, shapes = ZOO[name]
    if name.startswith(FLOAT32):
        use("float32")
    rng = np.random.default_rng(1)
    inputs = [keras.Input(shape) for shape in shapes]
    model = keras.Model(inputs, function(*inputs))
    for variable in model.trainable_variables + model.non_trainable_variables:
        if "variance" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif variable.dtype == keras.config.floatx():
            variable.assign(0.5 * rng.normal(size=variable.shape))
    xs = [rng.normal(size=(3, *shape)).astype(keras.config.floatx()) for shape in shapes]
    return model, xs, 1e-12 if keras.config.floatx() == "float64" else 1e-5


def per_sample(array: np.ndarray) -> np.ndarray:
    return array.reshape(len(array), -1).sum(axis=1)


@pytest.mark.parametrize("name", ZOO)
def test_twin_predicts_what_the_model_predicts_and_its_gradient_is_the_model_s(name: str) -> None:
    model, xs, rounding = build(name)
    analyzer = kerasexplain.create_analyzer("gradient", model, explain="activation", neuron_selection_mode="all")
    y, expected = gradients(lambda *xs: model(list(xs)), *xs)
    scale = float(np.abs(np.asarray(y)).max())
    assert np.abs(np.asarray(analyzer.twin(xs) - y)).max() <= rounding * scale
    explanation = analyzer.explain(xs)
    assert np.abs(explanation.output - np.asarray(y)).max() <= rounding * scale
    for given, wanted in zip(explanation.relevance, expected, strict=True):
        np.testing.assert_allclose(given, wanted, atol=100 * rounding * max(1, float(np.abs(np.asarray(wanted)).max())))


@pytest.mark.formula
@pytest.mark.parametrize("name", ZOO)
def test_inputs_and_biases_add_up_to_what_is_explained(name: str) -> None:
    model, xs, rounding = build(name)
    analyzer = kerasexplain.create_analyzer(
        "lrp.bias_as_input", model, explain="activation", neuron_selection_mode="all"
    )
    explanation = analyzer.explain(xs, bias=True)
    total = sum(per_sample(r) for r in [*explanation.relevance, *explanation.bias.values()])
    tolerance = 1e3 * rounding * max(1.0, float(np.abs(explanation.output).sum()))
    np.testing.assert_allclose(total, explanation.explained, rtol=0, atol=tolerance)
    assert analyzer.twin.execution.rows  # there was something to explain


@pytest.mark.formula
@pytest.mark.parametrize("analyzer_name", ["lrp.epsilon_plus", "lrp.flat"])
@pytest.mark.parametrize("name", ZOO)
def test_relevance_is_finite_and_leaves_the_output_alone(name: str, analyzer_name: str) -> None:
    model, xs, rounding = build(name)
    explanation = kerasexplain.create_analyzer(analyzer_name, model, explain="activation").explain(xs)
    assert all(np.isfinite(r).all() and r.shape == x.shape for r, x in zip(explanation.relevance, xs, strict=True))
    y = np.asarray(model(xs))
    assert np.abs(explanation.output - y).max() <= rounding * float(np.abs(y).max())


def _routed_network() -> keras.Model:
    x = inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    y = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Concatenate()([layers.MaxPooling2D(2)(x), layers.AveragePooling2D(2)(x)])
    x = layers.BatchNormalization()(layers.Conv2D(5, 3)(layers.ZeroPadding2D(1)(x)))
    x = layers.LeakyReLU()(x)
    x = layers.Dense(6, "relu")(layers.Reshape((-1, 5))(x))
    x = layers.Dropout(0.5)(layers.Flatten()(layers.Permute((2, 1))(x)))
    model = keras.Model(inputs, layers.Dense(3)(x))
    rng = np.random.default_rng(2)
    for variable in model.trainable_variables:
        variable.assign(0.4 * rng.normal(size=variable.shape))
    return model


def test_lrp_z_of_a_network_of_linear_layers_routing_and_relu_is_input_times_gradient(rng: np.random.Generator) -> None:
    model = _routed_network()
    x = rng.normal(size=(3, 8, 8, 2))
    given = kerasexplain.create_analyzer("lrp.z", model).analyze(x, 1)
    expected = x * np.asarray(gradients(lambda x: model(x)[:, 1], x)[1][0])
    np.testing.assert_allclose(given, expected, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["lrp.epsilon_plus", "lrp.alpha_2_beta_1", "lrp.gamma", "lrp.bias_as_input"])
def test_only_operations_with_a_kernel_are_overridden_outside_absolute_regions(name: str) -> None:
    execution = kerasexplain.create_analyzer(name, _routed_network()).twin.execution
    overridden = {node.type.split(" + ")[0] for node, override in execution.overrides.items() if not override.is_plain}
    assert overridden <= {"Conv2D", "Dense", "ZeroPadding2D"}  # the padding that is part of a convolution
    kinds = {node.type for node, override in execution.overrides.items() if override.is_plain}
    assert {"Add", "Concatenate", "MaxPooling2D", "AveragePooling2D", "ReLU", "Reshape", "Flatten"} <= kinds


def test_flat_does_not_lose_relevance_at_dead_units_padding_and_maxima() -> None:
    x = inputs = keras.Input((6, 6, 1))
    x = layers.Conv2D(3, 3, padding="same", activation="relu", bias_initializer=keras.initializers.Constant(-5))(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(2, 3, activation="relu")(layers.ZeroPadding2D(1)(x))
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))
    images = np.random.default_rng(0).uniform(size=(2, 6, 6, 1))
    assert not np.asarray(model.layers[1](images)).any()  # all dead
    audit = kerasexplain.create_analyzer("lrp.flat", model, start="one").audit(images)
    np.testing.assert_allclose(audit.inputs, 1.0, rtol=1e-5)
    assert all(np.abs(row.lost).max() < 1e-5 for row in audit.rows)


def test_flat_loses_at_a_sum_that_is_zero_and_the_audit_says_so() -> None:
    x = inputs = keras.Input((2,))
    y = layers.Add(name="sum")([x, layers.Identity()(x)])
    model = keras.Model(inputs, layers.Dense(1, name="dense")(y))
    analyzer = kerasexplain.create_analyzer("lrp.flat", model, start="one")
    audit = analyzer.audit(np.array([[0.0, 3.0]]))
    lost = {row.name: float(row.lost[0]) for row in audit.rows}
    # Each input of the dense layer gets 1/2; the first is 0 + 0, which nobody can share.
    assert lost["sum"] == pytest.approx(0.5, abs=1e-7)
    assert audit.inputs[0] == pytest.approx(0.5, abs=1e-7)
    np.testing.assert_allclose(analyzer.analyze(np.array([[0.0, 3.0]])), [[0.0, 0.5]], atol=1e-7)


def test_a_twin_is_called_with_a_dict_like_the_model() -> None:
    b, a = keras.Input((3,), name="b"), keras.Input((3,), name="a")  # not in the order of their names
    model = keras.Model([b, a], b - 2.0 * a)
    inputs = {"a": np.ones((2, 3)), "b": np.full((2, 3), 5.0)}
    twin = kerasexplain.create_analyzer("lrp.z", model).twin
    np.testing.assert_array_equal(twin(inputs), model(inputs))
    np.testing.assert_array_equal(twin(inputs), np.full((2, 3), 3.0))


def test_a_float64_model_keeps_its_precision_under_a_float32_policy(rng: np.random.Generator) -> None:
    use("float32")
    inputs = keras.Input((4,), dtype="float64")
    model = keras.Model(inputs, layers.Dense(3, dtype="float64")(inputs))
    x = rng.normal(size=(5, 4))
    analyzer = kerasexplain.create_analyzer("lrp.z", model)
    np.testing.assert_allclose(analyzer.twin(x), model(x), rtol=0, atol=1e-14)
    assert analyzer.analyze(x).dtype == "float64"


def _of_policy(policy: str) -> keras.Model:
    keras.config.set_dtype_policy(policy)
    try:
        x = inputs = keras.Input((6,))
        x = layers.BatchNormalization()(layers.Dense(8)(x))
        x = 1 - (ops.relu(x) * 0.5 + 1.75)
        x = layers.LayerNormalization()(ops.matmul(x, np.eye(8)))
        return keras.Model(inputs, layers.Dense(3)(x))
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
def test_half_precision_is_explained_in_float32(policy: str, rng: np.random.Generator) -> None:
    use("float32")
    model, exact = _of_policy(policy), _of_policy("float32")
    exact.set_weights([np.asarray(weights, "float32") for weights in model.get_weights()])
    x = rng.normal(size=(2, 6)).astype("float32")
    explanation, expected = (
        kerasexplain.create_analyzer("lrp", m, rule=rules.Epsilon(1e-6)).explain(x, 1) for m in (model, exact)
    )
    assert explanation.relevance.dtype == explanation.output.dtype == np.float32
    np.testing.assert_allclose(explanation.output, exact(x), atol=1e-5)
    np.testing.assert_allclose(explanation.relevance, expected.relevance, atol=1e-4 * np.abs(expected.relevance).max())
