"""The command `kerasexplain`: explains pictures and arrays from the shell.

Keras is imported when a command needs it: `kerasexplain --help` answers at once.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasexplain import __version__

if TYPE_CHECKING:
    import keras

    from kerasexplain.analyzer import Analyzer
    from kerasexplain.explanation import Explanation

PICTURES = (".png", ".jpg", ".jpeg")
OUTPUTS = (".npy", ".npz", ".h5", ".png")
INSTALL_VIZ = 'pictures need matplotlib and Pillow: pip install "kerasexplain[viz]"'


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: What follows `kerasexplain` in the shell; by default, what does.

    Returns:
        The exit status: 0, or 2 after an error of the user's, which is told in one line on stderr.
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (OSError, ValueError, IndexError, ImportError) as error:
        print("kerasexplain: error: " + " ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kerasexplain", description="Relevance propagation for Keras models.")
    parser.add_argument("--version", action="version", version=f"kerasexplain {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    listing = commands.add_parser("list", help="list the analyzers")
    listing.set_defaults(run=_list)

    model = argparse.ArgumentParser(add_help=False)
    model.add_argument("model", metavar="MODEL", type=pathlib.Path, help="a .keras or .h5 file")
    chosen = argparse.ArgumentParser(add_help=False)
    chosen.add_argument("--analyzer", "-a", metavar="NAME", required=True, help="a name that `list` shows")
    chosen.add_argument(
        *("--option", "-O"),
        **{"action": "append", "default": [], "metavar": "KEY=VALUE", "dest": "options"},
        help="an option of the analyzer, such as epsilon=0.1; may be repeated",
    )

    rules = commands.add_parser("rules", parents=[model, chosen], help="show which rule every operation follows")
    rules.set_defaults(run=lambda options: print(_analyzer(options)))

    explain = commands.add_parser("explain", parents=[model, chosen], help="explain pictures or arrays")
    explain.add_argument(
        *("inputs",),
        **{"nargs": "+", "metavar": "INPUT", "type": pathlib.Path},
        help="pictures (png, jpg), folders of them, or arrays (npy, npz), one sample or a batch",
    )
    explain.add_argument(
        *("--out", "-o"),
        **{"required": True, "type": pathlib.Path},
        help="raw relevance as .npy, with what was explained as .npz or .h5; a picture as .png; "
        "or a folder, for a picture per input",
    )
    explain.add_argument("--target", help="what is explained: an index or a label; by default the largest output")
    explain.add_argument("--labels", type=pathlib.Path, help="a text file with the name of one class per line")
    explain.add_argument(
        *("--range",),
        **{"nargs": 2, "type": float, "metavar": ("LOW", "HIGH"), "dest": "scaled"},
        help="what the model expects of pixels, such as -1 1; by default they stay 0 to 255",
    )
    explain.add_argument("--audit", action="store_true", help="show where the relevance went")
    explain.add_argument("--batch-size", type=int, help="how many samples run at once")
    explain.add_argument(
        "--jit", action=argparse.BooleanOptionalAction, help="whether XLA compiles; by default not on a CPU"
    )
    explain.set_defaults(run=_explain)

    demo = commands.add_parser("demo", help="train a small network on handwritten digits and explain it")
    demo.add_argument("--out", "-o", type=pathlib.Path, default=pathlib.Path("demo"), help="a folder")
    demo.set_defaults(run=_demo)
    return parser


def _list(options: argparse.Namespace) -> None:
    with _quiet():
        from kerasexplain import registry, tables

        cells = [(name, (registry.find(name).__doc__ or "").strip().split("\n")[0]) for name in registry.names()]
    print(tables.render("analyzers", [("name", "left"), ("what it is", "left")], cells, []))


def _demo(options: argparse.Namespace) -> None:
    with _quiet():
        from kerasexplain import demo
    print(demo.run(options.out))


def _explain(options: argparse.Namespace) -> None:
    _check_out(options.out)
    analyzer = _analyzer(options)
    labels = options.labels.read_text(encoding="utf-8").splitlines() if options.labels else []
    target = None if options.target is None else _target(options.target, labels)
    x, names = _inputs(options.inputs, analyzer.model, options.scaled)
    explanation = analyzer.explain(x, target, batch_size=options.batch_size, verbose=int(len(names) > 1))
    if len(names) <= 20:
        for title in _titles(explanation, names, labels):
            print(title.replace("\n", ": ", 1).replace("\n", ", "))
    _write(options.out, explanation, x, names, labels)
    if options.audit:
        print(analyzer.audit(x, target))
    print(f"written: {options.out}")


def _analyzer(options: argparse.Namespace) -> Analyzer:
    given = dict(_key_and_value(option) for option in options.options)
    if getattr(options, "jit", None) is not None:
        given["jit_compile"] = options.jit
    with _quiet():
        from kerasexplain.create import create_analyzer

    # A wrong name is told before the model is read, which may take long.
    from kerasexplain import registry

    registry.find(options.analyzer)
    return create_analyzer(options.analyzer, _model(options.model), **given)


def _key_and_value(option: str) -> tuple[str, Any]:
    key, equals, text = option.partition("=")
    if not key or not equals:
        raise ValueError(f"--option takes KEY=VALUE, got {option!r}")
    try:
        return key, ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return key, text  # a name, such as a rule's


def _model(path: pathlib.Path) -> keras.Model:
    import keras

    if not path.exists():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # whatever Keras, h5py or zipfile find wrong with the file
        raise ValueError(f"{str(path)!r} holds no Keras model that can be loaded: {error}") from None
    return model


def _target(text: str, labels: Sequence[str]) -> int:
    if text.lstrip("-").isdecimal():
        return int(text)
    if not labels:
        raise ValueError(f"--target {text!r} is no index, and there are no --labels that it could be one of")
    for index, label in enumerate(labels):
        if text == label or text in (name.strip() for name in label.split(",")):
            return index
    from kerasexplain.errors import nearest

    hint = nearest(text, labels) if len(labels) <= 20 else ""
    raise ValueError(f"--target {text!r} is none of the {len(labels)} labels.{hint}")


def _inputs(paths: Sequence[pathlib.Path], model: keras.Model, scaled: Sequence[float] | None) -> tuple[Any, list[str]]:
    """The samples of all files as the model takes them, and a name for each."""
    if len(model.inputs) > 1:
        return _several_inputs(paths, [tensor.name for tensor in model.inputs])
    shape = tuple(model.inputs[0].shape[1:])
    samples: list[np.ndarray] = []
    names: list[str] = []
    for path in _progress(_files(paths)):
        given = _arrays(path, shape) if path.suffix.lower() in (".npy", ".npz") else {path.stem: _picture(path, shape)}
        for name, array in given.items():
            batch = array if array.ndim == len(shape) + 1 else array[None]
            if scaled is not None and batch.dtype == np.uint8:  # pixels; other numbers are what the model takes
                batch = (scaled[0] + (scaled[1] - scaled[0]) / 255 * batch).astype(np.float32)
            samples.append(batch)
            names.extend([name] if len(batch) == 1 else [f"{name}-{i}" for i in range(len(batch))])
    sizes = {sample.shape[1:] for sample in samples}
    if len(sizes) > 1:
        raise ValueError(f"the inputs have different shapes, {sorted(sizes)}: explain them one by one")
    return np.concatenate(samples), names


def _several_inputs(paths: Sequence[pathlib.Path], names: list[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    if len(paths) > 1 or paths[0].suffix != ".npz":
        raise ValueError(f"the model has {len(names)} inputs: pass one .npz file that holds the arrays {names}")
    x = _loaded(paths[0])
    return x, [f"{paths[0].stem}-{i}" for i in range(len(next(iter(x.values()))))]


def _files(paths: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    files: list[pathlib.Path] = []
    for path in paths:
        if path.is_dir():
            pictures = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES)
            if not pictures:
                raise ValueError(f"the folder {str(path)!r} holds no picture ({', '.join(PICTURES)})")
            files.extend(pictures)
        elif path.exists():
            files.append(path)
        else:
            raise FileNotFoundError(f"there is no file {str(path)!r}")
    return files


def _progress(files: list[pathlib.Path]) -> Iterator[pathlib.Path]:
    import rich.console
    import rich.progress

    console = rich.console.Console(stderr=True)
    yield from rich.progress.track(files, "reading", console=console, transient=True, disable=len(files) < 2)


def _loaded(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        loaded = np.load(path, allow_pickle=False)
        return dict(loaded) if path.suffix.lower() == ".npz" else {path.stem: loaded}
    except Exception as error:  # numpy raises what its readers do: ValueError, EOFError, BadZipFile ...
        raise ValueError(f"{str(path)!r} holds no arrays that numpy can read: {error}") from None


def _arrays(path: pathlib.Path, shape: tuple[int | None, ...]) -> dict[str, np.ndarray]:
    """The arrays of a file that fit the model's input, as one sample or as a batch."""
    arrays = _loaded(path)
    fitting = {name: array for name, array in arrays.items() if _fits(array, shape) or _fits(array[:1], (1, *shape))}
    if not fitting:
        held = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"nothing in {str(path)!r} ({held}) fits the model's input of shape {_shown(shape)}")
    left_out = [name for name in arrays if name not in fitting]
    if left_out:
        print(f"{path}: left out {', '.join(left_out)}, which do not fit the model's input", file=sys.stderr)
    return fitting


