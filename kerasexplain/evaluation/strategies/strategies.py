"""Strategies: the ways in which a model comes to its decisions, found by clustering relevance maps (SpRAy)."""

from __future__ import annotations

import dataclasses
import numbers
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasexplain.analyzer import Analyzer
from kerasexplain.evaluation.strategies.cluster import Cluster, clusters_of
from kerasexplain.evaluation.strategies.maps import OfClass, collected, holds_for_all, summed
from kerasexplain.explanation import entry
from kerasexplain.foundation.checks import check_count, check_seed
from kerasexplain.foundation.errors import InputError
from kerasexplain.runtime.selection import one_of
from kerasexplain.runtime.streams import is_stream
from kerasexplain.store import Store
from kerasexplain.tables import Table, Tabled

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Strategies(Tabled):
    """The clusters of relevance maps, and what they were found from: the result of `kerasexplain.strategies`.

    `str` is a table, notebooks show the page that `to_html` returns, and `to_image` draws it.

    Attributes:
        clusters: The clusters, the largest first.
        labels: The number of each sample's cluster, `(n,)`; -1 for a sample whose map is zero everywhere, which is in
            none.
        positions: Where the samples are in the data, `(n,)`.
        eigenvalues: The smallest eigenvalues of the normalised Laplacian, ascending.
        eigengap: The gap between the eigenvalue of the last cluster and the next one.
        embedding: Two coordinates of each sample, for a plot, `(n, 2)`; not a number for maps of zeros.
        coordinates: The samples' coordinates in the eigenvectors, `(n, eigenvalues)`; zeros for maps of zeros.
        maps: The maps that were compared, `(n, *shape)`.
        classes: The samples' true classes, `(n,)`; None without labels.
        outputs: What the model gave for them, `(n, classes)`; None where that is not one number for each class.
        of: The class whose samples these are; None for all samples.
        analyzer: The analyzer's configuration.
        model: The model's name.
    """

    clusters: tuple[Cluster, ...]
    labels: np.ndarray
    positions: np.ndarray
    eigenvalues: np.ndarray
    eigengap: float
    embedding: np.ndarray
    coordinates: np.ndarray
    maps: np.ndarray
    classes: np.ndarray | None
    outputs: np.ndarray | None
    of: int | None
    analyzer: dict[str, Any]
    model: str

    @property
    def zeros(self) -> int:
        """How many samples are in no cluster, because their map is zero everywhere."""
        return int((self.labels < 0).sum())

    @property
    def title(self) -> str:
        """A line that says which maps were clustered."""
        samples = f"{len(self.labels)} samples" + ("" if self.of is None else f" of class {self.of}")
        return f"strategies of {self.model}: {samples}, {self.analyzer['analyzer']}"

    @property
    def remark(self) -> str:
        """Whether the samples fall into parts, in a sentence."""
        count = len(self.clusters)
        if count == 1:
            return "one cluster: the largest eigengap is the first, so the samples do not fall into parts"
        apart = [str(number) for number, cluster in enumerate(self.clusters) if cluster.apart]
        said = f"{count} clusters, by an eigengap of {self.eigengap:.2g}"
        if not apart:
            return f"{said}; none stands apart, each shades into others"
        which = f"cluster {apart[0]} stands" if len(apart) == 1 else f"clusters {' and '.join(apart)} stand"
        return f"{said}; {which} apart: look at what their prototypes share"

    @property
    def _notes(self) -> list[str]:
        if not self.zeros:
            return [self.remark]
        return [self.remark, f"samples in no cluster, because their maps are zero everywhere: {self.zeros}"]

    def __repr__(self) -> str:
        return f"<Strategies: {self.title}; {self.remark}>"

    def _table(self) -> Table:
        columns = [(name, "right") for name in ("cluster", "samples", "share", "conductance", "accuracy")]
        columns += [("predicted", "left"), ("prototypes", "left")]
        cells = [
            (
                str(number),
                str(cluster.size),
                f"{cluster.share:.0%}",
                f"{cluster.conductance:.3f}",
                "" if cluster.accuracy is None else f"{cluster.accuracy:.1%}",
                ", ".join(f"{index}: {count}" for index, count in list(cluster.predicted.items())[:3]),
                ", ".join(map(str, cluster.prototypes.tolist())),
            )
            for number, cluster in enumerate(self.clusters)
        ]
        return Table(self.title, columns, cells, self._notes)

    def to_image(self, images: Any = None, *, prototypes: int | None = None, cell: float = 1.2) -> Image:
        """An image: a row for every cluster, with its mean map and its prototypes beside their maps.

        Args:
            images: All samples, indexed by where they are in the data, to be drawn instead of what the model was
                given: before preprocessing, say. Of a stream, prototypes are drawn only if images are given.
            prototypes: How many of a cluster are drawn; None for all.
            cell: Height of an image in inches.

        Raises:
            ValueError: The images cannot be drawn, or are too few.
        """
        from kerasexplain.evaluation.strategies import gallery

        return gallery.clusters_image(self.clusters, images=images, count=prototypes, cell=cell)

    def to_html(self, images: Any = None) -> str:
        """A page of HTML that needs nothing else: the clusters, the eigenvalues, and the samples in two dimensions.

        Args:
            images: As for `to_image`.

        Raises:
            ValueError: As `to_image`.
        """
        from kerasexplain.evaluation.strategies import gallery

        return gallery.page(self.title, self._fragment(images))

    def _repr_html_(self) -> str:
        try:
            return self._fragment(None)
        except (ImportError, ValueError):  # no matplotlib, or maps that cannot be drawn
            return super()._repr_html_()

    def _fragment(self, images: Any) -> str:
        from kerasexplain.evaluation.strategies import gallery

        charts = gallery.overview(self.eigenvalues, len(self.clusters), self.embedding, self.labels)
        return gallery.fragment(self.title, self._notes, self.clusters, charts, images)

    def write_projector(
        self, log_dir: str | os.PathLike[str], name: str = "strategies", *, images: Any = None, side: int = 32
    ) -> pathlib.Path:
        """Writes the maps for TensorBoard's tab "Projector", which finds neighbours and other projections.

        Every sample comes with its cluster, its class and what was predicted, and with a small image. What was written
        to the folder under other names stays. Samples whose maps are zero are left out.

        Args:
            log_dir: The folder that TensorBoard is started with.
            name: What the projector calls them.
            images: All samples, indexed by where they are in the data; None for their maps.
            side: Height and width of the small images, in pixels.

        Returns:
            The file that the projector looks for.

        Raises:
            ImportError: TensorBoard is not installed.
            OSError: Nothing can be written there.
            ValueError: The images cannot be drawn, or are too many for this size.
        """
        from kerasexplain.evaluation.strategies import gallery, projector

        kept = np.flatnonzero(self.labels >= 0)
        columns: dict[str, Sequence[object]] = {
            "sample": self.positions[kept].tolist(),
            "cluster": self.labels[kept].tolist(),
        }
        if self.classes is not None:
            columns["class"] = self.classes[kept].tolist()
        if self.outputs is not None:
            columns["predicted"] = self.outputs[kept].argmax(axis=1).tolist()
        maps = self.maps[kept]
        inputs = None if images is None else np.stack([np.asarray(images[int(at)]) for at in self.positions[kept]])
        drawn = gallery.thumbnails(maps, inputs, side)
        return projector.write(pathlib.Path(log_dir), name, maps.reshape(len(maps), -1), columns, drawn)

    def export_virelay(
        self,
        folder: str | os.PathLike[str],
        images: Any,
        *,
        relevance: Any = None,
        class_names: Sequence[str] | None = None,
        name: str = "strategies",
        others: Sequence[Strategies] = (),
    ) -> pathlib.Path:
        """Writes a project for ViRelAy: `virelay folder/project.yaml` shows it in a browser.

        Samples whose maps are zero are left out.

        Args:
            folder: Where; it is made if there is none.
            images: All samples, indexed by where they are in the data, as they should be seen: in bytes or in 0..1.
            relevance: The relevance of all samples, indexed likewise, to be shown in full size; None for the maps that
                were compared.
            class_names: What the classes are called; their numbers by default.
            name: The project's name.
            others: Strategies of other classes, of the same data, for the same project.

        Returns:
            `project.yaml`.

        Raises:
            InputError: The samples are no images, or the model does not give one number for each class; or a sample is
                in two of the strategies.
            OSError: Nothing can be written there.
        """
        from kerasexplain.evaluation.strategies import virelay

        categories = [one._category(relevance) for one in (self, *others)]
        count = max(1 + int(max(category.classes.max() for category in categories)), categories[0].outputs.shape[1])
        names = list(map(str, range(count))) if class_names is None else list(class_names)
        if len(names) < count:
            raise InputError(f"class_names= has {len(names)} names for {count} classes")
        return virelay.export(
            pathlib.Path(folder),
            categories,
            images,
            names,
            title=name,
            model=self.model,
            method=str(self.analyzer["analyzer"]),
            by_label=self.of is not None,
        )

    def _category(self, relevance: Any) -> Any:
        from kerasexplain.evaluation.strategies import virelay

        if self.outputs is None:
            raise InputError("ViRelAy shows what was predicted, and this model does not give one number for each class")
        maps = self.maps
        if relevance is not None:
            maps = np.stack([summed(np.asarray(relevance[int(at)])[None])[0] for at in self.positions])
        return virelay.Category(
            of=self.of,
            positions=self.positions,
            labels=self.labels,
            eigenvalues=self.eigenvalues,
            coordinates=self.coordinates,
            embedding=self.embedding,
            relevance=maps,
            classes=self.outputs.argmax(axis=1) if self.classes is None else self.classes,
            outputs=self.outputs,
        )


