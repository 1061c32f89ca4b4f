"""Cases that may go wrong, drawn by hypothesis: a command, and one to three changes of its valid inputs, its options or its surroundings.

What hypothesis draws it can also make smaller, so that a fault is shown with the least that makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from hypothesis import strategies as st

from .cases import Case, Edit
from .commands import Command, options
from .damage import Draw, content

ARGUMENTS = {
    "int": ("", "-1", "0", "1", "2", "x", "1.5", "nan", "inf", "1e5", "0x10", "١", "-9223372036854775809", "9" * 5000, " 3", "--", "+1"),
    "huge": ("9223372036854775808", "18446744073709551616", "4294967296", "2147483648"),
    "float": ("", "-1", "0", "1", "0.5", "2", "x", "nan", "-nan", "inf", "-inf", "1e999", "1e-320", "-0.0", "0x10", "9" * 5000, "1,5", "½"),
    "text": (
        *("", " ", ",", ",,,", "dog", "dog,dog", "background", "a,b,c,d", "\x1b[2J", "a\nb", "é", "\udcff", "x" * 70_000),
        *("nan,nan", "0.5,0.6", "0.6,0.5", "1,2,3", "inf,inf", "-1,-1", "0,0", "1e999,1", "0:0", "3:1", "-3:1", "all", "truth"),
        *("flip:50%", "flip:-1", "noise:nan%", "x:y", "dog:", "flip+flip:1", ":", "{class}", "{", "{}", "{class.__class__}"),
        *("{class!r:>99}", "%s", "s3://", "../..", "/", "/dev/null"),
    ),
    "path": (
        *("", " ", ".", "/dev/null", "/nonexistent/x", "x" * 300, "x/" * 3000, "\x1b[31m", "a\nb", "\udcff", "-", "~nobody-here/x", "con"),
        *("{work}/new", "{work}/a/b/c", "{case}/secret/folder"),
    ),
    "out": (
        *("{work}/out", "file://{work}/x", "s3://", "memory://x", "http://127.0.0.1:9/x", "ftp://127.0.0.1/x", "", " ", ".", "{work}"),
        "{work}/a\nb",
    ),
}
"""What is given for an option, by its kind."""
UNLIMITED = (
    *("--steps", "--per-class", "--epochs", "--draws", "--finetune-steps", "--size", "--side", "--scales", "--rounds", "--tau"),
    "--attempts",
)
"""Options whose large values are work that was asked for."""

LINKS = (
    *("{case}/secret", "{case}/secret/key", "{case}/secret/picture.png", "{case}/secret/folder", "{case}/secret/planted", "{case}/in"),
    *("../../secret/key", "/dev/zero", "/dev/full", "/dev/null", "/nonexistent/x", ".", "..", "loop"),
)
PLANTED = (
    *("out", "out.part", ".out.part", "out~", ".out.lock", "out.tmp", ".out.seediff"),
    *(f"out/{name}" for name in ("images", "masks", "metadata.jsonl.part", "classes.txt", ".lock", ".batches", "orphans")),
)
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
    *("checkpoint.safetensors.part", "training.json.part", "labels", "overlays", "images", "masks", "soft", "attention", "steps"),
    *("preview.html", "failed.jsonl", "rejected.jsonl", "scores.json", "segments.json", "losses.csv", "curves.png", "annotations"),
    *("classes.txt", "metadata.jsonl", ".batches"),
)
"""Names that a program may write to in a folder that it is given."""
ODD_NAMES = (
    *("a\nb", "\x1b[31mred", "\udcff", "..", " ", "-", "x" * 200, "é", "e\u0301", "a,b", "con", "'; rm x", "<b>", "a\\b", "\u202etxt"),
    "%s",
)


@lru_cache(maxsize=256)
def listing(valid: Path, inputs: tuple[str, ...]) -> dict[str, list[str]]:
    """Suffix → the files of these inputs below `valid`. Pictures are many, lists are few, and lists are believed more."""
    found: dict[str, list[str]] = {}
    for name in inputs:
        for path in sorted((valid / name).rglob("*")):
            if path.is_file():
                found.setdefault(path.suffix, []).append(str(path.relative_to(valid)))
    return found


def edits(draw: Draw, valid: Path, inputs: tuple[str, ...]) -> list[Edit]:
    """One change of a case whose inputs are copies of those in `valid`."""
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


def words(draw: Draw, command: Command) -> list[str]:
    """An option besides, with a value that may be any; or another `--out`."""
    option = draw(st.sampled_from(options(command.path)))
    if option.kind == "flag":
        return [option.name]
    if option.kind == "choice":
        return [option.name, draw(st.sampled_from((*option.choices, "", "x")))]
    kind = "out" if option.name == "--out" else option.kind
    given = [*ARGUMENTS[kind], *(ARGUMENTS["huge"] if kind == "int" and option.name not in UNLIMITED else ())]
    given += [f"{{{name}}}" for name in command.inputs] * (kind == "path")
    return [option.name, draw(st.sampled_from(given))]


@st.composite
def cases(draw: Draw, commands: Sequence[Command], valid: Path) -> Case:
    """valid: the folder of the inputs."""
    command = draw(st.sampled_from(commands))
    way = draw(st.sampled_from(("input",) * 8 + ("options", "around")))
    around = draw(st.sampled_from(("full stdout", "closed stdout", "ascii stdout", "small disk"))) if way == "around" else ""
    more = [word for _ in range(draw(st.integers(1, 2))) for word in words(draw, command)] if way == "options" else []
    count = draw(st.sampled_from((1, 1, 1, 2, 3))) if way == "input" else draw(st.integers(0, 1))
    changes = [edit for _ in range(count) for edit in edits(draw, valid, command.inputs)]
    return Case(command.key, edits=tuple(changes), words=tuple(more), around=around)
