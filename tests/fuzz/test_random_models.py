"""Random models are explained as they compute, or refused in words: some of them here, many by `tox run -e fuzz`."""

from __future__ import annotations

import collections
import contextlib
import os

import keras
import pytest

from fuzz.checks import check, uncompiled

#: The first seed, how many there are, and whether functions are compiled.
FIRST = int(os.environ.get("KERASEXPLAIN_FUZZ_FIRST", "0"))
COUNT = int(os.environ.get("KERASEXPLAIN_FUZZ", "200" if keras.backend.backend() == "tensorflow" else "10"))
#: JAX compiles every single operation that runs as it is: there, whole functions are quicker.
COMPILED = bool(os.environ.get("KERASEXPLAIN_FUZZ_COMPILED")) or keras.backend.backend() == "jax"
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
    found = {seed: became(seed) for seed in seeds}
    keras.backend.clear_session()
    print(f"random models {seeds[0]} to {seeds[-1]}: {dict(collections.Counter(found.values()))}")
    wrong = [f"seed {seed}: {what}" for seed, what in found.items() if what.startswith("wrong")]
    assert not wrong, "\n".join(wrong)


def became(seed: int) -> str:
    """What became of a model: an error is as wrong as a wrong number, and the other seeds are to be tried, too."""
    try:
        with contextlib.nullcontext() if COMPILED else uncompiled():
            return check(seed)
    except Exception as error:
        return f"wrong: {type(error).__name__}: {error}"
