"""How Sphinx builds the site: the repository's own pages where they lie, in the groups of README.md's table and lists.

    make docs                                              # into build/site; open build/site/index.html
    python -m sphinx -W --keep-going -c website . build/site    # the same, with any python that has the extra `docs`

Warnings are errors, so a link that leads nowhere ends the build. Nothing is fetched while building or reading.
"""

from __future__ import annotations

import importlib
import shutil
import sys
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT / "src")]

import api  # noqa: E402
import contents  # noqa: E402
import mathml  # noqa: E402
import notebooks  # noqa: E402

# autodoc sets TYPE_CHECKING while it imports. Torch's compiler cannot be imported for the first time under it.
importlib.import_module("torch._dynamo")

PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs")

project = "SeeDiff"
author = "the SeeDiff authors"
root_doc = "README"
source_suffix = {".md": "markdown", ".ipynb": "ipynb"}
include_patterns = [*PAGES[:-1], "docs/**"]
exclude_patterns = sorted(path.name for path in ROOT.iterdir() if path.name not in PAGES)  # else every folder is walked
extensions = ["myst_parser", "sphinx.ext.autodoc"]
autodoc_default_options = {"member-order": "bysource", "no-value": True, "ignore-module-all": True}
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
suppress_warnings = ["ref.python"]  # a short name in a signature may be that of two classes
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 6  # as the hub makes them
html_theme = "furo"
html_title = project
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_math_renderer = mathml.NAME
html_static_path = ["static"]
html_css_files = ["site.css"]
python_use_unqualified_type_names = True
python_display_short_literal_types = True
python_maximum_signature_line_length = 90
highlight_language = "text"


def write_index(app: Sphinx, error: Exception | None) -> None:
    """A server looks for index.html; the pages link README.html, as the repository does."""
    if error is None and app.builder.format == "html":
        shutil.copyfile(app.outdir / "README.html", app.outdir / "index.html")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_lexer("csv", TextLexer)
    app.connect("source-read", contents.add_contents)
    app.connect("source-read", api.add_documentation)
    app.connect("autodoc-process-docstring", api.markdown_to_rst)
    app.connect("build-finished", write_index)
    app.add_source_parser(notebooks.NotebookParser)
    mathml.register(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
