"""The format of an event of relevance: the contract between those who write events and the tab that shows them.

The plugin's data are sequences of blobs, one sequence per tag and step. The first blob is the header, a JSON object;
the others are arrays in the format of `.npy` files: all samples of the first section, then all of the second, and so
on. Small samples share a blob, for a read costs time however little it brings; large ones are alone in theirs, so that
what is not looked at need not be read.

There are two kinds of sequences. *Samples* are what is explained: a section for every input of the model. They are
written once. *Relevance* is what an analyzer found at one step: a section for every input, under the same name as among
the samples, one for every layer that was asked for, and one with the audit.

This module imports neither Keras nor TensorFlow, for TensorBoard loads it.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kerasexplain.foundation.untrusted import from_json, read_array_header

#: The name that marks the data as this plugin's.
PLUGIN = "relevance"
#: The version of the format; a reader refuses what is newer. Version 1 had other words (`RENAMED`).
VERSION = 2
#: The last part of the tag of samples; an analyzer's tag ends in its name.
SAMPLES = "samples"

#: What a section holds for every sample: values on a plane, `(height, width)` or `(height, width, channels)`; of a
#: signal, `(time, channels)`; of tokens, `(length,)` or `(length, features)`; other numbers of any shape; or "audit":
#: what each operation received, what its bias took, and what it lost, `(3, operations)`.
KINDS = ("image", "signal", "tokens", "numbers", "audit")
#: Kinds and roles by the words that version 1 had for them.
RENAMED = {"picture": "image", "books": "audit"}

#: So many samples share a blob at the most, and so many bytes.
BLOCK, BLOCK_BYTES = 16, 2**20


class FormatError(ValueError):
    """Data that are not in this format, or in a newer version of it."""


@dataclasses.dataclass(frozen=True)
class Section:
    """Arrays that belong together, one per sample.

    Attributes:
        name: Of the input or layer, or "conservation".
        kind: One of `KINDS`.
        role: "input", "layer" or "audit".
        first: The position of its first blob.
        count: How many samples there are.
        shape: Of a sample.
        block: How many samples share a blob, `(block, *shape)`; the last blob holds what is left.
    """

    name: str
    kind: str
    role: str
    first: int
    count: int
    shape: tuple[int, ...]
    block: int

    @property
    def end(self) -> int:
        """The position behind its last blob."""
        return self.first - (-self.count // self.block)

    def place(self, sample: int) -> tuple[int, int]:
        """The position of the blob that a sample is in, and its place there."""
        return self.first + sample // self.block, sample % self.block


@dataclasses.dataclass(frozen=True)
class Header:
    """The header of a sequence: all that is said of it besides its arrays.

    Attributes:
        sections: Where which arrays are.
        analyzer: The analyzer's name; None for samples.
        samples: The tag of the samples that were explained; None for samples.
        event: How many events of this tag were written before.
        neuron: Per sample what was explained: an index, a list of indices for outputs of higher rank, or text.
        explained: Per sample its value.
        prediction: Per sample the index of the largest output; None where there is no such thing.
        target: Per sample the index of the true class; None if it is not known.
        operations: The names of the operations in the audit.
        class_names: The names of the outputs; empty if they have none.
        titles: A name per sample; empty if they have none.
        tokens: By section, the tokens of every sample.
        features: By section of a table the names of its columns, of a signal those of its channels.
        largest: By section of values, per sample the largest |value| as it is drawn (`as_map`): what colours are scaled
            to, also of samples that are not read.
    """

    sections: tuple[Section, ...]
    analyzer: str | None = None
    samples: str | None = None
    event: int = 0
    neuron: list[Any] = dataclasses.field(default_factory=list)
    explained: list[float] = dataclasses.field(default_factory=list)
    prediction: list[int] | None = None
    target: list[int] | None = None
    operations: list[str] = dataclasses.field(default_factory=list)
    class_names: list[str] = dataclasses.field(default_factory=list)
    titles: list[str] = dataclasses.field(default_factory=list)
    tokens: dict[str, list[list[str]]] = dataclasses.field(default_factory=dict)
    features: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    largest: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    def section(self, name: str) -> Section:
        """The section of that name.

        Raises:
            FormatError: There is none.
        """
        for section in self.sections:
            if section.name == name:
                return section
        raise FormatError(f"there is no section {name!r}; there are {[section.name for section in self.sections]}")

    def to_blob(self) -> bytes:
        """As JSON."""
        return json.dumps({"version": VERSION, **dataclasses.asdict(self)}, separators=(",", ":")).encode()

    @classmethod
    def from_blob(cls, blob: bytes) -> Header:
        """The header in a blob that `to_blob` wrote.

        Raises:
            FormatError: The blob is something else, or of a newer version.
        """
        try:
            fields = from_json(blob)
            version = fields.pop("version")
            if version > VERSION:
                raise FormatError(f"the data are of version {version}; this kerasexplain reads up to {VERSION}")
            renamed = RENAMED if version == 1 else {}
            sections = tuple(_section(section, renamed) for section in fields["sections"])
            header = cls(**{**fields, "sections": sections})
        except FormatError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FormatError(f"no header of relevance data: {error}") from error
        for name, fits in header._fits().items():
            if not fits:
                raise FormatError(f"the header's {name!r} is damaged: {str(getattr(header, name))[:40]}")
        return header

    def _fits(self) -> dict[str, bool]:
        """By field, whether it holds what it should: JSON may hold anything."""
        return {
            "analyzer": self.analyzer is None or isinstance(self.analyzer, str),
            "samples": self.samples is None or isinstance(self.samples, str),
            "event": _is_list([self.event], int),
            "neuron": isinstance(self.neuron, list),
            "explained": _is_list(self.explained, int, float),
            "prediction": self.prediction is None or _is_list(self.prediction, int),
            "target": self.target is None or _is_list(self.target, int),
            "operations": _is_list(self.operations, str),
            "class_names": _is_list(self.class_names, str),
            "titles": _is_list(self.titles, str),
            "tokens": isinstance(self.tokens, dict)
            and all(_is_list(rows, list) and all(_is_list(row, str) for row in rows) for rows in self.tokens.values()),
            "features": isinstance(self.features, dict)
            and all(_is_list(names, str) for names in self.features.values()),
            "largest": isinstance(self.largest, dict)
            and all(_is_list(values, int, float) for values in self.largest.values()),
        }


def _section(fields: Mapping[str, Any], renamed: Mapping[str, str]) -> Section:
    """A section as a header has it, some of its words by newer ones."""
    words = {name: renamed.get(fields[name], fields[name]) for name in ("kind", "role")}
    return Section(**{**fields, **words, "shape": tuple(fields["shape"])})


def _is_list(value: Any, *types: type) -> bool:
    """Whether that is a list of values of some types; truth values are no numbers."""
    return isinstance(value, list) and all(isinstance(one, types) and not isinstance(one, bool) for one in value)


def blobs_of(
    arrays: Mapping[str, Sequence[np.ndarray]], kinds: Mapping[str, str], roles: Mapping[str, str], **told: Any
) -> list[bytes]:
    """A sequence of blobs.

    Args:
        arrays: By section, an array per sample, all of one shape.
        kinds, roles: By section.
        **told: The other fields of the header.
    """
    sections: list[Section] = []
    blobs: list[bytes] = []
    largest: dict[str, list[float]] = {}
    for name, samples in arrays.items():
        shape = tuple(int(size) for size in np.shape(samples[0])) if len(samples) else ()
        size = np.asarray(samples[0]).nbytes if len(samples) else 0
        block = max(1, min(BLOCK, BLOCK_BYTES // max(1, size)))
        sections.append(Section(name, kinds[name], roles[name], 1 + len(blobs), len(samples), shape, block))
        blobs += [array_to_blob(np.stack(samples[at : at + block])) for at in range(0, len(samples), block)]
        if kinds[name] != "audit":
            largest[name] = [_largest(as_map(sample, kinds[name])) for sample in samples]
    return [Header(tuple(sections), largest=largest, **told).to_blob(), *blobs]


def array_to_blob(array: np.ndarray) -> bytes:
    """An array in the format of `.npy` files."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def array_from_blob(blob: bytes) -> np.ndarray:
    """The array in a blob that `array_to_blob` wrote.

    Raises:
        FormatError: The blob is something else.
    """
    try:
        buffer = io.BytesIO(blob)
        shape, is_fortran, dtype = read_array_header(buffer)
        declared, held = math.prod(shape) * dtype.itemsize, len(blob) - buffer.tell()
        if declared != held:
            raise FormatError(f"its header says {dtype} {shape}, which does not fit the {held} bytes behind it")
        return np.ndarray(shape, dtype, blob, buffer.tell(), order="F" if is_fortran else "C")
    except Exception as error:  # whatever numpy's parser finds wrong with the header
        raise FormatError(f"no array: {error}") from error


def as_map(array: np.ndarray, kind: str) -> np.ndarray:
    """An array of that kind as a plane of float32, `(height, width)`, to be drawn.

    Channels of images, the last of three axes, are summed, and so is all that belongs to one token; those of signals
    are rows. What has one axis becomes a row, and what has more than three a row of its planes.
    """
    values = np.asarray(array, dtype=np.float64)
    if kind == "tokens":
        values = values.reshape(len(values), math.prod(values.shape[1:])).sum(axis=1)
    elif values.ndim >= 3:
        values = values.sum(axis=-1)
    if kind == "signal":
        values = values.T
    if values.ndim > 2:
        values = np.concatenate(values.reshape(-1, *values.shape[-2:]), axis=1)
    with np.errstate(over="ignore"):  # overflow of single precision is drawn as not finite
        return np.ascontiguousarray(np.atleast_2d(values), dtype=np.float32)


def _largest(values: np.ndarray) -> float:
    """The largest |value| of those that are finite."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
