"""Jobs on the page: what corrections teach is offered, shown and used; rejected samples are drawn again."""

import numpy as np
import pytest
from fake_engine import fake_draw
from in_chromium import needs_chromium, until, violations, window
from look_server import running
from telling import truth, write_telling

from seediff.config.generate import GenerateConfig
from seediff.dataset import native
from seediff.run import generate as generating
from seediff.run.generate import generate

pytestmark = needs_chromium
ENDED = "text => document.querySelector('#job[aria-busy=false]:not([hidden]) #job-text')?.textContent.startsWith(text)"
SAYS = "([id, text]) => document.querySelector(id).checkVisibility() && document.querySelector(id).textContent.includes(text)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_learnt_looked_at_and_used(browser, tmp_path, scheme):
    out = write_telling(tmp_path / "pets")
    with running(out) as (client, opened), window(browser, opened.url, color_scheme=scheme) as page:
        assert page.locator("#offers").is_hidden()
        for number, row in enumerate(native.read_rows(out)[:12]):
            client.paint(number, np.where(truth(row["seed"], 64), np.uint8(row["class_ids"][0]), np.uint8(0)), 0)
        until(page, SAYS, ["#learn-text", "12 masks are corrected."])
        assert violations(page) == []
        page.click("#learn")
        until(page, ENDED, "learnt; 8 masks would change")
        until(page, SAYS, ["#learn-text", "8 of 8 masks that nobody reviewed would change."])
        assert violations(page) == []
        page.click("#learn-show")
        page.wait_for_selector("#twin:not([hidden])")
        assert page.input_value("#sort") == "-different"
        first = opened.session.subject.samples[int(np.nanargmax(opened.session.index.different))].name
        assert page.text_content("#sample-name") == first
        assert violations(page) == []
        page.click("#back")
        page.wait_for_selector("#browse:not([hidden])")
        page.click("#learn-use")
        until(page, ENDED, "8 masks by the reading")
        assert page.locator("#job-undo").is_visible()
        until(page, "() => document.querySelector('#sort').value === 'order' && document.querySelector('#compare').hidden")
        page.click("#job-undo")
        until(page, ENDED, "8 undone")


def test_drawn_again(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(generating, "model_draw", lambda *args: fake_draw)
    out = tmp_path / "pets"
    generate(GenerateConfig(classes=("dog", "cat"), per_class=4, batch_size=4, device="cpu", threads=1), out)
    with running(out) as (client, opened), window(browser, opened.url) as page:
        for key in ("x", "a", "x", "x"):
            page.keyboard.press(key)
        until(page, SAYS, ["#redraw", "Draw 3 again"])
        until(page, SAYS, ["#redraw-text", "3 rejected, 1 accepted, 4 not reviewed."])
        assert violations(page) == []
        page.fill("#wanted", "6")
        until(page, SAYS, ["#redraw", "Draw 1 again"])
        before = client.ask("GET", "/api/samples/0/thumb").body
        page.click("#redraw")
        until(page, ENDED, "1 drawn again")
        until(page, "() => !document.querySelector('#tile-0').dataset.verdict")
        assert client.ask("GET", "/api/samples/0/thumb").body != before
        page.fill("#wanted", "1")
        assert page.locator("#redraw").is_disabled()
