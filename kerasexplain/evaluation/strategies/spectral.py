"""Spectral clustering: a graph of nearest neighbours, the smallest eigenvalues of its Laplacian, and their gap.

Needs the `metrics` extra.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kerasexplain.foundation.errors import not_importable

try:
    from scipy.linalg import eigh
    from scipy.sparse import csr_matrix, diags
    from scipy.sparse.csgraph import connected_components
    from scipy.sparse.linalg import eigsh
    from sklearn.cluster import KMeans
    from sklearn.manifold import TSNE
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits
except ImportError as error:
    raise not_importable("strategies need SciPy and scikit-learn", "metrics", error) from error

#: Up to how many nodes all eigenvalues of a connected part are computed at once; beyond, only the smallest.
DENSE = 1500
#: Maps of length 1 that are nearer to their mean than this are the same map, up to rounding.
SAME = 1e-4
#: Up to how many points t-SNE runs in one thread.
ALONE = 2000


class Clustering(NamedTuple):
    """Points in clusters.

    Attributes:
        labels: The number of each point's cluster, from the largest to the smallest, `(n,)`.
        eigenvalues: The smallest eigenvalues of the normalised Laplacian, ascending.
        eigengap: The gap behind the eigenvalue of the last cluster.
        coordinates: The points' coordinates in the eigenvectors of these eigenvalues, `(n, eigenvalues)`.
        conductance: Of each cluster, as `conductances` says.
    """

    labels: np.ndarray
    eigenvalues: np.ndarray
    eigengap: float
    coordinates: np.ndarray
    conductance: np.ndarray


def clustered(
    points: np.ndarray, clusters: int | None = None, *, neighbors: int | None = None, most: int = 10, seed: int = 0
) -> Clustering:
    """The clusters of points on a sphere.

    Two points are neighbours if one is among the `neighbors` nearest of the other: affinity `A_ij` is 1, else 0. Of the
    Laplacian `L = 1 - D^(-1/2) A D^(-1/2)`, `D` the degrees, the smallest eigenvalues `l_1 = 0 <= l_2 <= ...` say how
    well the graph falls into parts: into `k` parts without an edge between them if `l_k = 0`. The number of clusters is
    the `k` with the largest gap `l_(k+1) - l_k`; 1 where the first gap is the largest. k-means in the coordinates
    `D^(-1/2) u_1, ..., D^(-1/2) u_k` finds them.

    Equal points are one node of the graph, with the edges of all of them. Points that differ by rounding alone are one
    cluster.

    Args:
        points: `(n, features)`, of length 1.
        clusters: How many clusters; None for what the eigengap says.
        neighbors: How many neighbours; None for `2 log2(n)`. Never more than there are other points.
        most: The largest number of clusters that is considered; more only where the graph has more parts that are
            connected with no other.
        seed: Of k-means.

    Raises:
        ValueError: There are fewer different points than clusters.

    Source: Lapuschkin et al. 2019, "Unmasking Clever Hans predictors and assessing what machines really learn",
    Methods; von Luxburg 2007, "A tutorial on spectral clustering", sections 2 (graph), 4 (algorithm), 8.3 (eigengap).
    """
    different, place, copies = np.unique(points, axis=0, return_inverse=True, return_counts=True)
    place = place.reshape(-1)
    if np.abs(different - different.mean(axis=0)).max() < SAME:
        different, place = different[:1], np.zeros(len(points), dtype=int)
    count = len(different)
    if clusters is not None and clusters > count:
        raise ValueError(f"clusters={clusters}, but there are only {count} different maps")
    if count == 1:
        nowhere = np.zeros((len(points), 1))
        return Clustering(np.zeros(len(points), dtype=int), np.zeros(1), 0.0, nowhere, np.ones(1))
    graph = neighborhood(different, neighbors, copies)
    parts, part = connected_components(graph, directed=False)
    wanted = min(max(most, parts, clusters or 1) + 1, count)
    eigenvalues, coordinates = smallest(graph, part, wanted)
    if wanted == count < len(points):
        # The next one belongs to a vector that differs among copies, which have all their other neighbours in common.
        degrees = np.asarray(graph.sum(axis=1)).ravel() / copies
        eigenvalues = np.append(eigenvalues, 1.0 + 1.0 / degrees[copies > 1].max())
        coordinates = np.pad(coordinates, ((0, 0), (0, 1)))
    gaps = np.diff(eigenvalues)
    k = int(gaps.argmax()) + 1 if clusters is None else clusters
    labels = np.zeros(count, dtype=int)
    if k > 1:
        found = KMeans(k, n_init=10, random_state=seed).fit_predict(coordinates[:, :k], sample_weight=copies)
        labels = _by_size(found, place)
    gap = float(gaps[k - 1]) if k <= len(gaps) else 0.0
    return Clustering(labels[place], eigenvalues, gap, coordinates[place], conductances(graph, labels))


def conductances(graph: csr_matrix, labels: np.ndarray) -> np.ndarray:
    """How many of the ties of a cluster lead out of it: `cut(C) / min(vol(C), vol(rest))`, for each cluster C.

    `cut` counts the edges between C and the rest, `vol` the ends of edges in it. 0 is a cluster without a tie to
    others; 1 is said of the only one.

    Args:
        graph: The affinity.
        labels: The number of each point's cluster.
    """
    member = np.eye(labels.max() + 1)[labels]
    ties = member.T @ (graph @ member)
    volume = ties.sum(axis=1)
    cut = volume - ties.diagonal()
    smaller = np.minimum(volume, volume.sum() - volume)
    return np.asarray(np.where(smaller > 0, cut / np.where(smaller > 0, smaller, 1.0), 1.0))


def neighborhood(points: np.ndarray, neighbors: int | None = None, copies: np.ndarray | None = None) -> csr_matrix:
    """The affinity of points: 1 for two of which one is among the nearest of the other, else 0.

    Args:
        points: Different ones, `(n, features)`.
        neighbors: As for `clustered`.
        copies: How often every point is there; None for once. Copies of a point are its nearest neighbours, so that it
            has an edge to itself; the affinity of two nodes is the number of edges between their copies.
    """
    times = np.ones(len(points), dtype=int) if copies is None else copies
    wanted = max(round(2 * np.log2(times.sum())) if neighbors is None else neighbors, 1)
    nearest = NearestNeighbors().fit(points).kneighbors(n_neighbors=min(wanted, len(points) - 1), return_distance=False)
    # A neighbour counts while fewer than wanted are nearer: copies of the point itself, and those before it.
    nearer = (times - 1)[:, None] + np.cumsum(times[nearest], axis=1) - times[nearest]
    rows, columns = np.nonzero(nearer < wanted)
    edges = csr_matrix((np.ones(len(rows)), (rows, nearest[rows, columns])), shape=(len(points), len(points)))
    affinity = edges.maximum(edges.T).multiply(times[:, None]).multiply(times[None, :])
    return csr_matrix(affinity + diags(times * (times - 1.0)))


def smallest(graph: csr_matrix, part: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The smallest eigenvalues of a graph's normalised Laplacian, and the points' coordinates in their eigenvectors.

    They are those of its connected parts, put together: so an eigenvalue 0 is found once for every part, which an
    iteration from one vector would not.

    Args:
        graph: The affinity.
        part: Which part every point belongs to.
        count: How many.
    """
    values, vectors = [], []
    for number in range(part.max() + 1):
        nodes = np.flatnonzero(part == number)
        affinity = graph[nodes][:, nodes]
        scale = 1.0 / np.sqrt(np.asarray(affinity.sum(axis=1)).ravel())
        normalised = affinity.multiply(scale[:, None]).multiply(scale[None, :])
        here = min(count, len(nodes))
        if len(nodes) <= DENSE:
            laplacian = np.eye(len(nodes)) - normalised.toarray()
            found, directions = eigh(laplacian, subset_by_index=(0, here - 1))
        else:
            start = np.ones(len(nodes)) + 1e-3 * np.arange(len(nodes)) / len(nodes)
            found, directions = eigsh(normalised.tocsc(), here, which="LA", v0=start)
            order = np.argsort(-found)
            found, directions = 1.0 - found[order], directions[:, order]
        directions = directions * scale[:, None]
        # An eigenvector may point either way: its largest component is positive.
        directions *= np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(here)])
        everywhere = np.zeros((graph.shape[0], here))
        everywhere[nodes] = directions
        values.append(found)
        vectors.append(everywhere)
    eigenvalues = np.concatenate(values)
    order = np.argsort(eigenvalues, kind="stable")[:count]
    return np.maximum(eigenvalues[order], 0.0), np.concatenate(vectors, axis=1)[:, order]


def plane(points: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Two coordinates for a plot, in which near points are near: t-SNE, `(n, 2)`.

    Fewer than four points, and points that differ by rounding alone, lie on a line: t-SNE divides by their spread.
    """
    if len(points) < 4 or np.abs(points - points.mean(axis=0)).max() < SAME:
        return np.stack([np.arange(len(points), dtype=float), np.zeros(len(points))], axis=1)
    perplexity = min(30.0, (len(points) - 1) / 3)
    start = "pca" if points.shape[1] > 1 else "random"
    # Threads wait for one another longer than a step of few points takes.
    with threadpool_limits(None if len(points) > ALONE else 1, user_api="openmp"):
        found = TSNE(2, perplexity=perplexity, init=start, random_state=seed).fit_transform(points)
    return np.asarray(found, dtype=np.float64)


def _by_size(labels: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The same clusters, numbered from the largest to the smallest; of two of one size, the one that begins first."""
    of_all = labels[place]
    numbers, first, sizes = np.unique(of_all, return_index=True, return_counts=True)
    rank = np.empty(numbers.max() + 1, dtype=int)
    rank[numbers[np.lexsort((first, -sizes))]] = np.arange(len(numbers))
    return rank[labels]
