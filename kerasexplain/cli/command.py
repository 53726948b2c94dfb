"""The command `kerasexplain`: explains images and arrays from the shell.

Keras is imported when a command needs it: `kerasexplain --help` answers at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasexplain import __version__
from kerasexplain.cli import evaluating
from kerasexplain.cli.arguments import (
    Parser,
    add_inputs,
    add_model,
    add_range,
    batch_size,
    check_files,
    check_target,
    key_and_value,
    labels_of,
    model_of,
    pair,
    quiet,
    target_of,
    tell,
)
from kerasexplain.cli.writing import check_fits, check_out, log, titles_of, write
from kerasexplain.foundation.errors import without_backend
from kerasexplain.foundation.text import visible

if TYPE_CHECKING:
    from kerasexplain.analyzer import Analyzer

#: Errors that tell what is wrong with what was asked for; any other is a mistake of ours, or of what we call.
USERS = (OSError, ValueError, IndexError, ImportError, ArithmeticError)
#: On every kind of network in docs/which-analyzer.md among the best, and it takes a single pass.
DEFAULT = "lrp.epsilon"
#: More samples than this are not told one by one.
MOST_TITLES = 32


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: What follows `kerasexplain` in the shell; by default, what does.

    Returns:
        The exit status: 0; 2 after an error, which is told in one line on stderr; 130 where the user interrupts.
    """
    options = _parser().parse_args(arguments)
    options.arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warned_once()
            options.run(options)
    except BrokenPipeError:  # `kerasexplain list | head`: nobody reads on, and Python must not try at its exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        tell("kerasexplain: interrupted", as_error=True)
        return 130
    except Exception as error:
        tell(f"kerasexplain: error: {_said(error)}", as_error=True)
        return 2
    return 0


