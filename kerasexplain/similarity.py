"""Similarity: which pairs of parts of two inputs make their embeddings alike."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from keras import config, ops

from kerasexplain.analyzer import Analyzer
from kerasexplain.foundation.checks import check_count, check_seed
from kerasexplain.foundation.errors import InputError
from kerasexplain.foundation.showing import Shown
from kerasexplain.runtime.inputs import Structure, by_input, count_of
from kerasexplain.runtime.method import Method
from kerasexplain.runtime.streams import is_stream

if TYPE_CHECKING:
    from PIL.Image import Image

#: A window's size along every axis of the parts; or one for each, None for the whole axis.
Pool = int | Sequence[int | None] | None
#: The most pairs of two samples that are held at once.
MOST_PAIRS = 2**28


class TopPairs(NamedTuple):
    """The most relevant pairs of each sample, the first one first.

    Attributes:
        left: Which part of the one, an index for each axis, `(samples, k, axes)`.
        right: Which part of the other.
        relevance: Of the pair, `(samples, k)`.
    """

    left: np.ndarray
    right: np.ndarray
    relevance: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PairRelevance(Shown):
    """The relevance of pairs of parts to a similarity, in two factors: `R_ij = sum_k left_k,i right_k,j`.

    A part is a value of the input; of inputs with three axes and more, such as images, a position with all its
    channels; pooled, a window of these.

    Attributes:
        similarity: What is explained, the dot product of the embeddings, per sample.
        left: The relevance of the parts of the one input to each direction of the embedding, `(samples, rank, *parts)`.
        right: That of the parts of the other.
        windows: How many positions a part of the one has along every axis, and a part of the other; the last part
            along an axis may have fewer.
        analyzer: The analyzer's configuration.
    """

    similarity: np.ndarray
    left: np.ndarray
    right: np.ndarray
    windows: tuple[tuple[int, ...], tuple[int, ...]]
    analyzer: dict[str, Any]

    @property
    def rank(self) -> int:
        """How many directions of the embedding there are."""
        return self.left.shape[1]

    @property
    def total(self) -> np.ndarray:
        """The sum over all pairs, per sample: the similarity, less what biases and stabilizers took."""
        return np.sum(_sums(self.left) * _sums(self.right), axis=1)

    @property
    def of_left(self) -> np.ndarray:
        """The relevance of each part of the one input, over all parts of the other, `(samples, *parts)`."""
        return _weighted(self.left, _sums(self.right))

    @property
    def of_right(self) -> np.ndarray:
        """The relevance of each part of the other input, over all parts of the one."""
        return _weighted(self.right, _sums(self.left))

    def pairs(self, pool: Pool = None) -> np.ndarray:
        """The relevance of every pair, `(samples, *parts of the one, *parts of the other)`.

        Args:
            pool: The side of the windows that are one part, along every axis of the parts; or a tuple with one for each
                axis, None for the whole axis. What is left over at the end of an axis is a smaller window.

        Raises:
            ValueError: There are too many pairs; or pool does not fit the parts.
        """
        left, right = pooled(self.left, pool), pooled(self.right, pool)
        parts = math.prod(left.shape[2:]) * math.prod(right.shape[2:])
        if parts > MOST_PAIRS:
            raise ValueError(
                f"{left.shape[2:]} parts and {right.shape[2:]} make {parts:.3g} pairs of each sample: pool them, "
                "pairs(pool=8); or read of_left and of_right"
            )
        n = len(left)
        found = np.matmul(left.reshape(n, self.rank, -1).swapaxes(1, 2), right.reshape(n, self.rank, -1))
        return found.reshape(n, *left.shape[2:], *right.shape[2:])

    def top(self, k: int = 10, pool: Pool = None) -> TopPairs:
        """The k most relevant pairs of each sample.

        Args:
            k: How many.
            pool: As for `pairs`.

        Raises:
            ValueError: As for `pairs`, or there are fewer pairs.
        """
        found = self.pairs(pool)
        axes = self.left.ndim - 2
        flat = found.reshape(len(found), -1)
        check_count("k", k)
        if k > flat.shape[1]:
            raise ValueError(f"k must be from 1 to the {flat.shape[1]} pairs there are, got {k}")
        order = np.argsort(-flat, axis=1, kind="stable")[:, :k]
        indices = np.stack(np.unravel_index(order, found.shape[1:]), axis=-1)
        return TopPairs(indices[..., :axes], indices[..., axes:], np.take_along_axis(flat, order, axis=1))

    def to_image(self, images: Any, others: Any, *, k: int = 30, pool: Pool = None) -> Image:
        """The pairs of images side by side, one below the other, with lines between their k most relevant parts.

        Needs the `viz` extra.

        Args:
            images: The one, `(samples, height, width[, channels])`.
            others: The other.
            k: How many lines.
            pool: As for `pairs`.

        Raises:
            ValueError: As for `top`, or these are no images, or others than those that were explained.
        """
        from kerasexplain import visualize

        top = self.top(k, pool)
        left = self._centres(top.left, 0, np.shape(images), pool)
        right = self._centres(top.right, 1, np.shape(others), pool)
        return visualize.links(images, others, left, right, top.relevance)

    def _centres(self, indices: np.ndarray, side: int, shape: tuple[int, ...], pool: Pool) -> np.ndarray:
        """The middles of parts, in pixels of images of that shape."""
        factors = (self.left, self.right)[side]
        sizes = np.multiply(self.windows[side], window_of(pool, factors.shape[2:]))
        parts, extent = pooled(factors, pool).shape[2:], np.array(shape[1:3])
        if len(parts) != 2 or len(extent) != 2 or not np.array_equal(-(-extent // sizes), parts):
            raise ValueError(f"the parts {parts}, of {tuple(sizes.tolist())} pixels, are not those of images {shape}")
        return (indices * sizes + np.minimum((indices + 1) * sizes, extent)) / 2

    def __repr__(self) -> str:
        told = ", ".join(
            f"{value:.4g} of {whole:.4g}" for value, whole in zip(self.total, self.similarity, strict=True)
        )
        left, right = self.left.shape[2:], self.right.shape[2:]
        return f"<PairRelevance of {left} and {right} parts by {self.rank} directions: {told:.60}>"


def bilrp(
    analyzer: Analyzer,
    x: Any,
    other: Any,
    *,
    rank: int | None = None,
    seed: int = 0,
    pool: Pool = None,
    which: int | str = 0,
) -> PairRelevance:
    """Which pairs of parts make the embeddings of two inputs alike: BiLRP, `R_ij = sum_m LRP_i(f_m(x)) LRP_j(f_m(x'))`.

    f is the explained output, the embedding: that of a model that ends in it, or of an inner layer, by the analyzer's
    `output=`. What is explained is the dot product `sum_m f_m(x) f_m(x')`. It takes one backward pass for each entry m
    of the embedding and input, and no array of all pairs is made unless it is asked for.

    Of large embeddings `rank` directions will do: `f_m` is replaced by `u_k f`, for random directions u_k that are
    orthogonal and so long that the mean over draws is exact. With as many as the embedding has entries it is exact.

    Args:
        analyzer: An lrp method, which propagates relevance in proportion to what it starts with; the paper has
            `lrp.gamma`. Of a siamese network take the encoder that both branches share:
            `create_analyzer(name, siamese.get_layer("encoder"))`, or `keras.Model(siamese.inputs[0], embedding)` with
            the tensor of one branch's embedding.
        x: The one input, samples first, as for `Analyzer.analyze`.
        other: The other one: as many samples, each compared with that of x in its place. They may differ in size.
        rank: How many random directions; None for all entries of the embedding.
        seed: Of the directions.
        pool: As for `PairRelevance.pairs`: what is held then is as much smaller.
        which: Index or name of the input whose parts are paired, for a model with several.

    Returns:
        The pairs' relevance, in factors.

    Raises:
        ValueError: The method is no `lrp` method, or starts with something else than the explained value; or rank is
            larger than the embedding.
        InputError: There are different numbers of samples, or they do not fit the model.

    Source: Eberle et al. 2022 (2020 as a preprint), "Building and Interpreting Deep Similarity Models", section 3.

    Example:
        >>> encoder = keras.Model(siamese.inputs[0], siamese.get_layer("embedding").output)
        >>> found = bilrp(create_analyzer("lrp.gamma", encoder), image[None], another[None], pool=8)
        >>> found.to_image(image[None], another[None]).save("links.png")
    """
    _check(analyzer, seed)
    names = analyzer.graph.input_names
    if is_stream(x) or is_stream(other):
        raise InputError("bilrp takes arrays, and got a stream: pass its batches one by one")
    sides = [_Side.of(given, names) for given in (x, other)]
    if len({side.count for side in sides}) > 1:
        raise InputError(f"every sample is compared with one other: there are {sides[0].count} and {sides[1].count}")
    shape = tuple(size for size in analyzer.graph.explained.shape[1:] if size is not None)
    if len(shape) < len(analyzer.graph.explained.shape) - 1:
        raise ValueError("the embedding has no fixed size: explain an output behind pooling, output=")
    directions = _Directions.of(shape, rank, seed)
    numbers: dict[int | str, int] = {name: i for i, name in enumerate(names)}
    numbers |= {i: i for i in range(len(names))}
    if which not in numbers:
        raise ValueError(f"which= is the index or the name of one of the inputs {list(names)}, got {which!r}")
    (left, of_left), (right, of_right) = (_factors(analyzer, side, directions, pool, numbers[which]) for side in sides)
    if directions.random is not None:
        of_left, of_right = (_embeddings(analyzer, side) for side in sides)
    of_x, of_other = (window_of(pool, _extent(side.arrays[numbers[which]].shape)) for side in sides)
    return PairRelevance(np.sum(of_left * of_right, axis=1), left, right, (of_x, of_other), analyzer.description)


def _check(analyzer: Analyzer, seed: int) -> None:
    method, start = analyzer.method, analyzer.options.start
    if not method.explains_audits:
        raise ValueError(f"{analyzer.name!r} propagates no relevance: use an lrp method")
    start = method.default_start if start is None else start
    if not isinstance(start, str) or start != "output" or type(method).started is not Method.started:
        raise ValueError(
            f"{analyzer.name!r} starts with something else than the embedding: use an lrp method, and no start="
        )
    check_seed(seed)


@dataclasses.dataclass(frozen=True)
class _Side:
    """One of the two inputs.

    Attributes:
        arrays: One for each input of the model.
        structure: Gives such a list the structure of what the user passed.
        count: How many samples there are.
    """

    arrays: list[np.ndarray]
    structure: Structure
    count: int

    @classmethod
    def of(cls, x: Any, names: Sequence[str]) -> _Side:
        given, structure = by_input(x, names)
        if any(not size for array in given for size in array.shape[:1]):
            raise InputError("there is no sample to compare: the input is empty")
        return cls([np.asarray(ops.convert_to_numpy(array)) for array in given], structure, count_of(given, names))

    def at(self, rows: Any) -> list[np.ndarray]:
        """Some of the samples, as `arrays` has all of them."""
        return [array[rows] for array in self.arrays]


@dataclasses.dataclass(frozen=True)
class _Directions:
    """Directions of the embedding: unit vectors, or random ones.

    Attributes:
        shape: Of the embedding.
        count: How many.
        random: Random ones, `(count, entries)`; None for those of the entries.
    """

    shape: tuple[int, ...]
    count: int
    random: np.ndarray | None

    @classmethod
    def of(cls, shape: tuple[int, ...], rank: int | None, seed: int) -> _Directions:
        entries = math.prod(shape)
        if rank is None:
            return cls(shape, entries, None)
        check_count("rank", rank)
        if rank > entries:
            raise ValueError(f"rank must be from 1 to the {entries} entries of the embedding, got {rank}")
        q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((entries, rank)))
        # With the signs of r's diagonal every rotation is as likely as every other.
        return cls(shape, rank, (q * np.sign(np.diag(r))).T * math.sqrt(entries / rank))

    def at(self, which: np.ndarray) -> np.ndarray:
        """The directions of those numbers, as weights shaped like the embedding."""
        if self.random is not None:
            return self.random[which].reshape(-1, *self.shape)
        weights = np.zeros((len(which), math.prod(self.shape)))
        weights[np.arange(len(which)), which] = 1.0
        return weights.reshape(-1, *self.shape)


def _factors(
    analyzer: Analyzer, side: _Side, directions: _Directions, pool: Pool, position: int
) -> tuple[np.ndarray, np.ndarray]:
    """The relevance of the parts to every direction, `(samples, directions, *parts)`, and the embedding in these."""
    total, size = side.count * directions.count, _batch_size(analyzer)

    def stream() -> Iterator[tuple[Any, np.ndarray]]:
        for begin in range(0, total, size):
            samples, which = np.divmod(np.arange(begin, min(begin + size, total)), directions.count)
            yield side.structure(side.at(samples)), directions.at(which)

    names = analyzer.graph.input_names
    factors, explained = None, np.zeros(total)
    for rows, found in analyzer.explain_batches(stream(), lambda batch: batch[1]):
        relevance = np.asarray(by_input(found.relevance, names)[0][position])
        parts = pooled(_positions(relevance)[:, None], pool)[:, 0]
        factors = np.zeros((total, *parts.shape[1:]), parts.dtype) if factors is None else factors
        factors[rows], explained[rows] = parts, found.explained
    assert factors is not None
    return factors.reshape(side.count, directions.count, *factors.shape[1:]), explained.reshape(side.count, -1)


def _embeddings(analyzer: Analyzer, side: _Side) -> np.ndarray:
    """The explained output, flat, in double precision."""
    execution, value, size = analyzer.twin.execution, analyzer.graph.explained, _batch_size(analyzer)
    batches = [slice(begin, begin + size) for begin in range(0, side.count, size)]
    found = [ops.convert_to_numpy(execution.run(side.at(rows))[value]) for rows in batches]
    return np.concatenate(found).astype("float64").reshape(side.count, -1)


def _batch_size(analyzer: Analyzer) -> int:
    size = analyzer.options.batch_size
    return 32 if isinstance(size, str) else size


def _channels(rank: int) -> int | None:
    """The axis of the channels of inputs of that rank, samples first; None where every value is a part."""
    if rank < 4:
        return None
    return 1 if config.image_data_format() == "channels_first" else rank - 1


def _extent(shape: tuple[int, ...]) -> tuple[int, ...]:
    """How many parts an input of that shape has along every axis."""
    return tuple(size for axis, size in enumerate(shape) if axis not in (0, _channels(len(shape))))


def _positions(relevance: np.ndarray) -> np.ndarray:
    """Relevance by part: of inputs with positions and channels, summed over the channels."""
    axis = _channels(relevance.ndim)
    return relevance if axis is None else relevance.sum(axis=axis)


def pooled(factors: np.ndarray, pool: Pool) -> np.ndarray:
    """Factors `(samples, rank, *parts)` summed over windows of parts.

    Raises:
        ValueError: pool is no size of windows, or not one for each axis.
    """
    if pool is None:
        return factors
    for axis, size in enumerate(window_of(pool, factors.shape[2:]), start=2):
        factors = np.add.reduceat(factors, np.arange(0, factors.shape[axis], size), axis=axis)
    return factors


def window_of(pool: Pool, extent: Sequence[int]) -> tuple[int, ...]:
    """The size of a window along every axis of parts, of which there are so many.

    Raises:
        ValueError: As for `pooled`.
    """
    sizes: list[int | None] = list(pool) if isinstance(pool, Sequence) else [1 if pool is None else pool] * len(extent)
    if len(sizes) != len(extent):
        raise ValueError(
            f"pool must be one size of windows, or one for each of the {len(extent)} axes of a part, got {pool!r}"
        )
    found = tuple(whole if size is None else size for size, whole in zip(sizes, extent, strict=True))
    for size in found:
        check_count("pool", size)
    return found


def _sums(factors: np.ndarray) -> np.ndarray:
    """The sum over all parts, `(samples, rank)`, in double precision."""
    return factors.reshape(*factors.shape[:2], -1).sum(axis=2, dtype="float64")


def _weighted(factors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The sum over directions, with weights `(samples, rank)`."""
    return np.einsum("nr...,nr->n...", factors, weights).astype(factors.dtype)
