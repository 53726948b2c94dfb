"""Networks for the command, and the command itself."""

from __future__ import annotations

import pathlib

import keras

from kerasexplain.cli.command import main


def network(shape: tuple[int | None, ...]) -> keras.Model:
    inputs = keras.Input(shape, name="image")
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(x), name="small")


def explain(*arguments: str | pathlib.Path, analyzer: str = "lrp.epsilon") -> int:
    return main(["explain", *(str(argument) for argument in arguments), "-a", analyzer])


def model(name: str) -> keras.Model:
    return keras.saving.load_model(name, compile=False)
