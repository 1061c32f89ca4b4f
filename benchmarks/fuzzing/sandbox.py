"""Runs a case in a fork of this process, which has imported everything once, with limits, and watches what it writes.

If Python would write outside the case's folder, start a program or connect to another machine, this is refused and recorded, so that a
fault does no harm. faults.py judges the outcome.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import io
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from .cases import Case
from .commands import COMMANDS, Command
from .damage import chunk, png
from .seeds import MODEL

ADDRESS_SPACE = 4 << 30
"""Bytes of address space that a case may reserve beyond the imports."""
FILE_SIZE = 1 << 30
CLOCK = 10
"""The limit by the clock, as a multiple of the limit in CPU seconds. It is high, because on a busy machine the clock says little."""
MARKER = b"QX7-this-was-not-for-you-"
"""Bytes in every file of `secret/`, which must not appear anywhere else."""
REPEATED = ("--add", "--prompt", "--data", "--finetune", "--rows", "--reuse")
COPIED = ("picture", "soft", "tensors")
"""Kinds of findings about files that are copied unchanged: damage inside them stays, and `check` reports it for the source too."""


@dataclass
class Outcome:
    """code: the exit code; negative: the signal that ended the child. grown: bytes of memory beyond the parent's. stacks: where the child
    was when it crashed or ran out of time. left: processes that still ran afterwards. told: what the child recorded. before, after: the
    files below the case's folder."""

    words: list[str]
    code: int = 0
    stdout: bytes = b""
    stderr: bytes = b""
    seconds: float = 0.0
    grown: int = 0
    stacks: str = ""
    left: list[str] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    before: dict[str, tuple[int, ...]] = field(default_factory=dict)
    after: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def hung(self) -> bool:
        return self.code == -signal.SIGXCPU or self.stacks.startswith("Timeout")


def adopt_orphans() -> None:
    """Make this process the parent of processes that a case leaves behind, so that they are noticed (Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def run(case: Case, seeds: Path, folder: Path) -> Outcome:
    """Run a case in `folder`, which is emptied first and stays afterwards."""
    command = COMMANDS[case.command]
    prepare(case, command, seeds, folder)
    outcome = Outcome(arguments(case, command, folder), before=states(folder))
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.monotonic()
    if (child := os.fork()) == 0:
        try:
            run_here(outcome.words, command, case.around, folder)
        finally:
            os._exit(97)
    _, status, usage = os.wait4(child, 0)
    outcome.seconds = time.monotonic() - begun
    outcome.code = os.waitstatus_to_exitcode(status)
    outcome.grown = max(0, usage.ru_maxrss - own) * 1024
    outcome.left = orphans(child)
    outcome.after = states(folder)
    for name in ("stdout", "stderr"):
        with suppress(OSError):
            setattr(outcome, name, (folder / "tmp" / name).read_bytes())
    with suppress(OSError, ValueError):
        outcome.told = json.loads((folder / "tmp" / "told.json").read_bytes())
    with suppress(OSError):
        outcome.stacks = (folder / "tmp" / "stacks").read_text(encoding="utf-8", errors="replace")[:4000]
    return outcome


def prepare(case: Case, command: Command, seeds: Path, folder: Path) -> None:
    """Make the case's folder: copies of its inputs, changed by its edits."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("in", "work/cwd", "tmp", "secret/folder/deeper"):
        (folder / name).mkdir(parents=True)
    for name in (*command.inputs, *command.others):
        shutil.copytree(seeds / name, folder / "in" / name, copy_function=shutil.copyfile)
    secret = folder / "secret"
    for name in ("key", "folder/file.png", "folder/metadata.jsonl", "folder/deeper/classes.txt"):
        (secret / name).write_bytes(b"-----BEGIN PRIVATE KEY-----\n" + MARKER + b"key\n")
    # It has the size of most pictures and is a valid label map, so that no other check keeps a command from copying it.
    (secret / "picture.png").write_bytes(png(40, 32, extra=chunk(b"tEXt", b"Comment\0" + MARKER + b"picture")))
    for edit in case.edits:
        edit.apply(folder)


