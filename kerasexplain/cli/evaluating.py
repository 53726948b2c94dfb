"""The commands `evaluate` and `choose`: which analyzer to trust."""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasexplain.cli.arguments import (
    Parser,
    add_inputs,
    add_model,
    batch_size,
    check_files,
    check_place,
    check_target,
    key_and_value,
    labels_of,
    model_of,
    neuron_label,
    quiet,
    target_of,
    tell,
)
from kerasexplain.foundation.untrusted import read_arrays

if TYPE_CHECKING:
    from kerasexplain.evaluation.comparing import Comparing
    from kerasexplain.evaluation.naming import Chosen
    from kerasexplain.metrics.metric import Metric


def add(commands: Any) -> None:
    """Adds the two commands to a parser's."""
    common = Parser(add_help=False)
    add_model(common)
    add_inputs(common, "DATA")

    about = "measure analyzers on a model and write a page: which maps are true to the model"
    evaluate = commands.add_parser("evaluate", parents=[common], help=about)
    out = "the page, .html; finished analyzers are kept in a folder beside it, and a second run continues"
    evaluate.add_argument("-o", "--out", metavar="FILE", type=pathlib.Path, required=True, help=out)
    analyzers = "names that `list` shows, such as deep_lift or lrp.epsilon:epsilon=0.25; by default all"
    evaluate.add_argument("--analyzers", metavar="NAME[:KEY=VALUE,...]", nargs="+", help=analyzers)
    metrics = "names that `list --metrics` shows, such as region_perturbation:fill=blur,steps=60; the first ranks"
    evaluate.add_argument("--metrics", metavar="NAME[:KEY=VALUE,...]", nargs="+", help=metrics)
    masks = "where the object lies, for metrics of localisation: .npy, truth values (samples, height, width)"
    evaluate.add_argument("--masks", metavar="FILE", type=pathlib.Path, help=masks)
    evaluate.add_argument("--samples", metavar="N", type=int, help="how many samples are taken, at most")
    seconds = "an analyzer whose maps would take longer is skipped (60); 0 skips none"
    evaluate.add_argument("--seconds", type=float, default=60.0, help=seconds)
    size = "how many samples run at once; auto is as many as fit into memory"
    evaluate.add_argument("--batch-size", metavar="N|auto", type=batch_size, help=size)
    evaluate.set_defaults(run=_evaluate)

    choose = commands.add_parser("choose", parents=[common], help="find the analyzer that suits a model, and save it")
    out = "the analyzer, for load_analyzer"
    choose.add_argument("-o", "--out", metavar="FILE", type=pathlib.Path, required=True, help=out)
    choose.add_argument("--seconds", type=float, default=300.0, help="how long the search may take (300)")
    choose.add_argument("--seed", type=int, default=0, help="of whatever is drawn (0)")
    choose.set_defaults(run=_choose)


def metrics_table() -> str:
    """The table of all metrics."""
    from kerasexplain import tables
    from kerasexplain.evaluation import naming

    cells = [(name, kind.better, str(kind.__doc__).split("\n")[0]) for name, kind in naming.METRICS.items()]
    columns = [("name", "left"), ("which score is better", "left"), ("what it is", "left")]
    return tables.render("metrics", columns, cells, [])


def _evaluate(options: argparse.Namespace) -> None:
    _check_out(options.out, ".html")
    check_files(options.model, options.inputs, options.masks)
    if options.seconds < 0:
        raise ValueError(f"--seconds must not be negative, got {options.seconds:g}")
    labels = labels_of(options.labels) if options.labels else []
    target = None if options.target is None else target_of(options.target, labels)
    with quiet():
        from kerasexplain.evaluation.report.record import Record
        from kerasexplain.evaluation.report.report import Report
        from kerasexplain.evaluation.report.resuming import evaluate
        from kerasexplain.evaluation.report.verdict import headline
    # What is misspelt is told before the model is read, which may take long.
    analyzers = None if options.analyzers is None else _chosen(options.analyzers)
    metrics = None if options.metrics is None else [_metric(text) for text in options.metrics]
    run, names = _run(options, target, analyzers, metrics)
    limits = {"seconds": options.seconds or None, "batch_size": options.batch_size}
    record = Record(options.out.with_suffix(".work"), run, limits)
    finished = evaluate(run, record, limits=limits, told=lambda line: tell(line, as_error=True))
    comparison = run.comparison([each.trial for each in finished])
    shape = tuple(run.value.model.outputs[0].shape[1:])
    titles = [
        f"{name}: {neuron_label(neuron, labels, shape)}, {value:.4g}"
        for name, neuron, value in zip(names, run.samples.target, run.samples.explained, strict=False)
    ]
    command = shlex.join(["kerasexplain", *options.arguments])
    Report.of(comparison, finished, run.value.model, titles=titles, command=command).save(options.out)
    tell(comparison)
    tell(headline(comparison))
    tell(f"written: {options.out}; finished analyzers are in {record.folder}")


