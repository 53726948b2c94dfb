"""Stabilizers in proportion to the denominators: by hand, against numbers of the same size, and where refused."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasexplain
from kerasexplain import UnsupportedModelError, create_analyzer
from kerasexplain.rules import ZB, AlphaBeta, Epsilon, Flat, Gamma, Relative, WSquare, ZPlus, ZPlusFast

pytestmark = pytest.mark.usefixtures("double_precision")

FACTOR = 0.3


def x_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).uniform(-1, 1, size=shape)


def rms(d: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(d))))


def test_by_hand() -> None:
    """W is the identity: z = x = (3, -4), epsilon = 0.2 sqrt((9 + 16) / 2), `R_i = z R / (z + epsilon sign(z))`."""
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, use_bias=False, kernel_initializer="identity")])
    epsilon = 0.2 * np.sqrt(12.5)
    for options in ({"rule": Epsilon(Relative(0.2))}, {"rule": "Z", "override": [("*", Epsilon(Relative(0.2)))]}):
        analyzer = create_analyzer("lrp", model, neuron_selection_mode="all", **options)
        found = analyzer.analyze(np.array([[3.0, -4.0], [0.0, 0.0]]))
        np.testing.assert_allclose(found, [[9 / (3 + epsilon), -16 / (4 + epsilon)], [0, 0]], rtol=0, atol=1e-14)


@pytest.mark.parametrize("scale", [1e200, 1e-200])
def test_denominators_whose_squares_are_out_of_range(scale: float) -> None:
    """It is a share: of numbers as large as can be, or as small, it does what it does of others."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(4, use_bias=False), layers.Dense(1, use_bias=False)])
    x, analyzer = x_of(2, 3), create_analyzer("lrp", model, rule=Epsilon(Relative(FACTOR)))
    expected = analyzer.analyze(x, 0)
    kernel = np.array(ops.convert_to_numpy(model.layers[0].kernel))
    model.layers[0].kernel.assign(kernel * scale)
    np.testing.assert_allclose(analyzer.analyze(x, 0) / scale, expected, rtol=1e-9)


def network(activation: str = "relu") -> keras.Model:
    """Two layers, of which the first runs as one with its ReLU where its stabilizer is a number."""
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(5, activation, name="first"), layers.Dense(2, use_bias=False, name="last")]
    )
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    return model


def positive(a: np.ndarray) -> np.ndarray:
    return np.maximum(a, 0)


def for_z(x: np.ndarray, W: np.ndarray) -> np.ndarray:
    """What speaks for z."""
    return positive(x) @ positive(W) + positive(-x) @ positive(-W)


#: A rule with a stabilizer, and its denominators.
RULES: dict[str, tuple[Any, Any]] = {
    "epsilon": (Epsilon, lambda x, W, b: x @ W + b),
    "epsilon without bias": (lambda eps: Epsilon(eps, bias=False), lambda x, W, b: x @ W),
    "z plus": (lambda eps: ZPlus(stabilizer=eps), lambda x, W, b: for_z(x, W)),
    "z plus fast": (lambda eps: ZPlusFast(stabilizer=eps), lambda x, W, b: x @ positive(W)),
    "alpha 1 beta 0": (lambda eps: AlphaBeta(1, 0, stabilizer=eps), lambda x, W, b: for_z(x, W) + positive(b)),
    "zb": (
        lambda eps: ZB(-1, 2, stabilizer=eps),
        lambda x, W, b: x @ W + positive(W).sum(axis=0) - 2 * np.minimum(W, 0).sum(axis=0),
    ),
    "w square": (lambda eps: WSquare(stabilizer=eps), lambda x, W, b: np.square(W).sum(axis=0)),
    "flat": (lambda eps: Flat(stabilizer=eps), lambda x, W, b: np.full(5, 6.0)),
}


