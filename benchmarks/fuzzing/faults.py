"""Decides what is a fault in a case's outcome. A command may accept an input, or refuse it in one line, but it must end soon and change
nothing outside its output."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .cases import Case
from .commands import COMMANDS, Command
from .sandbox import MARKER, Outcome

CONTROLS = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
OWN = re.compile(r"^(seediff: |note: |Warning: )")
SCHEMES = ("s3:", "file:", "memory:", "http:", "ftp:")
PHOTOGRAPHS = ("mask", "segment", "predict", "import", "evaluate", "train")
"""Commands that may follow links to pictures, because a user's photographs, or folders in other programs' layouts, may be links."""
OTHERWISE = "not as expected"
"""An exit code or line that differs from the corpus. It is no fault if the change was intended (`--accept`)."""


@dataclass(frozen=True)
class Finding:
    """A fault. where: what distinguishes it from others of its kind, such as the function that raised. kind:

    fault    a traceback, "a fault of seediff", an unexpected exit code or line
    crash    ended by a signal
    hang     ran longer than the limit
    blow-up  needed more memory than the case may need, or ran out of memory
    outside  wrote, deleted or connected to something outside --out
    leak     bytes from outside in the output
    noise    a refusal that is not exactly one line; messages of other libraries
    escape   control characters on the terminal
    half     half-written or temporary files left
    left     processes or open files left
    unsound  accepted the input, but the output is not sound
    """

    kind: str
    where: str
    text: str


def judge(case: Case, outcome: Outcome, folder: Path) -> list[Finding]:
    """All faults in the outcome of a case."""
    return list(_judge(case, COMMANDS[case.command], outcome, folder))


def line_of(outcome: Outcome, folder: Path) -> str:
    """What a command printed, with CASE for the case's folder and without the random part of temporary names."""
    said = (outcome.stderr.strip() or outcome.stdout.strip()).decode("utf-8", "replace")[:2000].replace(str(folder), "CASE")
    return re.sub(r"[0-9a-f]{16}\.part", "….part", said)


def subject_of(line: str) -> str:
    """The beginning of a refusal, which names its subject, such as a file. The words after it may change."""
    return re.sub(r"^(seediff: [^:,=]*).*", r"\1", line, flags=re.S).rstrip()


def _judge(case: Case, command: Command, outcome: Outcome, folder: Path) -> Iterator[Finding]:
    told, stderr, words = outcome.told, outcome.stderr.decode("utf-8", "replace"), outcome.words
    trace = "\n".join(told.get("faults", ())) or outcome.stacks
    tail = stderr.strip()[-600:]
    if outcome.hung:
        yield Finding("hang", blame(trace), f"{outcome.seconds:.0f} s\n{trace[-1500:]}")
    elif outcome.code < 0:
        yield Finding("crash", f"signal {-outcome.code} {blame(trace)}", trace[-1500:] or tail)
    elif outcome.grown >> 20 > case.memory or "out of memory" in stderr or "MemoryError" in trace:
        yield Finding("blow-up", blame(trace), f"{outcome.grown >> 20} MiB\n{tail}\n{trace[-1500:]}")
    elif outcome.code not in _codes(case):
        yield Finding("fault", blame(trace) or f"exit code {outcome.code}: {anonymous(tail, folder)[-120:]}", f"{tail}\n{trace[-2500:]}")
    elif "Traceback" in stderr or "a fault of seediff" in stderr:
        yield Finding("fault", anonymous(tail, folder)[-120:], tail)
    elif (lines := _noise(outcome, stderr)) and not case.around:
        yield Finding("noise", anonymous(lines, folder)[:100], tail)
    for name, data in (("stdout", outcome.stdout), ("stderr", outcome.stderr)):
        if control := CONTROLS.search(data):
            around = data[max(0, control.start() - 80) : control.start() + 40]
            yield Finding("escape", f"{name} of {command.words[0]}", repr(around))
    yield from _outside(case, command, outcome, folder)
    if not outcome.hung and outcome.code >= 0:
        yield from _half(case, command, outcome)
    if outcome.left:
        yield Finding("left", f"processes of {command.key}", str(outcome.left))
    if told.get("left_open"):
        yield Finding("left", f"open files of {command.key}", str(told["left_open"]))
    if told.get("unsound"):
        yield Finding("unsound", f"{command.key}: {anonymous(str(told['unsound'][0]), folder)[:100]}", "\n".join(told["unsound"]))
    made = {name.removeprefix("work/").removeprefix("cwd/").split("/")[0] for name in outcome.after if name.startswith("work/")}
    for name in sorted(made & set(SCHEMES)):
        yield Finding("outside", f"a folder called {name}", f"{' '.join(words[:6])}")
    if case.code is not None and (outcome.code != case.code or not line_of(outcome, folder).startswith(case.says)):
        wanted = f"exit code {case.code} and: {case.says}"
        yield Finding("fault", OTHERWISE, f"{wanted}\nbut: exit code {outcome.code} and: {line_of(outcome, folder)}")


def _codes(case: Case) -> tuple[int, ...]:
    return (0, 2, 141) if case.around in ("full stdout", "closed stdout") else (0, 2)


