"""Datasets: explained sample by sample into a file, where an interruption loses nothing that was done."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from kerasexplain.analyzer import Analyzer
from kerasexplain.foundation.checks import check_choice, check_count
from kerasexplain.foundation.digests import of_model
from kerasexplain.foundation.errors import InputError
from kerasexplain.runtime.results import Progress
from kerasexplain.runtime.streams import behind
from kerasexplain.store.circumstances import MODEL, SHARD, check_path, check_same, circumstances, digest, told
from kerasexplain.store.format import PRECISIONS
from kerasexplain.store.reading import Store
from kerasexplain.store.source import source_of
from kerasexplain.store.writing import Arrays, StoreWriter


def analyze_dataset(
    analyzer: Analyzer,
    data: Any,
    path: str | os.PathLike[str],
    *,
    target: Any = None,
    keys: Sequence[Any] | None = None,
    layers: Sequence[str] = (),
    bias: bool = False,
    audit: bool | None = None,
    resume: bool = False,
    batch_size: int | None = None,
    unit: int = 256,
    shard: tuple[int, int] | None = None,
    precision: str | None = None,
    compression: str | None = "gzip",
    callback: Callable[[int], None] | None = None,
    verbose: int = 0,
) -> Store:
    """Explains a dataset into an HDF5 file, unit by unit; what is done is on the disk, whatever ends the process.

    Neither the data nor the results need fit into memory. After a kill, a full disk or a file cut off, `resume=True`
    takes back what was not finished and goes on; the file becomes what it would have been without the interruption.

    Args:
        analyzer: The analyzer; if it must be fitted, it has been.
        data: As for `Analyzer.analyze`: arrays (also on disk, such as `np.memmap` or HDF5 datasets), in a list or dict
            for a model with several inputs; or a stream of batches, which must come in the same order again to resume.
        path: The file.
        target: As for `Analyzer.analyze`.
        keys: A name for each sample, text or integers, such as the paths of images; by default their numbers.
        layers, bias: As for `Analyzer.explain`.
        audit: Whether sums of the audit are kept, per sample; None where the method has one.
        resume: Whether a file that is there is gone on with, if everything it was made of is as it was.
        batch_size: How many samples of arrays run at once; None for the analyzer's own, or 32 where that is "auto".
        unit: How many samples are written at once, at least: a multiple of the batch size. What is lost in an
            interruption is less than one unit.
        shard: `(index, count)`: this file gets one of so many parts, which processes or machines explain each by
            itself, and `join_stores` joins. Of arrays, which are all of the data, it is a run of whole units; a stream
            is that part of the data already, and keys are those of its samples.
        precision: What relevance is held in: "float16", "float32", "float64"; None for what it is computed in. Half
            precision is relative to the largest |relevance| of each sample, and its error is measured:
            `store.relevance.error`.
        compression: "gzip", "lzf", or None.
        callback: Called with the number of samples that are on the disk, after each unit.
        verbose: 1 shows a progress bar of what is on the disk.

    Returns:
        The store, complete.

    Raises:
        FileExistsError: The file is there, and `resume` is False.
        ValueError: The file is something else, is damaged, or was made of something else, which is told; the model has
            no weights yet, or they change meanwhile; or an option has no legal value.
        BlockingIOError: Another process writes to it.
        TypeError: The analyzer's configuration cannot be saved, so that no later run could know it again.
        OSError: There is no room, say; what was done is kept.
        InputError, NotFiniteError, MemoryError: As for `Analyzer.analyze`.

    Example:
        >>> store = analyze_dataset(analyzer, images, "relevance.h5", keys=paths, resume=True)
        >>> store.relevance[:100]
    """
    path = pathlib.Path(path).absolute()
    audit = analyzer.method.explains_audits if audit is None else audit
    own = analyzer.options.batch_size
    batch = batch_size if batch_size is not None else (own if isinstance(own, int) else 32)
    _check(precision, compression, unit, batch)
    check_path(path, resume)
    _check_shard(shard)
    unit = -(-unit // batch) * batch
    source = source_of(data, batch, analyzer, target, keys, (*(shard or (0, 1)), unit))
    made_of = circumstances(
        analyzer,
        **{
            "what is explained": told(target),
            "what is kept": {"layers": [getattr(one, "name", one) for one in layers], "bias": bias, "audit": audit},
            "the batch size": batch,
            "the form of the file": {"unit": unit, "precision": precision, "compression": compression},
            "the number of samples": source.whole,
            **source.told_of_keys(),
            **({} if shard is None else {SHARD: list(shard)}),
        },
    )
    identity = digest(made_of)
    writer = StoreWriter(path, identity, unit, precision, compression)
    try:
        held = None if writer.state is None else Store(path)
        if held is not None:
            check_same(held, made_of)
            source.check_held(held)
            if held.is_complete:
                source.check_complete(held)
                writer.finish()
                return held
        progress = Progress(source.total) if verbose else None
        if progress is not None:
            progress(writer.samples)
        asked = {"layers": layers, "bias": bias, "audit": audit}
        record = {"analyzer": analyzer.description, "model": analyzer.model.name, "made_of": made_of}

        def write(part: Arrays) -> None:
            writer.append(part, record)
            if progress is not None:
                progress(len(part["explained"]))
            if callback is not None:
                callback(writer.samples)

        with behind(write) as later:
            for part in _units(source.explained(analyzer, held, asked, record), unit):
                later(part)
        if writer.state is None:
            raise InputError("there is no data: it holds no sample")
        if of_model(analyzer.model) != made_of[MODEL]:
            raise ValueError(f"{MODEL} changed while samples were explained: {str(path)!r} holds samples of both")
        writer.append({}, record, is_complete=True)
        writer.finish()
        if progress is not None and source.total is None:
            progress.end()
    finally:
        writer.close()
    return Store(path)


def _check(precision: Any, compression: Any, unit: Any, batch: Any) -> None:
    check_choice("precision", precision, (None, *PRECISIONS))
    check_choice("compression", compression, ("gzip", "lzf", None))
    check_count("unit", unit)
    check_count("batch_size", batch)


def _check_shard(shard: Any) -> None:
    if shard is None:
        return
    is_pair = isinstance(shard, (tuple, list)) and len(shard) == 2 and all(type(one) is int for one in shard)
    if not is_pair or not 0 <= shard[0] < shard[1]:
        raise ValueError(f"shard is (index, count) with an index from 0 to count - 1, got {shard!r}")


def _units(parts: Iterator[Arrays], unit: int) -> Iterator[Arrays]:
    """The same rows, in parts of `unit` rows; the last may have less."""
    held: list[Arrays] = []
    count = 0
    for part in parts:
        held.append(part)
        count += len(part["explained"])
        while count >= unit:
            whole = _joined(held)
            yield {name: array[:unit] for name, array in whole.items()}
            count -= unit
            held = [{name: array[unit:] for name, array in whole.items()}]
    if count:
        yield _joined(held)


def _joined(parts: Sequence[Arrays]) -> Arrays:
    sizes = [{name: array.shape[1:] for name, array in part.items()} for part in parts]
    for i, size in enumerate(sizes):
        different = [name for name in size if size[name] != sizes[0].get(name)]
        if different:
            name = different[0]
            raise ValueError(
                f"the samples differ in size: {name} is of {sizes[0].get(name)} and, in batch {i} from there, of "
                f"{size[name]}. A store holds samples of one size: make one store for each"
            )
    return parts[0] if len(parts) == 1 else {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
