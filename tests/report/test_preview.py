import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from synthetic import CLASSES, trace, write_dataset

from seediff.errors import UserError
from seediff.report.preview import write_preview
from seediff.report.saved_steps import load_trace, save_trace

SUMMARY = {
    "model": "mini",
    "method": "seediff",
    "seed": 0,
    "prompts": ["a photo of a {class}"],
    "rejected": {"dog": {"degenerate": 2}},
    "config": {"mask": {"alpha": 0.5, "expand_levels": [4, 2, 1], "pamr_dilations": None}},
}


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


def preview(out, rows, class_names=CLASSES, steps=(), summary=SUMMARY, **options):
    path = write_preview(out, summary=summary, rows=rows, class_names=class_names, steps=steps, **options)
    assert path == out / "preview.html"
    assert not list(out.glob("*.part"))
    return path.read_text(encoding="utf-8")


def test_shows_the_dataset_and_its_steps(tmp_path):
    rows = write_dataset(tmp_path, 15)
    html = preview(tmp_path, rows, steps=[trace(0, "dog"), trace(1, "cat"), trace(3, "dog")])
    page = Page(html)
    assert len([f for f in page.all("figure") if "tile" in (f["class"] or "")]) == 15
    assert html.count('class="traced"') == 2  # one per class
    for text in ("degenerate 2", "What the model drew for the prompt", "eq. 6", "eq. 11", "expand_levels</th><td>4, 2"):
        assert text in html
    assert "less than 1 % or more than 95 % of the image" in html
    photographs = preview(tmp_path, [row | {"asked": ["dog"]} for row in rows], steps=[trace(0)])
    assert "What the model saw with the prompt" in photographs
    names = "cross-attention <|seeds L/4|expansion L <|background seeds|before PAMR|after PAMR|final mask"
    order = [html.index(name) for name in names.split("|")]
    assert order == sorted(order)


def test_fetches_nothing_and_every_picture_is_described(tmp_path):
    html = preview(tmp_path, write_dataset(tmp_path, 4), steps=[trace(0)])
    page = Page(html)
    assert not re.findall("https?://|@import", html)
    assert all(target.startswith("data:image/") for target in re.findall(r"url\(([^)]*)\)", html))
    for tag, attrs in page.tags:
        for name in ("src", "href", "srcset", "action", "poster"):
            if name in attrs:
                assert (attrs[name] or "").startswith(("data:image/", "#")), (tag, name)
    pictures = [a for a in page.all("img") if "src" in a]
    assert pictures
    assert all(a.get("alt") for a in pictures)
    assert any("default-src 'none'" in (m.get("content") or "") for m in page.all("meta"))


def test_same_dataset_same_bytes_wherever_it_lies(tmp_path):
    for name in ("a", "b"):
        out = tmp_path / name
        rows = write_dataset(out, 6)
        save_trace(out / "trace.safetensors", trace(0))
        write_preview(
            out, summary=SUMMARY, rows=rows, class_names=CLASSES, steps=[load_trace(out / "trace.safetensors")]
        )
    html = (tmp_path / "a/preview.html").read_bytes()
    assert html == (tmp_path / "b/preview.html").read_bytes()
    assert str(tmp_path).encode() not in html


def test_hostile_text_stays_text(tmp_path):
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}'
    rows = write_dataset(tmp_path, 2, classes=(evil, "dog"))
    rows[0] |= {"prompt": evil, "flags": [f"{evil}:dog"], "seed": evil}
    summary = {"model": evil, "method": evil, evil: evil, "prompts": [evil], "config": {evil: evil}}
    summary["rejected"] = {evil: {evil: 1}}
    html = preview(tmp_path, rows, class_names=(evil, "dog"), steps=[trace(0, evil)], summary=summary)
    page = Page(html)
    assert len(page.all("script")) == 1
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert "{{ 7*7 }}" in html
    assert "<script>alert" not in html


@pytest.mark.parametrize("field", ["file_name", "mask"])
@pytest.mark.parametrize("path", ["../secret.png", "ABSOLUTE", "images/link.png", None])
def test_paths_out_of_the_dataset_are_refused(tmp_path, field, path):
    out = tmp_path / "out"
    rows = write_dataset(out, 1)
    secret = tmp_path / "secret.png"
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(secret)
    (out / "images/link.png").symlink_to(secret)
    rows[0][field] = str(secret) if path == "ABSOLUTE" else path
    with pytest.raises(UserError, match=f"row 1: '{field}'"):
        preview(out, rows)
    assert not (out / "preview.html").exists()
