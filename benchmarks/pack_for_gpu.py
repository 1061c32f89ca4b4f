"""Prepares a folder for ten minutes on a GPU machine without a network, and prints the commands to run in it.

    python benchmarks/pack_for_gpu.py build/gpu     # for Python 3.12 there, with torch and transformers

The folder holds the sources, what the benchmarks and the tests of the kernels import, and wheels of the packages that
such a machine seldom has. It is at most 64 MiB, because more can often not be copied at once.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
NEEDED = ("src", "benchmarks", "recipes", "tests/builders", "tests/attention", "pyproject.toml")
NOT_NEEDED = ("recipes/weights", "recipes/mini/measuring")
WHEELS = ("diffusers", "cyclopts", "msgspec", "tomli_w")
"""What is seldom there. What they need in turn is there, or is not imported on this way."""
LARGEST = 64 << 20
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
COMMANDS = """
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target /tmp/site wheels/*.whl || exit
export PYTHONPATH=/tmp/site:src PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1
timeout 60 python3 -m pytest -q -p no:cacheprovider tests/attention/test_fused.py
timeout 330 python3 benchmarks/gpu.py --only drawing --apart 150 --minutes 4 --json rows.json \\
  --rows sd1.5:1,flux-dev:1,sdxl:1,sd3.5-medium:1,sd1.5:8
timeout 90 python3 benchmarks/gpu.py --only tiles --json tiles.json
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="version of Python there; default: %(default)s")
    given = parser.parse_args()
    if given.folder.exists():
        parser.error(f"{given.folder}: exists already; name another folder, or remove it")
    given.folder.mkdir(parents=True)
    copy_files(given.folder)
    download(given.folder / "wheels", given.python)
    size = sum(path.stat().st_size for path in given.folder.rglob("*") if path.is_file())
    print(f"{given.folder}: {size / 2**20:.1f} of {LARGEST >> 20} MiB. In it:\n{COMMANDS}")
    if size > LARGEST:
        sys.exit(f"{given.folder}: too large by {(size - LARGEST) / 2**20:.1f} MiB")


def copy_files(folder: Path) -> None:
    """The tracked files of the working tree, as they are now."""
    listed = subprocess.run(["git", "ls-files", *NEEDED], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        if not name.startswith(NOT_NEEDED) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def download(folder: Path, python: str) -> None:
    """Wheels of exactly the versions that are installed here."""
    from importlib.metadata import version

    words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", str(folder)]
    words += ["--python-version", python, "--implementation", "cp"]
    for platform in PLATFORMS:
        words += ["--platform", platform]
    subprocess.run([*words, *(f"{name}=={version(name)}" for name in WHEELS)], check=True)


if __name__ == "__main__":
    main()
