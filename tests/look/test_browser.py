"""What a person does with `seediff look` in a real browser: reviews, paints, filters, undoes, meets hostile text."""

import numpy as np
import pytest
from in_chromium import (
    at,
    drag,
    needs_chromium,
    noticed,
    open_sample,
    press,
    saved,
    shown_mask,
    shown_sample,
    soon,
    until,
    violations,
    window,
)
from items import last_actions, rows_of
from look_server import keep_attention, running, write_set

from seediff.cli.main import main
from seediff.dataset import native
from seediff.dataset.encoding import encode_mask, read_label_map
from seediff.dataset.reviews import read_actions

pytestmark = needs_chromium
NAMES, KEPT = [f"{number:06d}" for number in range(40)], 4
GOES = 4000
"""Milliseconds in which a notice goes when what it asks for is done. Otherwise it would stay for six seconds."""
PROPOSED = "text => document.querySelector('#tool-shown').textContent.startsWith(text)"
SHOWN = "text => document.querySelector('#shown').textContent.startsWith(text)"
ENDED = "text => document.querySelector('#job[hidden] ~ #notice #notice-text')?.textContent.startsWith(text)"
ACCEPTED = "count => document.querySelectorAll('#states .count')[1].textContent === count"
SCRIPT = "<script>window.pwned=1</script>"


def labels_of(pets, name):
    action = last_actions(pets[0]).get(name)
    return read_label_map(pets[0] / (action.mask if action and action.mask else f"masks/{name}.png"))


def test_many_are_selected_accepted_and_undone(page, pets):
    out = pets[0]
    tile = page.locator("#tile-2")
    tile.hover()
    page.locator("#tile-2 .tick").click()
    page.locator("#tile-4").click(modifiers=["Shift"])
    page.locator("#tile-7").click(modifiers=["Control"])
    assert page.text_content("#selected") == "4 selected"
    page.keyboard.press("a")
    until(page, ENDED, "4 accepted")
    until(page, ACCEPTED, "4")
    last = last_actions(out)
    assert {name for name in NAMES if name in last and last[name].verdict == "accepted"} == {
        NAMES[i] for i in (2, 3, 4, 7)
    }
    beside = "() => document.querySelector('#tile-3 .name span').textContent === '✓ accepted'"
    until(
        page, f"{beside} && document.querySelector('#tile-3 .more').textContent.startsWith('dog')"
    )  # the class stays in its place
    page.click("#notice-undo")
    until(page, ENDED, "4 undone")
    assert {last_actions(out)[NAMES[i]].verdict for i in (2, 3, 4, 7)} == {None}
    page.click("#notice-close")
    page.locator("#grid").focus()
    page.keyboard.press("Control+a")
    assert page.text_content("#selected") == "40 selected"
    page.keyboard.press("Escape")
    assert page.text_content("#selected").startswith("To select")
    for key, count in (("a", "1"), ("a", "2"), ("z", "1"), ("z", "0")):  # one tile after another
        page.keyboard.press(key)
        until(page, ACCEPTED, count)


def test_a_brush_paints_what_is_under_it(page, pets):
    open_sample(page, "000010")
    before = labels_of(pets, "000010")
    press(page, "b", "3")
    drag(page, (10, 12), (40, 30), steps=8)
    saved(page)
    ys, xs = np.mgrid[:64, :64] + 0.5
    along = np.clip(((xs - 10.5) * 30 + (ys - 12.5) * 18) / (30**2 + 18**2), 0, 1)
    far = np.hypot(xs - 10.5 - along * 30, ys - 12.5 - along * 18)
    found = labels_of(pets, "000010")
    assert (found[far < 7.5] == 3).all()
    np.testing.assert_array_equal(found[far > 8.5], before[far > 8.5])
    np.testing.assert_array_equal(shown_mask(page), found)
    held = []
    page.route("**/act", lambda route: held.append(route))
    page.keyboard.press("z")
    soon(page, lambda: held != [])
    page.mouse.click(*at(page, 50, 50))  # no stroke is made on a map that an undo on its way replaces
    np.testing.assert_array_equal(shown_mask(page), found)
    held[0].continue_()
    page.unroute("**/act")
    saved(page)
    np.testing.assert_array_equal(shown_mask(page), before)
    page.keyboard.press("y")
    saved(page)
    np.testing.assert_array_equal(shown_mask(page), found)
    assert [one.action for one in read_actions(pets[0]) if one.sample == "000010"] == ["brush", "undo", "redo"]


