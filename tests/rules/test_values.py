"""Rules are values: they are named, checked, printed, compared, saved, and made again."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import kerasexplain
from kerasexplain import rules
from kerasexplain.rules import ZB, AlphaBeta, Epsilon, Flat, Gamma, Rule, WinnerTakesAll, WSquare, Z, ZPlus, ZPlusFast

EVERY_RULE: list[Rule] = [
    *(Z(), Z(bias=False), rules.BiasAsInput(), rules.PassThrough()),
    *(Epsilon(), Epsilon(0.25), Epsilon(0.25, bias=False)),
    *(ZPlus(), ZPlus(stabilizer=1e-3), ZPlusFast(), WSquare(), Flat()),
    *(AlphaBeta(), AlphaBeta(1, 0), AlphaBeta(1.4, 0.4, bias=False, stabilizer=0.0)),
    *(Gamma(), Gamma(3.0, bias=False), ZB(-1, 1), ZB([-1.0, 0.0], [1.0, 2.0]), ZB(0, 1, stabilizer=1e-9)),
    *(rules.Ignore(), rules.Slope(), rules.GradientRule(), WinnerTakesAll(), WinnerTakesAll(ties="share")),
    *(rules.Halve(), rules.SignalTakesAll(), rules.DetachStatistics()),
]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("Z", Z()),
        ("ZIB", Z(bias=False)),
        ("Epsilon", Epsilon()),
        ("EpsilonIB", Epsilon(bias=False)),
        ("ZPlus", ZPlus()),
        ("ZPlusFast", ZPlusFast()),
        ("Flat", Flat()),
        ("WSquare", WSquare()),
        ("Gamma", Gamma(0.25)),
        ("BiasAsInput", rules.BiasAsInput()),
        ("PassThrough", rules.PassThrough()),
        ("Alpha1Beta0", AlphaBeta(1, 0)),
        ("Alpha1Beta0IB", AlphaBeta(1, 0, bias=False)),
        ("Alpha2Beta1", AlphaBeta(2, 1)),
        ("Alpha2Beta1IB", AlphaBeta(2, 1, bias=False)),
        ("Alpha3Beta2", AlphaBeta(3, 2)),
        ("Slope", rules.Slope()),
        ("WinnerTakesAll", WinnerTakesAll(ties="first")),
    ],
)
def test_a_name_stands_for_a_rule(name: str, rule: Rule) -> None:
    assert rules.get(name) == rule


def test_a_rule_and_a_class_stand_for_themselves() -> None:
    rule = Epsilon(0.1)
    assert rules.get(rule) is rule
    assert rules.get(Epsilon) == Epsilon()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("Epsilom", ValueError, "Epsilon"),
        ("alpha2beta1", ValueError, "Alpha2Beta1"),
        ("Alpha2Beta2", ValueError, "must be 1"),
        (0.1, TypeError, r"0\.1"),
        (None, TypeError, "None"),
        (dict, TypeError, "dict"),
        ("ZB", ValueError, "needs the bounds"),
    ],
)
def test_what_is_no_rule_is_refused(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        rules.get(given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AlphaBeta(2, 2), "alpha - beta must be 1"),
        (lambda: AlphaBeta(1, 1), "alpha - beta must be 1"),
        (lambda: AlphaBeta(1.4, 0.5), "alpha - beta must be 1"),
        (lambda: AlphaBeta(0.5, -0.5), "alpha must be at least 1"),
        (lambda: AlphaBeta(float("nan"), 1), "alpha must be at least 1"),
        (lambda: Epsilon(-1e-9), "epsilon must be .*not negative"),
        (lambda: Epsilon(float("nan")), "epsilon must be .*not negative"),
        (lambda: Gamma(-0.1), "gamma must be .*not negative"),
        (lambda: ZB(1, 1), "low must be below high"),
        (lambda: ZB(2, 1), "low must be below high"),
        (lambda: ZB([0.0, 2.0], [1.0, 1.0]), "low must be below high"),
        (lambda: ZB(float("nan"), 1), "low must be below high"),
        (lambda: WinnerTakesAll(ties="last"), "'last'"),
        *((lambda kind=kind: kind(stabilizer=-1.0), "stabilizer") for kind in (ZPlus, ZPlusFast, AlphaBeta)),
        *((lambda kind=kind: kind(stabilizer=-1.0), "stabilizer") for kind in (Gamma, WSquare, Flat)),
        (lambda: ZB(0, 1, stabilizer=-1.0), "stabilizer"),
    ],
)
def test_an_illegal_argument_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(("alpha", "beta"), [(1.4, 0.4), (1, 0), (2.0, 1), (1.1, 0.1), (1000.3, 999.3)])
def test_alpha_minus_beta_is_one_up_to_rounding(alpha: float, beta: float) -> None:
    rule = AlphaBeta(alpha, beta)
    assert (rule.alpha, rule.beta) == (alpha, beta)


@pytest.mark.parametrize("rule", [Epsilon(0), Epsilon(0.0), Gamma(0), ZPlus(stabilizer=0)], ids=repr)
def test_zero_is_legal(rule: Rule) -> None:
    assert isinstance(rule, Rule)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Z(), "Z()"),
        (Z(bias=False), "Z(bias=False)"),
        (Epsilon(0.25), "Epsilon(0.25)"),
        (AlphaBeta(), "AlphaBeta()"),
        (AlphaBeta(1, 0, bias=False), "AlphaBeta(1, 0, bias=False)"),
        (ZB(-1, 1), "ZB(-1, 1)"),
        (ZPlus(stabilizer=0.5), "ZPlus(stabilizer=0.5)"),
        (WinnerTakesAll(ties="share"), "WinnerTakesAll(ties='share')"),
    ],
)
def test_how_a_rule_is_printed(rule: Rule, text: str) -> None:
    assert repr(rule) == text


@pytest.mark.parametrize("rule", EVERY_RULE, ids=repr)
def test_printed_saved_and_made_again_it_is_an_equal_rule(rule: Rule) -> None:
    printed = eval(repr(rule), vars(rules))
    plain = json.loads(json.dumps(rule.get_config()))  # the configuration survives a file
    made = type(rule).from_config(plain)
    saved = json.loads(json.dumps(keras.saving.serialize_keras_object(rule)))
    loaded = keras.saving.deserialize_keras_object(saved)
    for other in (printed, made, loaded):
        assert other is not rule
        assert other == rule
        assert hash(other) == hash(rule)
        assert repr(other) == repr(rule)


def test_a_bound_that_is_an_array_is_compared_by_its_values_and_saved() -> None:
    rule = ZB(np.array([-1.0, 0.0]), np.array([1.0, 2.0]))
    assert rule == ZB(np.array([-1.0, 0.0]), np.array([1.0, 2.0]))
    assert rule != ZB(np.array([-1.0, 0.5]), np.array([1.0, 2.0]))
    loaded = keras.saving.deserialize_keras_object(json.loads(json.dumps(keras.saving.serialize_keras_object(rule))))
    np.testing.assert_array_equal(loaded.low, rule.low)
    np.testing.assert_array_equal(loaded.high, rule.high)


@pytest.mark.parametrize("kind", [Epsilon, Gamma])
def test_an_integer_and_a_float_make_equal_rules(kind: Any) -> None:
    assert kind(1) == kind(1.0)
    assert hash(kind(1)) == hash(kind(1.0))


def test_different_rules_are_different() -> None:
    assert len(set(EVERY_RULE)) == len(EVERY_RULE)
    assert Z() != rules.BiasAsInput()
    assert Epsilon(0.1) != 0.1


def test_a_rule_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Epsilon(0.1).epsilon = 0.2  # type: ignore[misc]


def dense(kernel: list[list[float]], bias: list[float] | None = None, dtype: str = "float64") -> keras.Model:
    layer = layers.Dense(len(kernel[0]), use_bias=bias is not None, dtype=dtype)
    inputs = keras.Input((len(kernel),), dtype=dtype)
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([np.array(kernel), *([] if bias is None else [np.array(bias)])])
    return model


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_an_empty_denominator_of_alpha_beta_gives_its_term_nothing(dtype: str, jit_compile: bool) -> None:
    """x = (1, 3), W = (2, 2): z = 8, nothing is negative. The positive term alone gives alpha R = 16."""
    model = dense([[2.0], [2.0]], dtype=dtype)
    analyzer = kerasexplain.create_analyzer("lrp.alpha_2_beta_1", model, jit_compile=jit_compile)
    np.testing.assert_allclose(analyzer.analyze(np.array([[1.0, 3.0]])), [[4.0, 12.0]], rtol=1e-6)
    # All negative: the positive term is empty, and the negative one gives -beta R = 8.
    np.testing.assert_allclose(analyzer.analyze(np.array([[-1.0, -3.0]])), [[2.0, 6.0]], rtol=1e-6)
    # Nothing at all.
    np.testing.assert_array_equal(analyzer.analyze(np.array([[0.0, 0.0]])), [[0.0, 0.0]])


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "xla"])
def test_z_gives_nothing_where_the_output_is_exactly_zero(jit_compile: bool) -> None:
    model = dense([[1.0], [1.0]])
    analyzer = kerasexplain.create_analyzer("lrp.z", model, start="one", jit_compile=jit_compile)
    np.testing.assert_array_equal(analyzer.analyze(np.array([[2.0, -2.0], [1.0, 3.0]])), [[0.0, 0.0], [0.25, 0.75]])


def test_epsilon_of_zero_counts_as_positive() -> None:
    """z = 0 exactly: the denominator is +epsilon, so R / epsilon times the contributions 2 and -2."""
    model = dense([[1.0], [1.0]])
    analyzer = kerasexplain.create_analyzer("lrp.epsilon", model, epsilon=0.5, start="one")
    np.testing.assert_array_equal(analyzer.analyze(np.array([[2.0, -2.0]])), [[4.0, -4.0]])


def test_an_input_outside_of_the_box_of_zb_is_refused() -> None:
    analyzer = kerasexplain.create_analyzer("lrp", dense([[1.0], [1.0]]), rule=ZB(-1, 1))
    with pytest.raises(kerasexplain.InputError, match="bounds"):
        analyzer.analyze(np.array([[0.0, 1.5]]))
