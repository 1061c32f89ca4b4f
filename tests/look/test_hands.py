"""What makes the hand's work short, and what the page says meanwhile: the right button, zoom, dimming, loading, empty
lists, a layout that stays."""

import numpy as np
import pytest
from in_chromium import (
    at,
    drag,
    needs_chromium,
    noticed,
    press,
    saved,
    show_number,
    shown_mask,
    shown_sample,
    until,
    window,
)
from items import last_actions
from look_server import running, write_set
from PIL import Image

from seediff.config.runs import GenerateConfig
from seediff.dataset.encoding import read_label_map
from seediff.dataset.reviews import read_actions
from seediff.drawing.colours import mask_colours
from seediff.run.generate_job import generate

pytestmark = [needs_chromium, pytest.mark.slow]
NAMES, KEPT = [f"{number:06d}" for number in range(12)], 1
SEGMENTS = "() => document.querySelector('#tool-shown').textContent.startsWith('Click segments')"
RECORD = """() => {
    const shown = document.querySelector("#tool-shown");
    window.said = [];
    new MutationObserver(() => said.push(shown.textContent)).observe(shown, { childList: true });
}"""
"""Keeps every text that the tool says."""


def middle(labels):
    """(x, y) of a pixel in the middle of a disc."""
    y, x = np.argwhere(labels).mean(0).round().astype(int).tolist()
    assert labels[y, x]
    return x, y


def test_ten_masks_are_corrected_and_accepted_with_twelve_keys(browser, tmp_path):
    out = write_set(tmp_path / "ten", 10, ("dog", "cat", "bus"))
    with running(out) as (client, opened), window(browser, opened.url) as page:
        keys = ["Enter", "b"]
        press(page, *keys)
        for number in range(10):
            shown_sample(page, NAMES[number])
            x, y = middle(client.labels(number))
            drag(page, (2, 2), (2, 60))
            drag(page, (x, y), (x + 2, y), button="right")
            press(page, "a")
            keys.append("a")
            saved(page)
            found = client.labels(number)
            assert (found[y, x], found[30, 2]) == (0, number % 3 + 1)
        assert len(keys) <= 12
        assert [action.action for action in read_actions(out)] == ["brush", "eraser", "accept"] * 10


def test_alt_erases_and_shift_joins_strokes(page, pets):
    show_number(page, 2)
    x, y = middle(shown_mask(page))
    press(page, "b", "1")
    page.keyboard.down("Alt")
    page.mouse.click(*at(page, x, y))
    page.keyboard.up("Alt")
    saved(page)
    assert shown_mask(page)[y, x] == 0
    page.mouse.click(*at(page, 4, 60))
    page.keyboard.down("Shift")
    page.mouse.click(*at(page, 60, 60))
    page.keyboard.up("Shift")
    saved(page)
    assert (shown_mask(page)[60, 4:60] == 1).all()
    assert last_actions(pets[0])[NAMES[2]].action == "brush"
    press(page, "f")
    page.mouse.click(*at(page, 30, 60), button="right")
    noticed(page, "of the image was filled")
    saved(page)
    assert (shown_mask(page)[60] == 0).all()
    press(page, "p")
    for corner in [(4, 4), (20, 4), (20, 20), (60, 4)]:
        page.mouse.click(*at(page, *corner))
    page.mouse.click(*at(page, 50, 50), button="right")  # takes the last one back
    press(page, "Enter", "Escape")
    saved(page)
    assert shown_mask(page)[6, [18, 30]].tolist() == [1, 0]


def test_surroundings_are_dimmed(page, pets):
    show_number(page, 6)
    labels = shown_mask(page)
    alpha = "() => [...document.querySelector('#mask').getContext('2d').getImageData(0, 0, 64, 64).data]"
    press(page, "d")
    drawn = np.array(page.evaluate(alpha)).reshape(64, 64, 4)
    np.testing.assert_array_equal(drawn[..., 3], np.where(labels == 0, 0xFF, 0x99))
    assert not drawn[labels == 0][:, :3].any()
    press(page, "d")
    np.testing.assert_array_equal(shown_mask(page), labels)


