"""Counts the functions that a value passes from the command line to its use, and how often a model is looked up.

    python benchmarks/values_seen.py TREE          # a checkout of this repository; draws one picture with mini
    python benchmarks/values_seen.py TREE beta     # also lists the functions

A function of seediff **sees** a value if one of its arguments or locals is the value (equal and of its type), when it
returns or is left by an error. It sees it **in a table** if a dict, list or tuple among them holds it, up to three
levels deep, and **in an object** if an instance's attributes do, such as a configuration's. Functions inside of a
function do not count. The way ends where the value is first used:

    guidance_scale   the pipeline's call begins
    beta             label_pixels begins, which compares the soft masks with it
    classes          locate_columns begins, which finds the columns of their words

Functions that are entered later, as those of reports, have other uses and do not count; those that are entered and not
yet left when the use begins do. Looking up is counted over the whole run.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from inspect import CO_NESTED
from pathlib import Path
from types import FrameType
from typing import Any

LINE = (
    "generate --classes dog,cat --per-class 1 --classes-per-image 2 --steps 1 --guidance-scale 6.28125 --beta 0.34375"
)
LINE += " --device cpu --quiet --out pets"
VALUES: Mapping[str, Any] = {"guidance_scale": 6.28125, "beta": 0.34375, "classes": ("dog", "cat")}
USES = {
    "guidance_scale": ("pipeline_stable_diffusion.py", "__call__"),
    "beta": ("make_masks.py", "label_pixels"),
    "classes": ("tokens.py", "locate_columns"),
}
"""Value → the file and the function where it is used."""
LOOKING_UP = ("find_source", "model_info", "find_model", "locate_columns")
WAYS = ("itself", "in a table", "in an object")


def holds(found: object, value: object, depth: int = 3) -> int | None:
    """How something holds a value, as an index of WAYS; None: not at all."""
    if type(found) is type(value) and found == value:
        return 0
    if depth and isinstance(found, Mapping):
        inside = list(found.values())
    elif depth and isinstance(found, (list, tuple)):
        inside = list(found)
    elif depth and type(found).__module__.startswith("seediff.") and hasattr(found, "__dict__"):
        return 2 if any(holds(one, value, depth - 1) is not None for one in vars(found).values()) else None
    else:
        return None
    ways = [way for one in inside if (way := holds(one, value, depth - 1)) is not None]
    return max(1, min(ways)) if ways else None


class Seen:
    """A profile function that notes (file, function) → the closest way in which it saw each value."""

    def __init__(self, source: Path) -> None:
        self.source = f"{source}/"
        self.seen: dict[str, dict[tuple[str, str], int]] = {name: {} for name in VALUES}
        self.used: set[str] = set()
        self.calls = Counter[str]()

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call":
            self.calls[code.co_name] += code.co_name in LOOKING_UP and code.co_filename.startswith(self.source)
            for name, use in USES.items():
                if (Path(code.co_filename).name, code.co_name) == use and name not in self.used:
                    self.note([name], frame)
                    above = frame.f_back
                    while above:
                        self.note([name], above)
                        above = above.f_back
                    self.used.add(name)
        elif event == "return":
            self.note([name for name in VALUES if name not in self.used], frame)

    def note(self, names: list[str], frame: FrameType) -> None:
        """Note which of the values a frame sees."""
        code = frame.f_code
        if not code.co_filename.startswith(self.source) or code.co_flags & CO_NESTED or code.co_name == "<module>":
            return
        function = code.co_filename.removeprefix(self.source), f"{code.co_name}, line {code.co_firstlineno}"
        found = [one for local, one in frame.f_locals.items() if local != "__class__"]
        for name in names:
            ways = [way for one in found if (way := holds(one, VALUES[name])) is not None]
            if ways:
                self.seen[name][function] = min(*ways, self.seen[name].get(function, 2))


def main(tree: Path, *shown: str) -> None:
    source = (tree / "src/seediff").resolve()
    sys.path.insert(0, str(source.parent))
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)
        from seediff.cli.main import main as seediff

        seen = Seen(source)
        sys.setprofile(seen)
        seediff(LINE.split())
        sys.setprofile(None)
    for name, functions in seen.seen.items():
        assert name in seen.used, f"{name} was never used"
        for limit, way in enumerate(WAYS):
            upto = [function for function, closest in functions.items() if closest <= limit]
            files = {file for file, _ in upto}
            print(f"{name:15} {'or ' * bool(limit) + way:15}{len(upto):4} functions in {len(files):3} files")
        for (file, function), closest in functions.items() if name in shown else ():
            print(f"    {WAYS[closest]:13} {file}: {function}")
    print(", ".join(f"{name} {seen.calls[name]}" for name in LOOKING_UP))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), *sys.argv[2:])
