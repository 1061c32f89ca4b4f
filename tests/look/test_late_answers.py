"""What a person does in a page while an answer of the server, or the next sample, is still on its way."""

import numpy as np
import pytest
from in_chromium import at, drag, needs_chromium, press, saved, shown_sample, soon, until, window

pytestmark = needs_chromium
NAMES, KEPT = [f"{number:06d}" for number in range(104)], 0
TILE = "text => document.querySelector('#tile-3 .name span').textContent === text"


def hold(page, pattern):
    """Hold back the page's requests of a pattern. Returns a function that waits for the first and returns it."""
    held = []
    page.route(pattern, lambda route: held.append(route))

    def first():
        soon(page, lambda: held != [])
        return held[0]

    return first


def show(page, number):
    page.evaluate("number => { location.hash = `sample=${number}`; }", number)
    shown_sample(page, NAMES[number])


@pytest.mark.parametrize(
    ("clicks", "number"), [("#next #next", 101), ("#accept #accept", 100), ("#next #previous #next", 100)]
)
def test_no_step_is_lost_while_the_next_samples_are_on_their_way(browser, pets, clicks, number):
    with window(browser, pets[2].url) as page:
        held = hold(page, "**/api/views/*?begin=100*")  # the list comes in parts of a hundred
        show(page, 99)
        for button in clicks.split():
            page.click(button)
        held().continue_()
        shown_sample(page, NAMES[number])
        page.wait_for_timeout(300)
        assert page.text_content("#sample-name") == NAMES[number]


def test_a_sample_on_its_way_is_not_opened_after_the_person_went_back(browser, pets):
    with window(browser, pets[2].url) as page:
        held = hold(page, "**/api/views/*?begin=100*")
        show(page, 99)
        page.click("#next")
        page.click("#next")
        route = held()
        page.unroute("**/api/views/*?begin=100*")
        page.click("#back")
        page.wait_for_selector("#browse:not([hidden])")
        route.continue_()
        page.wait_for_timeout(300)
        assert page.locator("#browse").is_visible()


def test_of_two_addresses_the_last_one_is_shown(browser, pets):
    with window(browser, pets[2].url) as page:
        show(page, 5)
        held = hold(page, "**/api/views/*/7")
        page.evaluate("() => { location.hash = 'sample=7'; }")
        route = held()
        show(page, 9)
        route.continue_()
        page.wait_for_timeout(300)
        assert page.text_content("#sample-name") == NAMES[9]


def test_an_older_answer_replaces_no_newer_state(browser, pets):
    with window(browser, pets[2].url) as page:
        held = hold(page, "**/api/samples/3/act")
        page.locator("#grid").focus()
        press(page, "ArrowRight", "ArrowRight", "ArrowRight", "a")
        route = held()
        answer = route.fetch()
        assert pets[1].act(3, "reject", answer.json()["version"]).status == 200
        until(page, TILE, "✗ rejected")
        route.fulfill(response=answer)
        saved(page)
        assert page.evaluate(TILE, "✗ rejected")


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
