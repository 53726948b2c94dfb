"""Methods that compare with a baseline: sums that close, averages, refusals."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasexplain
from kerasexplain import InputError, UnsupportedModelError, create_analyzer
from kerasexplain.rules import ReluChain, SoftmaxLimit, WinnerTakesAll

pytestmark = pytest.mark.usefixtures("double_precision")

COMPARING = ("integrated_gradients", "deep_lift", "lrp.baseline")
every = pytest.mark.parametrize("name", COMPARING)


def mlp() -> keras.Model:
    return keras.Sequential([keras.Input((6,)), layers.Dense(8, "tanh"), layers.Dense(7, "gelu"), layers.Dense(3)])


def x_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape)


@every
def test_the_sum_is_the_change_of_the_output(name: str) -> None:
    model, x, baseline = mlp(), x_of(4, 6), x_of(7, 6)[5]
    found = create_analyzer(name, model, reference_inputs=baseline).explain(x, 1)
    outputs = model.predict(np.concatenate([x, baseline[None]]), verbose=0)[:, 1]
    np.testing.assert_allclose(found.reference, np.full(4, outputs[-1]), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.relevance.sum(axis=1), outputs[:-1] - outputs[-1], rtol=0, atol=1e-9)
    assert np.abs(found.completeness_error).max() < 1e-9


@every
def test_several_baselines_are_averaged(name: str) -> None:
    model, x, baselines = mlp(), x_of(4, 6), x_of(9, 6)[6:]
    found = create_analyzer(name, model, reference_inputs=baselines).explain(x, 1, batch_size=5)
    each = [create_analyzer(name, model, reference_inputs=baseline).explain(x, 1) for baseline in baselines]
    np.testing.assert_allclose(found.relevance, np.mean([e.relevance for e in each], axis=0), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.reference, np.mean([e.reference for e in each], axis=0), rtol=0, atol=1e-12)


@every
def test_the_mean_of_data_is_a_baseline(name: str) -> None:
    model, x, data = mlp(), x_of(4, 6), x_of(50, 6)
    analyzer = create_analyzer(name, model, reference_inputs="mean")
    with pytest.raises(ValueError, match="fit"):
        analyzer.analyze(x, 1)
    streamed = analyzer.fit(iter([data[:20], data[20:27], data[27:]])).analyze(x, 1)
    expected = create_analyzer(name, model, reference_inputs=data.mean(axis=0)).analyze(x, 1)
    np.testing.assert_allclose(streamed, expected, rtol=0, atol=1e-12)


@every
def test_a_baseline_of_each_channel(name: str) -> None:
    model = keras.Sequential([keras.Input((4, 4, 3)), layers.Conv2D(2, 2, activation="relu"), layers.Flatten()])
    x, mean = x_of(2, 4, 4, 3), np.array([0.1, -0.2, 0.3])
    found = create_analyzer(name, model, reference_inputs=mean).analyze(x, 1)
    full = create_analyzer(name, model, reference_inputs=np.broadcast_to(mean, (4, 4, 3))).analyze(x, 1)
    np.testing.assert_array_equal(found, full)


@every
@pytest.mark.parametrize(
    ("baseline", "message"),
    [(np.zeros(5), "fit one sample"), ("zeros", "'mean'"), (["a"], "real numbers"), (np.nan, "finite")],
)
def test_baselines_that_do_not_fit(name: str, baseline: Any, message: str) -> None:
    with pytest.raises((InputError, ValueError), match=message):
        create_analyzer(name, mlp(), reference_inputs=baseline).analyze(x_of(2, 6))


@every
def test_several_inputs(name: str) -> None:
    a, b = keras.Input((3,), name="a"), keras.Input((4,), name="b")
    y = layers.Dense(2)(layers.Multiply()([layers.Dense(5, "tanh")(a), layers.Dense(5, "gelu")(b)]))
    model, x = keras.Model({"a": a, "b": b}, y), {"a": x_of(3, 3), "b": x_of(3, 4)}
    found = create_analyzer(name, model, reference_inputs={"a": 0.5, "b": np.arange(4.0)}).explain(x, 0)
    assert set(found.relevance) == {"a", "b"}
    assert np.abs(found.completeness_error).max() < 1e-9
    with pytest.raises(InputError, match="inputs are"):
        create_analyzer(name, model, reference_inputs={"a": 0.5}).analyze(x)


def test_integrated_gradients_run_between_what_ids_look_up() -> None:
    ids = keras.Input((5,), dtype="int32")
    embedding, dense = layers.Embedding(10, 3), layers.Dense(2)
    model = keras.Model(ids, dense(layers.Flatten()(embedding(ids))))
    x = np.array([[1, 2, 3, 4, 5], [3, 0, 0, 6, 7]])
    found = create_analyzer("integrated_gradients", model, reference_inputs=7).analyze(x, 1)
    table, kernel = np.asarray(embedding.embeddings), np.asarray(dense.kernel)[:, 1].reshape(5, 3)
    np.testing.assert_allclose(found, ((table[x] - table[7]) * kernel).sum(axis=-1), rtol=1e-4, atol=1e-6)


def test_token_ids_are_compared_with_others() -> None:
    ids = keras.Input((5,), dtype="int32")
    model = keras.Model(ids, layers.Dense(2)(layers.Flatten()(layers.Dense(4, "tanh")(layers.Embedding(10, 3)(ids)))))
    x = np.array([[1, 2, 3, 4, 5], [3, 0, 0, 6, 0]])
    found = create_analyzer("deep_lift", model, reference_inputs=0).explain(x, 1)
    assert np.abs(found.completeness_error).max() < 1e-12
    assert not found.relevance[1, [1, 2, 4]].any()
    with pytest.raises(InputError, match="integers"):
        create_analyzer("deep_lift", model, reference_inputs=0.5).analyze(x)


def test_quadratures() -> None:
    """On y = x^3 from 0: the mean gradient is x^2, the left sum of n steps is (n - 1)(2 n - 1) x^2 / (2 n^2)."""
    inputs = keras.Input((1,))
    model, x = keras.Model(inputs, inputs**3), np.array([[2.0]])
    for method, steps, expected in (
        ("gauss_legendre", 2, 8.0),
        ("riemann_left", 4, 2 * 3 * 4 * 3 * 7 / (6 * 16)),
        ("riemann_middle", 2, 2 * 3 * 4 * (1 / 16 + 9 / 16) / 2),
    ):
        found = create_analyzer("integrated_gradients", model, steps=steps, method=method).explain(x, 0)
        assert found.relevance[0, 0] == pytest.approx(expected, rel=1e-12)
        assert found.completeness_error[0] == pytest.approx(expected - 8.0, abs=1e-9)
    with pytest.raises(ValueError, match="riemann_left"):
        create_analyzer("integrated_gradients", model, method="simpson")


@every
def test_the_start_is_one_by_definition(name: str) -> None:
    with pytest.raises(ValueError, match="None, 'one'"):
        create_analyzer(name, mlp(), start="output")


def test_a_method_without_baseline_has_no_completeness() -> None:
    with pytest.raises(ValueError, match="no baseline"):
        _ = create_analyzer("gradient", mlp()).explain(x_of(1, 6)).completeness_error


class Block(layers.Layer):
    """Attention, normalisation and a gate: everything that works on whole vectors."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = layers.MultiHeadAttention(2, 4)
        self.norm, self.rms = layers.LayerNormalization(), layers.RMSNormalization()
        self.up, self.gate, self.down = layers.Dense(7), layers.Dense(7, "silu"), layers.Dense(6)

    def call(self, x: Any) -> Any:
        x = self.norm(x + self.attention(x, x))
        return self.rms(x + self.down(self.up(x) * self.gate(x)))


