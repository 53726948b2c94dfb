"""In what products of single precision are computed; sums are in single precision always."""

from __future__ import annotations

from collections.abc import Collection

from kerasexplain.foundation.checks import check_choice

#: "auto" is whatever the backend does of itself. The others say how many bits of each factor count: 24, 11 and 8.
PRECISIONS = ("auto", "float32", "tensorfloat32", "bfloat16")


def check_honoured(precision: str, honoured: Collection[str], where: str, advice: str = "") -> None:
    """Raises ValueError unless products can be computed in that precision here.

    Args:
        precision: What is asked for.
        honoured: The precisions that are available.
        where: The backend and its device.
        advice: What else would help.
    """
    check_choice("precision", precision, PRECISIONS)
    if precision not in honoured:
        choices = ", ".join(repr(name) for name in PRECISIONS if name in honoured)
        raise ValueError(f"{where} does not support precision={precision!r}: choose among {choices}{advice}")
