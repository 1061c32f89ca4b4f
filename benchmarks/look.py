"""How long `seediff look` takes to show a set, how much memory its server has, and how fast a mask follows α and β.

    python benchmarks/look.py --json look.json                    # 12, 1,000 and 100,000 samples; 512² and 1024²
    python benchmarks/look.py --samples 12 --sides 512 --tries 10

A set of many samples is a thousand folders that are links to one. Maps are random and of the shape of Stable Diffusion's at 512² and of
SDXL's at 1024². Times are those of a request to a server of its own, answer and all; the first grid is a page of 40 names and thumbnails.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seediff.attention.maps import AttentionMaps
from seediff.config.constants import MaskConfig
from seediff.config.generate import GenerateConfig
from seediff.dataset import native

CLASSES = ("dog", "cat", "bus")
LEVELS = {512: (64, (1, 2, 4)), 1024: (128, (2, 4))}
"""Side of the picture → side of L, and the levels whose attention there is."""
GRID = 40
"""Samples that a window shows at first."""


def write_many(out: Path, count: int) -> None:
    """A set of `count` samples of 64², of which a hundred differ."""
    different = min(100, count)
    for kind in (native.IMAGES, native.MASKS):
        (out / kind / "all").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(different):
        image = rng.integers(60, 220, (64, 64, 3)).astype(np.uint8)
        labels = np.pad(np.full((20, 30), number % 3 + 1, np.uint8), ((10, 34), (10, 24)))
        (out / f"images/all/{number:02d}.png").write_bytes(native.encode_image(image, "png"))
        (out / f"masks/all/{number:02d}.png").write_bytes(native.encode_mask(labels))
    rows = []
    for index in range(count):
        folder, number = divmod(index, different)
        if number == 0:
            for kind in (native.IMAGES, native.MASKS):
                (out / kind / f"{folder:04d}").symlink_to("all")
        name, class_ = f"{folder:04d}/{number:02d}", CLASSES[number % 3]
        about = {"prompt": f"a photo of a {class_}", "classes": [class_], "class_ids": [number % 3 + 1], "area": {class_: 0.146484}}
        rows.append({"file_name": f"images/{name}.png", "mask": f"masks/{name}.png", **about, "flags": [], "seed": index})
    (out / native.CLASSES).write_bytes(native.classes_text(CLASSES))
    (out / native.METADATA).write_bytes(native.jsonl(rows))


def write_one(out: Path, side: int) -> None:
    """A set of one picture, and attention of random values."""
    latent, levels = LEVELS[side]
    generator = torch.Generator().manual_seed(0)
    selves, crosses = {}, {}
    for level in levels:
        grid = latent // level, latent // level
        selves[grid] = torch.rand(grid[0] * grid[1], grid[0] * grid[1], generator=generator)
        crosses[grid] = torch.rand(grid[0] * grid[1], 77, generator=generator)
    maps = AttentionMaps(selves, crosses, (latent, latent), {"dog": (5,), "cat": (8,)}, "a photo of a dog and a cat")
    for kind in (native.IMAGES, native.MASKS, native.ATTENTION):
        (out / kind).mkdir(parents=True)
    image = np.random.default_rng(0).integers(0, 255, (side, side, 3)).astype(np.uint8)
    (out / "images/0.png").write_bytes(native.encode_image(image, "png"))
    (out / "masks/0.png").write_bytes(native.encode_mask(np.zeros((side, side), np.uint8)))
    maps.save(out / native.ATTENTION / "0.safetensors")
    config = GenerateConfig(classes=CLASSES, mask=MaskConfig(expand_levels=tuple(sorted(levels, reverse=True))))
    (out / native.CONFIG).write_text(config.to_toml(), encoding="utf-8")
    row = {"file_name": "images/0.png", "mask": "masks/0.png", "prompt": maps.prompt, "classes": ["dog", "cat"], "class_ids": [1, 2]}
    (out / native.CLASSES).write_bytes(native.classes_text(CLASSES))
    (out / native.METADATA).write_bytes(native.jsonl([row]))


class Running:
    """`seediff look` on a set in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.begun = time.perf_counter()
        command = [sys.executable, "-m", "seediff", "look", str(folder), "--no-browser"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.search(r":(\d+)/\?token=(\S+)", self.process.stdout.readline())
        assert found
        self.listening = time.perf_counter() - self.begun
        self.port, self.headers = int(found[1]), {"Cookie": f"seediff_look_{found[1]}={found[2]}", "Origin": f"http://127.0.0.1:{found[1]}"}

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()

    def ask(self, path: str, body: dict[str, Any] | None = None) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("POST" if body is not None else "GET", path, json.dumps(body) if body is not None else None, self.headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        assert answer.status == 200, data
        return data

    def megabytes(self) -> float:
        """Memory of the server, in MB."""
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text())[1]) * 1024 / 1e6  # type: ignore[index]


