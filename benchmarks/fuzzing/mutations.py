"""What is done to valid inputs: a few edits, chosen from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from .binary import FORMATS, any_bytes, damaged_binary, odd_picture
from .edits import Edit
from .structured import damaged_document

TEXT = (".json", ".jsonl", ".toml", ".yaml", ".csv", ".txt", ".xml", ".md", ".html", "")
LINKS = (
    *(
        "{case}/secret",
        "{case}/secret/key",
        "{case}/secret/picture.png",
        "{case}/secret/folder",
        "../../secret/key",
        "/dev/zero",
        "/dev/full",
    ),
    *("/dev/null", "/nonexistent/x", ".", "..", "loop", "{case}/in", "{case}/secret/planted"),
)
PLANTED = ("{path}.part", ".{name}.part", "{path}~", ".{name}.lock", "{path}.tmp", ".{name}.seediff")
INSIDE = (
    *(
        "metadata.jsonl.part",
        "classes.txt.part",
        "preview.html.part",
        "seediff.toml.part",
        "README.md.part",
        ".lock",
        "orphans",
        ".batches",
    ),
    *(
        "checkpoint.safetensors.part",
        "training.json.part",
        "labels",
        "overlays",
        "images",
        "masks",
        "soft",
        "attention",
        "steps",
        "preview.html",
    ),
    *(
        "failed.jsonl",
        "rejected.jsonl",
        "scores.json",
        "segments.json",
        "losses.csv",
        "curves.png",
        "annotations",
        "classes.txt",
        "metadata.jsonl",
    ),
)
"""Names that a program may write to in a folder that it is given."""
ODD_NAMES = (
    "a\nb",
    "\x1b[31mred",
    "\udcff",
    "..",
    " ",
    "-",
    "x" * 200,
    "é",
    "e\u0301",
    "a,b",
    "con",
    "'; rm x",
    "<b>",
    "a\\b",
    "\u202etxt",
    "%s",
)


def listing(folder: Path, inputs: Sequence[str]) -> list[str]:
    """The files of these inputs below `folder`, relative to it."""
    found = []
    for name in inputs:
        base = folder / name
        found += [str(path.relative_to(folder)) for path in ([base] if base.is_file() else sorted(base.rglob("*"))) if path.is_file()]
    return found


def damage(rng: random.Random, seeds: Path, inputs: Sequence[str]) -> list[Edit]:
    """One to three edits of a case whose inputs are copies of `seeds`/NAME in `in/`."""
    files = listing(seeds, inputs)
    count = rng.choice((1, 1, 1, 1, 1, 2, 3))
    return [one for _ in range(count) for one in _change(rng, seeds, inputs, files)]


def _change(rng: random.Random, seeds: Path, inputs: Sequence[str], files: Sequence[str]) -> list[Edit]:
    what = rng.choices(("content", "kind", "place", "name", "plant"), (70, 10, 5, 5, 10))[0]
    if not files or what == "plant":
        return _plant(rng, inputs)
    # A kind of file first, then one of it: pictures are many, lists are few, and lists are believed more.
    suffix = rng.choice(sorted({Path(one).suffix for one in files}))
    file = rng.choice([one for one in files if Path(one).suffix == suffix])
    path = f"in/{file}"
    if what == "content":
        return [Edit("write", path, content(rng, Path(file).suffix, (seeds / file).read_bytes()))]
    if what == "kind":
        kind = rng.choice(("fifo", "link", "link", "link", "folder", "socket", "sparse", "remove"))
        if kind == "link":
            return [Edit("link", path, to=rng.choice(LINKS))]
        return [Edit(kind, path, size=rng.choice((10**9, 2**33, 2**40)) if kind == "sparse" else 0)]
    if what == "place":
        folder = rng.choice([one for one in (Path(file).parent, *Path(file).parent.parents) if str(one) != "."] or [Path(file)])
        kind = rng.choice(("remove", "link", "write", "fifo", "rename"))
        if kind == "rename":
            return [Edit("rename", f"in/{folder}", to=f"in/{folder}-moved"), Edit("link", f"in/{folder}", to=f"{{case}}/in/{folder}-moved")]
        return [Edit(kind, f"in/{folder}", to=rng.choice(LINKS) if kind == "link" else "")]
    other = rng.choice(
        [str(Path(file).with_name(rng.choice(ODD_NAMES) + suffix)), rng.choice(files), f"{file}.txt", str(Path(file).with_suffix(".x"))]
    )
    return [Edit(rng.choice(("rename", "copy")), path, to=f"in/{other}")]


def content(rng: random.Random, suffix: str, data: bytes) -> bytes:
    """Other content for a file of this suffix."""
    if rng.random() < 0.08:
        return rng.choice(
            (any_bytes(data, rng), odd_picture(data, rng), b"\0" * 5_000_000, b"[" * 20_000, b'{"a":' * 20_000, b"x" * 5_000_000)
        )
    if suffix in FORMATS:
        return damaged_binary(suffix, data, rng)
    if suffix in TEXT:
        return damaged_document(suffix, data, rng)
    return any_bytes(data, rng)


def _plant(rng: random.Random, inputs: Sequence[str]) -> list[Edit]:
    """Links and other things at names that a program may write to: in the inputs, and where the output goes."""
    to = rng.choice(("{case}/secret", "{case}/secret/folder", "{case}/secret/key", "{case}/secret/planted", "{case}/secret/folder/planted"))
    kind = rng.choice(("link", "link", "link", "link", "fifo", "folder", "write"))
    if rng.random() < 0.5 or not inputs:
        path = "work/" + rng.choice(PLANTED).format(path="out", name="out")
        if rng.random() < 0.3:
            path = f"work/out/{rng.choice(INSIDE)}" if rng.random() < 0.5 else "work/out"
    else:
        path = f"in/{rng.choice(list(inputs))}/{rng.choice(INSIDE)}"
    return [Edit(kind, path, b"12345" if kind == "write" else b"", to=to if kind == "link" else "")]
