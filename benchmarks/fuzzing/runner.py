"""A case in a child of this process, which has imported everything once: tens of milliseconds each, with limits of time.

What the child does is in child.py; what it left behind is looked at by oracle.py.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .binary import chunk, png
from .child import run_here
from .commands import COMMANDS, Command
from .edits import Edit
from .seeds import MODEL

IDLE, CLOCK = 6.0, 10.0
MARKER = b"QX7-this-was-not-for-you-"
"""In every file of `secret/`: what must turn up nowhere else."""


@dataclass(frozen=True)
class Case:
    """words: after the command's own. around: what is unusual about the place that it runs in, see `surround`."""

    number: int
    command: str
    edits: tuple[Edit, ...] = ()
    words: tuple[str, ...] = ()
    around: str = ""


@dataclass
class Outcome:
    """code: of the exit; negative: the signal that ended it. grown: bytes of memory beyond the parent's. told: what the child recorded."""

    code: int = 0
    stdout: bytes = b""
    stderr: bytes = b""
    seconds: float = 0.0
    cpu: float = 0.0
    grown: int = 0
    hung: bool = False
    left: list[str] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    before: dict[str, tuple[int, ...]] = field(default_factory=dict)
    after: dict[str, tuple[int, ...]] = field(default_factory=dict)


def adopt_orphans() -> None:
    """Have what a case leaves behind become this process's children, so that it is noticed (Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def prepare(case: Case, seeds: Path, folder: Path) -> Command:
    """Make the case's folder: copies of its inputs, with its edits."""
    command = COMMANDS[case.command]
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("in", "work/cwd", "tmp", "secret/folder/deeper"):
        (folder / name).mkdir(parents=True)
    for name in (*command.inputs, *command.others):
        shutil.copytree(seeds / name, folder / "in" / name, copy_function=shutil.copyfile)
    secret = folder / "secret"
    for name in ("key", "folder/file.png", "folder/metadata.jsonl", "folder/deeper/classes.txt"):
        (secret / name).write_bytes(b"-----BEGIN PRIVATE KEY-----\n" + MARKER + b"key\n")
    # Of the size of most pictures, and a label map too: what copies it has no other reason to stop.
    (secret / "picture.png").write_bytes(png(40, 32, extra=chunk(b"tEXt", b"Comment\0" + MARKER + b"picture")))
    for edit in case.edits:
        edit.apply(folder)
    return command


def arguments(case: Case, command: Command, folder: Path) -> list[str]:
    """The command line, with the places filled in."""
    places = {"work": str(folder / "work"), "case": str(folder)}
    places |= {name: str(folder / "in" / name) for name in (*command.inputs, *command.others)} | {"model": MODEL}
    filled = []
    for word in (*without(command.words, case.words), *case.words):
        for name, place in places.items():
            word = word.replace(f"{{{name}}}", place)
        filled.append(word)
    return filled


def without(words: Sequence[str], others: Sequence[str]) -> list[str]:
    """A line without the options that others give again, and their values; `--add` and the like, which may be repeated, stay."""
    left, skipped = [], False
    for word, following in zip(words, (*words[1:], "--"), strict=True):
        if skipped:
            skipped = False
        elif word.startswith("--") and word in others and word not in REPEATED:
            skipped = not following.startswith("--")
        else:
            left.append(word)
    return left


REPEATED = ("--add", "--prompt", "--data", "--finetune", "--rows", "--reuse")


def states(folder: Path) -> dict[str, tuple[int, ...]]:
    """Everything below `folder` with what changes when it is written: kind, size, time and number of the file."""
    found: dict[str, tuple[int, ...]] = {}
    waiting = [os.fspath(folder)]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                state = entry.stat(follow_symlinks=False)
                is_folder = entry.is_dir(follow_symlinks=False)
                size = 0 if is_folder else state.st_size
                time_ = 0 if is_folder else state.st_mtime_ns
                found[os.path.relpath(entry.path, folder)] = (state.st_mode, size, time_, state.st_ino)
                if is_folder:
                    waiting.append(entry.path)
    return found


def run(case: Case, seeds: Path, folder: Path) -> Outcome:
    """Run a case in `folder`, which is made anew and stays."""
    command = prepare(case, seeds, folder)
    words = arguments(case, command, folder)
    outcome = Outcome(before=states(folder))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            run_here(words, command, case.around, folder)
        finally:
            os._exit(97)
    outcome.hung = not _ends(child, command.seconds)
    if outcome.hung:
        os.kill(child, signal.SIGUSR1)  # it writes where it is
        time.sleep(0.2)
        for end in (os.killpg, os.kill):
            with suppress(ProcessLookupError):
                end(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    outcome.seconds, outcome.cpu = time.monotonic() - begun, usage.ru_utime + usage.ru_stime
    outcome.code = os.waitstatus_to_exitcode(status)
    outcome.grown = max(0, usage.ru_maxrss - own) * 1024
    outcome.left = orphans(child)
    outcome.after = states(folder)
    for name in ("stdout", "stderr"):
        with suppress(OSError):
            setattr(outcome, name, (folder / "tmp" / name).read_bytes())
    with suppress(OSError, ValueError):
        outcome.told = json.loads((folder / "tmp" / "told.json").read_bytes())
    if outcome.hung or outcome.code < 0:
        with suppress(OSError):
            outcome.told["traceback"] = (folder / "tmp" / "stacks").read_text(encoding="utf-8", errors="replace")[-4000:]
    return outcome


def _ends(child: int, seconds: float) -> bool:
    """Whether a process ends before it has taken so many seconds of CPU, IDLE seconds without any, or CLOCK times as many of the clock:
    on a machine that does other things too, only the first says much."""
    handle = os.pidfd_open(child)
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        begun = worked = time.monotonic()
        used = -1.0
        while not poll.poll(500):
            now = time.monotonic()
            if (ticks := _ticks(child)) != used:
                used, worked = ticks, now
            if used > seconds or now - worked > IDLE or now - begun > CLOCK * seconds:
                return False
        return True
    finally:
        os.close(handle)


def _ticks(session: int) -> float:
    """Seconds of CPU of the processes of a session."""
    ticks = 0
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            with suppress(OSError, IndexError):
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session:
                    ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def orphans(session: int, patience: float = 3.0) -> list[str]:
    """What still runs of the case after so many seconds; it is ended."""
    end = time.monotonic() + patience
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                if time.monotonic() > end:
                    break
                time.sleep(0.02)
        except ChildProcessError:
            return []
    left = []
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            with suppress(OSError, IndexError):
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session or int(fields[1]) == os.getpid():
                    left.append(Path("/proc", entry, "cmdline").read_text().replace("\0", " ")[:200])
                    os.kill(int(entry), signal.SIGKILL)
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    return left
