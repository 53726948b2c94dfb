# %% [markdown]
# # A word that gives the answer away
#
# Reviews are sentences of random words: some speak for the film, some against it, most say nothing. In training every
# review carries a tag that gives its label away, "tag_a" or "tag_b"; at the test the tags are exchanged. A network that
# goes by the tag is wrong every time. Told by one line that relevance must not lie on the two tags, it reads the words.
#
#     python examples/spurious_token.py
#
# The same is then done with a table, one column of which is the label, leaked.

# %%
from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from kerasexplain.training import RelevanceModel, RelevanceOn

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def train(
    network: keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    on: RelevanceOn | None = None,
    analyzer: str = "",
    weight: float = 0,
    epochs: int = 12,
) -> keras.Model:
    """Trains a network, with or without a loss over relevance, and gives it back."""
    model = network if on is None else RelevanceModel(network, analyzer, on, weights=weight)
    model.compile(keras.optimizers.Adam(0.005), LOSS)
    model.fit(x, y, epochs=epochs, batch_size=64, verbose=0)
    return network


def accuracy(network: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean(np.argmax(network.predict(x, verbose=0), axis=1) == y))


# %% [markdown]
# ## Text
#
# Ids 1 and 2 are the tags, 3 to 12 speak for the film, 13 to 22 against it, the others say nothing. A review has 16
# words; its label is what three of its five telling words say.

# %%
TAGS, WORDS, LENGTH = (1, 2), 60, 16


def reviews(count: int, exchanged: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Reviews as ids, and their labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    ids = rng.integers(23, WORDS, (count, LENGTH))
    for row, label in zip(ids, y, strict=True):
        telling = rng.choice(LENGTH - 1, 5, replace=False) + 1
        sides = np.where(np.arange(5) < 3, label, 1 - label)
        row[telling] = np.where(sides == 1, rng.integers(3, 13, 5), rng.integers(13, 23, 5))
    ids[:, 0] = np.where((y == 1) != exchanged, *TAGS)
    return ids, y


def reader() -> keras.Model:
    keras.utils.set_random_seed(0)
    ids = keras.Input((LENGTH,), dtype="int32")
    x = layers.Conv1D(32, 3, padding="same", activation="relu")(layers.Embedding(WORDS, 16)(ids))
    return keras.Model(ids, layers.Dense(2)(layers.Dense(16, activation="relu")(layers.GlobalAveragePooling1D()(x))))


ids, labels = reviews(1500, exchanged=False, seed=0)
ids_test, labels_test = reviews(500, exchanged=True, seed=1)
tags = RelevanceOn(tokens=TAGS)
of_text = {
    "plain": train(reader(), ids, labels),
    "no gradient at the tags": train(reader(), ids, labels, tags, "gradient", 3.0),
    "no relevance on the tags": train(reader(), ids, labels, tags, "lrp.gamma", 3.0),
}
for name, network in of_text.items():
    print(f"text, {name}: accuracy {accuracy(network, ids_test, labels_test):.3f} on reviews with exchanged tags")

# %% [markdown]
# ## A table
#
# Ten columns, of which four say something about the label, and the last is the label itself with some noise: leaked,
# for it is not there when the network is used.

# %%
LEAKED = 9


def table(count: int, leaked: bool, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ten columns, and their labels."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, count)
    x = rng.standard_normal((count, 10))
    x[:, :4] += 0.7 * (2 * y - 1)[:, None]
    x[:, LEAKED] = (2 * y - 1) * 2 + 0.3 * rng.standard_normal(count) if leaked else 2 * rng.standard_normal(count)
    return x.astype("float32"), y


def dense() -> keras.Model:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [keras.Input((10,)), *(layers.Dense(32, activation="relu") for _ in range(2)), layers.Dense(2)]
    )


x, y = table(1500, leaked=True, seed=0)
x_test, y_test = table(1000, leaked=False, seed=1)
column = RelevanceOn(features=[LEAKED])
without = x.copy()
without[:, LEAKED] = np.random.default_rng(2).permutation(without[:, LEAKED])
of_table = {
    "plain": train(dense(), x, y, epochs=30),
    "no relevance on the column, weight 3": train(dense(), x, y, column, "lrp.epsilon", 3.0, epochs=30),
    "no relevance on the column, weight 10": train(dense(), x, y, column, "lrp.epsilon", 10.0, epochs=30),
    "the column shuffled": train(dense(), without, y, epochs=30),
}
for name, network in of_table.items():
    print(f"table, {name}: accuracy {accuracy(network, x_test, y_test):.3f} where nothing is leaked")

# %% [markdown]
# A gradient of zero at the tags is no evidence: a unit that is saturated by a tag has none, and decides all the same.
# And with a weight of 3 the column has almost no relevance either, while the network still goes by it: a small share is
# a small share of whatever else can be made large. That is what data without the leak are kept for.
