"""Random models are explained as they compute, or refused in words: some of them here, many by `tox run -e fuzz`."""

from __future__ import annotations

import contextlib
import os

import keras
import pytest
from helpers.fuzz.checks import check
from helpers.uncompiled import uncompiled

BACKEND = keras.backend.backend()
#: The first seed, how many there are, and whether functions are compiled. A model takes a few tenths of a second on
#: PyTorch, and some seconds on TensorFlow.
FIRST = int(os.environ.get("KERASEXPLAIN_FUZZ_FIRST", "0"))
COUNT = int(os.environ.get("KERASEXPLAIN_FUZZ", "200" if BACKEND == "torch" else "5"))
#: JAX compiles every single operation that runs as it is: there, whole functions are quicker.
COMPILED = bool(os.environ.get("KERASEXPLAIN_FUZZ_COMPILED")) or BACKEND == "jax"
#: Seeds that failed once on PyTorch, with what it was; the first 200 run anyway.
FAILED: dict[int, str] = {
    5141: "its own gradient of attention, where a query sees nothing, is another than the function's",
    6677: "a mask fitted its layer for a batch of four alone",
    2692: "the rounding of a gradient that is zero, of a normalisation of one number, was taken for a gradient",
    3952: "a root divided by a root: neither operand was a constant, and nothing of what is explained was found",
    9199: "as 2692, by more",
}


@pytest.mark.parametrize("seed", [*range(FIRST, FIRST + COUNT), *(FAILED if BACKEND == "torch" else ())])
def test_a_random_model(seed: int) -> None:
    what = became(seed)
    keras.backend.clear_session(free_memory=False)  # to collect garbage takes as long as the model
    print(f"random model {seed}: {what}")
    assert not what.startswith("wrong"), f"seed {seed}: {what}"


def became(seed: int) -> str:
    """The outcome for a model: an error is as wrong as a wrong number, and the other seeds are to be tried, too."""
    try:
        with contextlib.nullcontext() if COMPILED else uncompiled():
            return check(seed)
    except Exception as error:
        return f"wrong: {type(error).__name__}: {error}"
