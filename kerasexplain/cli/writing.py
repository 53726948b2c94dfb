"""The writing of relevance: to files of numbers, to pictures, and to TensorBoard; what cannot be is told beforehand."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasexplain.cli.arguments import check_place, check_writable, neuron_label

if TYPE_CHECKING:
    from PIL.Image import Image

    from kerasexplain.explanation import Explanation

OUTPUTS = (".npy", ".npz", ".h5", ".png")
#: More rows than this no viewer shows in a readable size.
MOST_ROWS = 50
#: There are pictures of volumes, and of nothing that has more axes, the batch included.
MOST_AXES = 5
#: Of figures, and how many pixels lie between two.
DPI, GAP = 120, 24


def check_out(out: pathlib.Path | None, board: pathlib.Path | None, needed: bool) -> None:
    """Raises unless relevance can be written where it is asked for.

    Raises:
        ValueError: It goes nowhere, or to a file of a kind that is not written.
        OSError: The place is not there, or may not be written to.
    """
    if board is not None:
        if board.exists() and not board.is_dir():
            raise ValueError(f"--tensorboard must be a folder, but {str(board)!r} is a file")
        check_writable(board)
    if out is None:
        if board is None and needed:
            raise ValueError(
                "relevance goes to --out FILE, or to --tensorboard DIR: pass one of them, or --audit alone"
            )
        return
    if out.suffix and out.suffix not in OUTPUTS and not out.is_dir():
        raise ValueError(f"--out must be a folder, or end in {', '.join(OUTPUTS)}; got {str(out)!r}")
    if not out.suffix and out.exists() and not out.is_dir():
        raise ValueError(f"--out must be a folder, or end in {', '.join(OUTPUTS)}; {str(out)!r} is a file")
    check_place(out)


def check_fits(out: pathlib.Path | None, x: Any, names: Sequence[str]) -> None:
    """Raises ValueError if the relevance of these inputs is nothing that a file of that name can hold."""
    if out is None or _is_file(out, ".npz") or _is_file(out, ".h5"):
        return
    inputs = x if isinstance(x, dict) else {"input": x}
    if _is_file(out, ".npy"):
        if len(inputs) > 1:
            raise ValueError("the model has several inputs: write their relevance to .npz or .h5")
        return
    if _is_file(out, ".png") and len(names) > MOST_ROWS:
        raise ValueError(f"{len(names)} inputs are too many for one image: let --out be a folder")
    for name, array in inputs.items():
        if np.ndim(array) > MOST_AXES:
            raise ValueError(
                f"the input {name!r} has {np.ndim(array) - 1} axes a sample, and there are pictures of 1 to 4: write "
                "its relevance to .npy, .npz or .h5"
            )


def titles_of(explanation: Explanation, names: Sequence[str], labels: Sequence[str]) -> list[str]:
    """Per sample its name, what was explained, and its value.

    Raises:
        ValueError: An output was to be compared with itself.
    """
    neurons, shape = explanation.neuron, np.shape(explanation.output)[1:]
    if isinstance(neurons, str):
        told = [f"{neurons} outputs"] * len(names)
    elif np.asarray(neurons).dtype.kind == "f":
        told = [_contrast(neuron, labels) for neuron in np.asarray(neurons)]
    else:
        told = [neuron_label(neuron, labels, shape) for neuron in neurons]
    values = zip(names, told, explanation.explained, strict=True)
    return [f"{name}: {what}, {float(value):.4g}" for name, what, value in values]


def _contrast(weights: np.ndarray, labels: Sequence[str]) -> str:
    """The two outputs that are compared: one has the weight 1, and the other -1."""
    if not weights.any():
        raise ValueError("--target and --against are the same output")
    ends = (np.unravel_index(place, weights.shape) for place in (weights.argmax(), weights.argmin()))
    return " against ".join(neuron_label(end, labels, weights.shape) for end in ends)


def write(out: pathlib.Path, explanation: Explanation, x: Any, names: Sequence[str], titles: Sequence[str]) -> None:
    """Writes relevance to a file, or pictures of it to a folder."""
    relevance = explanation.relevance
    if _is_file(out, ".h5"):
        explanation.save(out)
    elif _is_file(out, ".npz"):
        arrays = relevance if isinstance(relevance, dict) else {"relevance": relevance}
        np.savez(out, **arrays, neuron=explanation.neuron, explained=explanation.explained, names=np.array(names))
    elif _is_file(out, ".npy"):
        np.save(out, relevance)
    elif _is_file(out, ".png"):
        _picture(explanation, x, titles, range(len(names))).save(out)
    else:
        for i, name in enumerate(names):
            picture = _picture(explanation, x, titles, [i])
            out.mkdir(exist_ok=True)  # not before there is something to put into it
            picture.save(out / f"{name}.png")


def log(folder: pathlib.Path, explanation: Explanation, x: Any, names: Sequence[str], labels: Sequence[str]) -> None:
    """Writes what TensorBoard shows."""
    from kerasexplain.tensorboard.explanations import ExplanationLog
    from kerasexplain.tensorboard.writer import Writer

    folder.mkdir(parents=True, exist_ok=True)  # TensorBoard's own words, where it cannot, are those of its file system
    told, tag = ExplanationLog(x, class_names=labels, titles=names), explanation.analyzer["analyzer"]
    with Writer(folder / "relevance") as writer:
        told.write(writer, tag, explanation, step=0)
        told.write_images(writer, tag, explanation, step=0)


def _is_file(out: pathlib.Path, suffix: str) -> bool:
    return out.suffix == suffix and not out.is_dir()


def _picture(explanation: Explanation, x: Any, titles: Sequence[str], samples: Sequence[int]) -> Image:
    """A picture of some samples: of images a row for each, of other data a figure for each."""
    from kerasexplain import visualize
    from kerasexplain.cli.reading import takes_images

    relevance, which = explanation.relevance, list(samples)
    if isinstance(relevance, np.ndarray) and takes_images(relevance.shape[1:]):
        labels = [titles[i].replace(": ", "\n", 1).replace(", ", "\n") for i in which]
        maps = {explanation.analyzer["analyzer"]: relevance[which]}
        # Few pixels of a large image hold most of its relevance: with the largest as the limit, the rest would be
        # white.
        return visualize.grid(x[which], maps, labels=labels, cell=2.5, percentile=99.5)
    # Integers are ids of words, and there are no words here: what is drawn is a bar for each position.
    inputs = x if isinstance(x, dict) else {"input": x}
    kinds = {name: "table" for name, array in inputs.items() if array.ndim == 2 and array.dtype.kind in "iu"}
    return _stacked([explanation.to_figure(x, kinds=kinds, sample=i, title=titles[i]) for i in which])


def _stacked(figures: Sequence[Any]) -> Image:
    """Figures as one image, one below the other."""
    from PIL import Image

    images = []
    for figure in figures:
        written = io.BytesIO()
        figure.savefig(written, format="png", dpi=DPI)
        images.append(Image.open(written).convert("RGB"))
    height = sum(image.height + GAP for image in images) - GAP
    whole = Image.new("RGB", (max(image.width for image in images), height), "white")
    top = 0
    for image in images:
        whole.paste(image, (0, top))
        top += image.height + GAP
    return whole
