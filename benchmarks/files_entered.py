"""Lists the files of seediff that a command enters, in the order of their first entry, and how often the command climbs.

    python benchmarks/files_entered.py TREE generate        # or segment, train; TREE is a checkout of this repository

A climb is a call from a module into a lower layer of the table in docs/architecture.md. The module may not import that layer, so it can
only call a function that was passed to it. Each pair of modules counts once. A turn is a step from one new file to the next that leads to
a lower layer. Tracing stops at the first label map on the disk for `generate` and `segment`, and at the end of `train`. Code that runs
during an import does not count.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from itertools import pairwise
from pathlib import Path
from types import FrameType

DRAW = "generate --classes dog --per-class 1 --steps 1 --device cpu --quiet --out pets"
TRAIN = "train pets --backbone tiny --weights scratch --steps 1 --batch-size 1 --device cpu --quiet --out segmenter"
COMMANDS = {
    "generate": ([], DRAW, "pets/masks"),
    "segment": ([DRAW], "segment pets/images --device cpu --quiet --out segments", "segments/labels"),
    "train": ([DRAW], TRAIN, "segmenter/none"),
}
"""Command → (commands to run before it, its line, the folder whose first PNG file ends the trace)."""


class Trace:
    """Records which files below `source` are entered, and the calls between them, until the folder `until` has a PNG file."""

    def __init__(self, source: Path, until: Path) -> None:
        self.source, self.until = f"{source}/", until
        self.files: dict[str, str] = {}
        """File → the file that first called it."""
        self.calls: set[tuple[str, str]] = set()
        self.ended = False

    def file(self, frame: FrameType) -> str:
        name = frame.f_code.co_filename
        return name.removeprefix(self.source) if name.startswith(self.source) else ""

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if self.ended or event not in ("call", "return") or not (callee := self.file(frame)):
            return
        if event == "return":
            self.ended = callee.startswith("files/") and any(self.until.glob("*.png"))
            return
        stack, above = [], frame.f_back
        while above:
            if name := self.file(above):
                stack.append((name, above.f_code.co_name))
            above = above.f_back
        if frame.f_code.co_name == "<module>" or any(function == "<module>" for _, function in stack):
            return
        caller = stack[0][0] if stack else ""
        self.files.setdefault(callee, caller)
        self.calls.add((caller, callee))


def main(tree: Path, command: str) -> None:
    source = (tree / "src/seediff").resolve()
    layers = re.findall(r"^\| `(\w+)` \|", (tree / "docs/architecture.md").read_text(encoding="utf-8"), re.MULTILINE)
    sys.path.insert(0, str(source.parent))
    from seediff.cli import main as seediff

    before, line, until = COMMANDS[command]
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        for other in before:
            seediff(other.split())
        trace = Trace(source, Path(work) / until)
        threading.setprofile(trace)
        sys.setprofile(trace)
        seediff(line.split())
        sys.setprofile(None)
    rank = {file: (*layers, *re.split(r"[/.]", file)).index(re.split(r"[/.]", file)[0]) for file in trace.files}
    print(*(f"{file:36}{caller}" for file, caller in trace.files.items()), sep="\n")
    climbs = sorted((a, b) for a, b in trace.calls if a and rank[a] < rank[b])
    print(*(f"climb: {a} → {b}" for a, b in climbs), sep="\n")
    turns = sum(rank[a] < rank[b] for a, b in pairwise(trace.files))
    print(f"{command}: {len(trace.files)} files, {len(climbs)} climbs, {turns} turns")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