def _run(
    options: argparse.Namespace, target: Any, analyzers: dict[str, Chosen] | None, metrics: list[Metric] | None
) -> tuple[Comparing, list[str]]:
    """The comparison, and the names of the samples."""
    from kerasexplain.cli.pixels import pixels_of
    from kerasexplain.cli.reading import samples
    from kerasexplain.evaluation.comparing import Comparing
    from kerasexplain.evaluation.trials import CONTROLS

    model = model_of(options)
    check_target("--target", target, model.outputs[0].shape[1:])
    pixels, assumed = pixels_of(options.pixels, model, options.inputs)
    x, names = samples(options.inputs, model, pixels)
    if assumed:
        tell(f"kerasexplain: {assumed}", as_error=True)
    masks = None if options.masks is None else _masks(options.masks, len(names))
    # The controls alone, where analyzers have options of their own; these are put to the samples one by one.
    controls = None if analyzers is None else CONTROLS[:1]
    size = {} if options.batch_size is None else {"batch_size": options.batch_size}
    run = Comparing.of(model, x, controls, metrics, target=target, masks=masks, samples=options.samples, **size)
    if analyzers is not None:
        run = dataclasses.replace(run, analyzers={**run.analyzers, **analyzers})
    return run, names[: len(run.samples)]


def _choose(options: argparse.Namespace) -> None:
    _check_out(options.out, "")
    check_files(options.model, options.inputs)
    labels = labels_of(options.labels) if options.labels else []
    target = None if options.target is None else target_of(options.target, labels)
    with quiet():
        from kerasexplain import choose
        from kerasexplain.cli.pixels import pixels_of
    from kerasexplain.cli.reading import samples

    model = model_of(options)
    check_target("--target", target, model.outputs[0].shape[1:])
    pixels, assumed = pixels_of(options.pixels, model, options.inputs)
    x, _ = samples(options.inputs, model, pixels)
    if assumed:
        tell(f"kerasexplain: {assumed}", as_error=True)
    choice = choose(model, x, targets=target, seconds=options.seconds, seed=options.seed, verbose=1)
    choice.analyzer.save(options.out)
    tell(choice)
    tell(f"written: {options.out}")


def _chosen(texts: Sequence[str]) -> dict[str, Chosen]:
    """Analyzers by what is written for them."""
    from kerasexplain.evaluation.naming import Chosen

    found: dict[str, Chosen] = {}
    for text in texts:
        if text in found:
            raise ValueError(f"--analyzers {text!r} is given twice")
        found[text] = Chosen(*_named(text, "--analyzers"))
        found[text].check()
    return found


def _metric(text: str) -> Metric:
    from kerasexplain.evaluation.naming import create_metric

    name, options = _named(text, "--metrics")
    return create_metric(name, **options)


def _named(text: str, taker: str) -> tuple[str, dict[str, Any]]:
    """A name and options, from `NAME:KEY=VALUE,KEY=VALUE`."""
    name, colon, options = text.partition(":")
    if colon and not options:
        raise ValueError(f"{taker} {text!r}: no options follow the colon")
    pairs = [key_and_value(part.strip(), f"{taker} {name}:") for part in _parts(options)]
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise ValueError(f"{taker} {text!r}: an option is given twice")
    return name, dict(pairs)


def _parts(options: str) -> Iterator[str]:
    """The parts between commas, but for those within brackets."""
    depth, begin = 0, 0
    for place, letter in enumerate(options):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            yield options[begin:place]
            begin = place + 1
    if options:
        yield options[begin:]


def _masks(path: pathlib.Path, samples: int) -> np.ndarray:
    try:
        found = read_arrays(path)
    except ValueError as error:
        raise ValueError(f"--masks {str(path)!r} holds no array that can be read: {error}") from None
    if not isinstance(found, np.ndarray) or found.ndim == 0:
        raise ValueError(f"--masks takes one array, a .npy file; {str(path)!r} is none")
    if len(found) != samples:
        raise ValueError(f"--masks {str(path)!r} holds {len(found)} masks for {samples} samples")
    return found


def _check_out(out: pathlib.Path, suffix: str) -> None:
    if suffix and out.suffix != suffix:
        raise ValueError(f"--out must end in {suffix}, got {str(out)!r}")
    if out.is_dir():
        raise ValueError(f"--out must be a file, but {str(out)!r} is a folder")
    check_place(out)
