"""Jobs on the page: rejected samples are drawn again."""

from fake_engine import fake_draw
from in_chromium import needs_chromium, until, violations, window
from look_server import running

from seediff.config.generate import GenerateConfig
from seediff.run import generate as generating
from seediff.run.generate import generate

pytestmark = needs_chromium
ENDED = "text => document.querySelector('#job[aria-busy=false]:not([hidden]) #job-text')?.textContent.startsWith(text)"
SAYS = "([id, text]) => document.querySelector(id).checkVisibility() && document.querySelector(id).textContent.includes(text)"


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
