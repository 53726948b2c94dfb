"""Assign: which operation gets which rule, and how it is shown."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from helpers.backends import BACKEND, of_the_backend, untranslated
from keras import layers

import kerasexplain
from kerasexplain import Composite, UnsupportedModelError, create_analyzer
from kerasexplain.matches import Kernels, Named, UntilLayer, convolution, first_kernel, last_kernel
from kerasexplain.rules import (
    ZB,
    AlphaBeta,
    Epsilon,
    Flat,
    Halve,
    Ignore,
    PassThrough,
    SignalTakesAll,
    WSquare,
    Z,
    ZPlus,
)

pytestmark = pytest.mark.once("which operation follows which rule is decided before anything is computed")


def network() -> keras.Model:
    x = inputs = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, name="conv1")(x)
    x = layers.ReLU(name="relu1")(layers.BatchNormalization(name="norm1")(x))
    x = layers.AveragePooling2D(2, name="pool")(x)
    x = layers.Conv2D(4, 2, activation="relu", name="conv2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(6, "tanh", name="dense1")(x)
    return keras.Model(inputs, layers.Dense(3, name="dense2")(x))


def chosen(rule: Any = "Epsilon", **options: Any) -> dict[str, str]:
    analyzer = create_analyzer("lrp", network(), rule=rule, **options)
    return {row.name: repr(row.rule) for row in analyzer.rows if row.rule is not None}


def test_one_rule_is_for_operations_with_a_kernel_alone() -> None:
    rules = chosen(ZPlus())
    assert {name for name, rule in rules.items() if rule == "ZPlus()"} == {"conv1", "conv2", "dense1", "dense2"}
    assert {name for name, rule in rules.items() if rule == "Ignore()"} == {"relu1", "conv2/relu", "dense1/tanh"}
    assert "pool" not in rules


def test_the_first_match_wins_and_matches_are_classes_tuples_globs_and_predicates() -> None:
    rules = chosen(
        [
            ("conv2", "Flat"),
            (lambda row: row.name == "dense1", "ZPlus"),
            ((layers.Conv2D, layers.Conv1D), Z()),
            ("dense?", Epsilon(0.5)),
            (layers.Dense, WSquare()),
        ]
    )
    expected = {"conv1": Z(), "conv2": Flat(), "dense1": ZPlus(), "dense2": Epsilon(0.5)}
    assert {name: rules[name] for name in expected} == {name: repr(rule) for name, rule in expected.items()}


def test_an_explicit_match_gives_a_linear_rule_to_pooling_and_other_rules_to_their_kinds() -> None:
    rules = chosen([("pool", "Flat"), ("dense1*", "GradientRule"), (lambda row: row.kernel, "Z")])
    assert rules["pool"] == "Flat()"
    assert rules["dense1/tanh"] == "GradientRule()"
    assert rules["dense1"] == "Z()"


def test_folded_layers_are_found_by_their_own_names() -> None:
    assert chosen([("norm1", "ZPlus"), ("*", "Z")])["conv1"] == "ZPlus()"
    analyzer = create_analyzer("lrp.z", network())
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 3))
    found = analyzer.explain(x, layers=["norm1", "conv1"]).layers
    assert found["conv1"].any()
    np.testing.assert_array_equal(found["norm1"], found["conv1"])


def test_a_glob_that_matches_nothing_is_an_error_that_lists_the_operations() -> None:
    with pytest.raises(ValueError, match=r"no operation is named 'block\*'.*conv1, relu1, pool"):
        chosen([("block*", "Z"), ("*", "Epsilon")])


def test_a_rule_for_an_operation_it_is_not_for_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"Halve.*not for operations such as 'pool' \(AveragePooling2D\)"):
        chosen([("pool", "Halve"), ("*", "Epsilon")])


def test_an_operation_that_no_rule_matches_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no rule matches the operation 'conv1' \(Conv2D \+ BatchNormalization\)"):
        chosen([("dense*", "Epsilon")])


@pytest.mark.parametrize(("given", "rule"), [("Flat", Flat()), ((-1, 2), ZB(-1, 2)), (WSquare(), WSquare())])
def test_input_layer_rule_is_for_the_first_kernel_operation(given: Any, rule: Any) -> None:
    rules = chosen(input_layer_rule=given)
    assert [name for name, shown in rules.items() if shown == repr(rule)] == ["conv1"]


def test_input_layer_rule_is_for_every_kernel_operation_that_an_input_reaches_first() -> None:
    x, other = keras.Input((8,), name="x"), keras.Input((8,), name="other")
    first, second = layers.Dense(4, name="first")(2 * x), layers.Dense(4, name="second")(layers.ReLU()(other))
    third = layers.Dense(4, name="third")(layers.Concatenate()([first, x]))  # also reads x itself
    model = keras.Model([x, other], layers.Dense(2, name="last")(third + second))
    rows = create_analyzer("lrp.epsilon_plus_flat", model).rows
    assert {row.name for row in rows if row.rule == Flat()} == {"first", "second", "third"}


def test_until_layer_idx_counts_model_layers() -> None:
    model = network()
    index = [layer.name for layer in model.layers].index("conv2")
    rows = create_analyzer("lrp", model, rule="Z", until_layer_idx=index, until_layer_rule="Flat").rows
    assert [row.name for row in rows if row.rule == Flat()] == ["conv1", "conv2"]
    before = create_analyzer("lrp", model, rule="Z", until_layer_idx=index - 1, until_layer_rule="Flat").rows
    assert [row.name for row in before if row.rule == Flat()] == ["conv1"]
    with pytest.raises(ValueError, match="go together"):
        create_analyzer("lrp", model, rule="Z", until_layer_idx=2)


def test_until_layer_idx_counts_a_nested_model_as_one_layer() -> None:
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="a"), layers.Dense(4, name="b")])
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="c"), inner, layers.Dense(2, name="d")])
    rows = create_analyzer("lrp", model, rule="Z", until_layer_idx=1, until_layer_rule="Flat").rows
    assert [row.rule == Flat() for row in rows] == [True, True, True, False]


def test_presets_give_convolutions_and_dense_operations_their_rules() -> None:
    rules = {row.name: row.rule for row in create_analyzer("lrp.epsilon_plus_flat", network()).rows}
    assert rules["conv1"] == Flat()
    assert rules["conv2"] == AlphaBeta(1.0, 0.0)
    assert rules["dense1"] == rules["dense2"] == Epsilon(1e-6)


def test_the_stabilizer_reaches_every_rule_that_has_none_of_its_own() -> None:
    rules = chosen([("conv1", ZPlus(stabilizer=0.5)), ("conv2", ZPlus()), ("*", Epsilon(0.25))], stabilizer=1e-3)
    assert rules["conv1"] == repr(ZPlus(stabilizer=0.5))
    assert rules["conv2"] == repr(ZPlus(stabilizer=1e-3))
    assert rules["dense2"] == repr(Epsilon(0.25))


def test_printing_an_analyzer_shows_one_row_per_operation() -> None:
    text = str(create_analyzer("lrp.epsilon_plus", network()))
    assert text.splitlines()[0].startswith("lrp.epsilon_plus of ")
    for row in ("conv1", "relu1", "pool", "conv2", "conv2/relu", "flatten", "dense1", "dense1/tanh", "dense2"):
        (line,) = (line for line in text.splitlines() if line.split()[:1] == [row])
        assert "unsupported" not in line
    assert "Conv2D + BatchNormalization" in text
    assert "[0, inf)" in next(line for line in text.splitlines() if line.split()[:1] == ["pool"])
    assert "(None, 6, 6, 4)" in text


def _with_strangers() -> keras.Model:
    class Odd(layers.Layer):
        def call(self, x: Any) -> Any:
            return of_the_backend(x)

    inputs = keras.Input((4,))
    x = Odd(name="odd1")(layers.Dense(4, name="dense")(inputs))
    return keras.Model(inputs, layers.Dense(2, name="last")(Odd(name="odd2")(x)))


#: On TensorFlow layers are opened all the same, and it is the operation that is not understood.
INSIDE = "/Cumsum" if BACKEND == "tensorflow" else ""


def test_all_unsupported_operations_are_listed_with_the_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    untranslated(monkeypatch)
    with pytest.raises(UnsupportedModelError) as error:
        create_analyzer("lrp.z", _with_strangers())
    message = str(error.value)
    assert message.startswith("2 of the model's 4 operations")
    for name in ("odd1", "odd2"):
        said = f"{name} (Odd): its code does not run on symbolic tensors"
        if BACKEND == "tensorflow":
            said = f"{name}/Cumsum (Cumsum): the TensorFlow operation 'Cumsum' (Cumsum, made in "
        assert said in message
    assert "register_leaf" in message
    assert 'on_unsupported="gradient"' in message


def test_unsupported_operations_may_be_passed_by_their_gradient_and_are_marked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    untranslated(monkeypatch)
    analyzer = create_analyzer("lrp.z", _with_strangers(), on_unsupported="gradient")
    lines = {line.split()[0]: line for line in str(analyzer).splitlines() if line.strip()}
    assert "unsupported" in lines[f"odd1{INSIDE}"]
    assert "unsupported" in lines[f"odd2{INSIDE}"]
    assert "unsupported" not in lines["dense"]
    assert [row.supported for row in analyzer.rows] == [True, False, False, True]


def test_pass_through_makes_a_stranger_s_operation_supported_and_conserves(monkeypatch: pytest.MonkeyPatch) -> None:
    untranslated(monkeypatch)
    analyzer = create_analyzer("lrp", _with_strangers(), rule=[("odd?*", PassThrough()), (layers.Dense, Z())])
    assert all(row.supported for row in analyzer.rows)
    assert "unsupported" not in str(analyzer)
    audit = analyzer.audit(np.random.default_rng(0).normal(size=(3, 4)))
    for row in audit.rows[1:3]:
        np.testing.assert_array_equal(row.received, row.delivered)
    assert np.abs(audit.rows[1].received).min() > 0


def test_products_recognise_gates() -> None:
    inputs = keras.Input((4,))
    gate, other = layers.Dense(4, "sigmoid")(inputs), layers.Dense(4, "sigmoid")(inputs)
    signal = layers.Dense(4)(inputs)
    outputs = layers.Concatenate()(
        [
            layers.Multiply(name="gated")([signal, gate]),
            layers.Multiply(name="gates")([gate, other]),
            layers.Multiply(name="signals")([signal, layers.Dense(4)(inputs)]),
        ]
    )
    model = keras.Model(inputs, outputs)
    rules = {row.name: row.rule for row in create_analyzer("lrp.z", model).rows}
    assert rules["gated"] == SignalTakesAll()
    assert rules["gates"] == rules["signals"] == Halve()


def test_nothing_but_gates_share_equally_even_under_signal_takes_all(rng: np.random.Generator) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Multiply(name="m")([layers.Activation("sigmoid")(inputs), inputs**2]))
    gates = keras.Model(inputs, layers.Multiply(name="m")([keras.ops.sigmoid(inputs), keras.ops.sigmoid(2 * inputs)]))
    x = rng.normal(size=(3, 4))
    halved, taken = (create_analyzer("lrp", gates, rule=[("m", r)]).analyze(x) for r in ("Halve", "SignalTakesAll"))
    np.testing.assert_array_equal(halved, taken)
    assert create_analyzer("lrp", model, rule=[("m", "SignalTakesAll")]).analyze(x).any()


def test_composites_are_values() -> None:
    composite = Composite(rules=[(convolution, ZPlus()), (UntilLayer(3), Flat()), ("*", Epsilon(0.1))], stabilizer=1e-3)
    again = Composite.from_config(composite.get_config())
    assert again == composite
    assert again != Composite(rules=composite.rules)
    assert Composite().elementwise == Ignore()
    with pytest.raises(TypeError, match="cannot be saved"):
        Composite(rules=[(lambda row: True, Z())]).get_config()


def test_rows_say_what_is_known() -> None:
    rows = {row.name: row for row in create_analyzer("lrp.z", network(), input_range=(0, 1)).rows}
    assert str(rows["conv1"].domain) == "[0, 1]"
    assert rows["conv1"].first
    assert rows["conv1"].kernel
    assert rows["conv1"].convolution
    assert not rows["conv2"].first
    assert rows["dense1"].kernel
    assert not rows["dense1"].convolution
    assert rows["pool"].domain.nonnegative
    assert rows["dense2"].input_shapes == ((None, 6),)
    assert rows["dense1/tanh"].type == "tanh"
    assert kerasexplain.create_analyzer("gradient", network()).rows[0].rule is None


def test_matches_by_position() -> None:
    rules = chosen([(first_kernel, "Flat"), (last_kernel, "Z"), (Kernels(1, 1), "WSquare"), (Kernels(0, 9), "ZPlus")])
    expected = {"conv1": "Flat()", "conv2": "WSquare()", "dense1": "ZPlus()", "dense2": "Z()"}
    assert {name: rules[name] for name in expected} == expected


def test_a_name_with_brackets_is_matched_exactly() -> None:
    x = inputs = keras.Input((4,))
    for name in ("a", "[a]"):
        x = layers.Dense(3, name=name)(x)
    analyzer = create_analyzer("lrp", keras.Model(inputs, x), rule=[(Named("[a]"), "Z"), (layers.Dense, "ZPlus")])
    assert [repr(row.rule) for row in analyzer.rows] == ["ZPlus()", "Z()"]


def test_one_layer_of_a_preset_is_overridden() -> None:
    analyzer = create_analyzer("lrp.epsilon_plus", network(), override=[("conv2", "Flat"), (layers.ReLU, "Slope")])
    rules = {row.name: repr(row.rule) for row in analyzer.rows}
    assert rules["conv2"] == "Flat()"
    assert rules["relu1"] == "Slope()"
    assert rules["conv1"] == "AlphaBeta(1.0, 0.0)"
    again = kerasexplain.Analyzer.from_config(analyzer.get_config(), analyzer.model)
    assert again == analyzer


def test_rules_of_another_analyzer_in_a_list() -> None:
    merged = chosen([("dense2", "Flat"), "lrp.epsilon_alpha2_beta1"])
    assert merged["dense2"] == "Flat()"
    assert merged["conv1"] == "AlphaBeta()"
    assert merged["dense1"] == "Epsilon(1e-06)"
    for wrong, message in (("gradient", "lrp method"), ("lrp.epsilon_pluss", "lrp.epsilon_plus"), (3, "pairs")):
        with pytest.raises(ValueError, match=message):
            chosen([wrong])


def test_the_table_says_what_each_row_matched() -> None:
    pairs = [("conv2", "Flat"), (layers.Conv2D, "Z"), (UntilLayer(4), "ZPlus"), (last_kernel, "Epsilon")]
    analyzer = create_analyzer("lrp", network(), rule=[*pairs, ((layers.Dense, layers.EinsumDense), "WSquare")])
    matched = {row.name: row.matched for row in analyzer.rows}
    assert matched["conv2"] == "'conv2'"
    assert matched["conv1"] == "Conv2D"
    assert matched["dense2"] == "last_kernel"
    assert matched["dense1"] == "Dense or EinsumDense"
    assert matched["relu1"] == ""
    assert "Dense or EinsumDense" in str(analyzer)


def test_a_rule_for_maxima_by_name() -> None:
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(2)])
    assert "Radial()" in [repr(row.rule) for row in create_analyzer("lrp.z", model, maximum="Radial").rows]
    with pytest.raises(ValueError, match="rule for maxima"):
        create_analyzer("lrp.z", model, maximum="Flat")


@pytest.mark.parametrize("override", [("conv1", "Flat"), {"conv1": "Flat"}, "Flat"])
def test_overrides_are_a_list_of_pairs(override: Any) -> None:
    with pytest.raises(ValueError, match="override must be a list"):
        create_analyzer("lrp.z", network(), override=override)