def test_polygon_fill_and_eraser(page, pets):
    open_sample(page, "000011")
    before = labels_of(pets, "000011")
    press(page, "p", "i")
    for x, y in [(4, 4), (20, 4), (20, 24), (4, 24)]:
        page.mouse.click(*at(page, x, y))
    page.keyboard.press("Enter")
    saved(page)
    found = labels_of(pets, "000011")
    assert (found[5:24, 5:20] == 255).all()
    np.testing.assert_array_equal(found[26:], before[26:])
    drag(page, (20, 24), (12, 14))  # a corner, until something else is done
    saved(page)
    found = labels_of(pets, "000011")
    assert (found[5:12, 5:10] == 255).all()
    np.testing.assert_array_equal(found[16:, 13:], before[16:, 13:])
    press(page, "f", "2")
    page.mouse.click(*at(page, 10, 10))
    saved(page)
    filled = labels_of(pets, "000011")
    np.testing.assert_array_equal(filled, np.where(found == 255, 2, found))
    page.keyboard.press("e")
    page.mouse.click(*at(page, 12, 12))
    saved(page)
    assert (labels_of(pets, "000011")[8:17, 8:17] == 0).all()


HARMLESS = {
    *"undo back redo size class findClass cross accept #apply giveUp".split(),
    *"mask #outlined #by-object #dimmed #help-button".split(),
}
"""What a key may do while something shown is not saved; zooming, too."""
JUDGING = """(harmless) => import('/static/keys.js').then(({ KEYS }) => KEYS.filter(([, views, act]) =>
    views.includes("sample") && !act.startsWith("#zoom") && !harmless.includes(act.split(" ")[0])))"""


def corners(page, *points):
    for x, y in points:
        page.mouse.click(*at(page, x, y))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "begin", "saves"), [(3, "tried", "u"), (2, "polygon", "Enter"), (0, "segments", "Enter")]
)
def test_nothing_is_judged_left_or_painted_while_something_shown_is_not_saved(page, pets, number, begin, saves):
    name = NAMES[number]
    open_sample(page, name)
    before, judged = labels_of(pets, name), last_actions(pets[0]).get(name)
    if begin == "polygon":
        press(page, "3", "p")
        corners(page, (4, 4), (20, 4), (20, 24))
    else:
        page.wait_for_selector("#attention:not([hidden])")
    if begin == "segments":
        press(page, "3", "s")
        until(page, PROPOSED, "Click segments")
        page.mouse.click(*at(page, 40, 20))
        until(page, PROPOSED, "1 of")
    if begin == "tried":
        page.focus("#beta")
        press(page, "End")
        until(page, "() => document.querySelector('#tuned-shown').textContent.includes('not saved')")
        assert not np.array_equal(shown_mask(page), before)
        page.locator("#stage").focus()
    judging = page.evaluate(JUDGING, sorted(HARMLESS))
    assert len(judging) > 12
    for key in " ".join(keys for keys, *_ in judging).split():
        page.evaluate("() => document.querySelector('#notice-close').click()")
        press(page, key)
        noticed(page, "Esc d")
    for button in ("#accept", "#next", "#back", "#relabel-button", "#clean"):
        page.evaluate("() => document.querySelector('#notice-close').click()")
        page.click(button)
        noticed(page, "Esc d")
    page.go_back()
    page.wait_for_timeout(100)
    assert page.text_content("#sample-name") == name
    np.testing.assert_array_equal(labels_of(pets, name), before)
    assert last_actions(pets[0]).get(name) == judged
    shown = shown_mask(page)
    page.locator("#stage").focus()
    press(page, saves)
    saved(page)
    page.wait_for_selector("#notice", state="hidden", timeout=GOES)
    soon(page, lambda: name in last_actions(pets[0]))
    if begin == "tried":
        np.testing.assert_array_equal(labels_of(pets, name), shown)
    page.click("#undo")
    saved(page)
    np.testing.assert_array_equal(labels_of(pets, name), before)
    press(page, "Escape", "Escape")


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
    drag(page, (left - 0.5, top - 0.5), (right - 0.5, bottom - 0.5))
    within = np.bincount(segments[top:bottom, left:right].ravel(), minlength=segments.max() + 1)
    wanted = np.flatnonzero(2 * within > np.bincount(segments.ravel()))
    until(page, PROPOSED, f"{len(wanted)} of")
    page.keyboard.press("Enter")
    saved(page)
    np.testing.assert_array_equal(labels_of(pets, "000002"), np.where(np.isin(segments, wanted), 3, given))
    page.keyboard.press("Escape")  # leaves the tool, which other samples have no attention for


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
    wanted = labels.copy()
    wanted[12:15, 12:15] = 2
    wanted[22, 22] = 3
    wanted[50:55] = 0
    np.testing.assert_array_equal(found, wanted)
    assert [action.action for action in read_actions(pets[0]) if action.sample == "000013"] == ["brush", "cleaned"]


