"""The pictures of docs/look.md: every view, as somebody sees it who does what the page says.

python website/look_pictures.py docs     # makes them anew, of a set that the embedded model draws, in Chromium
"""

import io
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "builders"))

from in_chromium import at, chromium, drag, open_sample, saved, until, window
from look_server import running

from seediff.config.runs import GenerateConfig
from seediff.dataset.native import open_native
from seediff.run.generate_job import generate

IMAGES = ("grid", "pixel", "word", "steps", "correct", "segments")
FAULTY, SIDE = "000003", 300
"""README's sample, whose mask fills the gap between a dog's legs and lacks its nose, and the side of its pictures."""
STROKES = (
    (9, (77, 73), (76, 79), "right"),
    (6, (76, 76), (75, 90), "right"),
    (6, (99, 22), (99, 24), "right"),
    (6, (31, 38), (29, 42), "left"),
)
"""The brush's size, from where to where, and with which button."""
MOST = 1_400_000
"""Bytes of all pictures together."""


def drawn(out):
    options = {"steps": 12, "keep_attention": True}
    generate(GenerateConfig.recommended(classes=("dog", "cat", "car"), per_class=6, **options), out)
    return out


def an_object(out):
    """A sample's name and the column through the middle of its mask, the mask neither small nor cut off at a side."""
    item = min(open_native(out)[1], key=lambda item: abs((item.label_map > 0).mean() - 0.3))
    rows, columns = np.nonzero(item.label_map)
    return item.name, int(np.median(columns)), int(rows.min()), int(rows.max())


def draw_readme(page):
    """README's picture: where the word "dog" attends, the mask, and the mask after STROKES."""

    def take():
        page.wait_for_timeout(400)
        with Image.open(io.BytesIO(page.locator("#layers").screenshot())) as image:
            return image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)

    page.evaluate("() => { document.querySelector('#lines').style.visibility = 'hidden'; }")
    open_sample(page, FAULTY)
    page.uncheck("#dimmed")
    page.wait_for_selector("#attention:not([hidden])")
    page.locator("#prompt button").last.click()
    until(page, "() => document.querySelector('#prompt button[aria-pressed=\"true\"]')")
    page.mouse.move(2, 2)
    tiles = [take()]
    page.keyboard.press("b")
    page.check("#dimmed")
    tiles.append(take())
    for size, start, end, button in STROKES:
        page.locator("#brush-size").fill(str(size))
        drag(page, start, end, button=button)
    saved(page)
    tiles.append(take())
    return Image.fromarray(np.hstack([np.asarray(tile) for tile in tiles]))


def draw_views(browser, out, target):
    """Save a picture of each view of the set `out` in the folder `target`."""
    name, column, top, bottom = an_object(out)

    def take(page, kind):
        page.wait_for_timeout(400)
        with Image.open(io.BytesIO(page.screenshot())) as image:
            image.convert("RGB").save(
                target / f"look-{kind}.jpg", quality=78, optimize=True, progressive=True, subsampling=0
            )

    with running(out) as (client, opened), window(browser, opened.url, size=(1100, 800)) as page:
        for key in ("a", "a", "x", "ArrowRight"):
            page.keyboard.press(key)
        saved(page)
        page.reload()
        page.wait_for_selector(".tile img[src]")
        until(page, "() => [...document.querySelectorAll('.tile:not([hidden]) img')].every((one) => one.complete)")
        page.locator("#tile-4").click(modifiers=["Control"])
        page.locator("#tile-7").click(modifiers=["Shift"])
        take(page, "grid")
        page.click("#select-none")
        open_sample(page, name)
        page.wait_for_selector("#attention:not([hidden])")
        page.mouse.click(*at(page, column, (top + bottom) // 2))
        until(page, "() => document.querySelectorAll('#levels canvas').length > 0")
        take(page, "pixel")
        page.locator("#prompt button").last.click()
        until(page, "() => document.querySelector('#prompt button[aria-pressed=\"true\"]')")
        take(page, "word")
        page.locator("#prompt button").last.click()
        page.click("#show-steps")
        until(page, "() => document.querySelectorAll('#steps canvas').length > 5")
        page.evaluate("() => document.querySelector('#show-steps').scrollIntoView()")
        take(page, "steps")

        page.evaluate("() => document.querySelector('.panels section').scrollIntoView()")
        page.keyboard.press("s")
        until(page, "() => document.querySelector('#tool-shown').textContent.startsWith('Click')")
        drag(page, (2, max(0, top - 4)), (column * 2 - 2, bottom + 2))
        until(page, "() => document.querySelector('#tool-shown').textContent.includes('Enter paints')")
        take(page, "segments")
        page.keyboard.press("Escape")
        number = int(name)
        height, side = client.labels(number).shape
        width = max(3, side // 24)
        page.keyboard.press("e")
        page.locator("#brush-size").fill(str(width))
        drag(page, (column, max(0, top - width)), (column, min(height - 1, bottom + width)), steps=12)
        saved(page)
        take(page, "correct")
        assert (client.labels(number)[:, column] == 0).all()
        draw_readme(page).save(target / "readme.jpg", quality=88, optimize=True, progressive=True, subsampling=0)
    assert sum((target / f"look-{kind}.jpg").stat().st_size for kind in IMAGES) < MOST


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        draw_views(browser, drawn(Path(folder) / "pets"), Path(sys.argv[1]))