@pytest.mark.parametrize("name", RULES)
def test_it_is_the_number_of_that_size_for_every_sample(name: str) -> None:
    rule, denominators = RULES[name]
    model, x = network(), x_of(3, 6)
    W, b = model.get_layer("first").get_weights()
    found = create_analyzer("lrp", model, rule=[("first", rule(Relative(FACTOR))), ("*", "Z")]).analyze(x, 1)
    for row, given in zip(found, x, strict=True):
        epsilon = FACTOR * rms(denominators(given, W, b))
        expected = create_analyzer("lrp", model, rule=[("first", rule(epsilon)), ("*", "Z")]).analyze(given[None], 1)
        np.testing.assert_allclose(row, expected[0], rtol=0, atol=1e-13)


def test_both_parts_of_alpha_beta_have_one_of_their_own() -> None:
    model, x = network(), x_of(1, 6)
    (W, b), (V,) = (model.get_layer(name).get_weights() for name in ("first", "last"))
    z = x @ W + b
    R = positive(z) * V[:, 1]
    p, n = for_z(x, W) + positive(b), for_z(x, -W) + positive(-b)
    s1, s2 = R / (p + FACTOR * rms(p)), R / (n + FACTOR * rms(n))
    of_P = np.where(x > 0, s1 @ positive(W).T, -s1 @ positive(-W).T)
    of_N = np.where(x > 0, s2 @ positive(-W).T, -s2 @ positive(W).T)
    rule = AlphaBeta(2, 1, stabilizer=Relative(FACTOR))
    found = create_analyzer("lrp", model, rule=[("first", rule), ("*", "Z")]).analyze(x, 1)
    np.testing.assert_allclose(found, x * (2 * of_P - of_N), rtol=0, atol=1e-13)


@pytest.mark.parametrize("bias", [True, False])
def test_gamma_has_one_for_outputs_of_either_sign(bias: bool) -> None:
    """The denominators are `z + gamma (P + b+)` where z > 0, and `z + gamma (N + b-)` where z < 0."""
    model, x, gamma = network("linear"), x_of(1, 6), 0.4
    (W, b), (V,) = (model.get_layer(name).get_weights() for name in ("first", "last"))
    R = (x[0] @ W + b) * V[:, 1]
    b = b if bias else 0 * b
    z, contributions = x[0] @ W + b, x[0][:, None] * W
    assert len(set(z > 0)) == 2
    expected = np.zeros(6)
    for sign in (1, -1):
        favoured, b_favoured = sign * positive(sign * contributions), sign * positive(sign * b)
        d = z + gamma * (favoured.sum(axis=0) + b_favoured)
        shares = (contributions + gamma * favoured) * R / (d + sign * FACTOR * rms(d))
        expected += shares[:, sign * z > 0].sum(axis=1)
    rule = Gamma(gamma, bias=bias, stabilizer=Relative(FACTOR))
    found = create_analyzer("lrp", model, rule=[("first", rule), ("*", "Z")]).analyze(x, 1)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-13)


def test_units_behind_padding_and_batch_normalization_count_as_they_are() -> None:
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(3, 3, padding="same", name="conv")(inputs)
    normalized = layers.BatchNormalization(name="bn")(x)
    y = layers.Dense(2, name="last")(layers.GlobalAveragePooling2D()(layers.ReLU()(normalized)))
    model, given = keras.Model(inputs, y), x_of(2, 6, 6, 2)
    rng = np.random.default_rng(4)
    for weight in model.get_layer("bn").weights:
        weight.assign(rng.uniform(0.5, 2, size=weight.shape))
    z = np.asarray(keras.Model(inputs, normalized)(given))
    rest = [("*", "Z")]
    found = create_analyzer("lrp", model, rule=[("conv", Epsilon(Relative(FACTOR))), *rest]).analyze(given, 1)
    for i in range(2):
        number = create_analyzer("lrp", model, rule=[("conv", Epsilon(FACTOR * rms(z[i]))), *rest])
        np.testing.assert_allclose(found[i], number.analyze(given[i : i + 1], 1)[0], rtol=0, atol=1e-12)


