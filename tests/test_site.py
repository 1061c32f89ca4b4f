"""The pages as a site: nothing is cut off, however wide the window is, and screen readers can read it."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def test_every_column_of_a_page_has_a_head():
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs/api").glob("*.md")):
        heads = re.findall(r"^(\|.*\|)\n\|[-:| ]+\|$", path.read_text(encoding="utf-8"), re.M)
        assert [head for head in heads if re.search(r"\|\s*\|", head)] == [], path
