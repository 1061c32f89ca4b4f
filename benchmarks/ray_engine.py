"""What the Ray engine costs: the commanding process a batch, and two workers against one on the embedded model.

    python benchmarks/ray_engine.py driver              # batches that do nothing
    python benchmarks/ray_engine.py scaling --rounds 3  # `generate` with one and with two workers, in turns

`driver` gives the processor seconds of the commanding process a batch, with its Ray threads, and how many batches a second went through.
`scaling` gives images per second from the first batch's end on, so without starting and loading; the bytes of both are compared.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from seediff.config.base import RunConfig
from seediff.config.generate import GenerateConfig
from seediff.dataset import native
from seediff.files.outputs import write_atomic
from seediff.run.cluster import Ray
from seediff.run.generate import generate
from seediff.run.loop import Engine, Job, Local, run
from seediff.run.place import BatchRecord


@dataclass(frozen=True, kw_only=True)
class NothingConfig(RunConfig):
    command: ClassVar[str] = "nothing"
    last_file: ClassVar[str] = "metadata.jsonl"

    items: int = 8


class NothingJob(Job[NothingConfig, int, Sequence[int]]):
    """Batches whose records are as large as those of `generate` and whose files are not written."""

    on_device = False

    def __init__(self, config: NothingConfig) -> None:
        super().__init__(config, [native.IMAGES])

    def items(self) -> Sequence[int]:
        return range(self.config.items)

    def describe(self, batch: Sequence[int]) -> str:
        return ""

    def capture(self, batch: Sequence[int]) -> Sequence[int]:
        return batch

    def write(self, captured: Sequence[int], out: Path) -> BatchRecord:
        row = {"prompt": "a photo of a dog", "classes": ["dog"], "class_ids": [1], "seed": 2**60, "attempt": 0, "flags": [], "version": "0"}
        rows = [{"file_name": native.image_path(i, "png"), "mask": native.mask_path(i), **row} for i in captured]
        return BatchRecord(rows=rows)

    def finish(self, rows: Sequence[dict[str, Any]], rejected: Sequence[dict[str, Any]], out: Path) -> None:
        write_atomic(out / native.METADATA, native.jsonl(rows))


def driver(batches: int, workers: int) -> None:
    config = NothingConfig(items=8 * batches)
    engines: dict[str, Engine] = {"this process": Local(), f"ray, {workers} workers": Ray(workers)}
    for name, engine in engines.items():
        begun: list[float] = []
        ended: list[float] = []

        def progress(done: int, total: int, what: str, begun: list[float] = begun, ended: list[float] = ended) -> None:
            if done and not begun:
                begun[:] = [done, time.process_time(), time.perf_counter()]
            if what == "finishing":
                ended[:] = [done, time.process_time(), time.perf_counter()]

        with tempfile.TemporaryDirectory() as folder:
            run(NothingJob(config), Path(folder) / "out", engine=engine, progress=progress)
        done, processor, wall = ((b - a) for a, b in zip(begun, ended, strict=True))
        done /= 8
        print(f"{name}: {done:.0f} batches, {1000 * processor / done:.2f} ms of processor a batch, {done / wall:.0f} batches/s", flush=True)


def scaling(rounds: int, per_class: int, steps: int) -> None:
    config = GenerateConfig(classes=("dog", "car"), per_class=per_class, batch_size=4, steps=steps, device="cpu", threads=1)
    rates: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        generate(config, Path(folder) / "out")
        alone = checksums(Path(folder) / "out")
    different = set()
    for turn in range(rounds):
        for workers in (1, 2) if turn % 2 == 0 else (2, 1):
            seen: list[tuple[int, float]] = []

            def progress(done: int, total: int, what: str, seen: list[tuple[int, float]] = seen) -> None:
                if done and (not seen or done > seen[-1][0]):
                    seen.append((done, time.perf_counter()))

            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "out"
                generate(config, out, engine=Ray(workers), progress=progress)
                different |= {name for name, _ in alone.items() ^ checksums(out).items()}
            rates[workers].append((seen[-1][0] - seen[0][0]) / (seen[-1][1] - seen[0][1]))
            print(f"{workers} workers: {rates[workers][-1]:.2f} images/s", flush=True)
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    print(f"2 against 1: median {statistics.median(ratios):.2f} of {sorted(round(r, 2) for r in ratios)}")
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print(f"files that differ from those of one process without Ray: {sorted(different) or 'none'}")


def checksums(out: Path) -> dict[str, str]:
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in out.rglob("*") if path.is_file()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["driver", "scaling"])
    parser.add_argument("--batches", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--per-class", type=int, default=16)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    if options.what == "driver":
        driver(options.batches, options.workers)
    else:
        scaling(options.rounds, options.per_class, options.steps)
