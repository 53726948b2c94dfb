"""Strategies: a planted shortcut is found, and what else a call is defined to do.

Where no network is trained, `input_t_gradient` of a Dense layer explains: its relevance is the input times the weights,
known by heart.
"""

from __future__ import annotations

import dataclasses
import pickle
import re
from types import ModuleType
from typing import Any

import keras
import numpy as np
import pytest
from helpers.scripts import script
from keras import layers

pytest.importorskip("sklearn")

import kerasexplain
from kerasexplain import InputError, create_analyzer, strategies
from kerasexplain.analyzer import Analyzer
from kerasexplain.evaluation.strategies.strategies import Strategies


def summing(*shape: int, dtype: str | None = None) -> Analyzer:
    """Of a model whose two outputs are the sum of its input, and the sum with the other sign."""
    inputs = keras.Input(shape, dtype=dtype)
    dense = layers.Dense(2, use_bias=False)
    model = keras.Model(inputs, dense(layers.Flatten()(inputs)), name="sums")
    dense.set_weights([np.stack([np.ones(int(np.prod(shape))), -np.ones(int(np.prod(shape)))], axis=1)])
    return create_analyzer("input_t_gradient", model)


def groups(*sizes: int, shape: tuple[int, ...] = (8, 8, 1), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Samples in which one row or another is bright, in turns as they come, and which."""
    rng = np.random.default_rng(seed)
    of = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    x = 0.1 * rng.random((len(of), *shape))
    x[np.arange(len(of)), 3 * of] += 1.0
    return x.astype("float32"), of


@pytest.fixture(scope="module")
def example() -> ModuleType:
    return script("examples/strategies.py")


@pytest.fixture(scope="module")
def shortcut(example: ModuleType) -> tuple[Strategies, np.ndarray]:
    """The strategies of a network that learned from marked images, and which were marked."""
    x, y, marked = example.samples()
    analyzer = create_analyzer("lrp.epsilon_plus", example.trained(x, y))
    return strategies(analyzer, x, labels=y, of=example.DIGIT), marked


@pytest.mark.slow("trains a network")
def test_a_planted_shortcut_is_found(shortcut: tuple[Strategies, np.ndarray], example: ModuleType) -> None:
    found, marked = shortcut
    share = [float(marked[cluster.members].mean()) for cluster in found.clusters]
    best = int(np.argmax(share))
    cluster = found.clusters[best]
    # 43 of 174 images bear the mark: a cluster by chance would have 0.25.
    assert share[best] >= 0.95
    assert marked[cluster.members].sum() >= 0.95 * marked.sum()
    assert marked[cluster.prototypes].all()
    assert cluster.apart
    strength = np.abs(cluster.mean_map)
    mark = (slice(-example.MARK, None), slice(0, example.MARK))
    assert strength[mark].sum() > 0.25 * strength.sum()  # on 9 of 256 pixels
    assert np.unravel_index(strength.argmax(), strength.shape) in {
        (i, j) for i in range(16 - example.MARK, 16) for j in range(example.MARK)
    }
    for i, other in enumerate(found.clusters):
        if i != best:
            strength = np.abs(other.mean_map)
            assert strength[mark].sum() < 0.02 * strength.sum()
    assert f"cluster{'s' if sum(c.apart for c in found.clusters) > 1 else ''} " in found.remark


@pytest.mark.slow("trains a network")
def test_without_a_shortcut_none_is_claimed(example: ModuleType) -> None:
    x, y, _ = example.samples(share=0.0)
    analyzer = create_analyzer("lrp.epsilon_plus", example.trained(x, y))
    for digit in (3, 8):
        found = strategies(analyzer, x, labels=y, of=digit)
        assert not any(cluster.apart for cluster in found.clusters)
        assert "stand apart" not in found.remark
        assert found.eigenvalues[1] > 0.05


def test_samples_that_are_decided_alike_are_together() -> None:
    x, of = groups(30, 20, 16)
    found = strategies(summing(8, 8, 1), x, 0, prototypes=3)
    assert found.labels.tolist() == of.tolist()
    for i, cluster in enumerate(found.clusters):
        assert cluster.members.tolist() == np.flatnonzero(of == i).tolist()
        assert cluster.share == pytest.approx((30, 20, 16)[i] / 66)
        assert cluster.apart
        assert cluster.accuracy is None
        assert cluster.predicted == {0: cluster.size}
        # Relevance is the input: what lies nearest to the mean is computed anew here.
        maps = x[cluster.members, :, :, 0].astype("float64")
        maps /= np.sqrt((maps**2).sum(axis=(1, 2), keepdims=True))
        np.testing.assert_allclose(cluster.mean_map, maps.mean(axis=0), rtol=1e-5)
        distance = ((maps - maps.mean(axis=0)) ** 2).sum(axis=(1, 2))
        assert cluster.prototypes.tolist() == cluster.members[np.argsort(distance)[:3]].tolist()
        np.testing.assert_array_equal(cluster.inputs, x[cluster.prototypes])
        np.testing.assert_array_equal(cluster.maps, found.maps[cluster.prototypes])
    assert found.embedding.shape == (66, 2)
    assert found.coordinates.shape == (66, len(found.eigenvalues))
    assert np.isfinite(found.embedding).all()


def test_the_same_call_finds_the_same() -> None:
    x, _ = groups(15, 15)
    one, other = (strategies(summing(8, 8, 1), x, 0, clusters=4) for _ in range(2))
    for field in ("labels", "embedding", "eigenvalues", "coordinates"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    assert len(one.clusters) == 4
    assert one.eigengap == pytest.approx(one.eigenvalues[4] - one.eigenvalues[3])


def test_a_class_is_taken_by_its_labels() -> None:
    x, of = groups(50, 30)
    labels = np.tile([0, 1], 40)
    x[labels == 1] *= -1.0  # so that output 1 is the larger one
    x[3], labels[3] = -x[3], 0  # and one is mistaken
    found = strategies(summing(8, 8, 1), x, labels=labels, of=1)
    assert found.positions.tolist() == np.flatnonzero(labels == 1).tolist()
    assert found.classes is not None
    assert found.classes.tolist() == [1] * len(found.positions)
    assert found.labels.tolist() == _renumbered(of[found.positions]).tolist()
    members = np.concatenate([cluster.members for cluster in found.clusters])
    assert sorted(members) == found.positions.tolist()
    assert [cluster.accuracy for cluster in found.clusters] == [1.0, 1.0]
    assert (found.maps > 0).all()  # the class itself was explained
    np.testing.assert_array_equal(found.clusters[0].inputs, x[found.clusters[0].prototypes])
    zero = strategies(summing(8, 8, 1), x, labels=np.eye(2)[labels], of=0, clusters=1)
    assert zero.clusters[0].accuracy == pytest.approx(np.mean(x[labels == 0].sum(axis=(1, 2, 3)) > 0))


def _renumbered(groups: np.ndarray) -> np.ndarray:
    """Groups by number, the larger of two first."""
    return groups if (groups == 0).sum() >= (groups == 1).sum() else 1 - groups


@pytest.mark.parametrize("of", [None, 1])
def test_streams_give_what_arrays_give(of: int | None) -> None:
    x, _ = groups(20, 15)
    labels = np.arange(35) % 2
    analyzer = summing(8, 8, 1)

    def batches() -> Any:
        for i in range(0, 35, 6):
            yield x[i : i + 6], labels[i : i + 6]

    expected = strategies(analyzer, x, 0, labels=labels, of=of)
    for given in (labels, lambda batch: batch[1]):
        found = strategies(analyzer, batches(), 0, labels=given, of=of)
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_array_equal(found.positions, expected.positions)
        np.testing.assert_array_equal(found.classes, expected.classes)
        assert [c.accuracy for c in found.clusters] == [c.accuracy for c in expected.clusters]
        assert found.clusters[0].inputs is None


def test_maps_of_zeros_are_in_no_cluster() -> None:
    x, of = groups(12, 10)
    x[[4, 9]] = 0.0
    found = strategies(summing(8, 8, 1), x, 0)
    assert np.flatnonzero(found.labels < 0).tolist() == [4, 9]
    assert found.zeros == 2
    assert np.isnan(found.embedding[[4, 9]]).all()
    rest = np.delete(np.arange(22), [4, 9])
    assert found.labels[rest].tolist() == _renumbered(of[rest]).tolist()
    assert sum(cluster.share for cluster in found.clusters) == pytest.approx(1)
    assert "because their maps are zero everywhere: 2" in str(found)
    with pytest.raises(InputError, match="relevance of all 2 samples is zero everywhere"):
        strategies(summing(8, 8, 1), np.zeros((2, 8, 8, 1)), 0)


def test_numbers_in_lists_are_one_input() -> None:
    x = np.random.default_rng(0).normal(size=(6, 4))
    found = strategies(summing(4), x.tolist())
    np.testing.assert_array_equal(found.maps, strategies(summing(4), x).maps)


@pytest.mark.parametrize("count", [1, 2])
def test_few_samples_are_one_cluster(count: int) -> None:
    found = strategies(summing(8, 8, 1), groups(count)[0], 0)
    assert [cluster.size for cluster in found.clusters] == [count]
    assert found.clusters[0].prototypes.size == count
    assert not found.clusters[0].apart
    assert "do not fall into parts" in str(found)
    assert found.to_image().size[0] > 100


def test_the_table_says_what_there_is() -> None:
    x, _ = groups(30, 20)
    found = strategies(summing(8, 8, 1), x, 0, labels=np.zeros(50, int))
    text = str(found)
    assert text.startswith("strategies of sums: 50 samples, input_t_gradient")
    rows = [line.split() for line in text.splitlines() if re.match(r" +[01] +\d", line)]
    assert rows[0][:6] == ["0", "30", "60%", "0.000", "100.0%", "0:"]
    assert rows[1][:3] == ["1", "20", "40%"]
    assert "2 clusters, by an eigengap of" in text
    assert "clusters 0 and 1 stand apart" in text


SHAPES = {"image": (12, 12, 3), "plain": (8, 8), "volume": (6, 8, 8, 1), "signal": (40, 2), "table": (8,)}


@pytest.mark.formula
@pytest.mark.parametrize("kind", SHAPES)
def test_maps_of_any_rank_are_clustered_and_drawn(kind: str) -> None:
    x, of = groups(14, 10, shape=SHAPES[kind])
    found = strategies(summing(*SHAPES[kind]), x, 0, size=6)
    assert found.labels.tolist() == of.tolist()
    sizes = {"image": (6, 6), "plain": (6, 6), "volume": (6, 6, 6), "signal": (40,), "table": (8,)}
    assert found.clusters[0].mean_map.shape == sizes[kind]
    image = found.to_image(prototypes=2)
    assert np.asarray(image).std() > 5
    page = found.to_html()
    assert page.count("<img") == 3
    assert page.count("data:image/png;base64,") == 3
    assert "<script" not in page
    assert "http" not in page
    assert found._repr_html_() in page


def test_tokens_are_clustered_by_position() -> None:
    inputs = keras.Input((7,), dtype="int32")
    table = layers.Embedding(2, 1)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(table(inputs))))
    table.set_weights([np.array([[0.0], [1.0]])])
    x = np.zeros((35, 7), "int32")
    x[:20, :3] = 1
    x[20:, 4:] = 1
    found = strategies(create_analyzer("input_t_gradient", model), x, 0)
    assert found.labels.tolist() == [0] * 20 + [1] * 15
    assert found.to_image().size[0] > 100


def test_one_of_several_inputs_counts() -> None:
    inputs = [keras.Input((8, 8, 1), name="left"), keras.Input((5,), name="right")]
    merged = layers.Concatenate()([layers.Flatten()(one) for one in inputs])
    analyzer = create_analyzer("input_t_gradient", keras.Model(inputs, layers.Dense(2, "softmax")(merged)))
    x, of = groups(12, 10)
    analyzer.model.layers[-1].set_weights([np.stack([np.ones(69), np.zeros(69)], axis=1), np.zeros(2)])
    both = {"left": x, "right": np.ones((22, 5), "float32")}
    found = strategies(analyzer, both, 0, which="left", labels=np.zeros(22, int), of=0)
    assert found.labels.tolist() == of.tolist()
    assert found.clusters[0].inputs is not None
    assert found.clusters[0].inputs.shape == (4, 8, 8, 1)
    with pytest.raises(ValueError, match="choose one with which="):
        strategies(analyzer, both, 0)


def test_samples_of_different_sizes_need_one_size_of_maps() -> None:
    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(inputs)))
    analyzer = create_analyzer("input_t_gradient", model)
    small, large = groups(5, 5)[0], groups(5, 5, shape=(16, 16, 1))[0]
    found = strategies(analyzer, iter([small, large]), 0, size=4)
    assert found.maps.shape == (20, 4, 4)
    with pytest.raises(InputError, match=r"pass size= of at most the smallest sample's, now 16"):
        strategies(analyzer, iter([small, large]), 0)


def test_outputs_that_are_no_classes_have_no_accuracy() -> None:
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(inputs)))
    found = strategies(create_analyzer("input_t_gradient", model), groups(9)[0], labels=np.zeros(9, int))
    assert found.outputs is None
    assert found.clusters[0].accuracy is None
    assert found.clusters[0].predicted == {}
    with pytest.raises(InputError, match="ViRelAy shows what was predicted"):
        found.export_virelay("never", groups(9)[0])


def test_images_can_be_drawn_instead() -> None:
    x, _ = groups(12, 10)
    found = strategies(summing(8, 8, 1), iter([x]), 0)
    assert found.to_image(np.round(255 * np.clip(x, 0, 1)).astype("uint8")).size > found.to_image().size
    with pytest.raises(ValueError, match=r"images= has 3 entries, but a prototype is sample"):
        found.to_image(x[:3])


def test_it_is_a_value() -> None:
    found = strategies(summing(8, 8, 1), groups(9)[0], 0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.of = 1  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.maps, found.maps)
    assert str(again) == str(found)
    assert kerasexplain.strategies is strategies


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"of": 1}, InputError, "of=1 takes the samples of a class, and needs their classes"),
    ({"of": 7, "labels": np.zeros(9, int)}, InputError, "of=7: no sample has that class"),
    ({"of": -1, "labels": np.zeros(9, int)}, ValueError, "of is the index of a class, got -1"),
    ({"of": 0, "labels": np.zeros(9, int), "target": np.zeros(9, int)}, InputError, "has to hold for all samples"),
    ({"labels": np.zeros(5, int)}, InputError, "there are 5 labels, but at least 9 samples"),
    ({"labels": np.zeros(12, int)}, InputError, "there are 12 labels for 9 samples"),
    ({"labels": lambda batch: batch[1]}, InputError, "the data are arrays: pass an array"),
    ({"clusters": 0}, ValueError, "clusters must be an integer of at least 1"),
    ({"clusters": 10}, ValueError, "clusters=10, but there are only 9 different maps"),
    ({"neighbors": 0}, ValueError, "neighbors must be an integer of at least 1"),
    ({"size": None}, ValueError, "size must be an integer of at least 1"),
    ({"prototypes": 0}, ValueError, "prototypes must be an integer of at least 1"),
    ({"seed": -1}, ValueError, "seed must be an integer that is not negative"),
    ({"neuron_selection": 0, "target": 0}, ValueError, "target= is another name of neuron_selection="),
    ({"axis": 9}, ValueError, "is the axis of channels"),
]


@pytest.mark.parametrize(("options", "kind", "told"), WRONG, ids=[next(iter(options)) for options, _, _ in WRONG])
def test_what_is_wrong_is_told(options: dict[str, Any], kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=re.escape(told)):
        strategies(summing(8, 8, 1), groups(9)[0], **options)
    if isinstance(options.get("labels"), np.ndarray):
        with pytest.raises(kind, match=re.escape(told)):
            strategies(summing(8, 8, 1), iter([groups(9)[0]]), **options)
