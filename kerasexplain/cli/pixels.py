"""The range in which a model takes pixels: as it is given, or as the preprocessing at the model's input tells."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from kerasexplain.cli.reading import ARRAYS, takes_images
from kerasexplain.compiler.split import split_into_primitives
from kerasexplain.foundation.untrusted import read_arrays
from kerasexplain.graph.linear import Linear
from kerasexplain.graph.maximum import Maximum
from kerasexplain.graph.primitives import Affine, Lookup, Mixing, Primitive, Routing, Scale, Source
from kerasexplain.graph.recurrent import Recurrent
from kerasexplain.trace.trace import trace

if TYPE_CHECKING:
    from kerasexplain.graph.graph import Graph, Node, Value

UNIT = (0.0, 1.0)
#: Images all of whose pixels are one number: the lower end of both ranges, and the upper end of each.
ZERO, ONE, BYTE = range(3)
PROBES = (0.0, 1.0, 255.0)
#: Preprocessing gives networks numbers of about this size at most, and a range of about this width at least.
LARGEST, NARROWEST = 16.0, 0.5
#: Unless it leaves bytes as wide as they are, or nearly: then it moves them, to have their mean at zero.
WIDTHS = (100.0, 300.0)
#: Axes whose size the model leaves open.
OPEN = 64
WHERE = "--range LOW HIGH says what the model takes them as"


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """The affine operations between a model's input and what it learns, and what comes out of them.

    Attributes:
        names: What kinds of operations they are, each once.
        unknown: What kinds of others are there that are neither affine nor what the network begins with.
        outcomes: The values that the network begins with, for images of each of the three numbers, `(3, n)`.
    """

    names: tuple[str, ...]
    unknown: tuple[str, ...]
    outcomes: tuple[np.ndarray, ...]

    @property
    def rescales(self) -> bool:
        """Whether pixels come out as others than they go in."""
        return any(not np.allclose(outcome.T, PROBES, rtol=0.01, atol=0.01) for outcome in self.outcomes)

    def fits(self, high: int) -> bool:
        """Whether pixels from 0 to the end of a range come out as networks are trained on them, wherever one looks."""
        return all(_is_usual(outcome[ZERO], outcome[high]) for outcome in self.outcomes)


def pixels_of(
    given: Sequence[float] | None, model: keras.Model, paths: Sequence[pathlib.Path]
) -> tuple[Sequence[float] | None, str]:
    """The range that a model takes pixels in, and a sentence on what was guessed or assumed of them.

    Args:
        given: `--range`, which is always right.
        model: The model, whose first operations may be preprocessing.
        paths: What is read: pixels are images, and arrays of integers where the model takes images.

    Raises:
        ValueError: The preprocessing is for neither 0 to 255 nor 0 to 1, or not known to be.
    """
    if given is not None:
        return given, ""
    (first, *others) = model.inputs
    # What takes integers takes pixels as they are in files.
    if others or not takes_images(tuple(first.shape[1:])) or not keras.backend.is_float_dtype(first.dtype):
        return None, ""
    if not any(map(_holds_pixels, paths)):
        return None, ""
    found = preprocessing(split_into_primitives(trace(model)))
    names = " and ".join(found.names)
    if found.unknown and not (found.rescales and (found.fits(BYTE) or found.fits(ONE))):
        unknown = " and ".join(found.unknown)
        raise ValueError(
            f"what pixels the {unknown} at the model's input is made for, from 0 to 255 or others, is unknown: {WHERE}"
        )
    if not found.rescales:
        return None, f"pixels stay 0 to 255: nothing at the model's input rescales them; {WHERE}"
    if found.fits(BYTE):
        return None, ""
    if found.fits(ONE):
        return UNIT, f"pixels are taken as 0 to 1, which the {names} at the model's input is made for; {WHERE}"
    raise ValueError(
        f"the {names} at the model's input is made for pixels neither from 0 to 255 nor from 0 to 1: {WHERE}"
    )


def preprocessing(graph: Graph) -> Preprocessing:
    """The preprocessing at the input of a traced graph of primitives.

    It is followed through what moves, pads or averages pixels, and through augmentation, which does nothing at
    inference, by running it on images of one colour.
    """
    (pixels,) = graph.inputs
    shape = [OPEN if size is None else size for size in pixels.shape[1:]]
    images = np.stack([np.full(shape, probe) for probe in PROBES])
    values: dict[Value, Any] = {pixels: ops.convert_to_tensor(images, pixels.dtype)}
    constants: dict[Value, Any] = {}
    names: list[str] = []
    unknown: list[str] = []
    begins = {value for value in graph.outputs if value is pixels}
    for node in graph.nodes:
        if isinstance(node.primitive, Source):
            constants[node.outputs[0]] = node.primitive()
        if not any(value in values for value in node.inputs):
            continue
        outputs = _outputs(node, {**constants, **values})
        if outputs is not None:
            values.update(zip(node.outputs, outputs, strict=True))
            if isinstance(node.primitive, (Affine, Scale)):
                names.append(node.type)
            begins.update(value for value in node.outputs if value in graph.outputs)
            continue
        begins.update(value for value in node.inputs if value in values)
        of_pixels_alone = all(value in values or value in constants for value in node.inputs)
        if of_pixels_alone and not isinstance(node.primitive, (Linear, Recurrent)):
            unknown.append(node.type)
    outcomes = [_varying(ops.convert_to_numpy(values[value])) for value in begins]
    return Preprocessing(
        tuple(dict.fromkeys(names)),
        tuple(dict.fromkeys(unknown)),
        tuple(outcome for outcome in outcomes if outcome.size),
    )


def _outputs(node: Node, values: dict[Value, Any]) -> list[Any] | None:
    """The outputs of an operation that may belong to preprocessing; None of any other, and where it does not run."""
    if not _may_preprocess(node.primitive, node.type) or not all(value in values for value in node.inputs):
        return None
    try:
        return list(keras.tree.flatten(node.primitive(*(values[value] for value in node.inputs))))
    except Exception:  # whatever a backend finds wrong with the size that was chosen for open axes
        return None


def _may_preprocess(primitive: Primitive, name: str) -> bool:
    if isinstance(primitive, Lookup):
        return name == "Cast"
    return isinstance(primitive, (Affine, Scale, Routing, Mixing, Maximum)) and not getattr(primitive, "chooses", False)


def _varying(outcome: np.ndarray) -> np.ndarray:
    """The outcome as `(3, n)`, where it depends on the pixels at all: what is padded does not."""
    flat = outcome.reshape(len(PROBES), -1).astype("float64")
    return flat[:, flat[ZERO] != flat[BYTE]]


def _is_usual(ends: np.ndarray, others: np.ndarray) -> bool:
    """Whether numbers between such ends are of the usual size, around zero or from it on, as are all at one place."""
    low, high = np.minimum(ends, others), np.maximum(ends, others)
    width = high - low
    if np.any(low > 0.01 * width) or np.any(high < -0.01 * width):
        return False
    if np.all(np.maximum(-low, high) <= LARGEST):
        return bool(np.all(width >= NARROWEST))
    centred = (np.abs(low + high) <= width / 2) | (np.abs(low) <= 0.001 * width)
    return bool(np.all(centred & (width >= WIDTHS[0]) & (width <= WIDTHS[1])))


def _holds_pixels(path: pathlib.Path) -> bool:
    """Whether a file or folder is an image, or holds integers; what cannot be read is told when it is read."""
    if path.suffix.lower() not in ARRAYS:
        return True
    try:
        found = np.load(path, mmap_mode="r") if path.suffix.lower() == ".npy" else read_arrays(path)
    except Exception:
        return False
    arrays = found.values() if isinstance(found, dict) else [found]
    return any(array.dtype.kind in "iu" for array in arrays)
