"""Writes docs/models.md: what every architecture of keras.applications, and many of keras_hub, does under LRP.

    python docs/models.py                         # everything, and the page
    python docs/models.py hub ViT BERT            # some of them, on the screen

Every architecture runs in a process of its own, with random weights: nothing is downloaded. With `--cache FILE` what
has been measured is kept there, and not measured again.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Beside this script, wherever it is run or imported from.
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import keras
import numpy as np
from architectures import applications, hub
from architectures.subject import Subject

from kerasexplain import create_analyzer

PAGE = pathlib.Path(__file__).parent / "models.md"
HEAD = """# Architectures

Made by `python docs/models.py`, with {versions}.

Every architecture with random weights, random biases, gains (0.5 to 1.5; 0.3 to 0.9 in EfficientNetV2S to L, which
else amplify rounding without bound) and BatchNormalization statistics, on two random samples; text has its last third
padded. The architectures of keras.applications are whole, at their smallest legal input; those of keras_hub are tiny,
with two layers of a few channels. Where an architecture is not explained, the reason is kerasexplain's own message.

* **operations**: how many the explained graph has; all of them are understood.
* **predicts**: the largest difference between the twin's output and the model's, relative to the largest output.
* **closes**: under `lrp.bias_as_input`, how far relevance of inputs and biases is from adding up to the explained
  output, relative to the sum of its absolute values; in single and in double precision.
* **epsilon_plus**: whether `lrp.epsilon_plus` gives finite numbers.
* **trace**: seconds that `create_analyzer` takes.
"""
TABLE = """| architecture | {column} | operations | predicts | closes (32) | closes (64) | epsilon_plus | trace |
|---|---|--:|--:|--:|--:|---|--:|
"""
DTYPES = ("float32", "float64")


def check(subject: Subject) -> dict[str, Any]:
    """The results of LRP on a model, in numbers."""
    model, x = subject.model, subject.x
    options = {"example": x} if subject.needs_example else {}
    start = time.perf_counter()
    analyzer = create_analyzer("lrp.bias_as_input", model, **options)
    seconds = time.perf_counter() - start
    expected = keras.tree.flatten(model.predict(x, verbose=0))
    neuron = neuron_of(expected[0])
    explanation = analyzer.explain(x, neuron, bias=True)
    relevance = per_sample(explanation.relevance) + per_sample(explanation.bias)
    magnitude = per_sample(keras.tree.map_structure(np.abs, explanation.relevance))
    magnitude = magnitude + per_sample({name: np.abs(b) for name, b in explanation.bias.items()})
    given = keras.tree.flatten(explanation.output)
    of_rules = keras.tree.flatten(create_analyzer("lrp.epsilon_plus", model, **options).analyze(x, neuron))
    return {
        "operations": len(analyzer.rows),
        "seconds": seconds,
        "predicts": max(relative_difference(y, z) for y, z in zip(given, expected, strict=True)),
        "closes": float(np.max(np.abs(relevance - explanation.explained) / np.maximum(magnitude, 1e-30))),
        "finite": all(bool(np.isfinite(array).all()) for array in of_rules),
        "reaches": bool(np.all(per_sample(keras.tree.map_structure(np.abs, explanation.relevance)) > 0)),
    }


def neuron_of(output: np.ndarray) -> int | tuple[int, ...]:
    """The strongest channel two thirds into the output, which is before the padding of a text."""
    position = tuple(max(2 * size // 3 - 1, 0) for size in output.shape[1:-1])
    channel = int(np.argmax(np.abs(output[(slice(None), *position)]).sum(axis=0)))
    return (*position, channel) if position else channel


def per_sample(arrays: Any) -> np.ndarray:
    """The sum over everything but samples."""
    flat = [array.reshape(len(array), -1).sum(axis=1, dtype="float64") for array in keras.tree.flatten(arrays)]
    return np.sum(flat, axis=0)


def relative_difference(y: np.ndarray, z: np.ndarray) -> float:
    y, z = y.astype("float64"), z.astype("float64")
    return float(np.max(np.abs(y - z)) / max(float(np.max(np.abs(z))), 1e-30))


@dataclasses.dataclass(frozen=True)
class Collection:
    """Where architectures come from.

    Attributes:
        title: What it is called.
        column: What the second column of its table says.
        names: Gives the architectures.
        build: Gives, by name, a model and inputs for it.
        at_once: How many are measured in one process.
    """

    title: str
    column: str
    names: Callable[[], list[str]]
    build: Callable[[str], Subject]
    at_once: int


COLLECTIONS = {
    "applications": Collection("keras.applications", "input", applications.names, applications.build, at_once=1),
    "hub": Collection("keras_hub", "inputs", hub.names, hub.build, at_once=8),
}


def measure(collection: str, name: str) -> dict[str, Any]:
    """One architecture in every precision; where something fails, why."""
    found: dict[str, Any] = {"name": name, "input": ""}
    for dtype in DTYPES:
        keras.config.set_floatx(dtype)
        keras.utils.set_random_seed(0)
        try:
            subject = COLLECTIONS[collection].build(name)
            found["input"] = subject.described
            found[dtype] = check(subject)
        except Exception as error:
            found[dtype] = {"error": f"{type(error).__name__}: {error}"}
        finally:
            keras.backend.clear_session()
    return found


def measured(collection: str, names: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Some architectures in a process of their own, which gives its memory back."""
    command = [sys.executable, __file__, "--measure", collection, *names]
    left = dict.fromkeys(names)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):  # and not what a library prints
                found = json.loads(line)
                del left[found["name"]]
                yield found["name"], found
    for name in left:
        ended = {"error": f"its process ended with exit status {process.returncode}"}
        yield name, {"name": name, "input": "", **dict.fromkeys(DTYPES, ended)}


