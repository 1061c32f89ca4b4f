"""Notebooks as pages of the site, with the outputs that they hold."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser

FENCE = "`" * 6


class NotebookParser(MystParser):
    """Reads .ipynb (nbformat 4): Markdown cells as they are, code cells in fences, each followed by its outputs."""

    supported = ("ipynb",)

    def parse(self, inputstring: str, document: nodes.document) -> None:
        super().parse(to_markdown(json.loads(inputstring), Path(document["source"]).name), document)


def to_markdown(notebook: dict[str, Any], name: str) -> str:
    """name: of the notebook's file, which the page offers below its title."""
    first, *others = notebook["cells"]
    title, _, opening = "".join(first["source"]).partition("\n")
    parts = [title, f"The notebook: {{download}}`{name}`.", opening.strip()]
    for cell in others:
        parts += _cell(cell)
    return "\n\n".join(parts) + "\n"


def _cell(cell: dict[str, Any]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        yield source
        return
    yield f"{FENCE}python\n{source}\n{FENCE}"
    for output in cell["outputs"]:
        if output["output_type"] == "stream":
            yield _text("".join(output["text"]))
        elif image := output["data"].get("image/jpeg"):
            alt = html.escape(cell["metadata"]["alt"])  # a picture without one is an error: some readers see none
            yield f'<img class="output" alt="{alt}" src="data:image/jpeg;base64,{"".join(image).strip()}">'
        else:
            yield _text("".join(output["data"]["text/plain"]))


def _text(text: str) -> str:
    return f"{FENCE}text\n{text.rstrip()}\n{FENCE}"
