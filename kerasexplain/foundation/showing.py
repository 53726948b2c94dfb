"""How objects show themselves: in a few words and without arrays, and by their public names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

#: A text, and the value of a field, are cut behind so many letters; of more entries only their number is told.
LETTERS, ENTRIES = 60, 4


class Shown:
    """A thing with a short `repr`, whose `dir` lists what it is made for: tab completion shows nothing else."""

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        told = (f"{field.name}={brief(getattr(self, field.name))}" for field in fields if field.repr)
        return f"{type(self).__name__}({', '.join(told)})"

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.startswith("_")]


def brief(value: Any) -> str:
    """A value in a few words: of an array its dtype and shape.

    Example:
        >>> brief({"a": np.zeros((2, 3))})
        "{'a': float64 (2, 3)}"
    """
    shape = getattr(value, "shape", None)
    if shape is not None and len(shape):
        dtype = getattr(value, "dtype", "")
        return f"{getattr(dtype, 'name', dtype)} {tuple(shape)}".strip()
    kind = type(value).__name__
    if isinstance(value, (list, tuple, Mapping)) and len(value) > ENTRIES:
        return f"{kind} of {len(value)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {brief(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        opening, closing = "[]" if isinstance(value, list) else "()"
        return opening + ", ".join(map(brief, value)) + closing
    text = repr(value)
    if len(text) <= LETTERS:
        return text
    return text[: LETTERS - 3] + "..." if isinstance(value, str) else f"<{kind}>"
