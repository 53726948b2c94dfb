"""The table of what is supported is complete, and says what the code does."""

from __future__ import annotations

import importlib.util
import pathlib

import keras
import pytest
from helpers.operations.examples import EXAMPLES

from kerasexplain import support

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def test_there_is_an_example_or_a_reason_for_all_that_keras_has() -> None:
    with_example = {example.subject for example in EXAMPLES}
    unknown = [name for name in support.subjects() if name not in with_example and not support.without_example(name)]
    assert not unknown, "give an example in tests/helpers/operations/, or a reason in kerasexplain/support.py"


def test_nothing_has_both_an_example_and_a_reason_to_have_none() -> None:
    assert not [example.name for example in EXAMPLES if support.without_example(example.subject)]


def test_aliases_are_one_subject() -> None:
    assert "layers.Conv2D" in support.subjects()
    assert "layers.Convolution2D" not in support.subjects()


@pytest.mark.tensorflow("the page is made with it, and some layers need it on every backend")
def test_the_page_is_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("make_docs", DOCS / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    page = make.SUPPORT_PAGE.read_text(encoding="utf-8")
    version = ".".join(keras.__version__.split(".")[:2])
    if f"Made with Keras {version} " not in page:
        pytest.skip("the page was made with another version of Keras")
    assert page == make.support_page(), "run python docs/make.py"
