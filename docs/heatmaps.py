"""Draws the images of analyzers.md: `python docs/heatmaps.py`.

    python docs/heatmaps.py                          # all of them
    python docs/heatmaps.py lrp.gamma occlusion      # some

Each is the relevance of the same photograph under one analyzer; an analyzer that refuses the network gets none. The
network and the photographs are the reference data of the tests, which are not in the repository: they are looked for in
the folder that KERASEXPLAIN_REFERENCE_DATA names, in ../shared, or in `--reference FOLDER`. `python docs/make.py` then
shows the images that are there.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import pathlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from PIL import Image

from kerasexplain import UnsupportedModelError, create_analyzer, registry, visualize

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "images" / "analyzers"
REFERENCE = pathlib.Path(os.environ.get("KERASEXPLAIN_REFERENCE_DATA", HERE.parent.parent / "shared"))

NETWORK = "imagenet_mobilenetv2_224"
PHOTOGRAPH = "chelsea"
#: What the network takes it for, and what for next; the captions hold for that class.
PREDICTED, SECOND = "tiger cat", "Egyptian cat"
INPUT = 224
#: In single precision the relevance of `lrp.z_IB` overflows on this network.
DTYPE = "float64"
#: A point of an image stands for BLOCK x BLOCK pixels, whose relevance is summed, and is BLOCK pixels wide again.
BLOCK = 2
#: How many colours an image has: as many as can be told apart keep the file of pure noise at 10 KB.
COLOURS = 25
#: Few pixels hold most of the relevance: with the largest as the limit most maps would be white.
PERCENTILE = 99.5
#: The layer that the image of `crp` takes a channel from: late enough for a channel to mean something.
CONDITIONED = "conv33"


@dataclasses.dataclass(frozen=True)
class Heatmap:
    """How the image of an analyzer is made.

    Attributes:
        options: What the analyzer is given.
        note: What the page says of it besides the options.
        fitted: Whether it is fitted on the other photographs first.
    """

    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    note: str = ""
    fitted: bool = False


BOX = {"low": -1, "high": 1}
LARGE = "what the inputs get in the place of biases grows to 1e53 here: nothing to go by"
CANCELLING = "the spots are where the two sides of an addition cancel"
AS_Z = "without attention to go through, it is `lrp.z`"
PATTERNS = "fitted on 14 other photographs in 10 crops each, far too few: real patterns take the training data"
HEATMAPS: dict[str, Heatmap] = {
    "crp": Heatmap(note=f"by way of the one channel of {CONDITIONED} that is most relevant"),
    "deconvnet": Heatmap(
        note="without max pooling, nothing in it depends on the photograph but the logit it starts with"
    ),
    "deep_taylor.bounded": Heatmap(BOX),
    "expected_gradients": Heatmap(note="against 140 crops of 14 other photographs", fitted=True),
    "lrp": Heatmap({"rule": "Z"}),
    "lrp.alpha_beta": Heatmap({"alpha": 1.5}),
    "lrp.attention": Heatmap(note=AS_Z),
    "lrp.attention_cp": Heatmap(note=AS_Z),
    "lrp.epsilon_IB": Heatmap(note=LARGE),
    "lrp.epsilon_gamma_box": Heatmap(BOX),
    "lrp.flat": Heatmap(note=CANCELLING),
    "lrp.sequential_preset_b_flat_until_idx": Heatmap({"until_layer_idx": 10}),
    "lrp.w_square": Heatmap(note=CANCELLING),
    "lrp.z_IB": Heatmap(note=LARGE),
    "lrp.z_plus_fast": Heatmap(note="wrong, since many inputs of this network's layers are negative"),
    "occlusion": Heatmap(
        {"window": 32, "stride": 16},
        note="with the bridge of the nose covered, the logit is up to 1.7 larger; with the fur at the lower right "
        "covered, up to 1.4 smaller",
    ),
    "pattern.attribution": Heatmap(note=PATTERNS, fitted=True),
    "pattern.net": Heatmap(note=PATTERNS, fitted=True),
}


def heatmap_of(name: str) -> Heatmap:
    """How the image of an analyzer is made."""
    return HEATMAPS.get(name, Heatmap())


def path_of(name: str) -> pathlib.Path:
    """Where the image of an analyzer is."""
    return FOLDER / f"{name}.png"


def relevance_of(name: str, model: keras.Model, photographs: dict[str, np.ndarray]) -> np.ndarray:
    """The relevance of the photograph, for the class that the network predicts.

    Raises:
        UnsupportedModelError: The analyzer refuses the network.
    """
    x = prepared(centre(photographs[PHOTOGRAPH]))[None]
    analyzer = create_analyzer(name, model, **heatmap_of(name).options)
    if heatmap_of(name).fitted:
        analyzer.fit(np.concatenate([crops(photo) for key, photo in photographs.items() if key != PHOTOGRAPH]))
    if name != "crp":
        return analyzer.analyze(x)
    channel = analyzer.explain(x, layers=[CONDITIONED]).top_neurons(CONDITIONED, 1).neurons[0, 0]
    return analyzer.explain(x, conditions={CONDITIONED: int(channel)}).relevance


def centre(photo: np.ndarray) -> np.ndarray:
    """The middle of a photograph, as large as the network's input."""
    top, left = (np.array(photo.shape[:2]) - INPUT) // 2
    return photo[top : top + INPUT, left : left + INPUT]


