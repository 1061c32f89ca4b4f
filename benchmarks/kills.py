"""Kills a command at random moments, again and again, then lets it finish. Checks that its files equal those of an
undisturbed run, and that no process is left.

    python benchmarks/kills.py --kills 5                  # every writing command with every kind of signal
    python benchmarks/kills.py --kills 20 export generate # commands with these words in their names

Each command runs once undisturbed. Then, in another folder, it is started `--kills` times, each time with a signal to
all of its processes, and once more to finish. One signal in five comes at a random moment before the first file is
written. The others come at a random moment after it, chosen so that the attempts together get about as far as the whole
run. The SHA-256 of every file, hidden files included, and the names of all folders are compared. A process that still
runs three seconds after the command ended counts as left. Exit code 1: a difference, a process left, a wrong exit code,
or a traceback.

SIGINT is Ctrl-C; "twice" sends it again up to half a second later. Every attempt is a fork of this process, which has
imported everything once, so that most signals come while the command is at work. Linux only.
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import importlib
import os
import pkgutil
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, get_args

import seediff
from seediff.dataset.formats.format_table import FormatName
from seediff.files.outputs import LEFTOVER

DRAW = "generate --classes dog,cat,car --classes-per-image 2 --batch-size 2 --threads 1 --keep-soft --keep-attention"
TRAIN = (
    "train native --architecture segformer --backbone tiny --weights scratch --batch-size 2 --crop 32 --test-side 32"
    " --device cpu"
)
LOOK = "native/images --model mini --batch-size 1 --threads 1"
KINDS = get_args(FormatName)
INPUTS = {
    "native": f"{DRAW} --per-class 4 --steps 2",
    "more": "augment native --add boxes:120",
    "segmenter": f"{TRAIN} --steps 2 --save-every 1 --workers 0",
    "plain": "predict segmenter native/images --device cpu",
    **{f"as-{kind}": f"export native --to {kind}" for kind in KINDS},
}
"""Folder → the command that makes it."""
ALL = {
    "generate": f"{DRAW} --per-class 6 --steps 1",
    "mask": f"mask {LOOK} --classes dog,cat --timesteps 300 --keep-soft --presence 0",
    "segment": f"segment {LOOK} --method kmeans -k 3",
    "segment --fit crop": f"segment {LOOK} --method kmeans -k 3 --fit crop --size 64",
    "augment": "augment native --add flip:100%,noise:2,boxes:40",
    "augment --workers 2": "augment native --add flip:100%,noise:2,boxes:40 --workers 2",
    "train": f"{TRAIN} --steps 6 --save-every 1 --workers 0 --val-share 0.5 --validate-every 2",
    "train --workers 2": f"{TRAIN} --steps 6 --save-every 1 --workers 2",
    "predict": "predict segmenter native/images --device cpu",
    "evaluate": "evaluate plain --data native --draws 100",
    "filter": "filter more",
    "merge": "merge more native",
    "split": "split more --val 0.3",
    **{f"export --to {kind}": f"export more --to {kind}" for kind in KINDS},
    "export --workers 2": "export more --to voc --workers 2",
    **{f"import {kind}": f"import as-{kind} --from {kind}" for kind in KINDS},
}
"""Every command that makes a folder → its line without --out."""
IN_PLACE = {"split --in-place": "split {out} --val 0.3 --in-place"}
"""Commands that change a folder, a copy of `more`."""
PLANS = ((signal.SIGKILL, False), (signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGINT, True))


POLL = 0.02  # seconds
WHILE_WRITING = 0.8  # share of kills
SOON = 20.0
"""Seconds within which a command must end after a signal, also on a busy machine; otherwise it hangs."""
CODES = {signal.SIGKILL: (-9,), signal.SIGTERM: (-15, 143), signal.SIGINT: (130,)}
"""Signal → allowed exit codes of a command that it met."""


@dataclass
class Report:
    """What the signals did. met: signals that met a running command. slowest: the most seconds from a signal to the
    end. wrong: a line per problem."""

    met: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)


def warm_up() -> None:
    """Import what commands import, so that no attempt has to. Must not use torch's threads, which a fork would not
    have.
    """
    os.environ |= {"HF_HUB_OFFLINE": "1", "SEEDIFF_DEBUG": "0", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer, SegformerForSemanticSegmentation

    torch.set_num_threads(1)
    # Libraries import these parts when they are first accessed.
    assert all((AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel))
    assert all((CLIPTextModel, CLIPTokenizer, SegformerForSemanticSegmentation))
    modules = [module.name for module in pkgutil.walk_packages(seediff.__path__, "seediff.")]
    modules.remove("seediff.__main__")
    for name in (*modules, "pyarrow.parquet", "scipy.ndimage", "rich.progress", "safetensors.torch"):
        with suppress(ImportError):
            importlib.import_module(name)


def hashes(folder: Path) -> dict[str, str]:
    """Path → SHA-256 of the content, for everything below `folder`; "" for folders.

    In JSON files, seconds and the folder's path are ignored. Temporary files (`outputs.LEFTOVER`) are left out: a
    process that is killed while it writes leaves them, and the next run in the folder removes them, at once or after an
    hour.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name, data = path.relative_to(folder), b""
        if any(LEFTOVER.fullmatch(part) for part in name.parts):
            continue
        if path.is_file():
            data = path.read_bytes()
        if path.suffix == ".json":
            data = re.sub(rb'"seconds": [\d.e+-]+', b"", data.replace(str(folder).encode(), b"FOLDER"))
        found[str(name)] = hashlib.sha256(data).hexdigest() if path.is_file() else ""
    return found


