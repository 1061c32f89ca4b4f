"""The pages as a site: nothing is cut off, however wide the window is, and screen readers can read it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from in_chromium import needs_chromium, violations

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
STATIC = ROOT / "website/static"
OF_THE_THEME = {"aria-required-attr", "landmark-unique", "region"}
"""What axe finds in furo's own parts: headings of menus without a level, landmarks without names, and text outside of
landmarks."""
WIDTHS = (360, 700, 900, 1000, 1010, 1024, 1100, 1150, 1200, 1400)
RIGHT = "() => document.querySelector('article').getBoundingClientRect().right - innerWidth"


@needs_chromium
def test_no_page_is_cut_off(browser, tmp_path):
    pytest.importorskip("furo")
    shutil.copytree(STATIC, tmp_path / "static")
    (tmp_path / "conf.py").write_text(
        'html_theme, html_static_path, html_css_files = "furo", ["static"], ["site.css"]\n'
    )
    (tmp_path / "index.rst").write_text("Page\n====\n\n" + 200 * "word " + "\n\nPart\n----\n\nText.\n")
    subprocess.run([sys.executable, "-m", "sphinx", "-q", tmp_path, tmp_path / "site"], check=True)
    page = browser.new_page()
    page.goto((tmp_path / "site/index.html").as_uri())
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(RIGHT) <= 0, width
    assert {line.partition(":")[0] for line in violations(page)} <= OF_THE_THEME
    page.close()


def test_every_column_of_a_page_has_a_head():
    for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docs/api").glob("*.md")):
        heads = re.findall(r"^(\|.*\|)\n\|[-:| ]+\|$", path.read_text(encoding="utf-8"), re.M)
        assert [head for head in heads if re.search(r"\|\s*\|", head)] == [], path
