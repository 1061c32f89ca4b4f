"""The package's page: what is built for PyPI from README.md."""

import email
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = ("https://github.com/OWNER/seediff/blob/HEAD/", "https://raw.githubusercontent.com/OWNER/seediff/HEAD/")


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
    assert len(links) > 40
    own = [link.removeprefix(place) for link in links for place in PLACES if link.startswith(place)]
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert [path for path in own if not (ROOT / path.partition("#")[0]).exists()] == []
    assert sum(path.endswith(".jpg") for path in own) == 2
    assert "Repository, https://github.com/OWNER/seediff" in metadata.get_all("Project-URL", [])
