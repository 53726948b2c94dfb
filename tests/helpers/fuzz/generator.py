"""Random models of layers and operations of the catalogue: branches, nested, shared, masked, of ids, preprocessed.

A model is what its seed says: a failure is a number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

Tensor = Any
Rng = np.random.Generator
BATCH = 4
ACTIVATIONS = ("relu", "tanh", "sigmoid", "gelu", "elu", "softplus", "silu", "leaky_relu", "relu6", "selu", "mish")
#: Ids run from 0, which pads, to this.
VOCABULARY = 9


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, and a batch for it whose samples are padded in several ways.

    Attributes:
        model: The model.
        x: Its input, in its structure.
        real: For each input, which of its numbers are real, broadcastable to a sample; the others are ids.
        dtype: What it computes in.
    """

    model: keras.Model
    x: Any
    real: list[np.ndarray]
    dtype: str


def case(seed: int) -> Case:
    """The case of a seed."""
    return Maker(np.random.default_rng(seed)).case()


class Maker:
    """Makes one case.

    Args:
        rng: Decides everything.
    """

    def __init__(self, rng: Rng) -> None:
        self.rng = rng
        self.dtype = "float64" if rng.random() < 0.7 else "float32"
        self.inputs: list[Tensor] = []
        self.arrays: list[np.ndarray] = []
        self.real: list[np.ndarray] = []

    def case(self) -> Case:
        kinds = [self._choice("vector", "table", "sequence", "image", "ids", "ids", "sentences", "padded")]
        if self.rng.random() < 0.2:
            kinds.append(self._choice("vector", "sequence", "ids"))
        ends = [self._vector(self._body(self._input(kind))) for kind in kinds]
        joined = ends[0] if len(ends) == 1 else layers.Concatenate(dtype=self.dtype)(ends)
        outputs = self._head(joined)
        if self.rng.random() < 0.15:
            outputs = [outputs, self._layer(layers.Dense, 2)(joined)]
        inputs = self.inputs[0] if len(self.inputs) == 1 else self.inputs
        model = keras.Model(inputs, outputs)
        self._randomize(model)
        x = self.arrays[0] if len(self.arrays) == 1 else self.arrays
        return Case(model, x, self.real, self.dtype)

    # Inputs

    def _input(self, kind: str) -> Tensor:
        rng = self.rng
        if kind in ("ids", "sentences"):
            shape = (int(rng.integers(3, 7)),) if kind == "ids" else (3, int(rng.integers(3, 6)))
            dtype = self._choice("int32", "int64", "float32")
            given = keras.Input(shape, dtype=dtype)
            ids = rng.integers(1, VOCABULARY, (BATCH, *shape))
            self._add(given, _padded(ids).astype(dtype), np.array(False))
            mask_zero = bool(rng.random() < 0.7)
            index = given if kind == "sentences" else self._computed(given)
            return layers.Embedding(VOCABULARY + 2, 4, mask_zero=mask_zero, dtype=self.dtype)(index)
        if kind == "table":
            return self._table()
        shape = {
            "vector": (int(rng.integers(2, 7)),),
            "sequence": (int(rng.integers(4, 8)), int(rng.integers(1, 5))),
            "padded": (int(rng.integers(4, 8)), int(rng.integers(1, 5))),
            "image": (int(rng.integers(5, 9)), int(rng.integers(5, 9)), int(rng.integers(1, 4))),
        }[kind]
        given = keras.Input(shape, dtype=self.dtype)
        array = rng.normal(size=(BATCH, *shape))
        if kind == "padded":
            self._add(given, _padded(array).astype(self.dtype))
            return layers.Masking(dtype=self.dtype)(given)
        self._add(given, array.astype(self.dtype))
        if rng.random() < 0.3:
            return self._preprocessed(given)
        return given

    def _computed(self, ids: Tensor) -> Tensor:
        return self._choice(
            *(lambda i: i, lambda i: i, lambda i: i),
            lambda i: i + 1,
            lambda i: ops.flip(i, axis=1),
            lambda i: ops.mod(i + 2, VOCABULARY),
            lambda i: ops.concatenate([i[:, :1] + 1, i], axis=1),
            lambda i: ops.where(i > 3, 1, i),
        )(ids)

    def _table(self) -> Tensor:
        """Real columns, and one of ids among them."""
        columns = int(self.rng.integers(2, 5))
        at = int(self.rng.integers(columns))
        given = keras.Input((columns,), dtype=self.dtype)
        array = self.rng.normal(size=(BATCH, columns))
        array[:, at] = self.rng.integers(0, VOCABULARY, BATCH)
        self._add(given, array.astype(self.dtype), np.arange(columns) != at)
        ids = self._choice(
            lambda x: ops.cast(x[:, at], "int32"),
            lambda x: ops.take(ops.cast(x, "int64"), at, axis=1),
            lambda x: ops.squeeze(ops.cast(x[:, at : at + 1], "int32"), axis=1),
            lambda x: ops.reshape(x[..., at], (-1,)),
        )(given)
        if self._flip():
            looked_up = layers.Embedding(VOCABULARY, 3, dtype=self.dtype)(ids)
        else:
            looked_up = ops.one_hot(ops.cast(ids, "int32"), VOCABULARY, dtype=self.dtype)
        others = [part for part in (given[:, :at], given[:, at + 1 :]) if part.shape[1]]
        return layers.Concatenate(dtype=self.dtype)([looked_up, *others])

    def _add(self, given: Tensor, array: np.ndarray, real: np.ndarray | None = None) -> None:
        self.inputs.append(given)
        self.arrays.append(array)
        self.real.append(np.array(True) if real is None else real)

    def _preprocessed(self, x: Tensor) -> Tensor:
        how = self._choice("rescaling", "written", "batch_norm", "nested")
        if how == "written":
            return x / 2.0 - 0.5
        if how == "batch_norm":
            return self._layer(layers.BatchNormalization)(x)
        rescaling = self._layer(layers.Rescaling, 0.5, -0.25)
        return (
            rescaling(x)
            if how == "rescaling"
            else keras.Sequential([layers.Input(x.shape[1:], dtype=self.dtype), rescaling])(x)
        )

    # Bodies

    def _body(self, x: Tensor) -> Tensor:
        for _ in range(int(self.rng.integers(1, 5))):
            x = self._step(x)
        return x

    def _step(self, x: Tensor) -> Tensor:
        steps: dict[int, tuple[Callable[[Tensor], Tensor], ...]] = {
            2: (self._dense, self._activated, self._normalized, self._branches, self._residual, self._operation),
            3: (
                *(self._dense, self._activated, self._normalized, self._branches, self._residual, self._operation),
                *(self._recurrent, self._recurrent, self._attention, self._convolution, self._pooled, self._nested),
                self._moved,
            ),
            4: (
                *(self._activated, self._normalized, self._branches, self._residual, self._operation),
                *(self._convolution, self._convolution, self._pooled, self._nested, self._distributed),
            ),
        }
        return self._choice(*steps[len(x.shape)])(x)

    def _dense(self, x: Tensor) -> Tensor:
        activation = self._choice(None, *ACTIVATIONS)
        dense = self._layer(layers.Dense, int(self.rng.integers(2, 6)), activation=activation, use_bias=self._flip())
        return self._layer(layers.SpectralNormalization, dense)(x) if self.rng.random() < 0.2 else dense(x)

    def _activated(self, x: Tensor) -> Tensor:
        name = self._choice(*ACTIVATIONS)
        how = self._choice("layer", "operation", "kind")
        if how == "operation" and hasattr(ops, name):
            return getattr(ops, name)(x)
        if how == "kind":
            return self._layer(self._choice(layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU, layers.Softmax))(x)
        return self._layer(layers.Activation, name)(x)

    def _normalized(self, x: Tensor) -> Tensor:
        kind = self._choice(
            *(layers.BatchNormalization, layers.LayerNormalization, layers.Dropout, layers.GaussianNoise),
            *(layers.RMSNormalization, layers.UnitNormalization),
        )
        return self._layer(kind, 0.1)(x) if kind in (layers.Dropout, layers.GaussianNoise) else self._layer(kind)(x)

    def _operation(self, x: Tensor) -> Tensor:
        return self._choice(
            lambda x: x * 1.5,
            lambda x: x + 0.5,
            lambda x: 1.0 - x,
            lambda x: ops.concatenate([x, -x], axis=-1),
            lambda x: ops.flip(x, axis=-1),
            lambda x: x - ops.mean(x, axis=-1, keepdims=True),
            lambda x: ops.maximum(x, 0.1),
            lambda x: x * ops.sigmoid(x),
            lambda x: ops.stack([x, x], axis=-1)[..., 0],
            lambda x: ops.where(x > 0, x, 0.2 * x),
            lambda x: ops.clip(x, -1.0, 1.0),
            lambda x: x[..., :1] + x,
            lambda x: ops.square(x),
            lambda x: ops.matmul(x, ops.ones((x.shape[-1], 2), dtype=self.dtype)),
            lambda x: ops.sqrt(ops.maximum(x, 0.01)),
            lambda x: ops.log(ops.exp(x) + 1.0),
            lambda x: ops.softmax(x, axis=-1) * x,
            lambda x: ops.stack(ops.unstack(x, axis=-1), axis=-1),
            lambda x: ops.split(ops.concatenate([x, x * 2.0], axis=-1), 2, axis=-1)[1],
            lambda x: ops.roll(x, 1, axis=-1),
            lambda x: x / (1.0 + ops.abs(x)),
        )(x)

    def _branches(self, x: Tensor) -> Tensor:
        operands = [self._same(x) for _ in range(int(self.rng.integers(1, 3)))]
        kind = self._choice(
            *(layers.Add, layers.Multiply, layers.Maximum, layers.Minimum, layers.Average, layers.Concatenate),
        )
        return self._layer(kind)([x, *operands])

    def _residual(self, x: Tensor) -> Tensor:
        return x + self._same(self._same(x))

    def _same(self, x: Tensor) -> Tensor:
        """Something of x's shape, with weights of its own."""
        channels = x.shape[-1]
        if len(x.shape) == 4 and self._flip():
            return self._layer(layers.Conv2D, channels, 3, padding="same", activation=self._choice(None, "relu"))(x)
        if len(x.shape) == 3 and self._flip():
            return self._layer(layers.GRU, channels, return_sequences=True)(x)
        return self._layer(layers.Dense, channels, activation=self._choice(None, "relu", "sigmoid"))(x)

    def _recurrent(self, x: Tensor) -> Tensor:
        kind = self._choice(layers.LSTM, layers.GRU, layers.SimpleRNN)
        unroll, backwards = bool(self.rng.random() < 0.3), bool(self.rng.random() < 0.2)
        options = {"return_sequences": self._flip(), "unroll": unroll}
        if self.rng.random() < 0.4:
            return self._layer(layers.Bidirectional, self._layer(kind, 3, **options))(x)
        return self._layer(kind, 3, go_backwards=backwards, **options)(x)

    def _attention(self, x: Tensor) -> Tensor:
        if self._flip():
            return self._layer(layers.MultiHeadAttention, 2, 2)(x, x)
        return self._layer(self._choice(layers.Attention, layers.AdditiveAttention))([x, self._same(x)])

    def _convolution(self, x: Tensor) -> Tensor:
        padding, filters = self._choice("same", "valid", "same"), int(self.rng.integers(2, 5))
        size = 3 if padding == "same" or min(x.shape[1:-1]) > 3 else 1
        options = {"padding": padding, "activation": self._choice(None, "relu", "tanh"), "use_bias": self._flip()}
        if len(x.shape) == 3:
            kind = self._choice(layers.Conv1D, layers.SeparableConv1D, layers.Conv1DTranspose)
            return self._layer(kind, filters, size, **options)(x)
        kind = self._choice(layers.Conv2D, layers.Conv2D, layers.SeparableConv2D, layers.DepthwiseConv2D)
        return self._layer(kind, *([size] if kind is layers.DepthwiseConv2D else [filters, size]), **options)(x)

    def _pooled(self, x: Tensor) -> Tensor:
        if min(x.shape[1:-1]) < 4:
            return x
        of = "1D" if len(x.shape) == 3 else "2D"
        how = self._choice("MaxPooling", "AveragePooling", "ZeroPadding", "Cropping", "UpSampling")
        argument = 2 if "Pooling" in how or how == "UpSampling" else 1
        return self._layer(getattr(layers, how + of), argument)(x)

    def _moved(self, x: Tensor) -> Tensor:
        steps, channels = x.shape[1:]
        return self._choice(
            lambda: self._layer(layers.Permute, (2, 1))(x),
            lambda: self._layer(layers.Reshape, (steps * channels, 1))(x),
            lambda: self._layer(layers.RepeatVector, 3)(self._vector(x)),
            lambda: ops.transpose(ops.transpose(x, (1, 0, 2)), (1, 0, 2)),
            lambda: ops.flip(x, axis=1),
        )()

    def _nested(self, x: Tensor) -> Tensor:
        size = x.shape[-1]
        dense = [self._layer(layers.Dense, size, activation="relu"), self._layer(layers.Dense, size)]
        inner = keras.Sequential([layers.Input(x.shape[1:], dtype=self.dtype), *dense])
        y = inner(x)
        return inner(y) if self.rng.random() < 0.3 else y  # shared

    def _distributed(self, x: Tensor) -> Tensor:
        inner = self._choice(
            self._layer(layers.LSTM, 3),
            self._layer(layers.GlobalMaxPooling1D),
            self._layer(layers.Dense, 3, activation="relu"),
        )
        return self._layer(layers.TimeDistributed, inner)(x)

    # Ends

    def _vector(self, x: Tensor) -> Tensor:
        if len(x.shape) == 2:
            return x
        of = "1D" if len(x.shape) == 3 else "2D"
        kinds = (layers.Flatten, getattr(layers, f"GlobalMaxPooling{of}"), getattr(layers, f"GlobalAveragePooling{of}"))
        return self._layer(self._choice(*kinds))(x)

    def _head(self, x: Tensor) -> Tensor:
        activation = self._choice(None, None, "softmax", "sigmoid")
        return self._layer(layers.Dense, 3, activation=activation)(x)

    # What all share

    def _layer(self, kind: Any, *given: Any, **options: Any) -> Any:
        return kind(*given, dtype=self.dtype, **options)

    def _choice(self, *of: Any) -> Any:
        return of[int(self.rng.integers(len(of)))]

    def _flip(self) -> bool:
        return bool(self.rng.random() < 0.5)

    def _randomize(self, model: keras.Model) -> None:
        for variable in model.weights:
            if "float" in str(variable.dtype):
                values = self.rng.normal(size=variable.shape) * 0.6
                variable.assign(np.abs(values) + 0.2 if "variance" in variable.path else values)


def _padded(x: np.ndarray) -> np.ndarray:
    """The first sample as it is, the others padded at the end, at the front and in between, with zeros."""
    x = x.copy()
    steps = x.shape[2] if x.ndim == 3 and x.dtype.kind == "i" else x.shape[1]
    along = (slice(None),) * (x.ndim - 2 if x.dtype.kind == "i" else 0)
    x[(1, *along, slice(steps // 2, None))] = 0
    x[(2, *along, slice(None, 1))] = 0
    x[(3, *along, steps // 2)] = 0
    return x
