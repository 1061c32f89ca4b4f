"""Kill a command at random moments, again and again, then let it finish: are its files those of an undisturbed run?

    python benchmarks/kills.py                                 # ten kills of a `seediff generate` that keeps everything it can
    python benchmarks/kills.py --kills 20 --seed 1 -- generate --classes dog --per-class 40 --out {out}
    python benchmarks/kills.py --fork --kills 20 -- export pets --to voc --out {out}

What follows `--` is any command of seediff, with {out} where its output folder goes. It runs once undisturbed; then in another
folder it is started and killed (SIGKILL, with all of its processes) `--kills` times, and started once more to finish. One kill
in five comes at a random moment before the first file is written, the others at a random moment after it, so that together
they let the run come about as far as it needs to. SHA-256 of every file, hidden ones too, and the names of all folders are
compared. Exit code 1: they differ.

With --fork every attempt is a fork of this process, which has imported everything once: seconds less each, and more of the kills hit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

COMMAND = [
    *("generate", "--classes", "dog,cat,car", "--classes-per-image", "2", "--per-class", "12", "--batch-size", "2", "--steps", "8"),
    *("--threads", "1", "--reject", "--keep-soft", "--keep-attention", "--out", "{out}"),
]
POLL = 0.02  # seconds
WHILE_WRITING = 0.8  # share of kills


def hashes(folder: Path) -> dict[str, str]:
    """Every path below `folder` with its content's SHA-256; folders with an empty text."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


def differences(undisturbed: dict[str, str], killed: dict[str, str]) -> list[str]:
    """What differs, a line a path."""
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
    """Every file below `folder` with when it was last written, but for the lock."""
    states = {}
    for parent, _, names in os.walk(folder):  # unlike rglob it takes no offence at folders that vanish meanwhile
        for name in names:
            if name != ".lock":
                with suppress(FileNotFoundError):  # renamed meanwhile
                    states[os.path.join(parent, name)] = os.stat(os.path.join(parent, name)).st_mtime_ns
    return states


class Fork:
    """The command in a fork of this process, with what is used here of `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], log: IO[str]) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            from seediff.cli import main

            os.setpgid(0, 0)
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            os._exit(main(arguments))
        os.setpgid(self.pid, self.pid)  # here too: a kill may come before the child does so

    def poll(self) -> int | None:
        if self.returncode is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if found else None
        return self.returncode

    def wait(self, timeout: float = float("inf")) -> None:
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() >= end:
                raise subprocess.TimeoutExpired("fork", timeout)
            time.sleep(POLL / 20)


def preload() -> None:
    """Import what commands need, once for all forks. Nothing here may use torch's threads: a fork would not have them."""
    import importlib

    import torch

    datasets = ("coco", "voc", "yolo", "merge", "select", "split")
    for name in (
        "masks",
        "report",
        "pipeline",
        "run.generate",
        "run.mask",
        "run.augment",
        "models.registry",
        *(f"dataset.{one}" for one in datasets),
    ):
        importlib.import_module(f"seediff.{name}")
    torch.set_num_threads(1)
    from seediff.models.registry import load_model

    load_model("mini", device="cpu")  # imports the rest


@contextmanager
def running(command: Sequence[str], out: Path, log: IO[str]) -> Iterator[subprocess.Popen[str] | Fork]:
    """The command at work while the block runs; what is left of it afterwards is killed, with its processes."""
    words = [argument.replace("{out}", str(out)) for argument in command]
    if "torch" in sys.modules:  # preloaded
        process: subprocess.Popen[str] | Fork = Fork(words, log)
    else:
        arguments = [sys.executable, "-m", "seediff", *words]
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def finish(command: Sequence[str], out: Path, log: IO[str]) -> tuple[float, float]:
    """Run to the end; seconds until the first file, and in all. Ends this program when the command fails."""
    started = time.monotonic()
    before, first = file_states(out.parent), None
    with running(command, out, log) as process:
        while process.poll() is None:
            time.sleep(POLL)
            if first is None and file_states(out.parent) != before:
                first = time.monotonic() - started
    whole = time.monotonic() - started
    if process.returncode:
        give_up("the command failed", process.returncode, log)
    return first or whole, whole


def kill(command: Sequence[str], out: Path, log: IO[str], wait: float, *, written: bool) -> int:
    """Start the command and kill it so many seconds after its start, or after it first wrote. Its exit code; -9: the kill met it."""
    before = file_states(out.parent)
    with running(command, out, log) as process, suppress(subprocess.TimeoutExpired):
        while written and process.poll() is None and file_states(out.parent) == before:
            time.sleep(POLL)
        process.wait(wait)
    assert process.returncode is not None
    return process.returncode


def give_up(what: str, code: int, log: IO[str]) -> None:
    """End this program, with the end of what the command said."""
    log.flush()
    sys.exit(f"{what} with exit code {code}:\n{Path(log.name).read_text(encoding='utf-8')[-2000:]}")


def measure(command: Sequence[str], kills: int, seed: int, folder: Path) -> bool:
    """The whole experiment in `folder`; whether the two runs left the same."""
    unbroken, broken = (folder / name / "out" for name in ("undisturbed", "killed"))
    for out in (unbroken, broken):
        if out.exists():
            sys.exit(f"{out} is in the way: name an empty --folder")
        out.parent.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        first, whole = finish(command, unbroken, log)
        print(f"undisturbed: {whole:.1f} s, the first file after {first:.1f} s", flush=True)
        moments = random.Random(seed)
        hit = busy = code = 0
        for number in range(1, kills + 1):
            written = moments.random() < WHILE_WRITING
            wait = moments.uniform(0, 2 * (whole - first) / kills if written else first)
            code = kill(command, broken, log, wait, written=written)
            if code not in (-signal.SIGKILL, 0):
                give_up(f"attempt {number} ended by itself", code, log)
            hit += code != 0
            busy += code != 0 and written
            fate = "killed" if code else "had finished"
            print(f"kill {number}: {fate} {wait:.2f} s after {'its first write' if written else 'its start'}", flush=True)
            if code == 0:
                kills = number
                break
        _, rest = (0.0, 0.0) if code == 0 else finish(command, broken, log)
    found = hashes(unbroken.parent)
    wrong = differences(found, hashes(broken.parent))
    files = sum(bool(value) for value in found.values())
    print(f"completed in {rest:.1f} s more; {files} files; {hit} of {kills} kills met a running process, {busy} of them after it wrote")
    for line in wrong:
        print(line)
    print("DIFFERENT" if wrong else "all files equal")
    return not wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=Path, help="where the two runs write, and stay; by default a temporary folder")
    parser.add_argument("--fork", action="store_true", help="attempts are forks of this process")
    parser.add_argument("command", nargs="*", help="after --: a command of seediff with {out} in it")
    given = parser.parse_args()
    command = given.command or COMMAND
    if not any("{out}" in argument for argument in command):
        parser.error("the command must have {out} where its output folder goes, such as: --out {out}")
    if given.kills < 1:
        parser.error("--kills must be at least 1")
    if given.fork:
        preload()
    print(f"seediff {' '.join(command)}", flush=True)
    if given.folder:
        equal = measure(command, given.kills, given.seed, given.folder)
    else:
        with tempfile.TemporaryDirectory() as folder:
            equal = measure(command, given.kills, given.seed, Path(folder))
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
