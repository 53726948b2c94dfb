"""The base of methods: a method is named and configurable, and all that one analyzer differs from another by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kerasexplain.compiler.composite import GRADIENT, Composite
from kerasexplain.compiler.pipeline import Pipeline
from kerasexplain.compiler.question import Answer
from kerasexplain.foundation.checks import check_choice
from kerasexplain.foundation.config import Configurable
from kerasexplain.runtime.fitting import Fitting
from kerasexplain.runtime.passes import Passes

Tensor = Any


class Method(Configurable):
    """A way of explaining, as a frozen dataclass whose fields are its options.

    To add one: subclass, decorate with `@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)`,
    give it a `name`, say in `composite` which rule every operation follows, and register the class in your package's
    metadata under the entry-point group `kerasexplain.analyzers`, with its name.
    """

    #: What `create_analyzer` knows it by.
    name: ClassVar[str]
    #: What the backward pass starts with: "output", the explained value, or "one".
    default_start: ClassVar[str] = "output"
    #: Which channels relevance may go through where a call says nothing else; see `Analyzer.explain`.
    conditions: Any = None
    #: Fields that hold fitted values. They are no options, and are saved as arrays.
    fitted_fields: ClassVar[tuple[str, ...]] = ()
    #: What `start=` may be, besides an array, and whether it may be one.
    legal_starts: ClassVar[tuple[str | None, ...]] = (None, "output", "one")
    takes_start_array: ClassVar[bool] = True
    #: Whether the result at inner layers means something, and whether it may be conditioned on their channels.
    explains_layers: ClassVar[bool] = True
    takes_conditions: ClassVar[bool] = True

    def composite(self) -> Composite:
        """Which rule every operation follows; by default none, and the result is a gradient."""
        return GRADIENT

    @property
    def explains_audits(self) -> bool:
        """Whether relevance is propagated, so that it can be audited."""
        return not self.composite().plain

    def started(self, start: Tensor) -> Tensor:
        """The relevance that the pass starts with, given what it would start with."""
        return start

    def attribution(self, x: Tensor, q: Tensor) -> Tensor:
        """The result at an input x, from the relevance q per unit of it (or the gradient)."""
        return x * q

    def finished(self, x: Tensor, relevance: Tensor) -> Tensor:
        """The result at an input of the model, in the end."""
        return relevance

    def of_biases(self, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The relevance of biases as it is reported, given that of each of them."""
        return dict(found)

    def notes(self, pipeline: Pipeline) -> tuple[str, ...]:
        """Sentences about a model that `print(analyzer)` ends with."""
        return ()

    def answer(self, passes: Passes) -> Answer:
        """The answer to a question about some samples; by default one backward pass.

        Other methods change the samples, run them again and combine what comes of it.
        """
        return Answer.joined([found for _, _, found in passes.copies(1, passes.themselves)])

    def fitted(self, fitting: Fitting) -> Method:
        """The method fitted to data; by default there is nothing to fit."""
        return self

    def check_start(self, start: Any) -> None:
        """Raises ValueError if the backward pass cannot start with that."""
        if isinstance(start, str) or start is None or not self.takes_start_array:
            check_choice(f"start of {self.name!r}", start, self.legal_starts)

    def check_fitted(self) -> None:
        """Raises ValueError if the method needs data that it has not been given."""

    @property
    def _not_configuration(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.fitted_fields

    def _key(self) -> str:
        # Methods with different fitted values are different, though their options are the same.
        return super()._key() + "".join(digest(getattr(self, name)) for name in self.fitted_fields)


def digest(value: Any) -> str:
    """A short text that tells arrays in lists and dicts from others."""
    if isinstance(value, Mapping):
        return "".join(f"{key}:{digest(value[key])}" for key in sorted(value))
    if isinstance(value, (list, tuple)):
        return "".join(map(digest, value))
    if value is None:
        return "-"
    array = np.ascontiguousarray(value)
    return f"{array.shape}{hashlib.sha256(array.tobytes()).hexdigest()}"
