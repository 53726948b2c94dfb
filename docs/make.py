"""Writes the pages that are made from the code: `python docs/make.py`. Tests check that they are up to date.

`analyzers.md` is made from the docstrings and shows what `docs/heatmaps.py` has drawn, `support.md` from the examples
that the tests run (`tests/helpers/operations`).
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import pathlib
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

import keras

from kerasexplain import registry, rules, support
from kerasexplain.analyzer import Analyzer
from kerasexplain.analyzers.baseline import ComparingMethod
from kerasexplain.analyzers.lrp import LRPMethod

if TYPE_CHECKING:
    from helpers.operations.examples import Example

HERE = pathlib.Path(__file__).parent
PAGE = HERE / "analyzers.md"
HEAD = """# Analyzers and rules

Made from the docstrings by `python docs/make.py`.

`create_analyzer(name, model, **options)` takes the common options and those of the method. In the formulas `x` is the
input of a linear operation, `W` its kernel, `b` its bias, `z = x W + b`, `R` the relevance of z, `p+ = max(p, 0)`,
`p- = min(p, 0)` and `st(d) = d + stabilizer sign(d)`.

## The images

![A cat, from close by](images/analyzers/photograph.jpg)

The images show what in this photograph speaks for (red) and against (blue) the class that MobileNetV2 predicts,
"{predicted}", just ahead of "{second}". A point of an image is the sum over all channels of {block} x {block} pixels.
It has the full colour from the {percentile:g}th percentile of an image's |relevance| on: the images show where, not
how much. Options are the defaults, except for those that are said. The network has 52 convolutions, into which
BatchNormalization was folded, ReLU6 and residual additions; depth, large biases and additions are hard on some methods,
and it shows.

`python docs/heatmaps.py` made them. The photograph is `chelsea` of scikit-image (CC0), the network one of Coral's test
data (Apache-2.0); the network is not in the repository.
"""

#: What the methods of a family share: the headings, and the class that has these options.
SHARED = {
    "Of every method with rules": LRPMethod,
    "Of every method with a baseline": ComparingMethod,
}
#: The headings of the page, and the modules of `kerasexplain.analyzers` under each.
FAMILIES = {
    "Gradients and signals": ("gradient", "signals", "grad_cam"),
    "LRP with one rule": ("lrp", "one_rule", "algebra"),
    "Presets": ("presets", "deep_taylor"),
    "Comparison with a baseline": ("baseline", "expected_gradients"),
    "Patterns": ("patterns",),
    "Perturbation": ("occlusion",),
    "Attention": ("attention",),
    "Concepts": ("crp",),
    "Controls": ("controls",),
}
OTHERS = "Others"


def page() -> str:
    """The page of analyzers and rules."""
    sys.path.insert(0, str(HERE))
    import heatmaps

    head = HEAD.format(
        predicted=heatmaps.PREDICTED, second=heatmaps.SECOND, block=heatmaps.BLOCK, percentile=heatmaps.PERCENTILE
    )
    parts = [head, "## Common options\n", _arguments(Analyzer)]
    parts += [f"\n### {shared}\n\n{_arguments(kind)}" for shared, kind in SHARED.items()]
    parts.append("\n## Analyzers\n")
    families = _families()
    for family, names in families.items():
        links = ", ".join(f"[`{name}`](#{_anchor(name)})" for name in names)
        parts.append(f"* [{family}](#{_anchor(family)}): {links}")
    for family, names in families.items():
        parts.append(f"\n### {family}\n")
        for name in names:
            method, fields = registry.find(name), _fields(registry.find(name)) or "none"
            parts.append(f"#### `{name}`\n\n{_image(name, heatmaps)}\n\n{_prose(method)}\n\nOptions: `{fields}`.\n")
    parts.append("## Rules\n\nIn `kerasexplain.rules`.\n")
    for name in rules.__all__:
        rule = getattr(rules, name)
        if inspect.isclass(rule) and dataclasses.is_dataclass(rule):
            parts.append(f"### `{name}({_fields(rule)})`\n\n{_prose(rule)}\n")
    return "\n".join(parts)


def _families() -> dict[str, list[str]]:
    """The names of the analyzers under their headings, in the order in which the page has them."""
    found: dict[str, list[str]] = {family: [] for family in (*FAMILIES, OTHERS)}
    for name in registry.names():
        module = registry.find(name).__module__.rpartition(".")[2]
        found[next((family for family, modules in FAMILIES.items() if module in modules), OTHERS)].append(name)
    return {family: names for family, names in found.items() if names}


def _anchor(heading: str) -> str:
    """The anchor that GitHub makes of a heading, for links to it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _image(name: str, heatmaps: ModuleType) -> str:
    """The image of an analyzer and its caption, or that there is none."""
    path = heatmaps.path_of(name)
    if not path.exists():
        return "No image: `python docs/heatmaps.py` has not been run for it, or it refuses the network."
    made = heatmaps.heatmap_of(name)
    options = ", ".join(f"{option}={value!r}" for option, value in made.options.items())
    caption = "; ".join(said for said in (f"`{options}`" if options else "", made.note) if said)
    image = f"![Relevance of a cat under `{name}`]({path.relative_to(HERE).as_posix()})"
    return f"{image}\n\nIn the image: {caption}." if caption else image