def test_the_audit_says_what_it_takes() -> None:
    model, x = network(), x_of(4, 6)
    hidden = np.maximum(x @ model.get_layer("first").get_weights()[0] + model.get_layer("first").get_weights()[1], 0)
    z = hidden @ model.get_layer("last").get_weights()[0]
    audit = create_analyzer("lrp.epsilon", model, epsilon=Relative(0.1)).audit(x, 1)
    epsilon = 0.1 * np.sqrt(np.mean(z**2, axis=1))
    np.testing.assert_allclose(audit.rows[-1].lost, z[:, 1] * epsilon / (np.abs(z[:, 1]) + epsilon), rtol=0, atol=1e-12)
    np.testing.assert_allclose(audit.explained, audit.inputs + audit.biases + audit.lost, rtol=0, atol=1e-12)
    assert "Epsilon(Relative(0.1))" in str(audit)


def test_all_rules_of_a_method_take_it_and_additions_stay_exact() -> None:
    inputs = keras.Input((6,))
    hidden = layers.Dense(5, "relu", name="first", bias_initializer="ones")(inputs)
    model = keras.Model(inputs, layers.Add()([layers.Dense(5, name="side")(hidden), hidden]))
    x, relative = x_of(3, 6), Relative(0.2)
    found = create_analyzer("lrp.z_plus", model, stabilizer=relative).analyze(x, 1)
    same = create_analyzer("lrp", model, rule=ZPlus(stabilizer=relative)).analyze(x, 1)
    np.testing.assert_array_equal(found, same)
    assert not np.allclose(found, create_analyzer("lrp.z_plus", model).analyze(x, 1), rtol=1e-3)


def test_every_step_of_a_recurrent_layer_has_one_of_its_own() -> None:
    """A step `z = x W + h U` with weights of 1 and one unit: epsilon is a share of |z|, and so is what is lost."""
    cell = layers.SimpleRNN(1, activation="linear", kernel_initializer="ones", recurrent_initializer="ones")
    model = keras.Sequential([keras.Input((3, 1)), cell])
    found = create_analyzer("lrp.epsilon", model, epsilon=Relative(0.25)).analyze(
        np.reshape([1.0, 2.0, 4.0], (1, 3, 1))
    )
    kept = 1 / 1.25  # of R, in every step, whatever z is
    np.testing.assert_allclose(found.ravel(), [kept**3, 2 * kept**2, 4 * kept], rtol=0, atol=1e-13)


def test_it_is_saved_compared_and_printed(tmp_path: pathlib.Path) -> None:
    model, x = network(), x_of(2, 6)
    analyzer = create_analyzer("lrp.epsilon_plus", model, epsilon=Relative(0.25), stabilizer=Relative(1e-3))
    analyzer.save(tmp_path / "analyzer.json")
    again = kerasexplain.load_analyzer(tmp_path / "analyzer.json", model)
    assert again == analyzer
    np.testing.assert_array_equal(again.analyze(x, 0), analyzer.analyze(x, 0))
    assert repr(Epsilon(Relative(0.25))) == "Epsilon(Relative(0.25))"
    assert Epsilon(Relative(0.25)) == Epsilon(Relative(0.25)) != Epsilon(0.25)
    assert "Epsilon(Relative(0.25))" in str(analyzer)


def test_what_is_no_share_is_refused() -> None:
    for factor in (0, -0.1, float("nan"), "0.25", None):
        with pytest.raises(ValueError, match="factor must be a positive number"):
            Relative(factor)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="epsilon must be a number"):
        Epsilon("Relative(0.25)")  # type: ignore[arg-type]


def test_rows_that_are_no_samples_are_refused() -> None:
    inputs = keras.Input((4, 3))
    folded = layers.Dense(5, name="folded")(ops.reshape(inputs, (-1, 3)))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(ops.reshape(folded, (-1, 4, 5)))))
    with pytest.raises(UnsupportedModelError, match=r"folded.*rows are not samples.*Relative\(0\.1\).*number"):
        create_analyzer("lrp.epsilon", model, epsilon=Relative(0.1)).analyze(x_of(2, 4, 3))
    numbered = create_analyzer("lrp.epsilon", model, epsilon=Relative(0.1), override=[("folded", Epsilon(0.1))])
    assert np.isfinite(numbered.analyze(x_of(2, 4, 3))).all()