def arguments(case: Case, command: Command, folder: Path) -> list[str]:
    """The command line, with places filled in, and without the options that the case's words repeat."""
    places = {"work": str(folder / "work"), "case": str(folder)}
    places |= {name: str(folder / "in" / name) for name in (*command.inputs, *command.others)} | {"model": MODEL}
    left, skipped = [], False
    for word, following in zip(command.words, (*command.words[1:], "--"), strict=True):
        if skipped:
            skipped = False
        elif word.startswith("--") and word in case.words and word not in REPEATED:
            skipped = not following.startswith("--")
        else:
            left.append(word)
    filled = []
    for word in (*left, *case.words):
        for name, place in places.items():
            word = word.replace(f"{{{name}}}", place)
        filled.append(word)
    return filled


def states(folder: Path) -> dict[str, tuple[int, ...]]:
    """Path → (mode, size, time of the last write, inode) of everything below `folder`; size and time are 0 for folders."""
    found: dict[str, tuple[int, ...]] = {}
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            with suppress(OSError):
                state = os.lstat(os.path.join(parent, name))
                written = (state.st_size, state.st_mtime_ns) if name in names else (0, 0)
                found[os.path.relpath(os.path.join(parent, name), folder)] = (state.st_mode, *written, state.st_ino)
    return found


def orphans(session: int, patience: float = 3.0) -> list[str]:
    """Command lines of the case's processes that still run after `patience` seconds; these are killed. session: the case's session."""
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


# In the child


def run_here(words: Sequence[str], command: Command, around: str, folder: Path) -> NoReturn:
    """Run a command in this process, write what happened to `tmp/told.json`, and exit."""
    told: dict[str, Any] = {"outside": [], "faults": []}
    code = 99
    try:
        os.setsid()
        _enter(folder, around)
        _limit(around, command.seconds, folder)
        sys.addaudithook(_Watch(folder, told["outside"]))
        code = _main(list(words), told)
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        told["left_open"] = _left_open(folder)
        if code == 0 and not around:
            _check_output(command, words, folder, told)
    except BaseException as error:
        told["faults"].append(_shortened(error))
        code = 98
    finally:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
            (folder / "tmp" / "told.json").write_text(json.dumps(told, default=str), encoding="utf-8", errors="replace")
        finally:
            os._exit(code)


def _enter(folder: Path, around: str) -> None:
    tmp = folder / "tmp"
    os.environ |= {"HOME": str(tmp), "TMPDIR": str(tmp), "XDG_CACHE_HOME": str(tmp), "COLUMNS": "200"}
    import tempfile

    tempfile.tempdir = None
    os.chdir(folder / "work" / "cwd")
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    out = os.open(tmp / "stdout", flags)
    if around == "full stdout":
        out = os.open("/dev/full", os.O_WRONLY)
    elif around == "closed stdout":
        reading, out = os.pipe()
        os.close(reading)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out, 1)
    os.dup2(os.open(tmp / "stderr", flags), 2)
    encoding = "ascii" if around == "ascii stdout" else "utf-8"
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = io.TextIOWrapper(open(1, "wb", closefd=False), encoding=encoding)  # noqa: SIM115
    sys.stderr = io.TextIOWrapper(open(2, "wb", 0, closefd=False), encoding=encoding, errors="backslashreplace", write_through=True)  # noqa: SIM115


