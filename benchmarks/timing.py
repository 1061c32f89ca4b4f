"""Shared parts of the speed benchmarks. Alternative ways run in turn, so that a busy machine slows all of them alike.

Times are medians; a ratio is the median of the ratios within a round, with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

MIB = 2**20
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "process": time.process_time}


def parser(doc: str | None, **defaults: Any) -> argparse.ArgumentParser:
    """A parser of the options that all speed benchmarks share. defaults: other defaults for these options."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--device", default="cpu")
    made.add_argument("--threads", type=int, help="PyTorch's threads (default: its own choice)")
    made.add_argument("--rounds", type=int, default=7)
    made.add_argument(
        "--clock", choices=list(CLOCKS), default="wall", help="process: CPU time, for a machine that is busy otherwise"
    )
    made.add_argument("--json", type=Path, help="write the figures here too")
    made.set_defaults(**defaults)
    return made


def synchronize(device: str | torch.device) -> None:
    """Wait until the device has finished the work that this thread gave it."""
    kind = str(device)
    if kind.startswith("cuda"):
        torch.cuda.current_stream(device).synchronize()
    elif kind.startswith("mps"):
        torch.mps.synchronize()


def ratio(slow: list[float], fast: list[float]) -> dict[str, float]:
    """Median, least and greatest of the ratios within a round."""
    ratios = [a / b for a, b in zip(slow, fast, strict=True)]
    return {"ratio": statistics.median(ratios), "least": min(ratios), "greatest": max(ratios)}


@dataclass
class Session:
    """Measures on one device. report: title → figures, for --json."""

    device: torch.device
    clock: Callable[[], float]
    rounds: int
    report: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def begin(cls, given: argparse.Namespace) -> Session:
        if given.threads:
            torch.set_num_threads(given.threads)
        torch.manual_seed(0)
        session = cls(torch.device(given.device), CLOCKS[given.clock], given.rounds)
        name = torch.cuda.get_device_name(session.device) if session.device.type == "cuda" else given.device
        session.report = {
            "device": name,
            "threads": torch.get_num_threads(),
            "clock": given.clock,
            "torch": torch.__version__,
        }
        print(", ".join(f"{key} {value}" for key, value in session.report.items()), flush=True)
        return session

    def end(self, given: argparse.Namespace) -> None:
        if given.json:
            given.json.write_text(json.dumps(self.report, indent=1) + "\n", encoding="utf-8")

    def seconds(self, run: Callable[[], object]) -> float:
        synchronize(self.device)
        start = self.clock()
        run()
        synchronize(self.device)
        return self.clock() - start

    def interleave(self, ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
        """Way → seconds of each of its runs. Each round begins with the next way."""
        times: dict[str, list[float]] = {name: [] for name in ways}
        names = list(ways)
        for turn in range(rounds):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                times[name].append(self.seconds(ways[name]))
        return times

    def compare(
        self,
        title: str,
        ways: Mapping[str, Callable[[], object]],
        against: str,
        *,
        rounds: int = 0,
        floor_s: float | None = None,
        scale: Mapping[str, float] | None = None,
        **more: Any,
    ) -> None:
        """Print and record a line per way, with its ratio to the way `against`. scale: factors for ways that do only
        part of the work.
        """
        times = self.interleave(ways, rounds or self.rounds)
        for name, factor in (scale or {}).items():
            times[name] = [factor * value for value in times[name]]
        row: dict[str, Any] = {
            name: {"median_s": statistics.median(t), **ratio(t, times[against])} for name, t in times.items()
        }
        self.report[title] = {**row, "floor_s": floor_s, **more}
        print(title + "".join(f", {name} {value:.3g}" for name, value in more.items()))
        for name, figures in row.items():
            spread = f"[{figures['least']:.2f}–{figures['greatest']:.2f}]"
            print(f"  {name:28} {1e3 * figures['median_s']:10.2f} ms {figures['ratio']:8.2f} × {against} {spread}")
        if floor_s is not None:
            print(f"  {'floor':28} {1e3 * floor_s:10.2f} ms", flush=True)

    def bandwidth(self) -> float:
        """Bytes per second of the fastest of several copies of 256 MiB, counting both bytes read and bytes written."""
        source = torch.ones(256 * MIB // 4, device=self.device)
        target = torch.empty_like(source)
        return 512 * MIB / min(self.seconds(lambda: target.copy_(source)) for _ in range(7))

    def product_speed(self) -> float:
        """Operations per second of the fastest of several float32 products of 1024² matrices."""
        square = torch.rand(1024, 1024, device=self.device)
        return 2 * 1024**3 / min(self.seconds(lambda: square @ square) for _ in range(9))

    def peak_mib(self, run: Callable[[], object]) -> float:
        """Peak MiB during `run` above what was held before, from CUDA's allocator or the Linux kernel; NaN
        elsewhere.
        """
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
            run()
            return (torch.cuda.max_memory_allocated(self.device) - before) / MIB
        status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
        if self.device.type != "cpu" or not reset.exists():
            return float("nan")

        def held(name: str) -> float:
            return (
                next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(name)) / 1024
            )

        ctypes.CDLL(None).malloc_trim(0)  # otherwise freed memory that the allocator kept would hide what `run` takes
        before = held("VmRSS")
        reset.write_text("5")  # resets the peak
        run()
        return held("VmHWM") - before