def _warned_once() -> Callable[..., None]:
    """Tells each warning once, in one line, without the place in the source that raised it."""
    told: set[str] = set()

    def warned(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        line = " ".join(str(message).split())
        if line not in told:
            tell(f"kerasexplain: warning: {line}", as_error=True)
        told.add(line)

    return warned


def _said(error: Exception) -> str:
    """An error in one line; with its type where it is none that a user can be expected to mend."""
    said = " ".join((without_backend(error) or str(error)).split())
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        said = f"{str(error.filename)!r}: {error.strerror}"
    if isinstance(error, USERS):
        return said
    return f"{said} ({type(error).__name__})".strip()


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="kerasexplain", description="Relevance propagation for Keras models.")
    parser.add_argument("--version", action="version", version=f"kerasexplain {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="list the analyzers, or the options of one")
    listing.add_argument("name", metavar="NAME", nargs="?", help="an analyzer, whose options are told")
    listing.add_argument("--rules", action="store_true", help="show which operations follow which rule instead")
    listing.add_argument("--metrics", action="store_true", help="list the metrics of `evaluate` instead")
    listing.set_defaults(run=_list)

    common = Parser(add_help=False)
    add_model(common)
    name = f"a name that `list` shows; by default {DEFAULT}, which is among the best on all kinds of networks"
    common.add_argument("-a", "--analyzer", metavar="NAME", default=DEFAULT, help=name)
    option = "an option of the analyzer, such as epsilon=0.1; may be repeated"
    common.add_argument(
        "-O", "--option", metavar="KEY=VALUE", type=pair, action="append", default=[], dest="given", help=option
    )

    rules = commands.add_parser("rules", parents=[common], help="show which rule every operation follows")
    rules.set_defaults(run=_rules)

    explain = commands.add_parser("explain", parents=[common], help="explain images or arrays")
    add_inputs(explain, "INPUT")
    out = (
        "relevance as .npy; with what was explained as .npz or .h5; a picture as .png, or a folder of pictures: of "
        "images, tables, signals, volumes and several inputs"
    )
    explain.add_argument("-o", "--out", type=pathlib.Path, help=out)
    board = "a folder of logs: TensorBoard shows the relevance, under the analyzer's name"
    explain.add_argument("--tensorboard", metavar="DIR", type=pathlib.Path, help=board)
    against = "an index or a label: what is explained is the target less this output"
    explain.add_argument("--against", metavar="INDEX|LABEL", help=against)
    data = "images, folders or arrays that the analyzer is fitted to, if it needs to be (patterns, a mean)"
    explain.add_argument("--fit", metavar="INPUT", type=pathlib.Path, nargs="+", help=data)
    audit = "show where the relevance went; needs no --out"
    explain.add_argument("--audit", action="store_true", help=audit)
    resume = "write --out FILE.h5 piece by piece, and go on with it after an interruption: for many inputs"
    explain.add_argument("--resume", action="store_true", help=resume)
    size = "how many samples run at once; auto is as many as fit into memory"
    explain.add_argument("--batch-size", metavar="N|auto", type=batch_size, help=size)
    jit = "whether XLA compiles; by default on an accelerator only"
    explain.add_argument("--jit", action=argparse.BooleanOptionalAction, help=jit)
    explain.set_defaults(run=_explain)

    about = "write functions that explain, for programs without this library and Keras"
    export = commands.add_parser("export", parents=[common], help=about)
    folder = "the folder, which is made; a former export in it is replaced"
    export.add_argument("-o", "--out", metavar="DIR", type=pathlib.Path, required=True, help=folder)
    export.add_argument("--fit", metavar="INPUT", type=pathlib.Path, nargs="+", help=data)
    add_range(export)
    size = "how many samples every call has, for models whose code has to know; by default any number"
    export.add_argument("--batch-size", metavar="N", type=int, help=size)
    export.set_defaults(run=_export)

    evaluating.add(commands)

    demo = commands.add_parser("demo", help="train a small network on handwritten digits and explain it")
    demo.add_argument("-o", "--out", type=pathlib.Path, default=pathlib.Path("demo"), help="a folder (demo)")
    demo.set_defaults(run=_demo)

    viewer = commands.add_parser("board", help="show relevance that was logged during training, in TensorBoard")
    viewer.add_argument("logs", metavar="DIR", type=pathlib.Path, help="the folder with the logs")
    viewer.add_argument("--port", type=int, help="where TensorBoard answers (6006, or the next that is free)")
    viewer.add_argument("--host", help="whom it answers; by default this machine alone")
    viewer.set_defaults(run=_board)
    return parser


def _list(options: argparse.Namespace) -> None:
    if options.name is not None and (options.rules or options.metrics):
        raise ValueError("--rules and --metrics list all that there are: leave the name out")
    if options.metrics:
        with quiet():
            tell(evaluating.metrics_table())
        return
    from kerasexplain import listing, tables

    if options.name is not None:
        tell(listing.options_table(options.name).text())
        return
    heading, describe = "what it is", _about
    if options.rules:
        with quiet():
            from kerasexplain import registry
        heading, describe = "rules, the first match first", lambda name: _rules_of(registry.find(name))
    cells = [(name, describe(name)) for name in listing.names()]
    notes = [] if options.rules else ["kerasexplain list NAME tells the options of one"]
    tell(tables.render("analyzers", [("name", "left"), (heading, "left")], cells, notes))


def _about(name: str) -> str:
    """The first line of what an analyzer says of itself."""
    from kerasexplain import listing

    return listing.listed(name).about


def _rules_of(kind: Any) -> str:
    """The rules of an analyzer that needs no options, as text."""
    from kerasexplain.compiler.assign import described
    from kerasexplain.rules import Ignore, WinnerTakesAll

    missing = [field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING]
    if missing:
        return f"needs {', '.join(missing)}"
    try:
        composite = kind().composite()
    except ValueError as error:
        return str(error)
    pairs = [f"{described(match)}: {rule!r}" for match, rule in composite.rules]
    own = {"nonlinearities": composite.elementwise, "maxima": composite.maximum}
    usual = (None, Ignore(), WinnerTakesAll())
    changed = [f"{what}: {rule!r}" for what, rule in own.items() if rule not in usual]
    return "; ".join([*pairs, *changed]) or "none"


def _demo(options: argparse.Namespace) -> None:
    with quiet():
        from kerasexplain.cli import demo
    tell(demo.run(options.out))


def _board(options: argparse.Namespace) -> None:
    if not options.logs.is_dir():
        raise FileNotFoundError(f"there is no folder {str(options.logs)!r}")
    with quiet():
        from kerasexplain.tensorboard import board

        board.load()
    board.run(options.logs, port=options.port, host=options.host)


def _rules(options: argparse.Namespace) -> None:
    check_files(options.model)
    tell(_analyzer(options, {}))


def _explain(options: argparse.Namespace) -> None:
    check_files(options.model, options.inputs, options.fit)
    check_out(options.out, options.tensorboard, needed=not options.audit)
    if options.resume and (options.out is None or options.out.suffix != ".h5" or options.tensorboard is not None):
        raise ValueError("--resume writes a store: it takes --out FILE.h5, and no --tensorboard")
    labels = labels_of(options.labels) if options.labels else []
    target, against = _selection(options, labels)
    chosen = {"batch_size": options.batch_size, "jit_compile": options.jit}
    analyzer = _analyzer(options, {name: value for name, value in chosen.items() if value is not None})
    from kerasexplain.cli.pixels import pixels_of
    from kerasexplain.cli.reading import samples
    from kerasexplain.runtime.selection import Contrast

    shape = analyzer.graph.explained.shape[1:]
    check_target("--target", target, shape)
    check_target("--against", against, shape)
    selected = target if against is None else Contrast(target, against=against)
    options.pixels, assumed = pixels_of(options.pixels, analyzer.model, [*options.inputs, *(options.fit or ())])
    if options.fit:
        analyzer.fit(samples(options.fit, analyzer.model, options.pixels)[0])
    if options.resume:
        _into_store(options, analyzer, selected)
        _note(assumed)
        return
    x, names = samples(options.inputs, analyzer.model, options.pixels)
    check_fits(options.out, x, names)
    many = len(names) > MOST_TITLES
    audit = options.audit or (options.tensorboard is not None and analyzer.method.explains_audits)
    explanation = analyzer.explain(x, selected, audit=audit, verbose=int(many))
    titles = titles_of(explanation, names, labels)
    _note(assumed)
    if not many:
        tell("\n".join(map(visible, titles)))
    if options.out is not None:
        write(options.out, explanation, x, names, titles)
    if options.tensorboard is not None:
        log(options.tensorboard, explanation, x, names, labels)
    if explanation.reference is not None:
        error = np.abs(explanation.completeness_error).max()
        tell(f"sum of relevance less the change from the baseline: {error:.2g} at most")
    if options.audit:
        tell(explanation.audit)
    for written in (options.out, options.tensorboard):
        if written is not None:
            tell(f"written: {written}")


def _export(options: argparse.Namespace) -> None:
    check_files(options.model, options.fit)
    analyzer = _analyzer(options, {})
    if options.fit:
        from kerasexplain.cli.pixels import pixels_of
        from kerasexplain.cli.reading import samples

        pixels, assumed = pixels_of(options.pixels, analyzer.model, options.fit)
        analyzer.fit(samples(options.fit, analyzer.model, pixels)[0])
        _note(assumed)
    analyzer.export(options.out, batch_size=options.batch_size)
    tell(f"written: {options.out}")


def _note(assumed: str) -> None:
    """Tells what was assumed, once it is known that there is a result."""
    if assumed:
        tell(f"kerasexplain: {assumed}", as_error=True)


def _into_store(options: argparse.Namespace, analyzer: Analyzer, target: Any) -> None:
    """Explains all inputs into a store, however many there are."""
    from kerasexplain.cli.reading import stream
    from kerasexplain.store import analyze_dataset

    size = 32 if options.batch_size in (None, "auto") else options.batch_size
    data, keys = stream(options.inputs, analyzer.model, options.pixels, size)
    store = analyze_dataset(
        analyzer, data, options.out, target=target, keys=keys, batch_size=size, resume=True, verbose=1
    )
    if options.audit:
        tell("\n".join(f"{name}: {value:.6g} (mean of {len(store)})" for name, value in store.totals().items()))
    tell(f"written: {options.out} ({len(store)} samples; kerasexplain.store.Store reads it)")


def _analyzer(options: argparse.Namespace, chosen: dict[str, Any]) -> Analyzer:
    given = dict(key_and_value(option) for option in options.given)
    for taken in ("name", "model", "example"):  # which the library takes, and no text can say
        if taken in given:
            raise ValueError(f"--option takes options of the analyzer, and {taken!r} is none")
    from kerasexplain import listing

    # A wrong name is told before Keras is imported and the model is read, which may take long.
    name, colon, pairs = options.analyzer.partition(":")
    if colon and name in listing.names():
        raise ValueError(f"--analyzer takes a name alone: its options are given by -O, as in -a {name} -O {pairs}")
    listing.listed(options.analyzer)
    with quiet():
        from kerasexplain import create
    return create.create_analyzer(options.analyzer, model_of(options), **given, **chosen)


def _selection(options: argparse.Namespace, labels: Sequence[str]) -> tuple[Any, Any]:
    """The neuron to explain, and the one that it is compared with."""
    if options.target is None and options.against is not None:
        raise ValueError("--against needs a --target that it is compared with")
    target, against = (None if text is None else target_of(text, labels) for text in (options.target, options.against))
    if target is not None and target == against:
        raise ValueError("--target and --against are the same output")
    return target, against
