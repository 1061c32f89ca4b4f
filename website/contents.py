"""The order of the site's pages is that of the lists of README.md; a folder's pages follow the page that introduces
them.

A page in none of them is one that no reader would find: Sphinx warns of it, and the build ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sphinx.application import Sphinx

FOLDERS = {"docs/decisions/README": "0*", "docs/studies": "studies/*/results", "docs/api/README": "*"}
"""Page → the pages below it, by name."""
LINK = re.compile(r"\]\(([^)#:]+)\.(?:md|ipynb)(?:#[^)]*)?\)")


def lists(readme: str) -> Iterator[tuple[str, list[str]]]:
    """Of every heading of the third level, the pages that its list links to and none before did."""
    seen: set[str] = set()
    for part in re.split(r"^### ", readme, flags=re.M)[1:]:
        heading, _, text = part.partition("\n")
        items = text.partition("\n## ")[0]
        pages = [page for page in dict.fromkeys(LINK.findall(items)) if page not in seen]
        seen.update(pages)
        yield heading, pages


def add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """`source-read`: append the tables of contents, hidden, for they only make the sidebar."""
    if page == app.config.root_doc:
        source[0] += "".join(_toctree(pages, caption=heading) for heading, pages in lists(source[0]))
    if page in FOLDERS:
        source[0] += _toctree([FOLDERS[page]], glob=True)


def _toctree(pages: list[str], caption: str = "", glob: bool = False) -> str:
    options = [":hidden:", *([f":caption: {caption}"] if caption else []), *([":glob:"] if glob else [])]
    return "\n\n" + "\n".join(["```{toctree}", *options, "", *pages, "```"]) + "\n"