@pytest.mark.slow
def test_a_change_that_waits_never_undoes_what_another_window_did(browser, pets):
    name, in_class = "000022", 2  # a dog, a cat and a bus by turns
    with window(browser, pets[2].url, faults=True) as one, window(browser, pets[2].url) as two:
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
        held[0].continue_()
        noticed(one, "their version was kept, yours was not saved")
        saved(one)
        assert [action.action for action in read_actions(pets[0]) if action.sample == name] == ["relabel"]
        np.testing.assert_array_equal(shown_mask(one), others)
        one.mouse.click(*at(one, 50, 50))  # made of the newer one
        saved(one)
        found = labels_of(pets, name)
        assert last_actions(pets[0])[name].action == "brush"
        assert (found[5, 5], found[50, 50]) == (others[5, 5], in_class)


@pytest.mark.slow
def test_the_keyboard_alone(browser, tmp_path):
    """Six samples: judged, one of them corrected, without a pointer."""
    out = write_set(tmp_path / "pets", 6)
    with running(out) as (_, opened), window(browser, opened.url) as page:
        press(page, "ArrowRight", "ArrowLeft", "Enter")
        for number in range(6):
            until(page, "name => document.querySelector('#sample-name').textContent === name", f"{number:06d}")
            if number == 3:
                press(page, "f", "2", "Space")  # the class at the middle becomes a cat
            press(page, "x" if number == 3 else "a")
        saved(page)
        press(page, "Escape")  # leaves the tool
        assert page.locator("#sample").is_visible()
        press(page, "Escape")
        until(page, "() => !document.querySelector('#browse').hidden")
        last = last_actions(out)
        assert [last[n].verdict for n in NAMES[:6]] == ["accepted"] * 3 + ["rejected"] + ["accepted"] * 2
        assert last[NAMES[3]].mask
        press(page, "?")
        assert page.locator("#help").is_visible()


@pytest.mark.slow
def test_labels_and_contrast(browser, pets):
    with window(browser, pets[2].url) as page:

        def check():
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                assert violations(page) == []

        page.locator("#tile-0").click(modifiers=["Control"])
        check()
        page.click("#select-none")
        open_sample(page, "000000")
        page.wait_for_selector("#attention:not([hidden])")
        page.locator("#prompt button").first.click()
        until(page, "() => document.querySelectorAll('#levels canvas').length === 3")
        page.click("#show-steps")
        until(page, "() => document.querySelectorAll('#steps canvas').length > 5")
        check()
        page.keyboard.press("?")
        assert violations(page) == []


@pytest.mark.slow
def test_pages_have_labels_and_contrast(browser, pets, tmp_path):
    again, report = tmp_path / "again", tmp_path / "report"
    assert main(["merge", str(pets[0]), "--out", str(again)]) == 0
    assert main(["evaluate", str(again), "--data", str(again), "--out", str(report)]) == 0
    for file in (again / "preview.html", report / "evaluation.html"):
        for scheme in ("light", "dark"):
            page = browser.new_page(color_scheme=scheme)
            page.goto(file.as_uri())
            assert violations(page) == [], file
            page.close()


@pytest.fixture(scope="module")
def fresh(browser, tmp_path_factory):
    """A page of a set that the tests above do not change, and its folder."""
    out = write_set(tmp_path_factory.mktemp("fresh") / "fresh", 24, ("dog", "cat", "bus"))
    with running(out) as (_, opened), window(browser, opened.url) as page:
        yield page, out