def written(folder: Path) -> dict[str, int]:
    """Path → time of the last write, for every file below `folder` except locks."""
    times = {}
    for parent, _, names in os.walk(folder):  # unlike rglob, it tolerates folders that vanish meanwhile
        for name in names:
            if name != ".lock":
                with suppress(FileNotFoundError):  # renamed meanwhile
                    times[os.path.join(parent, name)] = os.stat(os.path.join(parent, name)).st_mtime_ns
    return times


def begin(words: Sequence[str], log: IO[str]) -> int:
    """Run a command in a fork of this process, as a new session; returns its process."""
    process = os.fork()
    if process:
        while os.getsid(process) != process:  # otherwise a signal could be sent to its group before the group exists
            time.sleep(POLL / 20)
        return process
    code = 99
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


def ended(process: int, seconds: float = float("inf")) -> int | None:
    """The exit code of a process that ends within so many seconds; None: it still runs."""
    end = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            return None
        time.sleep(POLL / 20)


def finish(words: Sequence[str], out: Path, log: IO[str]) -> tuple[float, float]:
    """Run the command to its end; returns the seconds until its first file, and from then. Raises RuntimeError if it
    fails.
    """
    begun = time.monotonic()
    before, first, code = written(out.parent), None, None
    process = begin(words, log)
    while code is None:
        code = ended(process, POLL)
        if first is None and written(out.parent) != before:
            first = time.monotonic()
    if code:
        raise RuntimeError(f"the command failed with exit code {code}:\n{Path(log.name).read_text()[-2000:]}")
    done = time.monotonic()
    return (first or done) - begun, done - (first or done)


@dataclass(frozen=True)
class Plan:
    """kills: number of signals. signal: goes to all processes of the command. twice: is sent again up to half a second
    later.
    """

    kills: int
    seed: int
    signal: signal.Signals
    twice: bool


def meet(words: Sequence[str], out: Path, log: IO[str], plan: Plan, early: float, wait: float, report: Report) -> bool:
    """Start the command, and signal it at a random moment within `early` seconds of its start, or mostly within `wait`
    seconds of its first write. Returns whether the command finished its work."""
    before, said = written(out.parent), Path(log.name).stat().st_size
    process, code = begin(words, log), None
    if random.random() < WHILE_WRITING:
        early = wait
        while code is None and written(out.parent) == before:
            code = ended(process, POLL)
    if code is None:
        code = ended(process, random.uniform(0, early))
    if code is not None:
        return code == 0

    # The signal, and what it leaves.
    report.met += 1
    sent = time.monotonic()
    os.killpg(process, plan.signal)
    if plan.twice:
        code = ended(process, random.uniform(0, 0.5))
        if code is None:
            os.killpg(process, plan.signal)
    if code is None:
        code = ended(process, SOON)
    report.slowest = max(report.slowest, time.monotonic() - sent)
    if code is None:
        report.wrong.append(f"still running {SOON:.0f} s after {plan.signal.name}")
        os.killpg(process, signal.SIGKILL)
        ended(process)
        return False
    text = Path(log.name).read_bytes()[said:].decode("utf-8", "replace")[-2000:]
    report.wrong += [f"a process is left: {line}" for line in orphans(process)]
    if "Traceback" in text or "a fault of seediff" in text or code not in (*CODES[plan.signal], 0):
        report.wrong.append(f"exit code {code} after {plan.signal.name}: {text}")
    return code == 0  # it ended just before


