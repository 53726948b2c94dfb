"""The class of actors that explain the batches of a Ray dataset: columns in, the same columns and relevance out."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from kerasexplain import compat
from kerasexplain.analyzer import Analyzer
from kerasexplain.create import create_analyzer, load_analyzer
from kerasexplain.foundation.errors import InputError, nearest
from kerasexplain.runtime.selection import is_per_sample

#: The parts of an explanation that become columns.
PARTS = ("relevance", "output", "neuron", "explained")


class Explain:
    """A callable for `map_batches` of a `ray.data.Dataset`, which makes one in each of its actors.

    It adds the columns `relevance`, `output`, `neuron` and `explained`, as `Explanation` has them; where the model has
    several inputs or outputs, one for each, `relevance.NAME` and `output.NAME`. There is no `neuron` where all of an
    output is explained. An actor that ends is started again by Ray, and its batches run again.

    Args:
        model: A Keras model, or the path of a file or folder of one, as `kerasexplain.compat.load_model` takes them.
            Every machine must have the path.
        analyzer: The name of an analyzer, or the path of a file that `Analyzer.save` wrote.
        inputs: The column that is the model's input; for several inputs, the column of each by the input's name.
        target: What is explained, as for `Analyzer.analyze`, of all samples; or the name of a column that has it.
        prefix: Put in front of the names of new columns.
        custom_objects: As for `kerasexplain.compat.load_model`.
        **options: Of the analyzer, as for `create_analyzer`.

    Raises:
        ValueError: An option is not legal, or stands beside a saved analyzer, which has its own; or `inputs` names no
            columns.
        UnsupportedModelError: The model cannot be explained.

    Example:
        >>> images = ray.data.read_images("photographs", size=(224, 224))
        >>> options = {"model": "model.keras", "analyzer": "lrp.epsilon_plus", "inputs": "image"}
        >>> found = images.map_batches(Explain, fn_constructor_kwargs=options, concurrency=4, batch_size=32)
        >>> found.write_parquet("explained")
    """

    def __init__(
        self,
        model: keras.Model | str | os.PathLike[str],
        analyzer: str | os.PathLike[str],
        *,
        inputs: str | Mapping[str, str] = "image",
        target: Any = None,
        prefix: str = "",
        custom_objects: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(inputs, str) and not (isinstance(inputs, Mapping) and inputs):
            raise ValueError(f"inputs must be the name of a column, or a dict of columns by input, got {inputs!r:.60}")
        found = compat.load_model(model, custom_objects) if isinstance(model, (str, os.PathLike)) else model
        self.inputs, self.target, self.prefix = inputs, target, prefix
        self.analyzer: Analyzer
        if pathlib.Path(analyzer).is_file():
            if options:
                raise ValueError(f"a saved analyzer has its own options: leave out {', '.join(map(repr, options))}")
            self.analyzer = load_analyzer(analyzer, found)
        else:
            self.analyzer = create_analyzer(os.fspath(analyzer), found, **options)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The batch with the new columns.

        Args:
            batch: Columns by name, as Ray gives them with `batch_format="numpy"`, its default.

        Raises:
            InputError: A column is missing, or does not fit the model; or one of the new names is taken.
            NotFiniteError, MemoryError: As for `Analyzer.explain`.
        """
        columns = [self.inputs] if isinstance(self.inputs, str) else list(self.inputs.values())
        arrays = [_column(batch, column) for column in columns]
        x = arrays[0] if isinstance(self.inputs, str) else dict(zip(self.inputs, arrays, strict=True))
        target = _column(batch, self.target) if isinstance(self.target, str) else self._of_all()
        found = self.analyzer.explain(x, target)
        new = {
            f"{self.prefix}{name}": array
            for part in PARTS
            for name, array in _columns(part, getattr(found, part)).items()
        }
        taken = sorted(set(new) & set(batch))
        if taken:
            raise InputError(f"there are columns {taken} already: choose a prefix= for the new ones")
        return {**batch, **new}

    def _of_all(self) -> Any:
        """The target of all samples.

        Raises:
            InputError: It has an entry for each: batches come in any order and of any size.
        """
        if self.target is not None and is_per_sample(self.target, self.analyzer.graph.explained.shape):
            raise InputError("target has an entry for each sample: put it in a column, and pass the column's name")
        return self.target


def _column(batch: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """A column of a batch, as one array."""
    if name not in batch:
        raise InputError(f"there is no column {name!r}.{nearest(name, batch)}")
    try:
        return _dense(batch[name])
    except ValueError:
        raise InputError(
            f"the samples of the column {name!r} differ in size: bring them to one, as read_images(size=)"
        ) from None


def _dense(column: np.ndarray) -> np.ndarray:
    """An array of numbers for one of arrays, or of lists as Arrow gives them: arrays of arrays.

    Raises:
        ValueError: They differ in size.
    """
    if column.dtype != object or not column.ndim:
        return column
    return np.stack([_dense(np.asarray(row)) for row in column])


def _columns(name: str, tree: Any) -> dict[str, np.ndarray]:
    """The arrays of a part of an explanation by the names of columns, as Arrow can hold them."""
    found = {}
    for path, array in keras.tree.flatten_with_path(tree):
        if hasattr(array, "dtype"):
            key = ".".join([name, *map(str, path)])
            found[key] = array.astype("float32") if array.dtype == "bfloat16" else array
    return found
