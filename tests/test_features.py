"""Features of tables: from arrays, DataFrames, and one array per input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasexplain.features import Features, features_of, is_binary, ranked
from kerasexplain.labels import distinct, number, signed

pytestmark = pytest.mark.once("names and sums of arrays")

R = np.array([[1.0, -2.0, 0.5, 4.0], [0.0, 1.0, 1.0, -1.0]])


class Frame:
    """As much of a DataFrame as is looked at."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns = list(columns)
        self._held = columns

    def __getitem__(self, name: str) -> np.ndarray:
        return np.array(self._held[name], dtype=object)

    def __contains__(self, name: str) -> bool:
        return name in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def to_numpy(self, dtype: Any = None) -> np.ndarray:
        return np.array([self._held[name] for name in self.columns], dtype=dtype).T


def test_columns_have_numbers_unless_they_have_names() -> None:
    assert features_of(R).names == ("feature 0", "feature 1", "feature 2", "feature 3")
    assert features_of(R, names=list("abcd")).names == ("a", "b", "c", "d")
    np.testing.assert_array_equal(features_of(R).relevance, R)


def test_a_frame_names_columns_and_has_values_of_any_kind() -> None:
    frame = Frame({"age": [41, 3], "town": ["Bonn", None], "x": [0.123456, np.nan], "is_new": [True, False]})
    found = features_of(R, frame)
    labels = [[found.label(sample, i) for i in range(4)] for sample in range(2)]
    assert labels == [
        ["age = 41", "town = Bonn", "x = 0.1235", "is_new = True"],
        ["age = 3", "town", "x", "is_new = False"],
    ]
    np.testing.assert_array_equal(found.numbers(0), [41, 3])
    assert np.isnan(found.numbers(1)).all()
    np.testing.assert_array_equal(found.numbers(2), [0.123456, np.nan])


def test_pandas_frames_are_frames() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is optional")
    frame = pandas.DataFrame({"age": [41, 3], "town": pandas.Categorical(["Bonn", "Ulm"]), "x": [1.5, pandas.NA]})
    found = features_of(R[:, :3], frame)
    assert [found.label(1, i) for i in range(3)] == ["age = 3", "town = Ulm", "x"]
    again = features_of(pandas.DataFrame(R, columns=list("abcd")))
    assert again.names == ("a", "b", "c", "d")


def test_columns_of_one_name_are_one_feature() -> None:
    values = np.array([[7.0, 0, 1, 5], [8.0, 1, 0, 6]])
    found = features_of(R, values, ["age", "town", "town", "size"])
    assert found.names == ("age", "town", "size")
    np.testing.assert_array_equal(found.relevance, [[1.0, -1.5, 4.0], [0.0, 2.0, -1.0]])
    assert [found.label(sample, 1) for sample in range(2)] == ["town = column 1", "town = column 0"]
    assert np.isnan(found.numbers(1)).all()
    assert features_of(R, values, ["a", "b", "b", "b"]).label(0, 1) == "b"  # no one-hot code: 0, 1, 5
    assert features_of(R, names=["a", "b", "b", "c"], summed=False).names == ("a", "b", "b", "c")


def test_inputs_by_name_are_features() -> None:
    relevance = {"age": R[:, :1], "town": R[:, 1:3], "size": R[:, 3]}
    values = {"age": [[41], [3]], "town": [["Bonn"], ["Ulm"]], "size": np.array([1, 2])}
    found = features_of(relevance, values)
    assert found.names == ("age", "town", "size")
    np.testing.assert_array_equal(found.relevance, [[1.0, -1.5, 4.0], [0.0, 2.0, -1.0]])
    assert [found.label(0, i) for i in range(3)] == ["age = 41", "town = Bonn", "size = 1"]
    frame = Frame({"size": [1, 2], "age": [41, 3], "town": ["Bonn", "Ulm"]})
    assert features_of(relevance, frame).label(1, 1) == "town = Ulm"
    told = features_of(relevance, names={"age": "Age", "town": "Town"})
    assert told.names == ("Age", "Town", "size")
    np.testing.assert_array_equal(told.relevance, found.relevance)


def test_columns_of_inputs_have_both_names() -> None:
    relevance = {"age": R[:, :1], "lab": R[:, 1:]}
    assert features_of(relevance, summed=False).names == ("age", "lab[0]", "lab[1]", "lab[2]")
    named = features_of(relevance, names={"lab": ["K", "Na", "Cl"]})
    assert named.names == ("age", "lab[K]", "lab[Na]", "lab[Cl]")
    np.testing.assert_array_equal(named.relevance, R)
    framed = features_of(relevance, {"age": R[:, :1], "lab": Frame({key: [1, 2] for key in "xyz"})}, summed=False)
    assert framed.names == ("age", "lab[x]", "lab[y]", "lab[z]")


