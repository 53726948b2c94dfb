# %% [markdown]
# # A table
#
# Which features made this prediction? Breast tissue, thirty numbers a sample (scikit-learn's data); each is explained
# against the mean of all samples.

# %%
import keras
import numpy as np
from sklearn.datasets import load_breast_cancer

import kerasexplain
from kerasexplain import visualize

keras.utils.set_random_seed(0)
data = load_breast_cancer()
x = ((data.data - data.data.mean(axis=0)) / data.data.std(axis=0)).astype("float32")
model = keras.Sequential([keras.Input((30,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(1, name="benign")])
model.compile(keras.optimizers.Adam(0.01), keras.losses.BinaryCrossentropy(from_logits=True), metrics=["accuracy"])
model.fit(x[100:], data.target[100:], epochs=15, verbose=0)
accuracy = model.evaluate(x[:100], data.target[:100], verbose=0)[1]
print(f"accuracy {accuracy:.2f}")

# %% [markdown]
# `deep_lift` compares with a reference: once the features are standardised, the mean is zero. The one output is the
# logit of "benign": positive relevance speaks for benign, negative for malignant.

# %%
names = list(data.feature_names)
found = kerasexplain.create_analyzer("deep_lift", model, reference_inputs=0.0).explain(x[:100])
picture = visualize.waterfall(
    found.relevance, found.explained, found.reference, data.data[:100], names=names, sample=19
)
picture.savefig("table.png")
visualize.bar(found.relevance, data.data[:100], names=names, sample=0).savefig("table_bar.png")

# %% [markdown]
# **What to look for.** The waterfall begins at the output of the mean sample and arrives at the output of this one: a
# grey step called "lost" would be what the explanation leaves out. Features that are correlated share what they say;
# that one of them has little does not make it unimportant.

# %%
assert np.abs(found.completeness_error).max() < 1e-3 * np.abs(found.explained).max()
assert accuracy > 0.9
strongest = np.abs(found.relevance).mean(axis=0).argsort()[::-1][:3]
print("strongest on average:", ", ".join(names[feature] for feature in strongest))
