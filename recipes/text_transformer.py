# %% [markdown]
# # Text: a transformer
#
# Does it read "not"? Reviews in which a "not" right before the verdict turns it around, and a transformer of one
# block. `lrp.attention` (AttnLRP) has rules for attention and normalisation.

# %%
import keras
import numpy as np
from keras import layers, ops

import kerasexplain

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
neutral, verdicts = ["the", "film", "plot", "and", "scene"], ["good", "bad"]
vocabulary = ["", *neutral, *verdicts, "not"]
labels, reviews = np.empty(1200, int), []
for number in range(1200):
    verdict, turned = rng.integers(2), rng.integers(2)
    words, at = list(rng.choice(neutral, 5)), rng.integers(1, 5)
    words[at:at] = ["not"] * turned + [verdicts[verdict]]
    labels[number] = (verdict == 0) != turned
    reviews.append(words)
ids = np.array([[vocabulary.index(word) for word in words] + [0] * (8 - len(words)) for words in reviews])


# %%
class Positions(layers.Layer):
    """Adds what is learnt for every position."""

    def build(self, shape):
        self.table = self.add_weight(shape=shape[1:], initializer="random_normal", name="table")

    def call(self, x):
        return x + ops.convert_to_tensor(self.table)


inputs = keras.Input((8,), dtype="int32", name="ids")
x = Positions(name="positions")(layers.Embedding(len(vocabulary), 16, name="words")(inputs))
x = x + layers.MultiHeadAttention(2, 8, name="attention")(
    layers.LayerNormalization()(x), layers.LayerNormalization()(x)
)
x = x + layers.Dense(16, name="down")(layers.Dense(32, activation="gelu", name="up")(layers.LayerNormalization()(x)))
model = keras.Model(inputs, layers.Dense(2, name="verdict")(layers.GlobalAveragePooling1D()(x)))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(0.005), loss, metrics=["accuracy"])
model.fit(ids[200:], labels[200:], epochs=15, batch_size=50, verbose=0)
accuracy = model.evaluate(ids[:200], labels[:200], verbose=0)[1]
print(f"accuracy {accuracy:.2f}")

# %%
analyzer = kerasexplain.create_analyzer("lrp.attention", model)
explanation = analyzer.explain(ids[:200])
found = explanation.tokens(vocabulary, ids[:200], padding=0)
with_not = [number for number in range(200) if "not" in reviews[number]]
picture = explanation.to_figure(ids[:200], tokens=reviews[:200], sample=with_not[0])
picture.savefig("text_transformer.png")

# %% [markdown]
# **What to look for.** Where the verdict is turned around, "not" must have its share, beside the word that it turns.
# A model that ignores it goes by "good" and "bad" alone, and is right only by chance. So the check: without the two
# words that are most relevant, the model no longer knows.

# %%
share = np.mean([dict(found[number])["not"] / np.abs(found[number].relevance).max() for number in with_not])
print(f"mean relevance of 'not', in units of the largest: {share:.2f}")
without = ids[:200].copy()
for row, relevance in zip(without, np.abs(explanation.relevance), strict=True):
    row[np.argsort(relevance)[-2:]] = vocabulary.index("film")
left = model.evaluate(without, labels[:200], verbose=0)[1]
print(f"accuracy without the two most relevant words {left:.2f}")
assert accuracy > 0.9
assert left < accuracy - 0.2
