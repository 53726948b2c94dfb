"""The analyzer as users see it: what is explained, with what start, in what batches, and as a value."""

from __future__ import annotations

import inspect
import json
import pathlib
from typing import Any

import keras
import numpy as np
import pytest
from helpers.uncompiled import uncompiled
from keras import layers, ops

import kerasexplain
from kerasexplain import Analyzer, NotFiniteError, create_analyzer, load_analyzer
from kerasexplain.compiler import program
from kerasexplain.rules import ZB, Epsilon, Flat

W = np.array([[1.0, -2.0, 0.5], [3.0, 1.0, -1.0]])
X = np.array([[1.0, 2.5], [-1.0, 0.5], [2.0, -3.0]])


def linear() -> keras.Model:
    """`y = x W`: under the Z rule the relevance of x_i for y_j is x_i W_ij."""
    inputs = keras.Input((2,), dtype="float64")
    model = keras.Model(inputs, layers.Dense(3, use_bias=False, name="dense", dtype="float64")(inputs))
    model.set_weights([W])
    return model


def image_network() -> keras.Model:
    x = inputs = keras.Input((6, 6, 2))
    x = layers.MaxPooling2D(2)(layers.Conv2D(4, 3, padding="same", activation="relu", name="conv1")(x))
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layers.Conv2D(4, 2, activation="relu")(x))))


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(5, 6, 6, 2)).astype("float32")


def of_neurons(neurons: Any) -> np.ndarray:
    return np.stack([x * W[:, j] for x, j in zip(X, neurons, strict=True)])


def test_max_activation_explains_the_largest_output_of_each_sample() -> None:
    explanation = create_analyzer("lrp.z", linear()).explain(X)
    largest = (X @ W).argmax(axis=1)
    np.testing.assert_array_equal(explanation.neuron, largest)
    np.testing.assert_allclose(explanation.relevance, of_neurons(largest))
    np.testing.assert_allclose(explanation.explained, (X @ W).max(axis=1))


@pytest.mark.parametrize(
    ("selection", "neurons"),
    [
        (1, [1, 1, 1]),
        (np.int64(2), [2, 2, 2]),
        (-1, [2, 2, 2]),
        ([0, 2, 1], [0, 2, 1]),
        ((0, 2, 1), [0, 2, 1]),
        (np.array([0, -1, 1], "int8"), [0, 2, 1]),
        (np.array([[0], [2], [1]], "uint8"), [0, 2, 1]),
    ],
)
@pytest.mark.parametrize("mode", ["max_activation", "index", "all"])
def test_an_index_selects_neurons_whatever_the_mode(mode: str, selection: Any, neurons: list[int]) -> None:
    explanation = create_analyzer("lrp.z", linear(), neuron_selection_mode=mode).explain(X, selection)
    np.testing.assert_allclose(explanation.relevance, of_neurons(neurons))
    np.testing.assert_array_equal(explanation.neuron, neurons)


@pytest.mark.parametrize("weights", [np.array([1.0, -1.0, 0.0]), np.array([[1.0, -1.0, 0.0]] * 3), [1.0, -1.0, 0.0]])
def test_floating_weights_explain_a_contrast(weights: Any) -> None:
    explanation = create_analyzer("lrp.z", linear()).explain(X, weights)
    np.testing.assert_allclose(explanation.relevance, of_neurons([0] * 3) - of_neurons([1] * 3))
    np.testing.assert_allclose(explanation.explained, (X @ W)[:, 0] - (X @ W)[:, 1])


def test_all_starts_from_the_whole_output() -> None:
    explanation = create_analyzer("lrp.z", linear(), neuron_selection_mode="all").explain(X)
    np.testing.assert_allclose(explanation.relevance, X * W.sum(axis=1))
    np.testing.assert_allclose(explanation.explained, (X @ W).sum(axis=1))


