"""The site's groups are README.md's table of tasks and its lists. A page that is linked there has its place there;
every other page stands below the first page that links to it.

A page to which none leads is one that no reader would find: Sphinx warns of it, and the build ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx

FOLDERS = {"docs/decisions/README": "0*", "docs/truth": "studies/*/results", "docs/api/README": "*"}
"""Page → the pages below it, by name."""
LINK = re.compile(r"\]\(([^)#:]+)\.(?:md|ipynb)(?:#[^)]*)?\)")
GROUP = re.compile(r"^(?:- \*\*(\w+)\*\*: (.*\n(?:  .*\n)*)|## (.*)\n\n((?:\|.*\n)+))", re.M)
"""In README.md: a list item that begins with its name, or a heading with a table."""


def groups(readme: str) -> Iterator[tuple[str, list[str]]]:
    """Caption → the pages that its table or list links to, without those of earlier groups."""
    seen: set[str] = set()
    for name, line, heading, table in GROUP.findall(readme):
        pages = [page for page in dict.fromkeys(LINK.findall(line or table)) if page not in seen]
        seen.update(pages)
        yield name or heading, pages


def places(root: Path) -> dict[str, list[str]]:
    """Page → the pages of docs/ and docs/notebooks/ below it, by the shortest way from README.md."""
    order = [page for _, pages in groups((root / "README.md").read_text(encoding="utf-8")) for page in pages]
    seen, below = {*order}, {}
    for page in order:  # which grows meanwhile
        file = root / f"{page}.md"
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        linked = [(file.parent / link).resolve() for link in LINK.findall(text)]
        names = [path.relative_to(root.resolve()).as_posix() for path in dict.fromkeys(linked)]
        below[page] = [
            name for name in names if name not in seen and name.rpartition("/")[0] in ("docs", "docs/notebooks")
        ]
        seen.update(below[page])
        order += below[page]
    return below


def add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """`source-read`: append the tables of contents, hidden, for they only make the sidebar."""
    if page == app.config.root_doc:
        source[0] += "".join(_toctree(pages, caption=caption) for caption, pages in groups(source[0]))
    elif below := places(Path(app.srcdir)).get(page):
        source[0] += _toctree([f"/{name}" for name in below])
    if page in FOLDERS:
        source[0] += _toctree([FOLDERS[page]], glob=True)


def _toctree(pages: list[str], caption: str = "", glob: bool = False) -> str:
    options = [":hidden:", *([f":caption: {caption}"] if caption else []), *([":glob:"] if glob else [])]
    return "\n\n" + "\n".join(["```{toctree}", *options, "", *pages, "```"]) + "\n"