def measure(line: str, plan: Plan, folder: Path, prepared: Path | None) -> Report:
    """Do the whole experiment in `folder`. prepared: a folder to copy to {out} first. Raises RuntimeError if the
    command itself fails.
    """
    unbroken, broken = (folder / name / "out" for name in ("undisturbed", "killed"))
    for out in (unbroken, broken):
        out.parent.mkdir(parents=True)
        if prepared is not None:
            shutil.copytree(prepared, out)
    report, done = Report(), False
    random.seed(plan.seed)
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        first, rest = finish(line.format(out=unbroken).split(), unbroken, log)
        found, words = hashes(unbroken.parent), line.format(out=broken).split()
        for _ in range(plan.kills):
            done = meet(words, broken, log, plan, first, 2 * rest / plan.kills, report)
            done = done or hashes(broken.parent) == found  # the signal came after the last write
            if done and prepared is None:
                break
        if not done:
            finish(words, broken, log)
    after = hashes(broken.parent)
    differing = sorted(path for path in found.keys() | after.keys() if found.get(path) != after.get(path))
    report.wrong += [f"differs after kills: {path}" for path in differing]
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
            time.sleep(POLL)
        left = []
        for entry in filter(str.isdecimal, os.listdir("/proc")):
            with suppress(OSError):
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session or int(fields[1]) == os.getpid():
                    left.append(Path("/proc", entry, "cmdline").read_text().replace("\0", " ")[:200])
                    os.kill(int(entry), signal.SIGKILL)
        return left
    return []


def measure_all(kills: int, seed: int, only: Sequence[str], folder: Path) -> bool:
    """Print a Markdown table of every writing command with every kind of signal; returns whether nothing was wrong."""
    os.chdir(folder)
    lines = {name: (f"{line} --out {{out}}", None) for name, line in ALL.items()}
    lines |= {name: (line, folder / "more") for name, line in IN_PLACE.items()}
    with (folder / "inputs.txt").open("w", encoding="utf-8") as log:
        for name, line in INPUTS.items():
            finish(f"{line} --out {name} --quiet".split(), folder / name, log)
    print(
        "| command | killed | ended | Ctrl-C | twice | slowest end, s | wrong |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    total, wrong = 0, []
    for name, (line, prepared) in lines.items():
        if only and not any(text in name for text in only):
            continue
        reports = []
        for number, (kind, twice) in enumerate(PLANS):
            own = folder / f"{name.replace(' ', '-')}-{number}"
            try:
                reports.append(measure(line, Plan(kills, seed + number, kind, twice), own, prepared))
            except RuntimeError as error:
                reports.append(Report(wrong=[str(error)]))
            shutil.rmtree(own, ignore_errors=True)
            wrong += [f"{name}, {kind.name}{' twice' * twice}: {text}" for text in reports[-1].wrong]
        cells = [*(one.met for one in reports), f"{max(one.slowest for one in reports):.1f}"]
        cells.append(sum(len(one.wrong) for one in reports))
        print(f"| {name} | " + " | ".join(map(str, cells)) + " |", flush=True)
        total += sum(one.met for one in reports)
    print("\n".join([f"\n{total} signals met a running command; {len(wrong)} things wrong", *wrong]))
    return not wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("command", nargs="*", help="parts of the names of commands; all by default")
    given = parser.parse_args()
    warm_up()
    adopt_orphans()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(0 if measure_all(given.kills, given.seed, given.command, Path(folder).resolve()) else 1)


if __name__ == "__main__":
    main()
