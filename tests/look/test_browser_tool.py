from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from in_chromium import at, needs_chromium, open_sample, saved, shown_mask, until, violations, window

from seediff.dataset import native
from seediff.dataset.reviews import in_effect, read_actions

pytestmark = needs_chromium
NAMES, KEPT = [f"{number:06d}" for number in range(24)], 2
DRAWN = """id => { const canvas = document.querySelector(id);
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return %s; }"""
PIXELS = DRAWN % "[...data]"
SHOWN = "text => document.querySelector('#shown').textContent.startsWith(text)"
ENDED = "text => document.querySelector('#job[aria-busy=false]:not([hidden]) #job-text')?.textContent.startsWith(text)"


def box(page, selector):
    found = page.locator(selector).bounding_box()
    return found["x"], found["y"], found["x"] + found["width"], found["y"] + found["height"]


def test_the_wheel_zooms_to_the_pointer_and_the_image_is_dragged(page):
    open_sample(page, "000010")
    x, y = at(page, 40, 20)
    page.mouse.move(x, y)
    size = page.locator("#layers").bounding_box()["width"]
    page.mouse.wheel(0, -400)
    until(page, "size => document.querySelector('#layers').getBoundingClientRect().width > size * 1.5", size)
    assert at(page, 40, 20) == pytest.approx((x, y), abs=1)  # the same pixel is under the pointer
    for keys, button in (((), "middle"), (("Space",), "left")):
        x, y = at(page, 40, 20)
        page.mouse.move(x, y)
        for key in keys:
            page.keyboard.down(key)
        page.mouse.down(button=button)
        page.mouse.move(x + 30, y - 20, steps=3)
        page.mouse.up(button=button)
        for key in keys:
            page.keyboard.up(key)
        assert at(page, 40, 20) == pytest.approx((x + 30, y - 20), abs=1)
    assert page.text_content("#saving") != "Saving …"  # no tool was used
    page.keyboard.press("=")
    until(page, "size => Math.abs(document.querySelector('#layers').getBoundingClientRect().width - size) < 1", size)


def test_colours_by_object_follow_what_is_painted(page):
    open_sample(page, "000002")
    page.wait_for_timeout(100)
    of_class = shown_mask(page)
    middle = int(np.nonzero(of_class)[1].mean())
    page.keyboard.press("e")
    page.evaluate(
        "() => { const size = document.querySelector('#brush-size'); size.value = 6; size.dispatchEvent(new"
        " Event('input')); }"
    )
    page.keyboard.press("h")
    assert page.is_checked("#by-object")
    page.mouse.move(*at(page, middle, 0))
    page.mouse.down()
    page.mouse.move(*at(page, middle, 63), steps=20)
    page.mouse.up()  # cuts the disc in two
    until(page, "() => document.querySelector('#stage').dataset.outlines === '2'")
    assert set(np.unique(shown_mask(page)).tolist()) == {0, 1, 2}
    page.keyboard.press("z")
    until(page, "() => document.querySelector('#stage').dataset.outlines === '1'")
    page.keyboard.press("h")
    saved(page)
    np.testing.assert_array_equal(shown_mask(page), of_class)


def test_back_and_reload_keep_what_was_shown(page):
    page.select_option("#sort", "-order")
    page.locator("#classes input").nth(1).check()
    until(page, SHOWN, "8 of 24")
    page.locator("#grid").focus()
    page.keyboard.press("ArrowRight")
    until(page, "() => document.querySelector('#tile-1.active .name bdi')?.textContent.length === 6")
    name = page.text_content(".tile.active .name bdi")
    page.keyboard.press("Enter")
    until(page, "name => document.querySelector('#sample[aria-busy=false] #sample-name')?.textContent === name", name)
    page.keyboard.press("j")
    until(
        page,
        "name => ![undefined, name].includes(document.querySelector('#sample[aria-busy=false]"
        " #sample-name')?.textContent)",
        name,
    )
    second = page.text_content("#sample-name")
    page.reload()
    until(
        page,
        "name => document.querySelector('#sample[aria-busy=false]:not([hidden]) #sample-name')?.textContent === name",
        second,
    )
    assert page.text_content("#sample-place") == "3 of 8"
    page.go_back()
    page.wait_for_selector("#browse:not([hidden])")
    until(page, "name => document.querySelector('.tile.active .name bdi')?.textContent === name", second)
    assert page.input_value("#sort") == "-order"
    page.go_forward()
    until(
        page,
        "name => document.querySelector('#sample[aria-busy=false]:not([hidden]) #sample-name')?.textContent === name",
        second,
    )
    page.keyboard.press("Escape")
    page.wait_for_selector("#browse:not([hidden])")
    page.reload()
    until(page, SHOWN, "8 of 24")
    assert page.locator("#classes input").nth(1).is_checked()
    page.evaluate("() => { location.hash = 'sort=nonsense&classes=9,x&area-low=up&sample=1e9&size=-5'; }")
    page.reload()
    until(page, SHOWN, "24 of 24")


