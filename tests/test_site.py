import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

import seediff

for needed in ("sphinx", "myst_parser", "furo"):
    pytest.importorskip(needed, reason=f"{needed} of the extra `docs` is not installed")

ROOT = Path(__file__).parents[1]


def build(root, out):
    """As `make docs`, which ends at a link that leads nowhere; without the list of functions beside each page of the
    API, which takes as long as all the rest.
    """
    command = f"{sys.executable} -m sphinx -W --keep-going -q -E -c {ROOT}/website -d {out}-doctrees".split()
    command += ["-D", "toc_object_entries=0"]
    environment = {
        **os.environ,
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }  # nobody answers there
    return subprocess.run([*command, str(root), str(out)], capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "site"
    done = build(ROOT, out)
    assert done.returncode == 0, done.stderr
    return out


@dataclass
class Page(HTMLParser):
    """links: what `a` leads to. loaded: what a browser fetches by itself."""

    text: str
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def __post_init__(self):
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("index", "search", "next", "prev", "author"):
            self.loaded.append(given["href"])
        self.loaded += [given[name] for name in ("src", "srcset", "data", "poster") if given.get(name)]


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_nothing_is_fetched_from_elsewhere(site, pages):
    assert len(pages) > 50
    for path, page in pages.items():
        foreign = [link[:80] for link in page.loaded if re.match(r"(\w+:)?//", link)]
        assert foreign == [], path.relative_to(site)
        missing = [
            link
            for link in page.loaded
            if not link.startswith("data:") and not (path.parent / link.split("?")[0]).is_file()
        ]
        assert missing == [], path.relative_to(site)
    for style in site.rglob("*.css"):
        assert not re.search(r"""(url\(\s*["']?|@import\s+["'])(https?:)?//""", style.read_text(encoding="utf-8")), (
            style.relative_to(site)
        )


def test_names_for_everyday_use_are_explained(pages, site):
    linked = [link.rpartition("#")[2] for link in pages[site / "docs/api/README.html"].links]
    for name, home in seediff._HOMES.items():
        assert f"seediff.{home}.{name}" in linked
    assert "seediff.masks.make_masks.make_masks" in pages[site / "docs/api/masks.html"].ids


def test_equations_are_drawn_without_a_script(pages, site):
    methods = pages[site / "docs/methods.html"]
    assert methods.text.count("<math") >= 8
    assert "$$" not in methods.text
    assert not [link for link in methods.loaded if "math" in link]


def test_outputs_of_notebooks_are_shown(pages, site):
    page = pages[site / "docs/notebooks/first-masks.html"]
    assert any(image.startswith("data:image/png") for image in page.loaded)
    assert any(link.endswith("first-masks.ipynb") for link in page.links)
