"""Lists the files of seediff that a use of it enters, in the order of their first entry, and counts the imported ones.

    python benchmarks/files_entered.py TREE generate        # or segment, capture; TREE is a checkout of this repository

`capture` is `seediff.capture(pipe)` around one call of a pipeline without a folder, then a heat map and a mask of a
word. A climb is a call from a module into a lower layer of the table in docs/architecture.md; each pair of modules
counts once. A stop is a function that another file calls; stops of checking and of drawing (or looking) are counted
apart, each below the functions that begin them. Tracing ends at the first label map on the disk. Code that runs during
an import does not count.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from pathlib import Path
from types import FrameType

DRAW = "generate --classes dog --per-class 1 --steps 1 --device cpu --quiet --out pets"
COMMANDS = {
    "generate": ([], DRAW, "pets/masks"),
    "segment": ([DRAW], "segment pets/images --device cpu --quiet --out segments", "segments/labels"),
}
"""Command → (commands to run before it, its line, the folder whose first PNG file ends the trace)."""
CHECKING = {"check", "use", "model_draw", "check_inputs", "plan_pipeline", "kept", "find_network", "check_processors"}
DRAWING = {"draw_batch", "make_segments", "pipeline"}
"""The functions that begin a part, also in trees of November 2026. `pipeline` is that of the capture here."""
OTHER = {"load_model"}
"""Neither checking nor drawing."""


class Trace:
    """Records the files below `source` that are entered, and the calls between them, until `until` has a PNG file."""

    def __init__(self, source: Path, until: Path) -> None:
        self.source, self.until = f"{source}/", until
        self.files: dict[str, str] = {}
        """File → the file that first called it."""
        self.calls: set[tuple[str, str]] = set()
        self.stops: dict[str, set[tuple[str, str]]] = {"checking": set(), "drawing": set()}
        """Part → (file, function) of its stops."""
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
        stack, functions, above = [], {frame.f_code.co_name}, frame.f_back
        while above:
            functions.add(above.f_code.co_name)
            if name := self.file(above):
                stack.append((name, above.f_code.co_name))
            above = above.f_back
        if frame.f_code.co_name == "<module>" or any(function == "<module>" for _, function in stack):
            return
        caller = stack[0][0] if stack else ""
        for part, begins in (("drawing", DRAWING), ("checking", CHECKING)):
            if functions & begins and not functions & OTHER and caller != callee:
                self.stops[part].add((callee, frame.f_code.co_name))
                break
        self.files.setdefault(callee, caller)
        self.calls.add((caller, callee))

    def run(self, start: object, *arguments: object) -> None:
        threading.setprofile(self)
        sys.setprofile(self)
        start(*arguments)  # type: ignore[operator]
        sys.setprofile(None)


def capture(source: Path) -> object:
    """A function that captures one drawing of a pipeline without a folder."""
    import torch
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(str(source / "models/mini/weights"), dtype=torch.float32)
    pipe = StableDiffusionPipeline(**pipe.components)

    def pipeline() -> None:
        pipe("a photo of a dog", num_inference_steps=1, height=128, width=128)

    def script() -> None:
        import seediff

        with seediff.capture(pipe) as seen:
            pipeline()
        seen.heatmap("dog")
        seen.masks("dog")

    return script


def main(tree: Path, case: str) -> None:
    source = (tree / "src/seediff").resolve()
    layers = re.findall(r"^\| `(\w+)` \|", (tree / "docs/architecture.md").read_text(encoding="utf-8"), re.MULTILINE)
    sys.path.insert(0, str(source.parent))
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        before, line, until = COMMANDS.get(case, ([], "", "none"))
        trace = Trace(source, Path(work) / until)
        if case == "capture":
            trace.run(capture(source))
        else:
            for other in before:
                os.system(f"{sys.executable} -m seediff {other}")
            from seediff.cli.main import main as seediff

            trace.run(seediff, line.split())
    rank = {file: (*layers, *re.split(r"[/.]", file)).index(re.split(r"[/.]", file)[0]) for file in trace.files}
    print(*(f"{file:36}{caller}" for file, caller in trace.files.items()), sep="\n")
    climbs = sorted((a, b) for a, b in trace.calls if a and rank[a] < rank[b])
    print(*(f"climb: {a} → {b}" for a, b in climbs), sep="\n")
    imported = sum(name.split(".")[0] == "seediff" for name in sys.modules)
    parts = [
        f"{len(stops)} stops of {part} in {len({file for file, _ in stops})} files"
        for part, stops in trace.stops.items()
    ]
    print(f"{case}: {len(trace.files)} files entered, {imported} imported, {len(climbs)} climbs; {', '.join(parts)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
