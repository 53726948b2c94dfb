"""Metrics of randomisation: a map should change when the model's weights, or the class, are exchanged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import keras
import numpy as np

from kerasexplain.foundation.checks import check_choice, check_seed
from kerasexplain.foundation.config import saved_by_keyword
from kerasexplain.foundation.errors import InputError, NotFiniteError
from kerasexplain.metrics.judged import Judged, Result
from kerasexplain.metrics.likeness import SIMILARITIES, similarities
from kerasexplain.metrics.metric import Metric
from kerasexplain.metrics.scores import mean_of_defined


class _Comparing(Metric):
    """The base of metrics that compare a map with another of the same sample."""

    better: ClassVar[str] = "lower"
    explains_anew: ClassVar[bool] = True

    similarity: str
    absolute: bool
    seed: int

    def __post_init__(self) -> None:
        check_choice("similarity", self.similarity, SIMILARITIES)
        check_choice("absolute", self.absolute, (True, False))
        check_seed(self.seed)


@saved_by_keyword
class ModelRandomization(_Comparing):
    """The similarity of a map to those of the same model with layers randomised, from the output to the input.

        score = mean_l similarity( R(x; W), R(x; W with layers randomised down to l) )

    A map that stays as it is does not show what the model was trained to; lower is better. Cascading, layers stay
    randomised on the way down; otherwise one at a time is. Randomised is: the entries of every weight that training
    changes are permuted, in frozen layers too, which keeps how they are distributed; a weight of equal entries, such as
    a new bias, stays as it is. The model's own weights are exchanged during the call and put back at its end, also
    after an error.

    `curves` has the similarity by layer, from the output down. NaN, and left out of the mean, where either map is
    constant or overflows.

    Args:
        cascading: Whether layers stay randomised.
        similarity: "spearman", the rank correlation, or "ssim", for images.
        absolute: Whether |R| is compared.
        seed: Of the permutations.

    Source: Adebayo et al. 2018, "Sanity Checks for Saliency Maps", section 3.
    """

    name: ClassVar[str] = "model_randomization"

    cascading: bool = True
    similarity: str = "spearman"
    absolute: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("cascading", self.cascading, (True, False))

    def scores(self, judged: Judged) -> Result:
        assert judged.analyzer is not None  # `judge` has asked for one
        layers = layers_with_weights(judged.analyzer.model)
        curve = np.zeros((judged.samples, len(layers)))
        with weights_put_back(layers) as originals:
            for k, weights in enumerate(layers):
                for n, weight in enumerate(weights):
                    weight.assign(self._permuted(originals[k][n], k, n))
                curve[:, k] = self._similar(judged)
                if not self.cascading:
                    for weight, original in zip(weights, originals[k], strict=True):
                        weight.assign(original)
        shares = np.arange(1, len(layers) + 1) / len(layers)
        return Result(mean_of_defined(curve), {}, {self.name: curve}, {self.name: shares})

    def _permuted(self, values: np.ndarray, layer: int, number: int) -> np.ndarray:
        generator = np.random.default_rng([self.seed, layer, number])  # the same for every batch
        return generator.permutation(values.ravel()).reshape(values.shape)

    def _similar(self, judged: Judged) -> np.ndarray:
        try:
            others = judged.explained_anew(judged.inputs)
        except NotFiniteError:
            return np.full(judged.samples, np.nan)
        return similarities(judged, others, self.similarity, self.absolute)


@saved_by_keyword
class RandomLogit(_Comparing):
    """The similarity of a map to that of another class, drawn at random.

        score = similarity( R(x; y), R(x; y') ),   y' != y

    A map that is the same for every class does not explain any; lower is better. NaN where either map is constant.

    Args:
        similarity: "spearman", the rank correlation, or "ssim", for images.
        absolute: Whether |R| is compared.
        seed: Of the draws.

    Source: Sixt et al. 2020, "When Explanations Lie: Why Many Modified BP Attributions Fail", section 5.
    """

    name: ClassVar[str] = "random_logit"

    similarity: str = "spearman"
    absolute: bool = False
    seed: int = 0

    def scores(self, judged: Judged) -> Result:
        neuron = np.asarray(judged.neuron)
        shape = judged.passes.pipelines.first.graph.explained.shape
        if neuron.dtype.kind not in "iu" or neuron.ndim != 1 or len(shape) != 2 or (shape[1] or 0) < 2:
            raise InputError(
                f"{self.name!r} compares a class with another: it is for an output of several classes, one explained "
                f"by its index; the output's shape is {shape}"
            )
        classes = shape[1] or 0
        steps = [judged.generator(self.seed, i).integers(1, classes) for i in range(judged.samples)]
        others = judged.explained_anew(judged.inputs, (neuron + np.array(steps)) % classes)
        return Result(similarities(judged, others, self.similarity, self.absolute))


def layers_with_weights(model: keras.Model) -> list[list[Any]]:
    """The weights that training changes, of every layer that has any, from the output to the input.

    Layers that are frozen were trained, too.

    Raises:
        InputError: There are none.
    """
    found: list[list[Any]] = []
    seen: set[int] = set()  # one weight may be that of two layers
    for layer in _within(model):
        own = [w for w in layer._trainable_variables if id(w) not in seen and keras.backend.is_float_dtype(w.dtype)]
        seen.update(map(id, own))
        found += [own] if own else []
    if not found:
        raise InputError(f"the model {model.name!r} has no trainable weights that could be randomised")
    return found[::-1]


def _within(layer: Any) -> Iterator[Any]:
    """A layer and what it is made of, from the input to the output. (`_flatten_layers` turns nested models round.)"""
    yield layer
    for part in layer._layers:
        yield from _within(part)


@contextlib.contextmanager
def weights_put_back(layers: Sequence[Sequence[Any]]) -> Iterator[list[list[np.ndarray]]]:
    """Gives the values of the weights of layers, and puts them back in the end, whatever happens."""
    originals = [[_values(weight) for weight in weights] for weights in layers]
    try:
        yield originals
    finally:
        for weights, values in zip(layers, originals, strict=True):
            for weight, value in zip(weights, values, strict=True):
                weight.assign(value)


def _values(weight: Any) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(weight))  # a copy, where the backend shares its memory