@pytest.mark.formula
@pytest.mark.parametrize("name", ["deep_lift", "lrp.baseline"])
def test_a_transformer_is_complete(name: str) -> None:
    inputs = keras.Input((5, 6))
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(Block()(inputs))))
    found = create_analyzer(name, model, reference_inputs=0.1).explain(x_of(3, 5, 6), 1)
    assert np.abs(found.completeness_error).max() < 1e-9 * np.abs(found.relevance).max()


def test_relevance_changes_its_sign_with_the_places() -> None:
    model = pooled()
    one, other = x_of(2, 6, 6, 2)
    for maximum in (SoftmaxLimit(), ReluChain()):
        there = create_analyzer("lrp.baseline", model, reference_inputs=other, maximum=maximum).analyze(one[None], 1)
        back = create_analyzer("lrp.baseline", model, reference_inputs=one, maximum=maximum).analyze(other[None], 1)
        np.testing.assert_allclose(there, -back, rtol=0, atol=1e-12 * np.abs(there).max())


def pooled() -> keras.Model:
    x = inputs = keras.Input((6, 6, 2))
    x = layers.MaxPooling2D(3, strides=2, padding="same")(layers.Conv2D(4, 3, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.Conv2D(3, 2)(x))))


def test_maxima_are_taken_apart_in_two_ways_that_disagree() -> None:
    model, x, baseline = pooled(), x_of(3, 6, 6, 2), x_of(5, 6, 6, 2)[4]

    def found(maximum: Any) -> kerasexplain.Explanation:
        options = {"reference_inputs": baseline, "maximum": maximum}
        return create_analyzer("deep_lift", model, **options).explain(x, 1)

    limit, chain, gradient = found(SoftmaxLimit()), found(ReluChain()), found(WinnerTakesAll())
    scale = np.abs(limit.relevance).max()
    assert np.abs(limit.completeness_error).max() < 1e-12 * scale
    assert np.abs(chain.completeness_error).max() < 1e-12 * scale
    assert np.abs(limit.relevance - chain.relevance).max() > 0.01 * scale
    assert np.abs(gradient.completeness_error).max() > 0.01 * scale


