# %% [markdown]
# # A sequence: an LSTM
#
# What does it remember? Sequences of twelve tokens, drawn here: one mark, somewhere in the first half, says which
# class it is; all that follows is noise. The LSTM has to carry the mark to the end.

# %%
import keras
import numpy as np
from keras import layers

import kerasexplain

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
vocabulary = ["noise a", "noise b", "noise c", "mark 0", "mark 1"]
labels = np.arange(1000) % 2
where = rng.integers(0, 6, 1000)
ids = rng.integers(0, 3, (1000, 12))
ids[np.arange(1000), where] = 3 + labels

inputs = keras.Input((12,), dtype="int32", name="ids")
memory = layers.LSTM(16, name="memory")(layers.Embedding(5, 8, name="tokens")(inputs))
model = keras.Model(inputs, layers.Dense(2, name="class")(memory))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
model.fit(ids[100:], labels[100:], epochs=8, batch_size=50, verbose=0)
accuracy = model.evaluate(ids[:100], labels[:100], verbose=0)[1]
print(f"accuracy {accuracy:.2f}")

# %% [markdown]
# `lrp.epsilon` sends relevance through the products of gates and values to the values: gates say how much passes, not
# what. The cell is traced step by step; nothing has to be rewritten.

# %%
explanation = kerasexplain.create_analyzer("lrp.epsilon", model).explain(ids[:100], audit=True)
tokens = [[vocabulary[token] for token in row] for row in ids[:100]]
picture = explanation.to_figure(ids[:100], tokens=tokens, sample=0)
picture.savefig("lstm.png")

# %% [markdown]
# **What to look for.** Nearly all relevance lies on the mark, however long ago it was. Relevance that fades towards
# the beginning is a model that forgets; on noise, one that has learnt by heart.

# %%
strongest = np.abs(explanation.relevance).argmax(axis=1)
print(f"the mark is the strongest token in {np.mean(strongest == where[:100]):.0%}")
assert accuracy > 0.95
assert np.mean(strongest == where[:100]) > 0.9
audit = explanation.audit
np.testing.assert_allclose(audit.inputs + audit.biases + audit.lost, audit.explained, rtol=1e-3, atol=1e-3)
