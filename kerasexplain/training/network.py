"""A Keras model in place of the network that it trains: what is called, saved and exported is the network."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import keras

from kerasexplain.training.data import separated


class TrainsNetwork(keras.Model):
    """A model that has nothing of its own but the way in which it trains a network.

    Args:
        network: What is trained.
        name: Of the model.
    """

    def __init__(self, network: keras.Model, name: str) -> None:
        # Its policy is the network's: it casts inputs as the network does, and scales losses where that needs it.
        super().__init__(name=name, dtype=network.dtype_policy)
        self.network = network
        if getattr(network, "output_names", None):
            self.output_names = tuple(network.output_names)  # by which compile() takes a dict of losses

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The network's outputs."""
        x, _ = separated(inputs)
        takes_training = getattr(self.network, "_call_has_training_arg", False)
        return self.network(x, training=training) if takes_training else self.network(x)

    def get_config(self) -> dict[str, Any]:
        """Refused: what is saved, copied and cloned is the network."""
        raise NotImplementedError(
            "a RelevanceModel is there for training alone, and has no configuration: save, copy or clone the network "
            "that it trains, relevance_model.network"
        )

    def save(self, filepath: str | os.PathLike[str], **options: Any) -> None:
        """Saves the network, as Keras does: it is loaded without this library."""
        self.network.save(filepath, **options)

    def export(self, filepath: str | os.PathLike[str], **options: Any) -> None:
        """Exports the network, as Keras does."""
        self.network.export(filepath, **options)

    def save_weights(self, filepath: str | os.PathLike[str], **options: Any) -> None:
        """Saves the network's weights, and the optimizer's beside them, as Keras does."""
        with self._lent_optimizer():
            self.network.save_weights(filepath, **options)

    def load_weights(self, filepath: str | os.PathLike[str], **options: Any) -> None:
        """Loads weights into the network, and into the optimizer where the file has them, as Keras does."""
        with self._lent_optimizer():
            self.network.load_weights(filepath, **options)

    @contextlib.contextmanager
    def _lent_optimizer(self) -> Iterator[None]:
        """The network has this model's optimizer for a while: `BackupAndRestore` continues a training by its state."""
        own = getattr(self.network, "optimizer", None)
        self.network.optimizer = getattr(self, "optimizer", None)
        try:
            yield
        finally:
            self.network.optimizer = own