def test_what_cancels_is_revealed() -> None:
    """y = relu(a - b - 1) - relu(a - b - 2) does not change, since a and b cancel: Rescale gives them nothing."""
    hidden, out = layers.Dense(2, "relu"), layers.Dense(1, use_bias=False)
    model = keras.Sequential([keras.Input((2,)), hidden, out])
    hidden.set_weights([np.array([[1.0, 1.0], [-1.0, -1.0]]), np.array([-1.0, -2.0])])
    out.set_weights([np.array([[1.0], [-1.0]])])
    x = np.array([[4.0, 4.0]])
    rescale = create_analyzer("deep_lift", model).analyze(x, 0)
    reveal = create_analyzer("deep_lift", model, rule="reveal_cancel").analyze(x, 0)
    np.testing.assert_allclose(rescale, [[0.0, 0.0]], rtol=0, atol=1e-15)
    # d+ = 4, d- = -4: e+ is relu(3) / 2 for the first and relu(2) / 2 for the second, and e- the negative of it.
    np.testing.assert_allclose(reveal, [[0.5, -0.5]], rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda x: ops.sort(x, axis=1)[:, 0], "chooses"),
        (lambda x: (x / ops.sqrt(ops.mean(ops.abs(x), axis=-1, keepdims=True) + 1e-6))[:, 0], "layers that normalise"),
        (lambda x: ops.sparsemax(x)[:, 0], "jumps"),
        (lambda x: ops.normalize(x, order=1)[:, 0], "jumps"),
    ],
)
@pytest.mark.parametrize("name", ["deep_lift", "lrp.baseline"])
def test_what_cannot_be_compared_is_refused(name: str, build: Any, reason: str) -> None:
    inputs = keras.Input((4, 3))
    model = keras.Model(inputs, layers.Dense(2)(build(layers.Dense(3)(inputs))))
    with pytest.raises(UnsupportedModelError, match=reason):
        create_analyzer(name, model).analyze(x_of(2, 4, 3))


def test_relevance_of_a_layer() -> None:
    x = inputs = keras.Input((6,))
    x = layers.Dense(8, "tanh", name="hidden")(x)
    model, x = keras.Model(inputs, layers.Dense(3, name="out")(x)), x_of(4, 6)
    found = create_analyzer("deep_lift", model).explain(x, 1, layers=["hidden/tanh", "out"])
    change = found.explained - found.reference
    np.testing.assert_allclose(found.layers["hidden/tanh"].sum(axis=1), change, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.layers["out"][:, 1], change, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="inner layers"):
        create_analyzer("integrated_gradients", model).explain(x, 1, layers=["out"])


