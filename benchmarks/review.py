"""The program's share of reviewing by keyboard alone: how long `seediff look` takes from a key to the next sample on the screen.

    python benchmarks/review.py                                 # 200 samples of 512², accepted; 200 relabelled and accepted
    python benchmarks/review.py --samples 50 --side 1024

A Chromium is driven by a script that presses the next key as soon as the next sample is drawn: no person was measured, and what a person
needs to look and decide comes on top. Times are the page's own, from its `keydown` to the frame after the next sample's mask was drawn;
"saved" is until the server has answered all that was done to the sample.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from look import CLASSES, Running

from seediff.dataset import native
from seediff.dataset.reviews import in_effect

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
KEYS = {"accept, next": ("a",), "relabel, accept, next": ("f", "2", " ", "a")}
"""What a reviewer presses for a sample. Fill gives the piece at the middle another class."""
WATCH = """() => {
  const name = document.querySelector('#sample-name'), saving = document.querySelector('#saving');
  window.shown = window.kept = null;
  let before = '';
  addEventListener('keydown', (event) => {
    if (event.key !== 'a') return;
    before = name.textContent;
    window.pressed = performance.now();
    window.shown = window.kept = null;
  }, true);
  new MutationObserver(() => {
    if (name.textContent !== before) requestAnimationFrame(() => requestAnimationFrame(() => { window.shown = performance.now(); }));
  }).observe(name, { childList: true });
  new MutationObserver(() => { if (saving.textContent === 'Saved') window.kept = performance.now(); }).observe(saving, { childList: true });
}"""


def write_set(out: Path, count: int, side: int) -> None:
    """Samples of noise with a rectangle of one class in the middle."""
    rng = np.random.default_rng(0)
    rows = []
    for kind in (native.IMAGES, native.MASKS):
        (out / kind).mkdir(parents=True)
    for number in range(count):
        image = np.kron(rng.integers(60, 220, (side // 8, side // 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        labels = np.zeros((side, side), np.uint8)
        labels[side // 4 : -side // 4, side // 4 : -side // 4] = 1
        name = f"{number:06d}"
        (out / f"images/{name}.jpg").write_bytes(native.encode_image(image, "jpg"))
        (out / f"masks/{name}.png").write_bytes(native.encode_mask(labels))
        about = {"prompt": f"a photo of a {CLASSES[0]}", "classes": [CLASSES[0]], "class_ids": [1], "area": {CLASSES[0]: 0.25}}
        rows.append({"file_name": f"images/{name}.jpg", "mask": f"masks/{name}.png", **about, "flags": []})
    (out / native.CLASSES).write_bytes(native.classes_text(CLASSES))
    (out / native.METADATA).write_bytes(native.jsonl(rows))


def measure(folder: Path, count: int, keys: tuple[str, ...]) -> dict[str, float]:
    """Milliseconds of a sample, and seconds of all with what the script itself needs."""
    from playwright.sync_api import sync_playwright

    shown, kept = [], []
    options = ["--no-sandbox"] if os.getuid() == 0 else []
    with Running(folder) as server, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=options)
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.set_default_timeout(60_000)
        page.goto(f"http://127.0.0.1:{server.port}/?token={server.headers['Cookie'].partition('=')[2]}")
        page.wait_for_selector(".tile img[src]")
        page.keyboard.press("Enter")
        page.wait_for_function("() => document.querySelector('#sample-name').textContent === '000000'")
        page.evaluate(WATCH)
        begun = time.perf_counter()
        for number in range(count):
            for key in keys:
                page.keyboard.press("Space" if key == " " else key)
            if number < count - 1:
                page.wait_for_function("() => window.shown")
                shown.append(page.evaluate("() => window.shown - window.pressed"))
            page.wait_for_function("() => window.kept || document.querySelector('#saving').textContent === 'Saved'")
            if saved := page.evaluate("() => window.kept && window.kept - window.pressed"):
                kept.append(saved)
        took = time.perf_counter() - begun
        browser.close()
    last = in_effect(folder)
    assert sum(action.verdict == "accepted" for action in last.values()) == count
    assert sum(action.mask is not None for action in last.values()) == (count if len(keys) > 1 else 0)
    return {"shown": statistics.median(shown), "shown p95": float(np.quantile(shown, 0.95)), "saved": statistics.median(kept), "all": took}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = {}
    for kind, keys in KEYS.items():
        with tempfile.TemporaryDirectory() as scratch:
            write_set(folder := Path(scratch) / "set", given.samples, given.side)
            found[kind] = one = measure(folder, given.samples, keys)
        times = f"next shown after {one['shown']:.0f} ms (95 %: {one['shown p95']:.0f}), saved after {one['saved']:.0f} ms"
        print(f"{kind}: {times}; {given.samples} samples in {one['all']:.1f} s, the script's own time included", flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