def test_outputs_of_higher_rank_take_tuples_and_rows(rng: np.random.Generator) -> None:
    inputs = keras.Input((4, 2), dtype="float64")
    model = keras.Model(inputs, layers.Dense(3, use_bias=False, dtype="float64")(inputs))
    model.set_weights([W])
    x = rng.normal(size=(2, 4, 2))
    analyzer = create_analyzer("lrp.z", model)
    by_tuple, by_rows = analyzer.analyze(x, (1, 2)), analyzer.analyze(x, np.array([[1, 2], [-3, -1]]))
    np.testing.assert_allclose(by_tuple[:, 1], x[:, 1] * W[:, 2])
    assert not by_tuple[:, [0, 2, 3]].any()
    np.testing.assert_array_equal(by_rows, by_tuple)
    flat = (x @ W).reshape(2, -1).argmax(axis=1)
    expected = np.stack(np.unravel_index(flat, (4, 3)), axis=-1)
    np.testing.assert_array_equal(analyzer.explain(x).neuron, expected)


def test_outputs_of_unknown_size(rng: np.random.Generator) -> None:
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, layers.Conv2D(3, 3, padding="same", activation="relu")(inputs))
    x = rng.normal(size=(2, 5, 4, 2)).astype("float32")
    explanation = create_analyzer("lrp.epsilon", model).explain(x)
    expected = np.unravel_index(np.asarray(model(x)).reshape(2, -1).argmax(axis=1), (5, 4, 3))
    np.testing.assert_array_equal(explanation.neuron, np.stack(expected, axis=-1))
    weights = np.zeros((5, 4, 3))
    weights[2, 2, 1] = 1.0
    again = create_analyzer("lrp.epsilon", model).analyze(x[:, :, :], weights)
    assert not again[:, 4].any()


@pytest.mark.parametrize("maximum", ["first", "share"])
@pytest.mark.parametrize("shape", [(6, 6, 2), (None, None, 2)])
def test_inputs_of_unknown_size_are_explained_like_known_ones(
    shape: Any, maximum: str, images: np.ndarray, rng: np.random.Generator
) -> None:
    inputs = keras.Input(shape)
    x = layers.MaxPooling2D(2)(layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(inputs))
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalMaxPooling2D()(x)))
    ties = kerasexplain.rules.WinnerTakesAll(ties=maximum)
    analyzer = create_analyzer("lrp.epsilon_plus", model, maximum=ties)
    audit = analyzer.audit(images, 1)
    np.testing.assert_allclose(audit.inputs + audit.biases + audit.lost, audit.explained, rtol=1e-4, atol=1e-6)
    assert analyzer.explain(images, 1, layers=["conv"]).layers["conv"].shape == (5, 6, 6, 4)


def test_start_is_the_output_or_one_or_given() -> None:
    model, y = linear(), X @ W

    def analyze(**options: Any) -> np.ndarray:
        return create_analyzer("lrp.z", model, **options).analyze(X, 1)

    expected = of_neurons([1] * 3)
    np.testing.assert_allclose(analyze(start="output"), expected)
    np.testing.assert_allclose(analyze(start="one"), expected / y[:, 1:2])
    np.testing.assert_allclose(analyze(start=np.array([5.0, 2.0, 7.0])), expected / y[:, 1:2] * 2.0)
    per_sample = np.arange(9.0).reshape(3, 3)
    np.testing.assert_allclose(analyze(start=per_sample), expected / y[:, 1:2] * per_sample[:, 1:2])
    gradient = create_analyzer("gradient", model, start="output").analyze(X, 1)
    np.testing.assert_allclose(gradient, y[:, 1:2] * W[:, 1])
    np.testing.assert_allclose(create_analyzer("gradient", model).analyze(X, 1), np.tile(W[:, 1], (3, 1)))


def test_a_start_of_another_shape_is_refused() -> None:
    with pytest.raises(
        kerasexplain.InputError, match=r"start has shape \(2,\); it must be shaped like the output, \(3,\)"
    ):
        create_analyzer("lrp.z", linear(), start=np.ones(2)).analyze(X)


def test_the_output_of_a_model_with_several_is_chosen(rng: np.random.Generator) -> None:
    inputs = keras.Input((2,))
    first, second = layers.Dense(3, name="first")(inputs), layers.Dense(2, name="second")(inputs)
    model = keras.Model(inputs, [first, second])
    for output, index in ((1, 1), ("second", 1), (-2, 0), ("first", 0)):
        explanation = create_analyzer("lrp.bias_as_input", model, output=output).explain(X, 0)
        np.testing.assert_allclose(explanation.explained, model(X)[index][:, 0], rtol=1e-5)
        assert [o.shape for o in explanation.output] == [(3, 3), (3, 2)]