def _noise(outcome: Outcome, stderr: str) -> str:
    """The first line of stderr that is not seediff's, or a note that there are too many or too few lines; "" if all is well."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    strange = [line for line in lines if not OWN.match(line)]
    own = [line for line in lines if line.startswith("seediff: ") and not re.search(r"/s, .* left$", line)]
    if strange:
        return strange[0]
    if outcome.code == 2 and len(own) != 1:
        return f"{len(own)} lines of errors"
    return "words on stderr, exit code 0" if outcome.code == 0 and len(own) > 3 else ""


def _outside(case: Case, command: Command, outcome: Outcome, folder: Path) -> Iterator[Finding]:
    words = outcome.words
    for one in outcome.told.get("outside", ()):
        if _named(one, case.words):
            continue
        yield Finding("outside", f"{one.split()[0]} by {command.key}", one)
    changed = changes(outcome)
    in_place = set(command.changes)
    if "--fix" in words or "--in-place" in words:
        in_place |= set(command.inputs)
    # An input that the user names may be a link to the place to which it was moved.
    in_place |= {edit.to.split("/")[1] for edit in case.edits if edit.kind == "rename" and edit.path in {f"in/{name}" for name in in_place}}
    for place in words[-len(case.words) :] if case.words else ():
        if place.startswith(str(folder / "in")):
            in_place.add(os.path.relpath(place, folder / "in").split("/")[0])
    for name, what in changed.items():
        top, _, rest = name.partition("/")
        if top == "secret":
            yield Finding("outside", f"{what} behind a link by {command.key}", name)
        if top == "in" and rest.split("/")[0] not in in_place:
            yield Finding("outside", f"{what} in its input by {command.key}", name)
    may_copy = command.words[0] in PHOTOGRAPHS
    for name in (one for one, what in changed.items() if what != "gone" and not one.startswith(("secret", "tmp"))):
        path = folder / name
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 50_000_000 and MARKER in (data := path.read_bytes()):
            if may_copy and data.count(MARKER) == data.count(MARKER + b"picture"):
                continue
            yield Finding("leak", f"copied by {command.key}", name)
    if MARKER in outcome.stdout:  # stderr may have it: a refusal quotes what it read, at most a line
        yield Finding("leak", f"stdout of {command.key}", outcome.stdout[-300:].decode("utf-8", "replace"))


def _named(refused: str, words: tuple[str, ...]) -> bool:
    """Whether a refused event made a folder above a path in the case's words, or tested writing to one. The user asked for that."""
    event, _, path = refused.partition(" ")
    tried = path if event == "os.mkdir" else os.path.dirname(path) if path.endswith(".part") else None
    return tried in {str(folder) for word in words if word.startswith("/") for folder in Path(word).parents}


def _half(case: Case, command: Command, outcome: Outcome) -> Iterator[Finding]:
    new = [name for name, what in changes(outcome).items() if what == "new" and not name.startswith(("tmp", "secret"))]
    parts = [name for name in new if name.endswith((".part", ".lock", ".tmp", "~")) or "/.seediff-" in name]
    planted = {edit.path for edit in case.edits}
    if parts := [name for name in parts if not any(name.startswith(one) for one in planted)]:
        yield Finding("half", f"{re.sub(r'[0-9a-f]{6,}|[0-9]+', 'N', os.path.basename(parts[0]))} of {command.key}", ", ".join(parts[:5]))
    beside = [name for name in new if re.fullmatch(r"work/[^/]+", name) and name != "work/out" and not name.endswith(".json")]
    if command.appears and outcome.code != 0:
        beside += [name for name in new if name == "work/out"]
    if command.appears and beside and not case.words and "stdout" not in case.around:  # a command prints once its output is complete
        yield Finding("half", f"{'output' if 'work/out' in beside else 'something'} of a failed {command.key}", ", ".join(beside[:5]))


def changes(outcome: Outcome) -> dict[str, str]:
    """Path → `new`, `gone` or `changed`, except in `tmp/`."""
    before, after = outcome.before, outcome.after
    found = {name: "new" for name in after if name not in before}
    found |= {name: "gone" for name in before if name not in after}
    found |= {name: "changed" for name in before if name in after and before[name] != after[name]}
    return {name: what for name, what in found.items() if name != "tmp" and not name.startswith("tmp/")}


def blame(trace: str) -> str:
    """The exception and the deepest function of this package in a traceback or dump of stacks: the same for all cases with one cause."""
    frames = re.findall(r'File "[^"]*/seediff/([^"]+)", line (\d+),? in (\S+)', trace)
    raised = [line for line in trace.strip().splitlines() if re.match(r"^[\w.]+(Error|Exception|Interrupt|Exit|Warning)\b", line)]
    kind = raised[-1].partition(":")[0] if raised else ""
    if not frames:
        return kind
    # A dump of stacks has the most recent call first, a traceback last.
    file, _, function = frames[0] if "most recent call first" in trace else frames[-1]
    return f"{kind} in {file} {function}".strip()


def anonymous(text: str, folder: Path) -> str:
    """The text without what differs from case to case: folder, addresses and numbers."""
    text = text.replace(str(folder), "CASE")
    return re.sub(r"0x[0-9a-f]+|\d+", "N", text)
