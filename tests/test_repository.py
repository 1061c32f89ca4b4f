"""What keeps the repository in order: the wheel, the image, outputs of the docs and their programs."""

import email
import os
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

import seediff
from seediff.files.reading import read_toml

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "seediff"


def wheel_files():
    """What hatchling would put into the wheel, without building it."""
    builder = pytest.importorskip("hatchling.builders.wheel", reason="hatchling is not installed")
    return {file.distribution_path for file in builder.WheelBuilder(str(ROOT)).recurse_included_files()}


def not_ignored():
    """The package's files that git does not ignore: hatchling leaves out those that it does."""
    command = f"git -C {ROOT} ls-files --cached --others --exclude-standard src/seediff".split()
    try:
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")
    return {name.removeprefix("src/") for name in listed}


@pytest.mark.slow
@pytest.mark.parametrize("list_files", [wheel_files, not_ignored])
def test_everything_read_at_run_time_is_inside(list_files):
    there = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".part")]
    names = {f"seediff/{path.relative_to(PACKAGE).as_posix()}" for path in there}
    assert {"seediff/py.typed", "seediff/__init__.pyi", "seediff/mini/data/scenes.safetensors"} <= names
    assert names - list_files() == set()


def test_the_image_gets_files_and_extras_that_there_are():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.partition(" ")[::2] for line in text.splitlines() if line.strip() and not line.startswith("#")]
    copied = [source for name, rest in lines if name == "COPY" for source in rest.split()[:-1]]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert [source for source in copied if not (ROOT / source).exists() or f"!{source}" not in ignored] == []
    (extras,) = [rest.partition("=")[2] for name, rest in lines if name == "ARG" and rest.startswith("EXTRAS=")]
    known = read_toml(ROOT / "pyproject.toml")["project"]["optional-dependencies"]
    assert {*extras.split(",")} <= {*known}
    assert '-c constraints.txt ".[${EXTRAS}]"' in text


def test_the_version_of_the_package_is_read_without_its_dependencies():
    """As the workflow compares it with the tag."""
    command = [sys.executable, "-S", "-c", "import seediff; print(seediff.__version__)"]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True)
    assert (done.stdout.strip(), done.returncode) == (seediff.__version__, 0), done.stderr


def test_the_package_shows_public_names_alone_and_all_are_there():
    assert [name for name in dir(seediff) if name.startswith("_")] == ["__version__"]
    assert {"predict", "evaluate_predictions", "load_segmenter"} <= {*dir(seediff)}
    for name in dir(seediff):
        home = getattr(seediff, name)
        assert isinstance(home, str) or home.__module__.startswith("seediff."), name
        has_arrays = is_dataclass(home) and any(re.search("ndarray|Tensor", str(one.type)) for one in fields(home))
        assert not has_arrays or home.__eq__ is object.__eq__, f"{name}: == of arrays raises an error"


PLACES = ("https://github.com/OWNER/seediff/blob/HEAD/", "https://raw.githubusercontent.com/OWNER/seediff/HEAD/")


@pytest.mark.slow
def test_every_link_of_the_page_leads_to_a_file_of_the_repository(tmp_path, monkeypatch):
    pytest.importorskip("hatch_fancy_pypi_readme", reason="hatch-fancy-pypi-readme is not installed")
    build = pytest.importorskip("hatchling.build", reason="hatchling is not installed")
    markdown = pytest.importorskip("readme_renderer.markdown", reason="readme-renderer is not installed")
    monkeypatch.chdir(ROOT)
    folder = build.prepare_metadata_for_build_wheel(os.fspath(tmp_path))
    metadata = email.message_from_bytes((tmp_path / folder / "METADATA").read_bytes())
    assert metadata["Description-Content-Type"] == "text/markdown"
    payload = metadata.get_payload(decode=True)
    assert isinstance(payload, bytes)
    page = markdown.render(payload.decode())
    links = re.findall(r'(?:href|src)="([^"]+)"', page)
    assert len(links) > 30
    own = [link.removeprefix(place) for link in links for place in PLACES if link.startswith(place)]
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert [path for path in own if not (ROOT / path.partition("#")[0]).exists()] == []
    assert sum(path.endswith(".jpg") for path in own) == 2
    assert "Repository, https://github.com/OWNER/seediff" in metadata.get_all("Project-URL", [])