@pytest.mark.slow
def test_back_and_reload_keep_what_was_shown(fresh):
    page, _ = fresh
    page.select_option("#sort", "-order")
    page.locator("#classes input").nth(1).check()
    until(page, SHOWN, "8 of 24")
    page.locator("#grid").focus()
    page.keyboard.press("ArrowRight")
    until(page, "() => document.querySelector('#tile-1.active .name bdi')?.textContent.length === 6")
    name = page.text_content(".tile.active .name bdi")
    page.keyboard.press("Enter")
    shown_sample(page, name)
    page.keyboard.press("j")
    until(
        page,
        "name => document.querySelector('#sample[aria-busy=false]')"
        " && document.querySelector('#sample-name').textContent !== name",
        name,
    )
    second = page.text_content("#sample-name")
    page.reload()
    shown_sample(page, second)
    assert page.text_content("#sample-place") == "3 of 8"
    page.go_back()
    page.wait_for_selector("#browse:not([hidden])")
    until(page, "name => document.querySelector('.tile.active .name bdi')?.textContent === name", second)
    assert page.input_value("#sort") == "-order"
    page.go_forward()
    shown_sample(page, second)
    page.evaluate(
        "() => { const at = new URLSearchParams(location.hash.slice(1));"
        " at.delete('sample'); at.set('at', 5); location.hash = at; }"
    )
    page.wait_for_selector("#browse:not([hidden]) #tile-5.active")  # a typed address counts, whatever was open
    page.go_back()
    shown_sample(page, second)
    page.keyboard.press("Escape")
    page.wait_for_selector("#browse:not([hidden])")
    page.reload()
    until(page, SHOWN, "8 of 24")
    assert page.locator("#classes input").nth(1).is_checked()
    page.evaluate("() => { location.hash = 'sort=nonsense&classes=9,x&area-low=up&sample=1e9&size=-5'; }")
    page.reload()
    until(page, SHOWN, "24 of 24")


HOSTILE = (
    SCRIPT,
    '"><img src=x onerror="window.pwned=1">',
    "a'b\"c`d",
    "\u202egnp.exe\u202c",
    "javascript:window.pwned=1",
    "../../etc/passwd",
    "{{7*7}}${window.pwned=1}",
    "é́́́́́́",
)
PHOTO = "\u202egpj.<img src=x onerror=\"window.pwned=1\"> 'עברית'.png"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A set whose classes, prompts, flags, values and a photograph's file name are text that would be something else in
    another place. One class name has 5,000 letters.
    """
    classes = (*HOSTILE[:5], "x" * 5000)
    rows = [
        {
            "prompt": text * (5000 // len(text)) if number == 3 else f"a photo of {text}",
            "classes": [classes[number % len(classes)]],
            "area": {classes[number % len(classes)]: 0.2},
            "class_ids": [number % len(classes) + 1],
            "flags": [f"degenerate:{text}", text],
            "model": text,
            "confidence": {classes[number % len(classes)]: 0.5},
        }
        for number, text in enumerate(HOSTILE)
    ]
    rows.append({**rows[1], "source": PHOTO})
    out = write_set(tmp_path_factory.mktemp("hostile") / f"a'b{SCRIPT.replace('/', '')}\u202e", len(rows), changes=rows)
    (out / native.CLASSES).write_bytes(native.classes_text(classes))
    for number, row in enumerate(rows_of(out)):
        labels = np.zeros((64, 64), np.uint8)
        labels[:20] = row["class_ids"][0]
        (out / f"masks/{number:06d}.png").write_bytes(encode_mask(labels))
    keep_attention(out, ["000000"], words={SCRIPT: (5,)})
    return out, classes


@pytest.mark.slow
def test_no_text_is_anything_but_text(browser, hostile):
    out, classes = hostile
    with running(out) as (_, opened), window(browser, opened.url) as page:
        assert page.inner_text("#set-name") == out.name
        assert page.locator("#classes bdi").all_text_contents() == list(classes)
        assert page.locator("#many-old option").all_text_contents()[:-2] == list(classes)
        assert {text for text in HOSTILE if ":" not in text and "_" not in text} <= {
            *page.locator("#flags bdi").all_text_contents()
        }
        for number, text in list(enumerate(HOSTILE))[::3]:
            open_sample(page, f"{number:06d}")
            until(page, "() => document.querySelector('#facts').textContent.includes('model')")
            facts = page.locator("#facts dd").all_text_contents()
            assert text in facts
            assert any(fact.startswith(f"degenerate:{text}") for fact in facts)
            if number:
                assert page.text_content("#prompt") == rows_of(out)[number]["prompt"]
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        open_sample(page, PHOTO)
        assert page.title().startswith(out.name)
        press(page, "1", "f")
        page.locator("#stage").press("Space")
        saved(page)
        assert page.evaluate("() => [window.pwned, document.images.length > 500, document.scripts.length]") == [
            None,
            False,
            1,
        ]
        page.evaluate("() => { location.hash = '../../0<script>'; }")
        page.reload()
        page.wait_for_selector(".tile img[src]")
    assert read_actions(out)[-1].classes == tuple(name for name in classes if name in (classes[0], classes[1]))