@pytest.mark.formula
@pytest.mark.parametrize("kind", [layers.LayerNormalization, layers.RMSNormalization, layers.UnitNormalization])
@pytest.mark.parametrize("baseline", [0.3, "random", "near"])
def test_normalisation_takes_the_mean_gradient(kind: type, baseline: Any) -> None:
    """Of one operation it is integrated gradients, with as many steps as one likes."""
    inputs = keras.Input((5,))
    model, x = keras.Model(inputs, layers.Dense(2)(kind()(inputs))), x_of(2, 5)
    given = {"random": x_of(3, 5)[2], "near": x[0] + 1e-4 * x_of(3, 5)[2]}.get(baseline, 0.3)
    found = create_analyzer("deep_lift", model, reference_inputs=given).explain(x, 1)
    expected = create_analyzer("integrated_gradients", model, reference_inputs=given, steps=500).analyze(x, 1)
    np.testing.assert_allclose(found.relevance, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_a_baseline_without_contrast_is_no_problem() -> None:
    inputs = keras.Input((6,))
    model, x = keras.Model(inputs, layers.RMSNormalization()(inputs)), x_of(3, 6)
    found = create_analyzer("deep_lift", model).explain(x, 0)
    assert np.abs(found.completeness_error).max() < 1e-9
    assert np.abs(found.relevance).max() < 10


def test_masks_are_those_of_the_input() -> None:
    ids = keras.Input((4,), dtype="int32")
    embedded = layers.Embedding(8, 6, mask_zero=True)(ids)
    attended = layers.MultiHeadAttention(2, 3)(embedded, embedded)
    model, x = keras.Model(ids, layers.Dense(3)(layers.Flatten()(attended))), np.array([[3, 4, 0, 0], [1, 2, 3, 0]])
    for baseline in (0, [7, 0, 2, 6]):
        found = create_analyzer("deep_lift", model, reference_inputs=np.asarray(baseline)).explain(x, 1)
        # Softmax is a quadrature.
        assert np.abs(found.completeness_error).max() < 1e-7 * np.abs(found.relevance).max()


def test_a_stop_to_gradients_is_none_to_a_difference() -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(ops.stop_gradient(layers.Dense(3, "tanh")(inputs))))
    found = create_analyzer("deep_lift", model).explain(x_of(2, 4), 1)
    assert np.abs(found.relevance).max() > 0.01
    assert np.abs(found.completeness_error).max() < 1e-12


def test_what_reveal_cancel_joins_cannot_be_read_between() -> None:
    inputs = keras.Input((4,))
    hidden = layers.ReLU(name="bent")(layers.Dense(5, name="hidden")(inputs))
    model = keras.Model(inputs, layers.Dense(2)(hidden))
    analyzer = create_analyzer("deep_lift", model, rule="reveal_cancel")
    with pytest.raises(ValueError, match="bent"):
        analyzer.explain(x_of(2, 4), 0, layers=["hidden"])
    whole = analyzer.explain(x_of(2, 4), 0, layers=["bent"])
    np.testing.assert_array_equal(whole.relevance, analyzer.analyze(x_of(2, 4), 0))


@pytest.mark.formula
def test_a_chain_over_many_candidates() -> None:
    inputs = keras.Input((60, 2))
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalMaxPooling1D()(inputs)))
    found = create_analyzer("deep_lift", model, maximum="ReluChain").explain(x_of(2, 60, 2), 0)
    assert np.abs(found.completeness_error).max() < 1e-12


def test_a_start_of_ones_own_is_no_option() -> None:
    with pytest.raises(ValueError, match="start of 'deep_lift'"):
        create_analyzer("deep_lift", mlp(), start=[1.0, 2.0, 3.0])


def test_the_first_of_those_that_tie_may_take_all() -> None:
    """As other programs have it. At zeros all candidates tie; then both readings close, on different maps."""
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(layers.MaxPooling2D(2)(inputs))))
    x = -np.abs(x_of(2, 4, 4, 1))  # below the baseline, whose winners then decide
    first, share = (
        create_analyzer("deep_lift", model, maximum=SoftmaxLimit(ties=ties)).explain(x, 1)
        for ties in ("first", "share")
    )
    for found in (first, share):
        assert np.abs(found.completeness_error).max() < 1e-12
    assert not first.relevance[:, 1::2, 1::2].any()
    np.testing.assert_allclose(first.relevance[:, ::2, ::2], 4 * share.relevance[:, ::2, ::2], rtol=1e-12)