def test_a_list_of_arrays_is_one_of_inputs_and_a_list_of_lists_a_table() -> None:
    assert features_of([R[:, :1], R[:, 1]]).names == ("input 0", "input 1")
    assert features_of([R[:, :1], R[:, 1:3]], names=["a", "b"]).names == ("a", "b")
    assert features_of([R[:, :1], R[:, 1]], [[[41], [3]], ["Bonn", "Ulm"]]).label(1, 1) == "input 1 = Ulm"
    assert features_of(R.tolist()).names == features_of(R).names


def test_a_dict_of_one_entry_is_that_entry() -> None:
    found = features_of({"x": R}, {"x": R}, list("abcd"))
    assert found.names == ("a", "b", "c", "d")
    assert features_of({"x": R}, names={"x": list("abcd")}).names == found.names
    assert features_of({"x": R}, Frame({key: [1, 2] for key in "wxyz"})).names == ("w", "x", "y", "z")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((np.zeros(3),), r"\(samples, features\); got shape \(3,\): of one sample, pass relevance\[None\]"),
        ((np.zeros((2, 3, 1)),), r"got shape \(2, 3, 1\)"),
        ((np.full((1, 2), np.nan),), "NaN or infinite"),
        (([["a", "b"]],), "real numbers"),
        ((R, np.zeros((2, 3))), r"values must have the shape of the relevance, \(2, 4\); got \(2, 3\)"),
        ((R, None, ["a"]), "there are 4 features, but 1 names"),
        ((R, None, "abcd"), "a list of 4 strings"),
        ((R, None, [1, 2, 3, 4]), "a list of 4 strings"),
        (({"a": R, "b": R}, {"a": R}), "no entry for the input 'b'"),
        (({"a": R, "b": R}, Frame({"a": [1, 2]})), "no entry for the input 'b'"),
        (({"a": R, "b": R}, R), "values must be by input, too, got ndarray"),
        (([R, R], None, ["a"]), "there are 2 inputs, but 1 names"),
        # Whose order would it be: that of the model, or that of x?
        (({"a": R, "b": R}, None, ["A", "B"]), r"names must be a dict by input, of \['a', 'b'\]"),
        (({"a": R, "b": R}, None, {"c": ["x"]}), "'c', which is no input"),
        (({"a": R, "b": R[:1]},), r"different numbers of samples: \[1, 2\]"),
        (({"a": R, "b": np.zeros((2, 3, 3))},), "relevance of input 'b' must be that of a table"),
    ],
)
def test_what_is_no_table_is_refused(arguments: tuple[Any, ...], expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        features_of(*arguments)


def test_features_are_found_by_name_or_index() -> None:
    found = Features(("age", "town"), R[:, :2])
    assert found.index("town") == found.index(1) == 1
    with pytest.raises(ValueError, match=r"no feature 'twon'\. Did you mean 'town'"):
        found.index("twon")
    for wrong in (2, -1, 1.9, True, None):
        with pytest.raises(ValueError, match=f"from 0 to 1, got {wrong}"):
            found.index(wrong)


def test_numbers_are_written_without_an_exponent_unless_they_are_huge() -> None:
    values = (999.96, 9999999.7, 123456.78, 0.1234567, 1e-5, 2.5e12, np.inf)
    assert [number(value) for value in values] == ["1000", "9999999.7", "123456.8", "0.1235", "1e-05", "2.5e+12", "inf"]
    assert [signed(value) for value in (1.234567, -0.5, -0.0, 999.96)] == ["+1.23", "-0.5", "0", "+999.96"]


@given(st.lists(st.text("ab_", max_size=60), unique=True, max_size=12))
def test_no_two_labels_are_alike(texts: list[str]) -> None:
    shown = distinct(texts)
    assert len(set(shown)) == len(texts)
    assert all(len(label) <= 36 for label in shown)


def test_where_names_are_integers_an_integer_is_a_name() -> None:
    found = Features(("2", "0", "1"), R[:, :3])
    assert [found.index(i) for i in (0, 1, 2)] == [found.index(i) for i in "012"] == [1, 2, 0]
    with pytest.raises(ValueError, match="no feature 3"):
        found.index(3)


def test_long_names_are_cut_in_the_middle_and_values_stay() -> None:
    label = Features(("a" * 50,), R[:, :1], np.array([[12.5], [0.0]], dtype=object)).label(0, 0)
    assert len(label) == 36
    assert label.startswith("aaa")
    assert label.endswith("a = 12.5")


def test_long_names_that_differ_in_their_middle_have_labels_that_differ() -> None:
    names = tuple(f"measured in the morning, {part}, and not in the evening" for part in ("left", "right"))
    found = Features(names, R[:, :2], np.array([[1.0, 200.0]], dtype=object))
    one, two = found.labels(0, [0, 1])
    assert "left" in one
    assert "right" in two
    assert (one[-4:], two[-6:]) == (" = 1", " = 200")
    assert max(len(one), len(two)) <= 36


def test_flags_and_codes_hold_zeros_and_ones() -> None:
    assert is_binary(np.eye(3, dtype=int))
    assert is_binary([[0, 0], [1, 1]])
    assert not is_binary([[0.5, 0.5]])
    assert not is_binary([["0", "1"]])


def test_what_has_labels_is_joined_by_them() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is optional")
    frame = pandas.DataFrame({"a": [1.0, 2.0], "b": [10.0, 20.0]}, index=[7, 5])
    relevance = pandas.DataFrame({"a": [0.1, 0.2], "b": [9.0, 8.0]}, index=[7, 5])
    for values in (frame, frame[["b", "a"]], frame.sort_index(), frame.loc[[5, 7], ["b", "a"]]):
        found = features_of(relevance, values)
        assert found.labels(0, [0, 1]) == ["a = 1", "b = 10"]
        np.testing.assert_array_equal(found.relevance, relevance)
    with pytest.raises(ValueError, match=r"the columns of relevance and values differ, as by 'b'.*to_numpy"):
        features_of(relevance, frame.rename(columns={"b": "c"}))
    with pytest.raises(ValueError, match="the rows of relevance and values differ, as by 7"):
        features_of(relevance, frame.reset_index(drop=True))
    assert features_of(relevance, frame.to_numpy()[::-1]).label(0, 0) == "a = 2"  # without labels by position


def test_named_columns_are_features_whatever_they_hold() -> None:
    flags = {"smoker": [0, 1], "asthma": [1, 0]}  # as in a one-hot code
    for held in (flags, {"smoker": [0, 1], "asthma": [1, 1]}):
        found = features_of({"age": R[:, :1], "flags": R[:, 1:3]}, {"age": [[1], [2]], "flags": Frame(held)})
        assert found.names == ("age", "flags[smoker]", "flags[asthma]")
        np.testing.assert_array_equal(found.relevance, R[:, :3])


def test_a_column_that_is_alone_keeps_its_category_and_its_input_its_name() -> None:
    relevance = {"age": R[:, :1], "town": R[:, 1:2]}
    values = {"age": [[1], [2]], "town": [[0], [1]]}
    assert features_of(relevance, values, {"town": [("town", "Ulm")]}).label(0, 1) == "town[Ulm] = 0"
    assert features_of({"age": R[:, :1]}).names == features_of({"age": R[:, 0]}).names == ("age",)
    assert features_of(R[:, :3], None, [("a", "x"), ("a", "y"), ("b", "z")]).names == ("a", "b[z]")


def test_columns_of_several_levels_are_a_feature_each() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is optional")
    columns = pandas.MultiIndex.from_tuples([("lab", "Na"), ("lab", "K"), ("vital", "bp"), ("vital", "hr")])
    frame = pandas.DataFrame(R, columns=columns)
    for found in (features_of(R, None, columns), features_of(R, frame), features_of(frame)):
        assert found.names == ("lab Na", "lab K", "vital bp", "vital hr")
        np.testing.assert_array_equal(found.relevance, R)
    assert features_of(frame).index(("vital", "bp")) == 2
    split = pandas.MultiIndex.from_tuples([("a b", "c"), ("a", "b c"), ("d", ""), ("e", "")])
    assert len(features_of(R, None, split).names) == 4


def test_numbers_keep_their_digits() -> None:
    values = np.array([[12345678901, 123456.0, 10000.4, -0.0]], dtype=object)
    found = features_of(R[:1], values, list("abcd"))
    assert found.labels(0, range(4)) == ["a = 12345678901", "b = 123456", "c = 10000.4", "d = 0"]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.integers(1, 30))
def test_every_feature_is_ranked_once_and_none_is_left_alone(strength: list[float], most: int) -> None:
    shown, others = ranked(np.array(strength), most)
    assert sorted(shown + others) == list(range(len(strength)))
    assert len(others) != 1
    assert len(shown) <= most + 1
    assert min(strength[i] for i in shown) >= max((strength[i] for i in others), default=0.0)
