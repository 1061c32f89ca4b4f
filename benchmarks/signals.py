"""Sends a command signals at random moments, and compares its output with that of an undisturbed run: for kills.py."""

from __future__ import annotations

import ctypes
import hashlib
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from seediff.files.outputs import LEFTOVER

POLL = 0.02  # seconds
WHILE_WRITING = 0.8  # share of kills
SOON = 20.0
"""Seconds within which a command must end after a signal, also on a busy machine; otherwise it hangs."""
CODES = {signal.SIGKILL: (-9,), signal.SIGTERM: (-15, 143), signal.SIGINT: (130,)}
"""Signal → allowed exit codes of a command that it met."""


@dataclass
class Report:
    """What the signals did. met: signals that met a running command. busy: those of them that came after its first
    write. slowest: the most seconds from a signal to the end. left: processes that still ran. wrong: a line per
    problem."""

    met: int = 0
    busy: int = 0
    slowest: float = 0.0
    left: int = 0
    files: int = 0
    wrong: list[str] = field(default_factory=list)


def hashes(folder: Path) -> dict[str, str]:
    """Path → SHA-256 of the content, for everything below `folder`; "" for folders.

    In JSON files, seconds and the folder's path are ignored. Temporary files (`outputs.LEFTOVER`) are left out: a
    process that is killed while it writes leaves them, and the next run in the folder removes them, at once or after an
    hour.
    """
    named = ((path.relative_to(folder), path) for path in sorted(folder.rglob("*")))
    return {
        str(name): hashlib.sha256(_comparable(path, folder)).hexdigest() if path.is_file() else ""
        for name, path in named
        if not any(LEFTOVER.fullmatch(part) for part in name.parts)
    }


