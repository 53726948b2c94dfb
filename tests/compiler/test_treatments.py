"""The table of what primitives mean to relevance."""

from __future__ import annotations

import pytest

from kerasexplain.compiler.treatments import treatment
from kerasexplain.graph.primitives import Primitive

pytestmark = pytest.mark.once("a table of classes")


@pytest.mark.parametrize("primitive", treatment._TABLE, ids=lambda kind: kind.__name__)
def test_a_treatment_extends_that_of_the_kind_which_its_primitive_extends(primitive: type[Primitive]) -> None:
    """A minimum, which is a routing, was once treated as no routing, and lost relevance where it was zero."""
    own = type(treatment._TABLE[primitive])
    for base in primitive.__mro__[1:]:
        if base in treatment._TABLE:
            assert issubclass(own, type(treatment._TABLE[base])), base