def _fits(array: np.ndarray, shape: tuple[int | None, ...]) -> bool:
    return array.ndim == len(shape) and all(
        known in (None, size) for known, size in zip(shape, array.shape, strict=True)
    )


def _picture(path: pathlib.Path, shape: tuple[int | None, ...]) -> np.ndarray:
    """A picture cut and resized to the model's input, in its colours: grey for one channel, RGB for three."""
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise ImportError(INSTALL_VIZ) from None

    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    channels = shape[2] if len(shape) == 3 else 1
    if len(shape) not in (2, 3) or channels not in modes:
        expected = "(height, width, 1, 3 or 4 channels)"
        raise ValueError(f"the model's input has shape {_shown(shape)}, which is no picture's, {expected}: pass .npy")
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file).convert(modes[channels])
    except OSError:
        raise ValueError(f"{str(path)!r} holds no picture that can be read") from None
    size = (shape[1] or image.width, shape[0] or image.height)
    pixels = np.asarray(ImageOps.fit(image, size))
    return pixels[..., None] if len(shape) == 3 and channels == 1 else pixels


def _shown(shape: tuple[int | None, ...]) -> str:
    return str(("batch", *shape)).replace("'", "")


def _check_out(out: pathlib.Path) -> None:
    if out.suffix and out.suffix not in OUTPUTS and not out.is_dir():
        raise ValueError(f"--out must be a folder, or end in {', '.join(OUTPUTS)}; got {str(out)!r}")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {str(out.parent)!r} to write {out.name!r} to")


