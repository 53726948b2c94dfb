"""Models of other formats and times as Keras models: SavedModels, and files that older versions of Keras wrote."""

from __future__ import annotations

from kerasexplain.compat.loading import SUFFIXES, as_model, load_model

__all__ = ["SUFFIXES", "as_model", "load_model"]


def __dir__() -> list[str]:
    return [*__all__]