def _fields(kind: type) -> str:
    """The fields of a dataclass as arguments, with their defaults."""
    fitted = getattr(kind, "fitted_fields", ())
    fields = [field for field in dataclasses.fields(kind) if field.name not in fitted]  # type: ignore[arg-type]
    return ", ".join(
        field.name if field.default is dataclasses.MISSING else f"{field.name}={field.default!r}" for field in fields
    )


def _prose(kind: type) -> str:
    """A docstring, with its sections as Markdown."""
    lines = []
    for line in inspect.getdoc(kind).splitlines():  # type: ignore[union-attr]
        if (
            line.endswith(":")
            and not line.startswith(" ")
            and line[:-1] in ("Args", "Attributes", "Raises", "Returns", "Example")
        ):
            lines.append(f"{line}\n")
        elif line.startswith("    ") and not line.startswith("     "):
            lines.append(f"* {line.strip()}")
        else:
            lines.append(line.replace("        ", "  "))
    return "\n".join(lines)


def _arguments(kind: type) -> str:
    text = _prose(kind)
    return text[text.index("Args:") :]


SUPPORT_PAGE = HERE / "support.md"
SUPPORT_HEAD = """# Layers and functions

Made with Keras {version} by `python docs/make.py` from the examples that the tests run, in
`tests/helpers/operations/examples.py`. For each example the tests compare the twin's output with the model's and check
that, under `lrp.bias_as_input`, inputs and constants take what the output has; where one is refused, that it says why.

* *Opened*: the layer's own code is followed, and what it calls is explained; so is what your own layers call.
* *By its parts*: it is explained as the simpler operations that it is made of.
* *Rules*: those it takes, where there is a choice. Everything else is shared out in proportion.
* *No relevance*: what depends on an input only through integers or truth values gets its relevance elsewhere: a
  comparison chooses which activations pass, and those take it.
* *Refused*: an analyzer raises `UnsupportedModelError` with the reason, unless `on_unsupported="gradient"`.

Under `lrp.*` the matrix products of attention take `Halve`; a Dense layer quantised to 8 bits is explained through the
kernel that its integers stand for, and the rounding of its inputs passes relevance on.
"""


def support_page() -> str:
    """The page of what is supported."""
    sys.path.insert(0, str(HERE.parent / "tests"))
    from helpers.operations.examples import EXAMPLES

    by_subject: dict[str, list[Example]] = {}
    for example in EXAMPLES:
        if example.exists:
            by_subject.setdefault(example.subject, []).append(example)
    parts = [SUPPORT_HEAD.format(version=_minor(keras.__version__))]
    for heading, prefix in (("Layers", "layers."), ("Functions", "ops.")):
        parts.append(f"## {heading}\n\n| `keras.{prefix[:-1]}` | treatment | rules | tested |\n|---|---|---|---|")
        for subject in support.subjects():
            if subject.startswith(prefix):
                parts += _support_rows(subject, by_subject.get(subject, []))
        parts.append("")
    return "\n".join(parts)


def _support_rows(subject: str, examples: list[Example]) -> list[str]:
    """One row for each way in which a layer or function is treated."""
    name = subject.partition(".")[2]
    if not examples:
        return [f"| `{name}` | {support.without_example(subject)} | | |"]
    rows: dict[tuple[str, str], list[str]] = {}
    for example in examples:
        with precision(example.dtype):
            treated = support.support_of(example.model())
        special = example.name.partition(" (")[2].rstrip(")")
        rows.setdefault((treated.text, treated.rules), []).append(special)
    lines = []
    for (text, treating_rules), specials in rows.items():
        label = ", ".join(special for special in dict.fromkeys(specials) if special)
        label = f" ({label})" if label and len(rows) > 1 else ""
        times = f"{len(specials)} examples" if len(specials) > 1 else "1 example"
        lines.append(f"| `{name}`{label} | {text} | {treating_rules} | {times} |")
    return lines


@contextmanager
def precision(dtype: str) -> Iterator[None]:
    """Keras in a precision."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    PAGE.write_text(page(), encoding="utf-8")
    SUPPORT_PAGE.write_text(support_page(), encoding="utf-8")
