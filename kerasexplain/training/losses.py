"""Losses over relevance: what a map should look like, as a number for each sample that does not depend on its scale.

Each is a Keras loss: `loss(y_true, y_pred)` where `y_pred` is relevance, batch first, and `y_true` is what it is judged
by: a mask, a map, other relevance. `RelevanceModel` hands them over. Where all relevance of a sample is 0 there is
nothing to be judged: the value is 0, and so is its derivative.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from kerasexplain.compiler.treatments.treatment import sum_per_sample
from kerasexplain.foundation.checks import check_choice
from kerasexplain.foundation.errors import InputError
from kerasexplain.rules.division import quotient
from kerasexplain.runtime.inputs import shown

Tensor = Any

#: What a loss may be judged by.
JUDGED_BY = ("mask", "inputs", "biases", "analyzers", "view", "nothing")


class RelevanceLoss(keras.losses.Loss):
    """The base of losses over relevance.

    A loss of one's own says in `call(y_true, y_pred)` what it makes of relevance, one number for each sample, and in
    `judged_by` what it wants for `y_true`.

    Attributes:
        judged_by: "mask", what the data have for each sample; "inputs", the inputs; "biases", the sum of |R| of all
            biases; "analyzers", the relevance of another analyzer; "view", that of another view of the inputs, by
            `view` and `back`; "nothing".
    """

    judged_by: ClassVar[str] = "nothing"

    def __init__(self, name: str, dtype: Any = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        """The configuration: the name, and the options of the subclass."""
        return {"name": self.name}


@keras.saving.register_keras_serializable("kerasexplain")
class RelevanceOutside(RelevanceLoss):
    """The share of |R| outside of a mask: `sum |R| (1 - m) / sum |R|`.

    Args:
        normalize: False leaves the sum as it is. Then a network can make it small by smaller outputs, or by relevance
            that goes to biases, without looking elsewhere.
        power: 1, or 2 for squares in place of absolute values.
        resize: Whether masks of another size are resized to that of the input, by nearest neighbours.
        name: Of the loss, in logs.

    A mask is 1 where relevance belongs and 0 elsewhere; entries between count in part, and above 1 as 1. It has the
    shape of the input, or lacks its channels, or has one entry there; channels are the last axis, but the first of
    images where `keras.config.image_data_format()` is "channels_first". A mask of zeros gives 1, whatever the network
    does. A mask that is NaN or negative anywhere is missing: the sample does not count.

    Raises:
        ValueError: power is neither 1 nor 2.

    Source: Ross, Hughes and Doshi-Velez 2017, "Right for the Right Reasons", have squares of gradients, not normalised:
    the analyzer "gradient" with `normalize=False, power=2`.
    """

    judged_by = "mask"

    def __init__(
        self, *, normalize: bool = True, power: int = 1, resize: bool = False, name: str = "relevance_outside"
    ) -> None:
        super().__init__(name)
        check_choice("power", power, (1, 2))
        self.normalize, self.power, self.resize = normalize, power, resize

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One number for each sample: y_true is the mask, y_pred relevance."""
        mask = ops.clip(fitted_mask(y_true, y_pred, self.resize), 0, 1)
        relevance = _scaled(y_pred) if self.normalize else y_pred
        size = ops.abs(relevance) if self.power == 1 else ops.square(relevance)
        outside = sum_per_sample(size * (1 - mask))
        return quotient(outside, sum_per_sample(size)) if self.normalize else outside

    def get_config(self) -> dict[str, Any]:
        """The configuration."""
        own = {"normalize": self.normalize, "power": self.power, "resize": self.resize}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("kerasexplain")
