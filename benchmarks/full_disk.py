"""Lets the disk become full while a command works, or kills the command before or when it is full, again and again. Checks what the command
prints, and which files remain.

    python benchmarks/full_disk.py                     # generate and segment, sixty kills each, with a small model

The output is on an in-memory file system, in a mount namespace of this process. Before each start, the file system gets room for what is
there and for a random part of the rest. On a full disk, the command must end with exit code 2 and one line that names the file that met it,
and leave nothing half-written; a killed command may leave files that the next start removes. At the end there is enough room, and the same
command must finish with the bytes of an undisturbed run. If it finishes before it was killed often enough, it starts over. Every start is a
fork of this process, which has imported everything once. Linux only. Exit code 1: a check failed.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from fuzzing import seeds
from fuzzing.signals import differences, hashes, running
from fuzzing.warm import warm_up

PAGE = 4096
ROOM = 64 << 20
SAID = re.compile(r"seediff: (.*)\n")
COMMANDS = {
    "generate": (
        *("generate", "--classes", "dog,cat", "--per-class", "8", "--batch-size", "2", "--steps", "1", "--threads", "1"),
        *("--keep-soft", "--keep-attention", "--model", seeds.MODEL, "--quiet"),
    ),
    "segment": ("segment", "{in}/photos", *map(str, seeds.SEGMENT), "--model", seeds.MODEL, "--quiet"),
}


def resize(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def used(disk: Path) -> int:
    about = os.statvfs(disk)
    return (about.f_blocks - about.f_bfree) * about.f_frsize


def start(words: list[str], out: Path, log: Path, kill_at: tuple[Path, int] | None = None) -> tuple[int, str]:
    """Run the command; returns its exit code and what it printed. kill_at: (disk, bytes): kill it once so many bytes are used."""
    with log.open("w", encoding="utf-8") as file, running(words, out, file) as process:
        if kill_at is not None:
            while process.poll() is None and used(kill_at[0]) < kill_at[1]:
                time.sleep(0.0005)
            process.send(signal.SIGKILL)
        process.wait()
    return process.returncode or 0, log.read_text(encoding="utf-8")


def measure(name: str, words: list[str], times: int, seed: int, folder: Path, disk: Path) -> list[str]:
    """Print a row of the table; returns a line per failed check."""
    log, wrong, codes = folder / "log.txt", [], Counter[str]()
    moments = random.Random(seed)
    whole, out = folder / name / "out", disk / name / "out"
    for path in (whole, out):
        path.parent.mkdir(parents=True)
    code, said = start(words, whole, log)
    assert code == 0, said
    wanted = hashes(whole.parent)
    needed = used(disk) + sum(-(-path.stat().st_size // PAGE) * PAGE for path in whole.rglob("*")) + 4 * PAGE
    finished = 0
    while codes["killed"] < times:
        begin = used(disk)
        size = begin + max(PAGE, int(moments.random() * (needed - begin)) // PAGE * PAGE)
        resize(disk, size)
        kill = codes["killed"] <= codes["full"]
        code, said = start(words, out, log, (disk, moments.randint(begin, size)) if kill else None)
        resize(disk, ROOM)
        if code == 0:
            finished += 1
            wrong += [f"{name}: {line}" for line in differences(wanted, hashes(out.parent))]
            shutil.rmtree(out)
            continue
        codes["killed" if code == -9 else "full"] += 1
        if code == -9:
            continue
        line = SAID.fullmatch(said)
        if code != 2 or line is None or "No space left" not in line[1] or str(out) not in line[1]:
            wrong.append(f"{name}: exit code {code}, and it says: {said[-800:]}")
        if parts := [path.name for path in out.parent.rglob("*.part")]:
            wrong.append(f"{name}: left {parts}")
    code, said = start(words, out, log)
    wrong += [f"{name}: {line}" for line in (differences(wanted, hashes(out.parent)) if code == 0 else [f"in the end: {said[-800:]}"])]
    print(f"| {name} | {codes['full']} | {codes['killed']} | {finished + 1} | {len(wrong)} |", flush=True)
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=60, help="that each command is killed, while about as many starts end by themselves")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("commands", nargs="*", default=[*COMMANDS], help="generate, segment")
    given = parser.parse_args()
    if os.environ.get("SEEDIFF_NAMESPACE") != "1":
        os.environ["SEEDIFF_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "--user", "--map-root-user", "--mount", sys.executable, *sys.argv])
    warm_up()
    with tempfile.TemporaryDirectory() as temporary:
        folder, disk = Path(temporary), Path(temporary) / "disk"
        disk.mkdir()
        seeds.build(folder / "in")
        (folder / "work" / "cwd").mkdir(parents=True, exist_ok=True)
        os.chdir(folder / "work" / "cwd")
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(disk)], check=True)
        print("| command | ended by a full disk | killed on one | finished | wrong |\n|---|---|---|---|---|", flush=True)
        wrong = []
        try:
            for name in given.commands:
                words = [word.replace("{in}", str(folder / "in")) for word in (*COMMANDS[name], "--out", "{out}")]
                wrong += measure(name, words, given.times, given.seed, folder, disk)
        finally:
            os.chdir("/")
            subprocess.run(["umount", str(disk)], check=True)
    print(*wrong, sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
