"""A browser for the tests of pages."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

#: Names of the browser on the systems it is found on.
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Set where a missing browser is a mistake, as in continuous integration.
REQUIRED = "KERASEXPLAIN_NEEDS_BROWSER"


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Chromium without a window; the test is skipped where there is none."""
    api = pytest.importorskip("playwright.sync_api") if not os.environ.get(REQUIRED) else _api()
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        reason = "there is no Chromium; on Debian and Ubuntu: apt-get install chromium"
        if os.environ.get(REQUIRED):
            pytest.fail(reason)
        pytest.skip(reason)
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def _api() -> Any:
    import playwright.sync_api

    return playwright.sync_api
