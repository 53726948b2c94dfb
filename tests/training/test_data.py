"""Data of a training on relevance: what is taken, and what is refused before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
from helpers.relevance_training import data, evaluated, trained
from keras import layers, ops

from kerasexplain import InputError, create_analyzer
from kerasexplain.training import RelevanceConsistency, RelevanceOutside

X, Y, MASK = data(8)


class Repeated:
    """Batches that can be read again and again, of a length that is not known."""

    def __iter__(self) -> Iterator[Any]:
        return iter([(X, Y, MASK), (X, Y, MASK)])


@pytest.mark.formula
@pytest.mark.parametrize("form", ["tuple", "list", "dict"])
def test_validation_data_of_every_form(form: str) -> None:
    whole = {"x": X, "y": Y, "mask": MASK, "sample_weight": np.arange(8.0)}
    given = {"tuple": tuple(whole.values()), "list": list(whole.values()), "dict": whole}[form]
    model = trained()
    found = model.fit(X, Y, MASK, verbose=0, validation_data=given).history["val_loss"][0]
    assert found == pytest.approx(evaluated(model, X, Y, MASK, sample_weight=np.arange(8.0))["loss"], rel=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((X, Y), "validation data have them, too"),
        ((X, Y, MASK[:, :4]), "resize=True"),
        ((X, Y, MASK[:5]), "8 samples, and 5 masks"),
        ((X, Y, MASK, None, None), "validation data is"),
        ((X, Y + 1, MASK), "from 0 to 1"),
    ],
    ids=["no masks", "masks of another size", "too few masks", "five entries", "labels"],
)
def test_validation_data_are_looked_at_before_training(given: Any, message: str) -> None:
    model = trained()
    before = [np.array(weight) for weight in model.get_weights()]
    with pytest.raises(InputError, match=message):
        model.fit(X, Y, MASK, validation_data=given, verbose=0)
    assert all(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_masks_that_are_none_are_refused(method: str) -> None:
    call = getattr(trained(), method)
    with pytest.raises(InputError, match="an array of a mask for each sample, got 32"):
        call(X, Y, 32)
    with pytest.raises(InputError, match="8 samples, and 1 masks"):
        call(X, Y, MASK[:1])


@pytest.mark.formula
@pytest.mark.parametrize("kind", ["bool", "uint8", "channels", "lists"])
def test_masks_of_every_kind_say_the_same(kind: str) -> None:
    given = {
        "bool": MASK.astype(bool),
        "uint8": (255 * MASK).astype("uint8"),
        "channels": MASK[..., None],
        "lists": MASK.tolist(),
    }[kind]
    model = trained()
    assert evaluated(model, X, Y, given) == pytest.approx(evaluated(model, X, Y, MASK), rel=1e-6)


@pytest.mark.formula
def test_batches_of_a_generator_may_lack_some_masks() -> None:
    some = [MASK[0], None, *MASK[2:]]
    model = trained()
    expected = evaluated(model, X, Y, some)
    assert evaluated(model, (batch for batch in [(X, Y, some)])) == pytest.approx(expected, rel=1e-6)


@pytest.mark.formula
def test_the_first_batch_of_a_generator_is_looked_at_and_kept() -> None:
    model = trained()
    batches = [(X[:4], Y[:4], MASK[:4]), (X[4:], Y[4:], MASK[4:])]
    assert evaluated(model, iter(batches)) == pytest.approx(evaluated(model, X, Y, MASK), rel=1e-5)
    with pytest.raises(InputError, match="from 0 to 1"):
        model.fit(iter([(X, Y + 1, MASK)]), verbose=0)
    with pytest.raises(InputError, match="no batch"):
        model.fit(iter([]), verbose=0)


@pytest.mark.formula
def test_streams_of_unknown_length_say_how_many_steps_an_epoch_has() -> None:
    model = trained()
    with pytest.raises(InputError, match="steps_per_epoch="):
        model.fit(Repeated(), verbose=0)
    with pytest.raises(InputError, match="validation_steps="):
        model.fit(X, Y, MASK, validation_data=Repeated(), verbose=0)
    history = model.fit(
        Repeated(), steps_per_epoch=2, epochs=3, validation_data=Repeated(), validation_steps=1, verbose=0
    ).history
    assert len(history["val_loss"]) == 3
    assert evaluated(model, Repeated(), steps=2) == pytest.approx(evaluated(model, X, Y, MASK), rel=1e-5)


def test_a_data_loader_of_unknown_length() -> None:
    if keras.backend.backend() != "torch":
        pytest.skip("about PyTorch's DataLoader")
    import torch

    class Samples(torch.utils.data.IterableDataset):  # type: ignore[misc]
        def __iter__(self) -> Iterator[Any]:
            return zip(X, Y, MASK, strict=True)

    loader = torch.utils.data.DataLoader(Samples(), batch_size=4)
    with pytest.raises(InputError, match="steps_per_epoch="):
        trained().fit(loader, verbose=0)
    assert len(trained().fit(loader, steps_per_epoch=2, epochs=2, verbose=0).history["loss"]) == 2


def of_two_images(nested: bool) -> keras.Model:
    keras.utils.set_random_seed(0)
    first, second = keras.Input((8, 8, 1), name="first"), keras.Input((8, 8, 1), name="second")
    x = layers.Concatenate()(
        [layers.Flatten()(layers.Conv2D(3, 3, activation="relu")(first)), layers.Flatten()(second)]
    )
    return keras.Model({"a": {"one": first}, "b": [second]} if nested else [first, second], layers.Dense(2)(x))


@pytest.mark.formula
@pytest.mark.parametrize("nested", [False, True])
def test_one_of_two_inputs_is_judged_though_they_are_nested_or_the_same(nested: bool) -> None:
    two = of_two_images(nested)
    losses = [RelevanceOutside(), RelevanceConsistency(axis=2)]
    model = trained(losses, model=two, input="first")
    x = {"a": {"one": X}, "b": [X]} if nested else [X, X]
    analyzer = create_analyzer("lrp.epsilon_plus", two)
    at = analyzer.graph.input_names.index("first")
    both = [X, X]
    own = analyzer.analyze(both, Y)[at]
    both[at] = np.ascontiguousarray(X[:, :, ::-1])
    mirrored = analyzer.analyze(both, Y)[at][:, :, ::-1]
    found = evaluated(model, x, Y, MASK)
    judged = zip(losses, (MASK, np.ascontiguousarray(mirrored)), strict=True)
    for loss, by in judged:
        values = loss.call(ops.convert_to_tensor(by), ops.convert_to_tensor(own))
        assert found[loss.name] == pytest.approx(float(ops.convert_to_numpy(ops.mean(values))), rel=1e-4)
    model.fit(x, Y, MASK, verbose=0)


@pytest.mark.tensorflow("its shapes that are not known")
def test_masks_of_an_unknown_shape_are_refused_unless_they_are_resized() -> None:
    import tensorflow as tf

    def stream(of_mask: Any) -> Any:
        signature = (tf.TensorSpec((None, 8, 8, 1)), tf.TensorSpec((None,), tf.int64), tf.TensorSpec(of_mask))
        return tf.data.Dataset.from_generator(lambda: iter([(X, Y, MASK)]), output_signature=signature)

    for of_mask in (None, (None, None, None)):
        with pytest.raises(Exception, match=r"tf\.ensure_shape"):
            trained().evaluate(stream(of_mask), verbose=0)
    expected = evaluated(trained(), X, Y, MASK)
    resizing = trained(RelevanceOutside(resize=True))
    assert evaluated(resizing, stream((None, None, None))) == pytest.approx(expected, rel=1e-5)


def test_views_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="none of a sample's"):
        evaluated(trained(RelevanceConsistency(axis=7)), X, Y)
    narrow = RelevanceConsistency(view=lambda x: keras.ops.flip(x, 1), back=lambda relevance: relevance[:, :4])
    with pytest.raises(InputError, match="brought back"):
        evaluated(trained(narrow), X, Y)
