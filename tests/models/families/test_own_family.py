"""The page about a family of one's own: what it says can be done, and its maps are those by the book."""

import re
from importlib import import_module
from pathlib import Path

from builders import reference_attention
from builders.families import by_the_book, see
from builders.items import noise_pixels

from seediff.config.methods import CaptureConfig
from seediff.models import families

PAGE = Path(__file__).parents[3] / "docs" / "own-families.md"


def test_the_family_of_the_page(tmp_path, monkeypatch, capsys):
    book = import_module("builders.reference_attentions.aura_flow").BOOK
    book.save(tmp_path / "my-auraflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(families, "REGISTERED", [])
    monkeypatch.setitem(reference_attention.BOOKS, "aura_flow", book)
    monkeypatch.setitem(reference_attention._NAMES, "AuraFlow", "aura_flow")
    (code,) = re.findall(r"(?s)```python\n(.*?)```", PAGE.read_text(encoding="utf-8"))
    said = {}
    exec(code, said)
    assert capsys.readouterr().out == "(64, 64)\n"

    model = said["model"]
    how = {"guidance_scale": 3.0, "negative_prompt": "", "steps": 2}
    assert by_the_book(model, capture=CaptureConfig(), **how)[0] < 1e-5
    assert len(see(model, list(noise_pixels(2, 64, 64)))) == 2
