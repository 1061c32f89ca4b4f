"""The site's groups are the columns of README.md's table and its headings with lists; a folder's pages follow the page
that introduces them.

A page in none of them is one that no reader would find: Sphinx warns of it, and the build ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sphinx.application import Sphinx

FOLDERS = {"docs/decisions/README": "0*", "docs/truth": "studies/*/results", "docs/api/README": "*"}
"""Page → the pages below it, by name."""
LINK = re.compile(r"\]\(([^)#:]+)\.(?:md|ipynb)(?:#[^)]*)?\)")


def groups(readme: str) -> Iterator[tuple[str, list[str]]]:
    """Caption → the pages that its column or list links to, without those of earlier groups."""
    rows = [line.strip("|").split("|") for line in readme.splitlines() if line.startswith("|")]
    texts = {cells[0].strip(): "".join(cells) for cells in list(zip(*rows, strict=True))[1:]}
    for part in re.split(r"^## ", readme, flags=re.M)[1:]:
        heading, _, text = part.partition("\n")
        texts[heading] = "".join(re.findall(r"^(?:- |  ).*\n", text, re.M))
    seen: set[str] = set()
    for caption, text in texts.items():
        if pages := [page for page in dict.fromkeys(LINK.findall(text)) if page not in seen]:
            seen.update(pages)
            yield caption, pages


def add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """`source-read`: append the tables of contents, hidden, for they only make the sidebar."""
    if page == app.config.root_doc:
        source[0] += "".join(_toctree(pages, caption=caption) for caption, pages in groups(source[0]))
    if page in FOLDERS:
        source[0] += _toctree([FOLDERS[page]], glob=True)


def _toctree(pages: list[str], caption: str = "", glob: bool = False) -> str:
    options = [":hidden:", *([f":caption: {caption}"] if caption else []), *([":glob:"] if glob else [])]
    return "\n\n" + "\n".join(["```{toctree}", *options, "", *pages, "```"]) + "\n"
