"""Edges: the derivative of the input along its positions, whatever the model."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from kerasexplain import InputError, create_analyzer


def summing(*shape: int | None, dtype: str = "float32") -> keras.Model:
    return keras.Sequential([keras.Input(shape, dtype=dtype), layers.Flatten(), layers.Dense(2)])


def test_edges_by_hand() -> None:
    """Central differences within, one-sided ones at the ends."""
    x = np.array([[0.0, 1.0, 4.0, 9.0]])[..., None]
    found = create_analyzer("edges", summing(4, 1)).analyze(x)
    np.testing.assert_allclose(found[0, :, 0], [1.0, 2.0, 4.0, 5.0])


def test_edges_of_images_are_those_of_both_axes() -> None:
    rows, columns = np.meshgrid(np.arange(5.0), np.arange(4.0), indexing="ij")
    x = (3 * rows + 4 * columns)[None, ..., None]
    found = create_analyzer("edges", summing(5, 4, 1)).analyze(np.concatenate([x, 7 + 0 * x], axis=0))
    np.testing.assert_allclose(found[0], 5.0, rtol=1e-6)
    np.testing.assert_array_equal(found[1], 0.0)


def test_tables_and_ids_have_no_edges() -> None:
    with pytest.raises(InputError, match="edges are those of images and signals"):
        create_analyzer("edges", summing(4)).analyze(np.zeros((1, 4)))
    ids = keras.Sequential(
        [keras.Input((4,), dtype="int32"), layers.Embedding(5, 2), layers.Flatten(), layers.Dense(1)]
    )
    with pytest.raises(InputError, match="int32"):
        create_analyzer("edges", ids).analyze(np.zeros((1, 4), int))


def test_channels_first() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype("float32")
    last = create_analyzer("edges", summing(5, 4, 3)).analyze(np.moveaxis(x, 1, -1))
    keras.config.set_image_data_format("channels_first")
    try:
        found = create_analyzer("edges", summing(3, 5, 4)).analyze(x)
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_allclose(found, np.moveaxis(last, -1, 1), rtol=1e-6)
