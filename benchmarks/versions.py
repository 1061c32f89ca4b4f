"""Tests the package with the oldest versions of its dependencies that pyproject.toml allows, or with the newest that
exist.

    python benchmarks/versions.py floors /tmp/floors      # or newest; downloads some 3 GB, a quarter of an hour

A virtual environment gets nothing but the package, its core dependencies (pinned to their floors, or the newest that
pip finds) and the tools that its tests need. There, TESTS run. An environment that is there is updated, not made again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

from seediff.files.reading import read_toml

ROOT = Path(__file__).parents[1]
TOOLS = ("pytest", "pytest-timeout", "hypothesis")
TESTS = (
    *(f"tests/{folder}" for folder in ("attention", "config", "files", "masks", "prompts", "report", "segments")),
    *("tests/cli/test_cli.py", "tests/models/test_load.py", "tests/models/test_whole.py", "tests/run/test_run.py"),
    *(f"tests/train/test_{name}.py" for name in ("data", "loss", "models", "predict")),
)
"""Tests of code that uses other packages' interfaces: pipelines and hooks of diffusers, tokenizers, networks and
weights of transformers, pictures, schemas, pages and the command line."""


def pin(one: Requirement, which: str) -> str:
    """A dependency's name, for the floors with the version after >=."""
    lowest = [part.version for part in one.specifier if part.operator == ">="]
    return f"{one.name}=={lowest[0]}" if which == "floors" else one.name


def main(which: str, venv: Path) -> None:
    listed = map(Requirement, read_toml(ROOT / "pyproject.toml")["project"]["dependencies"])
    pins = [pin(one, which) for one in listed if one.marker is None or one.marker.evaluate()]
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    # One command, so that pip reports conflicts.
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--upgrade", "-e", ROOT, *TOOLS, *pins], check=True)
    subprocess.run([python, "-m", "pip", "list"], check=True)
    sys.exit(subprocess.run([python, "-m", "pytest", "-p", "no:cacheprovider", *TESTS], cwd=ROOT).returncode)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).absolute())
