"""Concept relevance propagation."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from kerasexplain.analyzers.lrp import LRP


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ConceptRelevance(LRP):
    """LRP through chosen channels: which inputs speak for the output by way of what these channels detect.

    In the backward pass, the relevance of the output of each conditioned operation is cut off in all channels but the
    chosen ones. What the maps of all single channels of an operation add up to is the map without conditions.

    `explain(x, conditions=...)` takes other conditions, for one call, with this method and with every other one that
    goes backwards through the layers once;
    `kerasexplain.reference_samples` finds the samples in which a channel is most relevant, and
    `explanation.top_neurons` the channels that are most relevant to a sample.

    Use it: to take a map apart into what single channels contribute.

    Not for: models whose channels mean nothing alone.

    Args:
        conditions: `{"conv3": 34, "conv1": [2, 5]}`: channels by the operation's name, for all samples; or a list of
            such dicts, one for each. Channels are an index, several, or a floating array of factors, one for each.
            None for none but those given with a call.
        rule: As for `lrp`; by default the rules of "lrp.epsilon_plus".

    Source: Achtibat et al. 2023, "From Attribution Maps to Human-Understandable Explanations through Concept Relevance
    Propagation".
    """

    name: ClassVar[str] = "crp"

    conditions: Any = None
    rule: Any = ("lrp.epsilon_plus",)
