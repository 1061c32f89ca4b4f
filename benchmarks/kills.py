"""Kill a command at random moments, again and again, then let it finish: are its files those of an undisturbed run, is any process left?

    python benchmarks/kills.py                                 # ten kills of a `seediff generate` that keeps everything it can
    python benchmarks/kills.py --kills 20 --seed 1 -- generate --classes dog --per-class 40 --out {out}
    python benchmarks/kills.py --fork --kills 20 --signal INT --twice -- export pets --to voc --workers 2 --out {out}
    python benchmarks/kills.py --all --kills 5                 # every writing command, killed, ended and interrupted: a table

What follows `--` is any command of seediff, with {out} where its output folder goes. It runs once undisturbed; then in another
folder it is started and met by a signal, with all of its processes, `--kills` times, and started once more to finish. One signal
in five comes at a random moment before the first file is written, the others at a random moment after it, so that together
they let the run come about as far as it needs to. SHA-256 of every file, hidden ones too, and the names of all folders are
compared; so are processes that run three seconds after the end of the command's own. Exit code 1: there is a difference, a process
left, an exit code or a traceback that should not be.

--signal INT is Ctrl-C, and --twice a second one up to half a second later. With --fork every attempt is a fork of this process, which
has imported everything once: seconds less each, and more of the signals meet the command at work. Linux.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from fuzzing import runner, seeds
from fuzzing.warm import warm_up

COMMAND = [
    *("generate", "--classes", "dog,cat,car", "--classes-per-image", "2", "--per-class", "12", "--batch-size", "2", "--steps", "8"),
    *("--threads", "1", "--reject", "--keep-soft", "--keep-attention", "--out", "{out}"),
]
POLL = 0.02  # seconds
WHILE_WRITING = 0.8  # share of kills
SOON = 20.0
"""Seconds in which a command ends after a signal, on a machine that does other things too; later is a hang."""
CODES = {signal.SIGKILL: (-9,), signal.SIGTERM: (-15, 143), signal.SIGINT: (130,), signal.SIGHUP: (-1, 129)}
"""Exit codes of a command that a signal met."""
KEPT = ("seconds", "images_per_second", "waited", "when", "cost")
"""Keys of JSON files that say how long something took: they differ from run to run."""


@dataclass
class Report:
    """What the signals did. wrong: a line each."""

    sent: int = 0
    met: int = 0
    busy: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0
    left: int = 0
    files: int = 0
    wrong: list[str] = field(default_factory=list)


def hashes(folder: Path) -> dict[str, str]:
    """Every path below `folder` with its content's SHA-256; folders with an empty text. Seconds in JSON files do not count."""
    found = {}
    for path in sorted(folder.rglob("*")):
        data = b"" if not path.is_file() else _without_seconds(path)
        found[str(path.relative_to(folder))] = hashlib.sha256(data).hexdigest() if path.is_file() else ""
    return found


def _without_seconds(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".json" and b"seconds" in data:
        with suppress(ValueError):
            data = json.dumps(json.loads(data, object_pairs_hook=lambda pairs: {k: v for k, v in pairs if k not in KEPT})).encode()
    return data


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
            self._run(arguments, log)
        while os.getsid(self.pid) != self.pid:  # a signal to its group may come before it has one
            time.sleep(POLL / 20)

    @staticmethod
    def _run(arguments: Sequence[str], log: IO[str]) -> None:
        code = 99
        try:
            try:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                os.setsid()
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                from seediff.cli import main

                code = main(arguments)
            except KeyboardInterrupt:  # before the command was reached
                code = 130
        finally:
            os._exit(code)

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


@contextmanager
def running(command: Sequence[str], out: Path, log: IO[str]) -> Iterator[subprocess.Popen[str] | Fork]:
    """The command at work while the block runs; what is left of it afterwards is killed, with its processes."""
    words = [argument.replace("{out}", str(out)) for argument in command]
    if "torch" in sys.modules:  # warmed up
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
    """Run to the end; seconds until the first file, and in all. Raises RuntimeError when the command fails."""
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


def _end_of(log: IO[str]) -> str:
    log.flush()
    return Path(log.name).read_text(encoding="utf-8", errors="replace")[-2000:]


@dataclass(frozen=True)
class Plan:
    """signal: which, to all processes of the command. twice: again up to half a second later."""

    kills: int
    seed: int
    signal: signal.Signals = signal.SIGKILL
    twice: bool = False


def meet(command: Sequence[str], out: Path, log: IO[str], plan: Plan, wait: float, again: float, report: Report, *, written: bool) -> bool:
    """Start the command and signal it so many seconds after its start, or after it first wrote. Whether it had finished before."""
    before, said = file_states(out.parent), Path(log.name).stat().st_size
    with running(command, out, log) as process:
        with suppress(subprocess.TimeoutExpired):
            while written and process.poll() is None and file_states(out.parent) == before:
                time.sleep(POLL)
            process.wait(wait)
        report.sent += 1
        if process.poll() is not None:
            report.codes[process.returncode or 0] += 1
            return process.returncode == 0
        report.met += 1
        report.busy += written
        sent = time.monotonic()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, plan.signal)
        if plan.twice:
            with suppress(subprocess.TimeoutExpired):
                process.wait(again)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, plan.signal)
        with suppress(subprocess.TimeoutExpired):
            process.wait(SOON)
        seconds = time.monotonic() - sent
        report.slowest = max(report.slowest, seconds)
        if process.poll() is None:
            report.wrong.append(f"still running {SOON:.0f} s after {plan.signal.name}")
            return False
    code = process.returncode or 0
    report.codes[code] += 1
    if left := runner.orphans(process.pid):
        report.left += len(left)
        report.wrong.append(f"processes left: {left}")
    log.flush()
    with open(log.name, encoding="utf-8", errors="replace") as file:
        file.seek(said)
        words = file.read()
    if "Traceback" in words or "a fault of seediff" in words:
        report.wrong.append(f"a traceback after {plan.signal.name}: {words[-1500:]}")
    if code not in (*CODES[plan.signal], 0):  # 0: it ended just before
        report.wrong.append(f"exit code {code} after {plan.signal.name}: {words[-500:]}")
    return code == 0