def row(name: str, found: dict[str, Any]) -> str:
    """A row of the table."""
    single, double = (found[dtype] for dtype in DTYPES)
    if "error" in single:
        return f"| {name} | {found['input']} | {_shortened(single['error'])} | | | | | |\n"
    exact = "its code wants single precision" if "error" in double else f"{double['closes']:.0e}"
    finite = "finite" if single["finite"] else "not finite"
    return (
        f"| {name} | {found['input']} | {single['operations']} | {single['predicts']:.0e} | {single['closes']:.0e} "
        f"| {exact} | {finite if single['reaches'] else 'nothing reaches the input'} | {single['seconds']:.1f} |\n"
    )


def _shortened(error: str) -> str:
    """An error for a cell: its first line, and each reason in it once, after the operations that it is given for."""
    first, *lines = [line.strip() for line in error.splitlines() if line.strip()]
    reasons: dict[str, dict[str, None]] = {}
    for line in lines:
        if match := re.match(r"\S+ \((\w+)\): (.*)", line):
            reasons.setdefault(match[2], {})[match[1]] = None
    listed = "; ".join(f"{', '.join(kinds)}: {reason}" for reason, kinds in reasons.items())
    text = f"{first.removeprefix('UnsupportedModelError: ')} {listed}".strip().replace("|", "\\|")
    return text if len(text) < 300 else f"{text[:300]} ..."


def page(results: dict[str, dict[str, Any]]) -> str:
    parts = [HEAD.format(versions=_versions())]
    for collection, rows in results.items():
        kind = COLLECTIONS[collection]
        opened = sum("error" not in found[DTYPES[0]] for found in rows.values())
        parts.append(f"## {kind.title}\n\n{opened} of {len(rows)} are explained.\n\n")
        parts.append(TABLE.format(column=kind.column) + "".join(row(*item) for item in rows.items()))
    return "\n".join(parts)


def _versions() -> str:
    packages = ("tensorflow", "keras", "keras-hub")
    return ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)


def _found(
    collection: str, names: list[str], cache: dict[str, Any], again: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    size = COLLECTIONS[collection].at_once
    for start in range(0, len(names), size):
        some = names[start : start + size]
        new = [name for name in some if again or f"{collection}/{name}" not in cache]
        now = dict(measured(collection, new)) if new else {}
        yield from ((name, now.get(name) or cache[f"{collection}/{name}"]) for name in some)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", nargs="?", choices=COLLECTIONS, help="one collection alone")
    parser.add_argument("names", nargs="*", help="some of its architectures alone")
    parser.add_argument("--cache", type=pathlib.Path, help="a JSON file to keep and to take measurements from")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        for name in options.names:
            print(json.dumps(measure(options.collection, name)), flush=True)
        return
    cache: dict[str, Any] = {}
    if options.cache and options.cache.exists():
        cache = json.loads(options.cache.read_text())
    if options.collection != "applications":
        hub.models()
    results: dict[str, dict[str, Any]] = {}
    for collection in [options.collection] if options.collection else COLLECTIONS:
        names = options.names or COLLECTIONS[collection].names()
        for name, found in _found(collection, names, cache, again=bool(options.names)):
            results.setdefault(collection, {})[name] = cache[f"{collection}/{name}"] = found
            if options.cache:
                options.cache.write_text(json.dumps(cache, indent=1))
            print(row(name, found), end="", flush=True)
    if not options.collection:
        PAGE.write_text(page(results))


if __name__ == "__main__":
    main()
