"""Spectral clustering: graphs whose eigenvalues are known, and what is defined where there is little to cluster."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("scipy")

from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import SpectralClustering
from sklearn.metrics import adjusted_rand_score

from kerasexplain.evaluation.strategies import spectral

pytestmark = pytest.mark.once("arrays alone")


def on_circle(*degrees: float) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def blobs(rng: np.random.Generator, *sizes: int, width: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Points around axes of space, on the sphere, and which axis."""
    of = np.repeat(np.arange(len(sizes)), sizes)
    points = np.eye(20)[of] + width * rng.normal(size=(len(of), 20))
    return points / np.linalg.norm(points, axis=1, keepdims=True), of


def test_two_pairs_are_two_graphs_of_one_edge() -> None:
    # A single edge has degrees 1, and L = [[1, -1], [-1, 1]]: eigenvalues 0 and 2.
    found = spectral.clustered(on_circle(0, 1, 90, 91), neighbors=1)
    np.testing.assert_allclose(found.eigenvalues, [0, 0, 2, 2], atol=1e-12)
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert found.eigengap == pytest.approx(2)
    assert found.conductance.tolist() == [0, 0]


def test_a_triangle_is_one_cluster() -> None:
    # All degrees are 2: L = 1 - A / 2, and A of a triangle has eigenvalues 2, -1, -1.
    found = spectral.clustered(on_circle(0, 30, 60), neighbors=2)
    np.testing.assert_allclose(found.eigenvalues, [0, 1.5, 1.5], atol=1e-12)
    assert found.labels.tolist() == [0, 0, 0]
    assert found.eigengap == pytest.approx(1.5)
    assert found.conductance.tolist() == [1]


def test_a_path_has_the_eigenvalues_of_a_path() -> None:
    # 1 - cos(pi j / (n - 1)), j = 0, ..., n - 1 (Chung 1997, "Spectral graph theory", example 1.4).
    graph = csr_matrix(np.eye(5, k=1) + np.eye(5, k=-1))
    found, _ = spectral.smallest(graph, np.zeros(5, int), 5)
    np.testing.assert_allclose(found, 1 - np.cos(np.pi * np.arange(5) / 4), atol=1e-12)


def test_a_point_is_a_neighbour_of_those_that_it_is_the_nearest_of() -> None:
    # 0 and 10 are nearest to each other; 25 is nearest to 10, and not the other way round.
    graph = spectral.neighborhood(on_circle(0, 10, 25), 1).toarray()
    assert graph.tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]