def measure(command: Sequence[str], plan: Plan, folder: Path, prepared: Path | None = None, *, say: bool = True) -> Report:
    """The whole experiment in `folder`. prepared: what is at {out} before the command first runs. Raises RuntimeError."""
    unbroken, broken = (folder / name / "out" for name in ("undisturbed", "killed"))
    report = Report()
    for out in (unbroken, broken):
        if out.exists():
            sys.exit(f"{out} is in the way: name an empty --folder")
        out.parent.mkdir(parents=True, exist_ok=True)
        if prepared is not None:
            shutil.copytree(prepared, out)
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        first, whole = finish(command, unbroken, log)
        if say:
            print(f"undisturbed: {whole:.1f} s, the first file after {first:.1f} s", flush=True)
        moments = random.Random(plan.seed)
        done = False
        for number in range(1, plan.kills + 1):
            written = moments.random() < WHILE_WRITING
            wait = moments.uniform(0, 2 * (whole - first) / plan.kills if written else first)
            done = meet(command, broken, log, plan, wait, moments.uniform(0, 0.5), report, written=written)
            if say:
                fate = "had finished" if done else "met"
                print(f"{plan.signal.name} {number}: {fate} {wait:.2f} s after {'its first write' if written else 'its start'}", flush=True)
            if done and prepared is None:
                break
        if not done:
            finish(command, broken, log)
    found = hashes(unbroken.parent)
    report.files = sum(bool(value) for value in found.values())
    report.wrong += differences(found, hashes(broken.parent))
    return report


ALL = {
    "generate": ("generate", *seeds.GENERATE, "--per-class", "6", "--model", seeds.MODEL),
    "mask": ("mask", "{in}/photos", *seeds.MASK, "--model", seeds.MODEL),
    "segment": ("segment", "{in}/photos", *seeds.SEGMENT, "--model", seeds.MODEL),
    "segment --fit tile": ("segment", "{in}/photos", *seeds.SEGMENT, "--fit", "tile", "--model", seeds.MODEL),
    "augment": ("augment", "{in}/native", *seeds.AUGMENT, "--add", "boxes:40"),
    "augment --workers 2": ("augment", "{in}/native", *seeds.AUGMENT, "--add", "boxes:40", "--workers", "2"),
    "train": ("train", "{in}/native", *seeds.TRAIN, "--steps", "6", "--val-share", "0.5", "--validate-every", "2"),
    "train --workers 2": ("train", "{in}/native", *seeds.TRAIN, "--steps", "6", "--workers", "2"),
    "study main": (
        *("study", "main", "--config", "{in}/files/table.toml", "--data", "own={in}/native", "--seeds", "0", "--device", "cpu"),
        *("--work", "{out}/work"),
    ),
    "predict": ("predict", "{in}/segmenter", "{in}/photos", "--device", "cpu"),
    "evaluate": ("evaluate", "{in}/plain", "--data", "{in}/native", "--draws", "100"),
    "filter": ("filter", "{in}/more"),
    "merge": ("merge", "{in}/more", "{in}/generated"),
    "split": ("split", "{in}/more", "--val", "0.3"),
    **{f"export --to {kind}": ("export", "{in}/more", "--to", kind) for kind in ("voc", "coco", "yolo", "parquet", "webdataset")},
    "export --workers 2": ("export", "{in}/more", "--to", "voc", "--workers", "2"),
    **{f"import {kind}": ("import", f"{{in}}/{kind}", "--from", kind) for kind in ("voc", "coco", "yolo", "parquet", "webdataset")},
    "mini scenes": ("mini", "scenes", "--count", "30"),
}
"""Every command that makes a folder: its line without --out."""
IN_PLACE = {
    "check --fix": ("more", ("check", "{out}", "--fix")),
    "split --in-place": ("more", ("split", "{out}", "--val", "0.3", "--in-place")),
    "preview": ("more", ("preview", "{out}")),
}
"""Commands that change a folder: a copy of which input, and their line."""
PLANS = ((signal.SIGKILL, False), (signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGINT, True))


