"""Cases drawn by hypothesis: a command with one to three changes to its valid inputs, or unusual surroundings and at most one change.

Hypothesis also shrinks what it draws, so that a fault is shown by the smallest case that has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from hypothesis import strategies as st

from .cases import Case, Edit
from .commands import Command
from .damage import Draw, content

LINKS = (
    *("{case}/secret", "{case}/secret/key", "{case}/secret/picture.png", "{case}/secret/folder", "{case}/secret/planted", "{case}/in"),
    *("../../secret/key", "/dev/zero", "/dev/full", "/dev/null", "/nonexistent/x", ".", "..", "loop"),
)
PLANTED = (
    *("out", "out.part", ".out.part", "out~", ".out.lock", "out.tmp", ".out.seediff"),
    *(f"out/{name}" for name in ("images", "masks", "metadata.jsonl.part", "classes.txt", ".lock", ".batches", "orphans")),
)
INSIDE = (
    *(f"{name}.part" for name in ("metadata.jsonl", "classes.txt", "preview.html", "seediff.toml", "README.md", "training.json")),
    *("checkpoint.safetensors.part", ".lock", "orphans", ".batches", "labels", "overlays", "images", "masks", "soft", "attention", "steps"),
    *("preview.html", "failed.jsonl", "rejected.jsonl", "scores.json", "segments.json", "losses.csv", "curves.png", "annotations"),
    *("classes.txt", "metadata.jsonl"),
)
"""Names that a command may write in a folder that it is given."""
ODD_NAMES = (
    *("a\nb", "\x1b[31mred", "\udcff", "..", " ", "-", "x" * 200, "é", "e\u0301", "a,b", "con", "'; rm x", "<b>", "a\\b", "\u202etxt"),
    "%s",
)


@lru_cache(maxsize=256)
def listing(valid: Path, inputs: tuple[str, ...]) -> dict[str, list[str]]:
    """Suffix → the files of these inputs below `valid`. A suffix is drawn first, because lists are few, but trusted more than pictures."""
    found: dict[str, list[str]] = {}
    for name in inputs:
        for path in sorted((valid / name).rglob("*")):
            if path.is_file():
                found.setdefault(path.suffix, []).append(str(path.relative_to(valid)))
    return found


def edits(draw: Draw, valid: Path, inputs: tuple[str, ...]) -> list[Edit]:
    """One change to a case whose inputs are copies of those in `valid`, as one or two edits."""
    way = draw(st.sampled_from(("content",) * 7 + ("kind", "place", "plant")))
    files = listing(valid, inputs)
    if way == "plant" or not files:
        kind = draw(st.sampled_from(("link", "link", "link", "fifo", "folder", "write")))
        spots = [f"work/{name}" for name in PLANTED] + [f"in/{name}/{spot}" for name in inputs for spot in INSIDE]
        return [Edit(kind, draw(st.sampled_from(spots)), b"12345" * (kind == "write"), draw(st.sampled_from(LINKS[:5])) * (kind == "link"))]
    file = Path(draw(st.sampled_from(files[draw(st.sampled_from(sorted(files)))])))
    path = f"in/{file}"
    if way == "content":
        return [Edit("write", path, content(draw, file.suffix, (valid / file).read_bytes()))]
    if way == "kind":
        kind = draw(st.sampled_from(("fifo", "link", "link", "folder", "socket", "sparse", "remove", "rename", "copy")))
        names = (str(file.with_name(draw(st.sampled_from(ODD_NAMES)) + file.suffix)), f"{file}.txt", str(file.with_suffix(".x")))
        to = {"link": draw(st.sampled_from(LINKS)), "rename": f"in/{draw(st.sampled_from(names))}"}
        to["copy"] = to["rename"]
        return [Edit(kind, path, to=to.get(kind, ""), size=draw(st.sampled_from((10**9, 2**33, 2**40))) * (kind == "sparse"))]
    folder = f"in/{draw(st.sampled_from([one for one in file.parents if str(one) != '.'] or [file]))}"
    kind = draw(st.sampled_from(("remove", "link", "write", "fifo", "rename")))
    if kind == "rename":
        return [Edit("rename", folder, to=f"{folder}-moved"), Edit("link", folder, to=f"{{case}}/{folder}-moved")]
    return [Edit(kind, folder, to=draw(st.sampled_from(LINKS)) * (kind == "link"))]


@st.composite
def cases(draw: Draw, commands: Sequence[Command], valid: Path) -> Case:
    """Draws a case. valid: the folder of valid inputs."""
    command = draw(st.sampled_from(commands))
    around = draw(st.sampled_from(("",) * 9 + ("full stdout", "closed stdout", "ascii stdout", "small disk")))
    count = draw(st.integers(0, 1)) if around else draw(st.sampled_from((1, 1, 1, 2, 3)))
    return Case(command.key, edits=tuple(edit for _ in range(count) for edit in edits(draw, valid, command.inputs)), around=around)
