"""Keras callbacks that look at relevance while a model trains.

All take the analyzer by name, or made with `create_analyzer`, and `data`: what is looked at, chosen once. They build
their analyzers when training begins, and analyse once before it, so that errors in model or data are reported
while nothing is lost. Afterwards nothing they do ends the training: what fails is a warning, and they go on.
"""

from kerasexplain.callbacks.conservation import ConservationMonitor
from kerasexplain.callbacks.early_warning import EarlyWarning
from kerasexplain.callbacks.histogram import RelevanceHistogram
from kerasexplain.callbacks.logger import RelevanceLogger

__all__ = ["ConservationMonitor", "EarlyWarning", "RelevanceHistogram", "RelevanceLogger"]


def __dir__() -> list[str]:
    return [*__all__]
