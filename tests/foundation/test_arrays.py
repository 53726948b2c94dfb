"""Arrays that people hand in: what they may be, and what is said of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kerasexplain.foundation.arrays import check_sample, real_array

pytestmark = pytest.mark.once("about numpy alone")


def read(values: Any) -> np.ndarray:
    return real_array(values, "relevance", "relevance must be that of a table", (2,))


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "bool"])
def test_real_numbers_keep_their_type(dtype: str) -> None:
    assert read(np.ones((2, 2), dtype)).dtype == dtype
    assert read([[1, 2]]).shape == (1, 2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"a": [[1.0]]}, r"that of a table; got a dict with \['a'\]: pass one of its entries"),
        ([np.zeros(2), np.zeros(3)], "arrays of different shapes"),
        ([["a"]], "in real numbers; got <U1 .list."),
        (np.zeros(3), r"got shape \(3,\)"),
        (np.zeros((0, 3)), r"the empty shape \(0, 3\)"),
        ([[np.inf]], "relevance holds values that are NaN or infinite"),
    ],
)
def test_others_are_refused(values: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        read(values)


@pytest.mark.parametrize("sample", [-1, 3, 1.0, True, "0", None])
def test_a_sample_is_an_index_of_one_that_there_is(sample: Any) -> None:
    check_sample(np.int64(2), 3)
    with pytest.raises(ValueError, match="there are 3 samples: sample must be from 0 to 2"):
        check_sample(sample, 3)
