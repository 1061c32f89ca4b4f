import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from random_maps import random_maps
from refusals import user_error
from synthetic import CLASSES, write_dataset

from seediff.config.methods import METHOD_FACTS, MaskConfig
from seediff.masks.make_masks import soft_mask
from seediff.masks.steps import MaskStep
from seediff.report.page import write_page
from seediff.report.set_summary import SetFacts, summarize
from seediff.rows.row import as_row

FACTS = SetFacts(
    {"model": "mini", "method": "seediff", "seed": 0}, ["a photo of a {class}"], {"dog": {"degenerate": 2}}
)


class Page(HTMLParser):
    """Every tag with its attributes; all tags are closed in order."""

    def __init__(self, html):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def page_of(out, rows, classes=CLASSES, facts=FACTS):
    typed = [*map(as_row, rows)]
    path = write_page(out, facts, typed, summarize(typed, classes, facts.rejected))
    assert path == out / "preview.html"
    assert not list(out.glob("*.part"))
    return path.read_text(encoding="utf-8")


def test_fetches_nothing_and_every_image_is_described(tmp_path):
    rows = write_dataset(tmp_path, 4)
    html = page_of(tmp_path, rows)
    page = Page(html)
    assert not re.findall("https?://|@import", html)
    assert "url(" not in html
    for tag, attrs in page.tags:
        for name in ("src", "href", "srcset", "action", "poster"):
            if name in attrs:
                assert (attrs[name] or "").startswith(("data:image/", "#")), (tag, name)
    images = page.all("img")
    assert len(images) == 8
    assert all(a.get("alt") for a in images)
    assert any("default-src 'none'" in (m.get("content") or "") for m in page.all("meta"))


def test_hostile_text_stays_text(tmp_path):
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}'
    rows = write_dataset(tmp_path, 2, classes=(evil, "dog"))
    rows[0] |= {"prompt": evil, "flags": [f"{evil}:dog"], "source": evil}
    facts = SetFacts({"model": evil, "method": evil, evil: evil}, [evil], {evil: {evil: 1}})
    html = page_of(tmp_path, rows, classes=(evil, "dog"), facts=facts)
    page = Page(html)
    assert not page.all("script")
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert "{{ 7*7 }}" in html
    assert "<script>alert" not in html


@pytest.mark.parametrize("field", ["file_name", "mask_file_name"])
@pytest.mark.parametrize("path", ["../secret.png", "ABSOLUTE", "images/link.png", None])
def test_paths_out_of_the_dataset_are_refused(tmp_path, field, path):
    out = tmp_path / "out"
    rows = write_dataset(out, 1)
    secret = tmp_path / "secret.png"
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(secret)
    (out / "images/link.png").symlink_to(secret)
    rows[0][field] = str(secret) if path == "ABSOLUTE" else path
    with user_error(f"row 1: '{field}'"):
        page_of(out, rows)
    assert not (out / "preview.html").exists()


@pytest.mark.parametrize("method", [name for name, facts in METHOD_FACTS.items() if facts.user_function is None])
@pytest.mark.parametrize("expansion", ["none", "iterative"])
def test_every_step_is_explained(method, expansion):
    config = MaskConfig(method=method, expansion=expansion)
    steps = soft_mask(random_maps(normalized=False), "dog", config).trace
    assert not [str(step) for step in steps if step.text == MaskStep("something").text]
