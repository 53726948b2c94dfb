"""Text as it is shown."""

from __future__ import annotations

import pytest

from kerasexplain.foundation.text import counted

pytestmark = pytest.mark.once("text is the same whatever computes")


def test_of_one_thing_there_is_no_plural() -> None:
    assert [counted(count, "operation") for count in range(3)] == ["0 operations", "1 operation", "2 operations"]
