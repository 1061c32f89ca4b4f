"""A case in its own process: another session and HOME, limits, and an eye on what it writes.

What Python would write outside the case's folder is refused and recorded, so that a fault harms nobody; so are programs that would be
started and connections to other machines.
"""

from __future__ import annotations

import faulthandler
import gc
import io
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from .commands import Command

ADDRESS_SPACE = 4 << 30
"""Bytes that a case may reserve beyond what the imports have."""
FILE_SIZE = 1 << 30


def run_here(words: Sequence[str], command: Command, around: str, folder: Path) -> NoReturn:
    """Run a command in this process, which ends with it, and leave what there is to tell in `tmp/told.json`."""
    told: dict[str, Any] = {"outside": [], "faults": []}
    code = 99
    try:
        os.setsid()
        _enter(folder, around)
        stacks = open(folder / "tmp" / "stacks", "w")  # noqa: SIM115 - until the end
        faulthandler.enable(stacks)
        faulthandler.register(signal.SIGUSR1, file=stacks, all_threads=True)
        _limit(around)
        told["fds"] = len(os.listdir("/proc/self/fd"))
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


def _limit(around: str) -> None:
    size = 2000 if around == "small disk" else FILE_SIZE
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, FILE_SIZE))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open("/proc/self/statm") as file:
        reserved = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (reserved + ADDRESS_SPACE, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _main(words: list[str], told: dict[str, Any]) -> int:
    """The command, and where a fault of it came from."""
    from seediff.cli import commands

    explain = commands._explain

    def recording(error: BaseException) -> int:
        code = explain(error)
        if code not in (0, 2, 130, 141) or isinstance(error, (MemoryError, RecursionError)):
            told["faults"].append(_shortened(error))
        return code

    commands._explain = recording
    return commands.main(words)


def _shortened(error: BaseException) -> str:
    """A traceback with no more than the first and last few of its calls."""
    lines = traceback.format_exception(error)
    return "".join(lines if len(lines) < 16 else [*lines[:2], "  …\n", *lines[-13:]])[-6000:]


class _Watch:
    """Refuses what would write outside the case's folder, start programs or reach another machine, and records it."""

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
        elif event == "socket.bind" and given[1][:2] == ("::1", 0):  # urllib3 asks whether there is IPv6 while it is imported
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
    """Files of the case that are open still."""
    gc.collect()
    found = []
    for number in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{number}")
            if target.startswith(str(folder)) and not target.startswith(str(folder / "tmp")):
                found.append(target)
    return found


COPIED = ("picture", "soft", "tensors")
"""Findings about files that are copied as they stand: what is damaged inside stays so, and `check` says it of the source too."""


def _check_output(command: Command, words: Sequence[str], folder: Path, told: dict[str, Any]) -> None:
    """What a command wrote without complaint must be sound: it is read back."""
    out = folder / "work" / "out"
    if not command.checks or "--out" not in words or words.count("--out") > 1 or not out.is_dir():
        return
    sys.stdout.flush()
    if command.checks == "native":
        from seediff.dataset.quality.check import check_dataset

        errors = [f"{one.where}: {one.text}" for one in check_dataset(out).findings if one.level == "error" and one.kind not in COPIED]
        if errors:
            told["unsound"] = errors[:5]
        return
    from seediff.cli import commands

    kind = words[words.index("--to") + 1]
    silent = io.StringIO()
    sys.stderr, kept = silent, sys.stderr
    try:
        code = commands.main(["import", str(out), "--from", kind, "--out", str(folder / "tmp" / "again"), "--quiet"])
    finally:
        sys.stderr = kept
    if code and not any(text in silent.getvalue() for text in ("whole picture", "as a picture", "has no sample")):
        told["unsound"] = [f"what was exported cannot be imported: {silent.getvalue()[:500]}"]
