import numpy as np
import pytest
from in_chromium import at, needs_chromium, open_sample, saved, shown_mask, soon, until, violations, window
from look_server import running, start, write_set

from seediff.dataset import native
from seediff.dataset.reviews import in_effect, read_actions

pytestmark = needs_chromium
NAMES, KEPT = [f"{number:06d}" for number in range(40)], 4
PROPOSED = "text => document.querySelector('#tool-shown').textContent.startsWith(text)"


def labels_of(pets, name):
    action = in_effect(pets[0]).get(name)
    return native.read_label_map(pets[0] / (action.mask if action and action.mask else f"masks/{name}.png"))


def test_a_brush_paints_what_is_under_it(page, pets):
    open_sample(page, "000010")
    before = labels_of(pets, "000010")
    page.keyboard.press("b")
    page.keyboard.press("3")
    page.mouse.move(*at(page, 10, 12))
    page.mouse.down()
    page.mouse.move(*at(page, 40, 30), steps=8)
    page.mouse.up()
    saved(page)
    ys, xs = np.mgrid[:64, :64] + 0.5
    along = np.clip(((xs - 10.5) * 30 + (ys - 12.5) * 18) / (30**2 + 18**2), 0, 1)
    far = np.hypot(xs - 10.5 - along * 30, ys - 12.5 - along * 18)
    found = labels_of(pets, "000010")
    assert (found[far < 7.5] == 3).all()
    np.testing.assert_array_equal(found[far > 8.5], before[far > 8.5])
    np.testing.assert_array_equal(shown_mask(page), found)
    page.keyboard.press("z")
    until(page, "() => !document.querySelector('#redo').disabled")
    np.testing.assert_array_equal(shown_mask(page), before)
    page.keyboard.press("y")
    until(page, "() => document.querySelector('#redo').disabled")
    np.testing.assert_array_equal(shown_mask(page), found)
    assert [one.action for one in read_actions(pets[0]) if one.sample == "000010"] == ["brush", "undo", "redo"]


def test_what_a_stroke_did_is_told(page, pets):
    """Nothing, if the class is there already; and the class to paint is told when another picture lacks it."""
    state = "() => document.querySelector('#sample-state').textContent"
    open_sample(page, "000030")
    assert page.evaluate(state) == "not reviewed"
    page.keyboard.press("b")
    page.keyboard.press("3")
    for told in ("", "That changed nothing."):
        page.mouse.click(*at(page, 2, 2))
        saved(page)
        assert page.text_content("#notice-text") == told
    until(page, f"() => ({state})().endsWith(', not accepted yet')")
    assert page.evaluate(state).startswith("✎ corrected by ")
    open_sample(page, "000033")
    until(page, "() => document.querySelector('#notice-text').textContent.startsWith('There is no bus here: ')")
    shown = int(labels_of(pets, "000033")[32, 32])
    assert page.text_content("#pixel") == f"32, 32: {('background', 'dog', 'cat', 'bus')[shown]}"


def test_polygon_fill_and_eraser(page, pets):
    open_sample(page, "000011")
    before = labels_of(pets, "000011")
    page.keyboard.press("p")
    page.keyboard.press("i")
    for x, y in [(4, 4), (20, 4), (20, 24), (4, 24)]:
        page.mouse.click(*at(page, x, y))
    page.keyboard.press("Enter")
    saved(page)
    found = labels_of(pets, "000011")
    assert (found[5:24, 5:20] == 255).all()
    np.testing.assert_array_equal(found[26:], before[26:])
    page.mouse.move(*at(page, 20, 24))
    page.mouse.down()
    page.mouse.move(*at(page, 12, 14), steps=3)  # a corner, until something else is done
    page.mouse.up()
    saved(page)
    found = labels_of(pets, "000011")
    assert (found[5:12, 5:10] == 255).all()
    np.testing.assert_array_equal(found[16:, 13:], before[16:, 13:])
    page.keyboard.press("f")
    page.keyboard.press("2")
    page.mouse.click(*at(page, 10, 10))
    saved(page)
    filled = labels_of(pets, "000011")
    np.testing.assert_array_equal(filled, np.where(found == 255, 2, found))
    page.keyboard.press("e")
    page.mouse.click(*at(page, 12, 12))
    saved(page)
    assert (labels_of(pets, "000011")[8:17, 8:17] == 0).all()
    page.click("#original")
    saved(page)
    np.testing.assert_array_equal(labels_of(pets, "000011"), before)


