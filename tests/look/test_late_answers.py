"""What a person does in a page while an answer of the server, or the next sample, is still on its way."""

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
    soon,
    until,
)

pytestmark = [needs_chromium, pytest.mark.slow]
NAMES, KEPT = [f"{number:06d}" for number in range(104)], 0


@pytest.mark.parametrize("tool", ["brush", "polygon"])
def test_a_stroke_under_way_belongs_to_the_sample_on_which_it_began(page, pets, tool):
    number = {"brush": 10, "polygon": 12}[tool]
    before = [pets[1].labels(number + i) for i in range(2)]
    show_number(page, number)
    press(page, tool[0], "3")
    start = (10, 12)
    if tool == "polygon":
        for corner in [start, (20, 12), (20, 24)]:
            page.mouse.click(*at(page, *corner))
        page.keyboard.press("Enter")
        saved(page)
    page.mouse.move(*at(page, *start))
    page.mouse.down()
    page.mouse.move(*at(page, 2, 40), steps=4)
    page.keyboard.press("j")
    shown_sample(page, NAMES[number + 1])
    page.mouse.move(*at(page, 50, 50), steps=4)
    page.mouse.up()
    saved(page)
    painted = pets[1].labels(number)
    assert (painted[36, 5], painted[50, 50]) == (3, before[0][50, 50])
    np.testing.assert_array_equal(pets[1].labels(number + 1), before[1])
    drag(page, (30, 30), (34, 34))  # the next stroke is the next sample's
    saved(page)
    press(page, "Escape")


def test_a_tool_is_off_and_says_so_until_its_sample_is_drawn(page, pets):
    show_number(page, 20)
    before = pets[1].labels(20)
    press(page, "b", "3", "a")  # accepted; then the next
    shown_sample(page, NAMES[21])
    saved(page)
    held = []
    page.route("**/20/labels", lambda route: held.append(route))
    press(page, "k")
    soon(page, lambda: held)
    for use in (lambda: page.mouse.click(*at(page, 5, 5)), lambda: press(page, "Space")):
        page.evaluate("() => document.querySelector('#notice-close').click()")
        use()
        noticed(page, "Not drawn yet")
    held[0].continue_()
    page.unroute("**/20/labels")
    shown_sample(page, NAMES[20])
    np.testing.assert_array_equal(shown_mask(page), before)
    press(page, "a")  # it is accepted already
    noticed(page, "accepted.")
    shown_sample(page, NAMES[21])
    saved(page)
    assert "nothing" not in page.text_content("#notice")
    press(page, "Escape")


def test_speckled_masks_have_outlines_and_all_shown_are_cleaned(page, pets):
    noise = (np.random.default_rng(0).random((64, 64)) < 0.3).astype(np.uint8)
    noise[20:40, 20:40] = 2
    pets[1].paint(30, noise, 0)
    pets[1].paint(31, np.zeros_like(noise), 0)
    page.reload()
    show_number(page, 30)
    until(page, "() => document.querySelector('#outlined-from').textContent === '≥ 32 px'")
    asked = []
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    page.click("#clean-shown")
    noticed(page, "cleaned")
    np.testing.assert_array_equal(pets[1].labels(30), np.where(noise == 2, 2, 0))
    page.click("#notice-undo")
    noticed(page, "undone")
    np.testing.assert_array_equal(pets[1].labels(30), noise)
    show_number(page, 31)
    press(page, "f", "Space")
    saved(page)
    assert ["104 masks" in asked[0], "100.0 % of the image" in asked[1], len(asked)] == [True, True, 2]
    assert pets[1].labels(31).all()
