"""What Sphinx does not check of the site that it built: nothing is fetched from elsewhere, equations need no script,
every name for everyday use is explained, and notebooks show their outputs.

    python website/check.py build/site      # as `make docs` does
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

from api import address  # beside this file

import seediff


@dataclass
class Page(HTMLParser):
    """links: what `a` leads to. loaded: what a browser fetches by itself."""

    text: str
    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("index", "search", "next", "prev", "author"):
            self.loaded.append(given["href"])
        self.loaded += [given[name] for name in ("src", "srcset", "data", "poster") if given.get(name)]


def problems(site: Path) -> Iterator[str]:
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    if len(pages) < 30:
        yield f"{len(pages)} pages alone"
    for path, page in pages.items():
        for link in page.loaded:
            if re.match(r"(\w+:)?//", link):
                yield f"{path}: loads {link[:80]} from elsewhere"
            elif not link.startswith("data:") and not (path.parent / link.split("?")[0]).is_file():
                yield f"{path}: {link} is missing"
    for style in site.rglob("*.css"):
        if re.search(r"""(url\(\s*["']?|@import\s+["'])(https?:)?//""", style.read_text(encoding="utf-8")):
            yield f"{style}: loads something from elsewhere"

    linked = {link.rpartition("#")[2] for link in pages[site / "docs/api/README.html"].links}
    for name in seediff._homes():
        if address(name) not in linked:
            yield f"docs/api: {name} is not explained"
    if "seediff.masks.make_masks.make_masks" not in pages[site / "docs/api/masks.html"].ids:
        yield "docs/api/masks: make_masks is not explained"

    methods = pages[site / "docs/methods.html"]
    if methods.text.count("<math") < 8 or "$$" in methods.text or [link for link in methods.loaded if "math" in link]:
        yield "docs/methods: its equations are not drawn, or by a script"
    notebook = pages[site / "docs/notebooks/first-masks.html"]
    if not any(image.startswith("data:image/jpeg") for image in notebook.loaded):
        yield "docs/notebooks/first-masks: shows no pictures"
    if not any(link.endswith("first-masks.ipynb") for link in notebook.links):
        yield "docs/notebooks/first-masks: does not lead to its file"


if __name__ == "__main__":
    found = list(problems(Path(sys.argv[1])))
    print(*found, sep="\n", file=sys.stderr)
    sys.exit(bool(found))