class RelevanceMatch(RelevanceLoss):
    """How far relevance is from a map that is wanted: `1 - <r, t> / (|r| |t|)`, with r = |R|.

    Args:
        signed: Whether r is R itself, for maps with signs.
        resize: Whether maps of another size are resized to that of the input, bilinearly.
        name: Of the loss, in logs.

    A map has a shape as a mask of `RelevanceOutside` has. One that is NaN anywhere is missing: the sample does not
    count. One of zeros gives 0.
    """

    judged_by = "mask"

    def __init__(self, *, signed: bool = False, resize: bool = False, name: str = "relevance_match") -> None:
        super().__init__(name)
        self.signed, self.resize = signed, resize

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One number for each sample: y_true is the map, y_pred relevance."""
        wanted = fitted_mask(y_true, y_pred, self.resize, "bilinear")
        return _distance(y_pred if self.signed else ops.abs(y_pred), wanted + ops.zeros_like(y_pred))

    def get_config(self) -> dict[str, Any]:
        """The configuration."""
        return {**super().get_config(), "signed": self.signed, "resize": self.resize}


@keras.saving.register_keras_serializable("kerasexplain")
class RelevanceOn(RelevanceLoss):
    """The share of |R| on features, or tokens, that must not matter: `sum |R| of them / sum |R|`.

    Args:
        features: Indices along the last axis of the input: the columns of a table.
        tokens: Ids: wherever the input holds one of them.
        name: Of the loss, in logs.

    Raises:
        ValueError: Neither or both are given, or an empty list.
    """

    judged_by = "inputs"

    def __init__(
        self,
        *,
        features: Sequence[int] | None = None,
        tokens: Sequence[int] | None = None,
        name: str = "relevance_on",
    ) -> None:
        super().__init__(name)
        if (features is None) == (tokens is None):
            raise ValueError("RelevanceOn takes features= (indices of the last axis) or tokens= (ids): pass one")
        self.features = None if features is None else [int(feature) for feature in features]
        self.tokens = None if tokens is None else [int(token) for token in tokens]
        if not (self.features or self.tokens):
            raise ValueError("RelevanceOn got an empty list: name at least one feature or token")

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One number for each sample: y_true is the input, y_pred its relevance."""
        if self.tokens is None:
            size = int(y_pred.shape[-1])
            chosen = [feature % size for feature in self.features or [] if -size <= feature < size]
            if len(chosen) != len(self.features or []):
                raise InputError(f"{self.name}: features {self.features} are out of range, the input has {size}")
            on = ops.cast(ops.convert_to_tensor([float(i in chosen) for i in range(size)]), y_pred.dtype)
        else:
            held = [ops.equal(y_true, ops.cast(token, y_true.dtype)) for token in self.tokens]
            on = ops.cast(ops.any(ops.stack(held), axis=0), y_pred.dtype)
        size_of = ops.abs(y_pred)
        return quotient(sum_per_sample(size_of * on), sum_per_sample(size_of))

    def get_config(self) -> dict[str, Any]:
        """The configuration."""
        return {**super().get_config(), "features": self.features, "tokens": self.tokens}


@keras.saving.register_keras_serializable("kerasexplain")
class RelevanceOfBiases(RelevanceLoss):
    """The share of |R| that biases take: `B / (B + sum |R|)`, with B the sum of |R| of all biases.

    Args:
        name: Of the loss, in logs.
    """

    judged_by = "biases"

    def __init__(self, *, name: str = "relevance_of_biases") -> None:
        super().__init__(name)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One number for each sample: y_true is B, y_pred the relevance of the inputs."""
        return quotient(y_true, y_true + sum_per_sample(ops.abs(y_pred)))


@keras.saving.register_keras_serializable("kerasexplain")
class RelevanceSparsity(RelevanceLoss):
    """How far relevance is from one entry alone: `(sum |R| / sqrt(sum R^2) - 1) / (sqrt(n) - 1)` of n entries.

    0 where one entry has everything, 1 where all have the same; 0 for inputs of one entry.

    Args:
        name: Of the loss, in logs.

    Source: Hoyer 2004, "Non-negative Matrix Factorization with Sparseness Constraints", one less his measure.
    """

    def __init__(self, *, name: str = "relevance_sparsity") -> None:
        super().__init__(name)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One number for each sample: y_pred is relevance; y_true is not read."""
        n = math.prod(int(size) for size in y_pred.shape[1:])
        if n == 1:
            return 0 * sum_per_sample(y_pred)
        relevance = _scaled(y_pred)
        ratio = quotient(sum_per_sample(ops.abs(relevance)), _norm(relevance))
        return ops.where(ratio > 0, (ratio - 1) / (math.sqrt(n) - 1), ops.zeros_like(ratio))


@keras.saving.register_keras_serializable("kerasexplain")
class RelevanceSmoothness(RelevanceLoss):
    """How much neighbours differ: `sum (R_i - R_j)^2 / (4 k sum R^2)` over all pairs of neighbours along k axes.

    The axes are all but the batch and the channels, which are as for masks; inputs of one axis have none. Between 0,
    where all are alike, and 1.

    Args:
        name: Of the loss, in logs.
    """

    def __init__(self, *, name: str = "relevance_smoothness") -> None:
        super().__init__(name)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One number for each sample: y_pred is relevance; y_true is not read."""
        rank = len(y_pred.shape) - 1
        channels = _axis_of_channels(rank) if rank > 1 else None
        axes = [axis + 1 for axis in range(rank) if axis != channels]
        relevance = _scaled(y_pred)
        squares = [sum_per_sample(ops.square(ops.diff(relevance, axis=axis))) for axis in axes]
        return quotient(sum(squares[1:], squares[0]), 4 * len(squares) * sum_per_sample(ops.square(relevance)))


@keras.saving.register_keras_serializable("kerasexplain")
class RelevanceAgreement(RelevanceLoss):
    """How far the relevance of two analyzers is apart: `1 - <R, S> / (|R| |S|)`.

    Of more than two, each is compared with the next.

    Args:
        name: Of the loss, in logs.
    """

    judged_by = "analyzers"

    def __init__(self, *, name: str = "relevance_agreement") -> None:
        super().__init__(name)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One number for each sample: y_true and y_pred are relevance."""
        return _distance(y_pred, y_true)


