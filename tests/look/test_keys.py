"""The page's one table of keys, and what keys and buttons act on, wherever the focus and the page are."""

import pytest
from in_chromium import at, needs_chromium, noticed, press, saved, show_number, shown_sample, until, window
from items import last_actions
from look_server import running, write_set

from seediff.dataset.reviews import read_actions

pytestmark = [needs_chromium, pytest.mark.slow]
TABLE = "() => import('/static/keys.js').then(({ KEYS }) => KEYS)"
NAMES = {"←": "ArrowLeft", "→": "ArrowRight", "↑": "ArrowUp", "↓": "ArrowDown", "Esc": "Escape"}
SAVING = "text => document.querySelector('#saving').textContent === text"
ASKED = "() => !dispatchEvent(new Event('beforeunload', { cancelable: true }))"  # whether leaving asks
ACTIVE = "place => document.querySelector('.tile.active')?.id === `tile-${place}`"


@pytest.fixture
def fresh(browser, tmp_path):
    """A page of a set of its own, and the set's folder."""
    out = write_set(tmp_path / "fresh", 6, ("dog", "cat", "bus"))
    with running(out) as (_, opened), window(browser, opened.url) as page:
        until(page, "() => document.querySelector('#tile-5 .name bdi')?.textContent === '000005'")
        yield page, out


def verdicts(out):
    return {name: action.verdict for name, action in last_actions(out).items() if action.verdict}


def test_every_key_acts(fresh):
    """A key without an act, or a button that is not there, is an error of the page, which fails the test."""
    page, _ = fresh
    table = page.evaluate(TABLE)
    for view in ("grid", "sample"):
        for keys, views, *_ in table:
            if view not in views.split():
                continue
            for key in keys.split():
                if page.locator("#help").is_visible():
                    page.keyboard.press("Escape")
                if view == "sample" and page.locator("#sample").is_hidden():
                    show_number(page, 2)
                elif view == "grid" and page.locator("#browse").is_hidden():
                    page.click("#back")
                    page.wait_for_selector("#browse:not([hidden])")
                page.evaluate("() => document.activeElement.blur()")  # wherever the focus is
                page.keyboard.press(NAMES.get(key, key).replace("Ctrl", "Control"))
                until(page, "() => document.querySelector('#saving').textContent !== 'Saving …'")
    saved(page)


@pytest.mark.parametrize("steps", ["", "j", "j j", "Escape"])
def test_undo_belongs_to_the_last_action_wherever_the_page_has_gone(fresh, steps):
    page, out = fresh
    page.locator("#grid").focus()
    press(page, "ArrowRight", "a", "ArrowLeft", "ArrowLeft", "Enter")  # 000001 is accepted
    shown_sample(page, "000000")
    press(page, "x")
    shown_sample(page, "000001")
    noticed(page, "000000 rejected.")
    press(page, *steps.split())
    if steps == "Escape":
        until(page, f"() => ({ACTIVE})(1)")  # the grid is there
    saved(page)
    assert verdicts(out) == {"000000": "rejected", "000001": "accepted"}
    press(page, "z")
    noticed(page, "000000: undone.")
    assert verdicts(out) == {"000001": "accepted"}
    if steps == "Escape":
        until(page, ACTIVE, 0)
    else:
        shown_sample(page, "000000")


def test_a_second_judgement_is_about_the_next_sample_before_it_is_loaded(fresh):
    page, out = fresh
    page.locator("#grid").focus()
    press(page, "Enter", "a", "a")
    shown_sample(page, "000002")
    saved(page)
    assert verdicts(out) == {"000000": "accepted", "000001": "accepted"}


def test_keys_act_wherever_the_focus_is_no_field(fresh):
    page, out = fresh
    page.click("#select-all")
    page.keyboard.press("x")
    noticed(page, "6 rejected")
    page.keyboard.press("z")  # undoes all of them
    noticed(page, "6 undone")
    page.locator("#states input").first.check()
    page.focus("#states input >> nth=0")
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    saved(page)
    assert verdicts(out) == {"000000": "accepted"}
    page.focus("#text")
    page.keyboard.press("x")
    assert page.input_value("#text") == "x"
    assert verdicts(out) == {"000000": "accepted"}


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_change_is_sent_again_until_the_server_responds_and_made_once(browser, tmp_path, lost):
    def lose(route):
        if lost == "answer":
            route.fetch()  # the server makes the change
        route.abort()

    out = write_set(tmp_path / "pets", 4, ("dog", "cat", "bus"))
    with running(out) as (_, opened), window(browser, opened.url, faults=True) as page:
        show_number(page, 1)
        page.route("**/labels?tool=*", lose)
        press(page, "b", "3")
        page.mouse.click(*at(page, 5, 5))
        until(page, SAVING, "1 change not saved")
        page.click("#notice-close")
        press(page, "j")
        page.wait_for_timeout(200)
        assert page.text_content("#saving") == "1 change not saved"
        assert page.text_content("#sample-name") == "000001"
        assert out.joinpath("review.jsonl").exists() is (lost == "answer")
        assert page.evaluate(ASKED)
        page.unroute("**/labels?tool=*")
        shown_sample(page, "000002")
        until(page, SAVING, "Saved")
        assert page.locator("#notice").is_hidden()
        assert not page.evaluate(ASKED)
        assert [action.action for action in read_actions(out)] == ["brush"]
