"""The explanation: what it holds, and that a file holds the same."""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from kerasexplain import Explanation, create_analyzer


def network(kind: str) -> keras.Model:
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    x = layers.Dense(3, "relu", name="hidden")(a - b)
    outputs: Any = {"one": layers.Dense(2, name="head")(x), "two": layers.Dense(3)(x)}
    inputs = {"list": [a, b], "tuple": (a, b), "dict": {"a": a, "b": b}}[kind]
    return keras.Model(inputs, outputs)


def explanation_of(kind: str, **options: Any) -> Explanation:
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(3, 4)), rng.normal(size=(3, 4))]
    given: Any = {"list": x, "tuple": tuple(x), "dict": {"a": x[0], "b": x[1]}}[kind]
    analyzer = create_analyzer("lrp.bias_as_input", network(kind), output="one", start=np.array([1.0, 2.0]))
    return analyzer.explain(given, layers=["hidden", "hidden/relu"], bias=True, **options)


def test_fields() -> None:
    explanation = explanation_of("list")
    assert set(explanation.bias) == {"hidden", "head"}
    assert explanation.bias["hidden"].shape == (3, 3)
    assert set(explanation.layers) == {"hidden", "hidden/relu"}
    assert explanation.output["one"].shape == (3, 2)
    np.testing.assert_array_equal(explanation.neuron, explanation.output["one"].argmax(axis=1))
    np.testing.assert_array_equal(explanation.explained, explanation.output["one"].max(axis=1))
    assert explanation.analyzer["analyzer"] == "lrp.bias_as_input"


def test_an_audit_is_saved_with_the_rest(tmp_path: pathlib.Path) -> None:
    explanation = explanation_of("dict", audit=True)
    explanation.save(tmp_path / "e.h5")
    loaded = Explanation.load(tmp_path / "e.h5")
    assert str(loaded.audit) == str(explanation.audit)
    assert loaded.audit is not None
    np.testing.assert_array_equal(loaded.audit.rows[0].bias, explanation.audit.rows[0].bias)  # type: ignore[union-attr]


def test_layers_and_biases_are_empty_unless_asked_for() -> None:
    inputs = keras.Input((4,))
    explanation = create_analyzer("lrp.z", keras.Model(inputs, layers.Dense(2)(inputs))).explain(np.ones((1, 4)))
    assert explanation.layers == {}
    assert explanation.bias == {}


def test_the_relevance_of_a_layer_is_what_the_layers_above_give_it() -> None:
    explanation = explanation_of("list")
    linear, rectified = explanation.layers["hidden"], explanation.layers["hidden/relu"]
    np.testing.assert_allclose(linear, rectified, rtol=1e-6)  # a ReLU passes relevance as it is
    total = rectified.sum(axis=1) + explanation.bias["head"].sum(axis=1)
    started = np.array([1.0, 2.0])[explanation.neuron]
    np.testing.assert_allclose(total, started, rtol=1e-5)
    below = sum(r.sum(axis=1) for r in explanation.relevance) + explanation.bias["hidden"].sum(axis=1)
    np.testing.assert_allclose(below, linear.sum(axis=1), rtol=1e-4, atol=1e-5)


def test_a_layer_asked_for_twice_or_with_others_is_the_same() -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(2)(layers.Dense(3, name="d")(inputs)))
    analyzer, x = create_analyzer("lrp.z", model), np.ones((2, 4))
    once = analyzer.explain(x, layers=["d"]).layers["d"]
    assert once.any()
    np.testing.assert_array_equal(analyzer.explain(x, layers=["d", "d"]).layers["d"], once)
    np.testing.assert_allclose(analyzer.explain(x, layers=["d"], bias=True).layers["d"], once, rtol=1e-6)


def test_an_unknown_layer_is_named_with_the_nearest() -> None:
    inputs = keras.Input((4,))
    analyzer = create_analyzer("lrp.z", keras.Model(inputs, layers.Dense(2, name="dense_one")(inputs)))
    with pytest.raises(ValueError, match=r"no operation is named 'dense_on'.*'dense_one'"):
        analyzer.explain(np.ones((1, 4)), layers=["dense_on"])


@pytest.mark.parametrize("kind", ["list", "tuple", "dict"])
@pytest.mark.parametrize("selection", [None, [1, 0, 1], np.array([0.5, -0.5])])
def test_a_file_holds_everything(kind: str, selection: Any, tmp_path: pathlib.Path) -> None:
    explanation = explanation_of(kind, neuron_selection=selection)
    explanation.save(tmp_path / "explanation.h5")
    loaded = Explanation.load(str(tmp_path / "explanation.h5"))
    for field in ("relevance", "bias", "layers", "output", "neuron", "explained"):
        one, other = getattr(explanation, field), getattr(loaded, field)
        keras.tree.assert_same_structure(one, other)
        assert type(one) is type(other)
        for a, b in zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
    assert loaded.analyzer == explanation.analyzer


def test_an_explanation_tells_of_which_model_it_is() -> None:
    def made(units: int) -> dict[str, str]:
        inputs = keras.Input((2,), name="x")
        model = keras.Model(inputs, keras.layers.Dense(units, name="dense")(inputs), name="judge")
        return create_analyzer("lrp.epsilon", model).explain(np.ones((1, 2))).analyzer["model"]

    assert made(3)["name"] == "judge"
    assert made(3) == made(3)
    assert made(3) != made(2)


