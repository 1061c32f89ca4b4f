"""Tests the package with the oldest versions of its dependencies that pyproject.toml allows, and with the newest that
exist.

    python benchmarks/versions.py                                    # both; downloads some 6 GB, half an hour on two
    cores python benchmarks/versions.py floors --venvs /tmp/seediff-versions

Each gets a virtual environment with nothing but the package, its core dependencies (pinned to their floors, or the
newest that pip finds) and the tools that its tests need. There, a dataset of two images is drawn, checked and
segmented, and TESTS run. The table shows the versions. An existing environment is updated, not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found]

ROOT = Path(__file__).parents[1]
TOOLS = ("pytest", "pytest-timeout", "hypothesis")
TESTS = (
    *(f"tests/{folder}" for folder in ("attention", "config", "files", "masks", "prompts", "report", "segments")),
    *("tests/cli/test_cli.py", "tests/models/test_registry.py", "tests/models/test_whole.py", "tests/run/test_run.py"),
    *(f"tests/train/test_{name}.py" for name in ("data", "loss", "models", "predict")),
)
"""Tests of code that uses other packages' interfaces: pipelines and hooks of diffusers, tokenizers, networks and
weights of transformers, pictures, schemas, pages and the command line."""


def core() -> list[Requirement]:
    """The package's core dependencies that this Python needs."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    found = [Requirement(line) for line in listed]
    return [one for one in found if one.marker is None or one.marker.evaluate()]


def floor(one: Requirement) -> str:
    """The version after >=."""
    (lowest,) = [part.version for part in one.specifier if part.operator == ">="]
    return lowest


def install(python: Path, which: str) -> None:
    """Install the package and its core dependencies with one pip command, so that pip reports conflicts."""
    pins = [f"{one.name}=={floor(one)}" if which == "floors" else one.name for one in core()]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]
    run([*pip, "-e", str(ROOT), *TOOLS, *pins], "pip")


def installed(python: Path) -> dict[str, str]:
    listed = subprocess.run(
        [str(python), "-m", "pip", "list", "--format", "json"], check=True, capture_output=True, text=True
    ).stdout
    names = {re.sub(r"[-_.]+", "-", row["name"]).lower(): row["version"] for row in json.loads(listed)}
    return {one.name: names[re.sub(r"[-_.]+", "-", one.name).lower()] for one in core()}


def try_out(python: Path) -> dict[str, Any]:
    """Use the package from an empty folder, then run TESTS. Raises SystemExit if a command fails."""
    with tempfile.TemporaryDirectory() as folder:
        cli = [str(python), "-P" if sys.version_info >= (3, 11) else "-s", "-m", "seediff"]
        for command in (
            ["generate", "--classes", "dog,cat", "--per-class", "1", "--steps", "5", "--device", "cpu", "--out", "set"],
            ["check", "set"],
            ["segment", "set/images", "--model", "mini", "--device", "cpu", "--out", "segments"],
        ):
            run([*cli, *command], f"seediff {command[0]}", cwd=folder)
    said = subprocess.run(
        [str(python), "-m", "pytest", "-p", "no:cacheprovider", *TESTS], cwd=ROOT, capture_output=True, text=True
    )
    last = said.stdout.strip().splitlines()[-1] if said.stdout.strip() else said.stderr[-300:]
    print(said.stdout[-6000:], flush=True)
    return {"tests": last, "passed": said.returncode == 0}


def run(command: Sequence[str], what: str, cwd: str | None = None) -> None:
    print(f"… {what}", flush=True)
    said = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env={**os.environ, "COLUMNS": "160"})
    if said.returncode:
        raise SystemExit(f"{what} failed:\n{(said.stdout + said.stderr)[-4000:]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", nargs="*", default=["floors", "newest"], help="floors, newest or both")
    parser.add_argument(
        "--venvs",
        type=Path,
        default=Path(tempfile.gettempdir()) / "seediff-versions",
        help="where environments are made",
    )
    given = parser.parse_args()
    if unknown := set(given.which) - {"floors", "newest"}:
        parser.error(f"{min(unknown)}: floors or newest")
    found: dict[str, Any] = {}
    for which in given.which:
        venv = given.venvs / which
        python = venv / "bin" / "python"
        if not python.exists():
            run([sys.executable, "-m", "venv", str(venv)], "venv")
        install(python, which)
        found[which] = {"python": sys.version.split()[0], "versions": installed(python), **try_out(python)}
    print(f"| | {' | '.join(given.which)} |\n|---|{'---|' * len(given.which)}")
    for one in core():
        print(f"| {one.name} | {' | '.join(found[which]['versions'][one.name] for which in given.which)} |")
    print(f"| tests | {' | '.join(found[which]['tests'] for which in given.which)} |")
    if not all(found[which]["passed"] for which in given.which):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