def _titles(explanation: Explanation, names: Sequence[str], labels: Sequence[str]) -> list[str]:
    """Per sample its name, the class that was explained, and that class's output."""
    neurons = np.broadcast_to(explanation.neuron, len(names)) if np.ndim(explanation.neuron) < 2 else explanation.neuron
    classes = [
        labels[neuron].split(",")[0] if np.ndim(neuron) == 0 and neuron < len(labels) else f"class {neuron}"
        for neuron in neurons
    ]
    rows = zip(names, classes, explanation.explained, strict=True)
    return [f"{name}\n{label}\n{float(value):.4g}" for name, label, value in rows]


def _write(out: pathlib.Path, explanation: Explanation, x: Any, names: Sequence[str], labels: Sequence[str]) -> None:
    relevance = explanation.relevance
    if out.suffix == ".h5":
        explanation.save(out)
    elif out.suffix == ".npz":
        arrays = relevance if isinstance(relevance, dict) else {"relevance": relevance}
        np.savez(out, **arrays, neuron=explanation.neuron, explained=explanation.explained, names=np.array(names))
    elif out.suffix == ".npy":
        if isinstance(relevance, dict):
            raise ValueError("the model has several inputs: write their relevance to .npz or .h5")
        np.save(out, relevance)
    else:
        _write_pictures(out, explanation, x, names, labels)


def _write_pictures(
    out: pathlib.Path, explanation: Explanation, x: Any, names: Sequence[str], labels: Sequence[str]
) -> None:
    from kerasexplain import visualize

    relevance, titles = explanation.relevance, _titles(explanation, names, labels)
    heading = explanation.analyzer["analyzer"]
    if out.suffix == ".png":
        # Few pixels of a large picture hold most of its relevance: with the largest as the limit, the rest is white.
        visualize.grid(x, {heading: relevance}, labels=titles, cell=2.0, percentile=99.5).save(out)
        return
    out.mkdir(exist_ok=True)
    for i, (name, title) in enumerate(zip(names, titles, strict=True)):
        one = slice(i, i + 1)
        picture = visualize.grid(x[one], {heading: relevance[one]}, labels=[title], cell=3.0, percentile=99.5)
        picture.save(out / f"{name}.png")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what TensorFlow has to say while it is imported off the screen.

    Its first messages are written to file descriptor 2 before any of its settings is read: see
    https://github.com/tensorflow/tensorflow/issues/100442.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "keras" in sys.modules:
        yield
        return
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with pathlib.Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


if __name__ == "__main__":
    sys.exit(main())
