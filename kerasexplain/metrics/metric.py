"""The base of metrics."""

from __future__ import annotations

from typing import Any, ClassVar

from kerasexplain.foundation.config import Configurable
from kerasexplain.metrics.judged import Judged, Result
from kerasexplain.metrics.judging import judge
from kerasexplain.metrics.scores import Scores


class Metric(Configurable):
    """The base of metrics: a frozen dataclass whose fields are its options.

    A subclass says in `scores` what it makes of samples and their maps. It is decorated with
    `kerasexplain.foundation.config.saved_by_keyword`, so that it can be compared and saved.
    """

    #: What tables call it.
    name: ClassVar[str]
    #: "higher" or "lower" scores are better; "neither" where the metric describes rather than judges.
    better: ClassVar[str] = "higher"
    #: Whether masks are needed.
    needs_masks: ClassVar[bool] = False
    #: Whether samples are explained anew, so that maps from elsewhere will not do.
    explains_anew: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """The name, with the options that are not at their default."""
        options = repr(self).partition("(")[2].removesuffix(")")
        return " ".join(f"{self.name}({options})".split()) if options else self.name  # arrays have several lines

    def scores(self, judged: Judged) -> Result:
        """The scores of some samples."""
        raise NotImplementedError

    def __call__(
        self,
        analyzer: Any,
        x: Any,
        target: Any = None,
        *,
        masks: Any = None,
        background: Any = None,
        relevance: Any = None,
        batch_size: int | str | None = None,
        verbose: int = 0,
    ) -> Scores:
        """The score of every sample.

        Args:
            analyzer: What makes the maps. Or, with `relevance`, a Keras model that maps from elsewhere belong to, as
                explanations of its logits; where they explain another value, an analyzer of that, such as
                `create_analyzer("gradient", model, explain="activation")`.
            x: The samples, as for `Analyzer.analyze`: arrays, or a stream of batches.
            target: What is explained, as for `Analyzer.analyze`; by default what the analyzer explains by default.
            masks: Where the object lies, for metrics of localisation: truth values, one for each position (for an
                image `(samples, height, width)`; see `masks_of_boxes`). For a stream, a function from a batch as the
                stream gives it to the masks of its samples.
            background: Other samples like x that fills are made of, as arrays; by default x, where it is no stream.
            relevance: Maps to be judged instead of the analyzer's own: arrays shaped like x, or with channels summed,
                without that axis or with one entry along it; or an `Explanation` or a `Store`, whose neurons are the
                target then. For a stream, a function of the batch.
            batch_size: How many samples or changed copies run at once; by default the analyzer's number.
            verbose: 1 shows a progress bar.

        Returns:
            The scores.

        Raises:
            InputError: x, target, masks, background or relevance do not fit the model or one another.
            ValueError: The metric needs masks, or an analyzer, and there is none.
        """
        return judge(
            analyzer,
            [self],
            x,
            target,
            masks=masks,
            background=background,
            relevance=relevance,
            batch_size=batch_size,
            verbose=verbose,
        )[0]
