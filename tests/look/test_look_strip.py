"""What the page shows of how a mask was made: the constants beside the image, the strip beneath it, segments."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from fake_engine import fake_draw
from in_chromium import needs_chromium, noticed, open_sample, press, saved, shown_mask, soon, until, window
from items import edit_row, last_actions
from look_server import running

from seediff.config.resolve import configure_run
from seediff.config.runs import GenerateConfig, SegmentPhotosConfig
from seediff.dataset import native
from seediff.run.generate_job import generate

pytestmark = needs_chromium
NAME = "000001"  # its maps are not constant
STEPS = "names => [...document.querySelectorAll('#steps button')].map((one) => one.textContent).join().endsWith(names)"
SAID = "text => document.querySelector('#attention-state').textContent.startsWith(text)"


@pytest.fixture
def made(tmp_path):
    """A set of `generate --beta otsu` that kept its attention."""
    typed = {"classes": ("dog",), "model": "mini", "per_class": 2, "mask.beta": "otsu", "reject": False}
    config, _ = configure_run(GenerateConfig, typed)
    generate(replace(config, keep_attention=True), tmp_path / "made", draw=fake_draw)
    return tmp_path / "made"


def test_the_page_sends_only_what_was_moved(browser, made):
    shows = "beta => document.querySelector('#beta-shown').textContent === beta"
    with running(made) as (client, opened), window(browser, opened.url) as page:
        open_sample(page, NAME)
        until(page, shows, "otsu")
        before = shown_mask(page)
        page.select_option("#method", "ca")
        until(page, shows, "0.4")
        assert page.locator("#alpha").is_disabled()
        wanted = client.ask("GET", "/api/samples/1/tuned?method=ca").labels
        soon(page, lambda: np.array_equal(shown_mask(page), wanted))
        page.fill("#beta", "0.7")
        until(page, shows, "0.7")
        page.click("#untune")
        until(page, shows, "otsu")
        np.testing.assert_array_equal(shown_mask(page), before)
        page.uncheck("#pamr")
        press(page, "u")
        until(page, "() => document.querySelector('#sample-state').textContent.includes('new mask')")
        constants = last_actions(made)[NAME].made
        assert [constants[name] for name in ("pamr", "beta", "expand_levels")] == [False, "otsu", [2]]
        until(page, "() => !document.querySelector('#pamr').checked")
        press(page, "z")
        until(page, "() => document.querySelector('#pamr').checked")  # as in the mask that is there again
        until(page, shows, "otsu")
        saved(page)


def test_a_strip_shows_the_main_steps(browser, made):
    with running(made) as (_, opened), window(browser, opened.url, size=(1280, 800)) as page:
        open_sample(page, NAME)
        until(page, STEPS, "image,cross-attention,seeds L/2,expansion L/2,mask")
        box = page.locator("#steps").bounding_box()
        assert box["y"] + box["height"] <= 800
        page.locator("#steps button").nth(2).hover()
        until(page, SAID, "seeds L/2: Positions whose cross-attention is at least α")
        page.locator("#steps button").nth(3).focus()
        until(page, SAID, "expansion L/2: Self-attention averaged")
        press(page, "Enter")
        assert page.locator("#heat").is_visible()
        held = []
        page.route("**/steps?*every=true", lambda route: held.append(route))
        page.check("#show-steps")
        until(page, "() => document.querySelector('#attention-state').dataset.seconds === ' 1 s'")
        held[0].continue_()
        until(page, STEPS, "before PAMR,after PAMR,mask")
        page.uncheck("#show-steps")
        page.select_option("#method", "ca")
        until(page, STEPS, "image,cross-attention,mask")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["of the run", "named", ""])
def test_segments_of_an_image_without_a_class_and_without_maps(browser, made, model):
    shutil.rmtree(made / native.ATTENTION)
    edit_row(made, 1, classes=[], class_ids=[], area={}, confidence={}, flags=["no_class"])
    if model != "of the run":
        (made / "seediff.toml").unlink()
    looking = configure_run(SegmentPhotosConfig, {"model": "mini"})[0] if model == "named" else None
    with running(made, looking=looking) as (client, opened), window(browser, opened.url) as page:
        open_sample(page, NAME)
        until(page, SAID, "There are no attention maps: no ")
        press(page, "s")
        if not model:
            return noticed(page, "--model NAME")
        until(page, "() => document.querySelector('#tool-shown').textContent.startsWith('Click segments')")
        press(page, "i")
        page.locator("#stage").press("Space")
        press(page, "Enter")
        saved(page)
        segments = client.ask("GET", "/api/samples/1/segments").labels
        assert (client.labels(1)[segments == segments[16, 16]] == 255).all()
