"""Random models are explained as they compute, or refused in words: some of them here, many by `tox run -e fuzz`."""

from __future__ import annotations

import collections
import os

import keras
import pytest

from tests.fuzz.checks import check, uncompiled

#: The first seed, how many there are, and whether functions are compiled.
FIRST = int(os.environ.get("KERASEXPLAIN_FUZZ_FIRST", "0"))
COUNT = int(os.environ.get("KERASEXPLAIN_FUZZ", "200" if keras.backend.backend() == "tensorflow" else "20"))
COMPILED = bool(os.environ.get("KERASEXPLAIN_FUZZ_COMPILED"))
AT_ONCE = 10
#: Seeds that failed once, with what it was.
FAILED: dict[int, str] = {}


@pytest.mark.parametrize("first", range(FIRST, FIRST + COUNT, AT_ONCE))
def test_random_models(first: int) -> None:
    report(range(first, min(first + AT_ONCE, FIRST + COUNT)))


@pytest.mark.parametrize("seed", FAILED)
def test_models_that_failed_once(seed: int) -> None:
    report([seed])


def report(seeds: range | list[int]) -> None:
    """Checks some models, prints how many ran and why others were refused, and fails with all that is wrong."""
    became: collections.Counter[str] = collections.Counter()
    wrong = []
    for seed in seeds:
        try:
            if COMPILED:
                became[check(seed)] += 1
            else:
                with uncompiled():
                    became[check(seed)] += 1
        except Exception as error:  # an error is as wrong as a wrong number, and the other seeds are to be tried, too
            wrong.append(f"seed {seed}: {type(error).__name__}: {error}")
    keras.backend.clear_session()
    print(f"random models {seeds[0]} to {seeds[-1]}: {dict(became)}")
    assert not wrong, "\n".join(wrong)
