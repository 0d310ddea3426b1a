"""What all journeys share: their browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.conftest import CHROMIUM, CHROMIUM_ARGUMENTS
from tests.journeys.on_the_page import PATIENCE_MS


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium for one module only: Playwright's event loop would bar async tests from the rest of the process."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(CHROMIUM_ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture(autouse=True)
def no_page_stays_open(browser: Browser) -> Iterator[None]:
    """A stage that nobody looks at any more still plays, and takes the processor from the next test."""
    yield
    for context in browser.contexts:
        context.close()
