"""Relevance propagation for Keras: `analyzer = create_analyzer("lrp.z_plus", model)`."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# In a checkout, Python finds this folder before the installed package, which alone has `kerasexplain.analyzers`.
__path__ = pkgutil.extend_path(__path__, __name__)

# Everything is loaded when first used: importing the package must be quick, and must not import Keras in a process
# that only wants its plugins.
_HOME = {
    "Analyzer": "analyzer",
    "Answer": "compiler.question",
    "Audit": "audit",
    "Composite": "compiler.composite",
    "Contrast": "runtime.selection",
    "Explanation": "explanation",
    "InputError": "foundation.errors",
    "Method": "runtime.method",
    "NotFiniteError": "foundation.errors",
    "Passes": "runtime.passes",
    "UnsupportedModelError": "foundation.errors",
    "PairRelevance": "similarity",
    "bilrp": "similarity",
    "choose": "evaluation.choice.choice",
    "compare": "evaluation.comparing",
    "create_analyzer": "create",
    "load_analyzer": "create",
    "register_leaf": "operations",
    "model_wo_softmax": "create",
    "reference_samples": "concepts",
    "register_rule": "operations",
    "relevance_pass": "backend",
    "strategies": "evaluation.strategies.strategies",
}
_MODULES = ("callbacks", "compat", "matches", "metrics", "rules", "store", "training", "visualize")

if TYPE_CHECKING:
    from kerasexplain import callbacks, compat, matches, metrics, rules, store, training, visualize
    from kerasexplain.analyzer import Analyzer
    from kerasexplain.audit import Audit
    from kerasexplain.backend import relevance_pass
    from kerasexplain.compiler.composite import Composite
    from kerasexplain.compiler.question import Answer
    from kerasexplain.concepts import reference_samples
    from kerasexplain.create import create_analyzer, load_analyzer, model_wo_softmax
    from kerasexplain.evaluation.choice.choice import choose
    from kerasexplain.evaluation.comparing import compare
    from kerasexplain.evaluation.strategies.strategies import strategies
    from kerasexplain.explanation import Explanation
    from kerasexplain.foundation.errors import InputError, NotFiniteError, UnsupportedModelError
    from kerasexplain.operations import register_leaf, register_rule
    from kerasexplain.runtime.method import Method
    from kerasexplain.runtime.passes import Passes
    from kerasexplain.runtime.selection import Contrast
    from kerasexplain.similarity import PairRelevance, bilrp
    from kerasexplain.tables import Table


def analyzer_names() -> list[str]:
    """The names that `create_analyzer` knows, sorted."""
    from kerasexplain import listing

    return listing.names()


def analyzer_options(name: str) -> Table:
    """The options of an analyzer as a table: its own, and those of all analyzers; `print` shows it.

    Raises:
        ValueError: There is no analyzer of that name; the nearest are given.

    Example:
        >>> print(kerasexplain.analyzer_options("lrp.epsilon"))
    """
    from kerasexplain import listing

    return listing.options_table(name)


def _loaded(module: str) -> ModuleType:
    try:
        return importlib.import_module(f"kerasexplain.{module}")
    except ModuleNotFoundError as error:
        from kerasexplain.foundation.errors import without_backend

        if not without_backend(error):
            raise
        raise ImportError(without_backend(error)) from error


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(_loaded(_HOME[name]), name)
    if name in _MODULES:
        return _loaded(name)
    raise AttributeError(f"module 'kerasexplain' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


__all__ = [
    "Analyzer",
    "Answer",
    "Audit",
    "Composite",
    "Contrast",
    "Explanation",
    "InputError",
    "Method",
    "NotFiniteError",
    "PairRelevance",
    "Passes",
    "UnsupportedModelError",
    "analyzer_names",
    "analyzer_options",
    "bilrp",
    "callbacks",
    "choose",
    "compare",
    "compat",
    "create_analyzer",
    "load_analyzer",
    "matches",
    "metrics",
    "model_wo_softmax",
    "reference_samples",
    "register_leaf",
    "register_rule",
    "relevance_pass",
    "rules",
    "store",
    "strategies",
    "training",
    "visualize",
]
