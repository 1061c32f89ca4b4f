"""Packs for ten minutes on a borrowed machine with a GPU and without a network, to which at most 64 MiB can be copied.

    python benchmarks/pack_for_gpu.py       # for Python 3.12 there, with torch and transformers

Downloads wheels of what such a machine seldom has into build/gpu, adds up what would be copied, and says what to leave
out of it, and the command to run there.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACK = ROOT / "build" / "gpu"
NOT_NEEDED = ("recipes/weights", "recipes/mini/measuring")
"""What nothing reads there."""
WHEELS = ("diffusers", "cyclopts", "attrs", "msgspec", "tomli_w")
"""What is seldom there. What they need in turn is there, or is not imported by `gpu.py`."""
LARGEST = 64 << 20
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="3.12", help="version of Python there; default: %(default)s")
    given = parser.parse_args()
    for earlier in PACK.glob("*.whl"):  # two versions of one package stop the installation
        earlier.unlink()
    download(PACK, given.python)
    unneeded = [name for name in NOT_NEEDED if (ROOT / name).exists()]
    if unneeded:
        names = " ".join(unneeded)
        print(f"First: rm -r {names}    (afterwards: git checkout -- {names})")
    size = sum(path.stat().st_size for path in travelling())
    print(f"Then {size / 2**20:.1f} of {LARGEST >> 20} MiB are copied. There, only $OUT comes back:")
    print("\n    OUT=FOLDER bash benchmarks/ten_minutes.sh\n")
    if size > LARGEST:
        sys.exit(f"too large by {(size - LARGEST) / 2**20:.1f} MiB")


def travelling() -> list[Path]:
    """The files of the checkout that git does not ignore, without what is not needed there, and the wheels."""
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    needed = [ROOT / name for name in names if not name.startswith(NOT_NEEDED)]
    return [path for path in needed if path.is_file()] + sorted(PACK.glob("*.whl"))


def download(folder: Path, python: str) -> None:
    """Wheels of exactly the versions that are installed here."""
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", str(folder)]
    words += ["--python-version", python, "--implementation", "cp"]
    for platform in PLATFORMS:
        words += ["--platform", platform]
    subprocess.run([*words, *(f"{name}=={version(name)}" for name in WHEELS)], check=True)


if __name__ == "__main__":
    main()