def crops(photo: np.ndarray) -> np.ndarray:
    """The corners and the middle of a photograph, as they are and mirrored, as the network takes them."""
    end = slice(-INPUT, None), slice(INPUT)
    pieces = [centre(photo), *(photo[rows, columns] for rows in end for columns in end)]
    return prepared(np.stack([piece[:, ::step] for piece in pieces for step in (1, -1)]))


def prepared(pixels: np.ndarray) -> np.ndarray:
    """Bytes as the network takes them: numbers from -1 to 1."""
    return pixels / 127.5 - 1.0


def drawn(relevance: np.ndarray) -> Image.Image:
    """A heatmap of the relevance `(height, width, channels)` of the photograph."""
    blocks = relevance.reshape(INPUT // BLOCK, BLOCK, INPUT // BLOCK, BLOCK, -1).sum(axis=(1, 3, 4))
    colours = visualize.RELEVANCE.resampled(COLOURS)
    (image,) = visualize.heatmap(blocks[None], percentile=PERCENTILE, cmap=colours)
    return image.quantize(COLOURS).resize((INPUT, INPUT), Image.Resampling.NEAREST)


def check_prediction(model: keras.Model, photo: np.ndarray, labels: Sequence[str]) -> None:
    """Stops unless the network sees in the photograph what the page says."""
    logits = model.predict(prepared(centre(photo))[None], verbose=0)[0]
    found = [labels[index] for index in np.argsort(-logits)[:2]]
    if found != [PREDICTED, SECOND]:
        raise SystemExit(f"the network sees {found}, and not {[PREDICTED, SECOND]}: change that, and the captions")


def networks(reference: pathlib.Path) -> ModuleType:
    """The module that builds the networks of the reference data."""
    spec = importlib.util.spec_from_file_location("reference_networks", reference / "nets" / "nets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True  # the folder may be read-only
    spec.loader.exec_module(module)
    return module


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="the analyzers; all by default")
    parser.add_argument("--reference", type=pathlib.Path, default=REFERENCE, help="the folder that holds nets/nets.py")
    options = parser.parse_args(arguments)
    if not (options.reference / "nets" / "nets.py").exists():
        parser.error(f"the network is not in {options.reference / 'nets'}: pass --reference FOLDER")

    nets = options.reference / "nets"
    model, _ = networks(options.reference).build(NETWORK, DTYPE)
    with np.load(nets / "photos256.npz") as arrays:
        photographs = {key: arrays[key] for key in arrays.files}
    labels = (nets / "imagenet_labels_1001.txt").read_text("utf-8").splitlines()
    check_prediction(model, photographs[PHOTOGRAPH], labels)
    FOLDER.mkdir(parents=True, exist_ok=True)
    Image.fromarray(centre(photographs[PHOTOGRAPH])).save(FOLDER / "photograph.jpg", quality=80, optimize=True)
    for name in options.names or registry.names():
        try:
            relevance = relevance_of(name, model, photographs)
        except UnsupportedModelError as error:
            path_of(name).unlink(missing_ok=True)
            print(f"{name}: no image: {error}", flush=True)
            continue
        drawn(relevance[0]).save(path_of(name), optimize=True)
        print(f"{name}: {path_of(name).stat().st_size / 1000:.1f} KB", flush=True)
    if not options.names:
        for path in FOLDER.glob("*.png"):
            if path.stem not in registry.names():
                path.unlink()


if __name__ == "__main__":
    main()
