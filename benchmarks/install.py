"""Measures the cost of an installation: builds sdist and wheel, installs the wheel into an empty environment, and times the first commands.

    python benchmarks/install.py                        # downloads what pip downloads, without its cache; minutes
    python benchmarks/install.py --pip "--extra-index-url https://download.pytorch.org/whl/cpu"

The environment and the folder in which the commands run are outside the repository, and are removed at the end. Before the first run of
each command, the environment's files are dropped from the page cache if the system can do that (Linux).
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIRST_MASK = ("generate", "--classes", "dog", "--per-class", "1", "--device", "cpu")


@dataclass(frozen=True)
class Cost:
    """Wall-clock seconds, and CPU seconds of all processors together."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        return f"{self.wall:.1f} s | {self.cpu:.1f} s"


def timed(command: Sequence[str | Path], folder: Path, **environment: str) -> Cost:
    """Run a command in a folder; returns its cost. Raises SystemExit with the command's output if it fails."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([str(word) for word in command], cwd=folder, env={**kept, **environment}, capture_output=True, text=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{shlex.join(map(str, command))} failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return Cost(wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def build(folder: Path) -> tuple[Path, Path]:
    """Build the sdist, and the wheel from the sdist, as for a release."""
    python = sys.executable
    timed([python, "-m", "pip", "install", "--quiet", "--target", folder / "tools", "build"], folder)
    timed([python, "-m", "build", "--outdir", folder / "dist", ROOT], folder, PYTHONPATH=str(folder / "tools"))
    (sdist,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    return sdist, wheel


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def megabytes(paths: Sequence[Path]) -> str:
    return f"{sum(path.stat().st_size for path in paths) / 1e6:,.0f} MB"


def forget(folder: Path) -> None:
    """Drop the folder's files from the page cache, so that they are read from the disk again."""
    if hasattr(os, "posix_fadvise"):
        os.sync()
        for path in files(folder):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pip", default="", metavar="OPTIONS", help="more options of `pip install`")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sdist, wheel = build(folder)
        print(f"{sdist.name}: {megabytes([sdist])}; {wheel.name}: {megabytes([wheel])}", flush=True)
        timed([sys.executable, "-m", "venv", "venv"], folder)
        venv = folder / "venv"
        pip = [venv / "bin" / "pip", "install", "--no-cache-dir", "--quiet", "-c", ROOT / "constraints.txt", *shlex.split(given.pip)]
        print("| step | time | CPU time |\n|---|---|---|")
        print(f"| `pip install -c constraints.txt {wheel.name}` | {timed([*pip, wheel], folder)} |", flush=True)
        seediff = venv / "bin" / "seediff"
        for words in (("--help",), FIRST_MASK):
            forget(venv)
            for run in ("first", "second"):
                out = () if words == ("--help",) else ("--out", run)
                print(f"| `seediff {shlex.join(words)}`, {run} run | {timed([seediff, *words, *out], folder)} |", flush=True)
        if not list((folder / "first" / "masks").glob("*.png")):
            raise SystemExit("the first run made no mask")
        torch = files(next(venv.rglob("site-packages/torch")))
        print(f"environment: {len(files(venv)):,} files, {megabytes(files(venv))}, of which torch has {megabytes(torch)}")


if __name__ == "__main__":
    main()
