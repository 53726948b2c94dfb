"""Watch what a network looks at while it learns: relevance of handwritten digits, epoch by epoch, in TensorBoard.

    pip install "kerasexplain[tensorflow,tensorboard,examples]"
    python examples/watch_training.py --log-dir logs
    kerasexplain board logs

A small CNN learns scikit-learn's digits, each somewhere on a larger field of noise. Before the first batch the
relevance of an image lies all over the field; batch by batch it moves to the strokes of the digit. In the tab
"Relevance" the slider, or its play button, goes through the batches; "Images" has the same as images, "Scalars" has
loss and accuracy, where the relevance went, and the share of it that lies on the digit, which early stopping or a
checkpoint could follow as well.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from kerasexplain.callbacks import ConservationMonitor, EarlyWarning, RelevanceHistogram, RelevanceLogger


def samples() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Digits on noise, `(samples, 16, 16, 1)` in 0..1; where the ink is, as a mask of that shape; and the labels."""
    digits = load_digits()
    rng = np.random.default_rng(0)
    ink = np.zeros((len(digits.images), 16, 16, 1), "float32")
    for field, image, (top, left) in zip(ink, digits.images, rng.integers(0, 9, (len(ink), 2)), strict=True):
        field[top : top + 8, left : left + 8, 0] = image / 16.0
    return np.maximum(ink, 0.5 * rng.random(ink.shape, "float32")), ink > 0.5, digits.target


def network() -> keras.Model:
    """Three convolutions and a Dense."""
    x = inputs = keras.Input((16, 16, 1), name="field")
    for name, channels in (("edges", 16), ("strokes", 32), ("digits", 64)):
        x = layers.Conv2D(channels, 3, padding="same", activation="relu", name=name)(x)
        x = layers.MaxPooling2D(name=f"{name}_pool")(x)
    x = layers.GlobalMaxPooling2D(name="anywhere")(x)
    return keras.Model(inputs, layers.Dense(10, name="logits")(x), name="digits")


def main(arguments: Sequence[str] | None = None) -> keras.callbacks.History:
    """Trains and logs.

    Args:
        arguments: Of the command line.
    """
    parser = argparse.ArgumentParser(description="Relevance while a network learns, for TensorBoard.")
    parser.add_argument("--log-dir", type=pathlib.Path, default=pathlib.Path("logs"))
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args(arguments)

    keras.utils.set_random_seed(0)
    images, ink, labels = samples()
    split = train_test_split(images, ink, labels, test_size=0.2, random_state=0)
    x, x_test, _, ink_test, y, y_test = split
    two_of_each = np.concatenate([np.flatnonzero(y_test == digit)[:2] for digit in range(10)])
    seen = (x_test[two_of_each], y_test[two_of_each])

    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    names = [str(digit) for digit in range(10)]
    watching: list[keras.callbacks.Callback] = [
        RelevanceLogger(
            ["lrp.epsilon_plus", "lrp.gamma", "gradient"],
            data=seen,
            log_dir=options.log_dir,
            every_n_batches=10,
            layers=["strokes"],
            max_images=20,
            class_names=names,
        ),
        ConservationMonitor("lrp.epsilon_plus", data=seen, log_dir=options.log_dir),
        RelevanceHistogram("lrp.epsilon_plus", data=seen, log_dir=options.log_dir),
        EarlyWarning("lrp.epsilon_plus", data=seen, mask=ink_test[two_of_each], name="relevance_on_the_digit"),
    ]
    if keras.backend.backend() == "tensorflow":  # which Keras' own callback needs
        watching.append(keras.callbacks.TensorBoard(str(options.log_dir)))
    history = model.fit(
        x, y, batch_size=64, epochs=options.epochs, validation_data=(x_test, y_test), verbose=2, callbacks=watching
    )
    print(f"written: {options.log_dir}; look at it with: kerasexplain board {options.log_dir}")
    return history


if __name__ == "__main__":
    main()