def first_grid(folder: Path) -> dict[str, float]:
    """Seconds from the command to an address, and to all that the first window shows; memory by then."""
    with Running(folder) as server:
        for path in ("/", "/static/main.js", "/api/set"):
            server.ask(path)
        view = json.loads(server.ask("/api/views", {}))["view"]
        samples = json.loads(server.ask(f"/api/views/{view}?from=0&count=100"))["samples"][:GRID]
        with ThreadPoolExecutor(6) as pool:  # as many as a browser asks at once
            list(pool.map(server.ask, [f"/api/samples/{one['index']}/thumb" for one in samples]))
        grid = time.perf_counter() - server.begun
        begun = time.perf_counter()
        server.ask("/api/views", {"text": "cat", "classes": [2], "sort": "area"})
        return {"listening": server.listening, "grid": grid, "filter": time.perf_counter() - begun, "MB": server.megabytes()}


def drag(folder: Path, tries: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a request for the label map with another β, and another α: without PAMR, with it as it is while α is dragged, and
    on the whole picture; and for where a pixel attends."""
    found = {}
    with Running(folder) as server:

        def tuned(alpha: float = 0.5, beta: float = 0.3, pamr: bool = True, fast: int = 0) -> float:
            begun = time.perf_counter()
            server.ask(f"/api/samples/0/tuned?alpha={alpha}&beta={beta}&pamr={str(pamr).lower()}&method=seediff&fast={fast}")
            return (time.perf_counter() - begun) * 1e3

        server.ask("/api/samples/0/attention")
        first = tuned()
        values = [round(0.2 + 0.6 * i / tries, 4) for i in range(tries)]
        kinds = {
            "β": [tuned(beta=value) for value in values],
            "α, PAMR off": [tuned(alpha=value, pamr=False) for value in values],
            "α, dragged": [tuned(alpha=value, fast=1) for value in values],
            "α, at rest": [tuned(alpha=value) for value in values],
            "pixel": [_timed(server, f"/api/samples/0/attends?x={int(value * 500)}&y={int(value * 400)}") for value in values],
        }
        for kind, times in kinds.items():
            found[kind] = {"median": statistics.median(times), "p95": float(np.quantile(times, 0.95))}
        found["first"] = {"median": first, "p95": first}
        found["MB"] = {"median": server.megabytes(), "p95": server.megabytes()}
    return found


def _timed(server: Running, path: str) -> float:
    begun = time.perf_counter()
    server.ask(path)
    return (time.perf_counter() - begun) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="*", default=[12, 1000, 100_000])
    parser.add_argument("--sides", type=int, nargs="*", default=[512, 1024], choices=sorted(LEVELS))
    parser.add_argument("--tries", type=int, default=40)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, Any] = {"grids": {}, "drags": {}}
    with tempfile.TemporaryDirectory() as scratch:
        for count in given.samples:
            write_many(folder := Path(scratch) / f"many{count}", count)
            found["grids"][str(count)] = one = first_grid(folder)
            times = f"address after {one['listening']:.2f} s, grid after {one['grid']:.2f} s"
            print(f"{count:>7} samples: {times}, filter {one['filter'] * 1e3:.0f} ms, {one['MB']:.0f} MB", flush=True)
        for side in given.sides:
            write_one(folder := Path(scratch) / f"one{side}", side)
            found["drags"][str(side)] = kinds = drag(folder, given.tries)
            for kind, times in kinds.items():
                unit = "MB" if kind == "MB" else "ms"
                print(f"{side}²: {kind:<12} median {times['median']:.0f} {unit}, 95th percentile {times['p95']:.0f} {unit}", flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
