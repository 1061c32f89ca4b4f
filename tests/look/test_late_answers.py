"""What a person does in a page while an answer of the server, or the next sample, is still on its way."""

import numpy as np
import pytest
from in_chromium import at, drag, needs_chromium, press, saved, shown_sample

pytestmark = [needs_chromium, pytest.mark.slow]
NAMES, KEPT = [f"{number:06d}" for number in range(104)], 0


def show(page, number):
    page.evaluate("number => { location.hash = `sample=${number}`; }", number)
    shown_sample(page, NAMES[number])


@pytest.mark.parametrize("tool", ["brush", "polygon"])
def test_a_stroke_under_way_belongs_to_the_sample_on_which_it_began(page, pets, tool):
    number = {"brush": 10, "polygon": 12}[tool]
    before = [pets[1].labels(number + i) for i in range(2)]
    show(page, number)
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
