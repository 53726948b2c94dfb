# %% [markdown]
# # Text: the mean of embeddings
#
# Which words carry the verdict? Short reviews, made of a few words here. Relevance of token ids is one number a
# token.

# %%
import pathlib

import keras
import numpy as np
import rich
from keras import layers

import kerasexplain

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
neutral = ["the", "a", "film", "plot", "actor", "and", "scene", "with"]
praise, blame = ["great", "moving", "clever"], ["dull", "clumsy", "boring"]
vocabulary = ["", *neutral, *praise, *blame]
labels = np.arange(400) % 2
reviews = []
for label in labels:
    words = [*rng.choice(neutral, rng.integers(4, 7)), *rng.choice(praise if label else blame, 2)]
    reviews.append(list(rng.permutation(words)))
ids = np.array([[vocabulary.index(word) for word in words] + [0] * (8 - len(words)) for words in reviews])

inputs = keras.Input((8,), dtype="int32", name="ids")
embedded = layers.Embedding(len(vocabulary), 8, mask_zero=True, name="words")(inputs)
outputs = layers.Dense(2, name="verdict")(layers.GlobalAveragePooling1D(name="mean")(embedded))
model = keras.Model(inputs, outputs)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(0.02), loss, metrics=["accuracy"])
model.fit(ids[40:], labels[40:], epochs=10, verbose=0)
print(f"accuracy {model.evaluate(ids[:40], labels[:40], verbose=0)[1]:.2f}")

# %%
explanation = kerasexplain.create_analyzer("lrp.epsilon", model).explain(ids[:40], audit=True)
found = explanation.tokens(vocabulary, ids[:40], padding=0)
rich.print(found[0], found[1])
pathlib.Path("text_embedding.html").write_text(found.to_html(), encoding="utf-8")
picture = explanation.to_figure(ids[:40], tokens=reviews[:40], sample=1)
picture.savefig("text_embedding.png")

# %% [markdown]
# **What to look for.** Words of praise are red where the verdict is praise, and blue where it is blame. Padding is
# left out by `padding=0`; it has no relevance, as the mask says. Words that should not matter, such as "film", have
# little: in data of your own they are where shortcuts show.

# %%
strongest = [max(sample, key=lambda pair: pair[1])[0] for sample in found]
print(strongest[:6])
assert all(word in praise + blame for word in strongest)
assert np.all(explanation.relevance[ids[:40] == 0] == 0)
audit = explanation.audit
np.testing.assert_allclose(audit.inputs + audit.biases + audit.lost, audit.explained, rtol=1e-3, atol=1e-3)