@keras.saving.register_keras_serializable("kerasexplain")
class RelevanceConsistency(RelevanceLoss):
    """How far relevance is from that of another view of the input: `1 - <R, S> / (|R| |S|)`.

    S is the relevance of `view(x)`, brought back by `back`.

    Args:
        axis: The view is the mirror image along that axis: 2 for images left to right.
        view: `x -> another view`, of tensors, in place of the mirror image.
        back: `relevance of the view -> relevance of x`; the identity by default, for noise or colours.
        name: Of the loss, in logs.

    Raises:
        ValueError: Neither an axis nor a view is given, or both; or the axis is 0, that of the batch.

    Where predictions are explained (`target="prediction"`), each view explains its own.
    """

    judged_by = "view"

    def __init__(
        self,
        *,
        axis: int | None = None,
        view: Callable[[Tensor], Tensor] | None = None,
        back: Callable[[Tensor], Tensor] | None = None,
        name: str = "relevance_consistency",
    ) -> None:
        super().__init__(name)
        if (axis is None) == (view is None):
            raise ValueError("RelevanceConsistency takes axis= (a mirror image) or view= (a function): pass one")
        if axis == 0:
            raise ValueError("axis 0 is that of the batch: pass the axis that is mirrored, 2 for images left to right")
        self.axis, self._view, self._back = axis, view, back

    def view(self, x: Tensor) -> Tensor:
        """The other view.

        Raises:
            InputError: The input has no such axis.
        """
        rank = len(x.shape)
        if self.axis is not None and not (-rank < self.axis < rank):
            raise InputError(f"{self.name}: axis={self.axis} is none of a sample's, the input has the rank {rank}")
        return ops.flip(x, axis=self.axis) if self._view is None else self._view(x)

    def back(self, relevance: Tensor) -> Tensor:
        """The relevance of the other view, as that of the input."""
        if self._view is None:
            return ops.flip(relevance, axis=self.axis)
        return relevance if self._back is None else self._back(relevance)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One number for each sample: y_true is the relevance of the view, brought back, y_pred that of the input."""
        return _distance(y_pred, y_true)

    def get_config(self) -> dict[str, Any]:
        """The configuration."""
        functions = {"view": self._view, "back": self._back}
        saved = {key: keras.saving.serialize_keras_object(value) for key, value in functions.items()}
        return {**super().get_config(), "axis": self.axis, **saved}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> RelevanceConsistency:
        """A loss of that configuration; functions have to be registered with Keras."""
        functions = {key: keras.saving.deserialize_keras_object(config[key]) for key in ("view", "back")}
        return cls(**{**config, **functions})


def fitted_mask(mask: Tensor, relevance: Tensor, resize: bool, interpolation: str = "nearest") -> Tensor:
    """A mask in the shape of the relevance, or with one entry in the place of its channels.

    Raises:
        InputError: It has another shape, and is not to be resized.
    """
    mask, shape = ops.cast(mask, relevance.dtype), tuple(relevance.shape[1:])
    channels = _axis_of_channels(len(shape))
    if len(mask.shape) == len(shape) > 1:
        mask = ops.expand_dims(mask, channels + 1)
    own, plane = tuple(mask.shape[1:]), _without(shape, channels)
    known_channels = len(own) == len(shape) > 1 and own[channels] in (1, shape[channels])
    if resize and known_channels and len(shape) == 3 and _without(own, channels) != plane:
        mask = ops.image.resize(mask, plane, interpolation=interpolation)  # in Keras' own order of axes
        own = tuple(mask.shape[1:])
    if own != shape and not (known_channels and _without(own, channels) == plane):
        told = " or ".join(shown((None, *each)) for each in ([shape, plane] if len(shape) > 1 else [shape]))
        way_out = "" if resize else ", or resize=True for images of another size"
        if None in own:
            way_out += "; None is not known here: tf.ensure_shape says it"
        raise InputError(f"a mask has the shape of the relevance, {told}; got {shown((None, *own))}{way_out}")
    return mask


def _axis_of_channels(rank: int) -> int:
    """Which axis of a sample holds channels: the last, but for images where Keras is set to have them first."""
    return 0 if rank > 2 and keras.config.image_data_format() == "channels_first" else rank - 1


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])


def _scaled(values: Tensor) -> Tensor:
    """The values in units of the largest of each sample: squares of small numbers would be 0, and of large infinite."""
    axes = tuple(range(1, len(values.shape)))
    largest = ops.stop_gradient(ops.max(ops.abs(values), axis=axes, keepdims=True))
    return values / ops.where(ops.equal(largest, 0), ops.ones_like(largest), largest)


def _norm(values: Tensor) -> Tensor:
    """The Euclidean norm of each sample, with a derivative of 0 where all of it is 0."""
    square = sum_per_sample(ops.square(values))
    is_zero = ops.equal(square, 0)
    return ops.where(is_zero, square, ops.sqrt(ops.where(is_zero, ops.ones_like(square), square)))


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """One less the cosine of two maps, for each sample; 0 where one of them is 0."""
    a, b = _scaled(a), _scaled(b)
    product = _norm(a) * _norm(b)
    return ops.where(ops.equal(product, 0), product, 1 - quotient(sum_per_sample(a * b), product))