def test_explaining_the_activation_instead_of_the_logit() -> None:
    inputs = keras.Input((2,), dtype="float64")
    model = keras.Model(inputs, layers.Dense(3, "softmax", use_bias=False, dtype="float64")(inputs))
    model.set_weights([W])
    kept = create_analyzer("gradient", model, explain="activation").analyze(X, 0)
    p = np.asarray(model(X))
    np.testing.assert_allclose(kept, p[:, :1] * (W[:, 0] - p @ W.T), rtol=1e-9)
    np.testing.assert_allclose(create_analyzer("gradient", model).analyze(X, 0), np.tile(W[:, 0], (3, 1)))


@pytest.mark.xla
@pytest.mark.parametrize("name", ["lrp.epsilon_plus_flat", "lrp.gamma", "gradient"])
def test_xla_and_the_plain_graph_agree(name: str, images: np.ndarray) -> None:
    model = image_network()
    plain, xla = (create_analyzer(name, model, jit_compile=jit).analyze(images, 1) for jit in (False, True))
    np.testing.assert_allclose(xla, plain, rtol=1e-3, atol=1e-5 * np.abs(plain).max())


@pytest.mark.parametrize("name", ["lrp.epsilon_plus", "lrp.flat", "lrp.alpha_2_beta_1"])
def test_a_batch_is_its_samples(name: str, images: np.ndarray) -> None:
    analyzer = create_analyzer(name, image_network(), batch_size=2)
    whole = analyzer.explain(images, [0, 1, 2, 0, 1], layers=["conv1"], bias=True)
    analyzer = create_analyzer(name, analyzer.model)
    for i, image in enumerate(images):
        alone = analyzer.explain(image[None], i % 3, layers=["conv1"], bias=True)
        for one, other in (
            (whole.relevance, alone.relevance),
            (whole.layers["conv1"], alone.layers["conv1"]),
            *((whole.bias[key], alone.bias[key]) for key in whole.bias),
        ):
            np.testing.assert_allclose(one[i], other[0], rtol=1e-4, atol=1e-6)


def test_models_with_a_fixed_batch(rng: np.random.Generator) -> None:
    inputs = keras.Input(batch_shape=(4, 2), dtype="float64")
    model = keras.Model(inputs, layers.Dense(3, use_bias=False, dtype="float64")(inputs))
    model.set_weights([W])
    np.testing.assert_allclose(create_analyzer("lrp.z", model).analyze(X, [0, 1, 2]), of_neurons([0, 1, 2]))
    many = rng.normal(size=(11, 2))
    np.testing.assert_allclose(create_analyzer("lrp.z", model).analyze(many, 0), many * W[:, 0])


def test_inputs_are_not_changed_and_calling_is_analyzing(images: np.ndarray) -> None:
    copy = images.copy()
    analyzer = create_analyzer("lrp.epsilon_plus", image_network())
    np.testing.assert_array_equal(analyzer(images, 1), analyzer.analyze(images, 1))
    analyzer.audit(images)
    np.testing.assert_array_equal(images, copy)


