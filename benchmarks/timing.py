"""Shared parts of the speed benchmarks. Alternative ways run in turn, so that a busy machine slows all of them alike.

Times are medians; a ratio is the median of the ratios within a round, with the smallest and the largest.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

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

    def interleave(self, ways: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
        """Way → seconds of each of its runs. Each round begins with the next way."""
        times: dict[str, list[float]] = {name: [] for name in ways}
        names = list(ways)
        for turn in range(self.rounds):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                times[name].append(self.seconds(ways[name]))
        return times

    def compare(self, title: str, ways: Mapping[str, Callable[[], object]], against: str, **more: Any) -> None:
        """Print and record a line per way, with its ratio to the way `against`."""
        times = self.interleave(ways)
        row: dict[str, Any] = {}
        for name, seconds in times.items():
            row[name] = {"median_s": statistics.median(seconds), **ratio(seconds, times[against])}
        self.report[title] = {**row, **more}
        print(title + "".join(f", {name} {value:.3g}" for name, value in more.items()))
        for name, figures in row.items():
            spread = f"[{figures['least']:.2f}–{figures['greatest']:.2f}]"
            print(f"  {name:28} {1e3 * figures['median_s']:10.2f} ms {figures['ratio']:8.2f} × {against} {spread}")
