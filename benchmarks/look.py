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
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path += [str(Path(__file__).parents[1] / part) for part in ("tests", "tests/builders")]

from builders.in_chromium import chromium, open_sample, saved, until, window  # pyright: ignore[reportMissingImports]
from builders.look_server import start, write_set  # pyright: ignore[reportMissingImports]
from builders.random_maps import random_maps  # pyright: ignore[reportMissingImports]

from seediff.dataset import native
from seediff.dataset.reviews import in_effect

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


def write(out: Path, count: int, side: int) -> list[int]:
    """Write samples, every twentieth with attention in a UNet's shape; returns their numbers."""
    write_set(out, count, ("dog", "cat"), side=side)
    (out / native.ATTENTION).mkdir()
    kept = list(range(9, count, 20))
    for number in kept:
        maps = random_maps(side // 8, seed=number, levels=(1, 2, 4, 8))
        maps.save(out / native.ATTENTION / f"{number:06d}.safetensors")
    return kept


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

    def opened(self, name: str) -> None:
        """Wait until a sample is open."""
        shown = "name => document.querySelector('#sample[aria-busy=false] #sample-name')?.textContent === name"
        until(self.page, shown, name)

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
            until(self.page, "() => document.querySelector('#tuned-shown').textContent.startsWith('tried')")
            self.press("u")
        else:
            self.press("b", "0")
            self.drag()


def one_by_one(reviewer: Reviewer, count: int, kept: Sequence[int]) -> None:
    """Review sample by sample, with the keys of the page."""
    reviewer.press("Enter")
    for number in range(count):
        reviewer.opened(f"{number:06d}")
        if number % 10 == 9:
            reviewer.correct(number in kept)
        reviewer.press("x" if number % 10 == 4 else "a")
    saved(reviewer.page)


def from_the_grid(reviewer: Reviewer, count: int, kept: Sequence[int]) -> None:
    """Select and reject the bad samples, open those to be corrected, then accept all remaining samples at once."""
    page = reviewer.page
    page.locator("#tile-size").fill("96")  # so that most tiles are in sight; not counted, because it is done once
    for number in range(4, count, 10):
        reach(page, number)
        reviewer.click(f"#tile-{number}", modifiers=["Control"])
    reviewer.press("x")
    until(page, "() => document.querySelector('#job[aria-busy=false] #job-text')?.textContent.includes('rejected')")
    if page.locator("#select-none").is_enabled():
        reviewer.click("#select-none")
    page.wait_for_timeout(500)
    for number in range(9, count, 10):
        reach(page, number)
        reviewer.click(f"#tile-{number}")
        reviewer.opened(f"{number:06d}")
        page.uncheck("#onward")
        reviewer.correct(number in kept)
        reviewer.press("a")
        saved(page)
        reviewer.click("#back")
        page.wait_for_selector("#browse:not([hidden])")
        page.wait_for_timeout(500)
    reviewer.click("#states input")
    part = "document.querySelector('#set-count').textContent.split(' ')[0]"
    until(page, f"() => !document.querySelector('#shown').textContent.startsWith({part})")
    page.locator("#grid").focus()
    reviewer.press("Control+a", "a")
    until(page, "() => document.querySelector('#job[aria-busy=false] #job-text')?.textContent.includes('accepted')")


def reach(page: Any, place: int) -> None:
    """Scroll until a tile is in sight."""
    page.evaluate("() => { document.querySelector('#grid').scrollTop = 0; }")
    page.wait_for_timeout(50)
    while not page.locator(f"#tile-{place}").count():
        page.evaluate("() => { document.querySelector('#grid').scrollTop += 300; }")
        page.wait_for_timeout(50)


def times(page: Any, name: str) -> dict[str, list[float]]:
    """Milliseconds until the page shows the result of a change of β or α, of a click on a pixel, and of a dragged
    box.
    """
    found: dict[str, list[float]] = {}

    def timed(kind: str, on: str, event: str, off: str, act: Any) -> None:
        for turn in range(TRIES + 1):
            page.evaluate(WATCH, [on, event, off])
            act(turn)
            page.wait_for_function("() => window.took !== null")
            found.setdefault(kind, []).append(page.evaluate("() => window.took"))
            page.wait_for_timeout(700)  # the exact mask follows the one shown while dragging
        found[kind].pop(0)  # includes work that is done once per sample

    open_sample(page, name)
    page.wait_for_selector("#attention:not([hidden])")
    page.locator("#method").select_option("seediff")
    page.wait_for_timeout(2000)
    for kind in ("beta", "alpha"):
        page.focus(f"#{kind}")
        keys = ("ArrowRight",) * (TRIES // 2) + ("ArrowLeft",) * (TRIES // 2 + 1)
        timed(kind, f"#{kind}", "input", "#tuned-shown", lambda turn, keys=keys: page.keyboard.press(keys[turn]))
    box = page.locator("#layers").bounding_box()
    shares = np.random.default_rng(0).uniform(0.1, 0.9, (TRIES + 1, 2))
    at = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in shares]
    page.click("#untune")
    page.mouse.click(*at[0])
    page.wait_for_selector("#levels canvas")
    timed("pixel", "#stage", "pointerdown", "#levels", lambda turn: page.mouse.click(*at[turn]))
    page.keyboard.press("s")
    until(page, "() => document.querySelector('#tool-shown').textContent.startsWith('Click')")

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
    server, client = start(folder)
    url = f"http://127.0.0.1:{client.port}/?token={client.token}"
    try:
        with chromium() as browser, window(browser, url, size=(1440, 900)) as page:
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
        found["times"] = times(reviewer.page, f"{kept[0]:06d}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100, help="a multiple of 20")
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        kept = write(folder := Path(scratch) / "set", given.samples, given.side)
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
