"""Measures a review of 100 samples in `seediff look`: how many keys, clicks and drags it takes, and how fast the page
responds.

    python benchmarks/look.py                          # 100 samples of 512², two minutes on two cores
    python benchmarks/look.py --samples 20 --side 256  # a quick look

A script reviews a dataset in Chromium. Of every ten samples it accepts eight, rejects one and corrects one, with the
brush and with α in turn. It does so in two ways: sample by sample, and from the grid, where all remaining samples are
accepted at once. Keys, clicks and drags are counted. The page itself measures the time until it shows a result. A
person also needs time to look and decide, which is not measured.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from playwright.sync_api import sync_playwright

from seediff.attention.maps import AttentionMaps
from seediff.dataset import native
from seediff.dataset.reviews import in_effect

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
TRIES = 20
"""Number of measurements of each kind."""
WATCH = """([on, event, off]) => {
  window.took = null;
  let begun = 0;
  const seen = new MutationObserver(() => {
    if (begun && window.took === null) requestAnimationFrame(() => {
      window.took = performance.now() - begun;
      seen.disconnect();
    });
  });
  document.querySelector(on).addEventListener(
    event, () => { begun ||= performance.now(); }, { capture: true, once: true });
  seen.observe(document.querySelector(off), { childList: true, characterData: true, subtree: true });
}"""
"""JavaScript that measures the time from an event on one element to the first frame after a change of another
element.
"""


def write_set(out: Path, count: int, side: int) -> list[int]:
    """Write samples of noise with a rectangle in the middle. Every twentieth has attention in a UNet's shape; returns
    their numbers.
    """
    rng, rows = np.random.default_rng(0), []
    labels = np.zeros((side, side), np.uint8)
    labels[side // 4 : -side // 4, side // 4 : -side // 4] = 1
    for kind in (native.IMAGES, native.MASKS, native.ATTENTION):
        (out / kind).mkdir(parents=True)
    for number in range(count):
        name = f"{number:06d}"
        image = np.kron(rng.integers(60, 220, (side // 8, side // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        (out / f"images/{name}.jpg").write_bytes(native.encode_image(image, "jpg"))
        (out / f"masks/{name}.png").write_bytes(native.encode_mask(labels))
        about = {"prompt": "a photo of a dog", "classes": ["dog"], "class_ids": [1], "area": {"dog": 0.25}, "flags": []}
        rows.append({"file_name": f"images/{name}.jpg", "mask": f"masks/{name}.png", **about})
    kept = list(range(9, count, 20))
    for number in kept:
        attention(side // 8, number).save(out / f"attention/{number:06d}.safetensors")
    (out / native.CLASSES).write_bytes(native.classes_text(("dog", "cat")))
    (out / native.METADATA).write_bytes(native.jsonl(rows))
    return kept


def attention(side: int, seed: int) -> AttentionMaps:
    """Random maps at four levels for 77 tokens, divided by their maxima."""
    generator, own, cross = torch.Generator().manual_seed(seed), {}, {}
    for at in (side, side // 2, side // 4, side // 8):
        rows = torch.randn(at * at, at * at, generator=generator).mul_(2).softmax(1)
        tokens = torch.randn(at * at, 77, generator=generator).softmax(1)
        own[at, at], cross[at, at] = rows / rows.max(), tokens / tokens.amax(0)
    return AttentionMaps(own, cross, (side, side), {"dog": (5,)}, "a photo of a dog")


class Reviewer:
    """Uses the page, and counts the keys, clicks and drags that a person would need."""

    def __init__(self, page: Any) -> None:
        self.page, self.done = page, Counter[str]()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.done["keys"] += 1

    def click(self, selector: str, **options: Any) -> None:
        self.page.locator(selector).first.click(**options)
        self.done["clicks"] += 1

    def until(self, condition: str, argument: Any = None) -> None:
        self.page.wait_for_function(condition, arg=argument)

    def opened(self, name: str) -> None:
        """Wait until a sample is open."""
        self.until(
            "name => document.querySelector('#sample[aria-busy=false] #sample-name')?.textContent === name", name
        )

    def drag(self) -> None:
        """Drag through the middle of the picture."""
        box = self.page.locator("#layers").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x - 30, y)
        self.page.mouse.down()
        self.page.mouse.move(x + 30, y, steps=6)
        self.page.mouse.up()
        self.done["drags"] += 1

    def correct(self, alpha: bool) -> None:
        """Correct the open sample: with another α, or by painting background with the brush."""
        if alpha:
            self.page.wait_for_selector("#attention:not([hidden])")
            self.page.locator("#method").select_option("seediff")  # the dataset does not record its method
            self.click("#alpha", position={"x": 30, "y": 8})
            self.until("() => document.querySelector('#tuned-shown').textContent.startsWith('tried')")
            self.press("u")
        else:
            self.press("b", "0")
            self.drag()

    def saved(self) -> None:
        self.until("() => document.querySelector('#saving').textContent === 'Saved'")


def one_by_one(reviewer: Reviewer, count: int, kept: Sequence[int]) -> None:
    """Review sample by sample, with the keys of the page."""
    reviewer.press("Enter")
    for number in range(count):
        reviewer.opened(f"{number:06d}")
        if number % 10 == 9:
            reviewer.correct(number in kept)
        reviewer.press("x" if number % 10 == 4 else "a")
    reviewer.saved()


def from_the_grid(reviewer: Reviewer, count: int, kept: Sequence[int]) -> None:
    """Select and reject the bad samples, open those to be corrected, then accept all remaining samples at once."""
    page = reviewer.page
    page.locator("#tile-size").fill("96")  # so that most tiles are in sight; not counted, because it is done once
    for number in range(4, count, 10):
        reach(page, number)
        reviewer.click(f"#tile-{number}", modifiers=["Control"])
    reviewer.press("x")
    reviewer.until("() => document.querySelector('#job[aria-busy=false] #job-text')?.textContent.includes('rejected')")
    reviewer.click("#select-none") if page.locator("#select-none").is_enabled() else None
    page.wait_for_timeout(500)
    for number in range(9, count, 10):
        reach(page, number)
        reviewer.click(f"#tile-{number}")
        reviewer.opened(f"{number:06d}")
        page.uncheck("#onward")
        reviewer.correct(number in kept)
        reviewer.press("a")
        reviewer.saved()
        reviewer.click("#back")
        page.wait_for_selector("#browse:not([hidden])")
        page.wait_for_timeout(500)
    reviewer.click("#states input")
    reviewer.until(
        "() =>"
        " !document.querySelector('#shown').textContent.startsWith("
        "document.querySelector('#set-count').textContent.split('"
        " ')[0])"
    )
    page.locator("#grid").focus()
    reviewer.press("Control+a", "a")
    reviewer.until("() => document.querySelector('#job[aria-busy=false] #job-text')?.textContent.includes('accepted')")


def reach(page: Any, place: int) -> None:
    """Scroll until a tile is in sight."""
    page.evaluate("() => { document.querySelector('#grid').scrollTop = 0; }")
    page.wait_for_timeout(50)
    while not page.locator(f"#tile-{place}").count():
        page.evaluate("() => { document.querySelector('#grid').scrollTop += 300; }")
        page.wait_for_timeout(50)


def times(reviewer: Reviewer, name: str) -> dict[str, list[float]]:
    """Milliseconds until the page shows the result of a change of β or α, of a click on a pixel, and of a dragged
    box.
    """
    page, found = reviewer.page, {}

    def timed(kind: str, on: str, event: str, off: str, act: Any) -> None:
        for turn in range(TRIES + 1):
            page.evaluate(WATCH, [on, event, off])
            act(turn)
            page.wait_for_function("() => window.took !== null")
            found.setdefault(kind, []).append(page.evaluate("() => window.took"))
            page.wait_for_timeout(700)  # the exact mask follows the one shown while dragging
        found[kind].pop(0)  # includes work that is done once per sample

    page.fill("#text", name)
    reviewer.until("name => document.querySelector('#tile-0 .name bdi')?.textContent === name", name)
    page.press("#text", "Escape")
    reviewer.press("Enter")
    reviewer.opened(name)
    page.wait_for_selector("#attention:not([hidden])")
    page.locator("#method").select_option("seediff")
    page.wait_for_timeout(2000)
    for kind in ("beta", "alpha"):
        page.focus(f"#{kind}")
        timed(
            kind,
            f"#{kind}",
            "input",
            "#tuned-shown",
            lambda turn: page.keyboard.press("ArrowRight" if turn < TRIES / 2 else "ArrowLeft"),
        )
    box = page.locator("#layers").bounding_box()
    at = [
        (box["x"] + box["width"] * x, box["y"] + box["height"] * y)
        for x, y in np.random.default_rng(0).uniform(0.1, 0.9, (TRIES + 1, 2))
    ]
    page.click("#untune")
    page.mouse.click(*at[0])
    page.wait_for_selector("#levels canvas")
    timed("pixel", "#stage", "pointerdown", "#levels", lambda turn: page.mouse.click(*at[turn]))
    page.keyboard.press("s")
    reviewer.until("() => document.querySelector('#tool-shown').textContent.startsWith('Click')")

    def drag(turn: int) -> None:
        page.mouse.move(box["x"] + box["width"] / 20, box["y"] + box["height"] / 20)
        page.mouse.down()
        page.mouse.move(*at[turn], steps=3)
        page.mouse.up()

    timed("box", "#stage", "pointerup", "#tool-shown", drag)
    return found


@contextmanager
def opened(folder: Path) -> Iterator[Reviewer]:
    """The page of a dataset without reviews, with its own server."""
    shutil.rmtree(folder / "reviewed", ignore_errors=True)
    (folder / "review.jsonl").unlink(missing_ok=True)
    command = [sys.executable, "-m", "seediff", "look", str(folder), "--no-browser"]
    options = ["--no-sandbox"] if hasattr(os, "getuid") and os.getuid() == 0 else []
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = re.search(r"http://[^ ]+", server.stdout.readline())
        assert address is not None
        with sync_playwright() as playwright:
            page = playwright.chromium.launch(executable_path=BROWSER, args=options).new_page(
                viewport={"width": 1440, "height": 900}
            )
            page.set_default_timeout(60_000)
            page.goto(address[0])
            page.wait_for_selector(".tile img[src]")
            yield Reviewer(page)
    finally:
        server.terminate()
        server.wait()


def measure(folder: Path, count: int, kept: Sequence[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for way in (one_by_one, from_the_grid):
        with opened(folder) as reviewer:
            begun = time.perf_counter()
            way(reviewer, count, kept)
            found[way.__name__] = {**reviewer.done, "seconds": time.perf_counter() - begun}
        last = in_effect(folder)
        verdicts = Counter(action.verdict for action in last.values())
        assert verdicts == {"accepted": count - count // 10, "rejected": count // 10}, (way, verdicts)
        assert sum(action.mask is not None for action in last.values()) == count // 10
    with opened(folder) as reviewer:
        found["times"] = times(reviewer, f"{kept[0]:06d}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100, help="a multiple of 20")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        kept = write_set(folder := Path(scratch) / "set", given.samples, given.side)
        found = measure(folder, given.samples, kept)
    print(f"| {given.samples} samples | keys | clicks | drags | the script took |\n|---|---|---|---|---|")
    for way in ("one_by_one", "from_the_grid"):
        done = found[way]
        print(
            f"| {way.replace('_', ' ')} | {done['keys']} | {done['clicks']} | {done['drags']} |"
            f" {done['seconds']:.0f} s |"
        )
    print("\n| from the input to what is shown | median | 95th percentile |\n|---|---|---|")
    for kind, took in found["times"].items():
        print(f"| {kind} | {np.median(took):.0f} ms | {np.quantile(took, 0.95):.0f} ms |")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
