"""Ends commands at random moments, runs them again, and compares their files with those of undisturbed runs.

    python benchmarks/kills.py --kills 3 --seed 1               # each command three times; 20 minutes of one core
    python benchmarks/kills.py generate train --kills 20        # some commands of same_bytes.py

A signal (SIGKILL, SIGTERM or SIGINT) comes within the time that the undisturbed command took. Exit code 1: a file
differs, a command fails, or prints a traceback. Linux and macOS.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from files_compared import compare  # beside this file
from same_bytes import COMMANDS, needed

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("generate", "generate-compete", "mask", "segment", "augment", "export-coco", "import-coco", "merge", "train")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


def begin(name: str, folder: Path) -> subprocess.Popen[bytes]:
    """A command of same_bytes.py in a folder, which gets its output in NAME.log."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "seediff", *COMMANDS[name].split()]
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)


def disturbed(name: str, folder: Path, seconds: float, kills: int, chance: random.Random) -> int:
    """Run a command with so many signals, or fewer if it ends before one, then to its end. Returns its exit code."""
    for _ in range(kills):
        process = begin(name, folder)
        try:
            return process.wait(chance.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(chance.choice(SIGNALS))
            process.wait()
    return begin(name, folder).wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--kills", type=int, default=3, help="of each command")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in COMMANDS]
    if unknown:
        parser.error(f"there is no {', '.join(unknown)}")
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        calm, struck = Path(folder, "calm"), Path(folder, "struck")
        calm.mkdir()
        struck.mkdir()
        for name in dict.fromkeys(one for wanted in given.names for one in needed(wanted)):
            begun = time.monotonic()
            codes = [begin(name, calm).wait()]
            seconds = time.monotonic() - begun
            codes.append(disturbed(name, struck, seconds, given.kills, random.Random(f"{given.seed} {name}")))
            compared, differ, said = compare(calm, struck, COMMANDS[name].rpartition(" ")[2])
            log = (struck / f"{name}.log").read_text(errors="replace")
            print(f"{name}: exit codes {codes}, {differ} of {compared} files differ", *said, sep="\n  ", flush=True)
            # A command that was struck when its folder was complete refuses to write it again.
            was_done = log.rstrip().endswith("already exists and is not empty; choose another folder")
            if codes[0] or (codes[1] and not was_done) or differ or not compared or "Traceback" in log:
                failed.append(name)
                print(log)
    print(f"failed: {', '.join(failed) or 'none'}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
