# %% [markdown]
# # A shortcut, found by the company it keeps
#
# A quarter of the images of one digit bear a mark in the corner, as photographs of one source bear its watermark. A
# network learns the digits and, since nothing tells it not to, the mark. Its accuracy says nothing of that.
#
# Spectral relevance analysis (SpRAy) looks at why the network names that digit, for every image, and asks whether there
# are several ways of it. It is told nothing of the mark.
#
#     pip install "kerasexplain[tensorflow,metrics]"
#     python examples/strategies.py

# %%
from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_digits

import kerasexplain

DIGIT = 8
MARK = 3  # pixels


# %% [markdown]
# The images are scikit-learn's, enlarged to 16 x 16 pixels.


# %%
def samples(share: float = 0.25) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images `(samples, 16, 16, 1)` in 0..1, their digits, and which of them bear the mark.

    Args:
        share: Which share of the images of the digit does.
    """
    digits = load_digits()
    x = np.kron(digits.images / 16.0, np.ones((1, 2, 2)))[..., None].astype("float32")
    of_digit = np.flatnonzero(digits.target == DIGIT)
    marked = np.zeros(len(x), bool)
    marked[np.random.default_rng(1).choice(of_digit, int(share * len(of_digit)), replace=False)] = True
    x[marked, -MARK:, :MARK] = 1.0
    return x, digits.target, marked


def trained(x: np.ndarray, y: np.ndarray, epochs: int = 8) -> keras.Model:
    """Two convolutions and a Dense layer, trained."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(name="digits")
    model.add(keras.Input((16, 16, 1)))
    for channels in (16, 32):
        model.add(layers.Conv2D(channels, 3, activation="relu", padding="same"))
        model.add(layers.MaxPooling2D())
    model.add(layers.Flatten())
    model.add(layers.Dense(10, name="logits"))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    return model


# %% [markdown]
# The mean map of the marked images has its relevance in the corner. Whether the network goes by the mark is then a
# question for an experiment: put it on other digits.


# %%
def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, looks for strategies, and tries the mark on other digits."""
    parser = argparse.ArgumentParser(description="Finds a shortcut by spectral relevance analysis.")
    parser.add_argument("-o", "--out", type=pathlib.Path, default=pathlib.Path("strategies.png"))
    options = parser.parse_args(arguments)

    x, y, marked = samples()
    model = trained(x, y)
    print(f"accuracy: {model.evaluate(x, y, verbose=0)[1]:.1%}")

    analyzer = kerasexplain.create_analyzer("lrp.epsilon_plus", model)
    found = kerasexplain.strategies(analyzer, x, labels=y, of=DIGIT)
    print(found)
    found.to_image().save(options.out)
    options.out.with_suffix(".html").write_text(found.to_html(), encoding="utf-8")
    print(f"written: {options.out}, {options.out.with_suffix('.html')}")

    others = x[y != DIGIT].copy()
    before = np.mean(model.predict(others, verbose=0).argmax(axis=1) == DIGIT)
    others[:, -MARK:, :MARK] = 1.0
    after = np.mean(model.predict(others, verbose=0).argmax(axis=1) == DIGIT)
    print(f"other digits that are called {DIGIT}: {before:.1%}, with the mark {after:.1%}")
    for number, cluster in enumerate(found.clusters):
        print(f"cluster {number}: {np.mean(marked[cluster.members]):.0%} of its images bear the mark")


if __name__ == "__main__":
    main()