def _comparable(path: Path, folder: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".json":
        data = re.sub(rb'"seconds": [\d.e+-]+', b"", data.replace(str(folder).encode(), b"FOLDER"))
    return data


def differences(undisturbed: dict[str, str], killed: dict[str, str]) -> list[str]:
    """The differences, one line per path."""
    lines = []
    for path in sorted(undisturbed.keys() | killed.keys()):
        if path not in killed:
            lines.append(f"missing after kills: {path}")
        elif path not in undisturbed:
            lines.append(f"left over after kills: {path}")
        elif undisturbed[path] != killed[path]:
            lines.append(f"other bytes: {path}")
    return lines


def file_states(folder: Path) -> dict[str, int]:
    """Path → time of the last write, for every file below `folder` except locks."""
    states = {}
    for parent, _, names in os.walk(folder):  # unlike rglob, it tolerates folders that vanish meanwhile
        for name in names:
            if name != ".lock":
                with suppress(FileNotFoundError):  # renamed meanwhile
                    states[os.path.join(parent, name)] = os.stat(os.path.join(parent, name)).st_mtime_ns
    return states


class Fork:
    """A command in a fork of this process, as a new session."""

    def __init__(self, words: Sequence[str], log: IO[str]) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._run(words, log)
        while os.getsid(self.pid) != self.pid:  # otherwise a signal could be sent to its group before the group exists
            time.sleep(POLL / 20)

    @staticmethod
    def _run(words: Sequence[str], log: IO[str]) -> None:
        code = 99
        try:
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                os.setsid()
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                from seediff.cli.main import main

                code = main(words)
            except KeyboardInterrupt:  # before the command began
                code = 130
        finally:
            os._exit(code)

    def poll(self) -> int | None:
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if ended else None
        return self.returncode

    def wait(self, seconds: float = float("inf")) -> bool:
        """Wait for the command; returns whether it ended within so many seconds."""
        end = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < end:
            time.sleep(POLL / 20)
        return self.returncode is not None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command and all its processes."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)


@contextmanager
def running(command: Sequence[str], out: Path, log: IO[str]) -> Iterator[Fork]:
    """Run the command during the block. If it still runs at the end of the block, it is killed with all its
    processes.
    """
    process = Fork([word.replace("{out}", str(out)) for word in command], log)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send(signal.SIGKILL)
            process.wait()


def finish(command: Sequence[str], out: Path, log: IO[str]) -> tuple[float, float]:
    """Run the command to its end; returns the seconds until its first file, and in total. Raises RuntimeError if it
    fails.
    """
    started = time.monotonic()
    before, first = file_states(out.parent), None
    with running(command, out, log) as process:
        while process.poll() is None:
            time.sleep(POLL)
            if first is None and file_states(out.parent) != before:
                first = time.monotonic() - started
    whole = time.monotonic() - started
    if process.returncode:
        raise RuntimeError(f"the command failed with exit code {process.returncode}:\n{_end_of(log)}")
    return first or whole, whole


def _end_of(log: IO[str], start: int = 0) -> str:
    """The end of a log, without its first `start` bytes."""
    log.flush()
    return Path(log.name).read_bytes()[start:].decode("utf-8", "replace")[-2000:]


@dataclass(frozen=True)
class Plan:
    """kills: number of signals. signal: goes to all processes of the command. twice: is sent again up to half a second
    later.
    """

    kills: int
    seed: int
    signal: signal.Signals = signal.SIGKILL
    twice: bool = False


def meet(
    command: Sequence[str],
    out: Path,
    log: IO[str],
    plan: Plan,
    wait: float,
    again: float,
    report: Report,
    *,
    written: bool,
) -> bool:
    """Start the command, and signal it `wait` seconds after its start, or with `written` after its first write; with
    `plan.twice`, again after `again` seconds. Returns whether the command finished its work."""
    before, said = file_states(out.parent), Path(log.name).stat().st_size
    with running(command, out, log) as process:
        while written and process.poll() is None and file_states(out.parent) == before:
            time.sleep(POLL)
        if process.wait(wait):
            return process.returncode == 0
        report.met += 1
        report.busy += written
        sent = time.monotonic()
        process.send(plan.signal)
        if plan.twice:
            process.wait(again)
            process.send(plan.signal)
        ended = process.wait(SOON)
        report.slowest = max(report.slowest, time.monotonic() - sent)
        if not ended:
            report.wrong.append(f"still running {SOON:.0f} s after {plan.signal.name}")
            return False
    code = process.returncode or 0
    if left := orphans(process.pid):
        report.left += len(left)
        report.wrong.append(f"processes left: {left}")
    words = _end_of(log, said)
    if "Traceback" in words or "a fault of seediff" in words:
        report.wrong.append(f"a traceback after {plan.signal.name}: {words}")
    if code not in (*CODES[plan.signal], 0):  # 0: it ended just before
        report.wrong.append(f"exit code {code} after {plan.signal.name}: {words}")
    return code == 0


def measure(command: Sequence[str], plan: Plan, folder: Path, prepared: Path | None = None) -> Report:
    """Do the whole experiment in `folder`. prepared: a folder to copy to {out} first. Raises RuntimeError if the
    command itself fails.
    """
    unbroken, broken = (folder / name / "out" for name in ("undisturbed", "killed"))
    report = Report()
    for out in (unbroken, broken):
        out.parent.mkdir(parents=True, exist_ok=True)
        if prepared is not None:
            shutil.copytree(prepared, out)
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        first, whole = finish(command, unbroken, log)
        found = hashes(unbroken.parent)
        report.files = sum(bool(value) for value in found.values())
        moments = random.Random(plan.seed)
        done = False
        for _ in range(plan.kills):
            written = moments.random() < WHILE_WRITING
            wait = moments.uniform(0, 2 * (whole - first) / plan.kills if written else first)
            done = meet(command, broken, log, plan, wait, moments.uniform(0, 0.5), report, written=written)
            done = done or hashes(broken.parent) == found  # the signal came after the last write
            if done and prepared is None:
                break
        if not done:
            finish(command, broken, log)
    report.wrong += differences(found, hashes(broken.parent))
    return report


def adopt_orphans() -> None:
    """Make this process the parent of processes that a command leaves behind, so that they are noticed (Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def orphans(session: int, patience: float = 3.0) -> list[str]:
    """Command lines of a session's processes that still run after `patience` seconds; these are killed."""
    end = time.monotonic() + patience
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0] or time.monotonic() < end:
            time.sleep(0.02)
        left = []
        for entry in os.listdir("/proc"):
            with suppress(OSError, IndexError):
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
                if entry.isdecimal() and (int(fields[3]) == session or int(fields[1]) == os.getpid()):
                    left.append(Path("/proc", entry, "cmdline").read_text().replace("\0", " ")[:200])
                    os.kill(int(entry), signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)
        return left
    return []