def test_verbose_shows_progress_and_changes_nothing(images: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    analyzer = create_analyzer("lrp.epsilon_plus", image_network(), batch_size=2)
    silent = analyzer.analyze(images)
    assert capsys.readouterr().out == ""
    np.testing.assert_array_equal(analyzer.analyze(images, verbose=1), silent)
    assert "5/5" in capsys.readouterr().out


def _networks_with_their_analyzers() -> list[tuple[str, dict[str, Any]]]:
    return [
        ("lrp.epsilon_plus_flat", {"epsilon": 0.1, "neuron_selection_mode": "index", "batch_size": 7}),
        ("lrp", {"rule": [(layers.Conv2D, "Flat"), ("dense*", Epsilon(0.3)), ((layers.Dense,), "Z")]}),
        ("lrp", {"rule": "Alpha2Beta1", "input_layer_rule": (-1.0, 2.0), "input_range": (-5, 5)}),
        ("lrp.epsilon_gamma_box", {"low": np.array([-4.0, -5.0]), "high": 4.5, "start": np.array([1.0, 2, 3])}),
        ("gradient", {"postprocess": "abs", "jit_compile": False, "on_unsupported": "gradient"}),
    ]


@pytest.mark.parametrize(("name", "options"), _networks_with_their_analyzers())
def test_configurations_are_saved_and_loaded(name: str, options: dict[str, Any], tmp_path: pathlib.Path) -> None:
    model = image_network()
    analyzer = create_analyzer(name, model, **options)
    analyzer.save(tmp_path / "analyzer.json")
    loaded = load_analyzer(tmp_path / "analyzer.json", model)
    assert loaded == analyzer
    assert hash(loaded) == hash(analyzer)
    assert loaded.get_config() == analyzer.get_config() == json.loads(json.dumps(analyzer.get_config()))
    assert [row.rule for row in loaded.rows] == [row.rule for row in analyzer.rows]
    assert Analyzer.from_config(analyzer.get_config(), model) == analyzer


def test_analyzers_with_other_options_are_not_equal() -> None:
    model = image_network()
    analyzer = create_analyzer("lrp.epsilon", model, epsilon=0.1)
    assert analyzer == create_analyzer("lrp.epsilon", model, epsilon=0.1)
    assert analyzer != create_analyzer("lrp.epsilon", model, epsilon=0.2)
    assert analyzer != create_analyzer("lrp.epsilon", model, epsilon=0.1, batch_size=3)
    assert analyzer != create_analyzer("lrp.epsilon_IB", model, epsilon=0.1)
    assert analyzer != "lrp.epsilon"
    mode = "".join(["max_", "activation"])  # an equal string that is another object
    assert analyzer == create_analyzer("lrp.epsilon", model, epsilon=0.1, neuron_selection_mode=mode)


def test_a_rule_for_a_predicate_can_be_used_but_not_saved(images: np.ndarray, tmp_path: pathlib.Path) -> None:
    model = image_network()
    analyzer = create_analyzer("lrp", model, rule=[(lambda row: row.first, Flat()), (lambda row: row.kernel, "Z")])
    explanation = analyzer.explain(images, 0)
    expected = create_analyzer("lrp.z", model, input_layer_rule="Flat").analyze(images, 0)
    np.testing.assert_array_equal(explanation.relevance, expected)
    explanation.save(tmp_path / "explanation.h5")
    assert analyzer == analyzer
    with pytest.raises(TypeError, match="cannot be saved"):
        analyzer.save(tmp_path / "analyzer.json")


def test_files_that_hold_no_analyzer_are_refused(tmp_path: pathlib.Path) -> None:
    for text in ("not json", "[1, 2]", '{"other": 1}'):
        (tmp_path / "file.json").write_text(text)
        with pytest.raises(ValueError, match=r"file\.json' holds no analyzer"):
            load_analyzer(tmp_path / "file.json", linear())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lrp.epsilonn", {}, r"no analyzer 'lrp\.epsilonn'.*'lrp\.epsilon'"),
        ("lrp.epsilon", {"epsilom": 1}, r"'lrp\.epsilon' has no option 'epsilom'.*'epsilon'"),
        ("lrp", {}, r"'lrp' needs rule= \(on the command line: -O rule=\.\.\.\); print\(.*`kerasexplain list lrp`"),
        ("lrp.epsilon_gamma_box", {"low": 0}, "needs .*high"),
        ("lrp.alpha_beta", {"alpha": 2, "beta": 2}, "alpha - beta must be 1"),
        ("lrp.alpha_beta", {"alpha": 0.5, "beta": -0.5}, "alpha must be at least 1"),
        ("lrp.alpha_beta", {}, "needs alpha or beta"),
        ("lrp.epsilon", {"epsilon": -1}, "epsilon must .*not .*negative, got -1"),
        ("lrp.gamma", {"gamma": -1}, "gamma must .*not .*negative, got -1"),
        ("lrp.z", {"stabilizer": -1.0}, "stabilizer must .*not .*negative, got -1"),
        ("deep_taylor.bounded", {"low": 1, "high": 1}, "low must be below high, got low=1, high=1"),
        ("lrp", {"rule": "Epsilonn"}, "no rule 'Epsilonn'.*'Epsilon'"),
        ("lrp", {"rule": [("dense", "Z", 1)]}, r"list of \(match, rule\) pairs"),
        ("gradient", {"postprocess": "square_root"}, "postprocess must be one of"),
        ("lrp.z", {"neuron_selection_mode": "max"}, "neuron_selection_mode must be one of 'max_activation'"),
        ("lrp.z", {"jit_compile": 1}, "jit_compile must be one of 'auto', True, False, got 1"),
        ("lrp.z", {"explain": "logit"}, "explain must be one of 'logits'"),
        ("lrp.z", {"start": "two"}, "start of 'lrp.z' must be one of None, 'output', 'one'"),
        ("lrp.z", {"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ("lrp.z", {"batch_size": 2.0}, "batch_size must be an integer"),
        ("lrp.z", {"input_range": (1, 0)}, r"input_range must be \(low, high\) with low < high"),
        ("lrp.z", {"on_unsupported": "ignore"}, "on_unsupported must be one of"),
    ],
)
def test_options_that_are_not_legal_are_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_analyzer(name, linear(), **options)


def test_legal_options_at_the_edge() -> None:
    create_analyzer("lrp.alpha_beta", linear(), alpha=1.4, beta=0.4)
    (inferred,) = create_analyzer("lrp.alpha_beta", linear(), beta=1).rows
    assert (inferred.rule.alpha, inferred.rule.beta) == (2, 1)
    assert create_analyzer("lrp.z", linear(), input_layer_rule=(0, [1, 2])).rows[0].rule == ZB(0, [1, 2])
    inputs = keras.Input((3,))
    without_weights = keras.Model(inputs, ops.relu(inputs))
    np.testing.assert_array_equal(create_analyzer("lrp.z", without_weights).analyze(np.array([[1, 3, 2]])), [[0, 3, 0]])


def test_repr_and_name() -> None:
    analyzer = create_analyzer("lrp.epsilon", linear(), epsilon=0.5)
    assert analyzer.name == "lrp.epsilon"
    assert repr(analyzer).endswith(": EpsilonMethod(epsilon=0.5)>")


def cancelling() -> keras.Model:
    """Two layers in which contributions cancel to 1e-30 of themselves."""
    one, two = layers.Dense(1, use_bias=False, name="one"), layers.Dense(1, use_bias=False, name="two")
    model = keras.Sequential([keras.Input((2,)), one, two])
    one.set_weights([np.array([[1e30], [-1e30]])])
    two.set_weights([np.array([[1.0]])])
    return model


def test_relevance_that_overflows_is_an_error_that_names_the_operation() -> None:
    analyzer = create_analyzer("lrp", cancelling(), rule="Z", start="one")
    assert np.isfinite(analyzer.analyze(np.array([[1.0, 0.5]]))).all()
    start = create_analyzer("lrp", cancelling(), rule=[("two", "Z"), ("one", "Z")], start=np.array([3e38]))
    with pytest.raises(NotFiniteError, match=r"relevance overflows float32 \(1 of 2 samples, the first is number 1\)"):
        start.analyze(np.array([[1.0, 0.0], [1.0, 1.0 - 1e-7]]), 0)


def test_a_model_that_gives_no_number_is_an_error() -> None:
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, kernel_initializer=keras.initializers.Constant(3e38))])
    with pytest.raises(NotFiniteError, match="the model's own output"):
        create_analyzer("lrp.z", model).analyze(np.array([[1.0, 5.0]]))


def test_seven_calls_lie_between_analyze_and_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/design.md says: who reads the code follows a batch through these."""
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    package, found = str(pathlib.Path(kerasexplain.__file__).parent), []

    def recording(*arguments: Any) -> Any:
        frames = reversed(inspect.stack(context=0))
        found.extend(frame.function for frame in frames if frame.filename.startswith(package))
        return pull_back(*arguments)

    pull_back = program.pull_back
    monkeypatch.setattr(program, "pull_back", recording)
    with uncompiled():  # whose stand-in is in the place of the compiled function
        kerasexplain.create_analyzer("lrp.epsilon", model).analyze(np.ones((2, 3), "float32"))
    calls = [name for name in found if name != "<listcomp>"]
    assert calls == ["analyze", "explanations", "answer", "copies", "__call__", "_with_relevance"]
