import subprocess
import sys
from pathlib import Path

import seediff

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def instructions():
    """(instruction, the rest of it) of the Dockerfile, comments apart, continued lines joined."""
    lines = [
        line
        for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
        if not line.lstrip().startswith("#")
    ]
    whole = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in whole if line.strip())]


DOCKER = instructions()


def rests(name):
    return [rest for each, rest in DOCKER if each == name]


def defaults():
    return dict(rest.split("=", 1) for rest in rests("ARG"))


def copied():
    return [source for rest in rests("COPY") for source in rest.split()[:-1]]


def test_the_image_gets_only_files_that_are_there():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert [source for source in copied() if not (ROOT / source).exists()] == []
    assert [source for source in copied() if f"!{source}" not in ignored] == []


def test_the_image_installs_extras_that_there_are_with_the_tested_versions():
    (install,) = [rest for rest in rests("RUN") if rest.startswith("pip install")]
    assert install.endswith('-c constraints.txt ".[${EXTRAS}]"')
    assert set(defaults()["EXTRAS"].split(",")) <= set(PROJECT["optional-dependencies"])


def test_the_version_of_the_package_is_read_without_its_dependencies():
    """As the workflow compares it with the tag."""
    code = "import seediff; print(seediff.__version__)"
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True
    )
    assert (done.stdout.strip(), done.returncode) == (seediff.__version__, 0), done.stderr
