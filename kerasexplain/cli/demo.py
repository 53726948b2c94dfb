"""The demo: a small network for handwritten digits, trained in seconds, and what it looks at.

Everything is on board: scikit-learn brings the digits, and nothing is downloaded. Needs the `demo` extra.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shlex
from typing import Any

import keras
import numpy as np

from kerasexplain.audit import Audit
from kerasexplain.create import create_analyzer
from kerasexplain.foundation.errors import not_importable

try:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    from kerasexplain import visualize
except ImportError as error:
    raise not_importable("the demo needs scikit-learn, matplotlib and Pillow", "demo", error) from error

#: From what the derivative says to what recent LRP says; the options are what each cannot do without.
ANALYZERS: dict[str, dict[str, Any]] = {
    "gradient": {},
    "lrp.epsilon": {},
    "lrp.gamma": {},
    "lrp.alpha_2_beta_1": {},
    "lrp.epsilon_plus": {},
    "deep_taylor.bounded": {"low": 0.0, "high": 1.0},
}


@dataclasses.dataclass(frozen=True, eq=False)
class Demo:
    """The results of the demo.

    Attributes:
        accuracy: On digits that the network was not trained with.
        images: The explained digits, one per class, `(10, 8, 8, 1)` with ink from 0 to 1.
        relevance: Relevance of the images by analyzer.
        rules: The table of rules of `lrp.epsilon_plus`.
        audit: Where its relevance went.
        files: The trained model, the images, and the gallery.
    """

    accuracy: float
    images: np.ndarray
    relevance: dict[str, np.ndarray]
    rules: str
    audit: Audit
    files: list[pathlib.Path]

    def __str__(self) -> str:
        accuracy = f"The network names {self.accuracy:.1%} of the test digits."
        files = "\n".join(f"  {file}" for file in self.files)
        return "\n\n".join([accuracy, self.rules, str(self.audit), f"Written:\n{files}", f"Next:\n{self.next()}"])

    def next(self) -> str:
        """Command lines to go on with, which run as they are."""
        model, images, _ = (shlex.quote(str(file)) for file in self.files)
        lines = [
            f"explain {model} {images} --analyzer lrp.gamma -o gamma.png --audit",
            f"explain {model} {images} --analyzer lrp.epsilon --target 3 --against 5 -o contrast.png",
            f"rules {model} --analyzer lrp.epsilon_plus",
            "list",
        ]
        return "\n".join(f"  kerasexplain {line}" for line in lines)


def run(folder: str | os.PathLike[str]) -> Demo:
    """Trains the network, explains ten digits it has not seen, and writes three files.

    `digits.keras` is the network, `digits.npy` has the digits, as the network takes them, and `gallery.png` shows them.

    Args:
        folder: Where the files go; it is made if need be.

    Example:
        >>> print(run("demo"))
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    digits = load_digits()
    x_train, x_test, y_train, y_test = train_test_split(
        digits.images[..., None] / 16.0, digits.target, test_size=0.25, stratify=digits.target, random_state=0
    )
    model = network()
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.fit(x_train, y_train, batch_size=64, epochs=25, verbose=0)
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    model.save(folder / "digits.keras")

    images = np.stack([x_test[y_test == digit][0] for digit in range(10)])
    logits = model.predict(images, verbose=0)
    relevance = {name: create_analyzer(name, model, **options).analyze(images) for name, options in ANALYZERS.items()}
    labels = [f"{digit} read as {row.argmax()}\nlogit {row.max():.1f}" for digit, row in enumerate(logits)]
    np.save(folder / "digits.npy", images.astype("float32"))
    visualize.grid(1.0 - images, relevance, labels=labels, cell=0.9).save(folder / "gallery.png")

    analyzer = create_analyzer("lrp.epsilon_plus", model)
    return Demo(
        accuracy=accuracy,
        images=images,
        relevance=relevance,
        rules=str(analyzer),
        audit=analyzer.audit(images),
        files=[folder / "digits.keras", folder / "digits.npy", folder / "gallery.png"],
    )


def network() -> keras.Model:
    """Three convolutions and a dense layer, from 8x8 pixels to ten logits."""
    inputs = keras.Input((8, 8, 1), name="digit")
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="strokes")(inputs)
    x = keras.layers.Conv2D(32, 3, padding="same", activation="relu", name="corners")(x)
    x = keras.layers.MaxPooling2D(name="pool")(x)
    x = keras.layers.Conv2D(64, 3, activation="relu", name="parts")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="logits")(x), name="digits")