def strategies(
    analyzer: Analyzer | Store,
    data: Any,
    neuron_selection: Any = None,
    *,
    target: Any = None,
    labels: Any = None,
    of: int | None = None,
    clusters: int | None = None,
    neighbors: int | None = None,
    size: int = 16,
    axis: int | str | None = "auto",
    which: int | str | None = None,
    prototypes: int = 4,
    seed: int = 0,
    batch_size: int | str | None = None,
    verbose: int = 0,
) -> Strategies:
    """The ways in which a model comes to its decisions: spectral relevance analysis (SpRAy).

    Samples are explained; of each relevance map channels are summed, it is pooled to at most `size` cells along
    each axis, and divided by its length `sqrt(sum R^2)`. Maps that are near each other, by angle, are joined in a
    graph of nearest neighbours, and the graph is cut where it nearly falls apart (`spectral.clustered` has the
    formulas). A small cluster that stands apart, with its relevance where nothing of the class is to be seen, is
    what a shortcut looks like; whether it is one, its prototypes say. The data stream; only the small maps are
    kept.

    Args:
        analyzer: What explains the samples; or a `Store` with their explanations, which are read and not made.
        data: The samples, as `Analyzer.analyze` takes them: arrays, or a stream of batches. With a store, arrays that
            prototypes are drawn from, or None.
        neuron_selection: What is explained, as for `Analyzer.analyze`; by default the class `of`, if that is given.
            With `of`, it has to hold for all samples.
        target: Another name of `neuron_selection`.
        labels: The class of every sample, an index or a row that is one-hot; for a stream also a function from a batch,
            as the stream gives it, to that of its samples. They are asked for by `of` and by the accuracy of clusters.
        of: The class whose samples are taken; None for all. Of all, clusters are mostly the classes.
        clusters: How many clusters; None for what the eigengap says.
        neighbors: How many nearest neighbours a map is joined with; None for `2 log2(samples)`. Of fewer samples, all
            others.
        size: How many cells a map of two or more axes, such as an image's, has at most along each; of one axis, as
            signals, tables and tokens have, it is taken as it is.
        axis: The axis of the channels, counted with that of the samples; None where there is none. "auto" is the last
            of images and volumes, `(samples, height, width, channels)` (the second, if Keras is set to channels first);
            the last of signals, `(samples, time, channels)`, where it is at most a quarter of the time; and none
            elsewhere.
        which: Index or name of the input whose relevance counts, for a model with several.
        prototypes: How many members are kept as examples of a cluster.
        seed: Of k-means and of t-SNE: the same call finds the same clusters.
        batch_size, verbose: As for `Analyzer.analyze`.

    Returns:
        The clusters, the largest first. Samples whose maps are zero everywhere are in none. One sample, or samples
        whose maps are the same up to rounding, are one cluster.

    Raises:
        InputError: The data, the selection or the labels do not fit, or every map is zero.
        ImportError: SciPy or scikit-learn is not installed: `pip install "kerasexplain[metrics]"`.
        ValueError: An option has no legal value, or there are fewer different maps than `clusters`.
        IndexError, NotFiniteError, MemoryError: As `Analyzer.analyze`.

    Source: Lapuschkin et al. 2019, "Unmasking Clever Hans predictors and assessing what machines really learn", Nature
    Communications 10, Methods. Choices of this library: the length that maps are divided by, `2 log2(n)` neighbours,
    and saying of a cluster that it stands apart.

    Example:
        >>> found = kerasexplain.strategies(analyzer, x_train, labels=y_train, of=3)
        >>> print(found)
        >>> found.to_image().save("strategies.png")
        >>> x_train[found.clusters[1].members]
    """
    from kerasexplain.evaluation.strategies import spectral

    for name, value in {"size": size, "prototypes": prototypes, "clusters": clusters, "neighbors": neighbors}.items():
        if value is not None or name in ("size", "prototypes"):
            check_count(name, value)
    check_seed(seed)
    selection = one_of(neuron_selection, target)
    if of is not None:
        if isinstance(of, bool) or not isinstance(of, numbers.Integral) or of < 0:
            raise ValueError(f"of is the index of a class, got {of!r}")
        if not holds_for_all(selection):
            raise InputError("with of=, what is explained has to hold for all samples: pass an index, or leave it out")
        selection = int(of) if selection is None else selection
    maps = collected(
        analyzer,
        OfClass(data, labels, of),
        selection,
        which=which,
        axis=axis,
        size=size,
        batch_size=batch_size,
        verbose=verbose,
    )
    points = maps.values.reshape(len(maps.values), -1)
    kept = np.flatnonzero(points.any(axis=1))
    if not len(kept):
        raise InputError(f"the relevance of all {len(points)} samples is zero everywhere: there is nothing to compare")
    found = spectral.clustered(points[kept], clusters, neighbors=neighbors, seed=seed)
    inputs = None if data is None or is_stream(data) else entry(_in_arrays(data), which)
    return Strategies(
        clusters=clusters_of(maps, kept, found.labels, found.conductance, prototypes, inputs),
        labels=_everywhere(found.labels, kept, len(points), -1),
        positions=maps.positions,
        eigenvalues=found.eigenvalues,
        eigengap=found.eigengap,
        embedding=_everywhere(spectral.plane(points[kept], seed=seed), kept, len(points), np.nan),
        coordinates=_everywhere(found.coordinates, kept, len(points), 0.0),
        maps=maps.values,
        classes=maps.classes,
        outputs=maps.outputs,
        of=None if of is None else int(of),
        analyzer=analyzer.record["analyzer"] if isinstance(analyzer, Store) else analyzer.description,
        model=analyzer.record["model"] if isinstance(analyzer, Store) else analyzer.model.name,
    )


def _in_arrays(data: Any) -> Any:
    """The data, where they are numbers in lists as one array."""
    holds_arrays = not isinstance(data, (list, tuple)) or all(hasattr(part, "shape") for part in data)
    return data if holds_arrays else np.asarray(data)


def _everywhere(values: np.ndarray, rows: np.ndarray, count: int, elsewhere: float) -> np.ndarray:
    """Values of some rows as those of all; elsewhere there is a number instead."""
    result = np.full((count, *values.shape[1:]), elsewhere, dtype=values.dtype)
    result[rows] = values
    return result
