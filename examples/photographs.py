"""Heat maps of photographs: four analyzers on MobileNetV2.

    python examples/photographs.py
    python examples/photographs.py --model my_model.keras --photos my_photos/ --labels labels.txt

Without options the photographs are two that come with scikit-image, and Keras downloads the weights (14 MB, once).
A model of one's own must take RGB images scaled to -1..1, as MobileNetV2 does, and is shown the centre of each
photograph. Needs the `examples` extra: pip install "kerasexplain[examples]".
"""

from __future__ import annotations

import argparse
import os
import pathlib
from collections.abc import Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from PIL import Image, ImageOps

import kerasexplain
from kerasexplain import visualize

ANALYZERS: dict[str, dict[str, float]] = {
    "gradient": {},
    "lrp.epsilon_plus": {},
    "lrp.epsilon_gamma_box": {"low": -1.0, "high": 1.0},
    "lrp.epsilon_alpha2_beta1": {},
}


def photographs(path: pathlib.Path | None) -> dict[str, Image.Image]:
    """Photographs by name: from a folder of images, an npz file of arrays, or scikit-image."""
    if path is None:
        import skimage.data

        return {name: Image.fromarray(getattr(skimage.data, name)()) for name in ("chelsea", "coffee")}
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: Image.fromarray(arrays[name]) for name in arrays.files}
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return {file.stem: Image.open(file).convert("RGB") for file in files}


def centre(photo: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """The centre of a photograph, seven eighths of its shorter side, in pixels from -1 to 1."""
    return np.asarray(ImageOps.fit(photo, size, bleed=1 / 16), np.float32) / 127.5 - 1.0


def names_of(logits: np.ndarray, labels: Sequence[str] | None) -> list[str]:
    """The first name of every sample's predicted class."""
    if labels is not None:
        return [labels[index].split(",")[0] for index in logits.argmax(axis=-1)]
    decoded = keras.applications.mobilenet_v2.decode_predictions(logits, top=1)
    return [name.replace("_", " ") for ((_, name, _),) in decoded]


def explain(
    model: keras.Model, photos: dict[str, Image.Image], labels: Sequence[str] | None = None
) -> tuple[list[str], np.ndarray, dict[str, np.ndarray]]:
    """The predicted names, the network's inputs, and their relevance by analyzer."""
    height, width = model.inputs[0].shape[1:3]
    x = np.stack([centre(photo, (width, height)) for photo in photos.values()])
    explanations = {
        name: kerasexplain.create_analyzer(name, model, **options).explain(x) for name, options in ANALYZERS.items()
    }
    explained = explanations["lrp.epsilon_plus"]
    named = zip(names_of(explained.output, labels), explained.explained, strict=True)
    titles = [f"{name}\nlogit {logit:.1f}" for name, logit in named]
    return titles, x, {name: explanation.relevance for name, explanation in explanations.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the gallery."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, help="a .keras file instead of MobileNetV2 with its weights")
    parser.add_argument("--photos", type=pathlib.Path, help="a folder of images, or an npz file of RGB arrays")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="the photographs to show, by name")
    parser.add_argument("--labels", type=pathlib.Path, help="a text file with the name of one class per line")
    parser.add_argument("-o", "--out", type=pathlib.Path, default=pathlib.Path("photographs.png"))
    options = parser.parse_args(arguments)

    if options.model:
        model = keras.saving.load_model(options.model, compile=False)
    else:
        model = keras.applications.MobileNetV2(weights="imagenet")
    photos = photographs(options.photos)
    if options.only:
        photos = {name: photos[name] for name in options.only}
    labels = options.labels.read_text(encoding="utf-8").splitlines() if options.labels else None
    titles, x, relevance = explain(model, photos, labels)
    # Few pixels of a photograph hold most of the relevance: with the largest as the limit the rest would be white.
    visualize.grid(x, relevance, labels=titles, cell=2.2, dpi=100, percentile=99.5).save(options.out, optimize=True)
    print("\n".join(title.replace("\n", ", ") for title in titles))
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
