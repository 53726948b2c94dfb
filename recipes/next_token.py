# %% [markdown]
# # Text: the next token of a language model
#
# "The cat near the old dog eats", and now "fish" or "meat"? A GPT-2 of keras_hub, two layers of 32 channels, learns
# what follows, and `lrp.attention` (AttnLRP) says which word of the prompt it comes from. It needs keras_hub:
# `pip install keras-hub`.

# %%
import keras
import keras_hub
import numpy as np

import kerasexplain
from kerasexplain import visualize

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
eaten = {"cat": "fish", "dog": "meat", "horse": "hay", "bird": "seeds", "goat": "leaves"}
vocabulary = ["", "the", "old", "small", "near", "behind", "often", *eaten, "eats", *eaten.values()]
length, prompts, subjects, others = 10, [], [], []
for _ in range(3200):
    subject, other = rng.choice(list(eaten), 2, replace=False)
    who, beside = (["the", *rng.choice(["old", "small"], rng.integers(2)), animal] for animal in (subject, other))
    prompts.append([*["often"] * rng.integers(2), *who, rng.choice(["near", "behind"]), *beside, "eats"])
    subjects.append(subject)
    others.append(other)
tokens = {word: number for number, word in enumerate(vocabulary)}
ids = np.array([[tokens[word] for word in words] + [0] * (length - len(words)) for words in prompts])
last = (ids > 0).sum(axis=1) - 1
answers = np.array([tokens[eaten[subject]] for subject in subjects])
samples = np.arange(len(ids))

# %% [markdown]
# The model gives a logit for each word of the vocabulary at every position: those of the token that comes next. What
# comes after the other words is drawn at random here, so that it learns what comes after the last one alone.

# %%
following = np.zeros_like(ids)
following[samples, last] = answers
backbone = keras_hub.models.GPT2Backbone(
    vocabulary_size=len(vocabulary),
    num_layers=2,
    num_heads=2,
    hidden_dim=32,
    intermediate_dim=64,
    max_sequence_length=length,
    dropout=0.0,
)
model = keras_hub.models.GPT2CausalLM(backbone, preprocessor=None)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
rate = keras.optimizers.schedules.CosineDecay(0.007, 20 * 47)
model.compile(keras.optimizers.AdamW(rate, weight_decay=0.05), loss)


def inputs_of(ids: np.ndarray) -> dict[str, np.ndarray]:
    """The two inputs of a language model of keras_hub: ids, and where there are any."""
    return {"token_ids": ids, "padding_mask": ids > 0}


def next_tokens(ids: np.ndarray) -> np.ndarray:
    """The most likely token after each of the first prompts."""
    logits = model.predict(inputs_of(ids), verbose=0)
    return logits[samples[: len(ids)], last[: len(ids)]].argmax(axis=1)


x, weight = ids[200:], (following[200:] > 0).astype("float32")
model.fit(inputs_of(x), following[200:], sample_weight=weight, epochs=20, batch_size=64, verbose=0)
x, last, answers = ids[:200], last[:200], answers[:200]
accuracy = np.mean(next_tokens(x) == answers)
print(f"accuracy {accuracy:.2f}")

# %% [markdown]
# **How to ask for a token.** The output has two axes, position and word, and a target has an index for each:
# `(last, word)` is the logit of a word after the token at the position `last`. A `Contrast` asks what speaks for one
# word and against another: here for what the subject eats, and against what the other animal eats.

# %%
target = np.stack([last, next_tokens(x)], axis=1)
instead = np.stack([last, [tokens[eaten[other]] for other in others[:200]]], axis=1)
question = kerasexplain.Contrast(target, against=instead)
explanation = kerasexplain.create_analyzer("lrp.attention", model).explain(inputs_of(x), question)
titles = [
    f"{vocabulary[word]!r}, and not {vocabulary[other]!r}"
    for word, other in zip(target[:, 1], instead[:, 1], strict=True)
]
found = explanation.tokens(vocabulary, inputs_of(x), padding=0, which="token_ids", titles=titles)
print(found[:3])
relevance = explanation.relevance["token_ids"]
figure = visualize.figure(relevance, x, tokens=prompts[:200], title=titles[0])
figure.savefig("next_token.png")

# %% [markdown]
# **A model with a preset** has a tokenizer of its own, which makes the inputs, and names the tokens of the result:
#
# ```text
# model = keras_hub.models.GPT2CausalLM.from_preset("gpt2_base_en")
# inputs = model.preprocessor.generate_preprocess(["The cat eats"], sequence_length=16)
# inputs = {name: np.asarray(value) for name, value in inputs.items()}
# last = inputs["padding_mask"].sum(axis=1) - 1
# word = np.asarray(model(inputs))[np.arange(len(last)), last].argmax(axis=1)
# analyzer = kerasexplain.create_analyzer("lrp.attention", model)
# explanation = analyzer.explain(inputs, np.stack([last, word], axis=1))
# tokenizer = model.preprocessor.tokenizer
# explanation.tokens(tokenizer, inputs, which="token_ids", padding=tokenizer.pad_token_id)
# ```

# %% [markdown]
# **What to look for.** The subject has nearly all of the relevance, however far back it stands, and the animal right
# before "eats" has none: the model does not go by what is near. So the check: of the two animals the subject has more
# relevance; and with a third animal in its place, what that one eats comes next.

# %%
rows, animals = samples[:200], list(eaten)
at_subject = [words.index(subject) for words, subject in zip(prompts[:200], subjects[:200], strict=True)]
at_other = [words.index(other) for words, other in zip(prompts[:200], others[:200], strict=True)]
above = np.mean(relevance[rows, at_subject] > relevance[rows, at_other])
print(f"the subject has more relevance than the other animal in {above:.2f} of the prompts")
third = [next(each for each in animals if each not in pair) for pair in zip(subjects[:200], others[:200], strict=True)]
changed = x.copy()
changed[rows, at_subject] = [tokens[animal] for animal in third]
follows = np.mean(next_tokens(changed) == [tokens[eaten[animal]] for animal in third])
print(f"with a third animal in the subject's place, what it eats comes next in {follows:.2f}")
assert accuracy > 0.95
assert above > 0.8
assert follows > 0.9