def test_the_order_of_a_dict_and_a_neuron_in_words_are_kept(tmp_path: pathlib.Path) -> None:
    inputs = keras.Input((2,))
    analyzer = create_analyzer("lrp.z", keras.Model(inputs, inputs * 2.0), neuron_selection_mode="all")
    analyzer.explain(np.ones((1, 2))).save(tmp_path / "a.h5")
    assert Explanation.load(tmp_path / "a.h5").neuron == "all"


def test_a_file_without_an_explanation_is_refused(tmp_path: pathlib.Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["relevance"] = [1.0]
    with pytest.raises(ValueError, match=r"other\.h5' holds no explanation"):
        Explanation.load(tmp_path / "other.h5")


def table(**changes: Any) -> Explanation:
    held = {
        "relevance": np.array([[1.0, -2.0], [0.5, 3.0]]),
        "bias": {},
        "layers": {},
        "output": np.array([[1.5], [2.5]]),
    }
    held |= {"neuron": np.array([0, 0]), "explained": np.array([1.5, 2.5]), "analyzer": {}}
    return Explanation(**(held | changes))


@pytest.mark.once("about a picture")
def test_a_file_of_another_kind_is_not_written(tmp_path: pathlib.Path) -> None:
    explanation = explanation_of("list")
    for name, way in (("map.png", "to_image"), ("map.NPZ", r"np\.save"), ("map.svg", "savefig"), ("map.csv", "to_csv")):
        with pytest.raises(ValueError, match=rf"save writes an HDF5 file.*{name}.*{way}"):
            explanation.save(tmp_path / name)
        assert not (tmp_path / name).exists()
    explanation.save(tmp_path / "without suffix")
    loaded = Explanation.load(tmp_path / "without suffix")
    np.testing.assert_array_equal(loaded.explained, explanation.explained)


def test_a_figure_says_what_was_explained() -> None:
    pytest.importorskip("matplotlib")
    figure = table().to_figure(names=["age", "size"], sample=1)
    assert figure.get_suptitle() == "output: 2.5"  # of regression: there is nothing to choose from
    widths = [patch.get_width() for patch in figure.subfigs[0].axes[0].patches]
    assert widths == [3.0, 0.5]
    assert table(output=np.zeros((2, 4))).to_figure().get_suptitle() == "output 0: 1.5"
    assert table().to_figure(title="mine").get_suptitle() == "mine"
    with pytest.raises(ValueError, match="sample must be from 0 to 1, got 2"):
        table().to_figure(sample=2)


@pytest.mark.once("about a picture")
def test_a_model_of_several_inputs_has_one_figure() -> None:
    pytest.importorskip("matplotlib")
    for kind in ("list", "dict"):
        figure = explanation_of(kind).to_figure()
        assert [panel.axes[0].get_title() for panel in figure.subfigs] == (
            ["a", "b"] if kind == "dict" else ["input 0", "input 1"]
        )


@pytest.mark.once("about a picture")
def test_a_waterfall_from_the_share_of_biases_arrives() -> None:
    visualize = pytest.importorskip("kerasexplain.visualize")
    inputs = keras.Input((4,))
    hidden = layers.Dense(6, "relu", bias_initializer="ones")(inputs)
    model = keras.Model(inputs, layers.Dense(2, bias_initializer="ones")(hidden))
    x = np.random.default_rng(0).normal(size=(3, 4))
    found = create_analyzer("lrp.bias_as_input", model).explain(x, bias=True)
    share = sum(bias.reshape(3, -1).sum(axis=1) for bias in found.bias.values())
    for start, is_lost in ((share, False), (None, True)):
        ax = visualize.waterfall(found.relevance, found.explained, start).axes[0]
        assert ("lost" in [label.get_text() for label in ax.get_yticklabels()]) == is_lost


@pytest.mark.once("about pandas")
def test_a_dataframe_has_a_row_per_sample_and_a_column_per_feature() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is optional")
    x = pandas.DataFrame({"age": [41.0, 3.0], "size": [1.0, 2.0]}, index=["Ann", "Bob"])
    expected = pandas.DataFrame([[1.0, -2.0], [0.5, 3.0]], columns=["age", "size"], index=["Ann", "Bob"])
    pandas.testing.assert_frame_equal(table().to_dataframe(x=x), expected)
    assert list(table().to_dataframe(["a", "b"]).columns) == ["a", "b"]
    several = table(relevance={"age": np.array([[1.0], [2.0]]), "lab": np.array([[3.0, 4.0], [5.0, 6.0]])})
    frame = several.to_dataframe()
    assert list(frame.columns) == ["age", "lab[0]", "lab[1]"]
    assert frame.to_numpy().tolist() == [[1.0, 3.0, 4.0], [2.0, 5.0, 6.0]]
    with pytest.raises(ValueError, match="must be that of a table"):
        table(relevance=np.zeros((2, 4, 4, 3))).to_dataframe()


@pytest.mark.once("about pandas")
def test_a_dataframe_needs_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        table().to_dataframe()
