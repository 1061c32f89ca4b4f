"""The pages as a site: nothing is cut off, however wide the window is."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from in_chromium import needs_chromium

STATIC = Path(__file__).parents[1] / "website/static"
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
    page.close()
