"""What the tests of a module share: a Chromium, a set in a server, and a page that shows it."""

import pytest
from in_chromium import window
from look_server import keep_attention, running, write_set


@pytest.fixture(scope="module")
def pets(request, tmp_path_factory):
    """The module's NAMES as samples, the first KEPT with the attention of a dog and a cat: the folder, a client, and
    what is open.
    """
    names = request.module.NAMES
    changes = [{"prompt": "a cat and a dog"}] * len(names)
    out = write_set(tmp_path_factory.mktemp("browser") / "pets", len(names), ("dog", "cat", "bus"), changes=changes)
    keep_attention(out, names[: request.module.KEPT])
    with running(out) as (client, opened):
        yield out, client, opened


@pytest.fixture(scope="module")
def page(browser, pets):
    with window(browser, pets[2].url) as found:
        found.evaluate("() => { const size = document.querySelector('#brush-size'); size.value = 16; size.oninput(); }")
        yield found
