"""One Chromium for all tests of the page."""

import pytest
from in_chromium import chromium, window


@pytest.fixture(scope="session")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser, pets):
    """A window on the page that shows `pets`: (folder, client, what was opened)."""
    with window(browser, pets[2].url) as found:
        yield found
