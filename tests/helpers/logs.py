"""Logs that the tab is tested with: numbers that say where they belong, so that a test can tell what it should see."""

from __future__ import annotations

import pathlib
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerasexplain.tensorboard.records import blobs_of
from kerasexplain.tensorboard.writer import Writer

RUNS = ("first", "second")
ANALYZERS = ("gradient", "lrp.epsilon", "lrp.gamma")
CLASSES = ("cat", "dog", "owl")
OPERATIONS = ("conv", "conv/relu", "dense")


def image(run: str, sample: int, size: int = 8) -> np.ndarray:
    """The explained sample."""
    return _generator(run, "samples", 0, sample).random((size, size, 1)).astype("float32")


def relevance(run: str, tag: str, step: int, sample: int, size: int = 8) -> np.ndarray:
    """The relevance that an analyzer found at a step."""
    return _generator(run, tag, step, sample).normal(size=(size, size, 1)).astype("float32")


def audit(run: str, tag: str, step: int, sample: int) -> np.ndarray:
    """Received, taken by biases, lost."""
    return _generator(run, tag, step, sample + 1000).random((3, len(OPERATIONS))).astype("float32")


def neurons(samples: int) -> list[int]:
    """The explained neurons."""
    return [sample % 3 for sample in range(samples)]


def targets(samples: int) -> list[int]:
    """The true classes."""
    return [sample % 2 for sample in range(samples)]


def predictions(samples: int, step: int) -> list[int]:
    """Wrong for all but the first classes, then right."""
    return [0 if step < 2 else target for target in targets(samples)]


def write_samples(writer: Writer, run: str, samples: int, size: int = 8, **told: Any) -> None:
    """The samples of a run."""
    told = {"class_names": list(CLASSES), "titles": [f"sample {run} {i}" for i in range(samples)]} | told
    x = [image(run, sample, size) for sample in range(samples)]
    writer.relevance("samples", blobs_of({"image": x}, {"image": "image"}, {"image": "input"}, **told), 0)


def write_relevance(
    writer: Writer, run: str, tag: str, steps: Sequence[int], samples: int, size: int = 8, before: int = 0
) -> None:
    """Writes the results of an analyzer at some steps, after `before` that were written elsewhere."""
    for event, step in enumerate(steps, before):
        arrays = {
            "image": [relevance(run, tag, step, sample, size) for sample in range(samples)],
            "conservation": [audit(run, tag, step, sample) for sample in range(samples)],
        }
        blobs = blobs_of(
            arrays,
            {"image": "image", "conservation": "audit"},
            {"image": "input", "conservation": "audit"},
            analyzer=tag,
            samples="samples",
            event=event,
            neuron=neurons(samples),
            explained=[float(step + sample) for sample in range(samples)],
            prediction=predictions(samples, step),
            target=targets(samples),
            operations=list(OPERATIONS),
        )
        writer.relevance(tag, blobs, step)


def write(folder: pathlib.Path, *, steps: int = 12, samples: int = 16, size: int = 8) -> pathlib.Path:
    """Two runs, three analyzers."""
    for run in RUNS:
        with Writer(folder / run) as writer:
            write_samples(writer, run, samples, size)
            for tag in ANALYZERS:
                write_relevance(writer, run, tag, range(steps), samples, size)
    return folder


def _generator(*where: Any) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(repr(where).encode()))
