"""The pages of docs/api: a list item that is a module's name alone stands for what autodoc finds in it."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

import seediff

ITEM = re.compile(r"^- `(seediff[\w.]*)`$", re.M)
MODULE = "## `{0}`\n\n```{{eval-rst}}\n.. automodule:: {0}\n   :members:\n```\n"


def add_documentation(_app: Sphinx, page: str, source: list[str]) -> None:
    """`source-read` of a page of docs/api. A module that is not there is a warning, which ends a strict build."""
    if page.startswith("docs/api/"):
        source[0] = ITEM.sub(lambda found: _names() if found[1] == "seediff" else MODULE.format(found[1]), source[0])


def _names() -> str:
    """What `import seediff` gives, each name with a link to the module where it is written."""
    return "\n".join(f"- {{py:obj}}`{address(name)}`" for name in seediff._homes())


def address(name: str) -> str:
    """Where a name that users import is written, with its own name there."""
    module, own = seediff._homes()[name]
    return f"seediff{module}.{own}"


def markdown_to_rst(_app: Sphinx, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """`autodoc-process-docstring`: our docstrings are Markdown. Paragraphs keep their code and links to nothing else;
    lists and what is aligned are shown as they are."""
    parts = []
    for part in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")):
        if re.search(r"^([ |]|[-*] |```)", part, re.M):
            parts.append("::\n\n" + re.sub(r"^", "    ", part, flags=re.M))
        else:
            texts = re.split(r"`([^`]+)`", part)
            texts[::2] = [re.sub(r"([\\*_|`])", r"\\\1", text) for text in texts[::2]]
            texts[1::2] = [rf"\ ``{' '.join(code.split())}``\ " for code in texts[1::2]]
            parts.append("".join(texts))
    lines[:] = "\n\n".join(parts).split("\n")