def _limit(around: str, seconds: float, folder: Path) -> None:
    """Set limits on file size, memory and time. When time runs out, the stacks are written to `tmp/stacks`."""
    stacks = open(folder / "tmp" / "stacks", "w")  # noqa: SIM115 - until the end
    faulthandler.enable(stacks)
    faulthandler.register(signal.SIGXCPU, file=stacks, chain=True)
    faulthandler.dump_traceback_later(CLOCK * seconds, exit=True, file=stacks)
    with open("/proc/self/statm") as file:
        reserved = int(file.read().split()[0]) * resource.getpagesize()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    wanted = {
        resource.RLIMIT_FSIZE: 2000 if around == "small disk" else FILE_SIZE,
        resource.RLIMIT_AS: reserved + ADDRESS_SPACE,
        resource.RLIMIT_CPU: int(seconds),
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in wanted.items():
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _main(words: list[str], told: dict[str, Any]) -> int:
    """Run the command; returns its exit code. The traceback of a fault goes to `told`."""
    from seediff.cli import commands

    explain = commands._explain

    def recording(error: BaseException, arguments: Sequence[str]) -> int:
        code = explain(error, arguments)
        if code not in (0, 2, 130, 141) or isinstance(error, (MemoryError, RecursionError)):
            told["faults"].append(_shortened(error))
        return code

    commands._explain = recording
    return commands.main(words)


def _shortened(error: BaseException) -> str:
    """The error's traceback, cut to its first and last lines."""
    lines = traceback.format_exception(error)
    return "".join(lines if len(lines) < 16 else [*lines[:2], "  …\n", *lines[-13:]])[-6000:]


class _Watch:
    """An audit hook that refuses and records writes outside the case's folder, programs, and connections. Unpickling is only recorded."""

    WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    PATHS: ClassVar[dict[str, int]] = {
        "os.remove": 1, "os.rmdir": 1, "os.mkdir": 1, "os.truncate": 1, "os.chmod": 1, "os.chown": 1, "os.utime": 1, "shutil.rmtree": 1,
        "os.rename": 2, "os.link": 2, "os.symlink": 2, "shutil.move": 2,
    }  # fmt: skip
    PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pty.spawn", "pickle.find_class")

    DEVICES = ("/dev/null", "/dev/full", "/dev/zero", "/dev/tty")

    def __init__(self, folder: Path, outside: list[str]) -> None:
        self.folder, self.outside, self.busy = os.path.realpath(folder), outside, False

    def __call__(self, event: str, given: tuple[Any, ...]) -> None:
        if self.busy or event == "os.putenv":
            return
        if event == "open":
            path, _, flags = given
            if isinstance(flags, int) and flags & self.WRITING and isinstance(path, (str, bytes, os.PathLike)):
                self._look(event, path)
        elif event in self.PATHS:
            for path in given[: self.PATHS[event]]:
                if isinstance(path, (str, bytes, os.PathLike)) and not (event in ("os.link", "os.symlink") and path is given[0]):
                    self._look(event, path, parent=event != "os.truncate")
        elif event in self.PROGRAMS:
            self._refuse(f"{event} {str(given)[:200]}", event != "pickle.find_class")
        elif event == "socket.bind" and given[1][:2] == ("::1", 0):  # urllib3 tests for IPv6 when it is imported
            return
        elif event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto"):
            self._refuse(f"{event} {str(given[1:])[:200] if event != 'socket.getaddrinfo' else given[:2]}", True)

    def _look(self, event: str, path: Any, parent: bool = False) -> None:
        self.busy = True
        try:
            text = os.fsdecode(path)
            real = (
                os.path.join(os.path.realpath(os.path.dirname(text) or "."), os.path.basename(text)) if parent else os.path.realpath(text)
            )
        except (OSError, ValueError):
            return
        finally:
            self.busy = False
        if not real.startswith(self.folder + "/") and real not in self.DEVICES:
            self._refuse(f"{event} {real[:200]}", True)

    def _refuse(self, what: str, stop: bool) -> None:
        self.busy = True
        if len(self.outside) < 20:
            self.outside.append(what)
        self.busy = False
        if stop:
            raise PermissionError(1, "refused by the fuzzer", what)


def _left_open(folder: Path) -> list[str]:
    """Files of the case that are still open."""
    gc.collect()
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{number}")
            if target.startswith(str(folder)) and not target.startswith(str(folder / "tmp")):
                found.append(target)
    return found


def _check_output(command: Command, words: Sequence[str], folder: Path, told: dict[str, Any]) -> None:
    """Record the errors in a dataset that a command wrote without complaint: it must be sound."""
    out = folder / "work" / "out"
    if command.words[0] in ("filter", "merge", "import") and words.count("--out") == 1 and out.is_dir():
        from seediff.dataset.quality.check import check_dataset

        errors = [f"{one.where}: {one.text}" for one in check_dataset(out).findings if one.level == "error" and one.kind not in COPIED]
        told["unsound"] = errors[:5]
