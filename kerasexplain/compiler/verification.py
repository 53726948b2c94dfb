"""The verification of a trace: what it gives for a batch is compared with what the model itself gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasexplain.compiler.probe import differing, drawn_outputs, first_difference, rounding, run, tolerance_of
from kerasexplain.foundation.errors import NotFiniteError, UnsupportedModelError
from kerasexplain.graph.graph import Graph, Shape
from kerasexplain.trace.specification import Specification

Tensor = Any
#: How most samples are padded; the other ways are in `paddings`.
NOWHERE = "nowhere"


class Verification:
    """Compares batches with the model's own output: whole batches, row by row, one for every size of sample.

    Models with masks are compared again when a sample is padded in a way that none was so far. Only outputs that have
    to do with what is explained are compared: another one may be random.

    The model runs on the batch from back to front, and one sample more: what depends on the size of the batch, or on a
    sample's place and neighbours in it, is no function of a sample.

    Args:
        model: The model.
        specification: What its inputs look like.
        graph: The canonized graph that runs instead of it.
        mode: "first" is as above, "always" compares every batch, and False none.
    """

    def __init__(self, model: keras.Model, specification: Specification, graph: Graph, mode: str | bool) -> None:
        self._model, self._specification, self._graph, self._mode = model, specification, graph, mode
        self._checked: set[tuple[tuple[Shape, ...], str]] = set()
        self._blanks = _blanks(model, graph)
        self._chosen, self._concerned = concerned(graph)

    def __call__(self, arrays: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        """Compares a batch, if there is anything new in it.

        Args:
            arrays: The model's inputs, batch first.
            outputs: What the traced graph gave for them.

        Raises:
            UnsupportedModelError: The model gives something else.
        """
        if self._mode is False:
            return
        sizes = tuple(array.shape[1:] for array in arrays)
        kinds = self._kinds(arrays)
        if self._mode == "first" and all((sizes, kind) in self._checked for kind in kinds):
            return
        self._compare(arrays, outputs)
        self._checked.update((sizes, kind) for kind in kinds)

    def _kinds(self, arrays: Sequence[np.ndarray]) -> set[str]:
        """The ways in which samples are padded; a single one for a model without masks."""
        found = {NOWHERE}
        for value, array in zip(self._graph.inputs, arrays, strict=True):
            if self._blanks and array.ndim > 1:
                found |= paddings(array, (0,) if not value.is_float else self._blanks)
        return found

    def _compare(self, arrays: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> None:
        order = self._order(len(arrays[0]), outputs)
        xs = [ops.convert_to_tensor(array[order]) for array in arrays]
        expected, *others = drawn_outputs(self._model, self._specification, xs)
        # The twin folds BatchNormalization, which rounds otherwise; and a layer may be less precise than its model.
        dtypes = {layer.compute_dtype for layer in self._model._flatten_layers()}
        tolerance = 20 * max(tolerance_of(self._graph), *map(rounding, dtypes))
        back = order[: len(arrays[0])]  # from back to front is its own inverse
        for position in self._concerned:
            y, z = outputs[position], ops.convert_to_numpy(expected[position])
            is_aligned = len(y) == len(back) and len(z) == len(order)
            own = z[back] if is_aligned else z[: len(y)]
            rows = differing(y, own, tolerance)
            _check_own(own, rows)
            is_random = any(differing(other[position], z, tolerance) for other in others)
            if is_random and position != self._chosen:
                continue  # an inner operation is explained: what is random behind it does not matter
            if is_random:
                raise UnsupportedModelError(self._message_of_chance(position))
            if rows and self._holds_in_order(arrays, y, position, tolerance):
                raise UnsupportedModelError(self._message_of_batches(position))
            if rows:
                raise UnsupportedModelError(self._message(arrays, xs, rows, position, tolerance))

    def _order(self, count: int, outputs: Sequence[np.ndarray]) -> np.ndarray:
        """The samples from back to front, the first one twice.

        They are as they are where the model takes one size of batch, or an output has not one row for each.
        """
        is_fixed = self._specification.inputs[0].shape[0] is not None
        if is_fixed or (count > 1 and any(len(outputs[position]) != count for position in self._concerned)):
            return np.arange(count)
        return np.append(np.arange(count)[::-1], 0)

    def _holds_in_order(self, arrays: Sequence[np.ndarray], y: np.ndarray, position: int, tolerance: float) -> bool:
        """Whether the model gives an output for the batch as it is."""
        xs = [ops.convert_to_tensor(array) for array in arrays]
        return not differing(y, drawn_outputs(self._model, self._specification, xs)[0][position], tolerance)

    def _message_of_chance(self, output: int) -> str:
        return (
            f"the output {self._graph.output_names[output]!r} of the model {self._model.name!r} is random, or goes by "
            "a state that each call changes (stateful=True): it is another one each time, and so there is none to "
            "explain. Take that out of the model, or explain an output in front of it, output="
        )

    def _message_of_batches(self, output: int) -> str:
        return (
            f"the output {self._graph.output_names[output]!r} of the model {self._model.name!r} for a sample depends "
            "on the batch that it is in: on its size, or on the place or the neighbours of the sample. A sample's "
            "relevance would, too: explain a model that treats each sample by itself"
        )

    def _message(
        self, arrays: Sequence[np.ndarray], xs: Sequence[Tensor], rows: list[int], output: int, tolerance: float
    ) -> str:
        name = self._graph.output_names[output]
        start = (
            f"the traced graph of the model {self._model.name!r} gives another output for this input than the model: "
            f"{len(rows)} of {len(arrays[0])} samples differ in the output {name!r}, the first "
            f"is number {rows[0]} of the batch"
        )
        try:
            where = first_difference(self._graph, run(self._graph, xs), tolerance)
        except Exception:  # it says what it can
            where = ""
        begin = f"; they begin to differ at {where}" if where else ""
        if self._blanks:
            first = [array[rows[:1]] for array in arrays]
            padded = " and ".join(sorted(self._kinds(first) - {NOWHERE}))
            if padded:
                return (
                    f"{start}{begin}. That sample is padded {padded}: a mask of the model is not followed. Explain a "
                    "model that applies the mask itself, or keep the layer in one piece: kerasexplain.register_leaf"
                )
        return (
            f"{start}{begin}. Its code depends on sizes or values that the trace did not see, or was replaced since. "
            "Make a new analyzer, with example= of these sizes"
        )


def _check_own(outputs: np.ndarray, rows: Sequence[int]) -> None:
    """Raises NotFiniteError where a model's own output is no number, in one of the rows in which the graph's differs.

    What comes of NaN depends on which operations a backend joins.
    """
    bad = [row for row in rows if row < len(outputs) and not np.isfinite(outputs[row]).all()]
    if bad:
        raise NotFiniteError(
            f"the model's own output is NaN or infinite, so that there is nothing to explain ({len(bad)} of "
            f"{len(outputs)} samples, the first is number {bad[0]} of the batch)"
        )


def paddings(array: np.ndarray, blanks: Sequence[float]) -> set[str]:
    """The ways in which the samples of a batch are padded: where all the values of a step are one of the blanks."""
    steps = (
        array.reshape(array.shape[0], array.shape[1], -1)
        if array.dtype.kind == "f"
        else array.reshape(len(array), -1, 1)
    )
    blank = np.zeros(steps.shape[:2], bool)
    for value in blanks:
        blank |= (steps == value).all(axis=2)
    count = blank.sum(axis=1)
    front, end = (np.cumprod(side, axis=1).sum(axis=1) for side in (blank, blank[:, ::-1]))
    ways = {
        NOWHERE: count == 0,
        "wholly": (count > 0) & (front == blank.shape[1]),
        "at the end": (count > 0) & (end == count) & (front != count),
        "at the front": (count > 0) & (front == count) & (end != count),
        "in between": (end != count) & (front != count),
    }
    return {way for way, rows in ways.items() if rows.any()}


def _blanks(model: keras.Model, graph: Graph) -> tuple[float, ...]:
    """The values that stand for padding; none where the model has no mask."""
    layers = model._flatten_layers()
    values = [float(layer.mask_value) for layer in layers if isinstance(layer, keras.layers.Masking)]
    masks = any(getattr(layer, "mask_zero", False) for layer in model._flatten_layers())
    if values or masks or any(value.dtype == "bool" for value in graph.values()):
        return tuple(dict.fromkeys([0.0, *values]))
    return ()


def concerned(graph: Graph) -> tuple[int | None, list[int]]:
    """The output that is explained, if it is one, and the outputs to be compared.

    Of an inner operation, or of logits, those are the outputs that depend on it.
    """
    reached = {graph.explained}
    for node in graph.nodes:
        if reached.intersection(node.inputs):
            reached.update(node.outputs)
    positions = [i for i, value in enumerate(graph.outputs) if value in reached]
    return positions[0] if len(positions) == 1 else None, positions