def measure_all(kills: int, seed: int, only: Sequence[str], folder: Path) -> bool:
    """Every writing command with every kind of signal: a table in Markdown; whether all was well."""
    place = folder / "in"
    seeds.build(place)
    more = ("augment", place / "native", "--add", "boxes:120", "--out", place / "more", "--quiet")
    seeds.in_child(lambda: seeds.run(*more), place, "the larger set could not be made")
    (folder / "work" / "cwd").mkdir(parents=True, exist_ok=True)
    os.chdir(folder / "work" / "cwd")
    damaged = folder / "damaged"
    shutil.copytree(place / "more", damaged)
    (damaged / "metadata.jsonl").unlink()
    lines = {name: ((*line, "--out", "{out}"), None) for name, line in ALL.items()}
    lines |= {name: (line, damaged if name == "check --fix" else place / source) for name, (source, line) in IN_PLACE.items()}
    print("| command | killed | ended | Ctrl-C | twice | met at work | slowest end, s | processes left | files | bytes |")
    print("|---|" + "---|" * 9, flush=True)
    total, wrong = Report(), []
    for name, (line, prepared) in lines.items():
        if only and not any(text in name for text in only):
            continue
        words = [str(word).replace("{in}", str(place)) for word in line]
        parts = []
        for number, (kind, twice) in enumerate(PLANS):
            own = folder / f"{name.replace(' ', '-')}-{number}"
            try:
                parts.append(measure(words, Plan(kills, seed + number, kind, twice), own, prepared, say=False))
            except RuntimeError as error:
                parts.append(Report(wrong=[str(error)]))
            shutil.rmtree(own, ignore_errors=True)
            wrong += [f"{name}, {kind.name}{' twice' if twice else ''}: {text}" for text in parts[-1].wrong]
        bad = any("bytes" in text or "after kills" in text for part in parts for text in part.wrong)
        cells = [*(part.met for part in parts), sum(part.busy for part in parts), f"{max(part.slowest for part in parts):.1f}"]
        cells += [sum(part.left for part in parts), parts[0].files, "**differ**" if bad else "equal"]
        print(f"| {name} | " + " | ".join(str(cell) for cell in cells) + " |", flush=True)
        total.met += sum(part.met for part in parts)
        total.left += sum(part.left for part in parts)
    print(f"\n{total.met} signals met a running command; {total.left} processes left; {len(wrong)} things wrong")
    for text in wrong:
        print(text)
    return not wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--signal", choices=[one.name.removeprefix("SIG") for one in CODES], default="KILL")
    parser.add_argument("--twice", action="store_true", help="a second signal, up to half a second later")
    parser.add_argument("--folder", type=Path, help="where the two runs write, and stay; by default a temporary folder")
    parser.add_argument("--fork", action="store_true", help="attempts are forks of this process")
    parser.add_argument("--all", action="store_true", help="every writing command; `command` then chooses among them by parts of names")
    parser.add_argument("command", nargs="*", help="after --: a command of seediff with {out} in it")
    given = parser.parse_args()
    command = given.command or COMMAND
    if not given.all and not any("{out}" in argument for argument in command):
        parser.error("the command must have {out} where its output folder goes, such as: --out {out}")
    if given.kills < 1:
        parser.error("--kills must be at least 1")
    if given.fork or given.all:
        warm_up()
    runner.adopt_orphans()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        if given.all:
            sys.exit(0 if measure_all(given.kills, given.seed, given.command, folder) else 1)
        print(f"seediff {' '.join(command)}", flush=True)
        plan = Plan(given.kills, given.seed, signal.Signals[f"SIG{given.signal}"], given.twice)
        try:
            report = measure(command, plan, folder)
        except RuntimeError as error:
            sys.exit(str(error))
    print(f"{report.files} files; {report.met} of {report.sent} signals met a running process, {report.busy} of them after it wrote")
    print(f"exit codes {dict(report.codes)}; the slowest end took {report.slowest:.1f} s; {report.left} processes left")
    for line in report.wrong:
        print(line)
    print("DIFFERENT" if report.wrong else "all files equal")
    sys.exit(1 if report.wrong else 0)


if __name__ == "__main__":
    main()