def test_beta_is_dragged_and_used(page, pets):
    open_sample(page, "000001")
    page.wait_for_selector("#attention:not([hidden])")
    before = shown_mask(page)
    page.locator("#beta").scroll_into_view_if_needed()
    slider = page.locator("#beta").bounding_box()
    page.mouse.move(slider["x"] + slider["width"] * 0.3, slider["y"] + slider["height"] / 2)
    page.mouse.down()
    page.mouse.move(slider["x"] + slider["width"] * 0.7, slider["y"] + slider["height"] / 2, steps=15)
    page.mouse.up()
    until(
        page, "() => /^tried, not saved .* ms\\)$/.test(document.querySelector('#tuned-shown').textContent)"
    )  # at rest
    constants = page.evaluate(
        "() => Object.fromEntries(['alpha', 'beta', 'method'].map((id) => [id, document.getElementById(id).value]))"
    )
    assert 0.6 < float(constants["beta"]) < 0.8
    address = "&".join(f"{name}={value}" for name, value in constants.items())
    wanted = pets[1].ask("GET", f"/api/samples/1/tuned?{address}&pamr=true").labels
    soon(page, lambda: np.array_equal(shown_mask(page), wanted))  # answers to earlier places of the slider come first
    assert "000001" not in in_effect(pets[0])
    page.click("#untune")
    np.testing.assert_array_equal(shown_mask(page), before)
    page.focus("#beta")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    page.click("#apply")
    until(page, "() => document.querySelector('#sample-state').textContent.includes('new mask')")
    np.testing.assert_array_equal(labels_of(pets, "000001"), wanted)


def test_segments_are_proposed_by_a_click_and_by_a_box_and_accepted(page, pets):
    open_sample(page, "000002")
    page.wait_for_selector("#attention:not([hidden])")
    page.keyboard.press("s")
    until(page, PROPOSED, "Click segments")
    fine = page.evaluate("() => fetch('/api/samples/2/segments').then((answer) => answer.headers.get('x-fine'))")
    segments = pets[1].ask("GET", f"/api/samples/2/segments?fine={fine}").labels
    before = labels_of(pets, "000002")
    page.keyboard.press("3")
    page.mouse.click(*at(page, 40, 20))
    until(page, PROPOSED, "1 of")
    np.testing.assert_array_equal(labels_of(pets, "000002"), before)  # nothing is changed by a proposal
    page.keyboard.press("Escape")
    until(page, PROPOSED, "Click segments")
    page.mouse.click(*at(page, 40, 20))
    page.keyboard.press("Enter")
    saved(page)
    inside = segments == segments[20, 40]
    np.testing.assert_array_equal(labels_of(pets, "000002"), np.where(inside, 3, before))
    page.mouse.click(*at(page, 40, 20))
    page.keyboard.press("Enter")  # all of it has the class: it is taken away
    saved(page)
    given = np.where(inside, 0, before)
    np.testing.assert_array_equal(labels_of(pets, "000002"), given)

    top, left, bottom, right = 6, 4, 50, 60
    page.mouse.move(*at(page, left - 0.5, top - 0.5))
    page.mouse.down()
    page.mouse.move(*at(page, right - 0.5, bottom - 0.5), steps=4)
    page.mouse.up()
    within = np.bincount(segments[top:bottom, left:right].ravel(), minlength=segments.max() + 1)
    wanted = np.flatnonzero(2 * within > np.bincount(segments.ravel()))
    until(page, PROPOSED, f"{len(wanted)} of")
    page.keyboard.press("Enter")
    saved(page)
    np.testing.assert_array_equal(labels_of(pets, "000002"), np.where(np.isin(segments, wanted), 3, given))


@pytest.mark.parametrize("hears", [True, False])
def test_a_change_that_waits_never_undoes_what_another_window_did(browser, pets, hears):
    name, in_class = (("000023", 3), ("000022", 2))[hears]  # a dog, a cat and a bus by turns
    with window(browser, pets[2].url, faults=True) as one, window(browser, pets[2].url) as two:
        if not hears:
            one.route("**/api/events", lambda route: route.abort())
            one.reload()
            one.wait_for_selector(".tile img[src]")
        open_sample(one, name)
        before = labels_of(pets, name)
        held = []
        one.route("**/labels?tool=*", lambda route: route.continue_() if held else held.append(route))
        one.keyboard.press("b")
        one.mouse.click(*at(one, 5, 5))  # on its way
        one.mouse.click(*at(one, 50, 50))  # waits, made of the map of before
        soon(one, lambda: held != [])
        one.wait_for_timeout(200)
        assert len(held) == 1  # the second waits for the first
        open_sample(two, name)
        two.select_option("#new-class", "0")
        two.select_option("#old-class", "0")
        assert two.locator("#new-class").input_value() != "0"  # one class is not changed into itself
        two.select_option("#new-class", "255")
        two.click("#relabel-button")
        saved(two)
        others = labels_of(pets, name)
        np.testing.assert_array_equal(others, np.where(before == 0, 255, before))
        if hears:
            until(one, "() => document.querySelector('#notice').textContent.includes('in another window')")
        held[0].continue_()
        until(one, "() => document.querySelector('#notice').textContent.includes('2 of your changes were not saved')")
        saved(one)
        assert [action.action for action in read_actions(pets[0]) if action.sample == name] == ["relabel"]
        np.testing.assert_array_equal(shown_mask(one), others)
        one.mouse.click(*at(one, 50, 50))  # made of the newer one
        saved(one)
        found = labels_of(pets, name)
        assert in_effect(pets[0])[name].action == "brush"
        assert (found[5, 5], found[50, 50]) == (others[5, 5], in_class)