def test_a_histogram_is_dragged_and_filters(page, pets):
    shares = [sum(row["area"].values()) for row in native.read_rows(pets[0])]
    left, top, right, bottom = box(page, "#area-bars")
    step, y = (right - left) / 20, (top + bottom) / 2
    low = int(min(shares) * 20)
    page.mouse.move(left + (low + 0.5) * step, y)
    page.mouse.down()
    page.mouse.move(left + (low + 1.5) * step, y, steps=3)
    page.mouse.up()
    kept = sum(low / 20 - 1e-6 <= share <= (low + 2) / 20 + 1e-6 for share in shares)
    until(page, SHOWN, f"{kept} of 24")
    assert (page.input_value("#area-low"), page.input_value("#area-high")) == (f"{low * 5}", f"{low * 5 + 10}")
    left, top, right, bottom = box(page, "#area-bars")
    page.mouse.move(left + (low + 1.5) * step, (top + bottom) / 2)
    page.mouse.down()
    page.mouse.move(left + step / 2, (top + bottom) / 2, steps=3)  # the first bar counts all lower values, too
    page.mouse.up()
    assert (page.input_value("#area-low"), page.input_value("#area-high")) == ("", f"{low * 5 + 10}")


def test_sliders_send_the_exact_constants_until_they_are_moved(page, pets):
    exact = {"method": "ca", "alpha": 0.4321, "beta": 0.3825, "pamr": False}
    state = pets[1].post("/api/samples/1/tuned", {**exact, "version": pets[1].get("/api/samples/1")["version"]}).json
    assert state["made"]
    open_sample(page, "000001")
    page.wait_for_selector("#attention:not([hidden])")
    assert page.text_content("#beta-shown") == "0.3825"
    with page.expect_request("**/steps?*") as asked:
        page.click("#show-steps")
    sent = parse_qs(urlsplit(asked.value.url).query)
    assert (sent["alpha"], sent["beta"]) == (["0.4321"], ["0.3825"])
    page.focus("#beta")
    page.keyboard.press("ArrowRight")
    assert page.text_content("#beta-shown") == "0.39"
    page.keyboard.press("ArrowLeft")
    assert page.text_content("#beta-shown") == "0.3825"


def test_many_are_selected_accepted_and_undone(page, pets):
    tile = page.locator("#tile-2")
    tile.hover()
    page.locator("#tile-2 .tick").click()
    page.locator("#tile-4").click(modifiers=["Shift"])
    page.locator("#tile-7").click(modifiers=["Control"])
    assert page.text_content("#selected") == "4 selected"
    assert violations(page) == []
    page.keyboard.press("a")
    until(page, ENDED, "4 accepted")
    last = in_effect(pets[0])
    assert {name for name in NAMES if name in last and last[name].verdict == "accepted"} == {
        NAMES[i] for i in (2, 3, 4, 7)
    }
    beside = "() => document.querySelector('#tile-3 .name span').textContent === '✓ accepted'"
    until(
        page, f"{beside} && document.querySelector('#tile-3 .more').textContent.startsWith('dog')"
    )  # the class stays in its place
    page.click("#job-undo")
    until(page, ENDED, "4 undone")
    assert {in_effect(pets[0])[NAMES[i]].verdict for i in (2, 3, 4, 7)} == {None}
    page.click("#job-close")
    page.locator("#grid").focus()
    page.keyboard.press("Control+a")
    assert page.text_content("#selected") == "24 selected"
    page.keyboard.press("Escape")
    assert page.text_content("#selected") == "0 selected"


def test_nothing_moves_while_one_edits(browser, pets):
    with window(browser, pets[2].url, size=(1280, 720)) as page:
        grid = box(page, "#grid")
        page.locator("#tile-8").click(modifiers=["Control"])
        page.keyboard.press("a")
        until(page, ENDED, "1 accepted")
        assert box(page, "#grid") == grid
        page.click("#job-undo")
        until(page, ENDED, "1 undone")
        page.click("#job-close")
        page.locator("#grid").focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        page.wait_for_selector("#sample[aria-busy=false]:not([hidden])")
        stage = box(page, "#stage")
        page.keyboard.press("b")
        for value in "123":
            page.keyboard.press(value)
            page.mouse.click(*at(page, 9 * int(value), 5))
        page.keyboard.press("v")
        saved(page)
        assert page.locator("#notice").is_visible()
        assert box(page, "#stage") == stage
        names = page.locator("#paint-classes bdi").all_text_contents()
        assert names == ["background", "dog", "cat", "bus", "ignored (255)"]
        page.keyboard.press("j")
        until(page, "() => document.querySelector('input[value=segment]').title.startsWith('No attention')")  # greyed


def test_holes_and_islands_go_with_one_key(page, pets):
    labels = np.zeros((64, 64), np.uint8)
    labels[8:40, 8:40] = 2
    labels[12:15, 12:15] = 0  # a hole
    labels[20:30, 20:30] = 3  # not so small
    labels[22, 22] = 1
    labels[50:53, 50:55] = 1  # an island
    labels[50:55, 10:12] = 1  # another, of two classes, each of fewer pixels
    labels[50:55, 12] = 2
    labels[60:64, 0:2] = 255  # stays, as it is ignored
    pets[1].paint(13, labels, 0)
    open_sample(page, "000013")
    page.locator("#least").fill("16")
    page.keyboard.press("Escape")
    page.locator("#stage").focus()
    page.keyboard.press("v")
    saved(page)
    found = pets[1].labels(13)
    wanted = np.zeros((64, 64), np.uint8)
    wanted[8:40, 8:40] = 2
    wanted[20:30, 20:30] = 3
    wanted[60:64, 0:2] = 255
    np.testing.assert_array_equal(found, wanted)
    assert [action.action for action in read_actions(pets[0]) if action.sample == "000013"] == ["brush", "cleaned"]
