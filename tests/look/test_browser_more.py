import numpy as np
import pytest
from in_chromium import at, needs_chromium, open_sample, saved, soon, until, violations, window
from look_server import keep_attention, running, write_set

from seediff.dataset import native
from seediff.dataset.reviews import in_effect, read_actions

pytestmark = needs_chromium
SCRIPT = "<script>window.pwned=1</script>"
IMAGE = '"><img src=x onerror="window.pwned=1">'
HOSTILE = (
    SCRIPT,
    IMAGE,
    "a'b\"c`d",
    "\u202egnp.exe\u202c",
    "javascript:window.pwned=1",
    "../../etc/passwd",
    "{{7*7}}${window.pwned=1}",
    "é́́́́́́",
)
MANY = 2_000


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Classes, prompts, flags and values of rows are text that would be something else in another place; and one name
    is 5,000 letters.
    """
    classes = (*HOSTILE[:5], "x" * 5000)
    rows = [
        {
            "prompt": text * (5000 // len(text)) if number == 3 else f"a photo of {text}",
            "classes": [classes[number % len(classes)]],
            "area": {classes[number % len(classes)]: 0.2},
            "class_ids": [number % len(classes) + 1],
            "flags": [f"degenerate:{text}", text],
            "source": text,
            "model": text,
            "confidence": {classes[number % len(classes)]: 0.5},
        }
        for number, text in enumerate(HOSTILE)
    ]
    out = write_set(
        tmp_path_factory.mktemp("hostile") / f"a'b{SCRIPT.replace('/', '')}\u202e", len(HOSTILE), changes=rows
    )
    (out / native.CLASSES).write_bytes(native.classes_text(classes))
    for number, row in enumerate(native.read_rows(out)):
        labels = np.zeros((64, 64), np.uint8)
        labels[:20] = row["class_ids"][0]
        (out / f"masks/{number:06d}.png").write_bytes(native.encode_mask(labels))
    keep_attention(out, ["000000"], words={SCRIPT: (5,)})
    return out, classes


def test_no_text_is_anything_but_text(browser, hostile):
    out, classes = hostile
    with running(out) as (_, opened), window(browser, opened.url) as page:
        assert page.inner_text("#set-name") == out.name
        names = page.evaluate("() => [...document.querySelectorAll('#classes bdi')].map((one) => one.textContent)")
        assert names == list(classes)
        assert violations(page) == []
        for number, text in enumerate(HOSTILE):
            open_sample(page, f"{number:06d}")
            until(page, "() => document.querySelector('#facts').textContent.includes('source')")
            facts = page.evaluate("() => [...document.querySelectorAll('#facts dd')].map((one) => one.textContent)")
            assert text in facts
            if number:
                assert page.text_content("#prompt") == native.read_rows(out)[number]["prompt"]
            assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        assert violations(page) == []
        page.keyboard.press("1")
        page.keyboard.press("f")
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


SCROLLED = """(frames) => new Promise((done) => {
  const grid = document.querySelector('#grid'), tiles = [];
  const step = () => {
    tiles.push(document.querySelectorAll('.tile').length);
    grid.scrollTop += 600;
    if (tiles.length < frames) requestAnimationFrame(step);
    else done([Math.min(...tiles), Math.max(...tiles), grid.scrollTop]);
  };
  requestAnimationFrame(step);
})"""
"""How few and how many tiles there are while the grid is scrolled, and how far it came."""


def test_a_phone_shows_where_lines_go_on(browser, hostile):
    """Whatever is wider than its box scrolls and fades, or ends with an ellipsis; help begins at its beginning."""
    cut = """() => [...document.querySelectorAll('body *')].filter((one) => {
        const { overflowX, textOverflow, maskImage } = getComputedStyle(one);
        const wide = one.offsetParent && one.clientWidth > 8 && one.scrollWidth > one.clientWidth + 1;
        return wide && overflowX !== 'visible' && textOverflow !== 'ellipsis' && maskImage === 'none';
    }).map((one) => one.outerHTML)"""
    with running(hostile[0]) as (_, opened), window(browser, opened.url, size=(390, 844)) as page:
        assert page.evaluate(cut) == []
        page.click("#filters-toggle")
        assert page.evaluate(cut) == []
        page.click("#help-button")
        assert page.evaluate("() => document.querySelector('#help').scrollTop") == 0
        page.keyboard.press("Escape")
        open_sample(page, "000001")
        assert page.evaluate(cut) == []
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_many_thousand_samples(browser, tmp_path):
    out = write_set(tmp_path / "many", MANY)
    with running(out) as (_, opened), window(browser, opened.url) as page:
        assert page.text_content("#shown") == "2,000 of 2,000 shown"
        fewest, most, came = page.evaluate(SCROLLED, 40)
        assert 0 < fewest <= most < 120  # those that are seen, and a row around them
        assert came == 40 * 600
        tiles = "() => document.querySelectorAll('.tile').length"
        page.keyboard.press("End")
        until(page, "() => document.querySelector('.tile.active .name')?.textContent === '001999'")
        until(page, "() => document.querySelector('.tile.active img').complete")
        assert page.evaluate(tiles) < 120
        page.locator("#flags input").first.check()
        until(page, "() => document.querySelector('#shown').textContent === '285 of 2,000 shown'")


def test_keys_wait_for_the_number_of_the_next_sample(browser, tmp_path):
    """Lists come a hundred samples at a time."""
    out, held = write_set(tmp_path / "two-hundred", 200), []
    with running(out) as (_, opened), window(browser, opened.url) as page:
        page.route("**/api/views/*begin=100*", lambda route: held.append(route))
        page.evaluate("() => { location.hash = 'sample=99'; }")
        until(page, "() => document.querySelector('#sample[aria-busy=false] #sample-name')?.textContent === '000099'")
        for key in "axa":
            page.keyboard.press(key)
        soon(page, lambda: held != [])
        page.wait_for_timeout(200)
        for route in held:
            route.continue_()
        until(page, "() => document.querySelector('#sample[aria-busy=false] #sample-name')?.textContent === '000102'")
        saved(page)
    verdicts = {name: action.verdict for name, action in in_effect(out).items()}
    assert verdicts == {"000099": "accepted", "000100": "rejected", "000101": "accepted"}


def test_a_stroke_is_of_the_images_class_and_any_class_is_found_by_typing(browser, tmp_path):
    classes = tuple(f"{word} {number}" for number in range(15) for word in ("cup", "plate"))
    out = write_set(tmp_path / "kitchen", 30, classes)
    with running(out) as (_, opened), window(browser, opened.url) as page:
        painted = (
            "() =>"
            " document.querySelector('input[name=paint-class]:checked').closest('label')"
            ".querySelector('bdi').textContent"
        )
        open_sample(page, "000025")
        assert page.evaluate(painted) == "plate 12"
        page.keyboard.press("b")
        page.mouse.click(*at(page, 2, 2))
        saved(page)
        assert read_actions(out)[-1].action == "brush"
        assert native.read_label_map(out / in_effect(out)["000025"].mask)[2, 2] == 26
        page.keyboard.press("c")
        page.keyboard.type("14")
        assert page.locator("#paint-classes label:visible bdi").all_text_contents() == ["cup 14", "plate 14"]
        assert violations(page) == []
        page.keyboard.press("Enter")
        assert page.evaluate(painted) == "cup 14"
        page.keyboard.press("i")  # the keyboard is the picture's again
        open_sample(page, "000026")
        assert page.evaluate(painted) == "ignored (255)"  # chosen by somebody, so it stays
        page.keyboard.press("c")
        page.keyboard.press("Escape")
        assert page.locator("#sample").is_visible()
        page.keyboard.press("1")
        open_sample(page, "000024")
        assert page.evaluate(painted) == "cup 12"
        page.keyboard.press("c")
        page.keyboard.type("axle")
        page.keyboard.press("Enter")  # there is none: nothing is accepted or rejected by its letters
        until(page, "() => document.querySelector('#notice').textContent.includes('Shift+Enter')")
        page.keyboard.press("Shift+Enter")
        until(page, f"() => ({painted})() === 'axle'")
        page.mouse.click(*at(page, 2, 2))
        saved(page)
        assert native.read_label_map(out / in_effect(out)["000024"].mask)[2, 2] == 31
        assert in_effect(out)["000024"].verdict is None
        assert native.read_classes(out) == (*classes, "axle")
