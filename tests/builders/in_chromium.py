"""Opens pages in a real Chromium, Debian's or another on the machine, and reports what went wrong in them."""

import os
import shutil
import time
from contextlib import contextmanager

import numpy as np
import pytest
from patience import PATIENCE

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BINARY = next((path for name in NAMES if (path := shutil.which(name))), None)
WAIT = 1000 * PATIENCE
"""Milliseconds that anything may take on a busy machine."""

needs_chromium = pytest.mark.skipif(
    BINARY is None, reason=f"needs one of {', '.join(NAMES)} (apt-get install chromium)"
)


@contextmanager
def chromium():
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox"] if hasattr(os, "getuid") and os.getuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BINARY, args=options)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def window(browser, url, *, faults=False, size=(1280, 860), **options):
    """Open a page in a new window that shares nothing with other windows. faults: errors are expected. Raises
    AssertionError at the end if the page's console had an error, or the page sent a request to any other server."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    wrong = []
    base = url.partition("/?")[0]
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request", lambda request: None if request.url.startswith(base + "/") else wrong.append(f"asked {request.url}")
    )
    page.on("dialog", lambda dialog: dialog.accept())
    # Chromium begins to intercept a while after it says that it does; a request of that while passes a new route by.
    # With a route from the beginning it intercepts already when a test adds one.
    page.route("**/never-asked", lambda route: route.abort())
    try:
        page.goto(url)
        page.wait_for_selector(".tile img[src]")
        yield page
    finally:
        context.close()
    if wrong and not faults:
        raise AssertionError("\n".join(wrong))


def open_sample(page, name):
    """Open a sample by typing its name, as a person would."""
    if page.locator("#sample").is_visible():
        page.click("#back")
        page.wait_for_selector("#browse:not([hidden])")
    page.fill("#text", name)
    page.wait_for_function(
        "name => document.querySelector('.tile:not([hidden]) .name bdi')?.textContent === name", arg=name
    )
    page.press("#text", "Escape")  # moves to the grid
    page.keyboard.press("Enter")
    shown_sample(page, name)


def shown_mask(page):
    """(H, W) uint8 ids of the classes drawn over the picture, recognised by their colours; 0 where nothing is drawn."""
    from seediff.drawing.colours import mask_colours

    found = page.evaluate(
        """() => { const canvas = document.querySelector('#mask');
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
        return [canvas.height, canvas.width, [...data]]; }"""
    )
    pixels = np.array(found[2], np.int16).reshape(found[0], found[1], 4)
    table = mask_colours().astype(np.int16)[[0, 1, 2, 3, 4, 5, 255]]
    nearest = np.abs(pixels[:, :, None, :3] - table).sum(3).argmin(2)
    return np.where(pixels[..., 3] == 0, 0, np.array([0, 1, 2, 3, 4, 5, 255])[nearest]).astype(np.uint8)


def until(page, condition, argument=None):
    """Wait until an expression of the page is true."""
    page.wait_for_function(condition, arg=argument)


def soon(page, condition):
    """Wait until a condition in this process is true, while the page keeps running; for example, for requests that a
    route holds back.
    """
    end = time.monotonic() + WAIT / 1000
    while not condition():
        assert time.monotonic() < end, "it never came to be"
        page.wait_for_timeout(20)


def saved(page):
    """Wait until everything is saved."""
    until(page, "() => document.querySelector('#saving').textContent === 'Saved'")


def at(page, x, y):
    """Window coordinates of the centre of a pixel of the picture, after any changed text has moved the picture."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    box = page.locator("#layers").bounding_box()
    width, height = page.evaluate(
        "() => [document.querySelector('#mask').width, document.querySelector('#mask').height]"
    )
    return box["x"] + (x + 0.5) / width * box["width"], box["y"] + (y + 0.5) / height * box["height"]


def drag(page, start, end, steps=4, button="left"):
    """Draw the pointer over the picture from one pixel (x, y) to another."""
    page.mouse.move(*at(page, *start))
    page.mouse.down(button=button)
    page.mouse.move(*at(page, *end), steps=steps)
    page.mouse.up(button=button)


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def noticed(page, text):
    """Wait until the page says something to the person."""
    until(page, "text => document.querySelector('#notice').textContent.includes(text)", text)


def show_number(page, number):
    """Open a sample by its address."""
    page.evaluate("number => { location.hash = `sample=${number}`; }", number)
    shown_sample(page, f"{number:06d}")


def shown_sample(page, name):
    """Wait until the sample that is open has this name, and its label map has come. A sample that was open before shows
    its name at once, but strokes have no effect until then."""
    until(
        page,
        "name => document.querySelector('#sample:not([hidden])[aria-busy=false]')"
        " && document.querySelector('#sample-name').textContent === name",
        name,
    )


def violations(page):
    """Problems that axe finds in the page as it is: labels, contrast, roles."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for one in found
        for node in one["nodes"]
    ]
