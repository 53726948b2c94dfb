"""Relevance itself, as arrays and images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kerasexplain.analyzer import Analyzer
from kerasexplain.callbacks.watcher import LoggingWatcher
from kerasexplain.explanation import Explanation
from kerasexplain.tensorboard.explanations import ExplanationLog

if TYPE_CHECKING:
    from kerasexplain.tensorboard.writer import Writer


@dataclasses.dataclass(eq=False, repr=False)
class RelevanceLogger(LoggingWatcher):
    """Logs the relevance of some samples while a model trains, for TensorBoard.

    The tab "Images" shows each sample beside its relevance, at the tag `relevance/<analyzer>`: of tables and signals
    the relevance alone, from left to right, and of volumes the plane in the middle, which the tag names. The tab
    "Relevance" has the numbers themselves, with what was predicted and where the relevance went. An event costs one
    analysis of the samples, whatever is logged of it.

    Args:
        analyzer: As for `Watcher`: a name, an analyzer, or several, in a list or by label in a dict.
        data: What is looked at: `(x, y)`, x, or a stream of batches of them.
        targets: What is explained: "label", "prediction", an index, or one per sample; by default the label where data
            have labels of classes, else the prediction.
        every_n_epochs: How often; None for never. As in Keras, epochs 0, n, 2 n ... count.
        every_n_batches: The same for batches, at tags that begin with "batch/"; step 0 is before any training.
        log_dir: What Keras' own TensorBoard callback is given; events go to a folder "relevance" inside.
        layers: Names of operations, as `print(analyzer)` shows them, whose output's relevance is logged as well.
        max_images: How many samples are looked at, at most.
        raw: Whether the numbers are logged, for the tab "Relevance": 4 bytes for every value of the samples.
        class_names: What the outputs mean.
        tokens: For inputs that are ids: what names them, as for `Explanation.tokens`.
        padding: The id that fills rows up.
        feature_names: Of the columns of a table, or the channels of a signal; of several inputs a dict of lists.

    Raises:
        ValueError: An argument has no legal value.
        InputError: There are no samples, or they do not fit the model (when training begins).
        UnsupportedModelError: The analyzer cannot explain the model (when training begins).
        ImportError: TensorBoard is not installed.

    Example:
        >>> logger = RelevanceLogger("lrp.epsilon_plus", data=(x_test, y_test), log_dir="logs/first")
        >>> model.fit(x, y, callbacks=[keras.callbacks.TensorBoard("logs/first"), logger])
    """

    limited_by = "max_images"

    _: dataclasses.KW_ONLY
    layers: Sequence[str] | None = None
    max_images: int = 8
    raw: bool = True
    class_names: Sequence[str] = ()
    tokens: Any = None
    padding: int | None = None
    feature_names: Any = None

    def __post_init__(self, data: Any) -> None:
        super().__post_init__(data)
        self._layers = (self.layers,) if isinstance(self.layers, str) else tuple(self.layers or ())
        names = {"class_names": self.class_names, "tokens": self.tokens, "padding": self.padding}
        names["feature_names"] = self.feature_names
        self._logged = ExplanationLog(self._samples.x, labels=self._samples.labels, **names)

    def prepare(self, label: str, analyzer: Analyzer, targets: Any) -> None:
        self._logged.check(self._explanation(analyzer, targets))

    def look(self, label: str, analyzer: Analyzer, targets: Any, step: int, prefix: str) -> None:
        found = self._explanation(analyzer, targets)

        def entries(writer: Writer) -> None:
            if self.raw:
                self._logged.write(writer, prefix + label, found, step)
            self._logged.write_images(writer, prefix + label, found, step)

        self.log.write(entries)

    def _explanation(self, analyzer: Analyzer, targets: Any) -> Explanation:
        audit = analyzer.method.explains_audits
        return analyzer.explain(self._samples.x, targets, layers=self._layers, audit=audit)
