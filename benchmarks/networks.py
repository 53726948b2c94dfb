"""The networks that are measured, with random weights: `keras.applications`, and two whose sizes can be chosen."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers


class Positions(layers.Layer):
    """Adds a vector for every position."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.vectors = self.add_weight(shape=(1, *shape[1:]), initializer="random_normal", name="vectors")

    def call(self, x: Any) -> Any:
        return x + self.vectors


def vision_transformer(
    size: int = 224, patch: int = 16, width: int = 384, depth: int = 12, head: int = 64, classes: int = 1000
) -> keras.Model:
    """A vision transformer, ViT-S by default: pre-norm blocks, gelu, the mean over the patches in front of the classes.

    Args:
        size, patch: Height and width of the images and of their patches.
        width, head: Channels of a token, and of one head of the attention.
        depth: Blocks.
        classes: Outputs.
    """
    keras.utils.set_random_seed(0)
    inputs = keras.Input((size, size, 3))
    x = layers.Conv2D(width, patch, patch, name="patches")(inputs)
    x = Positions()(layers.Reshape((-1, width))(x))
    for _ in range(depth):
        h = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(width // head, head)(h, h)])
        h = layers.Dense(4 * width, activation="gelu")(layers.LayerNormalization(epsilon=1e-6)(x))
        x = layers.Add()([x, layers.Dense(width)(h)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    return keras.Model(inputs, layers.Dense(classes)(x))


def plain_cnn(size: int, width: int, depth: int, classes: int = 10) -> keras.Model:
    """Convolutions as in VGG, 3 x 3 with a ReLU each, all of one width and resolution, so that all cost the same."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((size, size, 3))
    for _ in range(depth):
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    return keras.Model(inputs, layers.Dense(classes)(layers.GlobalAveragePooling2D()(x)))


def application(name: str) -> keras.Model:
    """A network of `keras.applications` for 224 x 224 images, with random statistics of BatchNormalization."""
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, classifier_activation=None)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            size = layer.moving_mean.shape
            layer.moving_mean.assign(rng.normal(0, 0.1, size))
            layer.moving_variance.assign(rng.uniform(0.5, 1.5, size))
    return model


def network(name: str) -> keras.Model:
    """A network by name: "ViT-S", or one of `keras.applications`."""
    return vision_transformer() if name == "ViT-S" else application(name)
