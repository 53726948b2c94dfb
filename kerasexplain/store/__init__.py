"""Stores: explanations of whole datasets in files, which an interruption leaves whole."""

from kerasexplain.store.dataset import analyze_dataset
from kerasexplain.store.joining import join_stores
from kerasexplain.store.reading import Store, StoredArray

__all__ = ["Store", "StoredArray", "analyze_dataset", "join_stores"]


def __dir__() -> list[str]:
    return [*__all__]