def test_conductance_is_the_share_of_ties_that_lead_out() -> None:
    # Two triangles and an edge between them: 7 ends of edges in each, one of which leads out.
    graph = np.zeros((6, 6))
    for i, j in [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5), (2, 3)]:
        graph[i, j] = graph[j, i] = 1
    labels = np.array([0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(spectral.conductances(csr_matrix(graph), labels), [1 / 7, 1 / 7])
    # One corner against the rest: its two ends of edges both lead out.
    np.testing.assert_allclose(spectral.conductances(csr_matrix(graph), np.array([1, 0, 0, 0, 0, 0])), [1, 1])


def test_groups_are_found_and_numbered_by_size(rng: np.random.Generator) -> None:
    points, of = blobs(rng, 20, 50, 30)
    found = spectral.clustered(points)
    assert found.labels.tolist() == np.array([2, 0, 1])[of].tolist()
    assert (found.conductance < 0.01).all()
    again = spectral.clustered(points)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_clusters_are_those_of_scikit_learn(rng: np.random.Generator) -> None:
    points, of = blobs(rng, 40, 40, 40, width=0.22)
    found = spectral.clustered(points, 3)
    graph = spectral.neighborhood(points)
    theirs = SpectralClustering(3, affinity="precomputed", random_state=0).fit_predict(graph)
    assert 0 < found.conductance.min() < 0.3
    assert adjusted_rand_score(found.labels, theirs) > 0.95
    assert adjusted_rand_score(found.labels, of) > 0.9


def test_one_cloud_is_one_cluster(rng: np.random.Generator) -> None:
    points = rng.normal(size=(200, 6))
    found = spectral.clustered(points / np.linalg.norm(points, axis=1, keepdims=True))
    assert set(found.labels) == {0}
    assert found.eigengap == pytest.approx(found.eigenvalues[1])


def test_large_graphs_have_the_same_eigenvalues(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    points, _ = blobs(rng, 60, 90, width=0.12)
    points = np.concatenate([points, -points[:50]])  # a part of its own
    graph = spectral.neighborhood(points, 8)
    parts, part = connected_components(graph, directed=False)
    expected, coordinates = spectral.smallest(graph, part, 8)
    monkeypatch.setattr(spectral, "DENSE", 10)
    found, others = spectral.smallest(graph, part, 8)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert others.shape == coordinates.shape
    assert (expected < 1e-12).sum() == parts
    assert parts > 1


def test_more_parts_than_are_considered_are_all_told(rng: np.random.Generator) -> None:
    points, of = blobs(rng, *[4] * 6, width=0.01)
    found = spectral.clustered(points, neighbors=2, most=3)
    assert found.labels.tolist() == of.tolist()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_few_points_are_clustered_with_the_neighbours_that_there_are(count: int, rng: np.random.Generator) -> None:
    points = rng.normal(size=(count, 4))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = spectral.clustered(points, neighbors=50)
    assert found.labels.tolist() == [0] * count  # all are neighbours of all
    assert np.isfinite(found.coordinates).all()
    assert spectral.plane(points).shape == (count, 2)


def test_points_that_are_the_same_are_one_cluster(rng: np.random.Generator) -> None:
    point = blobs(rng, 1)[0]
    same = np.repeat(point, 30, axis=0)
    for points in (same, same + 1e-6 * rng.normal(size=same.shape)):
        found = spectral.clustered(points)
        assert found.labels.tolist() == [0] * 30
        assert found.eigenvalues.tolist() == [0]
        assert found.eigengap == 0


def test_copies_are_neighbours_of_one_another() -> None:
    # Two points, three and four times: with two neighbours each is joined with its copies alone; with three, one of the
    # three looks further, and all of its copies with it.
    copies = np.array([3, 4])
    graph = spectral.neighborhood(on_circle(0, 90), 2, copies).toarray()
    assert graph.tolist() == [[6, 0], [0, 12]]
    graph = spectral.neighborhood(on_circle(0, 90), 3, copies).toarray()
    assert graph.tolist() == [[6, 12], [12, 12]]
    found = spectral.clustered(on_circle(0, 0, 0, 90, 90, 90, 90), neighbors=2)
    assert found.labels.tolist() == [1, 1, 1, 0, 0, 0, 0]
    assert found.conductance.tolist() == [0, 0]
    # A triangle has the eigenvalues 0, 3/2, 3/2, and four points that are all joined 0, 4/3, 4/3, 4/3.
    np.testing.assert_allclose(found.eigenvalues, [0, 0, 4 / 3], atol=1e-12)


def test_groups_of_copies_are_found(rng: np.random.Generator) -> None:
    points, of = blobs(rng, 20, 30)
    found = spectral.clustered(points[np.repeat(np.arange(50), 3)])
    assert found.labels.tolist() == np.repeat(1 - of, 3).tolist()


def test_more_clusters_than_points_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="clusters=3, but there are only 2 different maps"):
        spectral.clustered(on_circle(0, 90, 90), 3)


def test_near_points_are_near_in_the_plane(rng: np.random.Generator) -> None:
    points, of = blobs(rng, 30, 30)
    plane = spectral.plane(points)
    centres = np.stack([plane[of == i].mean(axis=0) for i in range(2)])
    nearest = np.linalg.norm(plane[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == of).all()
    np.testing.assert_array_equal(plane, spectral.plane(points))


def test_maps_that_are_the_same_lie_on_a_line(rng: np.random.Generator) -> None:
    """t-SNE divides by the spread of points, and without any it ends the process."""
    same = np.repeat(rng.normal(size=(1, 9)).astype("float32"), 8, axis=0)
    found = spectral.plane(same + 1e-8 * rng.normal(size=same.shape))
    np.testing.assert_array_equal(found, [[i, 0] for i in range(8)])
