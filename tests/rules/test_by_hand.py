"""Each rule on one small layer, with the fractions worked out by hand.

The layer: x = (1, -2, 3), W = ((2, -1), (1, 1), (-1, 2)), b = (1, -1). The contributions x_i w_ij are

    to z_1:  2  -2  -3  + 1 = -2        to z_2: -1  -2  6  - 1 = 2

and the relevance of the outputs is R = (1, 2), so that nothing depends on R being z.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import kerasexplain
from kerasexplain.rules import (
    ZB,
    AlphaBeta,
    BiasAsInput,
    Epsilon,
    Flat,
    Gamma,
    PassThrough,
    WSquare,
    Z,
    ZPlus,
    ZPlusFast,
)

F = Fraction
X, W, B, R = [[1.0, -2.0, 3.0]], [[2.0, -1.0], [1.0, 1.0], [-1.0, 2.0]], [1.0, -1.0], [1.0, 2.0]

CASES = [
    # 1 / z_1 = -1/2, 2 / z_2 = 1.  x_1: 2 (-1/2) - 1 (1); x_2: -2 (-1/2) - 2 (1); x_3: -3 (-1/2) + 6 (1).
    (Z(), [F(-2), F(-1), F(15, 2)], [F(-1, 2), F(-1)]),
    (BiasAsInput(), [F(-2), F(-1), F(15, 2)], [F(-1, 2), F(-1)]),
    # Without the bias the sums are -3 and 3: s = (-1/3, 2/3).  x_3: -3 (-1/3) + 6 (2/3) = 1 + 4.
    (Z(bias=False), [F(-4, 3), F(-2, 3), F(5)], [F(0), F(0)]),
    # s = (1 / (-2 - 1/2), 2 / (2 + 1/2)) = (-2/5, 4/5).  x_1: -4/5 - 4/5; x_2: 4/5 - 8/5; x_3: 6/5 + 24/5.
    (Epsilon(0.5), [F(-8, 5), F(-4, 5), F(6)], [F(-2, 5), F(-4, 5)]),
    # s = (1 / (-3 - 1/2), 2 / (3 + 1/2)) = (-2/7, 4/7).  x_1: -4/7 - 4/7; x_2: 4/7 - 8/7; x_3: 6/7 + 24/7.
    (Epsilon(0.5, bias=False), [F(-8, 7), F(-4, 7), F(30, 7)], [F(0), F(0)]),
    # Only what is positive: 2 for z_1, from x_1; 6 for z_2, from x_3. So x_1 takes R_1 = 1 and x_3 takes R_2 = 2.
    (ZPlus(), [F(1), F(0), F(2)], [F(0), F(0)]),
    # With stabilizer 1: s = (1 / 3, 2 / 7).
    (ZPlus(stabilizer=1.0), [F(2, 3), F(0), F(12, 7)], [F(0), F(0)]),
    # x W+ with the sign of x left in: (2 - 2 + 0, 0 - 2 + 6) = (0, 4); st(0) = 1/2, st(4) = 9/2: s = (2, 4/9).
    # x_1: 2 (2); x_2: -2 (2) - 2 (4/9); x_3: 6 (4/9).
    (ZPlusFast(stabilizer=0.5), [F(4), F(-44, 9), F(8, 3)], [F(0), F(0)]),
    # Positive: 2 + 1 (bias) = 3 and 6; negative: -2 - 3 = -5 and -1 - 2 - 1 (bias) = -4.
    # s1 = (1/3, 1/3), s2 = (-1/5, -1/2).  x_1: 2 (2/3) - 1/2; x_2: -2/5 - 1; x_3: 2 (6/3) - 3/5.
    # bias: b_1 is positive: 2 (1/3); b_2 is negative: -(1/2).
    (AlphaBeta(2, 1), [F(5, 6), F(-7, 5), F(17, 5)], [F(2, 3), F(-1, 2)]),
    # alpha = 1: x_1: 2/3, x_3: 6/3; b_1: 1/3.
    (AlphaBeta(1, 0), [F(2, 3), F(0), F(2)], [F(1, 3), F(0)]),
    # Positive 2 and 6, negative -5 and -3.  x_1: 2 (1) - 2/3 (1); x_2: -(2/5) - 2 (2/3); x_3: 2 (2) - 3/5.
    (AlphaBeta(2, 1, bias=False), [F(4, 3), F(-26, 15), F(17, 5)], [F(0), F(0)]),
    # z_1 = -2 < 0: its negative contributions are doubled: 2 - 4 - 6 + 1 = -7: s = -1/7.
    # z_2 = 2 > 0: its positive one is doubled: -1 - 2 + 12 - 1 = 8: s = 2/8.
    # x_1: -2/7 - 1/4; x_2: 4/7 - 2/4; x_3: 6/7 + 12/4; b_1: -1/7, b_2: -1/4.
    (Gamma(1.0), [F(-15, 28), F(1, 14), F(27, 7)], [F(-1, 7), F(-1, 4)]),
    # The same without the bias: -3 < 0: 2 - 4 - 6 = -8: s = -1/8; 3 > 0: -1 - 2 + 12 = 9: s = 2/9.
    (Gamma(1.0, bias=False), [F(-1, 4) - F(2, 9), F(1, 2) - F(4, 9), F(3, 4) + F(24, 9)], [F(0), F(0)]),
    # Box [-2, 4]. x - low = (3, 0, 5) through W+, x - high = (-3, -6, -1) through W-.
    # z_1: 3 (2) + 0 (1) + 1 (1) = 7; z_2: 3 (1) + 0 (1) + 5 (2) = 13.  s = (1/7, 2/13).
    (ZB(-2, 4), [F(6, 7) + F(6, 13), F(0), F(1, 7) + F(20, 13)], [F(0), F(0)]),
    # W^2 = ((4, 1), (1, 1), (1, 4)), with columns that sum to 6 and 6: s = (1/6, 2/6).
    (WSquare(), [F(4 + 2, 6), F(1 + 2, 6), F(1 + 8, 6)], [F(0), F(0)]),
    # Three inputs: each gets a third of 1 + 2.
    (Flat(), [F(1), F(1), F(1)], [F(0), F(0)]),
    # Two more in the denominator: 1/5 + 2/5.
    (Flat(stabilizer=2.0), [F(3, 5), F(3, 5), F(3, 5)], [F(0), F(0)]),
]


def explained(rule: Any) -> Any:
    layer = layers.Dense(2, dtype="float64")
    inputs = keras.Input((3,), dtype="float64")
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([np.array(W), np.array(B)])
    # 1e-14 stands for the limit: the fractions are those of the formulas without a stabilizer.
    options = {"stabilizer": 1e-14, "start": R, "neuron_selection_mode": "all"}
    return kerasexplain.create_analyzer("lrp", model, rule=rule, **options).explain(np.array(X), bias=True)


@pytest.mark.parametrize(("rule", "of_x", "of_b"), CASES, ids=[repr(case[0]) for case in CASES])
def test_a_rule(rule: Any, of_x: list[F], of_b: list[F]) -> None:
    explanation = explained(rule)
    np.testing.assert_allclose(explanation.relevance[0], [float(f) for f in of_x], rtol=0, atol=1e-11)
    (bias,) = explanation.bias.values()
    np.testing.assert_allclose(bias[0], [float(f) for f in of_b], rtol=0, atol=1e-11)


def test_pass_through_hands_relevance_on_as_it_is() -> None:
    layer = layers.Dense(3, dtype="float64")
    inputs = keras.Input((3,), dtype="float64")
    model = keras.Model(inputs, layer(inputs))
    analyzer = kerasexplain.create_analyzer(
        "lrp", model, rule=PassThrough(), start=[1.0, 2.0, 3.0], neuron_selection_mode="all"
    )
    np.testing.assert_array_equal(analyzer.analyze(np.array([[0.0, -2.0, 3.0]])), [[1.0, 2.0, 3.0]])


def test_two_layers_and_a_relu() -> None:
    """x = (1, 2); hidden z = (1 - 2, 1 + 4) = (-1, 5), after the ReLU (0, 5); y = 3 * 0 + 2 * 5 = 10.

    Z: all of y belongs to the second unit, to whose 5 the inputs contribute 1 and 4: 10 (1/5) and 10 (4/5).
    """
    inputs = keras.Input((2,), dtype="float64")
    hidden, out = layers.Dense(2, "relu", dtype="float64"), layers.Dense(1, dtype="float64")
    model = keras.Model(inputs, out(hidden(inputs)))
    hidden.set_weights([np.array([[1.0, 1.0], [-1.0, 2.0]]), np.zeros(2)])
    out.set_weights([np.array([[3.0], [2.0]]), np.zeros(1)])
    analyzer = kerasexplain.create_analyzer("lrp.z", model)
    np.testing.assert_allclose(analyzer.analyze(np.array([[1.0, 2.0]])), [[2.0, 8.0]], rtol=1e-14)


def test_flat_and_w_square_do_not_count_padding() -> None:
    """Three inputs, a kernel (1, 2, 3) with padding "same", R = (1, 1, 1).

    Flat: the windows hold 2, 3 and 2 inputs. x_1 is in the first two: 1/2 + 1/3; x_2 in all: 1/2 + 1/3 + 1/2.
    w^2: the sums of squares are 4 + 9 = 13, 1 + 4 + 9 = 14 and 1 + 4 = 5.
    """
    layer = layers.Conv1D(1, 3, padding="same", use_bias=False, dtype="float64")
    inputs = keras.Input((3, 1), dtype="float64")
    model = keras.Model(inputs, layer(inputs))
    layer.set_weights([np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1)])
    flat = [F(1, 2) + F(1, 3), F(1, 2) + F(1, 3) + F(1, 2), F(1, 3) + F(1, 2)]
    squared = [F(4, 13) + F(1, 14), F(9, 13) + F(4, 14) + F(1, 5), F(9, 14) + F(4, 5)]
    for rule, expected in ((Flat(), flat), (WSquare(), squared)):
        analyzer = kerasexplain.create_analyzer(
            "lrp", model, rule=rule, start=np.ones((3, 1)), neuron_selection_mode="all", stabilizer=1e-15
        )
        found = analyzer.analyze(np.array([[[0.0], [-1.0], [5.0]]]))
        np.testing.assert_allclose(found[0, :, 0], [float(f) for f in expected], rtol=1e-13)
