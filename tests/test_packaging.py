import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "seediff"
NEEDED = (
    "seediff/py.typed",
    "seediff/report/templates/",
    "seediff/mini/data/scenes.safetensors",
)
WEIGHTS = ("seediff/models/mini/weights/",)


def data_files():
    """Every file of the package's folder that is not made by running it, as the wheel would name it."""
    found = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {
        f"seediff/{path.relative_to(PACKAGE).as_posix()}" for path in found if not path.name.endswith((".part", ".pyc"))
    }


def wheel_files():
    """What hatchling would put into the wheel, without building it."""
    builder = pytest.importorskip(
        "hatchling.builders.wheel", reason="hatchling, which builds the wheel, is not installed"
    )
    return {file.distribution_path for file in builder.WheelBuilder(str(ROOT)).recurse_included_files()}


def not_ignored():
    """The package's files that git does not ignore: hatchling leaves out those that it does."""
    command = f"git -C {ROOT} ls-files --cached --others --exclude-standard src/seediff".split()
    try:
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")
    return {name.removeprefix("src/") for name in listed}


@pytest.mark.parametrize("list_files", [wheel_files, not_ignored])
def test_everything_read_at_run_time_is_inside(list_files):
    files = list_files()
    for needed in NEEDED + (WEIGHTS if (PACKAGE / "models/mini/weights").is_dir() else ()):
        assert any(name.startswith(needed) for name in files), f"{needed} is not in the wheel"
    missing = data_files() - files
    assert not missing, f"not in the wheel: {sorted(missing)}"