def test_an_image_of_the_embedded_model_is_explained_at_once(browser, tmp_path):
    """And what is shown of its mask is true after a stroke. Segments wait for the next one's attention."""
    out = tmp_path / "drawn"
    generate(GenerateConfig.recommended(classes=("dog",), per_class=2, steps=2), out)
    box = "id => { const { top, bottom } = document.querySelector(id).getBoundingClientRect(); return [top, bottom]; }"
    with running(out) as (_, opened), window(browser, opened.url) as page:
        until(page, "() => document.querySelectorAll('.tile .name bdi').length === 2")
        first, second = page.locator(".tile .name bdi").all_text_contents()
        press(page, "Enter")
        shown_sample(page, first)
        page.wait_for_selector("#attention:not([hidden])")
        page.wait_for_selector("#facts >> text=confidence")
        press(page, "e")
        assert page.text_content("#tool-shown").startswith("Drag to erase.")
        assert page.text_content("#brush-shown") == "6 px"  # of 128
        assert page.evaluate(box, "#stage")[1] <= page.evaluate(box, "#tool-said")[0]
        press(page, "b")
        drag(page, (2, 2), (2, 60))
        saved(page)
        page.wait_for_selector("#facts >> text=confidence", state="detached")
        press(page, "s")
        until(page, SEGMENTS)
        page.evaluate(RECORD)
        press(page, "j")
        shown_sample(page, second)
        until(page, SEGMENTS)
        said = page.evaluate("() => window.said")
        assert not [text for text in said if "recompute" in text], said
        assert "Finding segments …" in said


COLOURS_OF_OUTLINES = """() => {
    const canvas = document.querySelector("#edges");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return [...new Set(new Uint32Array(data.buffer))].map((one) => [0, 8, 16, 24].map((bits) => (one >>> bits) & 255));
}"""
"""Every colour [red, green, blue, alpha] of the canvas."""


def test_outlines_are_seen_on_an_object_of_their_colour(browser, tmp_path):
    """A dark and a light line are around the line in the class's colour."""
    out = write_set(tmp_path / "pale", 1)
    labels = read_label_map(out / "masks/000000.png")
    Image.fromarray(mask_colours()[labels]).save(out / "images/000000.png")
    with running(out) as (_, opened), window(browser, opened.url) as page:
        press(page, "Enter")
        shown_sample(page, "000000")
        until(page, f"() => ({COLOURS_OF_OUTLINES})().length > 2")
        colours = np.array(page.evaluate(COLOURS_OF_OUTLINES))
    opaque, luminance = colours[:, 3] == 255, colours[:, :3].mean(1)
    grey = np.ptp(colours[:, :3], axis=1) == 0
    assert (opaque & grey & (luminance > 150)).any()
    assert ((luminance < 60) & (colours[:, 3] > 100)).any()
    own = mask_colours()[np.unique(labels[labels > 0])]
    assert (colours[opaque, None, :3] == own).all(-1).any()


def test_the_page_says_that_it_loads_and_why_nothing_is_shown(browser, pets):
    with window(browser, pets[2].url) as page:
        held = []
        page.route("**/api/samples", lambda route: held.append(route))
        page.reload()
        page.wait_for_selector("main[inert] #empty >> text=Loading")
        for _ in range(500):
            if held:
                break
            page.wait_for_timeout(20)
        assert held
        page.unroute("**/api/samples")
        held[0].continue_()
        page.wait_for_selector("#empty", state="hidden")
        page.fill("#text", "zebra")
        page.locator("#classes input").nth(1).check()
        page.evaluate("() => document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        page.get_by_label("no flag").check()
        page.locator("#area-low").fill("90")
        page.wait_for_selector("#empty >> text=No sample matches the filters.")
        page.click("#empty-clear")
        until(page, "() => document.querySelector('#shown').textContent === '12 of 12 shown'")
        assert page.locator("#empty").is_hidden()