def test_a_stroke_on_what_an_undo_takes_away_does_not_bring_it_back(page, pets):
    open_sample(page, "000024")
    before = labels_of(pets, "000024")
    page.keyboard.press("b")
    page.mouse.click(*at(page, 5, 5))
    until(page, "() => !document.querySelector('#undo').disabled")  # the stroke counts: otherwise Z has no effect
    saved(page)
    held = []
    page.route("**/act", lambda route: held.append(route))
    page.keyboard.press("z")
    page.mouse.click(*at(page, 50, 50))
    soon(page, lambda: held != [])
    held[0].continue_()
    until(page, "() => document.querySelector('#notice').textContent.includes('1 of your changes was not saved')")
    saved(page)
    np.testing.assert_array_equal(labels_of(pets, "000024"), before)
    np.testing.assert_array_equal(shown_mask(page), before)


def test_killed_in_the_middle_and_opened_again(browser, tmp_path):
    folder = write_set(tmp_path / "pets", 6)
    run, client = start(folder)
    with window(browser, f"http://127.0.0.1:{client.port}/?token={client.token}", faults=True) as page:
        open_sample(page, "000004")
        page.keyboard.press("b")
        page.mouse.click(*at(page, 30, 8))
        saved(page)
        painted = shown_mask(page)
        run.kill()
        run.communicate()
        until(page, "() => document.querySelector('#notice').textContent.includes('is not responding')")
        page.mouse.click(*at(page, 5, 50))
        until(page, "() => document.querySelector('#notice').textContent.startsWith('Not saved')")
    run, client = start(folder)
    with window(browser, f"http://127.0.0.1:{client.port}/?token={client.token}") as page:
        open_sample(page, "000004")
        np.testing.assert_array_equal(shown_mask(page), painted)
        page.keyboard.press("z")
        until(page, "() => !document.querySelector('#redo').disabled")
        np.testing.assert_array_equal(shown_mask(page), native.read_label_map(folder / "masks/000004.png"))
    run.kill()
    run.communicate()


def test_the_keyboard_alone(browser, tmp_path):
    """Twelve samples: judged, some of them corrected, without a pointer."""
    out = write_set(tmp_path / "pets", 12)
    with running(out) as (_, opened), window(browser, opened.url) as page:
        keys = page.keyboard
        keys.press("ArrowRight")
        keys.press("ArrowLeft")
        keys.press("Enter")
        for number in range(12):
            until(page, "name => document.querySelector('#sample-name').textContent === name", f"{number:06d}")
            if number % 5 == 4:
                for key in ("f", "2", "Space"):  # the class at the middle becomes a cat
                    keys.press(key)
            keys.press("x" if number % 4 == 3 else "a")
        saved(page)
        keys.press("Escape")  # leaves the tool
        assert page.locator("#sample").is_visible()
        keys.press("Escape")
        until(page, "() => !document.querySelector('#browse').hidden")
        last = in_effect(out)
        assert [last[n].verdict for n in NAMES[:12]] == ["rejected" if i % 4 == 3 else "accepted" for i in range(12)]
        assert last[NAMES[9]].mask
        keys.press("?")
        assert page.locator("#help").is_visible()
        keys.press("Escape")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_labels_and_contrast(browser, pets, scheme):
    with window(browser, pets[2].url, color_scheme=scheme) as page:
        page.wait_for_timeout(200)
        assert violations(page) == []
        open_sample(page, "000000")
        page.wait_for_selector("#attention:not([hidden])")
        page.locator("#prompt button").first.click()
        until(page, "() => document.querySelectorAll('#levels canvas').length === 3")
        page.click("#show-steps")
        until(page, "() => document.querySelectorAll('#steps canvas').length > 5")
        assert violations(page) == []
        page.keyboard.press("?")
        assert violations(page) == []
